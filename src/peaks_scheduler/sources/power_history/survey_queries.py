"""The queries of a survey: which series of CPU use and power are there?

Owns the number of queries at once and the memory that their answers may take. A query that fails does not affect the
others: it is kept with its error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from peaks_scheduler.errors import LoadError
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.load_queries import promql_duration

from .exporters import KEPLER_CPU, NODE_CPU, POWER, MetricType, NodeMetric, Zone, custom_power, type_of_cpu_query
from .plan import Queries
from .series_nodes import ALIASES

INSTANTS = 48
"""Instants of the range at which the survey looks for series; a node that was there for less of it may be missed."""
_QUERIES_AT_ONCE = 2  # no more answers than these are in memory before they are read

Found = tuple[NodeMetric, tuple[Series, ...]]
"""A metric, and its series of all nodes."""


class SurveyQueries:
    """Asks for the series, and keeps what went wrong. ``nodes``: number of nodes; 0: not known."""

    def __init__(self, api: PrometheusApi, grid: Grid, nodes: int) -> None:
        self._api, self._grid, self._match = api, grid, api.match
        self.node_label = api.node_label
        self._coarse = max(grid.step, (grid.end - grid.start) / INSTANTS)
        self.answered = 0
        """Number of queries that were answered."""
        self.failed: dict[str, LoadError] = {}
        """Query -> its error."""
        self.problems: list[str] = []
        """The server's warnings."""
        self._turns = asyncio.Semaphore(_QUERIES_AT_ONCE)
        self._room = 2 * Limits.of_range(nodes).body  # bytes

    async def power(self, queries: Queries) -> list[Found]:
        """Each metric of power with its series, the best metric first."""
        if queries.power is not None:
            metric = custom_power(queries.power)
            return [(metric, await self._whole(queries.power, metric.kind))]
        series = await asyncio.gather(*(self.series(self._selector(each.zones[0])) for each in POWER))
        return list(zip(POWER, series, strict=True))

    async def cpu(self, queries: Queries) -> list[Found]:
        """Each metric of CPU use with its series, the best metric first."""
        if queries.cpu is not None:
            kind = type_of_cpu_query(queries.cpu)
            return [(NodeMetric("query", (Zone(queries.cpu),), kind), await self._whole(queries.cpu, kind))]
        idle = self._match.selector(NODE_CPU, 'mode="idle"')
        counted, ratio = await asyncio.gather(
            self.series(f"count without (cpu, mode) ({idle})"),
            self.series(self._selector(KEPLER_CPU.zones[0])),
        )
        return [(NodeMetric("CPU", (Zone(NODE_CPU),), "counter"), counted), (KEPLER_CPU, ratio)]

    async def temperature(self, queries: Queries) -> tuple[Series, ...]:
        """All values of the query for temperatures; empty without one."""
        return () if queries.temperature is None else await self._whole(queries.temperature, "gauge")

    async def aliases(self) -> list[tuple[Series, ...]]:
        """The series of each metric in ALIASES."""
        return await asyncio.gather(*(self.series(self._match.selector(metric)) for metric, _ in ALIASES))

    async def series(self, promql: str) -> tuple[Series, ...]:
        """The series that are there at some time of the range, with few values; empty if the query fails."""
        return await self._range(promql, self._coarse)

    def _selector(self, zone: Zone) -> str:
        return self._match.selector(zone.metric, *zone.conditions)

    async def _whole(self, promql: str, kind: MetricType) -> tuple[Series, ...]:
        """All values of a custom query, because it cannot be limited to one node."""
        step = self._grid.step
        if kind == "gauge":
            inner = promql_duration(max(1.0, step / 4))
            promql = f"avg_over_time((\n{promql}\n)[{promql_duration(step)}:{inner}])"
        # the query chooses its series itself; those that `match` excludes are dropped
        return tuple(each for each in await self._range(promql, step) if self._match.allow(each.labels))

    async def _range(self, promql: str, step: float) -> tuple[Series, ...]:
        try:
            async with self._turns:
                matrix = await self._api.query_range(promql, self._grid.start, self._grid.end, step)
            self._reserve(matrix.series)
        except LoadError as error:
            self.failed[promql] = error
            return ()
        self.answered += 1
        self.problems += matrix.problems
        return matrix.series

    def _reserve(self, series: Sequence[Series]) -> None:
        """Raises LoadError if all answers together take too much memory."""
        self._room -= sum(each.size for each in series)
        if self._room < 0:
            raise LoadError(
                "malformed",
                "the series of CPU and power are more than a cluster of this size can have: choose those of this "
                "cluster by prometheus.match, or a longer step",
            )
