"""Power of one node as a running total of joules.

Owns which series of a metric are added and which one of several is used. A constant 0 means that there is no sensor.
Never mixes estimates with measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.scope import ESTIMATE
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.labels import LabelMap
from peaks_scheduler.sources.prometheus.replicas import OUTER, Likeness, alike, refuse_other_clusters

from .exporters import NodeMetric, Zone
from .node_queries import NodeQuery
from .origin import Origin, origin
from .plan import AvailableMetric, NoSeriesError
from .sums import PartKey, parts, sum_counters, sum_gauges
from .total import Total, TotalReader, level, refuse_dead_sensor

_WATTS = 2.0  # that two readings of one sensor may differ by
_SCRAPED_BY = ("job", "endpoint", "service", "scrape_job")


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The parts of one zone, which are added."""

    rows: Floats
    """(P, T)"""
    origin: Origin


class PowerReader(TotalReader):
    """Reads a node's power."""

    async def read(self, available: AvailableMetric) -> Total:
        """Power from one metric. Raises LoadError, NoSeriesError, DisagreeError."""
        metric, notes = available.metric, list[str]()
        found = await self._zones(available, notes)
        rows = np.concatenate([part.rows for _, part in found])
        total = sum_counters(rows) if metric.kind == "counter" else self._integral(sum_gauges(rows), notes)
        part = f"{metric.part} + dram" if len(found) > 1 else metric.part
        source = " + ".join(zone.selector() for zone, _ in found)
        return Total(metric.unit * total, part, source, None, tuple(notes), found[0][1].origin)

    async def _zones(self, available: AvailableMetric, notes: list[str]) -> list[tuple[Zone, _Parts]]:
        """The zones with series. Raises NoSeriesError if the first one has none."""
        zones = available.metric.zones
        if available.series is not None:
            its = _origin(available, available.series)
            return [(zones[0], _Parts(self._custom(available, available.series, notes), its))]
        found = [(zone, await self._zone(available, zone, notes)) for zone in zones]
        return [(zone, parts) for zone, parts in found if parts is not None]

    async def _zone(self, available: AvailableMetric, zone: Zone, notes: list[str]) -> _Parts | None:
        """The parts of one zone; None if it has no series and is not the first one."""
        metric = available.metric
        try:
            series = await self._ask(NodeQuery(zone.metric, zone.conditions), available.names, metric.kind, notes)
            same = [each for each in series if _is_estimate(available, each.labels) is available.estimated]
            return self._largest(available, zone, same, notes)
        except NoSeriesError as error:
            if zone is metric.zones[0]:
                raise
            notes.append(f"without {zone.selector()}: {error}")
            return None

    def _largest(self, available: AvailableMetric, zone: Zone, series: Sequence[Series], notes: list[str]) -> _Parts:
        """Of sets of parts that measure the same, the set with the most power."""
        metric = available.metric
        sets: dict[PartKey, list[Series]] = {}
        for each in series:
            sets.setdefault(tuple(each.labels.get(label, "") for label in metric.rivals), []).append(each)
        refuse_other_clusters(([each.labels for each in its] for its in sets.values()), metric.rivals)
        found = {key: parts(its, metric.parts, self._grid, _likeness(metric)) for key, its in sets.items()}
        rows = {key: np.stack(list(its.values())) for key, its in found.items() if its}
        if not rows:
            raise NoSeriesError("no sample in this time")
        best = max(sorted(rows), key=lambda key: level(rows[key], metric.kind))
        refuse_dead_sensor(rows[best], metric.kind)
        if len(rows) > 1:
            words = ", ".join(f"{label} {value}" for label, value in zip(metric.rivals, best, strict=True) if value)
            notes.append(f"{zone.metric} comes {len(rows)} times, the largest is used: {words}")
        return _Parts(rows[best], _origin(available, sets[best]))

    # -- a custom query

    def _custom(self, available: AvailableMetric, series: Sequence[Series], notes: list[str]) -> Floats:
        """(P, T): series that differ in more than external labels are parts, which are added."""
        metric, likeness = available.metric, _likeness(available.metric)
        labels = sorted({label for each in series for label in each.labels})
        inner = [label for label in labels if label not in available.outer and not OUTER.search(label)]
        found = parts(series, inner, self._grid, likeness)
        if not found:
            raise NoSeriesError("no sample in this time")
        at = [i for i, label in enumerate(inner) if label not in _SCRAPED_BY]
        kept = self._without_doubles(found, at, likeness)
        if len(kept) < len(series):
            notes.append(f"{len(series)} series of the query count as {len(kept)}: by replicas, or scraped twice")
        if len(kept) > 1:
            notes.append(f"{len(kept)} series of the query were added")
        rows = np.stack(kept)
        refuse_dead_sensor(rows, metric.kind)
        return rows

    def _without_doubles(self, found: Mapping[PartKey, Floats], at: Sequence[int], likeness: Likeness) -> list[Floats]:
        """Without series that another job has scraped as well: equal in the labels at ``at``, and alike in values."""
        kept: dict[PartKey, list[Floats]] = {}
        for labels, row in found.items():
            same = kept.setdefault(tuple(labels[i] for i in at), [])
            if not any(_is_double(row, each, self._grid.step, likeness) for each in same):
                same.append(row)
        return [row for same in kept.values() for row in same]


def _origin(available: AvailableMetric, series: Sequence[Series]) -> Origin:
    """The origin of the sum of these series: if one is an estimate, the sum is."""
    each = [origin(available.metric, one.labels, available.info) for one in series]
    return next((one for one in each if one.doubt), each[0])


def _is_estimate(available: AvailableMetric, labels: LabelMap) -> bool:
    return origin(available.metric, labels, available.info).scope == ESTIMATE


def _likeness(metric: NodeMetric) -> Likeness:
    return Likeness(metric.kind, _WATTS / metric.unit)


def _is_double(row: Floats, other: Floats, step: float, likeness: Likeness) -> bool:
    return bool(np.any(~np.isnan(row) & ~np.isnan(other))) and alike(row, other, step, likeness)
