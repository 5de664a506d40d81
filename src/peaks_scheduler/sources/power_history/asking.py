"""Questions about one node's series, and two ways to have them answered.

Asked for node by node (``NodeByNode``), a long range of a large cluster is never in memory at once. Asked for together
(``AllAtOnce``), a short range of it takes a few queries. Owns no meaning of any series; raises LoadError as
``PrometheusApi`` does.
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

from .owners import Name, name_labels, names

Names = tuple[Name, ...]
"""By these a node's series can be asked for: mostly one; several where two exporters call it differently."""


@dataclass(frozen=True, slots=True)
class Question:
    """PromQL about a metric that can be narrowed to the series of one node."""

    metric: str
    matchers: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def promql(self, match: Matchers, name: Name | None = None) -> str:
        """About the node that a label names, or all, as far as the series are ours."""
        narrow = () if name is None else (f'{name[0]}="{escaped(name[1])}"',)
        inside = ",".join((*self.matchers, *narrow, *map(str, match.all)))
        return f"{self.before}{self.metric}{{{inside}}}{self.after}"


class Asker(Protocol):
    """Whoever gets an answer for one node."""

    @property
    def grid(self) -> Grid:
        """The instants that are asked about."""

    async def series(self, question: Question, names: Names) -> Matrix:
        """The node's series, each once. Raises LoadError."""


class NodeByNode:
    """Asks for each node alone."""

    def __init__(self, api: PrometheusApi, grid: Grid) -> None:
        self._api, self.grid = api, grid

    async def series(self, question: Question, names: Names) -> Matrix:
        times = self.grid.start, self.grid.end, self.grid.step
        asked = (self._api.query_range(question.promql(self._api.match, name), *times) for name in names)
        return _once(await asyncio.gather(*asked))


@dataclass(frozen=True, slots=True)
class _Answer:
    by_name: dict[Name, list[Series]]
    problems: tuple[str, ...] = ()
    error: LoadError | None = None


class AllAtOnce:
    """Asks once for all nodes and remembers what came."""

    def __init__(self, api: PrometheusApi, grid: Grid) -> None:
        self._api, self.grid = api, grid
        self._answers: dict[str, _Answer] = {}

    async def series(self, question: Question, names: Names) -> Matrix:
        promql = question.promql(self._api.match)
        answer = self._answers.get(promql)
        if answer is None:
            answer = self._answers[promql] = await self._ask(promql)
        if answer.error is not None:
            raise LoadError(answer.error.kind, str(answer.error)) from answer.error
        return _once([Matrix(tuple(answer.by_name.get(name, ())), answer.problems) for name in names])

    async def _ask(self, promql: str) -> _Answer:
        try:
            matrix = await self._api.query_range(promql, self.grid.start, self.grid.end, self.grid.step)
        except LoadError as error:
            return _Answer({}, error=error)
        # of thousands of nodes: not on the loop
        which = name_labels(self._api.node_label)
        return _Answer(await off_loop(partial(_by_name, matrix.series, which)), matrix.problems)


def _once(matrices: Sequence[Matrix]) -> Matrix:
    """All their series, each once: one may go by several names."""
    found = {frozenset(each.labels.items()): each for matrix in matrices for each in matrix.series}
    return Matrix(tuple(found.values()), tuple(dict.fromkeys(text for each in matrices for text in each.problems)))


def _by_name(series: Sequence[Series], which: Sequence[str]) -> dict[Name, list[Series]]:
    """Under every label that may name its node."""
    found: dict[Name, list[Series]] = {}
    for each in series:
        for name in names(each.labels, which):
            found.setdefault(name, []).append(each)
    return found
