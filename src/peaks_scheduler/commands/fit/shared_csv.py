"""Reads what a meter for many nodes needs from CSV files: the CPU of each node, and the power of all of them.

The power is a column of the same file, with the meter's sum repeated on each node's row of one time, or a column of a
file of its own. Units are found out as for single nodes; the sum counts per node there, so that its bounds are those of
a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.number_columns import numbers
from peaks_scheduler.fitting.readings import Reading
from peaks_scheduler.fitting.units import Unit, cpu_in_cell, cpu_unit, in_cell, power_unit
from peaks_scheduler.text.words import few

from .from_csv import CsvColumns, GivenUnits, power_kind, readings, row_times, rows_by_node, scaled, table_of, with_cell

_SAME = 1e-6  # relative difference of two numbers that are the same reading


@dataclass(frozen=True, slots=True)
class SharedColumns:
    """The files of one meter, and the names of their columns."""

    csv: CsvColumns
    """The file of the nodes; its ``power`` is the name of the meter's column, wherever that is."""
    power_path: str | None = None
    """The file of the meter; None: the meter is in the file of the nodes."""
    kind: str | None = None
    """Column of the kind of each node; None: all are of one kind."""
    label: str | None = None
    """Label of the nodes whose value is their kind; None: the model file lists the nodes."""
    half_life: float | None = None
    """[s] of age by which a sample's weight halves; None: all samples count alike."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedMeasurements:
    """One meter and its nodes, in fractions and watts (fraction-seconds and joules for counters)."""

    cpus: Mapping[str, Reading]
    kinds: Mapping[str, tuple[str, ...]]
    """Kind -> its nodes."""
    power: Reading
    cpu_unit: str
    notes: tuple[str, ...]


def from_shared_csv(shared: SharedColumns, units: GivenUnits) -> SharedMeasurements:
    """The measurements of the files. Raises ConfigurationError for a file, column or unit that cannot be used."""
    columns, apart = shared.csv, shared.power_path is not None
    wanted = (columns.cpu, columns.node, columns.time, shared.kind, None if apart else columns.power)
    table = table_of(columns.path, wanted)
    cpu = numbers(table, "--cpu-column", columns.cpu, columns.decimal, cpu_in_cell)
    said = with_cell(table, "--cpu-unit", columns.cpu, cpu.unit, units.cpu_unit)
    time, time_notes = row_times(table, columns)
    rows, node_notes = rows_by_node(table, columns)
    cpus = readings("--cpu-kind", columns.cpu, cpu.values, time, rows, units.cpu_kind, True)
    of_cpu = cpu_unit(columns.path, columns.cpu, cpus, said, units.cores)
    power, power_notes = _power(shared, units, table, time, len(rows))
    return SharedMeasurements(
        {name: scaled(each, of_cpu) for name, each in zip(rows, cpus, strict=True)},
        _kinds(table, shared, rows),
        power,
        of_cpu.name,
        (*table.notes, *cpu.notes, *time_notes, *node_notes, *_told("CPU", cpus[0], of_cpu), *power_notes),
    )


def _power(
    shared: SharedColumns, units: GivenUnits, table: CsvTable, time: Floats, nodes: int
) -> tuple[Reading, tuple[str, ...]]:
    """The meter's series in watts or joules, and notes."""
    columns = shared.csv
    more: tuple[str, ...] = ()
    if shared.power_path is not None:
        columns = replace(columns, path=shared.power_path)
        table = table_of(columns.path, (columns.power, columns.time))
        time, more = row_times(table, columns)
        more = (*table.notes, *more)
    found = numbers(table, "--power-column", columns.power, columns.decimal, in_cell)
    unit = with_cell(table, "--power-unit", columns.power, found.unit, units.power_unit)
    units = replace(units, power_unit=unit or "auto")
    time, values = (time, found.values) if shared.power_path is not None else _once(table, columns, time, found.values)
    rows = {"meter": np.arange(len(time))}
    (draw,) = readings("--power-kind", columns.power, values, time, rows, power_kind(units), True)
    each = Reading(draw.times, draw.values / nodes, draw.kind)
    of_power = power_unit(columns.path, columns.power, [each], units.power_unit)
    return scaled(draw, of_power), (*more, *found.notes, *_told("power", draw, of_power))


def _once(table: CsvTable, columns: CsvColumns, time: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The meter's times and values, each once: all rows of one time have the same value, or none.

    Raises ConfigurationError where they differ.
    """
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(time))
    times, first, which = np.unique(time[known], return_index=True, return_inverse=True)
    same = values[known[first]]
    differs = np.abs(values[known] - same[which]) > _SAME * np.abs(same[which])
    if differs.any():
        row = int(known[int(np.argmax(differs))])
        other = int(known[first[which[int(np.argmax(differs))]]])
        raise ConfigurationError(
            f"{table.origin}: --shared: expected the meter's sum in column {columns.power!r}, the same in all rows of "
            "one "
            f"time; got {values[other]:g} in line {table.lines[other]} and {values[row]:g} in line "
            f"{table.lines[row]}: is "
            "it each node's own power? Then leave --shared out; or give the meter a file of its own with --power-csv"
        )
    return times, same


def _kinds(table: CsvTable, shared: SharedColumns, rows: Mapping[str, Ints]) -> dict[str, tuple[str, ...]]:
    """Kind -> its nodes. Raises ConfigurationError for a node with two kinds or none."""
    if shared.kind is None:
        return {"all": tuple(rows)}
    cells = table.column("--kind-column", shared.kind)
    found: dict[str, list[str]] = {}
    for node, which in rows.items():
        own = sorted({cells[i] for i in which} - {""})
        if len(own) != 1:
            got = few([repr(each) for each in own]) or "none"
            raise ConfigurationError(
                f"{table.origin}: column {shared.kind!r}: expected one kind for node {node!r}; got {got}"
            )
        found.setdefault(own[0], []).append(node)
    return {kind: tuple(found[kind]) for kind in sorted(found)}


def _told(what: str, reading: Reading, unit: Unit) -> tuple[str, ...]:
    """A note on a kind or unit that was found out or is unusual."""
    return (f"{what}: a {reading.kind} in {unit.shown}",) if unit.remark or reading.kind == "counter" else ()
