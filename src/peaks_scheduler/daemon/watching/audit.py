"""Audit of the watches: a list of our waiting pods, compared with the ledger.

Owns one comparison: every 30 seconds our pending pods are listed. If one stays unseen, a watch is dead while the
process looks healthy (kopf#957, kopf#1276): the pod is read, then the watches are restarted, and if that does not help
liveness fails. Time in which a list of all pods is being read does not count. What vanished while no watch told of it
is found by the next list of its reflector. Assumes that a uid that is gone never comes back. A list that fails is tried
again later: trouble of the API server has no further effect here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.errors import KubeError, MalformedResponse
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.observability.gauge import Gauge, single
from peaks_scheduler.observability.telemetry import Telemetry

from .feed import Feed
from .observer import Observer

logger = logging.getLogger(__name__)

PENDING_EVERY = 30.0  # [s]
UNSEEN_READ = 10.0  # [s] a pod that is unseen for so long is read
UNSEEN_RESTART = 25.0  # [s] after so long the watches are restarted
UNSEEN_DEAD = 60.0  # [s] after so long liveness fails
LONGEST_LIST = 600.0  # [s] a list of all pods may take, all tries that were answered together
MOST_READ = 50  # pods read in one round


class Audit(Keeper):
    """See the module. ``unseen`` is told of a pod (name, seconds) that was read because no watch showed it. ``clock``
    is monotonic seconds."""

    def __init__(
        self,
        ledger: Ledger,
        client: KubeClient,
        feed: Feed,
        observer: Observer,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        unseen: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._ledger, self._client, self._feed, self._observer = ledger, client, feed, observer
        self._telemetry, self._clock = telemetry, clock
        self._tell_unseen = unseen
        self._unseen: dict[str, float] = {}
        self._unclear: set[str] = set()  # uids of pods that cannot be parsed: they stay unseen

    @property
    def oldest_unseen(self) -> float:
        """[s] for which the oldest unseen pod has been listed without a watch showing it; 0: none."""
        # copied to a list first: the probes ask from another thread
        return max((self._clock() - since for since in list(self._unseen.values())), default=0.0)

    def tasks(self) -> Tasks:
        return {"pending": self.watch_pending()}

    def gauges(self) -> Sequence[Gauge]:
        text = (
            "Time for which the API server has listed a pod of ours that the watch has not delivered; "
            "0 if there is none."
        )
        return (Gauge("peaks_oldest_unseen_pod_seconds", text, lambda: single(self.oldest_unseen)),)

    # -- pending pods

    async def watch_pending(self) -> None:
        """List our pending pods until cancelled."""
        restarted, looked = False, self._clock()
        while True:
            await asyncio.sleep(PENDING_EVERY if not self._unseen else PENDING_EVERY / 3)
            before, looked = looked, self._clock()
            if 0.0 < self._feed.listing_for < LONGEST_LIST:
                # a list of all pods takes longer than that of the pending ones: this time does not count
                self._unseen = {uid: since + looked - before for uid, since in self._unseen.items()}
                continue
            try:
                pending = await self._client.list_pending()
            except KubeError as error:
                logger.debug("pending pods not listed", extra={"error": str(error)})
                self._unseen.clear()  # trouble of the API server is no dead watch
                continue
            self.note_pending(pending.objects)
            try:
                await self._read_unseen(pending.objects)
            except KubeError as error:
                logger.debug("unseen pods not read", extra={"error": str(error)})
            if self.oldest_unseen < UNSEEN_RESTART:
                restarted = False
            elif not restarted:
                restarted = True
                logger.error(
                    "pods are listed that no watch shows",
                    extra={"pods": len(self._unseen), "seconds": self.oldest_unseen},
                )
                self._feed.restart()

    def note_pending(self, uids: Iterable[str]) -> None:
        """Note since when each of these listed pods is unseen. A pod that was read here counts as unseen until a watch
        shows it, even if it was bound since: otherwise a dead watch would stay unnoticed."""
        uids = list(uids)
        self._unclear &= set(uids)
        now, unheard = self._clock(), self._observer.unheard
        unheard &= {uid for uid in unheard if self._ledger.pod(uid) is not None}
        unseen = [uid for uid in uids if self._ledger.pod(uid) is None and uid not in self._unclear]
        self._unseen = {uid: self._unseen.get(uid, now) for uid in (*unseen, *unheard)}

    async def _read_unseen(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Read pods that are unseen for a while: they do not wait until the watches are back."""
        now = self._clock()
        late = [uid for uid, since in self._unseen.items() if now - since >= UNSEEN_READ and uid in names]
        for uid in [uid for uid in late if self._ledger.pod(uid) is None][:MOST_READ]:
            namespace, name = names[uid]
            await self._read_pod(uid, namespace, name)
            if self._ledger.pod(uid) is not None:
                self._observer.unheard.add(uid)
                self._tell_unseen(f"{namespace}/{name}", now - self._unseen[uid])

    # -- reading

    async def _read_pod(self, uid: str, namespace: str, name: str) -> None:
        departed = uid in self._ledger.tombstones  # before we ask: it may end before the answer comes
        try:
            raw = await self._client.get_pod(namespace, name)
        except MalformedResponse:
            self._unclear.add(uid)
            return
        if raw is None:
            return
        self._trust(raw, uid if departed else "")
        if not isinstance(raw["metadata"].get("uid"), str) or not self._observer.pod(None, raw):
            self._unclear.add(uid)
        else:
            self._telemetry.audit_repaired("pods", "missing")

    def _trust(self, raw: Json, departed: str) -> None:
        """Correct the ledger's belief that the object of this uid is gone: it was read just now."""
        if raw["metadata"].get("uid") == departed:
            self._ledger.tombstones.discard(departed)
