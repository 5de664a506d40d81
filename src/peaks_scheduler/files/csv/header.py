"""Finds the header of a CSV file: which line, with which delimiter.

Every line at the beginning, with every delimiter, may be the header, also below a preamble and behind a ``#``. The one
with most of the wanted columns is taken. Pure.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few

from .bounded_text import csv_rows
from .csv_table import folded

Score = Callable[[Sequence[str]], int]
"""How many of the wanted columns a line has, if it is the header."""

_DELIMITERS = (",", ";", "\t", "|", " ")
_MOST_LINES = 200  # among which the header is looked for


def names_of(wanted: Iterable[str]) -> Score:
    """The score that counts how many of these names a line has."""
    names = {folded(name) for name in wanted}
    return lambda cells: len(names.intersection(map(folded, cells)))


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """A line that is, or may be, the header."""

    delimiter: str
    start: int
    """Index of its first line."""
    end: int
    """Index of the first line below it."""
    cells: tuple[str, ...]


def find_header(path: str, lines: Sequence[str], comments: Sequence[int], told: str, score: Score) -> HeaderLine:
    """The header with the highest score, the first of several.

    ``comments``: indices of the lines that begin with ``#``. ``told``: the delimiter that the file itself names, or
    empty. Raises ConfigurationError where no line can be a header.
    """
    head = "\n".join(lines[:_MOST_LINES])
    delimiters = [told] if told else [each for each in _DELIMITERS if each in head]
    # names have blanks in them: a blank is a delimiter only where nothing else can be
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


def _candidates(lines: Sequence[str], comments: Sequence[int], delimiters: Sequence[str]) -> Iterator[HeaderLine]:
    """Every line that may be the header. A line that begins with ``#`` may be one with and without it."""
    some = [i for i in comments if i < _MOST_LINES]
    plain = ["" if i in some else line for i, line in enumerate(lines[:_MOST_LINES])]
    for delimiter in delimiters:
        yield from _headers(plain, delimiter, 0)
        for i in some:
            yield from _headers([lines[i]], delimiter, i)
            yield from _headers([lines[i].lstrip("# ")], delimiter, i)


def _headers(lines: Sequence[str], delimiter: str, offset: int) -> Iterator[HeaderLine]:
    try:
        for start, end, cells in csv_rows(lines, delimiter, offset):
            yield HeaderLine(delimiter, start, end, tuple(cells))
    except csv.Error:
        return  # where the rows are read, an error says what is wrong


def _widest(found: Sequence[HeaderLine]) -> HeaderLine:
    """The first line of the usual width, for the delimiter whose usual width is largest. For when no line scores."""
    delimiters = {each.delimiter for each in found}
    usual = {
        delimiter: Counter(len(each.cells) for each in found if each.delimiter == delimiter).most_common(1)[0][0]
        for delimiter in delimiters - {" "} or delimiters
    }
    widest = max(usual, key=lambda delimiter: usual[delimiter])
    return next(each for each in found if each.delimiter == widest and len(each.cells) == usual[widest])


def _is_value(cell: str) -> bool:
    """Is it a number or a date? No column has such a name."""
    return re.fullmatch(r"[-+]?[0-9][0-9.,]*([eE][-+]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*", cell) is not None
