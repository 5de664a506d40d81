"""Nodes after machines whose power is known: which machines are drawn, and what the nodes are called. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from peaks_scheduler.power.curves import MAX_WATTS, Piecewise
from peaks_scheduler.simulation.cluster import SimulatedNode

from .node_table import MOST_MIB
from .source import Source

MOST_NODES = 100_000
PARAMETERS = ("count", "seed", "kinds", "standby", "regions", "memory_mib")
"""What ``machine_nodes`` reads of a source."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine with a known curve."""

    name: str
    cores: float
    memory_mib: float
    curve: Piecewise


def machine_nodes(source: Source, machines: Sequence[Machine], seed: int) -> list[SimulatedNode]:
    """Nodes after ``count`` of the machines: different ones as long as there are, then again from all.

    Without ``count`` every machine once, in their order. ``kinds=N`` makes all nodes of N machines, in turn.
    ``standby`` and ``memory_mib`` hold for every node, ``regions`` are given in turn. Raises ConfigurationError.
    """
    seed = source.whole("seed", seed)
    count = source.whole("count", len(machines), 1, MOST_NODES)
    kinds = source.whole("kinds", 0)
    if kinds > len(machines):
        raise source.error(f"expected at most {len(machines)} kinds, as many as servers; got {kinds}")
    if kinds:
        models = list(islice(_drawn(machines, seed), kinds))
        chosen = [models[i % kinds] for i in range(count)]
    else:
        chosen = list(islice(_drawn(machines, seed), count)) if "count" in source.given else list(machines)
    return _nodes(source, chosen)


def _drawn(machines: Sequence[Machine], seed: int) -> Iterator[Machine]:
    """Machines at random without end; none comes again before all have come."""
    rng = random.Random(f"servers {seed}")
    while True:
        yield from rng.sample(machines, len(machines))


def _nodes(source: Source, machines: Sequence[Machine]) -> list[SimulatedNode]:
    standby = source.number("standby", -1.0, 0.0, MAX_WATTS)
    memory = source.number("memory_mib", 0.0, 1.0, MOST_MIB)
    regions = source.words("regions") or ("",)
    kinds: dict[tuple[Piecewise, float, float], str] = {}
    again: Counter[str] = Counter()
    taken: set[str] = set()
    nodes = []
    for i, machine in enumerate(machines):
        name = machine.name
        while name in taken:  # a second node of it; another machine may be called as that would be
            again[machine.name] += 1
            name = f"{machine.name}-{again[machine.name] + 1}"
        taken.add(name)
        # two results of one machine may be equal: they are one kind
        kind = kinds.setdefault((machine.curve, machine.cores, memory or machine.memory_mib), machine.name)
        nodes.append(
            SimulatedNode(
                name,
                machine.cores,
                memory or machine.memory_mib,
                machine.curve,
                standby if standby >= 0.0 else None,
                regions[i % len(regions)],
                kind,
            )
        )
    return nodes
