"""One recorded series, and its running total: in order of time, and cut at gaps and resets.

Owns what can be wrong within a single series: missing values, times that occur twice, resets, gaps, samples that an
exporter only repeated; and how a counter is told from a gauge. Reports in words what it leaves out. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.arrays import Mask as Bools
from peaks_scheduler.text.words import plural

Kind = Literal["counter", "gauge"]

_GAP = 2.5  # usual steps; a longer step is a gap
_FROZEN = 5  # equal samples in a row of a gauge that usually changes: the exporter repeats an old value
_LIVELY = 0.9  # share of steps with a change, from which on a gauge "usually changes"
_CATCH_UP = 1.5  # times the usual rise: the counter was stale before, and caught up
_COUNTER_SAMPLES = 20  # least values before a column that only rises counts as a counter
_COUNTER_HIGH = 1000.0  # least highest value of a counter: above fractions, percent, cores and a small machine's watts


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One series of one node as it was recorded."""

    times: Floats
    """(T,) [s] in any order; a time may occur several times."""
    values: Floats
    """(T,) CPU: fraction, or fraction-seconds for a counter. Power: [W], or [J] for a counter. NaN: missing."""
    kind: Kind


def kind_of(values: Floats) -> Kind:
    """Does this series count up (a counter) or not (a gauge)? (T,) in order of time, NaN = missing.

    A counter falls only when it is reset, and reaches high values: a short or low series that rises counts as a gauge.
    """
    known = values[np.isfinite(values)]
    if known.size < _COUNTER_SAMPLES or known.max() < _COUNTER_HIGH or known.min() < 0.0:
        return "gauge"
    steps = np.diff(known)
    falls = steps < 0.0
    restarts = bool(np.all(known[1:][falls] < known[:-1][falls] / 2.0))
    return "counter" if restarts and falls.mean() <= 0.05 and (steps > 0.0).mean() >= 0.25 else "gauge"


@dataclass(frozen=True, slots=True, eq=False)
class RunningTotal:
    """A reading in order of time with its integral, T >= 2. The total of a counter is the counter itself; between two
    samples a gauge is taken as a straight line."""

    times: Floats  # (T,) [s] rising
    values: Floats  # (T,) as recorded
    total: Floats  # (T,) integral over time; differences are valid only within one stretch
    stretch: Ints  # (T,) number of the unbroken stretch that the sample is in
    kind: Kind
    step: float  # [s] median step

    def means(self, start: Floats, end: Floats) -> Floats:
        """Mean over each interval; NaN where the series has a break in it or does not cover it. (M,) [s] -> (M,)."""
        first = np.searchsorted(self.times, start, "right") - 1
        last = np.searchsorted(self.times, end, "left")
        inside = (first >= 0) & (last < len(self.times))
        whole = inside & (self.stretch[first] == self.stretch[np.minimum(last, len(self.times) - 1)])
        rise = self._total_at(end) - self._total_at(start)
        return np.where(whole, rise / (end - start), np.nan)

    def _total_at(self, times: Floats) -> Floats:
        k = np.clip(np.searchsorted(self.times, times, "right") - 1, 0, len(self.times) - 2)
        since, step = times - self.times[k], self.times[k + 1] - self.times[k]
        if self.kind == "counter":
            line: Floats = self.total[k] + since * (self.total[k + 1] - self.total[k]) / step
            return line
        bend = (self.values[k + 1] - self.values[k]) / step
        curve: Floats = self.total[k] + since * (self.values[k] + 0.5 * bend * since)
        return curve


def running_total(name: str, reading: Reading, notes: list[str], *, repeats: bool = False) -> RunningTotal | None:
    """The reading in order, without its bad samples, each kind of which is added to ``notes``. None: fewer than two
    samples are left. ``name`` is what notes call the series, ``CPU`` or ``power``. ``repeats``: samples that repeat
    the one before are kept, stale or not."""
    times, values = _ordered(name, reading, notes)
    stale = _stale_counter(values, name == "CPU") if reading.kind == "counter" else _stale_gauge(values)
    if stale.any() and not repeats:
        notes.append(f"{name}: {plural(int(stale.sum()), 'sample')} that only repeat the one before, left out")
        times, values = times[~stale], values[~stale]
    if times.size < 2:
        return None
    steps = np.diff(times)
    usual = float(np.median(steps))
    gap, reset = steps > _GAP * usual, (np.diff(values) < 0.0) & (reading.kind == "counter")
    for mask, word in ((gap, "gap"), (reset, "counter reset")):
        if mask.any():
            notes.append(f"{name}: {plural(int(mask.sum()), word)}, not bridged")
    area = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2.0 * steps)])
    stretch = np.concatenate([[0], np.cumsum(gap | reset)])
    return RunningTotal(times, values, values if reading.kind == "counter" else area, stretch, reading.kind, usual)


def _ordered(name: str, reading: Reading, notes: list[str]) -> tuple[Floats, Floats]:
    """((T,) times, (T,) values) of the samples that have a value: ordered, and one sample for each time."""
    known = np.isfinite(reading.times) & np.isfinite(reading.values)
    if not known.all():
        notes.append(f"{name}: {plural(int((~known).sum()), 'sample')} without a value, left out")
    # rounded to the millisecond, so that equal times of two series are equal
    times, values = np.round(reading.times[known], 3), reading.values[known]
    order = np.argsort(times, kind="stable")
    if np.any(np.diff(order) != 1):
        notes.append(f"{name}: samples were not in order of time, put in order")
    times, values = times[order], values[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(times) > 0.0])) if times.size else np.zeros(0, np.int64)
    if (again := times.size - first.size) == 0:
        return times, values
    notes.append(f"{name}: {plural(again, 'sample')} at a time that another one has, combined (is it one node?)")
    if reading.kind == "counter":
        return times[first], np.maximum.reduceat(values, first)
    return times[first], np.add.reduceat(values, first) / np.diff(np.append(first, times.size))


def _stale_counter(values: Floats, may_rest: bool) -> Bools:
    """(T,) samples that only repeat an old value, because the exporter had not measured again. The first one is kept.

    An energy counter always rises. A counter of CPU time may rest (``may_rest``) on an idle machine: its repeats are
    stale only if most changes follow a repeat (it is read more often than measured), or if the counter afterwards
    catches up.
    """
    same = np.concatenate([[False], np.diff(values) == 0.0])
    moves = np.flatnonzero(~same)[1:]
    if not same.any() or not may_rest or (moves.size and same[moves - 1].mean() > 0.5):
        return same
    stale = np.zeros_like(same)
    rises = np.diff(values, prepend=values[0])
    for start, end in _runs(same):
        around = np.concatenate([rises[max(start - 1, 1) : start], rises[end + 1 : end + 2]])
        if end < values.size and around.size and rises[end] > _CATCH_UP * around.max():
            stale[start:end] = True
    return stale


def _stale_gauge(values: Floats) -> Bools:
    """(T,) samples in a long row of equal ones, if the gauge usually changes. A row at the lowest or highest value is
    not stale: an idle or a fully used CPU stays there."""
    same = np.concatenate([[False], np.diff(values) == 0.0])
    stale = np.zeros_like(same)
    for start, end in _runs(same):
        if end - start + 1 >= _FROZEN and values.min() < values[start] < values.max():
            stale[start:end] = True
    return stale if 1.0 - same[~stale].mean() >= _LIVELY else np.zeros_like(same)


def _runs(mask: Bools) -> list[tuple[int, int]]:
    """The runs of True as (start, end), the end not included."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
