"""Resources of the nodes: what is allocatable, and what of it is free.

Owns the amounts by resource and node. A resource that many nodes have gets a row: one amount for each node, which a
filter compares in one step. A resource that few nodes have is kept for those nodes alone: a device plugin may list
thousands, and a row is as large as the number of nodes. A resource that no node has is not kept, however many pods
request it. The memory is thus at most a few hundred bytes for each resource of each node.

Amounts are integers: holding and giving back leaves no rounding error. CPU, memory, ephemeral storage and pods are
counted on every node, any other resource only on nodes that have it. Assumes that after ``write`` the requests of the
node's pods are told again. No I/O.
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
"""A resource gets a row when one node in ``COMMON`` has it, and loses the row below one in twice as many."""
MOST_HELD = 2**50
"""A request counts up to here [mCPU, bytes, units]: the sum of two requests of 2^63 would overflow and leave room."""
_MANY = 16  # a pod with more requests gets equal masks as one object
_ROOM = 8  # rows to begin with

Short = tuple[str, Mask]
"""A resource and the (N,) nodes that have too little of it."""


class NodeResources:
    """See the module. Index i is a node; ``capacity`` is the number of nodes that the arrays have room for."""

    def __init__(self, capacity: int) -> None:
        self.rows: dict[str, int] = {name: row for row, name in enumerate(EVERYWHERE)}
        self._capacity = capacity
        self._allocatable: Ints = np.zeros((_ROOM, capacity), np.int64)
        self._free: Ints = np.zeros((_ROOM, capacity), np.int64)
        self._offered: list[Requests] = []  # by node
        self._counts: dict[str, int] = {}  # resource with a row, beyond the first four -> nodes that have it
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
        """(R, N) [mCPU, bytes, pods, units] of the resources with a row."""
        return self._allocatable[: len(self.rows), : len(self)]

    @property
    def free(self) -> Ints:
        """(R, N) the same minus the requests of the pods; negative where overbooked."""
        return self._free[: len(self.rows), : len(self)]

    def left(self, i: int, resource: str) -> int:
        """The free amount on node i: negative where overbooked, 0 of a resource that the node does not have."""
        row = self.rows.get(resource)
        return self._rare.get(resource, {}).get(i, (0, 0))[1] if row is None else int(self._free[row, i])

    def overbooked(self, i: int, requests: Requests) -> bool:
        """Is node i overbooked in the number of pods or in one of these resources?"""
        return self.left(i, PODS) < 0 or any(self._lacks(i, name) for name, _ in requests)

    def _lacks(self, i: int, resource: str) -> bool:
        row = self.rows.get(resource)
        if row is None:
            return self._rare.get(resource, {}).get(i, (0, -1))[1] < 0
        return bool(self._free[row, i] < 0) or not self._counted(row, i)

    def held(self, i: int, resource: str) -> int:
        """What the pods on node i hold of a resource that is counted everywhere."""
        row = self.rows[resource]
        return int(self._allocatable[row, i] - self._free[row, i])

    def all_held(self, resource: str) -> Ints:
        """(N,) ``held`` of every node."""
        row = self.rows[resource]
        held: Ints = self.allocatable[row] - self.free[row]
        return held

    def short(self, requests: Requests) -> Iterator[Short]:
        """Each requested resource, with the nodes that have too little of it free."""
        return self._judged(requests, 1)

    def too_small(self, requests: Requests) -> Iterator[Short]:
        """Each requested resource, with the nodes whose allocatable amount is too small."""
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
            # ten thousand masks of five thousand nodes are 50 MB, and most are equal
            yield name, short if len(requests) <= _MANY else alike.setdefault(short.tobytes(), short)

    def _counted(self, row: int, i: int) -> bool:
        return row < len(EVERYWHERE) or bool(self._allocatable[row, i])

    # -- nodes

    def append(self) -> None:
        """Add a node that has nothing yet."""
        i = len(self)
        self._offered.append(())
        self._allocatable[:, i] = 0
        self._free[:, i] = 0

    def remove(self, i: int) -> None:
        """Remove node i; the last node moves into its place."""
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
        """Make room for so many more nodes."""
        self._capacity += more
        pad = ((0, 0), (0, more))
        self._allocatable, self._free = np.pad(self._allocatable, pad), np.pad(self._free, pad)
        for name in list(self._counts):
            self._keep_row_while_common(name)

    def write(self, i: int, offered: Requests) -> None:
        """Node i has these allocatable amounts and no others, and all of them are free."""
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
        """A pod with these requests comes to node i (``sign`` 1) or leaves it (-1)."""
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
        """Remove the row; the last row moves into its place."""
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
