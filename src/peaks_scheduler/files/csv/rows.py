"""A CSV file as people have it: which of its lines are the table, and what is in its cells.

Owns the search for the header: below a preamble, behind comments, by whichever delimiter has the columns that are
asked for; and what of the lines below it is no row: totals, footers, a header that comes again. Each thing that is
passed over comes back as a note. Never knows what a column is for, and never puts cells into a row that they may not
belong to: a row that is longer than the header is left out, and many of them are an error.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import MOST_CSV, read_input_bytes, decoded, unpacked
from peaks_scheduler.text.words import few, nearest, plural

Score = Callable[[Sequence[str]], int]
"""How much of what is needed a line has, if it is the header."""

_DELIMITERS = (",", ";", "\t", "|", " ")
_HEAD = 200  # lines among which the header is looked for
_LONG_LINE = 2**20  # characters
_WIDE = 10_000  # columns
_CELLS = 100_000_000  # rows times columns
_TOO_LONG = 0.01  # of the rows: so many may have more cells than the header
_MANY = 20  # rows, of which one may be broken
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's own first line
_TOTALS = frozenset(
    (
        *("total", "totals", "sum", "average", "avg", "mean", "median", "min", "minimum", "max", "maximum", "std"),
        *("stddev", "count", "summe", "gesamt", "mittelwert", "durchschnitt", "somme", "moyenne", "totale", "media"),
    )
)


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
    delimiter: str = ","
    apart: bool = False
    """Each row has a value of one series only: only their times put them together."""

    def column(self, option: str, name: str) -> tuple[str, ...]:
        """The cells of a column. Raises ConfigurationError that lists what there is."""
        i = self._index(option, name)
        return tuple(row[i] for row in self.rows)

    def has(self, name: str) -> bool:
        """Is there a column of this name?"""
        return folded(name) in map(folded, self.header)

    def _index(self, option: str, name: str) -> int:
        found = [i for i, each in enumerate(self.header) if each == name.strip()]
        found = found or [i for i, each in enumerate(self.header) if folded(each) == folded(name)]
        if len(found) == 1:
            return found[0]
        if found:
            places = ", ".join(str(i + 1) for i in found)
            raise ConfigurationError(
                f"{self.origin}: {option} {name!r}: expected one such column; got {len(found)} (columns {places}): "
                "rename all but one"
            )
        there = few([repr(each) for each in self.header], 20)
        raise ConfigurationError(
            f"{self.origin}: {option} {name!r}: expected a column of the file{nearest(name, self.header, 0.4)}; "
            f"it has {there}"
        )


def folded(name: str) -> str:
    """A name without what does not tell it from another: case, blanks, line ends."""
    return " ".join(name.split()).casefold()


def csv_text(path: str, option: str = "--csv") -> str:
    """The text of the CSV file at ``path`` (``-``: standard input), gzipped or not. Raises ConfigurationError."""
    try:
        data = read_input_bytes(path, MOST_CSV)
        return decoded(unpacked(data, MOST_CSV) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{option} {path}: expected a readable CSV file; got: {error}") from error


def csv_lines(path: str, text: str) -> list[str]:
    """The text's lines, each of a bounded length. Raises ConfigurationError."""
    lines = text.split("\n")
    if (long := next((i for i, line in enumerate(lines, 1) if len(line) > _LONG_LINE), None)) is not None:
        raise ConfigurationError(f"{path}: expected lines of at most {_LONG_LINE:,} characters; line {long} has more")
    return lines


def names_of(wanted: Iterable[str]) -> Score:
    """How many of these names a line has."""
    names = {folded(name) for name in wanted}
    return lambda cells: len(names.intersection(map(folded, cells)))


def plain_table(path: str, text: str, score: Score) -> Table:
    """The table of a text. Of all lines and delimiters those make the header that score best, the first of them.

    Raises ConfigurationError.
    """
    lines = csv_lines(path, text)
    told = _told_delimiter(lines)
    if not any(line.strip() for line in lines):
        raise ConfigurationError(f"{path}: expected a header line and rows; the file is empty")
    comments = [i for i, line in enumerate(lines) if line.lstrip().startswith("#")]
    header = _header(path, lines, comments, told, score)
    for i in comments:
        lines[i] = ""
    notes = _above(lines, comments, header)
    return _below(path, lines, header, notes, score)


def _told_delimiter(lines: list[str]) -> str:
    """What Excel's ``sep=;`` says, which is taken out; else empty."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None or (match := _SEPARATOR.fullmatch(lines[first].strip(" "))) is None:
        return ""
    lines[first] = ""
    return match[1]


# --- the header -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Header:
    delimiter: str
    start: int  # index of its first line
    end: int  # of the first line below
    cells: tuple[str, ...]


def _header(path: str, lines: list[str], comments: Sequence[int], told: str, score: Score) -> _Header:
    head = "\n".join(lines[:_HEAD])
    delimiters = [told] if told else [each for each in _DELIMITERS if each in head]
    # blanks also stand within names: they only count where nothing else could be meant
    delimiters = [each for each in delimiters if each != " "] or delimiters or [","]
    found = list(_candidates(lines, comments, delimiters))
    if not told and not any(score(each.cells) for each in found) and " " in head:
        found += _candidates(lines, comments, [" "])
    if not found:
        raise ConfigurationError(f"{path}: expected a header line and rows; the file has none that can be read as CSV")
    best = max(found, key=lambda each: (score(each.cells), -each.start, len(each.cells)))
    if score(best.cells) > 0:
        return best
    best = _widest([each for each in found if each.start not in comments] or found)
    values = sum(_is_value(cell) for cell in best.cells)
    if 2 * values > sum(map(bool, best.cells)):
        raise ConfigurationError(
            f"{path}: expected a header line with the columns' names; got values in line {best.start + 1}, "
            f"{few([repr(cell) for cell in best.cells], 4)}: put the names above them"
        )
    return best


def _candidates(lines: list[str], comments: Sequence[int], delimiters: Sequence[str]) -> Iterator[_Header]:
    """Every line that may be the header, one that begins with # with and without it."""
    some = [i for i in comments if i < _HEAD]
    plain = ["" if i in some else line for i, line in enumerate(lines[:_HEAD])]
    for delimiter in delimiters:
        yield from _headers(plain, delimiter, 0)
        for i in some:
            yield from _headers([lines[i]], delimiter, i)
            yield from _headers([lines[i].lstrip("# ")], delimiter, i)


def _headers(lines: Sequence[str], delimiter: str, offset: int) -> Iterator[_Header]:
    try:
        for start, end, cells in _csv_rows(lines, delimiter, offset):
            yield _Header(delimiter, start, end, tuple(cells))
    except csv.Error:
        return  # what is no CSV below the header is told where the rows are read


def _widest(found: Sequence[_Header]) -> _Header:
    """Where nothing scores: the first line as wide as most of its delimiter's are."""
    delimiters = {each.delimiter for each in found}
    usual = {
        delimiter: Counter(len(each.cells) for each in found if each.delimiter == delimiter).most_common(1)[0][0]
        for delimiter in delimiters - {" "} or delimiters
    }
    widest = max(usual, key=lambda delimiter: usual[delimiter])
    return next(each for each in found if each.delimiter == widest and len(each.cells) == usual[widest])


def _is_value(cell: str) -> bool:
    """A number or a date, which no column is called."""
    return re.fullmatch(r"[-+]?[0-9][0-9.,]*([eE][-+]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*", cell) is not None


def _csv_rows(lines: Sequence[str], delimiter: str, offset: int) -> Iterator[tuple[int, int, list[str]]]:
    """(index of the first line, of the line after, cells) of each row that has some. Raises csv.Error.

    ``offset``: the index of ``lines[0]``.
    """
    tidy = (line.strip() if delimiter == " " else line for line in lines)
    reader, start = csv.reader((f"{line}\n" for line in tidy), delimiter=delimiter, skipinitialspace=True), offset
    for cells in reader:
        if cells and cells[-1].endswith("\n") and reader.line_num == len(lines):
            raise csv.Error(f"the quote that begins in line {start + 1} or below is never closed")
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield start, offset + reader.line_num, stripped
        start = offset + reader.line_num


def _above(lines: Sequence[str], comments: Sequence[int], header: _Header) -> list[str]:
    """What is passed over above the header, and comments anywhere."""
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
    """The lines below a header, by what they are."""

    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Line of each row in the file, from 1."""
    long: list[int] = field(default_factory=list)
    """Lines with more cells than the header."""
    short: list[int] = field(default_factory=list)
    """Lines with a single cell."""
    again: int = 0
    """Lines that are the header once more."""


def _below(path: str, lines: Sequence[str], header: _Header, notes: list[str], score: Score) -> Table:
    names = header.cells[: max((i + 1 for i, name in enumerate(header.cells) if name), default=0)]
    refuse_wide(path, len(names), 0)
    found = _Rows()
    try:
        for start, _, cells in _csv_rows(lines[header.end :], header.delimiter, header.end):
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
    return Table(path, names, found.rows, found.lines, tuple(notes), header.delimiter)


def _sort_in(path: str, found: _Rows, names: tuple[str, ...], line: int, cells: list[str], score: Score) -> None:
    """Put a line where it belongs. Raises ConfigurationError for the header of another table."""
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


def refuse_wide(path: str, width: int, rows: int) -> None:
    """Each row is as wide as the header, be it mostly empty. Raises ConfigurationError."""
    if width > _WIDE:
        raise ConfigurationError(
            f"{path}: expected at most {_WIDE:,} columns; it has {width:,}: save only those that are needed"
        )
    if width * rows > _CELLS:
        raise ConfigurationError(
            f"{path}: expected at most {_CELLS:,} cells; it has more: save only the columns that are needed"
        )


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
    """How many rows at the end are no measurements but sums and means of the others."""
    count = 0
    for row in reversed(rows):
        first = next((cell for cell in row if cell), "")
        if folded(first).rstrip(" :.") not in _TOTALS:
            break
        count += 1
    return count
