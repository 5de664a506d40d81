"""Which pod is decided next? The pods that wait for a decision, in order of priority and age.

                       gate removed
        gated ──────────────────────────▶ active ◀──────────────── backoff
                                           │  ▲   backoff is over   ▲   ▲
                                       pop │  │ wake, flush, and    │   │ retry; or failed, and what
                                           ▼  │ the backoff is over │   │ helps it came meanwhile
      (gone) ◀── done, remove ──────── in flight ───────────────────┼───┘
                                           │ failed                 │ wake, flush
                                           └────▶ unschedulable ────┘

Owns the state of every waiting pod, its attempts and backoff. The rules are kube-scheduler's (1.36, `backend/queue`):
1. The pod of the highest priority first; of the same priority the oldest; of the same age the one that came first.
2. A pod that fits on no node waits for a cluster event that can make it fit (``events``), for a change of its own, or
   for the flush: no pod waits longer than ``flush_after`` for another attempt.
3. An event that came while the pod was in flight counts as well: else the pod would miss the event that makes it
   schedulable.
4. Backoff doubles with every failure. Errors (a bind conflict) have a count of their own, reset by the next failure.

Two rules are ours. They keep pods that are expensive to decide from delaying all others:
5. Pods that are large, or that fitted on no node before, are in the second lane. While the second lane would take more
   than ``CROWDED`` to decide, both lanes get half of the time each, whatever the priorities: the first lane begins, and
   the next pod of the second lane comes when the first has had as much time as that pod takes. Else rule 1 holds.
6. A pod whose decision failed and took long backs off for at least ``COST_BACKOFF`` times as long.

Assumes that the caller knows which pods are ours and waiting: it must not ``add`` a pod that the ledger holds as
assumed or bound. Never reads a clock: ``now`` is monotonic seconds and never falls. Moving a pod is O(log n). A pod
that leaves the middle of a heap leaves its item behind; such items are skipped, and removed when they are the majority.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .events import ClusterEvent
from .lanes import ActivePods, Entry, Heap

COST_BACKOFF = 20.0  # no pod takes more than a twentieth of the time

POD_ADDED = "UnschedulablePodAdd"
POD_CHANGED = "UnschedulablePodUpdate"
BACKOFF_COMPLETE = "BackoffComplete"
ATTEMPT_FAILED = "ScheduleAttemptFailure"
TIMEOUT = "UnschedulableTimeout"


class QueuePosition(NamedTuple):
    """In which queue a pod is; times in monotonic seconds."""

    queue: str
    """The queue's name, as in ``counts``, or ``in flight``."""
    since: float
    """When the pod came there."""
    unanswered: float
    """Since when no attempt has told whether the pod fits on a node."""


class SchedulingQueue:
    """The pods that wait, and when each is tried again.

    Args:
        initial_backoff: [s] after the first failure.
        max_backoff: [s] the longest backoff; 0 switches backoff off.
        flush_after: [s] after which a pod is tried again without an event.
    """

    def __init__(self, initial_backoff: float = 1.0, max_backoff: float = 10.0, flush_after: float = 300.0) -> None:
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._flush_after = flush_after
        self._entries: dict[str, Entry] = {}
        self._active = ActivePods()
        self._backoff: Heap[float] = Heap()  # by the end of the backoff
        self._unschedulable: Heap[float] = Heap()  # by the time of the flush
        self._gated: set[str] = set()
        self._in_flight: set[str] = set()
        # pods by the event that they wait for, in the order they failed: an event costs as much as it moves
        self._waiting: dict[ClusterEvent, dict[str, None]] = {event: {} for event in ClusterEvent}
        # events are numbered, so a pod in flight remembers one number, and an event no pods
        self._event = 0
        self._latest: dict[ClusterEvent, int] = dict.fromkeys(ClusterEvent, 0)
        self._arrivals = 0
        self._incoming: Counter[tuple[str, str]] = Counter()

    def __contains__(self, uid: object) -> bool:
        return uid in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """Uids in order of arrival, whatever their state."""
        return iter(tuple(self._entries))

    def incoming(self) -> dict[tuple[str, str], int]:
        """Times that a pod entered a queue, since the start: (queue, event) -> count. A copy."""
        return dict(self._incoming)

    @property
    def in_flight(self) -> int:
        """Number of pods that were popped and are neither done nor failed yet."""
        return len(self._in_flight)

    def counts(self) -> dict[str, int]:
        """Number of pods by queue, under kube-scheduler's names; pods in flight are in none."""
        return {
            "active": len(self._active),
            "backoff": len(self._backoff),
            "unschedulable": len(self._unschedulable),
            "gated": len(self._gated),
        }

    def name(self, uid: str) -> str | None:
        """``namespace/name``; None for an unknown pod."""
        entry = self._entries.get(uid)
        return entry.name if entry else None

    def attempts(self, uid: str) -> int:
        """How often the pod was popped; 0 for an unknown pod."""
        entry = self._entries.get(uid)
        return entry.attempts if entry else 0

    def position(self, uid: str) -> QueuePosition | None:
        """In which queue the pod is, and since when; None for an unknown pod."""
        entry = self._entries.get(uid)
        queue = entry and self._queue_of(uid)
        return QueuePosition(queue, entry.since, entry.unanswered) if entry and queue else None

    def _queue_of(self, uid: str) -> str:
        if uid in self._in_flight:
            return "in flight"
        if uid in self._active:
            return "active"
        if uid in self._gated:
            return "gated"
        return "backoff" if uid in self._backoff else "unschedulable" if uid in self._unschedulable else ""

    def first_attempt(self, uid: str) -> float | None:
        """When the pod was first popped, [s] monotonic; None if never, or for an unknown pod."""
        entry = self._entries.get(uid)
        return entry.first_attempt if entry else None

    def add(
        self,
        uid: str,
        name: str,
        priority: int,
        created: float,
        gated: bool = False,
        large: bool = False,
        *,
        now: float,
    ) -> None:
        """Add a pod that waits for us. Of a known pod, only priority and gates are updated.

        Args:
            created: creation time of the pod, [s] since the epoch.
            gated: the pod has scheduling gates; it is not tried until they are gone.
            large: the decision may take long.
        """
        entry = self._entries.get(uid)
        if entry is None:
            self._arrivals += 1
            self._entries[uid] = entry = Entry(name, priority, created, self._arrivals, gated, large, unanswered=now)
            self._place(uid, entry, POD_ADDED, now)
            return
        reordered = (entry.priority, entry.created) != (priority, created)
        entry.priority, entry.created = priority, created
        if gated != entry.gated:
            entry.gated, entry.unanswered = gated, now
            if uid not in self._in_flight:
                self._leave(uid, entry)
                self._place(uid, entry, POD_CHANGED, now)
        elif reordered and uid in self._active:
            self._active.push(uid, entry)

    def changed(self, uid: str, now: float) -> None:
        """The pod's own labels, tolerations or requests changed: an unschedulable pod is tried again."""
        entry = self._entries.get(uid)
        if entry is None:
            return
        if uid in self._in_flight:
            entry.changed = True
        elif uid in self._unschedulable:
            self._wake(uid, POD_CHANGED, now)

    def pop(self, now: float) -> str | None:
        """The pod to decide next; None: no pod is due. It is in flight until ``done``, ``failed`` or ``retry``."""
        self._promote(now)
        uid = self._active.pop()
        if uid is None:
            return None
        entry = self._entries[uid]
        entry.attempts += 1
        entry.popped_at, entry.since = self._event, now
        entry.changed = False
        if entry.first_attempt is None:
            entry.first_attempt = now
        self._in_flight.add(uid)
        return uid

    def active(self, now: float) -> int:
        """Number of pods that ``pop`` would return now, one after the other."""
        self._promote(now)
        return len(self._active)

    def give_back(self, uid: str, now: float) -> None:
        """The pod was popped, and nothing was decided: it waits as if it had not been popped."""
        entry = self._land(uid)
        if entry is None:
            return
        entry.attempts -= 1
        if entry.gated:
            self._place(uid, entry, POD_CHANGED, now)
        else:
            self._active.push(uid, entry)

    def spent(self, uid: str, seconds: float) -> None:
        """The decision about a popped pod took so much work. To be called before ``done``, ``failed`` or ``retry``."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.cost = seconds
            self._active.spent(entry.second, seconds)

    def failed(self, uid: str, now: float, events: frozenset[ClusterEvent]) -> None:
        """The pod fits on no node until one of ``events`` happens; empty: until the pod itself changes.

        Does nothing for a pod that is not in flight.
        """
        entry = self._land(uid)
        if entry is None:
            return
        entry.failures += 1
        entry.errors, entry.unanswered = 0, now
        entry.backoff_until = now + self._backoff_after(entry.failures, entry.cost)
        meanwhile = entry.changed or any(self._latest[event] > entry.popped_at for event in events)
        if entry.gated or meanwhile:
            self._place(uid, entry, ATTEMPT_FAILED, now)
        else:
            self._lay_aside(uid, entry, events, now + self._flush_after)

    def retry(self, uid: str, now: float) -> None:
        """The attempt ended in an error that is not the pod's (a bind conflict): straight to backoff."""
        entry = self._land(uid)
        if entry is None:
            return
        entry.errors += 1
        entry.backoff_until = now + self._backoff_after(entry.errors, entry.cost)
        self._place(uid, entry, ATTEMPT_FAILED, now)

    def done(self, uid: str) -> None:
        """The pod is bound."""
        self.remove(uid)

    def remove(self, uid: str) -> None:
        """The pod is gone, finished or no longer ours; it may be in any state."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._leave(uid, entry)

    def wake(self, event: ClusterEvent, now: float, among: Iterable[str] | None = None) -> int:
        """An event happened: move the unschedulable pods that wait for it, and return how many.

        Args:
            among: uids of the pods that it can help, whether they wait for it or not; None: all that wait for it.
        """
        self._event += 1
        self._latest[event] = self._event
        waiting = self._waiting[event]
        uids = list(waiting) if among is None else [uid for uid in dict.fromkeys(among) if uid in waiting]
        for uid in uids:
            self._wake(uid, event.value, now)
        return len(uids)

    def flush(self, event: str, now: float) -> None:
        """Try every pod again, whatever it waits for; ``event`` is the reason."""
        for uid in [uid for uid in self._entries if uid in self._unschedulable]:
            self._wake(uid, event, now)
        for uid in self._in_flight:
            self._entries[uid].changed = True

    def next_due(self, now: float) -> float | None:
        """When to call ``pop`` again, [s] monotonic: the next end of a backoff, or flush; ``now`` if a pod is active.
        None: no pod becomes due by itself."""
        if self._active:
            return now
        heads = (self._backoff.peek(), self._unschedulable.peek())
        return min((head[0] for head in heads if head is not None), default=None)

    def _promote(self, now: float) -> None:
        """Move the pods that are due: out of ended backoffs, and pods that are to be flushed."""
        for uid in self._due(self._unschedulable, now):
            self._wake(uid, TIMEOUT, now)
        for uid in self._due(self._backoff, now):
            self._backoff.discard(uid)
            self._place(uid, self._entries[uid], BACKOFF_COMPLETE, now)

    @staticmethod
    def _due(heap: Heap[float], now: float) -> Iterable[str]:
        """Uids due by ``now``, soonest first. The caller must move each one out of ``heap`` before it takes the
        next."""
        while (head := heap.peek()) is not None and head[0] <= now:
            yield head[1]

    def _wake(self, uid: str, event: str, now: float) -> None:
        entry = self._entries[uid]
        entry.unanswered = now
        self._leave(uid, entry)
        self._place(uid, entry, event, now)

    def _place(self, uid: str, entry: Entry, event: str, now: float) -> None:
        """Put a pod that is in no queue into the right one: gated, backoff or active."""
        entry.since = now
        if entry.gated:
            queue = "gated"
            self._gated.add(uid)
        elif entry.backoff_until > now:
            queue = "backoff"
            self._backoff.push(uid, entry.backoff_until)
        else:
            queue = "active"
            self._active.push(uid, entry)
        self._incoming[queue, event] += 1

    def _lay_aside(self, uid: str, entry: Entry, events: frozenset[ClusterEvent], flush_at: float) -> None:
        entry.events = events
        for event in events:
            self._waiting[event][uid] = None
        self._unschedulable.push(uid, flush_at)
        self._incoming["unschedulable", ATTEMPT_FAILED] += 1

    def _leave(self, uid: str, entry: Entry) -> None:
        """Take a pod out of its queue; its entry stays."""
        if self._unschedulable.discard(uid):
            for event in entry.events:
                self._waiting[event].pop(uid, None)
        elif not self._active.discard(uid) and not self._backoff.discard(uid):
            self._gated.discard(uid)
            self._in_flight.discard(uid)

    def _land(self, uid: str) -> Entry | None:
        """The pod is in flight no longer. None if it was not: it was removed meanwhile, and perhaps added again."""
        if uid not in self._in_flight:
            return None
        self._in_flight.discard(uid)
        return self._entries[uid]

    def _backoff_after(self, count: int, cost: float) -> float:
        """Backoff [s] after the ``count``-th failure in a row, whose decision took ``cost`` [s]."""
        # the exponent is capped: 2**1024 would overflow
        usual = float(min(self._initial_backoff * 2.0 ** min(count - 1, 64), self._max_backoff))
        return max(usual, min(COST_BACKOFF * cost, self._flush_after)) if usual else 0.0
