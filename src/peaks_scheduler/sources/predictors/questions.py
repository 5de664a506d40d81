"""A question to one served model: the rows for many nodes, built together, and the answer in the shape of the nodes.

Nodes with equally many points form groups. A group's rows are first all nodes at the points of their own grids, then,
for each sensor, all nodes at the points of ``predictions.FIRST`` with that sensor one standard error higher. Columns
are in the unit and range that the server wants. Assumes that every signal is known (``lacking``). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.predictions import FIRST, at_points, following, of_processor, standard_error
from peaks_scheduler.settings.predictors import ServedModel

from .asked_node import Accepted, AskedNode

INLET = "inlet"
GROUP = 250
"""Nodes of a group at most: to build its rows takes some milliseconds."""


def signals_of(model: ServedModel, *, follow: bool) -> tuple[str, ...]:
    """The signals that a question needs: with ``follow`` the inlet too, where there are CPU temperatures."""
    own = model.signals
    return (*own, INLET) if follow and INLET not in own and any(map(of_processor, own)) else own


def lacking(asked: AskedNode, *, follow: bool) -> str:
    """What is missing to ask about a node, in words; empty: nothing."""
    model = asked.assignment.model
    missing = [s for s in signals_of(model, follow=follow) if not math.isfinite(asked.sensors.get(s, math.nan))]
    if missing:
        return f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not known"
    if model.cpu == "cores" and not asked.node.cpu_capacity > 0.0:
        return "its CPU capacity is not known"
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """M nodes of a question with K points each."""

    nodes: Sequence[AskedNode]
    u: Floats  # (M, K) [1]
    sensors: Floats  # (M, S) of ``signals_of``
    ratio: Floats | None  # (M, K) power at each use by that at the present use; None: CPU temperatures are held
    first_ratio: Floats | None  # (M, 21) the same at the points of FIRST


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a group was answered."""

    group: Group
    watts: Floats  # (M, K) [W]
    changes: Floats  # (M, S, K) [W] by one standard error of each sensor of the model


class Question:
    """See the module.

    Args:
        profiles: predictions by node name that say how a node's power depends on its use. Given: CPU temperatures
            follow the power; those of nodes that are not among them, or whose use is not known, are held.
        sensors: ask for what the sensors' errors do, too.
    """

    def __init__(
        self,
        model: ServedModel,
        nodes: Sequence[AskedNode],
        profiles: Mapping[str, Accepted] | None = None,
        *,
        sensors: bool = True,
    ) -> None:
        self._model, self._nodes, self._profiles = model, nodes, profiles
        self._signals = signals_of(model, follow=profiles is not None)
        self._varied = model.signals if sensors else ()
        self._groups: list[Group] = []

    def parts(self) -> Iterator[Floats]:
        """The rows, (R, C) with the columns of ``model.inputs``, one group after the other."""
        by_size: dict[int, list[AskedNode]] = {}
        for each in self._nodes:
            by_size.setdefault(len(each.grid), []).append(each)
        for some in by_size.values():
            for start in range(0, len(some), GROUP):
                self._groups.append(self._group(some[start : start + GROUP]))
                yield self._rows(self._groups[-1])

    def answers(self, watts: Floats) -> Iterator[Answer]:
        """What each group was answered. (R,) [W] for all rows."""
        at = 0
        for group in self._groups:
            size = len(group.nodes) * (group.u.shape[1] + len(self._varied) * len(FIRST))
            yield self._answer(group, watts[at : at + size])
            at += size

    @np.errstate(invalid="ignore", over="ignore")
    def _answer(self, group: Group, watts: Floats) -> Answer:
        m, k, s = len(group.nodes), group.u.shape[1], len(self._varied)
        own = watts[: m * k].reshape(m, k)
        varied = watts[m * k :].reshape(s, m, len(FIRST)).transpose(1, 0, 2)
        return Answer(group, own, at_points(group.u, varied - _at_first(group.u, own)[:, None, :]))

    # -- building

    def _group(self, nodes: Sequence[AskedNode]) -> Group:
        u = np.array([each.grid for each in nodes])
        sensors = np.array([[each.sensors[s] for s in self._signals] for each in nodes]).reshape(len(nodes), -1)
        if self._profiles is None or not any(map(of_processor, self._model.signals)):
            return Group(nodes, u, sensors, None, None)
        known = [self._profiles.get(each.node.name) for each in nodes]
        first = np.broadcast_to(FIRST, (len(nodes), len(FIRST)))
        return Group(nodes, u, sensors, _ratios(nodes, known, u), _ratios(nodes, known, first))

    def _rows(self, group: Group) -> Floats:
        parts = [self._columns(group, group.u, group.sensors, group.ratio)]
        first = np.broadcast_to(FIRST, (len(group.nodes), len(FIRST)))
        for signal in self._varied:
            warmer = group.sensors.copy()
            warmer[:, self._signals.index(signal)] += standard_error(signal)
            parts.append(self._columns(group, first, warmer, group.first_ratio))
        return np.concatenate(parts)

    def _columns(self, group: Group, u: Floats, sensors: Floats, ratio: Floats | None) -> Floats:
        """(M*K, C)"""
        columns = np.empty((*u.shape, len(self._model.inputs)))
        for c, name in enumerate(self._model.inputs):
            columns[:, :, c] = self._column(group, name, u, sensors, ratio)
            if (pair := self._ranges(group, name)) is not None:
                columns[:, :, c] = (columns[:, :, c] - pair[0]) / (pair[1] - pair[0])
        return columns.reshape(-1, columns.shape[2])

    def _column(self, group: Group, name: str, u: Floats, sensors: Floats, ratio: Floats | None) -> Floats:
        """(M, K), or (M, 1) where it is the same at any use; in the signal's unit."""
        if name == "cpu":
            return u * self._cpu_factor(group)
        value: Floats = sensors[:, self._signals.index(name)]
        if ratio is not None and of_processor(name):
            return following(sensors[:, self._signals.index(INLET)], value, ratio)
        return value[:, None]

    def _cpu_factor(self, group: Group) -> Floats:
        """(M, 1) what full load is in the unit of the column ``cpu``."""
        if self._model.cpu == "cores":
            return np.array([[each.node.cpu_capacity] for each in group.nodes])
        return np.full((len(group.nodes), 1), 100.0 if self._model.cpu == "percent" else 1.0)

    def _ranges(self, group: Group, name: str) -> tuple[Floats, Floats] | None:
        """((M, 1) min, (M, 1) max) of a column; None: no node has a range for it."""
        of_model = self._model.ranges.get(name)
        pairs = [each.assignment.ranges.get(name, of_model) for each in group.nodes]
        if not any(pairs):
            return None
        both = np.array([pair or (0.0, 1.0) for pair in pairs])
        return both[:, :1], both[:, 1:]


def _at_first(u: Floats, watts: Floats) -> Floats:
    """(M, 21) the values at the points of FIRST, which are points of every grid."""
    if u.shape[1] == len(FIRST):
        return watts
    # a point of FIRST is the first one that is not below it
    places = np.stack([np.searchsorted(row, FIRST - 1e-9) for row in u])
    return np.take_along_axis(watts, places, axis=1)


def _ratios(nodes: Sequence[AskedNode], known: Sequence[Accepted | None], u: Floats) -> Floats:
    """(M, K) power at each use by that at the present use; 1 where that is not known."""
    ratios = np.ones(u.shape)
    for i, (asked, of) in enumerate(zip(nodes, known, strict=True)):
        if of is not None and asked.use is not None and math.isfinite(asked.use):
            now = float(np.interp(asked.use, of.u, of.watts))
            if now > 0.0:
                ratios[i] = np.interp(u[i], of.u, of.watts) / now
    return ratios
