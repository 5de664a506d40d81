"""The table in the text of a CSV file, as people have them: below a preamble, with comments, totals and footers.

Lines below the header that are no measurements are left out: totals, footers, the header again. A note names everything
that is left out. A row with more cells than the header is left out as well, for its cells may belong to other columns;
many such rows are an error. Pure.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import plural

from .bounded_text import csv_lines, csv_rows, refuse_wide
from .csv_table import CsvTable, folded
from .header import HeaderLine, Score, find_header

_TOO_LONG = 0.01  # share of the rows that may have more cells than the header
_MANY = 20  # rows; in so many one may be too long
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's own first line
_TOTALS = frozenset(
    (
        *("total", "totals", "sum", "average", "avg", "mean", "median", "min", "minimum", "max", "maximum", "std"),
        *("stddev", "count", "summe", "gesamt", "mittelwert", "durchschnitt", "somme", "moyenne", "totale", "media"),
    )
)


def plain_table(path: str, text: str, score: Score) -> CsvTable:
    """The table of a text; the line that scores best is its header. Raises ConfigurationError."""
    lines = csv_lines(path, text)
    told = _told_delimiter(lines)
    if not any(line.strip() for line in lines):
        raise ConfigurationError(f"{path}: expected a header line and rows; the file is empty")
    comments = [i for i, line in enumerate(lines) if line.lstrip().startswith("#")]
    header = find_header(path, lines, comments, told, score)
    for i in comments:
        lines[i] = ""
    notes = _above(lines, comments, header)
    return _below(path, lines, header, notes, score)


def _told_delimiter(lines: list[str]) -> str:
    """The delimiter in Excel's line ``sep=;``, else empty. Empties that line."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None or (match := _SEPARATOR.fullmatch(lines[first].strip(" "))) is None:
        return ""
    lines[first] = ""
    return match[1]


def _above(lines: Sequence[str], comments: Sequence[int], header: HeaderLine) -> list[str]:
    """Notes on the lines above the header and on comments, which are left out."""
    others = [i for i in comments if i != header.start]
    above = sum(1 for line in lines[: header.start] if line.strip())
    notes = []
    if above:
        notes.append(f"the header is line {header.start + 1}; {plural(above, 'line')} above it, left out")
    if others:
        notes.append(f"{plural(len(others), 'line')} that begin with #, taken for comments")
    return notes


# --- the rows ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Rows:
    """The lines below the header, sorted by what they are."""

    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Line of each row in the file, from 1."""
    long: list[int] = field(default_factory=list)
    """Lines with more cells than the header."""
    short: list[int] = field(default_factory=list)
    """Lines with a single cell."""
    again: int = 0
    """Number of lines that are the header again."""


def _below(path: str, lines: Sequence[str], header: HeaderLine, notes: list[str], score: Score) -> CsvTable:
    names = header.cells[: max((i + 1 for i, name in enumerate(header.cells) if name), default=0)]
    refuse_wide(path, len(names), 0)
    found = _Rows()
    try:
        for start, _, cells in csv_rows(lines[header.end :], header.delimiter, header.end):
            _sort_in(path, found, names, start + 1, cells, score)
    except csv.Error as error:
        raise ConfigurationError(f"{path}: expected CSV below line {header.end}; it is none: {error}") from error
    _refuse_long(path, len(names), len(found.rows), found.long, header.delimiter)
    notes += _passed_over(found, len(names))
    totals = _totals(found.rows)
    if totals:
        last = ", ".join(cell for cell in found.rows[-1] if cell)
        notes.append(f"{plural(totals, 'row')} of sums or means at the end, left out: {last[:60]}")
        del found.rows[-totals:], found.lines[-totals:]
    return CsvTable(path, names, found.rows, found.lines, tuple(notes), header.delimiter)


def _sort_in(path: str, found: _Rows, names: tuple[str, ...], line: int, cells: list[str], score: Score) -> None:
    """Adds a line to ``found``. Raises ConfigurationError for the header of another table."""
    width = len(names)
    if tuple(cells[:width]) == names:
        found.again += 1
    elif not any(cell[:1].isdigit() for cell in cells) and score(cells) >= max(score(names), 2):
        raise ConfigurationError(
            f"{path}: expected one table; line {line} is the header of another one, in another order: split it"
        )
    elif any(cells[width:]):
        found.long.append(line)
    elif len(cells) == 1 < width:
        found.short.append(line)
    else:
        refuse_wide(path, width, len(found.rows))
        found.rows.append(cells[:width] + [""] * (width - len(cells)))
        found.lines.append(line)


def _refuse_long(path: str, width: int, rows: int, long: Sequence[int], delimiter: str) -> None:
    if len(long) <= _TOO_LONG * (rows + len(long)) or (len(long) == 1 and rows >= _MANY):
        return
    name = {",": "comma", ";": "semicolon", "\t": "tab", " ": "blank"}.get(delimiter, delimiter)
    why = (
        "decimal commas in a file whose delimiter is a comma? Or digits in groups (1,541)? " if name == "comma" else ""
    )
    raise ConfigurationError(
        f"{path}: {len(long)} of {rows + len(long)} rows have another number of cells than the header's {width}, the "
        f"first in line {long[0]}: {why}Put cells with a {name} in quotes, or use another delimiter"
    )


def _passed_over(found: _Rows, width: int) -> list[str]:
    notes = []
    if found.long:
        rows = plural(len(found.long), "row")
        notes.append(f"{rows} with more cells than the header's {width}, left out, from line {found.long[0]} on")
    if found.short:
        notes.append(f"{plural(len(found.short), 'line')} with a single cell, left out, from line {found.short[0]} on")
    if found.again:
        notes.append(f"{plural(found.again, 'line')} with the header again, left out")
    return notes


def _totals(rows: Sequence[Sequence[str]]) -> int:
    """Number of rows at the end that are sums or means of the others."""
    count = 0
    for row in reversed(rows):
        first = next((cell for cell in row if cell), "")
        if folded(first).rstrip(" :.") not in _TOTALS:
            break
        count += 1
    return count
