"""Nodes out of a CSV file: which rows are whose, and their columns as readings in fractions and watts.

Assumes that one unit holds for a whole column. Never fits and never puts the two columns together: where there are
times, that is ``fitting.alignment``'s matter; rows without a time are samples as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError
from ..fitting.alignment import Reading, screened
from ..power.curves import Floats
from .columns import Table, numbers, read_table, times
from .measured import Measured, rank
from .units import Unit, cpu_unit, kind_found, power_unit

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Units:
    """What the user says of the series. None and ``auto``: found out."""

    cpu_unit: str | None = None
    cores: float | None = None
    cpu_kind: str = "auto"
    power_kind: str = "auto"
    power_unit: str = "auto"


@dataclass(frozen=True, slots=True)
class Columns:
    """A CSV file and what is where in it."""

    path: str
    """``-``: standard input."""
    cpu: str
    power: str
    node: str | None = None
    """None: the whole file is one node, named after it."""
    time: str | None = None
    """None: each row is a sample of its own."""
    name: str | None = None
    """Of the node, where no column tells; None: the file's."""


def from_csv(columns: Columns, units: Units) -> tuple[list[Measured], tuple[str, ...]]:
    """Every node of the file in the order of their names, and what was found out about the file.

    Raises ConfigurationError: a file, column or unit that cannot be used.
    """
    wanted = [name for name in (columns.cpu, columns.power, columns.node, columns.time) if name is not None]
    table = read_table(columns.path, wanted)
    cpu, cpu_notes = numbers(table, "--cpu-column", columns.cpu)
    watts, power_notes = numbers(table, "--power-column", columns.power)
    time, time_notes = _times(table, columns)
    rows, node_notes = _rows_by_node(table, columns)
    timed = columns.time is not None
    cpus = _readings("--cpu-kind", columns.cpu, cpu, time, rows, units.cpu_kind, timed)
    draws = _readings("--power-kind", columns.power, watts, time, rows, _power_kind(units), timed)
    of_cpu = cpu_unit(columns.path, columns.cpu, cpus, units.cpu_unit, units.cores)
    of_power = power_unit(columns.power, draws, units.power_unit)
    notes = (*table.notes, *cpu_notes, *power_notes, *time_notes, *node_notes, *_told(cpus, of_cpu, draws, of_power))
    nodes = [
        _measured(name, _scaled(use, of_cpu), _scaled(draw, of_power), timed, of_cpu)
        for name, use, draw in zip(rows, cpus, draws, strict=True)
    ]
    return nodes, notes


def _times(table: Table, columns: Columns) -> tuple[Floats, tuple[str, ...]]:
    """(rows,) [s]; the numbers of the rows where no column tells."""
    if columns.time is not None:
        return times(table, "--time-column", columns.time)
    return np.arange(len(table.rows), dtype=np.float64), ()


def _rows_by_node(table: Table, columns: Columns) -> tuple[Mapping[str, Ints], tuple[str, ...]]:
    if columns.node is None:
        file = "node" if columns.path == "-" else PurePath(columns.path).name.removesuffix(".gz").removesuffix(".csv")
        return {columns.name or file: np.arange(len(table.rows))}, ()
    rows: dict[str, list[int]] = {}
    for i, node in enumerate(table.column("--node-column", columns.node)):
        rows.setdefault(node, []).append(i)
    nameless = len(rows.pop("", ()))
    if not rows:
        raise ConfigurationError(f"{table.origin}: column {columns.node!r}: expected names of nodes; all are empty")
    notes = (f"{nameless} rows without a node's name, left out",) if nameless else ()
    return {name: np.array(rows[name]) for name in sorted(rows, key=rank)}, notes


def _readings(
    option: str, name: str, values: Floats, time: Floats, rows: Mapping[str, Ints], said: str, timed: bool
) -> list[Reading]:
    gauges = [Reading(time[which], values[which], "gauge") for which in rows.values()]
    kind = kind_found(name, gauges, said)
    if kind == "counter" and not timed:
        remedy = "say --time-column" if said == kind else f"say --time-column, or {option} gauge"
        raise ConfigurationError(
            f"{option}: expected a gauge in column {name!r}, for there are no times; it counts up: {remedy}"
        )
    return [Reading(each.times, each.values, kind) for each in gauges]


def _power_kind(units: Units) -> str:
    if units.power_unit != "joules":
        return units.power_kind
    if units.power_kind == "gauge":
        raise ConfigurationError("--power-unit joules: expected --power-kind counter; got gauge: joules count up")
    return "counter"


def _told(cpus: Sequence[Reading], of_cpu: Unit, draws: Sequence[Reading], of_power: Unit) -> tuple[str, ...]:
    """Kinds and units, as far as they were found out or are unusual."""
    kinds = (cpus[0].kind, draws[0].kind)
    return tuple(
        f"{what}: a {kind} in {unit.shown}"
        for what, kind, unit in zip(("CPU", "power"), kinds, (of_cpu, of_power), strict=True)
        if unit.remark or kind == "counter"
    )


def _scaled(reading: Reading, unit: Unit) -> Reading:
    return Reading(reading.times, reading.values * unit.factor, reading.kind)


def _measured(name: str, cpu: Reading, power: Reading, timed: bool, unit: Unit) -> Measured:
    if timed:
        return Measured(name, (cpu, power), cpu_unit=unit.name)
    samples, notes = screened(cpu.values, power.values)
    return Measured(name, samples=samples, cpu_unit=unit.name, notes=notes)
