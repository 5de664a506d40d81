"""A column of a table as times.

Reads ISO 8601 and similar forms, dates with a month's name, dates in numbers, and counts since 1970, whose unit follows
from their size. Times without a zone are UTC: only differences count. In ``3/4/2026`` day and month are certain only
where one column's number is above 12; they are never guessed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError

from .csv_table import CsvTable
from .number_columns import complain_if_empty, numbers, unreadable
from .written_numbers import MISSING

ORDERS = ("day-first", "month-first")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r"(?:\s*(?P<half>[AP]\.?M\.?))?)?\s*(?P<zone>Z|UTC|GMT|[-+]\d\d:?(?:\d\d)?)?"
)
_DAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?P<year>\d{{4}})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?){_CLOCK}",
        rf"{_DAY}(?P<day>\d\d?)[ -](?P<name>[a-z]{{3,9}})\.?,?[ -](?P<year>\d{{4}}){_CLOCK}",
        rf"{_DAY}(?P<name>[a-z]{{3,9}})\.?\s+(?P<day>\d\d?),?\s+(?P<year>\d{{4}}){_CLOCK}",
        rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{{4}}){_CLOCK}",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?(?P<zone>Z)?",
    )
)
_EITHER = re.compile(rf"(?P<first>\d\d?)([/-])(?P<other>\d\d?)\2(?P<year>\d{{4}}){_CLOCK}", re.IGNORECASE)
_YEARS = range(1990, 2101)

# (upper limit, counts per second, unit) of counts since 1970; small ones are seconds since any start
_PER_SECOND = ((1e11, 1.0, ""), (1e14, 1e3, "milliseconds"), (1e17, 1e6, "microseconds"), (np.inf, 1e9, "nanoseconds"))
_CENTURY = (1.0, 4.2)  # [1e9 s] 2001 to 2103
_EXCEL = (30_000.0, 75_000.0, 0.5)  # Excel's days of 1982 to 2105; steps below 0.5 are not of seconds
_MISREAD = "seconds that were read as nanoseconds (the first seconds of 1970), taken as seconds"
_KINDS = "times in ISO 8601 (2026-11-20T10:00:00Z) or seconds, ms, µs or ns since 1970"


def times(
    table: CsvTable, option: str, name: str, order: str | None = None, decimal: str = "auto"
) -> tuple[Floats, tuple[str, ...]]:
    """((rows,) [s] since 1970 or since another start, NaN where a cell has no time; notes).

    ``order``: one of ``ORDERS``, for dates that are uncertain without it. Raises ConfigurationError where no cell is a
    time, or a date is uncertain.
    """
    cells = table.column(option, name)
    said = [i for i, cell in enumerate(cells) if cell.casefold() not in MISSING]
    forms = {cell: _form(cell) for cell in {cells[i] for i in said}}
    dated = {i: form for i in said if (form := forms[cells[i]]) is not None}
    if 2 * len(dated) > len(said):
        values, notes = _dates(table, name, cells, dated, order)
        return (values * 1e9, (f"column {name!r}: {_MISREAD}", *notes)) if _misread(values) else (values, notes)
    if not any(cells[i][:1].isdigit() and _is_count(cells[i]) for i in said):
        complain_if_empty(table, name, cells, np.full(len(cells), np.nan), _KINDS)
    counts = numbers(table, option, name, decimal)
    seconds, note = _in_seconds(table, name, counts.values)
    return seconds, (f"column {name!r}: {note}", *counts.notes) if note else counts.notes


def _misread(values: Floats) -> bool:
    """Are these seconds of this century that a program took for nanoseconds?"""
    known = values[np.isfinite(values)]
    return bool(_CENTURY[0] < known.min() and known.max() < _CENTURY[1] and np.ptp(known) < 0.1 and known.size > 1)


def _is_count(cell: str) -> bool:
    return ":" not in cell and re.match(r"[0-9.,'’\s]+$|.*[eE][-+]?[0-9]+$", cell) is not None


def _in_seconds(table: CsvTable, name: str, values: Floats) -> tuple[Floats, str]:
    known = values[np.isfinite(values)]
    middle = float(np.median(known))
    if _misread(values):
        return values * 1e9, _MISREAD
    steps = np.diff(np.unique(known))
    if _EXCEL[0] < known.min() and known.max() < _EXCEL[1] and steps.size and float(np.median(steps)) < _EXCEL[2]:
        raise ConfigurationError(
            f"{table.origin}: column {name!r}: expected {_KINDS}; got {known[0]:.6g}, which look like Excel's days "
            "since 1900: format the column as yyyy-mm-dd hh:mm:ss and save again"
        )
    per_second, word = next((per, word) for limit, per, word in _PER_SECOND if abs(middle) < limit)
    return values / per_second, f"{word} since 1970" if word else ""


# --- dates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Date:
    """The date and time of a cell. Day and month may be uncertain."""

    year: int
    month: int
    day: int
    seconds: float  # of the day, UTC
    either: bool = False  # ``day`` is only the first number, ``month`` the second


def _form(cell: str) -> _Date | None:
    """The cell as a date; None: it is no date."""
    for form in _FORMS:
        if (match := form.fullmatch(cell)) is not None:
            parts = match.groupdict()
            found = _Date(int(parts["year"]), _month(parts), int(parts["day"]), _seconds(parts))
            return found if form is not _FORMS[-1] or _is_day(found) else None
    if (match := _EITHER.fullmatch(cell)) is not None:
        parts = match.groupdict()
        return _Date(int(parts["year"]), int(parts["other"]), int(parts["first"]), _seconds(parts), True)
    return None


def _month(parts: dict[str, str | None]) -> int:
    """1 to 12; 0 for no month."""
    if number := parts.get("month"):
        return int(number)
    name = (parts.get("name") or "")[:3].lower()
    return _MONTHS.index(name) + 1 if name in _MONTHS else 0


def _is_day(date: _Date) -> bool:
    """Is it a possible date? Not every 14 digits in a row are one."""
    return date.year in _YEARS and 1 <= date.month <= 12 and 1 <= date.day <= 31


def _seconds(parts: dict[str, str | None]) -> float:
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    half = (parts.get("half") or "").replace(".", "").upper()
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    zone = parts.get("zone") or ""
    offset = 0
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * (1 if zone[0] == "+" else -1)
    fraction = float(f"0.{parts.get('fraction') or 0}")
    return (hour * 60 + minute - offset) * 60 + second + fraction


def _dates(
    table: CsvTable, name: str, cells: Sequence[str], dated: dict[int, _Date], order: str | None
) -> tuple[Floats, tuple[str, ...]]:
    either = {i: date for i, date in dated.items() if date.either}
    swap = _month_first(table, name, cells, either, order) if either else False
    values, strange = np.full(len(cells), np.nan), []
    for i, cell in enumerate(cells):
        if cell.casefold() in MISSING:
            continue
        try:
            values[i] = _since_1970(dated[i], swap)
        except (KeyError, ValueError):
            strange.append(i)
    complain_if_empty(table, name, cells, values, _KINDS)
    notes = unreadable(table, name, cells, strange)
    if not either:
        return values, notes
    first = next(iter(either))
    day = datetime.fromtimestamp(values[first], UTC).strftime("%Y-%m-%d") if np.isfinite(values[first]) else "no date"
    return values, (f"column {name!r}: {cells[first]!r} is {day}, {ORDERS[swap]}", *notes)


def _since_1970(date: _Date, swap: bool) -> float:
    """[s] since 1970. Raises ValueError for a day that does not exist."""
    day, month = (date.month, date.day) if swap and date.either else (date.day, date.month)
    return datetime(date.year, month, day, tzinfo=UTC).timestamp() + date.seconds


def _month_first(table: CsvTable, name: str, cells: Sequence[str], either: dict[int, _Date], order: str | None) -> bool:
    if order is not None:
        return order == ORDERS[1]
    day = next((i for i, date in either.items() if date.day > 12), None)
    month = next((i for i, date in either.items() if date.month > 12), None)
    if (day is None) == (month is None):
        which = [next(iter(either))] if day is None or month is None else [day, month]
        where = " and ".join(f"{cells[i]!r} in line {table.lines[i]}" for i in which)
        raise ConfigurationError(
            f"{table.origin}: column {name!r}: expected dates that can mean one day; got {where}: say --date-order "
            "day-first or month-first, or write 2026-11-20"
        )
    return month is not None
