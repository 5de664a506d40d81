"""Measured power of all hosts together: a Parquet file with ``timestamp`` [ms] and ``power_draw`` [W].

A value is the mean of the time since the one before. Times count from the first submission of the work; timestamps of
the calendar are brought there. Refuses units that cannot be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.plausibility import LEAST, MOST
from peaks_scheduler.text.words import plural

from .parquet import floats, milliseconds, read_columns

OPTION = "--power"
_CALENDAR = 1e11  # [ms] numbers above count since 1970: 3 years from the start of the work are less
_LEAST_STEP, _MOST_STEP = 1.0, 3600.0  # [s] usual step of the meter


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPower:
    """M samples of the meter."""

    time: Floats
    """(M,) [s] from the first submission, rising: when the sample's interval ends."""
    watts: Floats
    """(M,) [W] of all hosts together."""
    step: float
    """[s] usual step; also the length of the interval of each sample."""
    notes: tuple[str, ...] = ()

    def during(self, end: float) -> MeasuredPower:
        """The samples from 0 to ``end`` [s], while work was measured. Raises ConfigurationError where there are "
        "none."""
        there = (self.time > 0.0) & (self.time <= end)
        if not there.any():
            raise ConfigurationError(
                f"{OPTION}: expected samples while work was measured, 0 to {end / 3600.0:.1f} h after the first "
                "submission; "
                f"got {self.time[0] / 3600.0:.1f} to {self.time[-1] / 3600.0:.1f} h: are both of one clock and one "
                "site?"
            )
        left = int((~there).sum())
        more = (f"{plural(left, 'sample')} of the meter before or after the measured work, left out",) if left else ()
        return MeasuredPower(self.time[there], self.watts[there], self.step, (*self.notes, *more))


def read_power(path: str, epoch_ms: float) -> MeasuredPower:
    """The meter's samples. ``epoch_ms`` [ms since 1970]: the first submission. Raises ConfigurationError."""
    table = read_columns(OPTION, Path(path), ("timestamp", "power_draw"))
    where = f"{OPTION} {path}"
    time, watts = milliseconds(where, table, "timestamp"), floats(where, table, "power_draw")
    good = np.isfinite(time) & np.isfinite(watts) & (watts > 0.0)
    time, watts = time[good], watts[good]
    if len(time) < 2:
        raise ConfigurationError(
            f"{OPTION} {path}: expected samples with a power above 0; got {plural(len(time), 'such')}"
        )
    if float(np.median(time)) > _CALENDAR:
        time = time - epoch_ms
    time, first = np.unique(time / 1000.0, return_index=True)
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    _check_step(path, step)
    lost = len(good) - len(time)
    notes = (f"{plural(lost, 'sample')} of the meter without a value or at a time twice, left out",) if lost else ()
    return MeasuredPower(time, watts[first], step, notes)


def _check_step(path: str, step: float) -> None:
    if _LEAST_STEP <= step <= _MOST_STEP:
        return
    hint = "another unit"
    for unit, factor in (("seconds", 1000.0), ("microseconds", 1e-3)):
        if _LEAST_STEP <= step * factor <= _MOST_STEP:
            hint = unit
    raise ConfigurationError(
        f"{OPTION} {path}: expected timestamps in ms, 1 s to 1 h apart; they are {step * 1000.0:g} apart: are these "
        f"{hint}? "
        "Convert them to ms"
    )


def check_watts(path: str, watts: Floats, hosts: int) -> None:
    """Raises ConfigurationError where the power cannot be that of so many hosts."""
    each = float(np.median(watts)) / hosts
    if LEAST <= each <= MOST:
        return
    likely = [unit for unit, factor in (("kilowatts", 1e3), ("milliwatts", 1e-3)) if LEAST <= each * factor <= MOST]
    remedy = f"are these {likely[0]}? Convert them to watts" if likely else "check the unit"
    raise ConfigurationError(
        f"{OPTION} {path}: expected power_draw in watts, {LEAST:g} to {MOST:,.0f} a host; the median is {each:.3g} "
        "for each "
        f"of {plural(hosts, 'host')}: {remedy}"
    )
