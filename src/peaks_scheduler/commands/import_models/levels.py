"""A table of power at load levels, as SPECpower or Teads publish it, as a first guess at a node's power.

Owns how such tables name their levels (``watts_idle, watts_10 .. watts_100``; SPEC's own ``Average watts @ active
idle`` and ``@ 10% of target load``, or ``avg. watts @ 100%``; Teads' ``PkgWatt @ Idle, @ 10%, ..``; ``Min Watts, Max
Watts``), which of the rows are meant, and that what comes of it is marked as a guess: the curve runs exactly through
the levels, but their load is a share of the highest throughput, not of CPU time, and the machine is another one of the
same kind at best. Reads with ``learn``'s table reader: any delimiter, decimal commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.csv.columns import numbers
from peaks_scheduler.files.csv.rows import Table, csv_text, names_of, plain_table
from peaks_scheduler.fitting.units import in_cell
from peaks_scheduler.power.curves import Curve, Linear, Piecewise
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.scope import scope_named_in, scope_or_wall
from peaks_scheduler.text.words import few, nearest

from .imported_models import Entry, ImportedModels, Target, checked_curve, models_of

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_LEVEL = re.compile(
    r"(?P<what>.*?)[\s_@(:-]*(?P<level>(?:active[\s_]*)?idle|\d{1,3})\s*%?(?:\s*(?:of\s+)?(?:target[\s_]+)?load)?\)?",
    re.I,
)
_ENDS = r"min(?:imum)?|idle|max(?:imum)?|full|peak"
_POWER = r"(?:avg\.?|average)?[\s_]*(?:watts?|power)[\s_]*(?:\(?w(?:atts?)?\)?)?"
_MIN_MAX = re.compile(
    rf"(?P<level>{_ENDS})(?:[\s_-]*load)?[\s_-]*(?P<what>{_POWER})|(?P<what2>{_POWER})[\s_@-]*(?P<level2>{_ENDS})(?:[\s_-]*load)?",
    re.IGNORECASE,
)
_WATTS = re.compile(_POWER, re.IGNORECASE)
_FULL = ("max", "full", "peak")
_ELSE = re.compile(r"ops|perf|load|throughput|util|score|result", re.IGNORECASE)  # levels of these are no watts
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SMALL = 5.0  # [W] at full load: less is a part of a machine
_LONG_NAME = 200  # characters of a column's name: a longer one is none of ours
_SHOWN = 4  # rows or columns in a message


@dataclass(frozen=True, slots=True)
class LevelsRequest:
    """What of a table is wanted."""

    path: str
    match: Mapping[str, str]
    """Column: text of its cell, * for any part of it; a row has to match all."""
    watts: str | None = None
    """What the columns' names have before the level (``PkgWatt``); None: found out."""
    name_column: str | None = None
    """A model for each value of this column, for nodes with a label of that value."""
    label: str = INSTANCE_TYPE
    median: bool = False
    """Of several rows for one model each level's median, else that is an error."""
    times: float = 1.0
    """Tables of watts per vCPU or core: how many of them the node has."""
    decimal: str = "auto"
    """``point`` or ``comma``, where the numbers do not tell."""


@dataclass(frozen=True, slots=True)
class _Levels:
    """The columns with watts."""

    what: str
    columns: tuple[str, ...]
    cpu: tuple[float, ...]  # fraction, rising; of each column


def import_levels(choice: LevelsRequest, target: Target | None) -> ImportedModels:
    """Models of the table's rows: one for ``target``, or without it one for each value of ``choice.name_column``.

    Raises ConfigurationError.
    """
    table = _table(choice)
    rows = _matching(table, choice.match)
    levels = _levels(table, choice.watts)
    columns = [numbers(table, "--watts", name, choice.decimal, in_cell) for name in levels.columns]
    watts = np.stack([column.values for column in columns], axis=1) * choice.times
    entries: list[Entry] = []
    for name, of_name in _by_name(table, choice, rows).items():
        where = target or Target(selector={choice.label: name})
        curve = _curve(table, levels, _one(table, choice, of_name, watts))
        quality = Quality(samples=len(levels.cpu), cpu_min=levels.cpu[0], cpu_max=levels.cpu[-1], confidence="low")
        entries += where.models(curve, quality, scope_or_wall(scope_named_in(levels.what)))
    notes = (*table.notes, *(note for column in columns for note in column.notes), *_odd(table, rows, entries))
    return ImportedModels(models_of(entries), _comment(choice, levels, len(rows)), tuple(dict.fromkeys(notes)))


def _table(choice: LevelsRequest) -> Table:
    """The file's table: below the line that has levels, and the columns that are asked for."""
    asked = names_of([*choice.match, *([choice.name_column] if choice.name_column else [])])

    def score(cells: Sequence[str]) -> int:
        return asked(cells) + 10 * sum(_covers(levels) for levels in _series(cells))

    return plain_table(choice.path, csv_text(choice.path, "FILE"), score)


def _curve(table: Table, levels: _Levels, row: tuple[Floats, int]) -> Curve:
    watts, line = row
    where = f"{table.origin}: line {line}"
    if not np.all(np.isfinite(watts)):
        missing = [name for name, each in zip(levels.columns, watts, strict=True) if not np.isfinite(each)]
        raise PowerModelError(f"{where}: expected a number at each level; got none for {few(missing, _SHOWN)}")
    power = tuple(watts.tolist())
    return checked_curve(where, Linear(*power) if levels.cpu == (0.0, 1.0) else Piecewise(levels.cpu, power))


# --- columns ----------------------------------------------------------------------------------------------------------


def _levels(table: Table, wanted: str | None) -> _Levels:
    found = [levels for levels in _series(table.header) if _covers(levels)]
    if wanted is not None:
        chosen = [levels for levels in found if levels.what.casefold() == wanted.casefold()]
        if not chosen:
            there = [levels.what for levels in found]
            hint = nearest(wanted, there)
            raise ConfigurationError(f"--watts: expected {_or_none(there)}; got {wanted!r}{hint}")
        return chosen[0]
    if not found:
        raise ConfigurationError(
            f"{table.origin}: expected columns such as watts_idle, watts_10 .. watts_100, or Min Watts and Max Watts; "
            f"it has {few([repr(name) for name in table.header], 20)}"
        )
    chosen = [levels for levels in found if _WATTS.fullmatch(levels.what)]
    chosen = chosen or [levels for levels in found if _ELSE.search(levels.what) is None] or found
    if len(chosen) > 1:
        raise ConfigurationError(
            f"{table.origin}: expected one series of levels; got {few([each.what for each in chosen], 20)}: say which "
            "one with --watts"
        )
    return chosen[0]


def _series(header: Sequence[str]) -> list[_Levels]:
    """The columns that are named alike but for a level."""
    series: dict[str, dict[float, str]] = {}
    names: dict[str, str] = {}
    for name in header:
        if (level := _level(name)) is not None:
            what, cpu = level
            series.setdefault(what.casefold(), {})[cpu] = name
            names.setdefault(what.casefold(), what)
    found = [
        _Levels(names[what], tuple(columns[cpu] for cpu in sorted(columns)), tuple(sorted(columns)))
        for what, columns in series.items()
    ]
    return found if any(_covers(each) for each in found) else [*found, *_together(found)]


def _together(found: Sequence[_Levels]) -> list[_Levels]:
    """Columns of watts that are spelt in several ways (``Avg Watts``, ``avg. watts``), if they make one series."""
    columns = {
        cpu: name
        for each in found
        if _WATTS.fullmatch(each.what)
        for cpu, name in zip(each.cpu, each.columns, strict=True)
    }
    count = sum(len(each.cpu) for each in found if _WATTS.fullmatch(each.what))
    if not columns or len(columns) < count:
        return []
    return [_Levels("watts", tuple(columns[cpu] for cpu in sorted(columns)), tuple(sorted(columns)))]


def _level(name: str) -> tuple[str, float] | None:
    """(what the column is of, its level as a fraction); None for a column without a level."""
    text = " ".join(name.split())
    if len(text) > _LONG_NAME:
        return None
    if (match := _LEVEL.fullmatch(text)) is not None:
        level = match["level"].lower()
        return match["what"].strip(" _-"), 0.0 if level.endswith("idle") else int(level) / 100.0
    if (match := _MIN_MAX.fullmatch(text)) is not None:
        level = (match["level"] or match["level2"]).lower()
        return (match["what"] or match["what2"]).strip(" _-"), float(level.startswith(_FULL))
    return None


def _covers(levels: _Levels) -> bool:
    """From no to full load: nothing is made up beyond."""
    return levels.cpu[0] == 0.0 and levels.cpu[-1] == 1.0


def _or_none(names: Sequence[str]) -> str:
    return few([repr(name) for name in names], 20) or "columns of levels, of which the table has none"


# --- rows -------------------------------------------------------------------------------------------------------------


def _matching(table: Table, match: Mapping[str, str]) -> list[int]:
    """Indices of the rows that match all. Raises ConfigurationError where none does."""
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


def _by_name(table: Table, choice: LevelsRequest, rows: Sequence[int]) -> dict[str, list[int]]:
    """The rows of each model."""
    if choice.name_column is None:
        return {"": list(rows)}
    cells = table.column("--name-column", choice.name_column)
    found: dict[str, list[int]] = {}
    for row in rows:
        if not cells[row]:
            raise ConfigurationError(
                f"{table.origin}: line {table.lines[row]}: expected a name in column {choice.name_column!r}; it is "
                "empty: choose rows with --match"
            )
        found.setdefault(cells[row], []).append(row)
    return found


def _one(table: Table, choice: LevelsRequest, rows: Sequence[int], watts: Floats) -> tuple[Floats, int]:
    """Watts at each level, and the line to name for them."""
    line = table.lines[rows[0]]
    if len({tuple(each) for each in watts[rows].tolist()}) == 1:
        return watts[rows[0]], line
    if choice.median:
        median: Floats = np.median(watts[rows], axis=0)
        return median, line
    differing = [i for i in range(len(table.header)) if len({table.rows[each][i] for each in rows}) > 1]
    several = few([f"line {table.lines[row]} ({_cells(table, differing[:2], row)})" for row in rows], _SHOWN)
    raise ConfigurationError(
        f"{table.origin}: expected one row for a model; got {len(rows)}: {several}: choose with another --match, or "
        "take the --median of each level"
    )


def _cells(table: Table, columns: Sequence[int], row: int) -> str:
    """What tells a row from the others."""
    return ", ".join(f"{table.header[i]}={table.rows[row][i][:30]}" for i in columns)


# --- words ------------------------------------------------------------------------------------------------------------


def _comment(choice: LevelsRequest, levels: _Levels, rows: int) -> str:
    which = ", ".join(f"{column}={text}" for column, text in choice.match.items()) or "every row"
    several = f", the median of each level of {rows} rows" if choice.median and rows > 1 else ""
    times = f" times {choice.times:g}" if choice.times != 1.0 else ""
    what = levels.what or "levels"
    return (
        f"Power at {len(levels.cpu)} load levels of {choice.path} ({which}){several}: {what}{times}, exactly.\n"
        "Load there is the share of the highest throughput, not of CPU time, and the machine another one.\n"
        "A first guess: it was never measured on these nodes (confidence: low)."
    )


def _odd(table: Table, rows: Sequence[int], entries: Sequence[Entry]) -> list[str]:
    """What looks as if it were not the watts of one machine, or no name of a label."""
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
            f"no value that a label of a node can have: {few([repr(each) for each in strange], _SHOWN)}: no node will "
            "match; write nodes or labels of yours into the file"
        )
    return found


def _machines(table: Table, row: int) -> int:
    """How many machines SPEC measured together: its column of nodes; 1 where there is none."""
    for i, name in enumerate(table.header):
        if _folded(name).lstrip("# ") == "nodes" and re.fullmatch("[0-9]{1,6}", table.rows[row][i]):
            return int(table.rows[row][i])
    return 1
