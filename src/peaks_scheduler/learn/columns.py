"""A CSV file as people have it, read as columns of numbers, times and names.

Owns the guesses that such a file asks for: its delimiter, its decimal commas, how a missing value is written, what a
time is counted in. Each guess that is not plain to see comes back as a note. Assumes one header line. Never knows what
a column is for.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..documents import few, nearest
from ..errors import ConfigurationError
from ..power.curves import Floats

_DELIMITERS = (",", ";", "\t", "|", " ")
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?"))
_GROUPED = re.compile(r"[-+]?\d{1,3}(\.\d{3})+")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?)?\s*(Z|UTC|[-+]\d\d:?\d\d)?", re.IGNORECASE
)
# counts since 1970 by their size: what is below the first is seconds, of this century or from a start of their own
_PER_SECOND = ((1e11, 1.0, ""), (1e14, 1e3, "milliseconds"), (1e17, 1e6, "microseconds"), (np.inf, 1e9, "nanoseconds"))
_CENTURY = (1.0, 4.2)  # [1e9 s] 2001 to 2103


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a CSV file, as text without blanks around it."""

    origin: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    """Each as long as the header; what a row lacked is empty."""
    lines: Sequence[int]
    """Line of each row in the file, from 1."""
    notes: tuple[str, ...] = ()

    def column(self, option: str, name: str) -> tuple[str, ...]:
        """The cells of a column. Raises ConfigurationError that lists what there is."""
        i = self._index(option, name)
        return tuple(row[i] for row in self.rows)

    def _index(self, option: str, name: str) -> int:
        found = [i for i, each in enumerate(self.header) if each == name.strip()]
        found = found or [i for i, each in enumerate(self.header) if _folded(each) == _folded(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigurationError(f"{self.origin}: {option} {name!r}: expected one such column; got {len(found)}")
        there = few([repr(each) for each in self.header], 20)
        raise ConfigurationError(
            f"{self.origin}: {option} {name!r}: expected a column of the file{nearest(name, self.header, 0.4)}; "
            f"it has {there}"
        )


def read_table(path: str, wanted: Sequence[str]) -> Table:
    """The CSV file at ``path`` (``-``: standard input), gzipped or not. Of the delimiters that are in use the one is
    taken by which the header has most of the ``wanted`` columns.

    Raises ConfigurationError.
    """
    text = _text(path)
    names = {_folded(name) for name in wanted}
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise ConfigurationError(f"{path}: expected a header line and rows; the file is empty")

    def known(delimiter: str) -> tuple[int, int]:
        header = [_folded(cell) for cell in next(csv.reader([first], delimiter=delimiter))]
        return len(names.intersection(header)), len(header)

    # blanks also stand within names: they only count where nothing else could be meant
    in_use = [each for each in _DELIMITERS if each != " " and each in first] or [" "]
    return _table(path, text, max(in_use, key=known))


def _text(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"--csv {path}: expected a readable CSV file; got: {error}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _table(path: str, text: str, delimiter: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows, lines, odd = [], [], []
    header: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = tuple(cell.strip() for cell in cells)
                continue
            if len(cells) != len(header):
                odd.append(reader.line_num)
            rows.append([cell.strip() for cell in cells[: len(header)]] + [""] * (len(header) - len(cells)))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ConfigurationError(f"{path}: expected CSV; line {reader.line_num} is none: {error}") from error
    return Table(path, header, rows, lines, _ragged(path, header, rows, odd))


def _ragged(path: str, header: Sequence[str], rows: Sequence[object], odd: Sequence[int]) -> tuple[str, ...]:
    if not odd:
        return ()
    where = f"{len(odd)} of {len(rows)} rows have another number of cells than the header's {len(header)}"
    if len(odd) > len(rows) / 2:
        raise ConfigurationError(
            f"{path}: {where}, the first in line {odd[0]}: decimal commas in a file whose delimiter is a comma? "
            "Put such numbers in quotes, or use another delimiter"
        )
    return (f"{where}, the first in line {odd[0]}",)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


# --- cells ------------------------------------------------------------------------------------------------------------


def numbers(table: Table, option: str, name: str) -> tuple[Floats, tuple[str, ...]]:
    """(rows,) the column's numbers, NaN where there is none, and what was odd about them.

    Raises ConfigurationError where not one cell is a number.
    """
    cells = table.column(option, name)
    comma = _decimal_comma(cells)
    values, unreadable = _each(cells, lambda cell: _number(cell, comma))
    _complain_if_empty(table, name, cells, values, "numbers")
    notes = _unreadable(table, name, cells, unreadable)
    return values, (f"column {name!r}: decimal commas", *notes) if comma else notes


def times(table: Table, option: str, name: str) -> tuple[Floats, tuple[str, ...]]:
    """(rows,) [s] since 1970, or since a start of their own; NaN where there is none; and what was odd about them.

    Takes ISO 8601 (UTC where no zone is said) and counts of seconds, milliseconds, microseconds or nanoseconds. Raises
    ConfigurationError where not one cell is a time.
    """
    cells = table.column(option, name)
    comma = _decimal_comma(cells)
    values, unreadable = _each(cells, lambda cell: _number(cell, comma))
    if len(unreadable) > len(cells) / 2:
        values, unreadable = _each(cells, _instant)
    kind = "times in ISO 8601 (2026-11-20T10:00:00Z) or seconds, ms, µs or ns since 1970"
    _complain_if_empty(table, name, cells, values, kind)
    seconds, note = _in_seconds(values)
    notes = _unreadable(table, name, cells, unreadable)
    return seconds, (f"column {name!r}: {note}", *notes) if note else notes


def _each(cells: Sequence[str], read: Callable[[str], float]) -> tuple[Floats, list[int]]:
    """What each cell is, NaN for nothing; and the indices of those that are something else."""
    values, unreadable = np.full(len(cells), np.nan), []
    for i, cell in enumerate(cells):
        if cell.casefold() in _MISSING:
            continue
        try:
            values[i] = read(cell)
        except (ValueError, OverflowError):
            unreadable.append(i)
    return values, unreadable


def _decimal_comma(cells: Sequence[str]) -> bool:
    """Is the comma in these numbers a decimal one? Not where it groups digits: several in one, or a point after it."""
    with_comma = [cell for cell in cells if "," in cell]
    return bool(with_comma) and not any(cell.count(",") > 1 or cell.rfind(".") > cell.find(",") for cell in with_comma)


def _number(cell: str, comma: bool) -> float:
    if "_" in cell:
        raise ValueError(cell)
    if comma and ("," in cell or _GROUPED.fullmatch(cell)):
        return float(cell.replace(".", "").replace(",", "."))
    return float(cell.replace(",", ""))


def _instant(cell: str) -> float:
    """[s] since 1970 with all digits that are there, which datetime would cut to microseconds."""
    if (match := _TIME.fullmatch(cell)) is None:
        raise ValueError(cell)
    day, hours, fraction, zone = match.groups()
    zone = "+00:00" if zone is None or zone.upper() in ("Z", "UTC") else zone
    whole = datetime.fromisoformat(f"{day}T{hours or '00:00'}{zone}").astimezone(UTC)
    return whole.timestamp() + float(f"0.{fraction or 0}")


def _in_seconds(values: Floats) -> tuple[Floats, str]:
    known = values[np.isfinite(values)]
    middle = float(np.median(known))
    if _CENTURY[0] < known.min() and known.max() < _CENTURY[1] and np.ptp(known) < 0.1 and known.size > 1:
        return values * 1e9, "seconds that were read as nanoseconds (the first seconds of 1970), taken as seconds"
    per_second, word = next((per, word) for limit, per, word in _PER_SECOND if abs(middle) < limit)
    return values / per_second, f"{word} since 1970" if word else ""


def _complain_if_empty(table: Table, name: str, cells: Sequence[str], values: Floats, expected: str) -> None:
    if not table.rows:
        raise ConfigurationError(f"{table.origin}: expected rows below the header; there is none")
    if np.isfinite(values).any():
        return
    told = next((i for i, cell in enumerate(cells) if cell.casefold() not in _MISSING), None)
    came = (
        "only missing values" if told is None else f"{cells[told][:40]!r} in line {table.lines[told]}, none in the rest"
    )
    raise ConfigurationError(f"{table.origin}: column {name!r}: expected {expected}; got {came}")


def _unreadable(table: Table, name: str, cells: Sequence[str], which: Sequence[int]) -> tuple[str, ...]:
    if not which:
        return ()
    named = few([f"{cells[i][:30]!r} in line {table.lines[i]}" for i in which], 3)
    return (f"column {name!r}: {len(which)} of {len(cells)} cells cannot be read, left out: {named}",)
