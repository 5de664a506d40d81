"""Finds the columns of a table that hold the power at each load level, by their names.

Knows how published tables name their levels: ``watts_idle, watts_10 .. watts_100``; SPEC's ``Average watts @ active
idle`` and ``@ 10% of target load``, or ``avg. watts @ 100%``; Teads' ``PkgWatt @ Idle, @ 10%, ..``; ``Min Watts, Max
Watts``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.text.words import few, nearest

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
_ELSE = re.compile(r"ops|perf|load|throughput|util|score|result", re.IGNORECASE)  # series of these are not watts
_LONG_NAME = 200  # characters; no column of levels has a longer name


@dataclass(frozen=True, slots=True)
class LevelColumns:
    """The columns of one series of load levels."""

    what: str  # their common name, without the level: ``PkgWatt``
    columns: tuple[str, ...]  # their full names
    cpu: tuple[float, ...]  # load of each column [fraction], rising


def full_series(header: Sequence[str]) -> int:
    """Number of series in a header that have columns from no to full load."""
    return sum(_covers(levels) for levels in _series(header))


def level_columns(table: CsvTable, wanted: str | None) -> LevelColumns:
    """The columns of the series that is called ``wanted``; None: of the only one, or of the only one with watts.

    Raises ConfigurationError if there is no such series from no to full load, or more than one.
    """
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


def _series(header: Sequence[str]) -> list[LevelColumns]:
    """The columns of a header, grouped by their name without the level."""
    series: dict[str, dict[float, str]] = {}
    names: dict[str, str] = {}
    for name in header:
        if (level := _level(name)) is not None:
            what, cpu = level
            series.setdefault(what.casefold(), {})[cpu] = name
            names.setdefault(what.casefold(), what)
    found = [
        LevelColumns(names[what], tuple(columns[cpu] for cpu in sorted(columns)), tuple(sorted(columns)))
        for what, columns in series.items()
    ]
    return found if any(_covers(each) for each in found) else [*found, *_together(found)]


def _together(found: Sequence[LevelColumns]) -> list[LevelColumns]:
    """One series of all columns of watts with different spellings (``Avg Watts``, ``avg. watts``), if they form one."""
    columns = {
        cpu: name
        for each in found
        if _WATTS.fullmatch(each.what)
        for cpu, name in zip(each.cpu, each.columns, strict=True)
    }
    count = sum(len(each.cpu) for each in found if _WATTS.fullmatch(each.what))
    if not columns or len(columns) < count:
        return []
    return [LevelColumns("watts", tuple(columns[cpu] for cpu in sorted(columns)), tuple(sorted(columns)))]


def _level(name: str) -> tuple[str, float] | None:
    """(name without the level, level as a fraction) of a column; None for a column without a level."""
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


def _covers(levels: LevelColumns) -> bool:
    """Do the columns cover no load and full load? Nothing is extrapolated."""
    return levels.cpu[0] == 0.0 and levels.cpu[-1] == 1.0


def _or_none(names: Sequence[str]) -> str:
    return few([repr(name) for name in names], 20) or "columns of levels, of which the table has none"
