"""What cooling and supply add to each node's watts now: from the nodes of a ledger to their signal ``overhead``.

A constant is the factor of every node. With a cooling table each rack has its own: its power is the sum of its nodes'
watts by their models, at their highest plausible use and without any overhead, its inlet temperature the median of the
nodes that know theirs. Nodes without a model add nothing to it. Factors are rounded to a thousandth: a finer change
would rewrite every node's curve and change no decision. Pure: ``time`` is an argument.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.cooling import CoolingTable, Marginal, marginal

from .nodes import INLET, OVERHEAD, NodeLedger
from .snapshot import Snapshot

UNIT = "ratio"
A_TURN = 250
"""Nodes that are told at once."""
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Rack:
    """One rack now."""

    name: str
    """Value of the table's label, or the node's name where it has no such label."""
    nodes: tuple[str, ...]
    watts: float
    """[W] of its nodes, without overhead."""
    inlet: float
    """[celsius] NaN: none of its nodes knows it."""
    unmodelled: int
    """How many of its nodes have no model."""
    cost: Marginal

    @property
    def factor(self) -> float:
        """Of every node of the rack."""
        return round(self.cost.factor, _DIGITS)

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why the factor is less certain than the table, in words."""
        found = list(self.cost.outside)
        if math.isnan(self.inlet):
            found.append("inlet temperature not known, the row that costs most counts")
        if self.unmodelled:
            found.append(f"{self.unmodelled} of {len(self.nodes)} nodes have no power model and count as 0 W")
        return tuple(found)


def tell_overhead(ledger: NodeLedger, nodes: Snapshot, overhead: float | CoolingTable, time: float) -> Sequence[Rack]:
    """Set the signal ``overhead`` of all nodes, which are those of the snapshot, and of nodes that come later. Returns
    the racks of a table, by name; none for a constant.

    A node that comes later has the largest factor that a rack has now, until its own is told.
    """
    racks = racks_of(ledger, nodes, overhead) if isinstance(overhead, CoolingTable) else ()
    for _ in telling(ledger, nodes, overhead, racks, time):
        pass
    return racks


def telling(
    ledger: NodeLedger, nodes: Snapshot, overhead: float | CoolingTable, racks: Sequence[Rack], time: float
) -> Iterator[None]:
    """As ``tell_overhead`` with the racks of the table, ``A_TURN`` nodes from one element to the next: thousands of
    curves take longer to write than a decision may wait."""
    if isinstance(overhead, CoolingTable):
        factors = {node: rack.factor for rack in racks for node in rack.nodes}
        newcomers = max(factors.values(), default=math.nan)
    else:
        factors, newcomers = dict.fromkeys(nodes.names, overhead), overhead
    before = dict(zip(nodes.names, nodes.signals[OVERHEAD].tolist(), strict=True))
    changed = [(node, factor) for node, factor in factors.items() if factor != before[node]]
    for start in range(0, max(len(changed), 1), A_TURN):
        some = dict(changed[start : start + A_TURN])
        ledger.set_signal(OVERHEAD, some, unit=UNIT, time=time, newcomers=newcomers)
        yield


def racks_of(ledger: NodeLedger, nodes: Snapshot, table: CoolingTable) -> Sequence[Rack]:
    """The racks that the ledger's nodes stand in, by name."""
    members: dict[tuple[bool, str], list[int]] = {}
    for i, node in enumerate(ledger.nodes()):
        rack = node.labels.get(table.rack_label)
        members.setdefault((rack is None, node.name if rack is None else rack), []).append(i)
    watts, inlet = _own_watts(nodes), nodes.signals[INLET]
    return tuple(
        _rack(name, [nodes.names[i] for i in some], watts[some].tolist(), inlet[some].tolist(), table)
        for (_, name), some in sorted(members.items())
    )


def _rack(name: str, nodes: list[str], watts: list[float], inlets: list[float], table: CoolingTable) -> Rack:
    modelled = [each for each in watts if math.isfinite(each)]
    known = [each for each in inlets if math.isfinite(each)]
    inlet, total = statistics.median(known) if known else math.nan, math.fsum(modelled)
    return Rack(name, tuple(nodes), total, inlet, len(nodes) - len(modelled), marginal(table, inlet, total))


def _own_watts(nodes: Snapshot) -> Floats:
    """(N,) [W] of each node at its highest plausible use, without overhead; NaN without a model."""
    overheads = np.array([1.0 if model is None else model.overhead for model in nodes.models])
    use = np.clip(nodes.cpu_high / nodes.cpu_capacity, 0.0, 1.0)
    watts: Floats = nodes.curves.watts(use) / overheads
    return watts
