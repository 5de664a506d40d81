"""How close predicted power comes to measured power: the figures that simulators are compared by. Pure."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats


def mape(predicted: Floats, measured: Floats) -> float:
    """[%] mean absolute percentage error. (M,) [W] each."""
    return 100.0 * float(np.mean(np.abs(predicted - measured) / measured))


def nad(predicted: Floats, measured: Floats) -> float:
    """[%] normalised absolute difference: the sum of all errors over the sum of all measured power."""
    return 100.0 * float(np.abs(predicted - measured).sum() / measured.sum())


def rmsle(predicted: Floats, measured: Floats) -> float:
    """[1] root mean square error of the logarithms: over- and underestimates by a factor count alike."""
    return float(np.sqrt(np.mean((np.log(predicted) - np.log(measured)) ** 2)))


def within(predicted: Floats, measured: Floats, share: float) -> float:
    """[fraction] of the samples whose error is below this share of the measured power."""
    return float(np.mean(np.abs(predicted - measured) < share * measured))


def interval_means(times: Floats, values: Floats, seconds: float) -> Floats:
    """Means over whole intervals of so many seconds. times (M,) [s] at which the sample's own interval ends.

    Intervals that lack samples, at the ends or in a gap, are left out: all have as many samples as the fullest one.
    """
    _, which, counts = np.unique(np.ceil(np.round(times / seconds, 6)), return_inverse=True, return_counts=True)
    means: Floats = (np.bincount(which, values) / counts)[counts == counts.max()]
    return means
