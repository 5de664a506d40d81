"""A Prometheus that a test plays: raw series as functions of time, and the few forms of PromQL that are asked of it.

Knows selectors with ``=``, ``=~`` and ``!~``, ``sum`` and ``count without (...)``, and ``avg_over_time`` of a selector;
any other query is answered by what the test has put under that very text. Looks back five minutes, as Prometheus does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers
from peaks_scheduler.sources.prometheus.answers import Matrix, Series

Floats = NDArray[np.float64]

LOOK_BACK = 300.0
_QUERY = re.compile(
    r"(?:(?P<how>sum|count) without \((?P<without>[^)]*)\) \(|(?P<mean>avg_over_time)\()?"
    r"(?P<metric>\w+)\{(?P<matchers>[^}]*)\}(?:\[(?P<span>\d+)ms\])?\)?"
)
_BARE = re.compile(r"\w+")


@dataclass(frozen=True)
class Raw:
    """One series as it was scraped."""

    name: str
    labels: Mapping[str, str]
    times: Floats
    values: Floats


def raw(
    name: str,
    value: float | Callable[[float], float],
    start: float,
    end: float,
    every: float = 15.0,
    **labels: str,
) -> Raw:
    """A series scraped from ``start`` to ``end``; its value is a number or a function of time."""
    times = np.arange(start, end + every / 2.0, every)
    values = [value(float(t)) if callable(value) else value for t in times]
    return Raw(name, labels, times, np.array(values, float))


@dataclass
class PlayedPrometheus:
    """Stands for a PrometheusApi.

    Attributes:
        own: whole answers to queries that are no plain form, by their text without line breaks.
        failing: queries that hold this text fail; "" is in all of them.
        warnings: what every answer says beside.
    """

    series: Sequence[Raw] = ()
    own: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    failing: str | None = None
    warnings: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    match: Matchers = EVERYTHING
    node_label: str | None = None

    async def query_range(self, promql: str, start: float, end: float, step: float, **_: object) -> Matrix:
        self.asked.append(promql)
        if self.failing is not None and self.failing in promql:
            raise LoadError("http-500", f"{promql}: expected 200; got 500")
        grid = np.array([start + step * i for i in range(int((end - start) / step + 1e-9) + 1)])
        return Matrix(tuple(each for each in self._answer(promql, grid) if each.times.size), self.warnings)

    async def aclose(self) -> None:
        pass

    def _answer(self, promql: str, grid: Floats) -> list[Series]:
        text = promql.replace("\n", "")
        if text in self.own:
            return [_sampled(each, grid) for each in self.own[text]]
        if _BARE.fullmatch(text):
            text += "{}"
        form = _QUERY.fullmatch(text)
        assert form is not None, f"no query that is known here: {promql}"
        chosen = [each for each in self.series if each.name == form["metric"] and _matches(each, form["matchers"])]
        if form["mean"]:
            return [_mean(each, grid, float(form["span"]) / 1000.0) for each in chosen]
        if form["how"]:
            return _aggregated(chosen, grid, form["how"], form["without"].split(", "))
        return [_sampled(each, grid) for each in chosen]


def _matches(series: Raw, matchers: str) -> bool:
    for label, how, value in re.findall(r'(\w+)(=~|!~|=)"([^"]*)"', matchers):
        there = series.labels.get(label, "")
        is_it = there == value if how == "=" else bool(re.fullmatch(value, there))
        if is_it is (how == "!~"):
            return False
    return True


def _sampled(series: Raw, grid: Floats) -> Series:
    at = np.searchsorted(series.times, grid, "right") - 1
    known = (at >= 0) & (grid - series.times[np.maximum(at, 0)] < LOOK_BACK)
    # a series that ends is marked as stale: it is gone at the next scrape
    known &= grid <= series.times[-1] + (series.times[1] - series.times[0] if series.times.size > 1 else 0.0)
    return Series(series.labels, grid[known], series.values[at[known]])


def _mean(series: Raw, grid: Floats, span: float) -> Series:
    found = []
    for t in grid:
        inside = series.values[(series.times >= t - span) & (series.times <= t)]
        if inside.size:
            found.append((t, float(inside.mean())))
    points = np.array(found).reshape(-1, 2)
    return Series(series.labels, points[:, 0], points[:, 1])


def _aggregated(chosen: Sequence[Raw], grid: Floats, how: str, without: Sequence[str]) -> list[Series]:
    groups: dict[tuple[tuple[str, str], ...], dict[float, list[float]]] = {}
    for each in chosen:
        key = tuple(sorted((label, value) for label, value in each.labels.items() if label not in without))
        sampled = _sampled(each, grid)
        for t, value in zip(sampled.times, sampled.values, strict=True):
            groups.setdefault(key, {}).setdefault(float(t), []).append(float(value))
    reduce: Callable[[list[float]], float] = sum if how == "sum" else lambda values: float(len(values))
    return [
        Series(dict(key), np.array(sorted(points)), np.array([reduce(points[t]) for t in sorted(points)]))
        for key, points in groups.items()
    ]
