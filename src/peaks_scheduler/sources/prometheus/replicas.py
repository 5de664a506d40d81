"""Series that should tell the same: are they of two replicas of a Prometheus, scraped twice, or of another machine?

Owns that judgement and the words for it. Not the names of labels decide but the values: series that agree wherever both
are there are one; those that disagree are of two machines (two clusters behind one Thanos, say), and nothing is made of
them. A replica scrapes up to two minutes earlier or later, so that a value may be any that the other has within that
time. A series that ends when another begins is the same thing after a restart: its last value lingers for as long as
Prometheus looks back. Assumes series of one range query. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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

Labels = Mapping[str, str]

LOOK_BACK = 300.0
"""[s] for which Prometheus goes on giving the last value of a series that ended without a word."""
_LAG = 120.0  # [s] between two replicas' scrapes: twice the usual longest interval
_SHARE_OF_SPAN = 8  # of a short range the lag is at most this part of it
_LEVEL = 0.05  # of the usual level: noise of a sensor that is read at two instants
_MOSTLY = 0.9  # of the instants: around a restart or a reset two replicas may differ
_BLOCK = 5  # steps over which rises of counters are compared

OUTER = re.compile(r"(?:^|_)(?:replica|cluster|prometheus|thanos|tenant|monitor)(?:_|$)")
"""Labels that a Prometheus puts on all that it sends on, by the names that people give them."""
_CLUSTER = re.compile(r"(?:^|_)(?:cluster|tenant)(?:_|$)")


class DisagreeError(Exception):
    """Series that should tell the same tell different things; in words, with the labels in which they differ."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near the values of one thing are to each other, seen by two."""

    kind: Literal["counter", "gauge"]
    floor: float
    """A difference that is none, however low the level; of a counter that of its rate."""
    same_start: bool = False
    """Of counters: do all have the same value at the same time, as those of the kernel do? Else their rises count."""


def one(series: Iterable[Series], grid: Grid, likeness: Likeness) -> Floats | None:
    """(T,) what these series tell together, NaN where none tells anything; None: nowhere.

    Raises DisagreeError.
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


def refuse_strangers(groups: Iterable[Sequence[Labels]], by: Sequence[str]) -> None:
    """Raises DisagreeError where parts of one machine come from clusters that have no series in common.

    Parts are told apart by the labels ``by``; those of another machine may have other values of them, and so would not
    be compared.
    """
    whole = list(groups)
    names = {name for its in whole for labels in its for name in labels if _CLUSTER.search(name)} - set(by)
    signs = [{tuple(labels.get(name, "") for name in sorted(names)) for labels in its} for its in whole if its]
    if any(signs[0].isdisjoint(sign) for sign in signs[1:]):
        raise DisagreeError(contradiction([labels for its in whole for labels in its]))


def alike(one: Floats, other: Floats, step: float, likeness: Likeness) -> bool:
    """Do two rows (T,) tell the same where both tell something? Also where they never do at the same time."""
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
    """Both as one; None where they disagree."""
    if _succeeds(found, row, step):
        return np.where(np.isnan(row), found, row)
    if not alike(found, row, step, likeness):
        return None
    # never now the one and now the other: a counter would jump by what was between two scrapes
    base, rest = (
        (found, row) if np.count_nonzero(~np.isnan(found)) >= np.count_nonzero(~np.isnan(row)) else (row, found)
    )
    return np.where(np.isnan(base), rest, base)


def _succeeds(before: Floats, row: Floats, step: float) -> bool:
    """Does ``row`` take over where ``before`` ends, but for the last value that lingers?"""
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
    """Is ``one`` mostly what ``other`` is within ``lag`` steps of it, or no more than ``far`` beside?"""
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
    """(T,) mean rise a second over the block before each instant, NaN across a reset or a gap."""
    rates = np.full(row.size, np.nan)
    rises = (row[_BLOCK:] - row[:-_BLOCK]) / (_BLOCK * step)
    rates[_BLOCK:] = np.where(rises < 0.0, np.nan, rises)
    return rates


# --- words ------------------------------------------------------------------------------------------------------------


def contradiction(labels: Sequence[Labels]) -> str:
    """What is said of series that disagree, and what to do."""
    differ = differing(labels)
    told = [f"{label} ({few([repr(value) for value in values], 4)})" for label, values in differ.items()]
    words = f"several series tell different things of it, which differ in {' and '.join(told) or 'no label'}"
    if not differ:
        return words
    label = next((each for each in differ if OUTER.search(each)), next(iter(differ)))
    value = next((each for each in differ[label] if each), "")
    return (
        f"{words}: choose one by prometheus.match (--prometheus-match '{Matcher(label, '=', value)}'), or what names a "
        "node by prometheus.nodeLabel (--node-label)"
    )


def unlike(labels: Sequence[Labels]) -> str:
    """The labels in which these series differ; with the values of those that a Prometheus puts on all its series.

    The same words for all nodes that two clusters have.
    """
    told = [
        f"{label} ({few([repr(value) for value in values], 4)})" if OUTER.search(label) else label
        for label, values in differing(labels).items()
    ]
    return " and ".join(told) or "no label"


def differing(labels: Sequence[Labels]) -> dict[str, list[str]]:
    """Label -> its values, of those that are not the same in all series; "" where one does not have it."""
    names = sorted({name for each in labels for name in each})
    values = {name: sorted({each.get(name, "") for each in labels}) for name in names}
    return {name: its for name, its in values.items() if len(its) > 1}
