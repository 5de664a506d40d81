"""Nodes after predictors of power that were evaluated on a grid: ``table:FILE?count=50&ambient=0.5&cpu1=0.5``.

The file has one evaluation in a row: ``model``, ``cpu`` [fraction], ``watts``, and a column for each other input of the
predictors (its conditions, in whatever unit). Each model has its own grid, and every point of it once. A node's true
curve is the slice at the conditions that are asked for, linear in each of them between two points; nothing is read
beyond a grid's edge. A predictor may say that power falls as load rises: such a slice is changed by the least that
makes it level there, and a note counts it. One that says negative watts is no power curve: it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.files.csv.csv_table import folded
from peaks_scheduler.power.curves import MAX_WATTS, Piecewise
from peaks_scheduler.power.predictions import monotone
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.text.words import few, nearest, plural

from .machines import PARAMETERS, Machine, machine_nodes
from .node_table import MOST_CORES
from .source import Source
from .table import Table, read_table

_REQUIRED = ("model", "cpu", "watts")
_OWN = (*PARAMETERS, "cores", "without")
_CORES, _MIB_A_CORE = 32.0, 4096.0
"""Of every node, unless ``cores`` and ``memory_mib`` say otherwise: a table of predictions does not know them."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """What one model predicts at the conditions."""

    model: str
    cpu: Floats  # (K,) [1] rising from 0 to 1
    watts: Floats  # (K,) [W]


def predicted_nodes(source: Source, seed: int) -> tuple[Sequence[SimulatedNode], Sequence[str]]:
    """(nodes after models of the table, as ``machine_nodes`` draws them, notes on slices that were changed).

    Every column but ``model``, ``cpu`` and ``watts`` is a condition and needs a value. ``cores`` holds for every node,
    ``without=ID,ID`` leaves models out. Raises ConfigurationError.
    """
    table = read_table(source.option, source.place, _REQUIRED)
    conditions = _conditions(table)
    source.allow(*_OWN, *conditions)
    at = {name: _value(source, name) for name in conditions}
    slices = _slices(source, table, at)
    _refuse_negative(source, slices)
    curves, notes = _made_monotone(slices)
    cores = source.number("cores", _CORES, 0.001, MOST_CORES)
    machines = [
        Machine(f"model-{each.model}", cores, cores * _MIB_A_CORE, curve)
        for each, curve in zip(slices, curves, strict=True)
    ]
    for machine in machines:
        if words := flaw(machine.curve):
            raise source.error(f"{machine.name}: expected {words}")
    return machine_nodes(source, machines, seed), notes


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions(table: Table) -> list[str]:
    """The columns that are conditions. Raises ConfigurationError for one that is called as a parameter is."""
    names = [name.strip() for name in table.header if folded(name) not in _REQUIRED]
    if taken := [name for name in names if name in _OWN or not name]:
        raise table.error(0, f"expected other names for columns of conditions; {taken[0]!r} is a parameter: rename it")
    return names


def _value(source: Source, name: str) -> float:
    """The value of a condition, of either sign."""
    if name not in source.given:
        raise source.error(f"expected a value for each condition of the table; missing: {name} (add &{name}=...)")
    try:
        value = float(source.given[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise source.error(f"expected a number for {name}; got {source.given[name]!r}")
    return value


# --- slices -----------------------------------------------------------------------------------------------------------


def _slices(source: Source, table: Table, at: Mapping[str, float]) -> list[_Slice]:
    """One slice a model, in the order in which the models come."""
    models = table.texts("model")
    cpu = np.array(table.numbers("cpu", most=1.0, hint="is it in percent? Fractions of full load are needed"))
    inputs = [np.array(table.numbers(name, least=-math.inf)) for name in at]
    watts = np.array(table.numbers("watts", least=-MAX_WATTS, most=MAX_WATTS))
    rows: dict[str, list[int]] = {}
    for row, model in enumerate(models):
        rows.setdefault(model, []).append(row)
    chosen = _without(source, rows)
    return [_slice(source, table, model, rows[model], [cpu, *inputs], watts, at) for model in rows if model in chosen]


def _without(source: Source, models: Mapping[str, object]) -> set[str]:
    left_out = source.words("without")
    for name in left_out:
        if name not in models:
            raise source.error(f"expected models of the table for without; got {name!r}{nearest(name, list(models))}")
    if not (chosen := set(models) - set(left_out)):
        raise source.error("expected a model that is not left out; there is none")
    return chosen


def _slice(
    source: Source,
    table: Table,
    model: str,
    rows: Sequence[int],
    inputs: Sequence[Floats],
    watts: Floats,
    at: Mapping[str, float],
) -> _Slice:
    axes, grid = _grid(table, model, rows, inputs, watts)
    # from the last axis to the second: what is left is the axis of cpu
    for axis, (name, value) in zip(reversed(axes[1:]), reversed(list(at.items())), strict=True):
        if not axis[0] <= value <= axis[-1]:
            span = f"from {axis[0]:g} to {axis[-1]:g}"
            raise source.error(f"expected {name} {span}, where model {model} was evaluated; got {value:g}")
        grid = _between(axis, grid, value)
    return _Slice(model, axes[0], grid)


def _grid(
    table: Table, model: str, rows: Sequence[int], inputs: Sequence[Floats], watts: Floats
) -> tuple[list[Floats], Floats]:
    """(axis of each input, watts at every point). Raises ConfigurationError where a point is missing or comes twice."""
    columns = [column[rows] for column in inputs]
    axes = [np.unique(column) for column in columns]
    points = math.prod(axis.size for axis in axes)
    grid = np.full([axis.size for axis in axes], np.nan) if points == len(rows) else None
    if grid is not None:
        grid[tuple(np.searchsorted(axis, column) for axis, column in zip(axes, columns, strict=True))] = watts[rows]
    if grid is None or np.isnan(grid).any():
        raise table.error(
            rows[0],
            f"expected every combination of the inputs of model {model} once, {points:,} rows; it has {len(rows):,}: "
            "evaluate it on a whole grid",
        )
    if axes[0][0] != 0.0 or axes[0][-1] != 1.0:
        raise table.error(
            rows[0],
            f"expected model {model} at cpu from 0 to 1; it has {axes[0][0]:g} to {axes[0][-1]:g}",
        )
    return axes, grid


def _between(axis: Floats, grid: Floats, value: float) -> Floats:
    """The grid without its last axis, at a value of that axis."""
    if axis.size == 1:
        return grid[..., 0]
    i = min(int(np.searchsorted(axis, value, side="right")) - 1, axis.size - 2)
    share = (value - axis[i]) / (axis[i + 1] - axis[i])
    between: Floats = grid[..., i] * (1.0 - share) + grid[..., i + 1] * share
    return between


# --- curves -----------------------------------------------------------------------------------------------------------


def _refuse_negative(source: Source, slices: Sequence[_Slice]) -> None:
    """Raises ConfigurationError for models that say negative watts, with their number and names."""
    negative = [each for each in slices if each.watts.min() < 0.0]
    if negative:
        first = negative[0]
        raise source.error(
            f"expected watts of at least 0; {len(negative)} of {plural(len(slices), 'model')} say less at these "
            f"conditions: {few([each.model for each in negative], 10)} (model {first.model}: {first.watts.min():.1f} W "
            f"at cpu {first.cpu[first.watts.argmin()]:g}): choose conditions that they know, or leave them out with "
            f"without={','.join(each.model for each in negative[:10])}"
        )


def _made_monotone(slices: Sequence[_Slice]) -> tuple[list[Piecewise], list[str]]:
    """(curves that never fall, a note that says how many did and by how much they were changed)."""
    curves, changed = [], {}
    for each in slices:
        watts, change = monotone(each.watts[None, :])
        curves.append(Piecewise(tuple(each.cpu.tolist()), tuple(watts[0].tolist())))
        if change[0] > 0.0:
            changed[each.model] = float(change[0])
    if not changed:
        return curves, []
    worst = max(changed, key=changed.__getitem__)
    words = f"{len(changed)} of {plural(len(slices), 'model')} fell as load rises"
    note = f"{words}, made level there: by {changed[worst]:.2f} W at most (model {worst})"
    return curves, [note]
