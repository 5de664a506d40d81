"""CPU use and power of all nodes over time, from Prometheus.

Owns the walk over the nodes of a survey. ``discover`` reads as many nodes as fit in memory; for more, call ``survey``
and then ``read`` for each node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import LoadError
from peaks_scheduler.power.scope import SCOPES, Scope
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.replicas import DisagreeError, Likeness, merged
from peaks_scheduler.text.words import few

from .node_queries import NodeByNode, QueryRunner
from .node_totals import read_totals
from .plan import CpuUnit, NoSeriesError, Plan, Queries
from .survey import survey

if TYPE_CHECKING:  # its package imports scipy, which the daemon does not need at the start
    from peaks_scheduler.fitting.readings import Reading

_CELSIUS = Likeness("gauge", 1.0)  # replicas of one sensor
_AT_ONCE = 4  # nodes that are read at the same time


@dataclass(frozen=True, slots=True, eq=False)
class NodeHistory:
    """CPU use and power of one node over time."""

    node: str
    cpu: Reading
    """A counter of fraction-seconds: use as a fraction of all CPUs."""
    power: Reading
    """A counter of joules."""
    part: str
    """The part of the machine that the watts are of: platform, psys, package, package + dram, host, or query."""
    cpu_source: str
    """The series that was used."""
    power_source: str
    """The series that was used."""
    scope: Scope
    doubt: str = ""
    """Why the watts are no measurement; empty: they are measured."""
    cpus: float | None = None
    """Number of CPUs, if the series tell it."""
    celsius: Reading | None = None
    """The temperature of its air; empty: there is no usable series. None: it was not asked for."""
    notes: tuple[str, ...] = ()
    """Which series were passed over and why, and what was added or left out; in words."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The history of all nodes."""

    nodes: tuple[NodeHistory, ...]
    incomplete: Mapping[str, str]
    """As in Survey, and nodes whose series cannot be used."""
    notes: tuple[str, ...]
    """Notes on more than one node."""


async def discover(
    api: PrometheusApi,
    start: float,
    end: float,
    step: float,
    *,
    power_query: str | None = None,
    cpu_query: str | None = None,
    cpu_unit: CpuUnit | None = None,
    cores: float | None = None,
    temperature_query: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """CPU use and power of every node from ``start`` to ``end`` [s since the epoch] every ``step`` seconds.

    The custom queries are as in ``Queries``. ``progress(done, all)`` counts nodes. Raises LoadError if no query was
    answered.
    """
    grid, queries = Grid(start, end, step), Queries(power_query, cpu_query, cpu_unit, cores, temperature_query)
    found = await survey(api, grid, queries)
    outcomes = await _read_all(NodeByNode(api, grid), found.plans, queries, progress)
    nodes = tuple(each for each in outcomes if isinstance(each, NodeHistory))
    errors = {plan.node: each for plan, each in zip(found.plans, outcomes, strict=True) if isinstance(each, str)}
    incomplete = MappingProxyType(dict(sorted({**found.incomplete, **errors}.items())))
    notes = (*(f"not known, because a query failed: {text}" for text in found.failed), *found.problems, *_unlike(nodes))
    return Discovery(nodes, incomplete, notes)


async def _read_all(
    runner: QueryRunner, plans: Sequence[Plan], queries: Queries, progress: Callable[[int, int], None] | None
) -> list[NodeHistory | str]:
    """The history of each node, or the error's message."""
    gate, done = asyncio.Semaphore(_AT_ONCE), 0

    async def one(plan: Plan) -> NodeHistory | str:
        nonlocal done
        async with gate:
            try:
                return await read(runner, plan, queries)
            except (LoadError, NoSeriesError) as error:
                return str(error)
            finally:
                done += 1
                if progress:
                    progress(done, len(plans))

    return await asyncio.gather(*map(one, plans))


def _unlike(nodes: Sequence[NodeHistory]) -> Iterator[str]:
    """A note if the watts are not of the same parts of every machine."""
    found = sorted({(SCOPES.index(node.scope), _measured_part(node)) for node in nodes})
    if len(found) > 1:
        of = {part: few([node.node for node in nodes if _measured_part(node) == part]) for _, part in found}
        parts = "; ".join(f"{part}: {names}" for part, names in of.items())
        yield f"the watts are not of the same parts of every machine, but placements compare them ({parts})"


def _measured_part(node: NodeHistory) -> str:
    return f"{node.scope} ({node.part})" if node.scope != node.part else node.part


async def read(runner: QueryRunner, plan: Plan, queries: Queries | None = None) -> NodeHistory:
    """The history of one node. Raises LoadError, and NoSeriesError if none of its series can be used."""
    cpu, power = await read_totals(runner, plan, queries or Queries())
    celsius, about = (None, ()) if plan.celsius is None else _celsius(runner.grid, plan.celsius)
    return NodeHistory(
        plan.node,
        _reading(runner.grid, cpu.values),
        _reading(runner.grid, power.values),
        power.part,
        cpu.source,
        power.source,
        power.origin.scope,
        power.origin.doubt,
        cpu.cpus,
        celsius,
        tuple(dict.fromkeys((*cpu.notes, *power.notes, *about))),
    )


def _celsius(grid: Grid, series: Sequence[Series]) -> tuple[Reading, tuple[str, ...]]:
    """The temperature of one node, and what is wrong with it."""
    row: Floats | None = None
    trouble = "the query has no series of this node"
    try:
        row = merged(series, grid, _CELSIUS)
    except DisagreeError as error:
        trouble = f"{error}; or make one of them in the query, such as avg by (instance) (..)"
    notes = () if row is not None else (f"temperature: {trouble}",)
    return _reading(grid, np.full(grid.times.size, np.nan) if row is None else row, "gauge"), notes


def _reading(grid: Grid, values: Floats, kind: Literal["gauge", "counter"] = "counter") -> Reading:
    from peaks_scheduler.fitting.readings import Reading

    known = ~np.isnan(values)
    return Reading(grid.times[known], values[known], kind)
