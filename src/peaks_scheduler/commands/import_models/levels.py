"""Imports a table of power at load levels, as SPECpower and Teads publish them: a first guess of a node's power.

``level_columns`` finds the columns; this module selects the rows and makes the models. Every model is marked as a guess
(confidence: low). Its curve goes exactly through the levels, but load there is a share of the highest throughput, not
of CPU time, and the machine is at best another one of the same kind. Reads any delimiter, and decimal commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.header import names_of
from peaks_scheduler.files.csv.number_columns import numbers
from peaks_scheduler.files.csv.rows import plain_table
from peaks_scheduler.fitting.units import in_cell
from peaks_scheduler.power.curves import Curve, Linear, Piecewise
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.scope import scope_named_in, scope_or_wall
from peaks_scheduler.text.words import few, nearest

from .imported_models import Entry, ImportedModels, Target, checked_curve, models_of
from .level_columns import LevelColumns, full_series, level_columns

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SMALL = 5.0  # [W] at full load; less is a part of a machine
_SHOWN = 4  # rows or columns in a message


@dataclass(frozen=True, slots=True)
class LevelsRequest:
    """The options of ``import-models levels``: which rows and columns of a table to take."""

    path: str
    match: Mapping[str, str]
    """Column -> text of its cell, with * for any part of it. A row must match all of them."""
    watts: str | None = None
    """The columns' name before the level (``PkgWatt``); None: found out."""
    name_column: str | None = None
    """Make a model for each value of this column, for nodes with a label of that value."""
    label: str = INSTANCE_TYPE
    """The label for ``name_column``."""
    median: bool = False
    """If several rows are for one model, take the median at each level; otherwise they are an error."""
    times: float = 1.0
    """Factor to the watts. For tables of watts per vCPU or core: how many of them the node has."""
    decimal: str = "auto"
    """``point`` or ``comma``, where the numbers do not tell."""


def import_levels(request: LevelsRequest, target: Target | None) -> ImportedModels:
    """The models of the table's rows: one for ``target``, or one for each value of ``request.name_column``.

    Raises ConfigurationError.
    """
    table = _table(request)
    rows = _matching(table, request.match)
    levels = level_columns(table, request.watts)
    columns = [numbers(table, "--watts", name, request.decimal, in_cell) for name in levels.columns]
    watts = np.stack([column.values for column in columns], axis=1) * request.times
    entries: list[Entry] = []
    for name, of_name in _by_name(table, request, rows).items():
        nodes = target or Target(selector={request.label: name})
        curve = _curve(table, levels, _watts_of(table, request, of_name, watts))
        quality = Quality(samples=len(levels.cpu), cpu_min=levels.cpu[0], cpu_max=levels.cpu[-1], confidence="low")
        entries += nodes.models(curve, quality, scope_or_wall(scope_named_in(levels.what)))
    notes = (*table.notes, *(note for column in columns for note in column.notes), *_odd(table, rows, entries))
    return ImportedModels(models_of(entries), _comment(request, levels, len(rows)), tuple(dict.fromkeys(notes)))


def _table(request: LevelsRequest) -> CsvTable:
    """The table of the file. Its header is the line with columns of levels and the columns that the options name."""
    asked = names_of([*request.match, *([request.name_column] if request.name_column else [])])

    def score(cells: Sequence[str]) -> int:
        return asked(cells) + 10 * full_series(cells)

    return plain_table(request.path, read_csv_text(request.path, "FILE"), score)


def _curve(table: CsvTable, levels: LevelColumns, row: tuple[Floats, int]) -> Curve:
    watts, line = row
    where = f"{table.origin}: line {line}"
    if not np.all(np.isfinite(watts)):
        missing = [name for name, each in zip(levels.columns, watts, strict=True) if not np.isfinite(each)]
        raise PowerModelError(f"{where}: expected a number at each level; got none for {few(missing, _SHOWN)}")
    power = tuple(watts.tolist())
    return checked_curve(where, Linear(*power) if levels.cpu == (0.0, 1.0) else Piecewise(levels.cpu, power))


# --- rows -------------------------------------------------------------------------------------------------------------


def _matching(table: CsvTable, match: Mapping[str, str]) -> list[int]:
    """Indices of the rows that match all patterns. Raises ConfigurationError if none does."""
    rows = list(range(len(table.rows)))
    for column, pattern in match.items():
        cells = [_folded(cell) for cell in table.column("--match", column)]
        left = [row for row in rows if fnmatchcase(cells[row], _folded(pattern))]
        if not left:
            there = table.column("--match", column)
            hint = nearest(pattern, {there[row] for row in rows})
            raise ConfigurationError(
                f"{table.origin}: --match {column}={pattern}: expected a row; got none of {len(rows)}{hint}: * stands "
                "for any text"
            )
        rows = left
    if not rows:
        raise ConfigurationError(f"{table.origin}: expected rows below the header; there is none")
    return rows


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _by_name(table: CsvTable, request: LevelsRequest, rows: Sequence[int]) -> dict[str, list[int]]:
    """Model's name (or "") -> indices of its rows."""
    if request.name_column is None:
        return {"": list(rows)}
    cells = table.column("--name-column", request.name_column)
    found: dict[str, list[int]] = {}
    for row in rows:
        if not cells[row]:
            raise ConfigurationError(
                f"{table.origin}: line {table.lines[row]}: expected a name in column {request.name_column!r}; it is "
                "empty: choose rows with --match"
            )
        found.setdefault(cells[row], []).append(row)
    return found


def _watts_of(table: CsvTable, request: LevelsRequest, rows: Sequence[int], watts: Floats) -> tuple[Floats, int]:
    """(watts at each level, number of the line for messages) of one model's rows."""
    line = table.lines[rows[0]]
    if len({tuple(each) for each in watts[rows].tolist()}) == 1:
        return watts[rows[0]], line
    if request.median:
        median: Floats = np.median(watts[rows], axis=0)
        return median, line
    differing = [i for i in range(len(table.header)) if len({table.rows[each][i] for each in rows}) > 1]
    several = few([f"line {table.lines[row]} ({_cells(table, differing[:2], row)})" for row in rows], _SHOWN)
    raise ConfigurationError(
        f"{table.origin}: expected one row for a model; got {len(rows)}: {several}: choose with another --match, or "
        "take the --median of each level"
    )


def _cells(table: CsvTable, columns: Sequence[int], row: int) -> str:
    """The cells of a row in these columns, as ``column=cell``."""
    return ", ".join(f"{table.header[i]}={table.rows[row][i][:30]}" for i in columns)


# --- words ------------------------------------------------------------------------------------------------------------


def _comment(request: LevelsRequest, levels: LevelColumns, rows: int) -> str:
    which = ", ".join(f"{column}={text}" for column, text in request.match.items()) or "every row"
    several = f", the median of each level of {rows} rows" if request.median and rows > 1 else ""
    times = f" times {request.times:g}" if request.times != 1.0 else ""
    what = levels.what or "levels"
    return (
        f"Power at {len(levels.cpu)} load levels of {request.path} ({which}){several}: {what}{times}, exactly.\n"
        "Load there is a share of the highest throughput, not of CPU time, and the machine is another one.\n"
        "A first guess: not measured on these nodes (confidence: low)."
    )


def _odd(table: CsvTable, rows: Sequence[int], entries: Sequence[Entry]) -> list[str]:
    """Notes on watts that do not look like one machine's, and on names that no label can have."""
    found = []
    if small := [model.name for _, model in entries if model.curve.watts(1.0) < _SMALL]:
        found.append(
            f"less than {_SMALL:g} W at full load for {few(small, _SHOWN)}: are these watts of a vCPU or a core? Then "
            "say how many the node has: --times N"
        )
    if several := [f"line {table.lines[row]}" for row in rows if _machines(table, row) > 1]:
        found.append(
            f"watts of several machines together in {few(several, _SHOWN)} (column of nodes): say --times 0.25 for four"
        )
    values = {value for selector, _ in entries for value in (selector or {}).values()}
    if strange := sorted(value for value in values if _LABEL.fullmatch(value) is None):
        found.append(
            f"not a possible value of a node's label: {few([repr(each) for each in strange], _SHOWN)}: no node will "
            "match; write your nodes or labels into the file"
        )
    return found


def _machines(table: CsvTable, row: int) -> int:
    """Number of machines that SPEC measured together, from its column ``nodes``; 1 without that column."""
    for i, name in enumerate(table.header):
        if _folded(name).lstrip("# ") == "nodes" and re.fullmatch("[0-9]{1,6}", table.rows[row][i]):
            return int(table.rows[row][i])
    return 1
