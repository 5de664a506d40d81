"""Merge series of the same thing: from two replicas of a Prometheus, from two scrapes, or from before a restart.

Owns the judgement whether series belong together, and its messages. Values decide, not names of labels: series that
agree wherever both have values are one; series that disagree are from two machines (two clusters behind one Thanos,
say), and neither is used. A replica may scrape up to two minutes earlier or later, so a value may equal any value that
the other has in that time. A series that begins when another ends continues it after a restart; the old one keeps its
last value for as long as Prometheus looks back. Assumes series of one range query. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from peaks_scheduler.arrays import Floats
from peaks_scheduler.settings.promql_matchers import Matcher
from peaks_scheduler.text.words import few

if TYPE_CHECKING:
    from .answers import Series
    from .grid import Grid
    from .labels import LabelMap

LOOK_BACK = 300.0
"""[s] for which Prometheus repeats the last value of a series that ended without a stale marker."""
_LAG = 120.0  # [s] between two replicas' scrapes: twice the longest usual interval
_SHARE_OF_SPAN = 8  # in a short range the lag is at most one part in so many
_LEVEL = 0.05  # of the usual level: noise of a sensor that is read at two instants
_MOSTLY = 0.9  # of the instants: around a restart or a reset two replicas may differ
_BLOCK = 5  # steps over which rises of counters are compared

OUTER = re.compile(r"(?:^|_)(?:replica|cluster|prometheus|thanos|tenant|monitor)(?:_|$)")
"""Names of labels that a Prometheus adds to all series that it sends on (external labels)."""
_CLUSTER = re.compile(r"(?:^|_)(?:cluster|tenant)(?:_|$)")


class DisagreeError(Exception):
    """Series of one thing contradict each other; the message names the labels in which they differ."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much two measurements of the same thing may differ."""

    kind: Literal["counter", "gauge"]
    floor: float
    """A difference that is allowed at any level; for a counter, the difference of its rates."""
    same_start: bool = False
    """For counters: do all have the same value at the same time, as the kernel's do? Else their rises are compared."""


def merged(series: Iterable[Series], grid: Grid, likeness: Likeness) -> Floats | None:
    """(T,) these series as one, NaN where none has a value; None: none has any.

    Raises DisagreeError if they contradict each other.
    """
    size = grid.times.size
    rows = [(each.labels, grid.row(each, size)) for each in series]
    there = [(labels, row) for labels, row in rows if not np.isnan(row).all()]
    there.sort(key=lambda pair: (_first(pair[1]), sorted(pair[0].items())))
    found: Floats | None = None
    for _, row in there:
        joined = row if found is None else _joined(found, row, grid.step, likeness)
        if joined is None:
            raise DisagreeError(contradiction([labels for labels, _ in there]))
        found = joined
    return found


def refuse_other_clusters(groups: Iterable[Sequence[LabelMap]], by: Sequence[str]) -> None:
    """Raises DisagreeError if parts of one machine come from clusters that have no series in common.

    Each group has the labels of one part. Parts differ in the labels ``by``; a part of another machine may have other
    values there, so that its series would never be compared.
    """
    whole = list(groups)
    names = {name for its in whole for labels in its for name in labels if _CLUSTER.search(name)} - set(by)
    signs = [{tuple(labels.get(name, "") for name in sorted(names)) for labels in its} for its in whole if its]
    if any(signs[0].isdisjoint(sign) for sign in signs[1:]):
        raise DisagreeError(contradiction([labels for its in whole for labels in its]))


def alike(one: Floats, other: Floats, step: float, likeness: Likeness) -> bool:
    """Do two rows (T,) agree where both have values? True also if they never have values at the same time."""
    both = ~np.isnan(one) & ~np.isnan(other)
    count = int(np.count_nonzero(both))
    if not count:
        return True
    lag = max(1, round(min(_LAG, count * step / _SHARE_OF_SPAN) / step))
    if likeness.kind == "gauge":
        return _near(one, other, lag, likeness.floor)
    usual = max(_usual_rise(one), _usual_rise(other))
    if _within(one, other, lag, usual) and _within(other, one, lag, usual):
        return True
    if likeness.same_start:
        return False
    return _near(_rates(one, step), _rates(other, step), lag, likeness.floor)


def _joined(found: Floats, row: Floats, step: float, likeness: Likeness) -> Floats | None:
    """Both rows as one; None if they disagree."""
    if _succeeds(found, row, step):
        return np.where(np.isnan(row), found, row)
    if not alike(found, row, step, likeness):
        return None
    # one row is used wherever it has values: a counter that alternates would jump by the rise between two scrapes
    base, rest = (
        (found, row) if np.count_nonzero(~np.isnan(found)) >= np.count_nonzero(~np.isnan(row)) else (row, found)
    )
    return np.where(np.isnan(base), rest, base)


def _succeeds(before: Floats, row: Floats, step: float) -> bool:
    """Does ``row`` begin where ``before`` ends, apart from the last value that Prometheus repeats?"""
    overlap = int(np.count_nonzero(~np.isnan(before) & ~np.isnan(row)))
    if not overlap:
        return True
    begun_later, ends_later = _first(row) - _first(before), _last(row) >= _last(before)
    return overlap * step <= LOOK_BACK + step and begun_later >= overlap and ends_later


def _first(row: Floats) -> int:
    return int(np.flatnonzero(~np.isnan(row))[0])


def _last(row: Floats) -> int:
    return int(np.flatnonzero(~np.isnan(row))[-1])


def _near(one: Floats, other: Floats, lag: int, floor: float) -> bool:
    both = ~np.isnan(one) & ~np.isnan(other)
    if not both.any():
        return True
    level = float(np.median(np.abs(np.concatenate([one[both], other[both]]))))
    far = floor + _LEVEL * level
    return _within(one, other, lag, far) and _within(other, one, lag, far)


def _within(one: Floats, other: Floats, lag: int, far: float) -> bool:
    """Is ``one`` mostly in the range of ``other`` within ``lag`` steps, or at most ``far`` outside of it?"""
    both = np.flatnonzero(~np.isnan(one) & ~np.isnan(other))
    padded = np.pad(other, lag, constant_values=np.nan)
    windows = sliding_window_view(padded, 2 * lag + 1)[both]
    inside = (one[both] >= np.nanmin(windows, axis=1) - far) & (one[both] <= np.nanmax(windows, axis=1) + far)
    return bool(np.count_nonzero(inside) >= _MOSTLY * both.size)


def _usual_rise(row: Floats) -> float:
    rises = np.diff(row[~np.isnan(row)])
    up = rises[rises > 0.0]
    return float(np.median(up)) if up.size else 0.0


def _rates(row: Floats, step: float) -> Floats:
    """(T,) mean rise a second over the block before each instant; NaN if it has a reset or a gap."""
    rates = np.full(row.size, np.nan)
    rises = (row[_BLOCK:] - row[:-_BLOCK]) / (_BLOCK * step)
    rates[_BLOCK:] = np.where(rises < 0.0, np.nan, rises)
    return rates


# --- words ------------------------------------------------------------------------------------------------------------


def contradiction(labels: Sequence[LabelMap]) -> str:
    """The message about series that contradict each other, and what to do."""
    differ = differing(labels)
    told = [f"{label} ({few([repr(value) for value in values], 4)})" for label, values in differ.items()]
    words = f"several series contradict each other, which differ in {' and '.join(told) or 'no label'}"
    if not differ:
        return words
    label = next((each for each in differ if OUTER.search(each)), next(iter(differ)))
    value = next((each for each in differ[label] if each), "")
    return (
        f"{words}: choose one by prometheus.match (--prometheus-match '{Matcher(label, '=', value)}'), or the label "
        "that names a node by prometheus.nodeLabel (--node-label)"
    )


def unlike(labels: Sequence[LabelMap]) -> str:
    """The labels in which these series differ, in words; external labels with their values.

    The text is the same for all nodes that are in two clusters.
    """
    told = [
        f"{label} ({few([repr(value) for value in values], 4)})" if OUTER.search(label) else label
        for label, values in differing(labels).items()
    ]
    return " and ".join(told) or "no label"


def differing(labels: Sequence[LabelMap]) -> dict[str, list[str]]:
    """Label -> its values, for the labels that are not the same in all series; "" if a series does not have it."""
    names = sorted({name for each in labels for name in each})
    values = {name: sorted({each.get(name, "") for each in labels}) for name in names}
    return {name: its for name, its in values.items() if len(its) > 1}
