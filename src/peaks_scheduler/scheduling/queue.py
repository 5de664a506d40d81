"""Which pod next? The pods that wait for a decision, in order of priority and age.

                       gate removed
        gated ──────────────────────────▶ active ◀──────────────── backoff
                                           │  ▲   backoff is over   ▲   ▲
                                       pop │  │ wake, flush, and    │   │ retry; or failed, and what
                                           ▼  │ the backoff is over │   │ cures it came meanwhile
      (gone) ◀── done, remove ──────── in flight ───────────────────┼───┘
                                           │ failed                 │ wake, flush
                                           └────▶ unschedulable ────┘

Owns the state of every waiting pod, its attempts and backoff. The rules are kube-scheduler's (1.36, `backend/queue`):
1. Higher priority first, then the older pod, then the one that came first.
2. A pod that no node can take waits for an event that may cure that (``woken_by``), for its own change, or for the
   flush: nothing waits longer than ``flush_after`` unlooked-at.
3. An event that came while the pod was in flight counts as well, or the pod would sleep through its own cure.
4. Backoff doubles with every failure. Errors (a bind conflict) have a count of their own, reset by the next failure.

Two rules are ours, so that nobody's pods are at the expense of all others':
5. Pods that are large, or that no node could take before, are the second lane. While what waits in it would take more
   than ``CROWDED`` to decide, the lanes share the time half and half, whatever the priorities: the first goes first,
   and one of the second comes when as much time as it takes has gone to the first. Else rule 1 is kept.
6. A pod whose decision failed and took long backs off for ``COST_BACKOFF`` times as long, at least.

Assumes that the caller knows which pods are ours and waiting: it must not ``add`` a pod that the ledger holds as
assumed or bound. Never reads a clock: ``now`` is monotonic seconds and never falls. Everything is O(log n) a pod
moved; a pod taken out of the middle of a heap leaves its item behind, to be skipped, or swept when such items prevail.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from .events import Wake

CROWDED = 0.1  # [s] of deciding; less is no delay that anybody would notice
LARGE_COST = 1.0  # [s] that the first decision about a large pod is taken to need
COST_BACKOFF = 20.0  # so that no pod takes more than a twentieth of the time

Key = TypeVar("Key", tuple[int, float, int], float)

POD_ADDED = "UnschedulablePodAdd"
POD_CHANGED = "UnschedulablePodUpdate"
BACKOFF_COMPLETE = "BackoffComplete"
ATTEMPT_FAILED = "ScheduleAttemptFailure"
TIMEOUT = "UnschedulableTimeout"


class _Heap(Generic[Key]):
    """Uids by key, smallest first, with removal from anywhere: an item is stale when its ticket is not its uid's."""

    __slots__ = ("_items", "_tickets", "_turn")

    def __init__(self) -> None:
        self._items: list[tuple[Key, int, str]] = []
        self._tickets: dict[str, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, uid: object) -> bool:
        return uid in self._tickets

    def push(self, uid: str, key: Key) -> None:
        """Put ``uid`` in, or give it a new key if it is in already."""
        self._turn += 1
        self._tickets[uid] = self._turn
        heapq.heappush(self._items, (key, self._turn, uid))
        if len(self._items) > 2 * len(self._tickets) + 64:
            self._sweep()

    def discard(self, uid: str) -> bool:
        return self._tickets.pop(uid, None) is not None

    def peek(self) -> tuple[Key, str] | None:
        while self._items:
            key, ticket, uid = self._items[0]
            if self._tickets.get(uid) == ticket:
                return key, uid
            heapq.heappop(self._items)
        return None

    def pop(self) -> str | None:
        head = self.peek()
        if head is None:
            return None
        heapq.heappop(self._items)
        del self._tickets[head[1]]
        return head[1]

    def _sweep(self) -> None:
        self._items = [item for item in self._items if self._tickets.get(item[2]) == item[1]]
        heapq.heapify(self._items)


@dataclass(slots=True)
class _Entry:
    """One waiting pod, whatever its state."""

    name: str  # namespace/name
    priority: int
    created: float  # [s] since the epoch
    seq: int  # order of arrival here
    gated: bool
    large: bool = False
    attempts: int = 0  # pops
    failures: int = 0  # attempts that ended in "no node can take it"
    errors: int = 0  # errors since the last such attempt
    backoff_until: float = 0.0  # [s] monotonic
    first_attempt: float | None = None  # [s] monotonic
    popped_at: int = 0  # how many events had come when the pod was last popped
    changed: bool = False  # the pod itself changed while in flight
    since: float = 0.0  # [s] monotonic: in its present queue, or in flight
    unanswered: float = 0.0  # [s] monotonic: since then no attempt has said whether a node can take it
    woken_by: frozenset[Wake] = frozenset()  # while unschedulable
    cost: float = 0.0  # [s] that the last decision took

    @property
    def second(self) -> bool:
        """Is it of the second lane?"""
        return self.large or self.failures > 0

    def order(self) -> tuple[int, float, int]:
        return -self.priority, self.created, self.seq


class _Active:
    """The pods to be decided now, in two lanes (rule 5)."""

    def __init__(self) -> None:
        self._lanes: tuple[_Heap[tuple[int, float, int]], ...] = (_Heap(), _Heap())
        self._costs: dict[str, float] = {}  # of those in the second lane
        self._backlog = 0.0  # [s] their sum
        self._spent = [0.0, 0.0]  # [s] of deciding in each lane, since the second is crowded

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def __contains__(self, uid: object) -> bool:
        return any(uid in lane for lane in self._lanes)

    def push(self, uid: str, entry: _Entry) -> None:
        self.discard(uid)
        self._lanes[entry.second].push(uid, entry.order())
        if entry.second:
            self._costs[uid] = entry.cost or (LARGE_COST if entry.large else 0.0)
            self._backlog += self._costs[uid]

    def discard(self, uid: str) -> bool:
        self._forget(uid)
        return any(lane.discard(uid) for lane in self._lanes)

    def pop(self) -> str | None:
        uid = self._lanes[self._next()].pop()
        if uid is not None:
            self._forget(uid)
        return uid

    def spent(self, second: bool, seconds: float) -> None:
        self._spent[second] += seconds

    def _next(self) -> int:
        """The lane whose turn it is."""
        heads = [lane.peek() for lane in self._lanes]
        if heads[0] is None or heads[1] is None or self._backlog <= CROWDED:
            self._spent = [0.0, 0.0]
            return int(heads[0] is None or (heads[1] is not None and heads[1] < heads[0]))
        return int(self._spent[0] - self._spent[1] >= self._costs[heads[1][1]])

    def _forget(self, uid: str) -> None:
        self._backlog -= self._costs.pop(uid, 0.0)
        if not self._costs:
            self._backlog = 0.0


class Standing(NamedTuple):
    """Where a pod is in the queue; times in seconds, monotonic."""

    place: str
    """A queue's name, as in ``counts``, or ``in flight``."""
    since: float
    """When it came there."""
    unanswered: float
    """Since when no attempt has said whether a node can take it."""


class SchedulingQueue:
    """The pods that wait, and when each is worth another look.

    Args:
        initial_backoff: [s] after the first failure.
        max_backoff: [s] no backoff is longer; 0 switches backoff off.
        flush_after: [s] a pod that no event woke is looked at again.
    """

    def __init__(self, initial_backoff: float = 1.0, max_backoff: float = 10.0, flush_after: float = 300.0) -> None:
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._flush_after = flush_after
        self._entries: dict[str, _Entry] = {}
        self._active = _Active()
        self._backoff: _Heap[float] = _Heap()  # by the end of the backoff
        self._unschedulable: _Heap[float] = _Heap()  # by the time of the flush
        self._gated: set[str] = set()
        self._in_flight: set[str] = set()
        # pods by the event that would wake them, in the order they failed: an event costs what it moves
        self._waiting: dict[Wake, dict[str, None]] = {event: {} for event in Wake}
        # events are numbered: a pod in flight remembers one number, no event has to remember the pods in flight
        self._events = 0
        self._latest: dict[Wake, int] = dict.fromkeys(Wake, 0)
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
        """How often a pod entered a queue: (queue, event) -> count since the start. A copy."""
        return dict(self._incoming)

    @property
    def in_flight(self) -> int:
        """Pods popped and neither done nor failed yet."""
        return len(self._in_flight)

    def counts(self) -> dict[str, int]:
        """Waiting pods by queue, under kube-scheduler's names; pods in flight wait in none."""
        return {
            "active": len(self._active),
            "backoff": len(self._backoff),
            "unschedulable": len(self._unschedulable),
            "gated": len(self._gated),
        }

    def name(self, uid: str) -> str | None:
        """``namespace/name``; None for a pod that is not here."""
        entry = self._entries.get(uid)
        return entry.name if entry else None

    def attempts(self, uid: str) -> int:
        """How often the pod was popped; 0 for a pod that is not here."""
        entry = self._entries.get(uid)
        return entry.attempts if entry else 0

    def standing(self, uid: str) -> Standing | None:
        """Where the pod is; None: nowhere."""
        entry = self._entries.get(uid)
        place = entry and self._place_of(uid)
        return Standing(place, entry.since, entry.unanswered) if entry and place else None

    def _place_of(self, uid: str) -> str:
        if uid in self._in_flight:
            return "in flight"
        if uid in self._active:
            return "active"
        if uid in self._gated:
            return "gated"
        return "backoff" if uid in self._backoff else "unschedulable" if uid in self._unschedulable else ""

    def first_attempt(self, uid: str) -> float | None:
        """When the pod was first popped, [s] monotonic; None if it never was or is not here."""
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
        """A pod that waits for us was seen. Seen again, only its priority and its gates count.

        Args:
            created: creation time of the pod, [s] since the epoch.
            gated: it has scheduling gates; nothing is tried until they are gone.
            large: deciding about it may take long.
        """
        entry = self._entries.get(uid)
        if entry is None:
            self._arrivals += 1
            self._entries[uid] = entry = _Entry(name, priority, created, self._arrivals, gated, large, unanswered=now)
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
        """The pod's own labels, tolerations or requests changed: an unschedulable pod is worth another look."""
        entry = self._entries.get(uid)
        if entry is None:
            return
        if uid in self._in_flight:
            entry.changed = True
        elif uid in self._unschedulable:
            self._wake(uid, POD_CHANGED, now)

    def pop(self, now: float) -> str | None:
        """The pod to decide next, now in flight until ``done``, ``failed`` or ``retry``; None: nothing is due."""
        self._promote(now)
        uid = self._active.pop()
        if uid is None:
            return None
        entry = self._entries[uid]
        entry.attempts += 1
        entry.popped_at, entry.since = self._events, now
        entry.changed = False
        if entry.first_attempt is None:
            entry.first_attempt = now
        self._in_flight.add(uid)
        return uid

    def spent(self, uid: str, seconds: float) -> None:
        """A decision about a pod that was popped took so long. Before it is ``done``, ``failed`` or to ``retry``."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.cost = seconds
            self._active.spent(entry.second, seconds)

    def failed(self, uid: str, now: float, woken_by: frozenset[Wake]) -> None:
        """No node can take the pod until one of ``woken_by`` happens. Unknown and no longer in flight: nothing to do.

        An empty ``woken_by`` means that only a change of the pod itself helps.
        """
        entry = self._land(uid)
        if entry is None:
            return
        entry.failures += 1
        entry.errors, entry.unanswered = 0, now
        entry.backoff_until = now + self._backoff_after(entry.failures, entry.cost)
        cured = entry.changed or any(self._latest[event] > entry.popped_at for event in woken_by)
        if entry.gated or cured:
            self._place(uid, entry, ATTEMPT_FAILED, now)
        else:
            self._lay_aside(uid, entry, woken_by, now + self._flush_after)

    def retry(self, uid: str, now: float) -> None:
        """The attempt broke off for no fault of the pod (a bind conflict, an error): straight to backoff."""
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
        """The pod is gone, finished or no longer ours, in whatever state it was."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._leave(uid, entry)

    def wake(self, event: Wake, now: float, among: Iterable[str] | None = None) -> int:
        """Something happened that may cure failures; how many unschedulable pods it moved.

        Args:
            among: uids of the only pods that it can cure, whether they wait for it or not; None: all that wait for it.
        """
        self._events += 1
        self._latest[event] = self._events
        waiting = self._waiting[event]
        uids = list(waiting) if among is None else [uid for uid in dict.fromkeys(among) if uid in waiting]
        for uid in uids:
            self._wake(uid, event.value, now)
        return len(uids)

    def flush(self, event: str, now: float) -> None:
        """Every pod is worth another look, whatever it waits for; ``event`` says why."""
        for uid in [uid for uid in self._entries if uid in self._unschedulable]:
            self._wake(uid, event, now)
        for uid in self._in_flight:
            self._entries[uid].changed = True

    def next_due(self, now: float) -> float | None:
        """When to ask ``pop`` again, [s] monotonic: the next end of a backoff or flush, ``now`` if a pod is active."""
        if self._active:
            return now
        heads = (self._backoff.peek(), self._unschedulable.peek())
        return min((head[0] for head in heads if head is not None), default=None)

    def _promote(self, now: float) -> None:
        """Move what is due: ended backoffs to active, pods that waited too long to active or backoff."""
        for uid in self._due(self._unschedulable, now):
            self._wake(uid, TIMEOUT, now)
        for uid in self._due(self._backoff, now):
            self._backoff.discard(uid)
            self._place(uid, self._entries[uid], BACKOFF_COMPLETE, now)

    @staticmethod
    def _due(heap: _Heap[float], now: float) -> Iterable[str]:
        """Uids due by ``now``, soonest first; each must have left ``heap`` before the next is asked for."""
        while (head := heap.peek()) is not None and head[0] <= now:
            yield head[1]

    def _wake(self, uid: str, event: str, now: float) -> None:
        entry = self._entries[uid]
        entry.unanswered = now
        self._leave(uid, entry)
        self._place(uid, entry, event, now)

    def _place(self, uid: str, entry: _Entry, event: str, now: float) -> None:
        """Put a pod that is nowhere where it belongs: gated, backoff or active."""
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

    def _lay_aside(self, uid: str, entry: _Entry, woken_by: frozenset[Wake], flush_at: float) -> None:
        entry.woken_by = woken_by
        for event in woken_by:
            self._waiting[event][uid] = None
        self._unschedulable.push(uid, flush_at)
        self._incoming["unschedulable", ATTEMPT_FAILED] += 1

    def _leave(self, uid: str, entry: _Entry) -> None:
        """Take a pod out of wherever it is; its entry stays."""
        if self._unschedulable.discard(uid):
            for event in entry.woken_by:
                self._waiting[event].pop(uid, None)
        elif not self._active.discard(uid) and not self._backoff.discard(uid):
            self._gated.discard(uid)
            self._in_flight.discard(uid)

    def _land(self, uid: str) -> _Entry | None:
        """End a pod's flight. None if it is not in flight: it was removed meanwhile, and perhaps came back."""
        if uid not in self._in_flight:
            return None
        self._in_flight.discard(uid)
        return self._entries[uid]

    def _backoff_after(self, count: int, cost: float) -> float:
        """[s] after the ``count``-th failure in a row, which took ``cost`` [s].

        The exponent is capped, or 2**1024 would overflow.
        """
        usual = float(min(self._initial_backoff * 2.0 ** min(count - 1, 64), self._max_backoff))
        return max(usual, min(COST_BACKOFF * cost, self._flush_after)) if usual else 0.0
