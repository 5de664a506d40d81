"""Host ports that pods hold on nodes: on which nodes is one of these ports taken?

Owns the ports in use, by protocol and number, then by node and address. Assumes that it is told of every pod that comes
to or leaves a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.objects.constraints import HostPort

from .slots import Slot

EVERYWHERE = "0.0.0.0"
"""Every address; ``::`` is not (as in kube-scheduler)."""


class HostPorts:
    """See the module."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._there: dict[tuple[str, int], dict[Slot, Counter[str]]] = {}

    def __len__(self) -> int:
        return len(self._there)

    def added(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for port in ports:
            there = self._there.setdefault((port.protocol, port.port), {})
            there.setdefault(slot, Counter())[port.ip] += 1

    def removed(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for port in ports:
            number = (port.protocol, port.port)
            there = self._there[number]
            there[slot][port.ip] -= 1
            if not there[slot][port.ip]:
                del there[slot][port.ip]
            if not there[slot]:
                del there[slot]
            if not there:
                del self._there[number]

    def holding(self, ports: Iterable[HostPort]) -> Mask | None:
        """(N,) nodes where one of these host ports is taken; None: no node."""
        taken: set[int] = set()
        for port in ports:
            for slot, addresses in self._there.get((port.protocol, port.port), {}).items():
                if port.ip == EVERYWHERE or port.ip in addresses or EVERYWHERE in addresses:
                    taken.add(slot.index)
        taken.discard(-1)
        if not taken:
            return None
        mask = np.zeros(len(self._slots), np.bool_)
        mask[list(taken)] = True
        return mask
