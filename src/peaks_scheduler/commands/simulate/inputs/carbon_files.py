"""Files of carbon intensity, told by their columns.

    own CSV           ``time_s`` [s from the start of the simulation] or ``time``, ``gco2_per_kwh``; optional ``region``
    Electricity Maps  ``Datetime (UTC)``, ``Zone Id``, intensity ``(direct)`` and ``(LCA)`` or ``(Life cycle)``: direct
                      emissions, unless ``FILE?column=lca``
    lets-wait-awhile  ``Time``, ``Carbon Intensity``
    OpenDC            Parquet with ``timestamp`` and ``carbon_intensity``
    any other CSV     with ``FILE?column=NAME``, and ``&time=NAME`` where its times have another name

All values are gCO2/kWh: a file in other units has to be converted first, for most do not say their unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.csv_table import CsvTable, folded
from peaks_scheduler.files.csv.time_columns import times
from peaks_scheduler.text.words import few, nearest

from .parquet import one_of, read_parquet
from .source import Source
from .table import Table, read_table
from .trace_columns import as_floats

MOST_GRAMS = 5_000.0
"""[gCO2/kWh] above any grid; more are other units by mistake."""
_SECONDS = "time_s"
_TIMES = (_SECONDS, "time", "datetime (utc)", "datetime", "timestamp")
_REGIONS = ("region", "zone id")
_OWN = "gco2_per_kwh"
_KINDS = {"direct": ("(direct)",), "lca": ("(lca)", "(life cycle)")}
_UNIX = 1e8  # [s] times from here on are dates


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Intensity of one region in one file."""

    origin: str
    """Option and file, for messages."""
    region: str
    """Empty: the file does not tell."""
    named: bool
    """Is the region given in a file of ours or by the user, and not only a zone of Electricity Maps?"""
    dated: bool
    """Are the times seconds since 1970?"""
    times: Floats
    """(T,) [s] rising."""
    grams: Floats
    """(T,) [gCO2/kWh]."""


ErrorAt = Callable[[int, str], ConfigurationError]
"""The error for a row of the file."""


def series_of(source: Source) -> list[Series]:
    """The series of a file, one for each region. Raises ConfigurationError."""
    if source.place.endswith(".parquet"):
        return [_opendc(source)]
    source.allow("column", "time")
    table = read_table(source.option, source.place, ())
    moments = _moments(table, source)
    grams = np.array(table.numbers(_intensity(table, source), most=MOST_GRAMS, hint="expected gCO2/kWh"))
    column = next((name for name in _REGIONS if table.has(name)), None)
    if column is None:
        return [_series(table.origin, "", False, moments, grams, np.arange(len(grams)), table.error)]
    regions = np.array(table.texts(column))
    return [
        _series(
            table.origin, str(each), column == "region", moments, grams, np.flatnonzero(regions == each), table.error
        )
        for each in dict.fromkeys(regions.tolist())
    ]


def _opendc(source: Source) -> Series:
    """OpenDC's carbon trace; ``timestamp`` in ms."""
    source.allow()
    table = read_parquet(source.where, source.place, ("timestamp", "carbon_intensity"))
    moments, grams = (
        as_floats(source.where, name, table.column(one_of(source.where, table.column_names, (name,))))
        for name in ("timestamp", "carbon_intensity")
    )

    def error(row: int, words: str) -> ConfigurationError:
        return source.error(f"row {row + 1}: {words}")

    good = np.isfinite(moments) & (grams >= 0.0) & (grams <= MOST_GRAMS)
    if not good.all():
        row = int(np.argmin(good))
        raise error(row, f"expected a time and 0 to {MOST_GRAMS:,.0f} gCO2/kWh; got {grams[row]:g}")
    if not len(grams):
        raise source.error("expected rows; there is none")
    return _series(source.where, "", False, moments / 1000.0, grams, np.arange(len(grams)), error)


def _series(
    origin: str, region: str, named: bool, moments: Floats, grams: Floats, rows: Ints, error: ErrorAt
) -> Series:
    """The series of some rows, in order of time. Raises ConfigurationError for a time that comes twice."""
    order = rows[np.argsort(moments[rows], kind="stable")]
    again = np.flatnonzero(np.diff(moments[order]) == 0.0)
    if again.size:
        raise error(int(order[again[0] + 1]), "expected each time once; it comes again: several regions in one file?")
    return Series(origin, region, named, bool(moments[order[-1]] > _UNIX), moments[order], grams[order])


# --- columns ----------------------------------------------------------------------------------------------------------


def _moments(table: Table, source: Source) -> Floats:
    """(R,) [s] the time of each row, since 1970 or since the start of the simulation."""
    name = source.given.get("time") or next((each for each in _TIMES if table.has(each)), "")
    if not table.has(name):
        raise _missing(table, name or "time_s or time", name)
    if name == _SECONDS:
        return np.array(table.numbers(name))
    found, _ = times(CsvTable(table.origin, table.header, table.rows, table.lines), source.option, name)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise table.error(row, f"expected a time in column {name!r}; got {table.texts(name, '')[row]!r}")
    return found


def _intensity(table: Table, source: Source) -> str:
    """Name of the column of the intensity."""
    there = {folded(name): name for name in table.header}
    wanted = source.given.get("column", "")
    if folded(wanted) in there:
        return there[folded(wanted)]
    if not wanted and _OWN in there:
        return there[_OWN]
    published = {short: name for short, name in there.items() if short.startswith("carbon intensity")}
    kind = folded(wanted or "direct")
    found = next((name for short, name in published.items() if short.endswith(_KINDS.get(kind, ("\n",)))), "")
    if not found and not wanted and len(published) == 1:
        return next(iter(published.values()))
    if not found:
        raise _missing(table, repr(wanted) if wanted else f"{_OWN} (or say FILE?column=NAME)", wanted or _OWN)
    return found


def _missing(table: Table, what: str, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{table.origin}: expected a column {what}{nearest(name, table.header)}; it has "
        f"{few([repr(each) for each in table.header], 20)}"
    )
