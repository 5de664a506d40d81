"""Which kinds, beside pods and nodes, this process can read.

Owns the state of each kind: watched, completely in the ledger, or unreadable and why. An unreadable kind makes only
those pods unschedulable that need it. It is logged once and shown all the time; the API server is asked about it again
every few minutes and whenever kopf starts, and it is watched as soon as it can be read. Assumes that the watches are
restarted when told to, and that the feed says when a kind is complete. Never stops the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.errors import KubeError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.kinds import KINDS, Kind, unread
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.gauge import Gauge, by_key
from peaks_scheduler.observability.serving import Check, Health

logger = logging.getLogger(__name__)

LOOK_EVERY = 180.0  # [s]
LOOK_SOON = 5.0  # [s] an API server that just started forbids everything; doubled after each look without success
RETRY = 1.0  # [s] after the API server did not answer the first question


class KindKeeper(Keeper):
    """See the module. ``changed`` is called when a kind has become readable, ``restart`` when the kinds to be watched
    have changed."""

    def __init__(
        self, client: KubeClient, ledger: Ledger, changed: Callable[[], None], restart: Callable[[], None]
    ) -> None:
        self._client, self._ledger, self._changed, self._restart = client, ledger, changed, restart
        self._troubles: Mapping[Kind, str] | None = None
        self._sudden: set[Kind] = set()  # readable before the last answer
        self._complete: set[Kind] = set()
        self._watched: tuple[Kind, ...] | None = None
        self._soon = asyncio.Event()
        self._tell_ledger()

    # -- what others ask

    @property
    def fed(self) -> tuple[Kind, ...]:
        """Kinds to be watched; empty before the API server was asked."""
        return () if self._troubles is None else tuple(kind for kind in KINDS if kind not in self._troubles)

    async def fed_now(self) -> tuple[Kind, ...]:
        """``fed`` after the API server was asked again; waits for its first answer."""
        while True:
            try:
                await self.look()
            except KubeError as error:
                logger.debug("kinds not asked about", extra={"error": str(error)})
                if self._troubles is None:
                    await asyncio.sleep(RETRY)
                    continue
            self._watched = self.fed
            return self.fed

    def unreadable(self) -> dict[str, bool]:
        """Plural of each kind -> is it unreadable?"""
        return {kind.plural: kind in (self._troubles or {}) for kind in KINDS}

    def health(self) -> Health:
        """For ``/readyz?verbose``: unreadable kinds and their consequence. It never makes us unready."""
        words = [f"{why} (until then {kind.without})" for kind, why in (self._troubles or {}).items()]
        return Health.degraded("; ".join(words)) if words else Health.ok()

    def tasks(self) -> Tasks:
        return {"kinds": self.run()}

    def checks(self) -> Sequence[Check]:
        return (Check("kinds", self.health),)

    def gauges(self) -> Sequence[Gauge]:
        text = "1 if objects of this kind cannot be read: the API server does not have the kind, or a right is missing."
        return (Gauge("peaks_unread_kinds", text, lambda: by_key(self.unreadable()), ("kind",)),)

    # -- what others tell

    def completed(self, kinds: Collection[Kind]) -> None:
        """Note that all listed objects of these kinds are in the ledger."""
        news = {kind for kind in kinds if kind in self.fed} - self._complete
        if news:
            self._complete |= news
            self._tell_ledger()
            self._changed()

    def ask_soon(self) -> None:
        """Ask again soon: a request for one of the kinds was refused."""
        self._soon.set()

    # -- asking

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        pause = LOOK_SOON
        while True:
            await self._wait(pause)
            try:
                await self.look()
            except KubeError as error:
                logger.debug("kinds not asked about", extra={"error": str(error)})
            if self._watched not in (None, self.fed):
                self._watched = None
                self._restart()
            pause = LOOK_SOON if self._sudden else min(2 * pause, LOOK_EVERY) if self._troubles else LOOK_EVERY

    async def _wait(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._soon.wait()
        except TimeoutError:
            return
        self._soon.clear()
        await asyncio.sleep(LOOK_SOON)

    async def look(self) -> None:
        """Ask the API server once. A readable kind becomes unreadable only after two refusals: an API server that
        restarts forbids everything for a while. Raises KubeError where there was no answer."""
        found = await unread(self._client)
        if self._troubles is not None:
            sudden = {kind for kind in found if kind not in self._troubles}
            found = {kind: why for kind, why in found.items() if kind not in sudden - self._sudden}
            self._sudden = sudden - set(found)
        self._take(found)

    def _take(self, found: Mapping[Kind, str]) -> None:
        before, self._troubles = self._troubles or {}, found
        for kind, why in found.items():
            if before.get(kind) != why:
                logger.warning("kind not read", extra={"kind": kind.plural, "reason": why, "therefore": kind.without})
        for kind in before:
            if kind not in found:
                logger.info("kind is read now", extra={"kind": kind.plural})
        self._complete -= set(found)
        self._tell_ledger()

    def _tell_ledger(self) -> None:
        missing = frozenset(kind.plural for kind in KINDS if kind not in self._complete)
        if missing != self._ledger.unreadable:
            self._ledger.set_unreadable(missing)
