"""Batches: which waiting pods are decided together, and when.

Owns the bounded wait of a batch strategy. The first pod that waits opens a batch, which is decided ``wait`` seconds
later, or as soon as it is full. Until then all its pods stay in the queue, so that an end of the process or the loss of
the lease concerns none of them. Reads no clock.
"""

from __future__ import annotations

from peaks_scheduler.scheduling.queue import SchedulingQueue


class Batches:
    """See the module. ``most``: pods in a batch; ``wait`` [s]: of the first pod for others."""

    def __init__(self, queue: SchedulingQueue, most: int, wait: float) -> None:
        self._queue, self._most, self._wait = queue, most, wait
        self._opened: float | None = None  # [s] monotonic, of the batch that waits for more pods

    def take(self, now: float) -> list[str]:
        """The pods of the batch that is due, popped in the order of the queue; empty: none is due."""
        due = self.next_due(now)
        if due is None or due > now or not self._queue.active(now):
            return []
        popped = (self._queue.pop(now) for _ in range(self._most))
        uids = [uid for uid in popped if uid is not None]
        if not self._queue.active(now):
            self._opened = None  # else the pods left over have waited already: their batch is as old
        return uids

    def next_due(self, now: float) -> float | None:
        """When to call ``take`` again, [s] monotonic; None: no pod becomes due by itself."""
        waiting = self._queue.active(now)
        if not waiting:
            self._opened = None
            return self._queue.next_due(now)
        if self._opened is None:
            self._opened = now
        return now if waiting >= self._most else self._opened + self._wait
