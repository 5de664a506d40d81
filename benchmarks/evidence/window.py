"""What a replay cost between two moments. Pure."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.simulation.measurement import PowerSeries

JOULES = 3.6e6  # in a kilowatt-hour


def between(series: PowerSeries, start: float, end: float) -> dict[str, float]:
    """Energy, bound and work from ``start`` to ``end`` [s]."""
    spans = np.diff(np.clip(np.append(series.times, series.end_s), start, end))
    return {
        "kwh": _sum(series.watts, spans) / JOULES,
        "bound_kwh": _sum(series.bound, spans) / JOULES,
        "core_hours": _sum(series.cores, spans) / 3600.0,
    }


def _sum(values: Floats, spans: Floats) -> float:
    return float(np.sum(values * spans))


def reached(series: PowerSeries, cores: float) -> tuple[float, float]:
    """(power, bound) [W] at the moment at which ``cores`` are first in use."""
    place = int(np.argmax(series.cores >= cores - 1e-9))
    return float(series.watts[place]), float(series.bound[place])
