"""A CSV table that a program wrote: one header, then rows as wide as it, every number readable.

Stricter than the tables of measurements that ``fit`` reads: nothing is skipped or guessed, since a pod left out in
silence changes every figure. Every error names the file and the line. Text and bounds come from ``files.csv``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.bounded_text import csv_lines, csv_rows, read_csv_text, refuse_wide
from peaks_scheduler.files.csv.csv_table import folded
from peaks_scheduler.text.words import few, nearest

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, as text without blanks around it."""

    origin: str
    """Option and file, for messages."""
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    """Each as long as the header."""
    lines: Sequence[int]
    """Line of each row in the file, from 1."""
    index: Mapping[str, int]
    """Folded name of a column -> its place."""

    def has(self, name: str) -> bool:
        """Is there such a column?"""
        return folded(name) in self.index

    def error(self, row: int, words: str) -> ConfigurationError:
        """The error with these words behind the file and the row's line."""
        return ConfigurationError(f"{self.origin}: line {self.lines[row]}: {words}")

    def texts(self, name: str, blank: str | None = None) -> list[str]:
        """The cells of a column. An empty one is ``blank``, or an error where that is None."""
        i = self.index[folded(name)]
        cells = [row[i] for row in self.rows]
        if "" not in cells:
            return cells
        if blank is None:
            raise self.error(cells.index(""), f"expected a text in column {name!r}; it is empty")
        return [cell or blank for cell in cells]

    def numbers(
        self,
        name: str,
        *,
        above: bool = False,
        least: float = 0.0,
        most: float = math.inf,
        blank: float | None = None,
        hint: str = "",
    ) -> list[float]:
        """The cells of a column as numbers of at least ``least`` (``above``: more than it) and at most ``most``.

        ``blank``: value of an empty cell; None: an empty cell is an error. ``hint``: what may be wrong with a number
        above ``most``.
        """
        i = self.index[folded(name)]
        found = []
        for k, row in enumerate(self.rows):
            cell = row[i]
            if not cell and blank is not None:
                found.append(blank)
                continue
            value = _number(cell)
            if not least <= value <= most or (above and value == least):
                raise self._no_number(k, name, cell, value, _expected(least, most, above), hint)
            found.append(value)
        return found

    def _no_number(self, row: int, name: str, cell: str, value: float, expected: str, hint: str) -> ConfigurationError:
        came = f"got {cell!r}" if cell else "it is empty"
        remedy = f": {hint}" if hint and math.isfinite(value) and value > 0.0 else ""
        return self.error(row, f"expected {expected} in column {name!r}; {came}{remedy}")


def read_table(option: str, path: str, required: Sequence[str]) -> Table:
    """The table in the CSV file at ``path``, gzipped or not. Raises ConfigurationError."""
    return table_of(option, path, read_csv_text(path, option), required)


def table_of(option: str, path: str, text: str, required: Sequence[str]) -> Table:
    """The table in the text of a file. Raises ConfigurationError where a required column is missing."""
    origin = f"{option} {path}"
    lines = ["" if line.startswith("#") else line for line in csv_lines(origin, text)]
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    delimiter = max(_DELIMITERS, key=lines[first].count)
    try:
        found = list(csv_rows(lines[first:], delimiter, first))
    except csv.Error as error:
        raise ConfigurationError(f"{origin}: expected CSV; it is none: {error}") from error
    if not found:
        raise ConfigurationError(f"{origin}: expected a header line and rows; the file is empty")
    header, rows = tuple(found[0][2]), found[1:]
    refuse_wide(origin, len(header), len(rows))
    _check_header(origin, header, required)
    if not rows:
        raise ConfigurationError(f"{origin}: expected rows below the header; there is none")
    _check_widths(origin, len(header), rows)
    index = {folded(name): i for i, name in enumerate(header)}
    return Table(origin, header, [cells for _, _, cells in rows], [start + 1 for start, _, _ in rows], index)


def once(table: Table, name: str, what: str) -> list[str]:
    """The cells of a column of names. Raises ConfigurationError where one is empty or stands there twice."""
    cells = table.texts(name)
    if len(set(cells)) < len(cells):
        seen: dict[str, int] = {}
        for row, cell in enumerate(cells):
            if cell in seen:
                first = table.lines[seen[cell]]
                raise table.error(row, f"expected each {what} once; {cell!r} is in line {first} as well: rename one")
            seen[cell] = row
    return cells


def _check_header(origin: str, header: Sequence[str], required: Sequence[str]) -> None:
    there = [folded(name) for name in header]
    missing = [name for name in required if folded(name) not in there]
    if missing:
        hint = nearest(missing[0], header)
        raise ConfigurationError(
            f"{origin}: expected the columns {', '.join(required)}; missing: {', '.join(missing)}{hint}; it has "
            f"{few([repr(name) for name in header], 20)}"
        )
    twice = next((name for name in header if name and there.count(folded(name)) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{origin}: expected each column once; {twice!r} is there twice: rename one")


def _check_widths(origin: str, width: int, rows: Sequence[tuple[int, int, Sequence[str]]]) -> None:
    for start, _, cells in rows:
        if len(cells) != width:
            raise ConfigurationError(
                f"{origin}: line {start + 1}: expected {width} cells, as in the header; got {len(cells)}"
            )


def _number(cell: str) -> float:
    """The number of a cell; NaN where it is none."""
    try:
        # Python also takes 1_000; no other program would
        return float(cell) if "_" not in cell else math.nan
    except ValueError:
        return math.nan


def _expected(least: float, most: float, above: bool) -> str:
    words = "a number" if least == -math.inf else f"a number {'above' if above else 'of at least'} {least:g}"
    return words if most == math.inf else f"{words} and at most {most:,.15g}"
