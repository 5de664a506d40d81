"""CPU use or power of one node as a running total, and what reading it has in common for both.

Counters are asked for as they are, never as rates, so that resets stay visible; gauges are asked for as averages over
each step, and their running total is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.scope import WALL
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.load_queries import promql_duration
from peaks_scheduler.sources.prometheus.replicas import Likeness

from .exporters import MetricType
from .node_queries import Names, NodeQuery, QueryRunner
from .origin import Origin
from .plan import NoSeriesError, Queries
from .sums import integral, parts


@dataclass(frozen=True, slots=True, eq=False)
class Total:
    """One node's CPU use or power as a running total."""

    values: Floats
    """(T,) on the grid, fraction-seconds or J. Falls at a reset; NaN where it is not known."""
    part: str
    """The part of the machine that was measured."""
    source: str
    """The series that it is from."""
    cpus: float | None = None
    """Number of CPUs, if the series tell it."""
    notes: tuple[str, ...] = ()
    """What was left out or added, in words."""
    origin: Origin = field(default_factory=lambda: Origin(WALL))
    """Where the watts come from; without meaning for CPU use."""


class TotalReader:
    """Reads totals of one node; the base for CPU use and for power."""

    def __init__(self, runner: QueryRunner, queries: Queries) -> None:
        self._runner, self._grid, self._queries = runner, runner.grid, queries

    async def _ask(self, query: NodeQuery, names: Names, kind: MetricType, notes: list[str]) -> tuple[Series, ...]:
        """The node's series; the server's warnings are added to ``notes``."""
        if kind == "gauge":
            # slightly less than a step: a sensor reports the time before it is read, so that a sample at the beginning
            # of a step belongs to the step before
            span = promql_duration(self._grid.step - 0.001)
            query = replace(query, before="avg_over_time(", after=f"[{span}])")
        matrix = await self._runner.series(query, names)
        notes += [problem for problem in matrix.problems if problem not in notes]
        return matrix.series

    def _one(self, series: Sequence[Series], likeness: Likeness) -> Floats:
        """(T,) of series that are one, apart from restarts and replicas."""
        found = parts(series, (), self._grid, likeness)
        if not found:
            raise NoSeriesError("no sample in this time")
        refuse_dead_sensor(found[()][None, :], likeness.kind)
        return found[()]

    def _integral(self, means: Floats, notes: list[str]) -> Floats:
        """(T,) the running total of a gauge. Values below 0 are left out."""
        wrong = means < 0.0
        if wrong.any():
            notes.append(f"{int(wrong.sum())} values below 0 were left out")
        return integral(self._grid.times, np.where(wrong, np.nan, means))


def refuse_dead_sensor(rows: Floats, kind: MetricType) -> None:
    """Raises NoSeriesError for (P, T) that never change or are always 0: then there is no sensor."""
    if kind == "counter" and level(rows, kind) == 0.0:
        raise NoSeriesError("it stands still, so that nothing is measured")
    if kind == "gauge" and not np.any(np.nan_to_num(rows)):
        raise NoSeriesError("a constant 0, so that nothing is measured")


def level(rows: Floats, kind: MetricType) -> float:
    """The size of (P, T) parts, to compare sets of them: the sum of their means, or of the rises of counters."""
    if kind == "gauge":
        return float(sum(row[~np.isnan(row)].mean() for row in rows))
    steps = [np.diff(row[~np.isnan(row)]) for row in rows]
    return float(sum(each[each > 0.0].sum() for each in steps))
