"""A Prometheus that a test fills with what kube-state-metrics tells: series with one value from a time to a time.

Knows the forms of PromQL that ``commands.simulate.cluster.history`` asks in; the use of pods is a whole answer that the
test gives. ``least`` makes it refuse windows that are longer, as a server does whose limit of samples is reached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.prometheus.answers import Matrix, Sample, Series, Vector

_FORM = re.compile(
    r"(?P<how>last|min|max)_over_time\((?:timestamp\()?(?P<metric>\w+)(?:\{(?P<matchers>.*)\})?\)?"
    r"\[(?P<window>\d+)s(?::(?P<every>\d+)s)?\]\)"
)


@dataclass(frozen=True)
class Told:
    """One series of kube-state-metrics: the same value as long as its object is there."""

    name: str
    labels: dict[str, str]
    value: float
    start: float
    end: float


@dataclass
class ToldPrometheus:
    """Stands for a PrometheusApi."""

    series: Sequence[Told] = ()
    use: Sequence[Series] = ()
    """The answer to the query for the use of pods, with all its times."""
    most: float = float("inf")
    """[s] A longer window is too much."""
    asked: list[str] = field(default_factory=list)
    match: Matchers = EVERYTHING
    where: str = "Prometheus http://told"

    async def query(self, promql: str, at: float, limits: Limits) -> Vector:
        self.asked.append(promql)
        form = _FORM.fullmatch(promql)
        assert form is not None, f"no query that is known here: {promql}"
        window = float(form["window"])
        if window > self.most:
            raise LoadError("query", "it refused it: query processing would load too many samples into memory")
        there = [each for each in self.series if each.name == form["metric"] and _matches(each, form["matchers"] or "")]
        there = [each for each in there if each.start <= at and each.end > at - window]
        return Vector(tuple(Sample(each.labels, at, _value(each, form["how"], at, window)) for each in there))

    async def query_range(self, promql: str, start: float, end: float, step: float) -> Matrix:
        self.asked.append(promql)
        if end - start > self.most:
            raise LoadError("timeout", "it gave up")
        inside = [(each, (each.times >= start) & (each.times <= end)) for each in self.use]
        return Matrix(tuple(Series(each.labels, each.times[at], each.values[at]) for each, at in inside if np.any(at)))


def _matches(series: Told, matchers: str) -> bool:
    found = re.findall(r'(\w+)=~"([^"]*)"', matchers)
    return all(re.fullmatch(value, series.labels.get(label, "")) for label, value in found)


def _value(series: Told, how: str, at: float, window: float) -> float:
    if how == "last":
        return series.value
    return max(series.start, at - window) if how == "min" else min(series.end, at)
