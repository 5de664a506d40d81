"""CPU use and power of one node, measured apart, as samples that belong together.

Owns what has to happen before a curve can be fitted: counters become means over intervals, gauges are averaged over the
same intervals, and what cannot be trusted is left out and said: missing values, resets, samples that an exporter merely
repeated, gaps. Assumes times in seconds on one clock and units that the reader has settled. Never bridges a gap and
never invents a value beyond a series' ends. Pure.

Both series are taken as running totals over time (a counter is one; a gauge's is its integral, straight lines between
samples), cut where they are broken. An interval is two neighbouring samples of the coarser series; its mean is the
difference of the totals, where neither series is broken in between. Two gauges read at the same instants are simply
paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import MAX_WATTS
from peaks_scheduler.text.words import plural

from .samples import MAX_CPU, Samples
from .readings import Kind, Reading, RunningTotal, kind_of, running_total

__all__ = ["Aligned", "Kind", "Reading", "align", "kind_of", "screened"]

_SHORT = 0.5  # usual steps: an interval shorter than this is joined with the next, its quotient would be noise
_SHARED = 0.9  # of the samples at instants of the other: the two were read together
_LAG_STEPS = 3  # both ways; or, where steps are short,
_LAG_SECONDS = 120.0  # this far,
_MOST_LAGS = 8  # but never more steps than these
_LEAST_FOR_LAG = 20  # samples
_LAG_CORRELATION = 0.5  # at the better lag, at least,
_LAG_SPREAD = 0.8  # and what it leaves unexplained is at most this share of what lag 0 leaves,
_LAG_SIGMAS = 4.0  # and Fisher's z rises by this many standard errors


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """What is left of two readings once they are put together."""

    samples: Samples
    """Means over intervals, or values at instants, in order of time; may be empty."""
    lag: float
    """[s] by which the power series was found to follow the CPU's, already taken off; 0: nothing was shifted."""
    notes: tuple[str, ...]
    """What was left out or changed and why, in words with counts."""


def align(cpu: Reading, power: Reading) -> Aligned:
    """Samples of both at the same time. Never raises: where nothing fits together there are no samples, and a note."""
    notes: list[str] = []
    use = running_total("CPU", cpu, notes)
    draw = running_total("power", power, notes)
    if use is None or draw is None:
        return Aligned(_none(), 0.0, (*notes, "fewer than two samples of CPU or of power: nothing to put together"))
    lag = _lag(use, draw, notes)
    pairs = _paired(use, draw, lag)
    if not pairs.time.size:
        notes.append(_apart(use, draw))
    samples, more = screened(pairs.cpu, pairs.watts, pairs.time)
    return Aligned(samples, lag, (*notes, *pairs.notes, *more))


def screened(cpu: Floats, watts: Floats, time: Floats | None = None) -> tuple[Samples, tuple[str, ...]]:
    """Samples that say something, and in words how many do not. (S,) fraction, [W], [s].

    Those that no machine can have stay in: how many there are is part of the judgement (``Samples.usable``).
    """
    missing = ~(np.isfinite(cpu) & np.isfinite(watts))
    dead = ~missing & (watts <= 0.0)
    keep = ~(missing | dead)
    out_of_range = keep & ((cpu < 0.0) | (cpu > MAX_CPU) | (watts > MAX_WATTS))
    counted = (
        (missing, "without a value for both CPU and power, left out"),
        (dead, "with 0 W or less, left out: a node that runs draws power"),
        (out_of_range, f"with a CPU use below 0 or above {MAX_CPU:.0%}, or above {MAX_WATTS:,.0f} W: no measurements"),
    )
    notes = tuple(f"{plural(int(mask.sum()), 'sample')} {words}" for mask, words in counted if mask.any())
    return Samples(cpu[keep], watts[keep], None if time is None else time[keep]), notes


# --- two series -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """(S,) each: fraction, [W], [s] the instant or the end of the interval."""

    cpu: Floats
    watts: Floats
    time: Floats
    notes: tuple[str, ...] = ()


def _paired(cpu: RunningTotal, power: RunningTotal, lag: float) -> _Pairs:
    """Samples of both at the CPU's times; power is taken ``lag`` [s] later."""
    if cpu.kind == power.kind == "gauge":
        times, i, j = np.intersect1d(cpu.times, np.round(power.times - lag, 3), return_indices=True)
        if times.size >= _SHARED * min(cpu.times.size, power.times.size) - abs(lag) / cpu.step:
            return _Pairs(cpu.values[i], power.values[j], times)
    edges = np.round(power.times - lag, 3) if power.step >= cpu.step else cpu.times
    edges = _thinned(edges, max(cpu.step, power.step))
    start, end = edges[:-1], edges[1:]
    use, watts = cpu.means(start, end), power.means(np.round(start + lag, 3), np.round(end + lag, 3))
    both = np.isfinite(use) & np.isfinite(watts)
    lost = int((~both).sum())
    words = "in which CPU or power has a gap, a reset or no samples, left out"
    notes = (f"{lost} of {plural(both.size, 'interval')} {words}",) if lost else ()
    return _Pairs(use[both], watts[both], end[both], notes)


def _thinned(edges: Floats, step: float) -> Floats:
    """Without the edges that come too soon after the one before."""
    if np.all(np.diff(edges) >= _SHORT * step):
        return edges
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] >= _SHORT * step:
            kept.append(edge)
    return np.array(kept)


def _lag(cpu: RunningTotal, power: RunningTotal, notes: list[str]) -> float:
    """[s] by which power follows the CPU, as far as whole steps show it beyond doubt; else 0.

    By rank correlation, for the curve between the two is not straight.
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
        f"power {words} the CPU by {abs(lag):g} s, taken off: rank correlation {after:.2f} instead of {before:.2f}"
    )
    return float(lag)


def _correlation(pairs: _Pairs) -> float:
    """Spearman's; 0 where one of the two does not vary."""
    if np.ptp(pairs.cpu) == 0.0 or np.ptp(pairs.watts) == 0.0:
        return 0.0
    return float(np.corrcoef(_ranks(pairs.cpu), _ranks(pairs.watts))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Equal values share the mean of their ranks."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2.0)[which]
    return ranks


def _apart(cpu: RunningTotal, power: RunningTotal) -> str:
    if cpu.times[0] >= power.times[-1] or power.times[0] >= cpu.times[-1]:
        hours = max(cpu.times[0] - power.times[-1], power.times[0] - cpu.times[-1]) / 3600.0
        return f"CPU and power were not measured at the same time ({hours:.1f} h between them): one clock, one zone?"
    return "no stretch of time in which both CPU and power were measured without a break"


def _none() -> Samples:
    return Samples(np.zeros(0), np.zeros(0), np.zeros(0))
