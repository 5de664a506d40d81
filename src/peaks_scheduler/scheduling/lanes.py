"""The pods of the scheduling queue that are to be decided now, in two lanes.

Owns the fair share of the time between pods that are cheap to decide and pods that are not (rule 5 of ``queue``), and
the heap that every queue is made of. Assumes that ``queue`` keeps each pod in one place. Reads no clock.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

from .events import ClusterEvent

CROWDED = 0.1  # [s] of deciding; nobody would notice a shorter delay
LARGE_COST = 1.0  # [s] assumed for the first decision about a large pod

Key = TypeVar("Key", tuple[int, float, int], float)


class Heap(Generic[Key]):
    """Uids by key, smallest first, with removal from anywhere. An item is stale when its ticket is not its uid's."""

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
        """Put ``uid`` in, or give it a new key if it is already there."""
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
class Entry:
    """One waiting pod, whatever its state."""

    name: str  # namespace/name
    priority: int
    created: float  # [s] since the epoch
    seq: int  # order of arrival here
    gated: bool
    large: bool = False
    attempts: int = 0  # pops
    failures: int = 0  # attempts in which the pod fitted on no node
    errors: int = 0  # errors since the last such attempt
    backoff_until: float = 0.0  # [s] monotonic
    first_attempt: float | None = None  # [s] monotonic
    popped_at: int = 0  # number of the last event before the pod was last popped
    changed: bool = False  # the pod itself changed while in flight
    since: float = 0.0  # [s] monotonic: since then in this queue, or in flight
    unanswered: float = 0.0  # [s] monotonic: since then no attempt has told whether the pod fits on a node
    events: frozenset[ClusterEvent] = frozenset()  # while unschedulable
    cost: float = 0.0  # [s] duration of the last decision

    @property
    def second(self) -> bool:
        """Is the pod in the second lane?"""
        return self.large or self.failures > 0

    def order(self) -> tuple[int, float, int]:
        return -self.priority, self.created, self.seq


class ActivePods:
    """The pods to be decided now, in two lanes (rule 5)."""

    def __init__(self) -> None:
        self._lanes: tuple[Heap[tuple[int, float, int]], ...] = (Heap(), Heap())
        self._costs: dict[str, float] = {}  # [s] of the pods in the second lane
        self._backlog = 0.0  # [s] their sum
        self._spent = [0.0, 0.0]  # [s] of deciding in each lane, since the second one is crowded

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def __contains__(self, uid: object) -> bool:
        return any(uid in lane for lane in self._lanes)

    def push(self, uid: str, entry: Entry) -> None:
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
