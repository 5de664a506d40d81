"""Pods that wait for us: their queue, which events can make them schedulable, and what their owners were told.

Owns every way into and out of waiting, so that queue, hints and conditions agree. Never decides.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from peaks_scheduler.objects.complexity import large
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import Diagnosis
from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.queueing_hints import Hints

from .context import Context
from .failures import Failures

FLUSHED = "KindRead"  # the queue's name for the event that moves all pods: a kind has become readable


class PendingPods:
    """See the module."""

    def __init__(self, context: Context, failures: Failures) -> None:
        self._ledger, self._queue, self._clock = context.ledger, context.queue, context.clock
        self._failures = failures
        self.hints = Hints()
        self.wakeup = asyncio.Event()
        """Set when a pod may be due for a decision."""
        self.unschedulable: dict[str, frozenset[str]] = {}
        """uid -> filters that refused nodes to the pod."""

    def by_filter(self) -> Counter[str]:
        """Filter -> number of unschedulable pods to which it refused a node."""
        return Counter(name for names in self.unschedulable.values() for name in names)

    # -- into the queue

    def add(self, pod: Pod, changed: bool) -> None:
        """Queue a pod; ``changed``: its spec is not the one that was decided about."""
        now = self._clock()
        behind = pod.uid not in self._queue and large(pod)
        self._queue.add(pod.uid, pod.key, pod.priority, pod.created, pod.gated, behind, now=now)
        if changed:
            self._queue.changed(pod.uid, now)
        self.wakeup.set()

    def put_back(self, uid: str) -> None:
        """Free the place of a pod whose attempt was lost, and try it again after a backoff."""
        if self._ledger.forget(uid):
            self.wake(ClusterEvent.POD_GONE)
        self._queue.retry(uid, self._clock())
        self.wakeup.set()

    # -- events

    def wake(self, event: ClusterEvent, among: list[str] | None = None) -> None:
        """Move the pods that the event can make schedulable. ``among``: only these; None: all that wait for it."""
        moved = self._queue.wake(event, self._clock(), among)
        if moved or among is None:
            self.wakeup.set()

    def flush(self) -> None:
        """Move all pods: more objects can be read now, so every diagnosis may be out of date."""
        self._queue.flush(FLUSHED, self._clock())
        self.wakeup.set()

    # -- attempts

    def begin(self, uid: str) -> None:
        """An attempt begins: forget how the last one ended."""
        self.unschedulable.pop(uid, None)
        self.hints.leaves(uid)

    def refused(self, pod: Pod, diagnosis: Diagnosis) -> bool:
        """No node can take the pod: it waits for an event. True: the owner is told."""
        self._queue.failed(pod.uid, self._clock(), diagnosis.events)
        self.hints.waits(pod, diagnosis.events)
        self.unschedulable[pod.uid] = diagnosis.filters
        return self._failures.failed(pod, diagnosis)

    def settled(self, uid: str) -> None:
        """The pod is bound, gone, or not ours: it waits no more."""
        self._queue.remove(uid)
        self._failures.forget(uid)
        self.begin(uid)
