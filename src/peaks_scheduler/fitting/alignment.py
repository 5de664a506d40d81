"""Joins the CPU series and the power series of one node into samples.

Counters become means over intervals, and gauges are averaged over the same intervals. Values that cannot be trusted are
left out and reported: missing values, resets, samples that an exporter only repeated, gaps. Assumes times in seconds on
one clock, and units that were settled before. Never bridges a gap and never extrapolates beyond a series' ends. Pure.

Both series are used as running totals over time (``readings``), cut at gaps and resets. The intervals are those between
neighbouring samples of the coarser series. A mean is the difference of the totals over the interval, if neither series
has a break in it. Two gauges that were read at the same times are paired directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import MAX_WATTS
from peaks_scheduler.text.words import plural

from .readings import Kind, Reading, RunningTotal, kind_of, running_total
from .samples import MAX_CPU, Samples

__all__ = ["Aligned", "Kind", "Reading", "align", "kind_of", "screened"]

_SHORT = 0.5  # usual steps; a shorter interval is joined with the next, since its mean would be mostly noise
_SHARED = 0.9  # share of samples with equal times, from which on two gauges count as read together
_LAG_STEPS = 3  # lags tried each way [steps]; or, where steps are short,
_LAG_SECONDS = 120.0  # so far [s],
_MOST_LAGS = 8  # but never more steps than this
_LEAST_FOR_LAG = 20  # samples
_LAG_CORRELATION = 0.5  # a lag is accepted if the correlation there is at least this,
_LAG_SPREAD = 0.8  # if the unexplained variance is at most this share of that at lag 0,
_LAG_SIGMAS = 4.0  # and if Fisher's z is higher by this many standard errors


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """The samples of two joined readings."""

    samples: Samples
    """Means over intervals, or values at equal times, in order of time; may be empty."""
    lag: float
    """[s] by which power was found to follow the CPU; the samples are already shifted by it. 0: no shift."""
    notes: tuple[str, ...]
    """What was left out or changed and why, in words with counts."""


def align(cpu: Reading, power: Reading) -> Aligned:
    """Join both readings. Never raises: readings that cannot be joined give no samples, and a note that says why."""
    notes: list[str] = []
    use = running_total("CPU", cpu, notes)
    draw = running_total("power", power, notes)
    if use is None or draw is None:
        return Aligned(_none(), 0.0, (*notes, "fewer than two samples of CPU or of power: nothing to join"))
    lag = _lag(use, draw, notes)
    pairs = _paired(use, draw, lag)
    if not pairs.time.size:
        notes.append(_apart(use, draw))
    samples, more = screened(pairs.cpu, pairs.watts, pairs.time)
    return Aligned(samples, lag, (*notes, *pairs.notes, *more))


def screened(
    cpu: Floats, watts: Floats, time: Floats | None = None, celsius: Floats | None = None
) -> tuple[Samples, tuple[str, ...]]:
    """The samples with a value for both, and notes on the others. cpu (S,) [fraction], watts (S,) [W], time (S,) [s],
    celsius (S,).

    Samples with impossible values stay in, since their number is part of the judgement (``Samples.usable``).
    """
    missing = ~(np.isfinite(cpu) & np.isfinite(watts))
    dead = ~missing & (watts <= 0.0)
    keep = ~(missing | dead)
    out_of_range = keep & ((cpu < 0.0) | (cpu > MAX_CPU) | (watts > MAX_WATTS))
    counted = (
        (missing, "without a value for both CPU and power, left out"),
        (dead, "with 0 W or less, left out: a running node draws power"),
        (out_of_range, f"with a CPU use below 0 or above {MAX_CPU:.0%}, or above {MAX_WATTS:,.0f} W: no measurements"),
    )
    notes = tuple(f"{plural(int(mask.sum()), 'sample')} {words}" for mask, words in counted if mask.any())
    found = Samples(cpu[keep], watts[keep], *(None if each is None else each[keep] for each in (time, celsius)))
    return found, notes


# --- two series -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """(S,) each: CPU [fraction], power [W], and the time or the end of the interval [s]."""

    cpu: Floats
    watts: Floats
    time: Floats
    notes: tuple[str, ...] = ()


def _paired(cpu: RunningTotal, power: RunningTotal, lag: float) -> _Pairs:
    """Pairs of CPU and power at the CPU's times, with power taken ``lag`` [s] later."""
    if cpu.kind == power.kind == "gauge":
        times, i, j = np.intersect1d(cpu.times, np.round(power.times - lag, 3), return_indices=True)
        if times.size >= _SHARED * min(cpu.times.size, power.times.size) - abs(lag) / cpu.step:
            return _Pairs(cpu.values[i], power.values[j], times)
    edges = np.round(power.times - lag, 3) if power.step >= cpu.step else cpu.times
    edges = thinned(edges, max(cpu.step, power.step))
    start, end = edges[:-1], edges[1:]
    use, watts = cpu.means(start, end), power.means(np.round(start + lag, 3), np.round(end + lag, 3))
    both = np.isfinite(use) & np.isfinite(watts)
    lost = int((~both).sum())
    words = "in which CPU or power has a gap, a reset or no samples, left out"
    notes = (f"{lost} of {plural(both.size, 'interval')} {words}",) if lost else ()
    return _Pairs(use[both], watts[both], end[both], notes)


def thinned(edges: Floats, step: float) -> Floats:
    """The edges, without those that follow the one before too closely."""
    if np.all(np.diff(edges) >= _SHORT * step):
        return edges
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] >= _SHORT * step:
            kept.append(edge)
    return np.array(kept)


def _lag(cpu: RunningTotal, power: RunningTotal, notes: list[str]) -> float:
    """[s] by which power follows the CPU, in whole steps, if it is clear beyond doubt; else 0.

    Found by rank correlation, since the relation between the two is not linear.
    """
    step = max(cpu.step, power.step)
    most = min(max(_LAG_STEPS, int(_LAG_SECONDS / step)), _MOST_LAGS)
    there = {k: _paired(cpu, power, k * step) for k in range(-most, most + 1)}
    seen = {k: _correlation(pairs) for k, pairs in there.items() if pairs.time.size >= _LEAST_FOR_LAG}
    if 0 not in seen:
        return 0.0
    best = max(seen, key=lambda k: (seen[k], -abs(k)))
    before, after = seen[0], seen[best]
    rise = (np.arctanh(min(after, 0.9999)) - np.arctanh(min(before, 0.9999))) * np.sqrt(there[best].time.size - 3.0)
    if best == 0 or after < _LAG_CORRELATION or 1.0 - after**2 > _LAG_SPREAD * (1.0 - max(before, 0.0) ** 2):
        return 0.0
    if rise < _LAG_SIGMAS:
        return 0.0
    lag, words = best * step, "follows" if best > 0 else "comes before"
    notes.append(
        f"power {words} the CPU by {abs(lag):g} s, corrected: rank correlation {after:.2f} instead of {before:.2f}"
    )
    return float(lag)


def _correlation(pairs: _Pairs) -> float:
    """Spearman's rank correlation; 0 where one of the two does not vary."""
    if np.ptp(pairs.cpu) == 0.0 or np.ptp(pairs.watts) == 0.0:
        return 0.0
    return float(np.corrcoef(_ranks(pairs.cpu), _ranks(pairs.watts))[0, 1])


def _ranks(values: Floats) -> Floats:
    """(S,) ranks; equal values share the mean of their ranks."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2.0)[which]
    return ranks


def _apart(cpu: RunningTotal, power: RunningTotal) -> str:
    """Why the two series have no common interval, in words."""
    if cpu.times[0] >= power.times[-1] or power.times[0] >= cpu.times[-1]:
        hours = max(cpu.times[0] - power.times[-1], power.times[0] - cpu.times[-1]) / 3600.0
        return f"CPU and power were not measured at the same time ({hours:.1f} h between them): one clock, one zone?"
    return "no stretch of time in which both CPU and power were measured without a break"


def _none() -> Samples:
    return Samples(np.zeros(0), np.zeros(0), np.zeros(0))
