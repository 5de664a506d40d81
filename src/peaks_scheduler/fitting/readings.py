"""One series as it was recorded, and as a running total: in order, and cut where it is broken.

Owns what cannot be trusted in a series by itself: missing values, times that come twice, resets, gaps, samples that an
exporter merely repeated; and how a counter is told from a gauge. Says in words what it leaves out. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.arrays import Mask as Bools
from peaks_scheduler.text.words import plural

Kind = Literal["counter", "gauge"]

_GAP = 2.5  # usual steps: what is longer is a gap
_FROZEN = 5  # equal samples of a gauge that else changes all the time: the exporter repeats itself
_LIVELY = 0.9  # of its steps change: such a gauge
_CATCH_UP = 1.5  # times what is usual there: a counter that had stood still and caught up
_COUNTED = 20  # values, before a column that only rises is called a counter
_COUNTED_FAR = 1000.0  # and as high: neither a fraction, a percentage, cores nor a small machine's watts


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One series of one node as it was recorded."""

    times: Floats
    """(T,) [s] in any order; several samples may share one."""
    values: Floats
    """(T,) CPU: fraction, or fraction-seconds where it counts. Power: [W], or [J] where it counts. NaN: missing."""
    kind: Kind


def kind_of(values: Floats) -> Kind:
    """Is this, in order of time, a counter or a gauge? (T,) of which NaN is missing.

    A counter never falls but to start anew, and gets far: a short or low series that rises is taken for a gauge.
    """
    known = values[np.isfinite(values)]
    if known.size < _COUNTED or known.max() < _COUNTED_FAR or known.min() < 0.0:
        return "gauge"
    steps = np.diff(known)
    falls = steps < 0.0
    restarts = bool(np.all(known[1:][falls] < known[:-1][falls] / 2.0))
    return "counter" if restarts and falls.mean() <= 0.05 and (steps > 0.0).mean() >= 0.25 else "gauge"


@dataclass(frozen=True, slots=True, eq=False)
class RunningTotal:
    """A reading in order, as a running total. T >= 2."""

    times: Floats  # (T,) [s] rising
    values: Floats  # (T,) as read
    total: Floats  # (T,) integral over time; differences within one stretch mean something
    stretch: Ints  # (T,) number of the unbroken stretch that the sample is in
    kind: Kind
    step: float  # [s] the usual one

    def means(self, start: Floats, end: Floats) -> Floats:
        """Mean over each interval; NaN where the series is broken in it or does not reach. (M,) [s] -> (M,)."""
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


def running_total(name: str, reading: Reading, notes: list[str]) -> RunningTotal | None:
    """The reading in order and without what cannot be used; None where fewer than two samples are left."""
    times, values = _ordered(name, reading, notes)
    stale = _stale_counter(values, name == "CPU") if reading.kind == "counter" else _stale_gauge(values)
    if stale.any():
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
    """Samples that have a value, by time, one an instant."""
    known = np.isfinite(reading.times) & np.isfinite(reading.values)
    if not known.all():
        notes.append(f"{name}: {plural(int((~known).sum()), 'sample')} without a value, left out")
    # to the millisecond, so that an instant of one series is the same instant of the other
    times, values = np.round(reading.times[known], 3), reading.values[known]
    order = np.argsort(times, kind="stable")
    if np.any(np.diff(order) != 1):
        notes.append(f"{name}: samples were not in order of time, put in order")
    times, values = times[order], values[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(times) > 0.0])) if times.size else np.zeros(0, np.int64)
    if (again := times.size - first.size) == 0:
        return times, values
    notes.append(f"{name}: {plural(again, 'sample')} at a time that another one has, taken together (is it one node?)")
    if reading.kind == "counter":
        return times[first], np.maximum.reduceat(values, first)
    return times[first], np.add.reduceat(values, first) / np.diff(np.append(first, times.size))


def _stale_counter(values: Floats, may_rest: bool) -> Bools:
    """(T,) samples that an exporter repeated before it looked again; the first of equal ones is kept.

    Energy never stands still. CPU time may, on a machine that does nothing: there it is stale only where most moves
    come after a repeat (it was asked more often than it looks) or the counter then catches up what it had missed.
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
    """(T,) samples in a long row of equal ones, of a gauge that else changes all the time. What lies at the lowest or
    highest value may well stay there: an idle CPU, a full one."""
    same = np.concatenate([[False], np.diff(values) == 0.0])
    stale = np.zeros_like(same)
    for start, end in _runs(same):
        if end - start + 1 >= _FROZEN and values.min() < values[start] < values.max():
            stale[start:end] = True
    return stale if 1.0 - same[~stale].mean() >= _LIVELY else np.zeros_like(same)


def _runs(mask: Bools) -> list[tuple[int, int]]:
    """Where it is true without a break: (start, end), the end not included."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
