"""CPU use and power of many nodes over time, out of Prometheus: which series there are, each node's two as readings.

Owns the survey of what Prometheus has, in a few coarse queries, and the walk over the nodes. What names a node is
``node_names.py``'s, what is asked of one node ``node_reading.py``'s, which series there can be ``power_queries.py``'s.
Assumes that one query which fails says nothing about the others. Never keeps a large cluster in memory: whoever wants
the nodes one by one calls ``survey`` and then ``read`` for each; ``discover`` does both for as many as fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import LoadError
from peaks_scheduler.power.scope import SCOPES, Scope
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.node_identity import NodeAddresses
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.load_queries import promql_duration
from peaks_scheduler.sources.prometheus.replicas import differing
from peaks_scheduler.text.words import few

from .asking import AllAtOnce, Asker, NodeByNode
from .exporters import INFO, KEPLER_CPU, NODE_CPU, POWER, Candidate, Kind, Zone, of_cpu_query, own_power
from .measured_first import measured_first, told_of
from .node import Choice, CpuUnit, NoSeriesError, Plan, Queries, read_totals
from .owners import ALIASES, Name, Owners, members, name_labels, second_names

if TYPE_CHECKING:  # its package brings scipy, which the daemon's start must not
    from peaks_scheduler.fitting.readings import Reading

__all__ = [
    "AllAtOnce",
    "Discovery",
    "Grid",
    "NoSeriesError",
    "NodeByNode",
    "NodeSeries",
    "Plan",
    "Queries",
    "Survey",
    "discover",
    "read",
    "read_totals",
    "survey",
]

LOOKS = 48
"""Instants of the range at which the survey looks for series; a node that was there for less of it is not seen."""
_KNOWN = Queries()
_AT_ONCE = 4  # nodes that are read at the same time
_QUERIES_AT_ONCE = 2  # of the survey: no more answers than that are in memory before they are read


@dataclass(frozen=True, slots=True, eq=False)
class NodeSeries:
    """What was measured on one node."""

    node: str
    cpu: Reading
    """A counter of fraction-seconds: use as a fraction of all CPUs."""
    power: Reading
    """A counter of joules."""
    part: str
    """What of the machine the watts are of: platform, psys, package, package + dram, host, or query."""
    cpu_source: str
    power_source: str
    """The series that was used."""
    scope: Scope
    doubt: str = ""
    """Why the watts are no measurement; empty: they are one."""
    cpus: float | None = None
    """Number of CPUs, where the series tell."""
    notes: tuple[str, ...] = ()
    """Which series were passed over and why, what was added and left out; in words."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to read."""

    plans: tuple[Plan, ...]
    """Nodes with CPU and power, in the order of their names."""
    incomplete: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Node, or a name that is no node's -> why nothing can be learned of it."""
    problems: tuple[str, ...] = ()
    """What the server warns of."""
    failed: tuple[str, ...] = ()
    """Queries that failed and why: a better series may be missing."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """All that was found."""

    nodes: tuple[NodeSeries, ...]
    incomplete: Mapping[str, str]
    """As in Survey, and nodes whose series turned out to hold nothing."""
    notes: tuple[str, ...]
    """What concerns more than one node."""


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
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """CPU and power of every node from ``start`` to ``end`` [s since the epoch] every ``step`` seconds.

    ``power_query`` and ``cpu_query`` are PromQL in place of what is known: see ``Queries``. ``progress(done, all)``
    counts nodes. Raises LoadError where no query was answered.
    """
    grid, queries = Grid(start, end, step), Queries(power_query, cpu_query, cpu_unit, cores)
    found = await survey(api, grid, queries)
    asker, gate, done = NodeByNode(api, grid), asyncio.Semaphore(_AT_ONCE), 0

    async def one(plan: Plan) -> NodeSeries | str:
        nonlocal done
        async with gate:
            try:
                return await read(asker, plan, queries)
            except (LoadError, NoSeriesError) as error:
                return str(error)
            finally:
                done += 1
                if progress:
                    progress(done, len(found.plans))

    outcomes = await asyncio.gather(*map(one, found.plans))
    nodes = tuple(each for each in outcomes if isinstance(each, NodeSeries))
    troubles = {plan.node: each for plan, each in zip(found.plans, outcomes, strict=True) if isinstance(each, str)}
    incomplete = MappingProxyType(dict(sorted({**found.incomplete, **troubles}.items())))
    notes = (*(f"not known, for a query failed: {text}" for text in found.failed), *found.problems, *_unlike(nodes))
    return Discovery(nodes, incomplete, notes)


def _unlike(nodes: Sequence[NodeSeries]) -> Iterator[str]:
    found = sorted({(SCOPES.index(node.scope), _measured(node)) for node in nodes})
    if len(found) > 1:
        of = {kind: few([node.node for node in nodes if _measured(node) == kind]) for _, kind in found}
        kinds = "; ".join(f"{kind}: {names}" for kind, names in of.items())
        yield f"the watts are not of the same parts of every machine, yet placements compare them ({kinds})"


def _measured(node: NodeSeries) -> str:
    return f"{node.scope} ({node.part})" if node.scope != node.part else node.part


async def read(asker: Asker, plan: Plan, queries: Queries = _KNOWN) -> NodeSeries:
    """One node in full. Raises LoadError, and NoSeriesError where nothing in its series can be used."""
    cpu, power = await read_totals(asker, plan, queries)
    return NodeSeries(
        plan.node,
        _reading(asker.grid, cpu.values),
        _reading(asker.grid, power.values),
        power.part,
        cpu.source,
        power.source,
        power.origin.scope,
        power.origin.doubt,
        cpu.cpus,
        tuple(dict.fromkeys((*cpu.notes, *power.notes))),
    )


def _reading(grid: Grid, values: Floats) -> Reading:
    from peaks_scheduler.fitting.readings import Reading

    known = ~np.isnan(values)
    return Reading(grid.times[known], values[known], "counter")


# --- what there is ----------------------------------------------------------------------------------------------------


async def survey(
    api: PrometheusApi, grid: Grid, queries: Queries = _KNOWN, nodes: Sequence[NodeAddresses] | None = None
) -> Survey:
    """Which nodes have which series.

    With ``nodes`` (of a cluster) a series is one of theirs or nobody's; else the CPU series say which nodes there are.
    Raises LoadError where no query was answered.
    """
    asking = _Asking(api, grid, len(nodes or ()))
    cpu, power, info, aliases = await asyncio.gather(
        asking.cpu(queries),
        asking.power(queries),
        asking.series(api.match.selector(INFO)),
        asking.aliases() if nodes is None else _nothing(),
    )
    if asking.failed and not asking.answered:
        raise next(iter(asking.failed.values()))
    # thousands of nodes under several names take a second to tell apart: not on the loop
    return await off_loop(partial(_matched, cpu, power, info, aliases, queries, nodes, asking))


_Found = tuple[Candidate, tuple[Series, ...]]
_Choices = dict[str, list[Choice]]


def _labels(series: Sequence[Series]) -> list[Mapping[str, str]]:
    return [each.labels for each in series]


def _matched(
    cpu: Sequence[_Found],
    power: Sequence[_Found],
    info: Sequence[Series],
    aliases: Sequence[Sequence[Series]],
    queries: Queries,
    nodes: Sequence[NodeAddresses] | None,
    asking: _Asking,
) -> Survey:
    """Each node with what is its own."""
    if nodes is None:
        labelled = zip([labels for _, labels in ALIASES], [_labels(each) for each in aliases], strict=True)
        which = name_labels(asking.node_label)
        nodes = members([_labels(series) for _, series in cpu], second_names(labelled), which)
    owners = Owners(nodes, asking.node_label)
    whole_cpu, whole_power = queries.cpu is not None, queries.power is not None
    of_cpu, found = _choices(owners, cpu, True), _choices(owners, power, True)
    if whole_power:
        found = {node: [_with_outer(each, of_cpu.get(node, ())) for each in its] for node, its in found.items()}
    if not whole_cpu:
        of_cpu = {node: [replace(each, known=None) for each in its] for node, its in of_cpu.items()}
    of_power = measured_first(found, told_of(owners, info), whole_power)
    return _survey(of_cpu, of_power, owners.strange, asking)


def _choices(owners: Owners, found: Sequence[_Found], whole: bool) -> _Choices:
    """Node -> what it has, the best first; with its series where these are ``whole``."""
    choices: _Choices = {}
    for candidate, series in found:
        theirs: dict[str, dict[Name, list[Series]]] = {}
        for each, owner in zip(series, owners.of(candidate.name, _labels(series)), strict=True):
            if owner is not None:
                theirs.setdefault(owner[0], {}).setdefault(owner[1], []).append(each)
        for node, names in theirs.items():
            known = tuple(each for its in names.values() for each in its) if whole else None
            choices.setdefault(node, []).append(Choice(candidate, tuple(names), known))
    return choices


def _with_outer(choice: Choice, cpu: Sequence[Choice]) -> Choice:
    """Labels in which a query's series differ just as the node's CPU series do are no parts of the machine."""
    here = differing(_labels(choice.known or ()))
    there = differing([each.labels for one in cpu for each in one.known or ()])
    return replace(choice, outer=frozenset(label for label, values in here.items() if there.get(label) == values))


def _survey(cpu: _Choices, power: _Choices, strange: Mapping[str, str], asking: _Asking) -> Survey:
    both = sorted(cpu.keys() & power.keys())
    lacking = {name: why for name, why in strange.items() if name not in both}
    lacking |= dict.fromkeys(cpu.keys() - power.keys(), "CPU, but no series of its power")
    lacking |= dict.fromkeys(power.keys() - cpu.keys(), "power, but no series of its CPU")
    return Survey(
        tuple(Plan(node, tuple(cpu[node]), tuple(power[node])) for node in both),
        MappingProxyType(dict(sorted(lacking.items()))),
        tuple(dict.fromkeys(asking.problems)),
        tuple(f"{promql}: {error}" for promql, error in asking.failed.items()),
    )


async def _nothing() -> list[tuple[Series, ...]]:
    return []


class _Asking:
    """The survey's questions, and how they were answered. ``nodes``: how many there are; 0: not known."""

    def __init__(self, api: PrometheusApi, grid: Grid, nodes: int) -> None:
        self._api, self._grid, self._match = api, grid, api.match
        self.node_label = api.node_label
        self._coarse = max(grid.step, (grid.end - grid.start) / LOOKS)
        self.answered = 0
        self.failed: dict[str, LoadError] = {}
        self.problems: list[str] = []
        self._turns = asyncio.Semaphore(_QUERIES_AT_ONCE)
        self._room = 2 * Limits.of_range(nodes).body

    async def power(self, queries: Queries) -> list[_Found]:
        if queries.power is not None:
            own = own_power(queries.power)
            return [(own, await self._whole(queries.power, own.kind))]
        series = await asyncio.gather(*(self.series(self._of(each.zones[0])) for each in POWER))
        return list(zip(POWER, series, strict=True))

    async def cpu(self, queries: Queries) -> list[_Found]:
        if queries.cpu is not None:
            kind = of_cpu_query(queries.cpu)
            return [(Candidate("query", (Zone(queries.cpu),), kind), await self._whole(queries.cpu, kind))]
        idle = self._match.selector(NODE_CPU, 'mode="idle"')
        counted, ratio = await asyncio.gather(
            self.series(f"count without (cpu, mode) ({idle})"),
            self.series(self._of(KEPLER_CPU.zones[0])),
        )
        return [(Candidate("CPU", (Zone(NODE_CPU),), "counter"), counted), (KEPLER_CPU, ratio)]

    async def aliases(self) -> list[tuple[Series, ...]]:
        return await asyncio.gather(*(self.series(self._match.selector(metric)) for metric, _ in ALIASES))

    def _of(self, zone: Zone) -> str:
        return self._match.selector(zone.metric, *zone.conditions)

    async def series(self, promql: str) -> tuple[Series, ...]:
        """What there was at some time of the range, with coarse values."""
        return await self._range(promql, self._coarse)

    async def _whole(self, promql: str, kind: Kind) -> tuple[Series, ...]:
        """All there is of somebody's own query: it cannot be narrowed to a node."""
        step = self._grid.step
        if kind == "gauge":
            inner = promql_duration(max(1.0, step / 4))
            promql = f"avg_over_time((\n{promql}\n)[{promql_duration(step)}:{inner}])"
        # it says itself which series it is of, as far as anybody can tell; what is plainly not ours is left out
        return tuple(each for each in await self._range(promql, step) if self._match.allow(each.labels))

    async def _range(self, promql: str, step: float) -> tuple[Series, ...]:
        try:
            async with self._turns:
                matrix = await self._api.query_range(promql, self._grid.start, self._grid.end, step)
            self._keep(matrix.series)
        except LoadError as error:
            self.failed[promql] = error
            return ()
        self.answered += 1
        self.problems += matrix.problems
        return matrix.series

    def _keep(self, series: Sequence[Series]) -> None:
        """Raises LoadError where all answers together are more than there is room for."""
        self._room -= sum(each.size for each in series)
        if self._room < 0:
            raise LoadError(
                "malformed",
                "the series of CPU and power are more than a cluster of this size can have: choose those of this "
                "cluster by prometheus.match, or a longer step",
            )
