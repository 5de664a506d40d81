"""Averages over time of what changes in steps: exact, however coarse the new times are. Pure.

A series has a value from each of its times to the next, and the last one until its end. Before its first time and after
its end it counts as nothing.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats


def integral(times: Floats, values: Floats, end_s: float, at: Floats) -> Floats:
    """(..., M) [value s] integral of the series from its begin to each of M times. ``values``: (..., T)."""
    if not len(times):
        return np.zeros((*values.shape[:-1], len(at)))
    spans = np.empty(len(times))
    spans[:-1] = times[1:] - times[:-1]
    spans[-1] = max(end_s - float(times[-1]), 0.0)
    sums = np.zeros(values.shape)  # up to each of the times
    (values * spans)[..., :-1].cumsum(axis=-1, out=sums[..., 1:])
    place = np.maximum(times.searchsorted(at, side="right") - 1, 0)
    within = np.minimum(np.maximum(at - times[place], 0.0), spans[place])
    reached: Floats = sums[..., place] + values[..., place] * within
    return reached


def averages(times: Floats, values: Floats, end_s: float, edges: Floats) -> Floats:
    """(M,) mean of the series between each two of M + 1 rising times."""
    reached = integral(times, values, end_s, edges)
    mean: Floats = (reached[..., 1:] - reached[..., :-1]) / (edges[1:] - edges[:-1])
    return mean


def before(times: Floats, values: Floats, at: Floats) -> Floats:
    """(..., M) the value that the series has just before each of M times. ``values``: (..., T)."""
    place = np.maximum(times.searchsorted(at, side="left") - 1, 0)
    value: Floats = values[..., place]
    return value


def thinned(times: Floats, values: Floats, end_s: float, most: int) -> tuple[Floats, Floats]:
    """The series in at most ``most`` steps: (times, values), with the end and the last value once more.

    A series with more steps becomes averages over equal spans of time, with the same integral.
    """
    if not len(times):
        return times, values
    if len(times) <= most:
        return np.append(times, max(end_s, float(times[-1]))), np.append(values, values[-1])
    edges = np.linspace(float(times[0]), end_s, most + 1)
    means = averages(times, values, end_s, edges)
    return edges, np.append(means, means[-1])
