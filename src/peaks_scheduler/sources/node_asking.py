"""Questions about one node's series, and two ways to have them answered.

Asked for node by node (``NodeByNode``), a long range of a large cluster is never in memory at once. Asked for together
(``AllAtOnce``), a short range of it takes a few queries. Owns no meaning of any series; raises LoadError as
``PrometheusApi`` does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import LoadError
from .node_names import Name, names
from .power_queries import escaped
from .prometheus_api import Matrix, PrometheusApi, Series
from .series_sums import Grid


@dataclass(frozen=True, slots=True)
class Question:
    """PromQL about a metric that can be narrowed to the series of one node."""

    metric: str
    matchers: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def promql(self, name: Name | None = None) -> str:
        """About the node that a label names, or all."""
        narrow = () if name is None else (f'{name[0]}="{escaped(name[1])}"',)
        inside = ",".join((*self.matchers, *narrow))
        return f"{self.before}{self.metric}{{{inside}}}{self.after}"


class Asker(Protocol):
    """Whoever gets an answer for one node."""

    @property
    def grid(self) -> Grid:
        """The instants that are asked about."""

    async def series(self, question: Question, name: Name) -> Matrix:
        """The node's series. Raises LoadError."""


class NodeByNode:
    """Asks for each node alone."""

    def __init__(self, api: PrometheusApi, grid: Grid) -> None:
        self._api, self.grid = api, grid

    async def series(self, question: Question, name: Name) -> Matrix:
        return await self._api.query_range(question.promql(name), self.grid.start, self.grid.end, self.grid.step)


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

    async def series(self, question: Question, name: Name) -> Matrix:
        promql = question.promql()
        answer = self._answers.get(promql)
        if answer is None:
            answer = self._answers[promql] = await self._ask(promql)
        if answer.error is not None:
            raise LoadError(answer.error.kind, str(answer.error)) from answer.error
        return Matrix(tuple(answer.by_name.get(name, ())), answer.problems)

    async def _ask(self, promql: str) -> _Answer:
        try:
            matrix = await self._api.query_range(promql, self.grid.start, self.grid.end, self.grid.step)
        except LoadError as error:
            return _Answer({}, error=error)
        # of thousands of nodes: not on the loop
        return _Answer(await asyncio.to_thread(_by_name, matrix.series), matrix.problems)


def _by_name(series: Sequence[Series]) -> dict[Name, list[Series]]:
    """Under every label that may name its node."""
    found: dict[Name, list[Series]] = {}
    for each in series:
        for name in names(each.labels):
            found.setdefault(name, []).append(each)
    return found
