"""Many series of one node as one: sockets added, restarts joined, resets kept visible.

Owns the arithmetic on a common grid of times. A node's energy is counted by several series (sockets, the parts idle and
dynamic), and each of them is cut into several when its exporter restarts under another pod's name. Whether series tell
the same is ``replicas.py``'s to judge. Assumes that all come from one range query with one step. A sum is taken only
where all of its parts are there: a socket that is missing would pass for a node that saves power. Pure: numpy; never
interpolates.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.replicas import Likeness, one, refuse_strangers

Labels = tuple[str, ...]


def parts(series: Iterable[Series], by: Sequence[str], grid: Grid, likeness: Likeness) -> Mapping[Labels, Floats]:
    """The series on the grid by what tells parts of one node apart: labels ``by`` -> (T,), NaN where there is none.

    Series alike in those labels are one part, seen before and after a restart, by two scrapes or by two replicas of a
    Prometheus. Raises DisagreeError where they tell different things.
    """
    sets: dict[Labels, list[Series]] = {}
    for each in series:
        sets.setdefault(tuple(each.labels.get(label, "") for label in by), []).append(each)
    refuse_strangers(([each.labels for each in its] for its in sets.values()), by)
    found: dict[Labels, Floats] = {}
    for part, its in sorted(sets.items()):
        row = one(its, grid, likeness)
        if row is not None:
            found[part] = steady(row) if likeness.kind == "counter" else row
    return found


def steady(row: Floats) -> Floats:
    """(T,) a counter without its small steps back: it stands still until it is where it was.

    Counters of the kernel fall by hundredths of a second now and then. A reset falls by more than the counter usually
    rises in a step, and stays.
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


def usual(rows: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """((P,), (T,)) of (P, T): the parts that are there together most of the time, and when all of these are.

    Where two sets of parts are there equally long, the larger one.
    """
    there = ~np.isnan(rows)
    sets, counts = np.unique(there[:, there.any(axis=0)], axis=1, return_counts=True)
    best = max(range(len(counts)), key=lambda i: (counts[i], sets[:, i].sum()))
    chosen: NDArray[np.bool_] = sets[:, best]
    complete: NDArray[np.bool_] = np.all(there[chosen], axis=0)
    return chosen, complete


def sum_gauges(rows: Floats) -> Floats:
    """(P, T) -> (T,) the sum of the usual parts, NaN where one of them is missing."""
    chosen, complete = usual(rows)
    return np.where(complete, np.where(complete, rows[chosen], 0.0).sum(axis=0), np.nan)


def sum_counters(rows: Floats) -> Floats:
    """(P, T) -> (T,) one counter of the usual parts, NaN where one of them is missing.

    Where one part was reset the sum falls, as a single counter would, to what is known to have come since: nobody who
    knows counters takes the difference there for what was used.
    """
    chosen, complete = usual(rows)
    at = np.flatnonzero(complete)
    values = rows[chosen][:, at]
    total = np.full(rows.shape[1], np.nan)
    rises = np.diff(values, axis=1)
    reset: NDArray[np.bool_] = np.any(rises < 0.0, axis=0)
    total[at] = _accumulated(values[:, 0].sum(), np.where(rises < 0.0, values[:, 1:], rises).sum(axis=0), reset)
    return total


def _accumulated(first: float, rises: Floats, reset: NDArray[np.bool_]) -> Floats:
    """(T,) a counter from ``first`` on by (T-1,) ``rises``; where ``reset`` it begins again with the rise."""
    sums = np.concatenate([[first], rises]).cumsum()
    starts = np.concatenate([[0], np.flatnonzero(reset) + 1])
    offsets = np.concatenate([[0.0], sums[starts[1:] - 1]])
    total: Floats = sums - np.repeat(offsets, np.diff([*starts, sums.size]))
    return total


def integral(times: Floats, means: Floats) -> Floats:
    """(T,) the counter of a gauge's ``means`` over the time up to each instant; NaN where there is no mean.

    A mean stands for all of the time since the one before: a gauge that is scraped less often than asked for.
    """
    at = np.flatnonzero(~np.isnan(means))
    total = np.full(means.size, np.nan)
    if at.size:
        total[at] = np.concatenate([[0.0], np.cumsum(means[at][1:] * np.diff(times[at]))])
    return total
