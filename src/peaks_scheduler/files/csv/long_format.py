"""CSV files in long format, with a row for each value of a series: InfluxDB's annotated CSV, and Grafana's long tables.

Makes a table with one column for each wanted series; each row has the value of one of them, and values belong together
by their times. Knows the columns for a series' name (``_field``, ``Series``) and value, and InfluxDB's annotations
(``#group``, ``#datatype``, ``#default``). Where tags distinguish several series in one wanted column, an error names
the tags. Pure.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few, nearest

from .bounded_text import csv_lines, refuse_wide
from .csv_table import CsvTable, folded

_ANNOTATION = re.compile(r"#\s*(group|datatype|default|constant|timezone)\b", re.IGNORECASE)
_KEYS = ("_field", "series", "metric", "metric_name", "__name__", "name", "field", "variable")
_SURE_KEYS = _KEYS[:2]  # no other tables have such a column
_VALUES = ("_value", "value")
_NO_TAGS = frozenset(("", "result", "table", "_start", "_stop", "_time", "time", "timestamp", "_value", "value"))


def is_annotated(text: str) -> bool:
    """Is it InfluxDB's annotated CSV?"""
    first = re.search(r"\S[^\n]{0,200}", text)
    return first is not None and _ANNOTATION.match(first[0].strip('"')) is not None


@dataclass(frozen=True, slots=True)
class _Block:
    """One header of an annotated file, with the rows below it."""

    header: Sequence[str]
    groups: frozenset[str]
    defaults: Mapping[str, str]
    rows: list[tuple[int, Mapping[str, str]]]


def annotated_table(path: str, text: str, wanted: Sequence[str]) -> CsvTable:
    """All tables of an annotated CSV as one table with the ``wanted`` columns. Raises ConfigurationError."""
    blocks = [block for block in list(_blocks(path, text)) if block.rows]  # rows come after their block
    names = list(dict.fromkeys(name for block in blocks for name in block.header if name))
    if not names:
        raise ConfigurationError(f"{path}: expected tables below InfluxDB's annotations; there is none")
    rows: list[list[str]] = []
    lines: list[int] = []
    refuse_wide(path, len(names), 0)
    for block in blocks:
        for line, cells in block.rows:
            refuse_wide(path, len(names), len(rows))
            rows.append([cells.get(name, "") or block.defaults.get(name, "") for name in names])
            lines.append(line)
    table = CsvTable(path, tuple(names), rows, lines, (f"InfluxDB's annotated CSV, {len(blocks)} tables as one",))
    groups = frozenset(name for block in blocks for name in block.groups)
    return spread(table, wanted, groups)


def _blocks(path: str, text: str) -> Iterator[_Block]:
    reader = csv.reader(csv_lines(path, text))
    annotations: dict[str, list[str]] = {}
    block: _Block | None = None
    try:
        for cells in reader:
            mark = _ANNOTATION.match(cells[0].strip()) if cells else None
            if not any(cell.strip() for cell in cells):
                block = None
            elif mark is not None:
                if block is not None:
                    annotations, block = {}, None
                annotations[mark[1].lower()] = cells
            elif cells[0].lstrip().startswith("#"):
                continue
            elif block is None:
                block = _block(cells, annotations)
                yield block
            else:
                block.rows.append((reader.line_num, dict(zip(block.header, map(str.strip, cells), strict=False))))
    except csv.Error as error:
        raise ConfigurationError(f"{path}: expected CSV; line {reader.line_num} is none: {error}") from error


def _block(header: Sequence[str], annotations: Mapping[str, Sequence[str]]) -> _Block:
    names = [name.strip() for name in header]
    groups = zip(names, annotations.get("group", ()), strict=False)
    defaults = dict(zip(names, annotations.get("default", ()), strict=False))
    return _Block(names, frozenset(n for n, group in groups if group.strip().lower() == "true" and n), defaults, [])


# --- long tables ------------------------------------------------------------------------------------------------------


def spread(table: CsvTable, wanted: Sequence[str], groups: frozenset[str] | None = None) -> CsvTable:
    """The table with a column for each wanted series, if it is in long format; else the table itself.

    ``groups``: columns that distinguish series; None: unknown. Raises ConfigurationError where a wanted column would
    have several series.
    """
    missing = [name for name in wanted if not table.has(name)]
    long = _long(table, missing) if missing else table
    if long is None:
        return table
    if groups is None and long is table:
        return table
    _refuse_several(long, wanted, groups)
    return long


def _long(table: CsvTable, missing: Sequence[str]) -> CsvTable | None:
    """The table with the missing columns made from its rows; None where the rows do not have them."""
    by_name = {folded(name): i for i, name in enumerate(table.header)}
    keys = [by_name[name] for name in _KEYS if name in by_name]
    values = [by_name[name] for name in _VALUES if name in by_name]
    for key in keys:
        if not values:
            break
        names = _series_names(table, key, by_name.get("_measurement"), missing)
        if all(folded(name) in names for name in missing):
            return _spread(table, key, values[0], names, missing)
        if folded(table.header[key]) in _SURE_KEYS:
            _refuse_unknown(table, key, [name for name in missing if folded(name) not in names])
    return None


def _refuse_unknown(table: CsvTable, key: int, names: Sequence[str]) -> NoReturn:
    there = list(dict.fromkeys(row[key] for row in table.rows))
    raise ConfigurationError(
        f"{table.origin}: {names[0]!r}: expected a column or a series of the file{nearest(names[0], there, 0.4)}; its "
        f"series are {few([repr(each) for each in there], 20)}, its columns "
        f"{few([repr(each) for each in table.header if each], 20)}"
    )


def _series_names(table: CsvTable, key: int, measurement: int | None, missing: Sequence[str]) -> dict[str, set[int]]:
    """Indices of the rows of each series by its folded name: ``usage``, and ``cpu.usage`` where there are measurements.

    Raises ConfigurationError for a wanted name that several measurements have.
    """
    names: dict[str, set[int]] = {}
    owners: dict[str, set[str]] = {}
    for i, row in enumerate(table.rows):
        field = folded(row[key])
        names.setdefault(field, set()).add(i)
        if measurement is not None:
            names.setdefault(folded(f"{row[measurement]}.{row[key]}"), set()).add(i)
            owners.setdefault(field, set()).add(row[measurement])
    for name in missing:
        if len(several := sorted(owners.get(folded(name), ()))) > 1:
            full = few([f"{each}.{name}" for each in several])
            raise ConfigurationError(f"{table.origin}: {name!r}: expected one series; several have it: say {full}")
    return names


def _spread(table: CsvTable, key: int, value: int, names: Mapping[str, set[int]], missing: Sequence[str]) -> CsvTable:
    kept = [i for i in range(len(table.header)) if i not in (key, value)]
    rows, lines = [], []
    for i, row in enumerate(table.rows):
        series = [row[value] if i in names[folded(name)] else "" for name in missing]
        if any(series):
            rows.append([*(row[k] for k in kept), *series])
            lines.append(table.lines[i])
    note = f"column {table.header[key]!r} names {len(missing)} series that are wanted; each value has a row of its own"
    header = (*(table.header[k] for k in kept), *missing)
    return replace(table, header=header, rows=rows, lines=lines, notes=(*table.notes, note), apart=True)


def _refuse_several(table: CsvTable, wanted: Sequence[str], groups: frozenset[str] | None) -> None:
    """Raises ConfigurationError where tags that the user did not ask for distinguish several series in a column."""
    names = [folded(name) for name in table.header]
    asked = {folded(name) for name in wanted}
    tags = [
        i
        for i, name in enumerate(names)
        if name not in _NO_TAGS and name not in asked and (groups is None or table.header[i] in groups)
    ]
    owners = [i for i, name in enumerate(names) if name in asked and groups is not None and table.header[i] in groups]
    series = [i for i, name in enumerate(names) if name in asked and name not in _NO_TAGS and i not in owners]
    for i in series:
        seen: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for row in table.rows:
            if row[i]:
                seen.setdefault(tuple(row[k] for k in owners), set()).add(tuple(row[k] for k in tags))
        for several in seen.values():
            if len(several) > 1:
                _refuse(table, table.header[i], tags, several)


def _refuse(table: CsvTable, name: str, tags: Sequence[int], several: set[tuple[str, ...]]) -> NoReturn:
    differing = [(table.header[tag], sorted({each[k] for each in several})) for k, tag in enumerate(tags)]
    told = [(tag, values) for tag, values in differing if len(values) > 1]
    words = "; ".join(f"{tag} ({few(values, 3)})" for tag, values in told)
    raise ConfigurationError(
        f"{table.origin}: column {name!r}: expected one series; got {len(several)} that differ in {words}: "
        f"say --node-column {told[0][0]} if these are nodes, or export one of them only"
    )
