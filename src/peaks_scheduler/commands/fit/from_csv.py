"""Reads nodes from a CSV file: the rows of each node, with CPU as fractions and power in watts.

Assumes that a whole column has one unit. Does not join the two columns if there are times: ``fitting.alignment`` does
that. Without times every row is a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.header import names_of
from peaks_scheduler.files.csv.long_format import annotated_table, is_annotated, spread
from peaks_scheduler.files.csv.number_columns import numbers
from peaks_scheduler.files.csv.rows import plain_table
from peaks_scheduler.files.csv.time_columns import times
from peaks_scheduler.fitting.alignment import screened
from peaks_scheduler.fitting.celsius import CELSIUS, celsius_in_cell, missing, named_otherwise, other_unit, plausible
from peaks_scheduler.fitting.readings import Reading
from peaks_scheduler.fitting.units import ENERGY, Unit, cpu_in_cell, cpu_unit, in_cell, kind_found, power_unit

from .node_measurements import NodeMeasurements, natural_order


@dataclass(frozen=True, slots=True)
class GivenUnits:
    """The units and kinds that the options give. None and ``auto``: found out from the file."""

    cpu_unit: str | None = None
    cores: float | None = None
    cpu_kind: str = "auto"
    power_kind: str = "auto"
    power_unit: str = "auto"


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """A CSV file, and the names of its columns."""

    path: str
    """``-``: standard input."""
    cpu: str
    power: str
    node: str | None = None
    """Column of the node; None: the whole file is one node."""
    time: str | None = None
    """Column of the time; None: each row is a sample of its own."""
    name: str | None = None
    """Name of the node, if there is no column of nodes; None: the file's name."""
    decimal: str = "auto"
    """``point`` or ``comma``, if the numbers do not tell."""
    temperature: str | None = None
    """Column of the temperature [celsius]; None: not used."""
    date_order: str | None = None
    """``day-first`` or ``month-first``, if the dates do not tell."""


def from_csv(columns: CsvColumns, units: GivenUnits) -> tuple[list[NodeMeasurements], tuple[str, ...]]:
    """The measurements of every node of the file, ordered by name, and notes on the file.

    Raises ConfigurationError for a file, column or unit that cannot be used.
    """
    table = table_of(columns.path, (columns.cpu, columns.power, columns.temperature, columns.node, columns.time))
    cpu = numbers(table, "--cpu-column", columns.cpu, columns.decimal, cpu_in_cell)
    power = numbers(table, "--power-column", columns.power, columns.decimal, in_cell)
    units = replace(
        units,
        cpu_unit=with_cell(table, "--cpu-unit", columns.cpu, cpu.unit, units.cpu_unit),
        power_unit=with_cell(table, "--power-unit", columns.power, power.unit, units.power_unit) or "auto",
    )
    time, time_notes = row_times(table, columns)
    rows, node_notes = rows_by_node(table, columns)
    timed = columns.time is not None
    cpus = readings("--cpu-kind", columns.cpu, cpu.values, time, rows, units.cpu_kind, timed)
    draws = readings("--power-kind", columns.power, power.values, time, rows, power_kind(units), timed)
    of_cpu = cpu_unit(columns.path, columns.cpu, cpus, units.cpu_unit, units.cores)
    of_power = power_unit(columns.path, columns.power, draws, units.power_unit)
    celsius, heat_notes = _celsius(table, columns)
    notes = (*table.notes, *cpu.notes, *power.notes, *heat_notes, *time_notes, *node_notes)
    nodes = [
        _measured(name, scaled(use, of_cpu), scaled(draw, of_power), timed, of_cpu, _of_rows(time, celsius, which))
        for (name, which), use, draw in zip(rows.items(), cpus, draws, strict=True)
    ]
    return nodes, (*notes, *_told(cpus, of_cpu, draws, of_power))


def _celsius(table: CsvTable, columns: CsvColumns) -> tuple[Floats | None, tuple[str, ...]]:
    """((R,) the temperature of each row, or None without such a column; notes). Raises ConfigurationError for another
    unit than celsius."""
    if (name := columns.temperature) is None:
        return None, ()
    option = "--temperature-column"
    found = numbers(table, option, name, columns.decimal, celsius_in_cell)
    told = named_otherwise(name) if found.unit != CELSIUS else ""
    told = told or (f"its cells are in {found.unit}" if found.unit not in ("", CELSIUS) else other_unit([found.values]))
    if told:
        raise ConfigurationError(f"{table.origin}: {option}: expected celsius in column {name!r}; {told}")
    return found.values, found.notes


def _of_rows(time: Floats, celsius: Floats | None, which: Ints) -> Reading | None:
    return None if celsius is None else Reading(time[which], celsius[which], "gauge")


def table_of(path: str, wanted: Sequence[str | None]) -> CsvTable:
    """The table of a file that is to have the ``wanted`` columns; None: not wanted. Raises ConfigurationError."""
    names = [name for name in wanted if name is not None]
    text = read_csv_text(path)
    if is_annotated(text):
        return annotated_table(path, text, names)
    return spread(plain_table(path, text, names_of(names)), names)


def with_cell(table: CsvTable, option: str, name: str, unit: str, said: str | None) -> str | None:
    """The unit of a column: that of its cells (``45 %``), else the one that was ``said``.

    Raises ConfigurationError where the option contradicts the cells.
    """
    if unit and said not in (None, "auto", unit):
        raise ConfigurationError(
            f"{table.origin}: {option} {said}: expected only numbers in column {name!r}; its cells have the unit "
            f"{unit}: "
            "leave the option out"
        )
    return unit or said


def row_times(table: CsvTable, columns: CsvColumns) -> tuple[Floats, tuple[str, ...]]:
    """(R,) [s] the time of each row, or the number of the row if there is no column of times; and notes."""
    if columns.time is not None:
        return times(table, "--time-column", columns.time, columns.date_order, columns.decimal)
    if table.apart:
        raise ConfigurationError(
            f"{table.origin}: expected --time-column as well: each row has one value, and only times can join them"
        )
    return np.arange(len(table.rows), dtype=np.float64), ()


def rows_by_node(table: CsvTable, columns: CsvColumns) -> tuple[Mapping[str, Ints], tuple[str, ...]]:
    """(node -> indices of its rows, ordered by name; notes)."""
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
    return {name: np.array(rows[name]) for name in sorted(rows, key=natural_order)}, notes


def readings(
    option: str, name: str, values: Floats, time: Floats, rows: Mapping[str, Ints], said: str, timed: bool
) -> list[Reading]:
    """A reading for each node, all gauges or all counters. Raises ConfigurationError for a counter without times."""
    gauges = [Reading(time[which], values[which], "gauge") for which in rows.values()]
    kind = kind_found(name, gauges, said)
    if kind == "counter" and not timed:
        remedy = "say --time-column" if said == kind else f"say --time-column, or {option} gauge"
        raise ConfigurationError(
            f"{option}: expected a gauge in column {name!r}, for there are no times; it counts up: {remedy}"
        )
    return [Reading(each.times, each.values, kind) for each in gauges]


def power_kind(units: GivenUnits) -> str:
    """The kind of the power column that the options say: energy counts up. Raises ConfigurationError."""
    if units.power_unit not in ENERGY:
        return units.power_kind
    if units.power_kind == "gauge":
        raise ConfigurationError(
            f"--power-unit {units.power_unit}: expected --power-kind counter; got gauge: {units.power_unit} count up"
        )
    return "counter"


def _told(cpus: Sequence[Reading], of_cpu: Unit, draws: Sequence[Reading], of_power: Unit) -> tuple[str, ...]:
    """Notes on kinds and units that were found out or are unusual."""
    kinds = (cpus[0].kind, draws[0].kind)
    return tuple(
        f"{what}: a {kind} in {unit.shown}"
        for what, kind, unit in zip(("CPU", "power"), kinds, (of_cpu, of_power), strict=True)
        if unit.remark or kind == "counter"
    )


def scaled(reading: Reading, unit: Unit) -> Reading:
    """The reading in fractions or watts."""
    return Reading(reading.times, reading.values * unit.factor, reading.kind)


def _measured(
    name: str, cpu: Reading, power: Reading, timed: bool, unit: Unit, heat: Reading | None
) -> NodeMeasurements:
    if timed:
        return NodeMeasurements(name, (cpu, power), celsius=heat, cpu_unit=unit.name)
    celsius = None if heat is None else plausible(heat.values)
    samples, notes = screened(cpu.values, power.values, celsius=celsius)
    lost = () if samples.celsius is None else missing(samples.celsius)
    return NodeMeasurements(name, samples=samples, cpu_unit=unit.name, notes=(*notes, *lost))
