"""A column of a table as numbers.

The decimal mark is found from the column's cells, else from the other columns: a file is written in one language. Where
both marks are possible, an error says which option to give. Cells may have a unit (``1.2 kW``): all of them or none.
Notes name the mark and the unit that were taken. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few

from .csv_table import CsvTable
from .written_numbers import MISSING, Written, told, value, written

UnitOf = Callable[[str], tuple[str, float] | None]
"""(unit, factor to that unit) of the text behind a number; None: the text is no unit."""

DECIMALS = {"point": ".", "comma": ","}
_UNREADABLE = 0.2  # largest share of unreadable cells, missing values not counted
_HUNDREDS = 100.0  # numbers from here on suggest that others are thousands
_FEW = 20.0  # [W, cores, %] a column with all values below is unlikely


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a column."""

    values: Floats
    """(rows,) NaN where a cell has none."""
    notes: tuple[str, ...] = ()
    unit: str = ""
    """Unit of the values, as the cells say it; empty: the cells have no unit."""


@dataclass(slots=True)
class _Marks:
    """Decimal marks in the cells: index of the first cell by its mark, for certain and for possible marks."""

    sure: dict[str, int] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)

    def take(self, body: str, i: int) -> None:
        sure, either = told(body)
        if sure:
            self.sure.setdefault(sure, i)
        if either:
            self.open.setdefault(either, i)


def no_unit(text: str) -> tuple[str, float] | None:
    """The ``UnitOf`` that knows no unit."""
    return None


def numbers(table: CsvTable, option: str, name: str, decimal: str = "auto", unit_of: UnitOf = no_unit) -> Numbers:
    """The numbers of the column ``name``. ``decimal``: ``point``, ``comma`` or ``auto``, which finds the mark.

    Raises ConfigurationError where no cell is a number, many are unreadable, or both marks are possible.
    """
    cells = table.column(option, name)
    read, marks = _read(cells, unit_of)
    mark, note = _mark(table, name, cells, marks, decimal, [each[0] for each in read.values()])
    known, strange = _values(cells, read, mark)
    values = np.array([known.get(cell, np.nan) for cell in cells], np.float64)
    complain_if_empty(table, name, cells, values, "numbers")
    notes = unreadable(table, name, cells, strange)
    unit, of_unit = _unit(table, name, cells, values, unit_of, read)
    return Numbers(values, tuple(each for each in (note, of_unit, *notes) if each), unit)


def _read(cells: Sequence[str], unit_of: UnitOf) -> tuple[dict[int, tuple[Written, float]], _Marks]:
    """(number, factor of its unit) of each cell that is a number, by the index of its first occurrence; and the decimal
    marks."""
    read: dict[int, tuple[Written, float]] = {}
    marks = _Marks()
    for cell, i in _first(cells).items():
        try:
            number = written(cell)
            known = unit_of(number.unit) if number.unit else ("", 1.0)
            if known is not None:
                marks.take(number.body, i)
                read[i] = (number, known[1])
        except ValueError:
            continue
    return read, marks


def _first(cells: Sequence[str]) -> dict[str, int]:
    """Index of the first occurrence of each cell: columns of meters repeat their values."""
    found: dict[str, int] = {}
    for i, cell in enumerate(cells):
        found.setdefault(cell, i)
    return found


def _values(
    cells: Sequence[str], read: dict[int, tuple[Written, float]], mark: str
) -> tuple[dict[str, float], list[int]]:
    """(number by cell, indices of the cells that are neither a number nor missing)."""
    known: dict[str, float] = {}
    strange = set()
    for cell, i in _first(cells).items():
        if cell.casefold() in MISSING:
            continue
        try:
            number, factor = read[i]
            known[cell] = value(number, mark) * factor
        except (KeyError, ValueError, OverflowError):
            strange.add(cell)
    return known, [i for i, cell in enumerate(cells) if cell in strange] if strange else []


def _unit(
    table: CsvTable,
    name: str,
    cells: Sequence[str],
    values: Floats,
    unit_of: UnitOf,
    read: dict[int, tuple[Written, float]],
) -> tuple[str, str]:
    """(unit of the cells, a note); both empty without a unit. Raises ConfigurationError for several units."""
    units: dict[str, int] = {}
    for i, (number, _) in read.items():
        if number.unit or (np.isfinite(values[i]) and values[i] != 0.0):
            known = unit_of(number.unit) if number.unit else None
            units.setdefault(known[0] if known else "", i)
    if len(units) > 1:
        where = " and ".join(f"{cells[i]!r} in line {table.lines[i]}" for i in list(units.values())[:2])
        raise ConfigurationError(
            f"{table.origin}: column {name!r}: expected one unit, in all cells or in none; got {where}: make them alike"
        )
    unit = next(iter(units), "")
    first = cells[units[unit]] if unit else ""
    return unit, f"column {name!r}: units in the cells, {first!r} and so on, taken as {unit}" if unit else ""


# --- the decimal mark -------------------------------------------------------------------------------------------------


def _mark(
    table: CsvTable, name: str, cells: Sequence[str], marks: _Marks, decimal: str, read: Sequence[Written]
) -> tuple[str, str]:
    """(decimal mark of the column, a note where the mark is not obvious). Raises ConfigurationError."""
    if decimal != "auto":
        return DECIMALS[decimal], ""
    if len(marks.sure) > 1 or (not marks.sure and len(marks.open) > 1):
        first = marks.sure if len(marks.sure) > 1 else marks.open
        _ask(table, name, cells, list(first.values()), "points and commas are decimal in turn")
    mark = next(iter(marks.sure), "")
    if not mark and marks.open:
        of_file = _marks_of_file(table)
        mark = next(iter(of_file)) if len(of_file) == 1 else ""
    if not mark and "," in marks.open:
        _ask(table, name, cells, [marks.open[","]], "its comma may be decimal or group digits")
    if not mark and "." in marks.open and _may_group(table, read):
        _ask(table, name, cells, [marks.open["."]], "its point may be decimal or group digits")
    mark = mark or "."
    return mark, _said(name, cells, marks, mark)


def _said(name: str, cells: Sequence[str], marks: _Marks, mark: str) -> str:
    if mark == ",":
        return f"column {name!r}: decimal commas"
    if "," in marks.open:
        return f"column {name!r}: commas group digits, {cells[marks.open[',']]!r} has no fraction"
    return ""


def _any_unit(text: str) -> tuple[str, float] | None:
    return ("", 1.0) if text == "%" or (len(text) <= 8 and text.isalpha()) else None


def _marks_of_file(table: CsvTable) -> set[str]:
    """The certain decimal marks of all columns of numbers."""
    found: set[str] = set()
    for i in range(len(table.header)):
        cells = [row[i] for row in table.rows if row[i].casefold() not in MISSING]
        read, marks = _read(cells, _any_unit)
        if 2 * len(read) > len(set(cells)):
            found.update(marks.sure)
    return found


def _may_group(table: CsvTable, read: Sequence[Written]) -> bool:
    """Can the point group digits? Every number with a point has three digits behind it.

    A program with three decimals writes them in every number. So the numbers may be thousands in two cases: there are
    whole hundreds without a point, or all numbers are small and the delimiter suggests that commas are decimal.
    """
    for unit in {each.unit for each in read}:
        alike = [each for each in read if each.unit == unit]
        whole = [float(each.body) for each in alike if each.body.isdigit()]
        pointed = [value(each, ".") for each in alike if "." in each.body]
        if pointed and whole and max(whole) >= _HUNDREDS:
            return True
        if pointed and not whole and table.delimiter != "," and max(map(abs, pointed)) < _FEW:
            return True
    return False


def _ask(table: CsvTable, name: str, cells: Sequence[str], which: Sequence[int], why: str) -> NoReturn:
    where = " and ".join(f"{cells[i]!r} in line {table.lines[i]}" for i in which)
    raise ConfigurationError(
        f"{table.origin}: column {name!r}: expected numbers that can mean one thing; got {where}, {why}: "
        "say --decimal point (1,541 is 1541 and 1.541 is less than 2) or --decimal comma (the other way round)"
    )


# --- unreadable cells -------------------------------------------------------------------------------------------------


def complain_if_empty(table: CsvTable, name: str, cells: Sequence[str], values: Floats, expected: str) -> None:
    """Raises ConfigurationError where no cell has a value."""
    if not table.rows:
        raise ConfigurationError(f"{table.origin}: expected rows below the header; there is none")
    if np.isfinite(values).any():
        return
    said = next((i for i, cell in enumerate(cells) if cell.casefold() not in MISSING), None)
    came = (
        "only missing values" if said is None else f"{cells[said][:40]!r} in line {table.lines[said]}, none in the rest"
    )
    raise ConfigurationError(f"{table.origin}: column {name!r}: expected {expected}; got {came}")


def unreadable(table: CsvTable, name: str, cells: Sequence[str], which: Sequence[int]) -> tuple[str, ...]:
    """A note on these cells. Raises ConfigurationError where they are many: the rest would be a biased sample."""
    if not which:
        return ()
    named = few([f"{cells[i][:30]!r} in line {table.lines[i]}" for i in which], 3)
    words = f"column {name!r}: {len(which)} of {len(cells)} cells cannot be read"
    if len(which) > _UNREADABLE * sum(cell.casefold() not in MISSING for cell in cells):
        raise ConfigurationError(f"{table.origin}: {words}: expected numbers; got {named}")
    return (f"{words}, left out: {named}",)
