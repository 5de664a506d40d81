"""What nodes offer, and what pods have left of it.

Owns the amounts by resource and node. A resource that many nodes offer has a row: an amount for each node, from which a
filter answers in one step. One that few offer is kept for those nodes alone, since whoever writes a node's status (a
device plugin) may list thousands, and each row weighs as much as all nodes. What no node offers is kept nowhere,
however many pods ask for it. So all of it weighs no more than a few hundred bytes for each resource of each node.

Amounts are integers and stay exact under any sequence of holding and giving back. CPU, memory, ephemeral storage and
pods are counted on every node; any other resource only where the node offers it, for elsewhere nothing of it can be
left. Assumes that whoever writes a node's offer tells again what its pods hold. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from peaks_scheduler.arrays import Ints, Mask
from peaks_scheduler.objects.requests import Requests

PODS = "pods"
EVERYWHERE = ("cpu", "memory", "ephemeral-storage", PODS)
"""Resources that always have a row, in this order."""
COMMON = 16
"""A resource gets a row when one of so many nodes offers it, and loses it when one of twice as many does no more."""
MOST_HELD = 2**50
"""A pod holds no more than this of a resource [mCPU, bytes, units]: two of 2^63 would wrap around and leave room."""
_MANY = 16  # requests of one pod above which equal answers are kept once
_ROOM = 8  # rows to begin with

Short = tuple[str, Mask]
"""A resource, and the (N,) nodes that have too little of it."""


class NodeResources:
    """See the module. Index i is a node; ``capacity`` is for how many there is room."""

    def __init__(self, capacity: int) -> None:
        self.rows: dict[str, int] = {name: row for row, name in enumerate(EVERYWHERE)}
        self._capacity = capacity
        self._allocatable: Ints = np.zeros((_ROOM, capacity), np.int64)
        self._free: Ints = np.zeros((_ROOM, capacity), np.int64)
        self._offered: list[Requests] = []  # by node
        self._counts: dict[str, int] = {}  # nodes that offer it, of those with a row beyond the usual four
        self._names = list(EVERYWHERE)  # by row
        self._rare: dict[str, dict[int, tuple[int, int]]] = {}  # resource -> node -> (allocatable, free)

    def __len__(self) -> int:
        return len(self._offered)

    def copy(self) -> NodeResources:
        """An independent copy."""
        other = NodeResources(0)
        other._capacity, other.rows = self._capacity, dict(self.rows)
        other._allocatable, other._free = self._allocatable.copy(), self._free.copy()
        other._offered, other._counts, other._names = list(self._offered), dict(self._counts), list(self._names)
        other._rare = {name: dict(amounts) for name, amounts in self._rare.items()}
        return other

    # -- reading

    @property
    def allocatable(self) -> Ints:
        """(R, N) [mCPU, bytes, pods, units] of the resources that have a row."""
        return self._allocatable[: len(self.rows), : len(self)]

    @property
    def free(self) -> Ints:
        """(R, N) the same less what pods hold; negative where overbooked."""
        return self._free[: len(self.rows), : len(self)]

    def left(self, i: int, resource: str) -> int:
        """What node i has left; negative where pods hold more than there is, 0 of what it does not offer."""
        row = self.rows.get(resource)
        return self._rare.get(resource, {}).get(i, (0, 0))[1] if row is None else int(self._free[row, i])

    def overbooked(self, i: int, requests: Requests) -> bool:
        """Do the pods on node i hold more than there is of the pods or of one of these resources?"""
        return self.left(i, PODS) < 0 or any(self._lacks(i, name) for name, _ in requests)

    def _lacks(self, i: int, resource: str) -> bool:
        row = self.rows.get(resource)
        if row is None:
            return self._rare.get(resource, {}).get(i, (0, -1))[1] < 0
        return bool(self._free[row, i] < 0) or not self._counted(row, i)

    def held(self, i: int, resource: str) -> int:
        """What pods hold of a resource that is counted everywhere."""
        row = self.rows[resource]
        return int(self._allocatable[row, i] - self._free[row, i])

    def short(self, requests: Requests) -> Iterator[Short]:
        """Each resource that is asked for, with the nodes that have less than that left."""
        return self._judged(requests, 1)

    def too_small(self, requests: Requests) -> Iterator[Short]:
        """The same if no pod were there."""
        return self._judged(requests, 0)

    def _judged(self, requests: Requests, which: int) -> Iterator[Short]:
        """``which``: 0 allocatable, 1 free."""
        table, n = (self._allocatable, self._free)[which], len(self)
        nowhere = np.ones(n, np.bool_)
        alike: dict[bytes, Mask] = {}
        for name, amount in requests:
            row = self.rows.get(name)
            if row is not None:
                short: Mask = table[row, :n] < amount
            elif name not in self._rare:
                yield name, nowhere
                continue
            else:
                short = np.ones(n, np.bool_)
                short[[i for i, amounts in self._rare[name].items() if amounts[which] >= amount]] = False
            # ten thousand masks of five thousand nodes are 50 MB, and mostly the same ones
            yield name, short if len(requests) <= _MANY else alike.setdefault(short.tobytes(), short)

    def _counted(self, row: int, i: int) -> bool:
        return row < len(EVERYWHERE) or bool(self._allocatable[row, i])

    # -- nodes

    def append(self) -> None:
        """One more node, which offers nothing yet."""
        i = len(self)
        self._offered.append(())
        self._allocatable[:, i] = 0
        self._free[:, i] = 0

    def remove(self, i: int) -> None:
        """Take node i out; the last node moves into its place."""
        self.write(i, ())
        last = len(self) - 1
        if i != last:
            self._allocatable[:, i] = self._allocatable[:, last]
            self._free[:, i] = self._free[:, last]
            self._offered[i] = self._offered[last]
            for name, _ in self._offered[i]:
                if name in self._rare:
                    self._rare[name][i] = self._rare[name].pop(last)
        self._offered.pop()

    def grow(self, more: int) -> None:
        """Room for so many more nodes."""
        self._capacity += more
        pad = ((0, 0), (0, more))
        self._allocatable, self._free = np.pad(self._allocatable, pad), np.pad(self._free, pad)
        for name in list(self._counts):
            self._keep_row_while_common(name)

    def write(self, i: int, offered: Requests) -> None:
        """Node i offers this from now on and nothing else, and nothing of it is held."""
        before, self._offered[i] = self._offered[i], offered
        now = dict(offered)
        gone = [name for name, _ in before if name not in now]
        self._allocatable[:, i] = 0
        self._free[:, i] = 0
        for name in gone:
            self._withdraw(name, i)
        known = {name for name, _ in before}
        for name, amount in offered:
            self._offer(name, i, amount, new=name not in known)

    def _offer(self, name: str, i: int, amount: int, *, new: bool) -> None:
        row = self.rows.get(name)
        if row is not None:
            self._allocatable[row, i] = self._free[row, i] = amount
            if new and name in self._counts:
                self._counts[name] += 1
            return
        there = self._rare.setdefault(name, {})
        there[i] = (amount, amount)
        if len(there) * COMMON >= self._capacity:
            self._give_row(name)

    def _withdraw(self, name: str, i: int) -> None:
        if name in self._counts:
            self._counts[name] -= 1
            self._keep_row_while_common(name)
        elif name in self._rare:
            del self._rare[name][i]
            if not self._rare[name]:
                del self._rare[name]

    # -- pods

    def hold(self, i: int, requests: Requests, sign: int) -> None:
        """A pod that asks for this comes to node i (1) or leaves it (-1)."""
        for name, amount in requests:
            row = self.rows.get(name)
            amount = sign * min(amount, MOST_HELD)
            if row is not None:
                if self._counted(row, i):
                    self._free[row, i] -= amount
            elif name in self._rare and i in self._rare[name]:
                allocatable, free = self._rare[name][i]
                self._rare[name][i] = allocatable, free - amount
        self._free[self.rows[PODS], i] -= sign

    # -- rows

    def _give_row(self, name: str) -> None:
        row = self.rows[name] = len(self.rows)
        self._names.append(name)
        if row == len(self._allocatable):
            self._make_room(2 * row)
        self._allocatable[row] = 0
        self._free[row] = 0
        there = self._rare.pop(name)
        for i, (allocatable, free) in there.items():
            self._allocatable[row, i], self._free[row, i] = allocatable, free
        self._counts[name] = len(there)

    def _keep_row_while_common(self, name: str) -> None:
        if self._counts[name] and 2 * COMMON * self._counts[name] >= self._capacity:
            return
        row = self.rows[name]
        there = np.flatnonzero(self._allocatable[row, : len(self)]).tolist()
        if there:
            amounts = zip(self._allocatable[row, there].tolist(), self._free[row, there].tolist(), strict=True)
            self._rare[name] = dict(zip(there, amounts, strict=True))
        del self._counts[name]
        self._take_row(name)

    def _take_row(self, name: str) -> None:
        """The last row moves into its place."""
        row, other, last = self.rows.pop(name), self._names.pop(), len(self.rows)
        if row != last:
            self._allocatable[row], self._free[row] = self._allocatable[last], self._free[last]
            self.rows[other], self._names[row] = row, other
        if _ROOM <= 4 * last < len(self._allocatable):
            self._make_room(len(self._allocatable) // 2)

    def _make_room(self, rows: int) -> None:
        kept = min(rows, len(self._allocatable))
        for name in ("_allocatable", "_free"):
            table: Ints = np.zeros((rows, self._capacity), np.int64)
            table[:kept] = getattr(self, name)[:kept]
            setattr(self, name, table)
