"""Combine the series of one node: sockets are added, restarts joined, resets kept visible.

Owns the arithmetic on a common grid of times. Several series count a node's energy (one for each socket, for idle and
dynamic power), and each is cut into several when its exporter restarts under another pod name. ``replicas.py`` judges
which series belong together. Assumes that all come from one range query. A sum has a value only where all its parts
have one: a missing socket would look like a node that saves power. Never interpolates. Pure: numpy.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.replicas import Likeness, merged, refuse_other_clusters

PartKey = tuple[str, ...]
"""The values of the labels in which parts of a machine differ."""


def parts(series: Iterable[Series], by: Sequence[str], grid: Grid, likeness: Likeness) -> Mapping[PartKey, Floats]:
    """Values of the labels ``by`` -> (T,) the series of that part on the grid, NaN where it has no value.

    Series with equal values of these labels are one part: before and after a restart, from two scrapes, or from two
    replicas of a Prometheus. Raises DisagreeError if they contradict each other.
    """
    sets: dict[PartKey, list[Series]] = {}
    for each in series:
        sets.setdefault(tuple(each.labels.get(label, "") for label in by), []).append(each)
    refuse_other_clusters(([each.labels for each in its] for its in sets.values()), by)
    found: dict[PartKey, Floats] = {}
    for part, its in sorted(sets.items()):
        row = merged(its, grid, likeness)
        if row is not None:
            found[part] = without_small_falls(row) if likeness.kind == "counter" else row
    return found


def without_small_falls(row: Floats) -> Floats:
    """(T,) a counter without small falls: it keeps its value until it reaches it again.

    The kernel's counters sometimes fall by hundredths of a second. A fall by more than the usual rise in a step is a
    reset, and is kept.
    """
    at = np.flatnonzero(~np.isnan(row))
    values = row[at]
    rises = np.diff(values)
    if not (rises < 0.0).any() or not (rises > 0.0).any():
        return row
    usual_rise = float(np.median(rises[rises > 0.0]))
    pieces = np.split(values, np.flatnonzero(rises < -usual_rise) + 1)
    kept = row.copy()
    kept[at] = np.concatenate([np.maximum.accumulate(piece) for piece in pieces])
    return kept


def usual_parts(rows: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """((P,), (T,)) of (P, T): the set of parts that have values together most often, and when all of them have.

    Of two sets that are there equally often, the larger one.
    """
    there = ~np.isnan(rows)
    sets, counts = np.unique(there[:, there.any(axis=0)], axis=1, return_counts=True)
    best = max(range(len(counts)), key=lambda i: (counts[i], sets[:, i].sum()))
    chosen: NDArray[np.bool_] = sets[:, best]
    complete: NDArray[np.bool_] = np.all(there[chosen], axis=0)
    return chosen, complete


def sum_gauges(rows: Floats) -> Floats:
    """(P, T) -> (T,) the sum of the usual parts; NaN where one of them is missing."""
    chosen, complete = usual_parts(rows)
    return np.where(complete, np.where(complete, rows[chosen], 0.0).sum(axis=0), np.nan)


def sum_counters(rows: Floats) -> Floats:
    """(P, T) -> (T,) one counter of the usual parts; NaN where one of them is missing.

    If a part is reset, the sum falls as a single counter would, to what is known to be used since: readers of counters
    do not take the difference at a fall for use.
    """
    chosen, complete = usual_parts(rows)
    at = np.flatnonzero(complete)
    values = rows[chosen][:, at]
    total = np.full(rows.shape[1], np.nan)
    rises = np.diff(values, axis=1)
    reset: NDArray[np.bool_] = np.any(rises < 0.0, axis=0)
    total[at] = _accumulated(values[:, 0].sum(), np.where(rises < 0.0, values[:, 1:], rises).sum(axis=0), reset)
    return total


def _accumulated(first: float, rises: Floats, reset: NDArray[np.bool_]) -> Floats:
    """(T,) a counter that starts at ``first`` and grows by (T-1,) ``rises``; at a ``reset`` it restarts at the rise."""
    sums = np.concatenate([[first], rises]).cumsum()
    starts = np.concatenate([[0], np.flatnonzero(reset) + 1])
    offsets = np.concatenate([[0.0], sums[starts[1:] - 1]])
    total: Floats = sums - np.repeat(offsets, np.diff([*starts, sums.size]))
    return total


def integral(times: Floats, means: Floats) -> Floats:
    """(T,) the running total of a gauge, from its ``means`` up to each instant; NaN where there is no mean.

    A mean counts for the time since the previous mean, because a gauge may be scraped less often than once a step.
    """
    at = np.flatnonzero(~np.isnan(means))
    total = np.full(means.size, np.nan)
    if at.size:
        total[at] = np.concatenate([[0.0], np.cumsum(means[at][1:] * np.diff(times[at]))])
    return total
