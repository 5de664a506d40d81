"""The servers of a run, and what the scheduler believes of their power.

Owns how a fleet is drawn from the measured servers. All of them were available in 2013 or later.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from benchmarks import BenchmarkError
from benchmarks.study import servers
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.simulation.beliefs import (
    fitted_models,
    partly_unmodelled,
    swapped,
    true_models,
    unlike_pair,
    wrong_models,
)
from peaks_scheduler.simulation.cluster import SimulatedNode

MEMORY = 4.0 * 1024 * 1024
"""[MiB] of every server: memory is never short."""
STANDBY = 5.0
"""[W] of a server that sleeps."""
LEAST_THREADS = 32
"""Of a server in a fleet of one kind or of a few: a smaller one is no server to buy by the rack."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Which servers, and what is known of them."""

    seed: int
    count: int = 50
    kinds: int = 0
    """Number of different servers; 0: all differ as far as there are enough."""
    sleep: bool = False
    """Servers without pods are switched off."""
    belief: str = "fitted"
    """``true``, ``fitted`` (30 samples with 2 % noise), ``wrong 5`` (percent), ``swapped`` or ``unmodelled``."""

    def nodes(self) -> list[SimulatedNode]:
        standby = STANDBY if self.sleep else None
        return [replace(node, standby_watts=standby) for node in self._always_on()]

    def _always_on(self) -> list[SimulatedNode]:
        every = measured_servers()
        if self.kinds:
            return [_node(each, each.name.rpartition("-")[0]) for each in _of_kinds(every, self)]
        if self.count <= len(every):
            return [_node(each) for each in servers.drawn(every, self.count, self.seed)]
        # more than there are: each twice or more often
        rng = random.Random(f"many servers {self.seed}")
        drawn = [rng.choice(every) for _ in range(self.count)]
        return [_node(replace(each, name=f"{each.name}-{i:03}"), each.name) for i, each in enumerate(drawn)]

    def models(self, nodes: Sequence[SimulatedNode]) -> PowerModels:
        """What the scheduler believes."""
        kind, _, percent = self.belief.partition(" ")
        if kind == "fitted":
            return fitted_models(nodes, seed=self.seed)
        models = true_models(nodes)
        if kind == "wrong":
            return wrong_models(models, float(percent) / 100.0, self.seed)
        if kind == "swapped":
            pair = unlike_pair(models, self.seed)
            return swapped(models, *pair) if pair else models
        return partly_unmodelled(models, 0.1, self.seed) if kind == "unmodelled" else models


@lru_cache(maxsize=8)
def cluster(fleet: Fleet) -> tuple[list[SimulatedNode], PowerModels]:
    """The servers of a fleet, and what is believed of them; several runs in one process share the fits."""
    nodes = fleet.nodes()
    return nodes, fleet.models(nodes)


@cache
def measured_servers() -> list[servers.Server]:
    """Raises BenchmarkError where there is no data."""
    file = servers.data_file()
    if file is None:
        raise BenchmarkError(missing())
    return servers.read(file)


def missing() -> str:
    """What is missing; empty: everything is there."""
    if servers.data_file() is None:
        return f"evidence needs measured data: PEAKS_TEST_DATA names no folder with {servers.FILE} in it"
    return ""


def data(name: str) -> Path:
    """A file of the measured data."""
    file = servers.data_file()
    if file is None:
        raise BenchmarkError(missing())
    return file.parent.parent / name


def _of_kinds(every: Sequence[servers.Server], fleet: Fleet) -> list[servers.Server]:
    large = [each for each in every if each.threads >= LEAST_THREADS]
    kinds = servers.drawn(large, fleet.kinds, fleet.seed)
    return [replace(kinds[i % fleet.kinds], name=f"{kinds[i % fleet.kinds].name}-{i:03}") for i in range(fleet.count)]


def _node(server: servers.Server, kind: str = "") -> SimulatedNode:
    return SimulatedNode(server.name, float(server.threads), MEMORY, server.curve, kind=kind)
