"""Queries for the series of one node, and two ways to run them.

``NodeByNode`` asks for each node alone: a long range of a large cluster is never in memory at once. ``AllAtOnce`` asks
for all nodes together: a short range takes a few queries only. Both raise LoadError as ``PrometheusApi`` does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.promql_matchers import Matchers, escaped
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.answers import Matrix, Series
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid

from .series_nodes import Name, name_labels, names

Names = tuple[Name, ...]
"""The labels that a node's series are asked for by: mostly one; several if exporters name the node differently."""


@dataclass(frozen=True, slots=True)
class NodeQuery:
    """PromQL about a metric, which can be limited to the series of one node."""

    metric: str
    matchers: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def promql(self, match: Matchers, name: Name | None = None) -> str:
        """The query for our series (``match``) of the node with the label ``name``; None: of all nodes."""
        of_node = () if name is None else (f'{name[0]}="{escaped(name[1])}"',)
        inside = ",".join((*self.matchers, *of_node, *map(str, match.all)))
        return f"{self.before}{self.metric}{{{inside}}}{self.after}"


class QueryRunner(Protocol):
    """Runs queries for one node."""

    @property
    def grid(self) -> Grid:
        """The instants that are asked for."""

    async def series(self, query: NodeQuery, names: Names) -> Matrix:
        """The node's series, each once. Raises LoadError."""


class NodeByNode:
    """Runs each query for one node."""

    def __init__(self, api: PrometheusApi, grid: Grid) -> None:
        self._api, self.grid = api, grid

    async def series(self, query: NodeQuery, names: Names) -> Matrix:
        """As ``QueryRunner.series``."""
        times = self.grid.start, self.grid.end, self.grid.step
        asked = (self._api.query_range(query.promql(self._api.match, name), *times) for name in names)
        return _once(await asyncio.gather(*asked))


@dataclass(frozen=True, slots=True)
class _SeriesByName:
    """The answer to one query for all nodes."""

    by_name: dict[Name, list[Series]]
    problems: tuple[str, ...] = ()
    error: LoadError | None = None


class AllAtOnce:
    """Runs each query once for all nodes, and keeps the answer for the other nodes."""

    def __init__(self, api: PrometheusApi, grid: Grid) -> None:
        self._api, self.grid = api, grid
        self._answers: dict[str, _SeriesByName] = {}

    async def series(self, query: NodeQuery, names: Names) -> Matrix:
        """As ``QueryRunner.series``."""
        promql = query.promql(self._api.match)
        answer = self._answers.get(promql)
        if answer is None:
            answer = self._answers[promql] = await self._ask(promql)
        if answer.error is not None:
            raise LoadError(answer.error.kind, str(answer.error)) from answer.error
        return _once([Matrix(tuple(answer.by_name.get(name, ())), answer.problems) for name in names])

    async def _ask(self, promql: str) -> _SeriesByName:
        try:
            matrix = await self._api.query_range(promql, self.grid.start, self.grid.end, self.grid.step)
        except LoadError as error:
            return _SeriesByName({}, error=error)
        # in a thread: series of thousands of nodes
        which = name_labels(self._api.node_label)
        return _SeriesByName(await off_loop(partial(_by_name, matrix.series, which)), matrix.problems)


def _once(matrices: Sequence[Matrix]) -> Matrix:
    """All series of the matrices, each once: one series may have several names of its node."""
    found = {frozenset(each.labels.items()): each for matrix in matrices for each in matrix.series}
    return Matrix(tuple(found.values()), tuple(dict.fromkeys(text for each in matrices for text in each.problems)))


def _by_name(series: Sequence[Series], which: Sequence[str]) -> dict[Name, list[Series]]:
    """Each series under every label that may name its node."""
    found: dict[Name, list[Series]] = {}
    for each in series:
        for name in names(each.labels, which):
            found.setdefault(name, []).append(each)
    return found
