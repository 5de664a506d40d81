"""What several seeds say together: means, 95 % intervals, and savings between runs of one seed. Pure.

Runs of one seed have the same chances (fits, arrivals, ties), so a saving is computed for each seed, and its mean over
the seeds taken: that varies less than the energies do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peaks_scheduler.commands.simulate.statistics import interval
from peaks_scheduler.simulation.measurement import Kpis

from .tables import Results


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds."""

    value: float
    margin: float | None
    """Half of its 95 % interval; None with a single seed."""


def mean(values: Sequence[float]) -> Mean:
    """Mean and margin (Student's t) of independent values, at least one."""
    found = interval(values)
    return Mean(found.mean, found.half)


def by_strategy(results: Results) -> dict[str, list[Kpis]]:
    """The KPIs of each strategy, one for each seed, in the order of the results."""
    found: dict[str, list[Kpis]] = {}
    for replay, measurement in results:
        found.setdefault(replay.case.strategy, []).append(measurement.kpis)
    return found


def mean_of(rows: Sequence[Kpis], figure: Callable[[Kpis], float | None]) -> Mean | None:
    """Mean of a figure over the seeds; None where some run does not have it."""
    values = [figure(row) for row in rows]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return mean(known) if len(known) == len(values) and known else None


def saving(rows: Sequence[Kpis], against: Sequence[Kpis]) -> Mean | None:
    """Energy saved [%] against other runs, seed by seed; None where the runs cannot be paired."""
    if len(rows) != len(against) or any(other.energy_kwh <= 0.0 for other in against):
        return None
    return mean([100.0 * (1.0 - one.energy_kwh / other.energy_kwh) for one, other in zip(rows, against, strict=True)])
