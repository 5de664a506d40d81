"""Joins the CPU series of many nodes with the power series of their one meter into shared samples.

As ``alignment`` does for one node: counters become means over intervals, gauges that were read at the same times are
paired directly, gaps are never bridged. A time at which the use of some node is not known is left out, since its power
is in the sum all the same. So a node's sample that only repeats the one before is kept: if it is stale, it is wrong for
one node of many, and leaving it out would lose that time for all. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.text.words import few, plural

from .alignment import thinned
from .readings import Reading, RunningTotal, running_total

_SHARED = 0.9  # share of the meter's times at which all nodes have a value, from which on gauges count as read together
_TOLD = 3  # nodes whose notes are told in full


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """S samples of N nodes; S may be 0."""

    time: Floats  # (S,) [s] rising
    use: Floats  # (S, N) [fraction], in the order of the nodes
    watts: Floats  # (S,) [W]
    notes: tuple[str, ...] = ()


def join(cpus: Mapping[str, Reading], power: Reading) -> Joined:
    """Join the nodes' readings with the meter's. Never raises: what cannot be joined gives no samples, and a note."""
    of_nodes: dict[str, list[str]] = {name: [] for name in cpus}
    totals = {name: running_total("CPU", reading, of_nodes[name], repeats=True) for name, reading in cpus.items()}
    notes: list[str] = []
    draw = running_total("power", power, notes)
    notes += _told(of_nodes)
    short = [name for name, total in totals.items() if total is None]
    series = [total for total in totals.values() if total is not None]
    if draw is None or short:
        what = "power" if draw is None else f"CPU of {few(short)}"
        return _none(len(cpus), (*notes, f"fewer than two samples of {what}: the sum cannot be explained without it"))
    time, use, watts = _paired(series, draw)
    whole = np.isfinite(use).all(axis=1) & np.isfinite(watts)
    if lost := int((~whole).sum()):
        missing = np.isnan(use).sum(axis=0)
        most = [name for name, count in zip(totals, missing, strict=True) if count == missing.max() > 0]
        which = f" (mostly {few(most, 3)})" if most else ""
        of = plural(len(whole), "time")
        notes.append(f"{lost} of {of} at which a node's CPU or the power is not known{which}, left out")
    return Joined(time[whole], use[whole], watts[whole], tuple(notes))


def _paired(series: list[RunningTotal], draw: RunningTotal) -> tuple[Floats, Floats, Floats]:
    """((S,) time, (S, N) use, (S,) watts); NaN where a series has no value."""
    if all(each.kind == "gauge" for each in (*series, draw)):
        use = np.column_stack([_at(each, draw.times) for each in series])
        if np.isfinite(use).all(axis=1).mean() >= _SHARED:
            return draw.times, use, draw.values
    coarsest = max((*series, draw), key=lambda each: each.step)
    edges = thinned(coarsest.times, coarsest.step)
    start, end = edges[:-1], edges[1:]
    use = np.column_stack([each.means(start, end) for each in series])
    return end, use, draw.means(start, end)


def _at(total: RunningTotal, times: Floats) -> Floats:
    """(M,) values at exactly these times; NaN where there is none."""
    place = np.minimum(np.searchsorted(total.times, times), len(total.times) - 1)
    return np.where(total.times[place] == times, total.values[place], np.nan)


def _told(notes: Mapping[str, list[str]]) -> list[str]:
    """The notes of the nodes: of a few in full, of the others the number."""
    there = {name: texts for name, texts in notes.items() if texts}
    shown = [f"{name}: {text}" for name, texts in list(there.items())[:_TOLD] for text in texts]
    more = len(there) - _TOLD
    return [*shown, f"such notes on {plural(more, 'more node')}"] if more > 0 else shown


def _none(nodes: int, notes: tuple[str, ...]) -> Joined:
    return Joined(np.zeros(0), np.zeros((0, nodes)), np.zeros(0), notes)
