"""Nodes out of a CSV file: which rows are whose, and their columns as readings in fractions and watts.

Assumes that one unit holds for a whole column. Never fits and never puts the two columns together: where there are
times, that is ``fitting.alignment``'s matter; rows without a time are samples as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.columns import Numbers, numbers
from peaks_scheduler.files.csv.instants import times
from peaks_scheduler.files.csv.rows import Table, csv_text, names_of, plain_table
from peaks_scheduler.files.csv.series import annotated_table, is_annotated, spread
from peaks_scheduler.fitting.alignment import screened
from peaks_scheduler.fitting.readings import Reading
from peaks_scheduler.fitting.units import ENERGY, Unit, cpu_in_cell, cpu_unit, in_cell, kind_found, power_unit

from .node_measurements import NodeMeasurements, rank


@dataclass(frozen=True, slots=True)
class GivenUnits:
    """What the user says of the series. None and ``auto``: found out."""

    cpu_unit: str | None = None
    cores: float | None = None
    cpu_kind: str = "auto"
    power_kind: str = "auto"
    power_unit: str = "auto"


@dataclass(frozen=True, slots=True)
class CsvColumns:
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
    decimal: str = "auto"
    """``point`` or ``comma``, where the numbers do not tell."""
    date_order: str | None = None
    """``day-first`` or ``month-first``, where the dates do not tell."""


def from_csv(columns: CsvColumns, units: GivenUnits) -> tuple[list[NodeMeasurements], tuple[str, ...]]:
    """Every node of the file in the order of their names, and what was found out about the file.

    Raises ConfigurationError: a file, column or unit that cannot be used.
    """
    table = _table(columns)
    cpu = numbers(table, "--cpu-column", columns.cpu, columns.decimal, cpu_in_cell)
    power = numbers(table, "--power-column", columns.power, columns.decimal, in_cell)
    units = _with_cells(table, columns, units, cpu, power)
    time, time_notes = _times(table, columns)
    rows, node_notes = _rows_by_node(table, columns)
    timed = columns.time is not None
    cpus = _readings("--cpu-kind", columns.cpu, cpu.values, time, rows, units.cpu_kind, timed)
    draws = _readings("--power-kind", columns.power, power.values, time, rows, _power_kind(units), timed)
    of_cpu = cpu_unit(columns.path, columns.cpu, cpus, units.cpu_unit, units.cores)
    of_power = power_unit(columns.path, columns.power, draws, units.power_unit)
    notes = (*table.notes, *cpu.notes, *power.notes, *time_notes, *node_notes, *_told(cpus, of_cpu, draws, of_power))
    nodes = [
        _measured(name, _scaled(use, of_cpu), _scaled(draw, of_power), timed, of_cpu)
        for name, use, draw in zip(rows, cpus, draws, strict=True)
    ]
    return nodes, notes


def _table(columns: CsvColumns) -> Table:
    wanted = [name for name in (columns.cpu, columns.power, columns.node, columns.time) if name is not None]
    text = csv_text(columns.path)
    if is_annotated(text):
        return annotated_table(columns.path, text, wanted)
    return spread(plain_table(columns.path, text, names_of(wanted)), wanted)


def _with_cells(table: Table, columns: CsvColumns, units: GivenUnits, cpu: Numbers, power: Numbers) -> GivenUnits:
    """The units as the cells have them, which has to be what the user says of them.

    Raises ConfigurationError where they differ.
    """
    said = (
        ("--cpu-unit", columns.cpu, cpu.unit, units.cpu_unit or "auto"),
        ("--power-unit", columns.power, power.unit, units.power_unit),
    )
    for option, name, unit, told in said:
        if unit and told not in ("auto", unit):
            raise ConfigurationError(
                f"{table.origin}: {option} {told}: expected numbers alone in column {name!r}; its cells say {unit} "
                "themselves: leave the option out"
            )
    return replace(units, cpu_unit=cpu.unit or units.cpu_unit, power_unit=power.unit or units.power_unit)


def _times(table: Table, columns: CsvColumns) -> tuple[Floats, tuple[str, ...]]:
    """(rows,) [s]; the numbers of the rows where no column tells."""
    if columns.time is not None:
        return times(table, "--time-column", columns.time, columns.date_order, columns.decimal)
    if table.apart:
        raise ConfigurationError(
            f"{table.origin}: expected --time-column as well: each row has one value, and only times put them together"
        )
    return np.arange(len(table.rows), dtype=np.float64), ()


def _rows_by_node(table: Table, columns: CsvColumns) -> tuple[Mapping[str, Ints], tuple[str, ...]]:
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


def _power_kind(units: GivenUnits) -> str:
    if units.power_unit not in ENERGY:
        return units.power_kind
    if units.power_kind == "gauge":
        raise ConfigurationError(
            f"--power-unit {units.power_unit}: expected --power-kind counter; got gauge: {units.power_unit} count up"
        )
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


def _measured(name: str, cpu: Reading, power: Reading, timed: bool, unit: Unit) -> NodeMeasurements:
    if timed:
        return NodeMeasurements(name, (cpu, power), cpu_unit=unit.name)
    samples, notes = screened(cpu.values, power.values)
    return NodeMeasurements(name, samples=samples, cpu_unit=unit.name, notes=notes)
