"""Averages over time of what changes in steps: exact, however coarse the new times are. Pure.

A series has a value from each of its times to the next, and the last one until its end. Before its first time and after
its end it counts as nothing.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats


def integral(times: Floats, values: Floats, end_s: float, at: Floats) -> Floats:
    """(M,) [value s] integral of the series from its begin to each of M times."""
    if not len(times):
        return np.zeros(len(at))
    knots = np.append(times, max(end_s, float(times[-1])))
    total = np.concatenate([[0.0], np.cumsum(values * np.diff(knots))])
    reached: Floats = np.interp(at, knots, total)
    return reached


def averages(times: Floats, values: Floats, end_s: float, edges: Floats) -> Floats:
    """(M,) mean of the series between each two of M + 1 rising times."""
    mean: Floats = np.diff(integral(times, values, end_s, edges)) / np.diff(edges)
    return mean


def before(times: Floats, values: Floats, at: Floats) -> Floats:
    """(M,) the value that the series has just before each of M times."""
    place = np.maximum(np.searchsorted(times, at, side="left") - 1, 0)
    value: Floats = values[place]
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
