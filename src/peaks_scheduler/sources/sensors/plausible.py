"""Which readings count: a value that no working sensor would give is marked, with the reason.

The rules, by name of the reason:

    not-a-number   NaN or infinite
    no-reading     -128 or 255 degrees, or exactly 0 where other nodes are not near 0: what a BMC says that has no value
    out-of-range   outside what air and chips can have: -40..125 celsius, -1000..1000 pascal
    frozen         an inlet that gives exactly one value for 6 hours, while the median of its neighbours moved by 2 K
    disagrees      an inlet more than 30 K from the median of its neighbours, of which there are at least 3

Neighbours share their air, by a label of the nodes. Only inlets are compared with neighbours: the temperature of a CPU
follows its load, and pressure the fans. Constants of the configuration are no measurements: they are checked by the
first three rules alone, and are nobody's neighbour. A marked value counts as no value: the one before it expires, and
then the node is judged as one without a sensor. Assumes that readings of one node come in order of their times. No
I/O, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.settings.sensors import CELSIUS, PASCAL, UNITS

from .source import Reading

INLET = "inlet"
REASONS = ("not-a-number", "no-reading", "out-of-range", "frozen", "disagrees")
RANGES: Mapping[str, tuple[float, float]] = {CELSIUS: (-40.0, 125.0), PASCAL: (-1000.0, 1000.0)}
"""Unit -> least and largest value. Other units have none."""
NO_READING = (-128.0, 255.0)  # [celsius] the smallest and the largest number of one byte, signed and unsigned
NEAR_ZERO = 5.0  # [K] where others are so near to 0, it is the room that is cold
FROZEN_AFTER = 6 * 3600.0  # [s]
MOVED = 2.0  # [K] of the neighbours' median while a frozen sensor stood still
FAR = 30.0  # [K] from the neighbours' median
LEAST_NEIGHBOURS = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """Why a value does not count."""

    reason: str
    """One of REASONS."""
    text: str
    """For people; the same for all nodes with this trouble."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The readings that count, and those that do not."""

    values: Mapping[str, Mapping[str, Reading]] = field(default_factory=dict)
    """Node -> signal -> reading."""
    marks: Mapping[str, Mapping[str, Mark]] = field(default_factory=dict)
    """Node -> signal -> why its reading does not count."""


@dataclass(slots=True)
class _Still:
    """An inlet since its value last changed."""

    value: float
    since: float
    """[s]"""
    low: float
    high: float
    """[celsius] lowest and highest median of its neighbours since then; NaN: there was none."""


class Judge:
    """Judges one round of readings after another."""

    def __init__(self) -> None:
        self._still: dict[str, _Still] = {}  # by node

    def judge(
        self, readings: Mapping[str, Mapping[str, Reading]], neighbours: Mapping[str, str] | None = None
    ) -> Judged:
        """Judge these readings: node -> signal -> reading.

        ``neighbours``: node -> value of its label; without one it is compared with all others.
        """
        marks: dict[str, dict[str, Mark]] = {}
        for signal in dict.fromkeys(signal for its in readings.values() for signal in its):
            of_signal = {node: its[signal] for node, its in readings.items() if signal in its}
            for node, mark in self._signal(signal, of_signal, neighbours or {}).items():
                marks.setdefault(node, {})[signal] = mark
        # a node that missed a round stood still all the same
        here = readings.keys() | (neighbours or {}).keys()
        self._still = {node: still for node, still in self._still.items() if node in here}
        values = {
            node: {signal: each for signal, each in its.items() if signal not in marks.get(node, ())}
            for node, its in readings.items()
        }
        return Judged({node: its for node, its in values.items() if its}, marks)

    def _signal(self, signal: str, of: Mapping[str, Reading], neighbours: Mapping[str, str]) -> dict[str, Mark]:
        unit = UNITS.get(signal, "")
        marks = {node: mark for node, each in of.items() if (mark := implausible(signal, each.value, unit)) is not None}
        measured = {node: each for node, each in of.items() if node not in marks and not each.constant}
        if unit != CELSIUS:
            return marks
        zeros = _zeros(signal, measured)
        marks |= zeros
        if signal == INLET:
            marks |= self._inlets({n: each for n, each in measured.items() if n not in zeros}, neighbours)
        return marks

    def _inlets(self, of: Mapping[str, Reading], neighbours: Mapping[str, str]) -> dict[str, Mark]:
        names = list(of)
        values = np.array([of[name].value for name in names], np.float64)
        medians = _medians(values, [neighbours.get(name, "") for name in names])
        marks: dict[str, Mark] = {}
        for name, value, median in zip(names, values.tolist(), medians.tolist(), strict=True):
            if self._frozen(name, value, of[name].time, median):
                marks[name] = _FROZEN
            elif abs(value - median) > FAR:  # False where there is no median
                marks[name] = _DISAGREES
        return marks

    def _frozen(self, name: str, value: float, time: float, median: float) -> bool:
        still = self._still.get(name)
        if still is None or still.value != value:
            self._still[name] = _Still(value, time, median, median)
            return False
        still.low, still.high = float(np.fmin(still.low, median)), float(np.fmax(still.high, median))
        return time - still.since >= FROZEN_AFTER and still.high - still.low >= MOVED


_FROZEN = Mark(
    "frozen",
    f"{INLET} is frozen: one value for {FROZEN_AFTER / 3600.0:g} hours, while its neighbours moved by {MOVED:g} K",
)
_DISAGREES = Mark("disagrees", f"{INLET} is more than {FAR:g} K from the median of its neighbours")


def implausible(signal: str, value: float, unit: str) -> Mark | None:
    """What is wrong with a value, whatever the others are."""
    if not math.isfinite(value):
        return Mark("not-a-number", f"{signal} is no number")
    if unit == CELSIUS and value in NO_READING:
        return Mark("no-reading", f"{signal} is {value:g}, as of a BMC that has no reading")
    low, high = RANGES.get(unit, (-math.inf, math.inf))
    if not low <= value <= high:
        return Mark("out-of-range", f"{signal} is outside {low:g}..{high:g} {unit}")
    return None


def _zeros(signal: str, of: Mapping[str, Reading]) -> dict[str, Mark]:
    """The nodes whose sensor says exactly 0, unless the others are near it."""
    zeros = [node for node, each in of.items() if each.value == 0.0]
    others = [each.value for each in of.values() if each.value != 0.0]
    if not zeros or (others and abs(float(np.median(others))) <= NEAR_ZERO):
        return {}
    return dict.fromkeys(zeros, Mark("no-reading", f"{signal} is 0, as of a BMC that has no reading"))


def _medians(values: Floats, groups: Sequence[str]) -> Floats:
    """(N,) median of each node's neighbours, itself left out; NaN: it has fewer than LEAST_NEIGHBOURS.

    ``values``: (N,). Nodes of one group are neighbours; the group without a name is compared with all nodes.
    """
    medians = np.full(values.size, np.nan)
    names, member = np.unique(np.array(groups, object).astype(str), return_inverse=True)
    order = np.argsort(member, kind="stable")
    bounds = np.searchsorted(member[order], np.arange(names.size + 1))
    for name, (start, end) in zip(names.tolist(), pairwise(bounds.tolist()), strict=True):
        its = order[start:end]
        medians[its] = _without_each(values)[its] if not name else _without_each(values[its])
    return medians


def _without_each(values: Floats) -> Floats:
    """(M,) median of all values but this one; NaN: fewer than LEAST_NEIGHBOURS are left."""
    left = values.size - 1
    if left < LEAST_NEIGHBOURS:
        return np.full(values.size, np.nan)
    order = np.argsort(values, kind="stable")
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.arange(values.size)
    ascending = values[order]

    def without(position: int) -> Floats:
        """(M,) the value at this position of the others in ascending order."""
        found: Floats = np.where(ranks <= position, ascending[position + 1], ascending[position])
        return found

    middle: Floats = (without((left - 1) // 2) + without(left // 2)) / 2.0
    return middle
