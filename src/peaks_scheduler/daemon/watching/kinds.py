"""Which of the kinds beside pods and nodes are read, now that the API server has been asked?

Owns what is known of each kind: that it is fed by the watches, that all of it is in the ledger, or why it is not read.
What is missing refuses only the pods that need it, is said once in the log and shown all the time; it is asked about
again every few minutes and whenever kopf starts, and fed once it has come. Assumes that the watches are started anew
when told to, and that the audit says when a kind is complete. Never a reason to stop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from peaks_scheduler.errors import KubeError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.kinds import KINDS, Kind, unread
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Health

logger = logging.getLogger(__name__)

LOOK_EVERY = 180.0  # [s]
LOOK_SOON = 5.0  # [s] an API server that just started knows no rights yet; twice as long after each look in vain
RETRY = 1.0  # [s] after the API server did not answer the first question


class KindKeeper:
    """See the module. ``changed`` is called when a kind has become readable, ``restart`` when other kinds than now are
    to be watched."""

    def __init__(
        self, client: KubeClient, ledger: Ledger, changed: Callable[[], None], restart: Callable[[], None]
    ) -> None:
        self._client, self._ledger, self._changed, self._restart = client, ledger, changed, restart
        self._troubles: Mapping[Kind, str] | None = None
        self._sudden: set[Kind] = set()  # readable a moment ago, and not by the last answer
        self._complete: set[Kind] = set()
        self._watched: tuple[Kind, ...] | None = None
        self._soon = asyncio.Event()
        self._tell_ledger()

    # -- what others ask

    @property
    def fed(self) -> tuple[Kind, ...]:
        """Those that are to be watched. None before the API server was asked."""
        return () if self._troubles is None else tuple(kind for kind in KINDS if kind not in self._troubles)

    async def fed_now(self) -> tuple[Kind, ...]:
        """``fed`` by what the API server says now; waits for its first answer."""
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

    def unread(self) -> dict[str, bool]:
        """Kind -> is it one that cannot be read?"""
        return {kind.plural: kind in (self._troubles or {}) for kind in KINDS}

    def health(self) -> Health:
        """For ``/readyz?verbose``: what cannot be read, and what comes of it, which never makes us unready."""
        words = [f"{why} (until then {kind.without})" for kind, why in (self._troubles or {}).items()]
        return Health.degraded("; ".join(words)) if words else Health.ok()

    # -- what others tell

    def completed(self, kinds: Collection[Kind]) -> None:
        """All objects of these kinds that a list showed are in the ledger."""
        news = {kind for kind in kinds if kind in self.fed} - self._complete
        if news:
            self._complete |= news
            self._tell_ledger()
            self._changed()

    def doubt(self) -> None:
        """Somebody was refused: ask again soon."""
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
        """Ask the API server once. A kind that was readable a moment ago must fail twice: servers that restart forbid
        everything for a while. Raises KubeError where there was no answer."""
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
