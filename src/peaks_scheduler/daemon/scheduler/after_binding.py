"""Pods after their Binding: those that a kubelet rejected, and those without a Scheduled event.

Owns two tasks. One reads pods of ours that ended before they ran: a kubelet that rejected one for lack of room
(``OutOf...``) shows a collision with another scheduler. The other posts the Scheduled events that a process which died
did not post. Never binds or frees anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from peaks_scheduler.daemon.keeper import Tasks
from peaks_scheduler.errors import KubeError
from peaks_scheduler.objects.pod import FINISHED, Pod

from .context import Context

PACE, PACE_TIME = 16, 0.1  # so many events in so many seconds [s] while missing ones are posted
RECENT = 600.0  # [s] pods bound before a start whose Scheduled event may be missing
SUSPECTS = 1000  # more are not read


class AfterBinding:
    """See the module. ``rejected(node, pod, reason)`` is told of a rejected pod."""

    def __init__(self, context: Context, rejected: Callable[[str, str, str], None]) -> None:
        self._ledger, self._client, self._events = context.ledger, context.client, context.events
        self._rejected, self._wall = rejected, context.wall
        self._suspects: asyncio.Queue[tuple[Pod, str]] = asyncio.Queue(SUSPECTS)
        self._recent = asyncio.Event()

    def tasks(self) -> Tasks:
        return {"inspect": self.inspect(), "announce": self.announcing()}

    # -- pods that were bound and did not run

    def gone(self, pod: Pod) -> None:
        """Have a pod of ours that has ended looked at, if it never ran and nobody deleted it. ``pod``: its last
        record."""
        never_ran = bool(pod.node_name) and pod.started is None and not pod.deleting
        if never_ran and not self._suspects.full():
            self._suspects.put_nowait((pod, pod.node_name))

    async def inspect(self) -> None:
        """Read them until cancelled: the watch shows a finished pod as it was before it finished."""
        while True:
            pod, node = await self._suspects.get()
            try:
                raw = await self._client.get_pod(pod.namespace, pod.name)
            except KubeError:
                continue
            status = (raw or {}).get("status") or {}
            same = raw is not None and raw["metadata"].get("uid") == pod.uid
            if same and status.get("phase") in FINISHED and str(status.get("reason", "")).startswith("OutOf"):
                self._rejected(node, pod.key, status["reason"])

    # -- pods whose event may be missing

    def announce_recent(self) -> None:
        """Have the Scheduled events of recently bound pods posted: a process that died may have left some out."""
        self._recent.set()

    async def announcing(self) -> None:
        """Post them when asked to, until cancelled. Slowly: most exist already, and events of new pods come first."""
        while True:
            await self._recent.wait()
            self._recent.clear()
            decided = [pod for pod, _ in self._ledger.pods() if pod.decided_at is not None]
            for i in range(0, len(decided), PACE):
                for pod in decided[i : i + PACE]:
                    self.announce(pod)
                await asyncio.sleep(PACE_TIME)

    def announce(self, pod: Pod) -> None:
        """Post the Scheduled event of a pod that one of our decisions bound recently. An existing event stays."""
        if pod.decided_at is None or pod.decided_at < self._wall() - RECENT:
            return
        if pod.scheduler_name == self._client.scheduler_name:
            self._events.scheduled(pod.namespace, pod.name, pod.uid, pod.node_name, pod.decided_at)
