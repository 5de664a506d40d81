"""What became of pods after their Binding: those that a kubelet rejected, and those whose owner was not told.

Owns two tasks. One looks at pods of ours that were gone before they ran: a kubelet that rejected one for lack of room
(``OutOf...``) tells of a collision with another scheduler. One posts the Scheduled events that a process which died did
not get to. Never binds or frees anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from peaks_scheduler.errors import KubeError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.events import EventPoster, Reporter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.pod import FINISHED, Pod

PACE, PACE_TIME = 16, 0.1  # so many events in so many seconds while those of another process are made up for
RECENT = 600.0  # [s] pods bound before a start whose Scheduled event may be missing
SUSPECTS = 1000  # more are not looked at


class Aftermath:
    """See the module. ``collided(node, pod, reason)`` is told of a rejected pod."""

    def __init__(
        self,
        ledger: Ledger,
        client: KubeClient,
        events: EventPoster,
        reporter: Reporter,
        collided: Callable[[str, str, str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._client, self._events, self._reporter = ledger, client, events, reporter
        self._collided, self._wall = collided, wall
        self._suspects: asyncio.Queue[tuple[Pod, str]] = asyncio.Queue(SUSPECTS)
        self._recent = asyncio.Event()

    # -- pods that were bound and did not run

    def gone(self, pod: Pod) -> None:
        """A pod that we had put on its node is no more; this is how it was. Gone before it ran though nobody deleted
        it, it is looked at."""
        never_ran = bool(pod.node_name) and pod.started is None and not pod.deleting
        if never_ran and not self._suspects.full():
            self._suspects.put_nowait((pod, pod.node_name))

    async def inspect(self) -> None:
        """Look at suspects until cancelled: the watch shows a finished pod as it was before it finished."""
        while True:
            pod, node = await self._suspects.get()
            try:
                raw = await self._client.get_pod(pod.namespace, pod.name)
            except KubeError:
                continue
            status = (raw or {}).get("status") or {}
            same = raw is not None and raw["metadata"].get("uid") == pod.uid
            if same and status.get("phase") in FINISHED and str(status.get("reason", "")).startswith("OutOf"):
                self._collided(node, pod.key, status["reason"])

    # -- pods whose event may be missing

    def announce_recent(self) -> None:
        """Have the Scheduled events posted of pods bound lately: a process that died may not have got to it."""
        self._recent.set()

    async def announcing(self) -> None:
        """Post them when asked to, until cancelled; slowly, for most are there already and new pods have news too."""
        while True:
            await self._recent.wait()
            self._recent.clear()
            decided = [pod for pod, _ in self._ledger.pods() if pod.decided_at is not None]
            for i in range(0, len(decided), PACE):
                for pod in decided[i : i + PACE]:
                    self.announce(pod)
                await asyncio.sleep(PACE_TIME)

    def announce(self, pod: Pod) -> None:
        """Post the Scheduled event of a pod that one of our decisions has bound lately. One that is there stays."""
        if pod.decided_at is None or pod.decided_at < self._wall() - RECENT:
            return
        if pod.scheduler_name == self._client.scheduler_name:
            event = self._reporter.scheduled(pod.namespace, pod.name, pod.uid, pod.node_name, pod.decided_at)
            self._events.post(event)
