"""A survey of Prometheus: which nodes have which series of CPU use and power?

Owns how the series that a few coarse queries find are given to nodes. ``survey_queries.py`` asks, ``series_nodes.py``
finds the node of each series, ``exporters.py`` lists the metrics. Never reads a node in full: ``node_totals.py`` does,
one node at a time, so that a large cluster is never in memory at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from peaks_scheduler.sources.node_identity import NodeAddresses
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.labels import LabelMap
from peaks_scheduler.sources.prometheus.replicas import differing

from .exporters import INFO
from .measured_first import MetricsOfNodes, info_of_nodes, measured_first
from .plan import AvailableMetric, Plan, Queries
from .series_nodes import ALIASES, Name, SeriesNodes, name_labels, nodes_of_series, second_names
from .survey_queries import Found, SurveyQueries


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to read."""

    plans: tuple[Plan, ...]
    """Nodes with CPU use and power, ordered by name."""
    incomplete: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Node, or a name that means no node -> why nothing can be learned about it."""
    problems: tuple[str, ...] = ()
    """The server's warnings."""
    failed: tuple[str, ...] = ()
    """Queries that failed, and why: a better series may be missing."""


async def survey(
    api: PrometheusApi, grid: Grid, queries: Queries | None = None, nodes: Sequence[NodeAddresses] | None = None
) -> Survey:
    """Which nodes have which series.

    With ``nodes`` (of a cluster) only their series are used; without, every node with CPU series counts as one.
    Raises LoadError if no query was answered.
    """
    queries = queries or Queries()
    asked = SurveyQueries(api, grid, len(nodes or ()))
    cpu, power, celsius, info, aliases = await asyncio.gather(
        asked.cpu(queries),
        asked.power(queries),
        asked.temperature(queries),
        asked.series(api.match.selector(INFO)),
        asked.aliases() if nodes is None else _nothing(),
    )
    if asked.failed and not asked.answered:
        raise next(iter(asked.failed.values()))
    # in a thread: to tell thousands of nodes with several names apart takes a second
    return await off_loop(partial(_matched, cpu, power, celsius, info, aliases, queries, nodes, asked))


async def _nothing() -> list[tuple[Series, ...]]:
    return []


def _labels(series: Sequence[Series]) -> list[LabelMap]:
    return [each.labels for each in series]


def _matched(
    cpu: Sequence[Found],
    power: Sequence[Found],
    celsius: Sequence[Series],
    info: Sequence[Series],
    aliases: Sequence[Sequence[Series]],
    queries: Queries,
    nodes: Sequence[NodeAddresses] | None,
    asked: SurveyQueries,
) -> Survey:
    """The survey: each node with the metrics that it has."""
    if nodes is None:
        labelled = zip([labels for _, labels in ALIASES], [_labels(each) for each in aliases], strict=True)
        which = name_labels(asked.node_label)
        nodes = nodes_of_series([_labels(series) for _, series in cpu], second_names(labelled), which)
    series_nodes = SeriesNodes(nodes, asked.node_label)
    of_cpu, of_power = _available(series_nodes, cpu), _available(series_nodes, power)
    if queries.power is not None:
        of_power = {
            node: [_with_outer(each, of_cpu.get(node, ())) for each in metrics] for node, metrics in of_power.items()
        }
    if queries.cpu is None:  # it is read in full later, node by node
        of_cpu = {node: [replace(each, series=None) for each in metrics] for node, metrics in of_cpu.items()}
    of_power = measured_first(of_power, info_of_nodes(series_nodes, info), custom=queries.power is not None)
    found = _survey(of_cpu, of_power, series_nodes.unmatched, asked)
    return (
        found
        if queries.temperature is None
        else _with_temperatures(found, celsius, SeriesNodes(nodes, asked.node_label))
    )


def _with_temperatures(found: Survey, celsius: Sequence[Series], series_nodes: SeriesNodes) -> Survey:
    """The survey with each node's temperatures. A name that means no node is a problem, and no node of its own: rooms
    and switches have temperatures too."""
    theirs: dict[str, list[Series]] = {}
    for each, match in zip(celsius, series_nodes.of("the query for temperatures", _labels(celsius)), strict=True):
        if match is not None:
            theirs.setdefault(match[0], []).append(each)
    plans = tuple(replace(plan, celsius=tuple(theirs.get(plan.node, ()))) for plan in found.plans)
    strangers = tuple(f"temperature of {name}: {why}" for name, why in sorted(series_nodes.unmatched.items()))
    return replace(found, plans=plans, problems=(*found.problems, *strangers))


def _available(series_nodes: SeriesNodes, found: Sequence[Found]) -> MetricsOfNodes:
    """Node -> its metrics with their series, the best first."""
    available: MetricsOfNodes = {}
    for metric, series in found:
        theirs: dict[str, dict[Name, list[Series]]] = {}
        for each, match in zip(series, series_nodes.of(metric.name, _labels(series)), strict=True):
            if match is not None:
                node, name = match
                theirs.setdefault(node, {}).setdefault(name, []).append(each)
        for node, by_name in theirs.items():
            whole = tuple(each for its in by_name.values() for each in its)
            available.setdefault(node, []).append(AvailableMetric(metric, tuple(by_name), whole))
    return available


def _with_outer(power: AvailableMetric, cpu: Sequence[AvailableMetric]) -> AvailableMetric:
    """The metric with ``outer``: labels in which its series and the node's CPU series differ in the same way."""
    here = differing(_labels(power.series or ()))
    there = differing([each.labels for one in cpu for each in one.series or ()])
    return replace(power, outer=frozenset(label for label, values in here.items() if there.get(label) == values))


def _survey(cpu: MetricsOfNodes, power: MetricsOfNodes, unmatched: Mapping[str, str], asked: SurveyQueries) -> Survey:
    both = sorted(cpu.keys() & power.keys())
    incomplete = {name: why for name, why in unmatched.items() if name not in both}
    incomplete |= dict.fromkeys(cpu.keys() - power.keys(), "CPU, but no series of its power")
    incomplete |= dict.fromkeys(power.keys() - cpu.keys(), "power, but no series of its CPU")
    return Survey(
        tuple(Plan(node, tuple(cpu[node]), tuple(power[node])) for node in both),
        MappingProxyType(dict(sorted(incomplete.items()))),
        tuple(dict.fromkeys(asked.problems)),
        tuple(f"{promql}: {error}" for promql, error in asked.failed.items()),
    )
