"""Questions to a Prometheus about a range of time, in bounded steps.

A series of kube-state-metrics says the same at every scrape, so its last value in each window of a day is enough; what
is too much for the server (or for us) is asked for in halves. Names of metrics are the callers'. Assumes that our clock
and Prometheus' agree to within a step, as ``fit`` does. Never interprets a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import LoadError
from peaks_scheduler.sources.limits import LARGE_PODS, Limits
from peaks_scheduler.sources.prometheus.answers import Matrix, Sample, joined
from peaks_scheduler.sources.prometheus.api import PrometheusApi, too_much
from peaks_scheduler.sources.prometheus.labels import LabelMap
from peaks_scheduler.sources.prometheus.load_queries import promql_duration

_DAY = 86_400.0
_STEPS = 72
"""Steps of one range query about pods: a series has 3 KB then."""
_FINEST = 60.0
"""[s] how exactly it is asked when a series was there first and last."""
_LIMITS = Limits.of_pods(2 * LARGE_PODS)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time on a grid: ``start`` and ``end`` [s since the epoch] are ``step`` [s] times whole numbers."""

    start: float
    end: float
    step: float

    @property
    def finest(self) -> float:
        """[s] resolution of when a series was there first and last."""
        return min(self.step, _FINEST)


@dataclass(slots=True)
class History:
    """One Prometheus over one span."""

    api: PrometheusApi
    span: Span
    problems: dict[str, None] = field(default_factory=dict)
    """Warnings of the server, in words."""

    async def latest(self, metric: str, *matchers: str) -> list[Sample]:
        """The last value of each series of ``metric`` in each window, in order of time; its time is the window's end.

        Raises LoadError, also where nothing of it can be had in the smallest windows.
        """
        selector = self.api.match.selector(metric, *matchers)
        return await self._windows(lambda window: f"last_over_time({selector}[{window}])")

    async def first_seen(self, metric: str, *matchers: str) -> list[Sample]:
        """As ``latest``, with the time of the first sample of each series in each window as its value."""
        return await self._windows(self._seen("min", self.api.match.selector(metric, *matchers)))

    async def last_seen(self, metric: str, *matchers: str) -> list[Sample]:
        """As ``latest``, with the time of the last sample of each series in each window as its value."""
        return await self._windows(self._seen("max", self.api.match.selector(metric, *matchers)))

    async def over_time(self, promql: str) -> Matrix:
        """The values of each series at the end of each step."""
        span = self.span
        count = round((span.end - span.start) / span.step)
        parts: list[Matrix] = []
        for first in range(1, count + 1, _STEPS):
            parts += await self._part(promql, range(first, min(first + _STEPS, count + 1)))
        return joined(parts)

    def _seen(self, which: str, selector: str) -> Callable[[str], str]:
        finest = promql_duration(self.span.finest)
        return lambda window: f"{which}_over_time(timestamp({selector})[{window}:{finest}])"

    async def _windows(self, query: Callable[[str], str]) -> list[Sample]:
        count = max(1, math.ceil((self.span.end - self.span.start) / _DAY))
        found: list[Sample] = []
        for number in range(count):
            start = self.span.start + number * _DAY
            found += await self._window(query, start, min(start + _DAY, self.span.end))
        return found

    async def _window(self, query: Callable[[str], str], start: float, end: float) -> list[Sample]:
        try:
            answer = await self.api.query(query(promql_duration(end - start)), end, _LIMITS)
            self.problems |= dict.fromkeys(answer.problems)
            return list(answer.samples)
        except LoadError as error:
            if end - start < 2.0 * self.span.step or not too_much(error):
                raise
        steps = round((end - start) / self.span.step)
        middle = start + steps // 2 * self.span.step
        return [*await self._window(query, start, middle), *await self._window(query, middle, end)]

    async def _part(self, promql: str, steps: range) -> list[Matrix]:
        start, step = self.span.start, self.span.step
        try:
            answer = await self.api.query_range(promql, start + steps[0] * step, start + steps[-1] * step, step)
            self.problems |= dict.fromkeys(answer.problems)
            return [answer]
        except LoadError as error:
            if len(steps) < 2 or not too_much(error):
                raise
        middle = len(steps) // 2
        return [*await self._part(promql, steps[:middle]), *await self._part(promql, steps[middle:])]


def own(labels: LabelMap, name: str) -> str:
    """A label of the exporter's own. Where Prometheus has set one of that name, the exporter's is ``exported_...``."""
    return labels.get(f"exported_{name}") or labels.get(name, "")


Use = dict[tuple[str, str], tuple[Floats, Floats]]
"""(namespace, name) of pods -> (T,) ends of steps [s since the epoch], (T,) cores used in each step."""


def by_pod(matrix: Matrix) -> Use:
    """The series of pods by namespace and name."""
    return {
        (own(each.labels, "namespace"), own(each.labels, "pod")): (each.times, each.values) for each in matrix.series
    }


def newest(samples: Iterable[Sample], *names: str) -> dict[tuple[str, ...], Sample]:
    """The newest sample by the values of these labels."""
    return {tuple(own(each.labels, name) for name in names): each for each in samples}
