"""Appends the tables of a run to a SQLite file, each row with the run's number and seed; what is there is kept.

A run is one transaction: it is stored whole, or not at all. Where a later run has more columns than an earlier one, the
earlier one has NULL there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Any

from peaks_scheduler.errors import ConfigurationError

from .tables import Column, Kind, Table, iso

TYPES: dict[Kind, str] = {"text": "TEXT", "float": "REAL", "int": "INTEGER", "bool": "INTEGER", "time": "TEXT"}
_WAIT = 30.0  # [s] for another process that writes into the file


def append(path: Path, tables: Sequence[Table], *, seed: int, notes: Sequence[str] = ()) -> int:
    """Store the tables as one more run, and its seed and notes in ``runs``. Its number. Raises ConfigurationError."""
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, seed INTEGER, notes TEXT)")
            values = (seed, "\n".join(notes))
            run = int(database.execute("INSERT INTO runs (seed, notes) VALUES (?, ?)", values).lastrowid or 0)
            for table in tables:
                _insert(database, table, run, seed)
    except (sqlite3.Error, OverflowError) as error:
        raise ConfigurationError(
            f"--sqlite {path}: expected a SQLite database that can be written to, or a new file; got: {error}"
        ) from error
    return run


def _insert(database: sqlite3.Connection, table: Table, run: int, seed: int) -> None:
    columns = {column.name: column for column in table.columns}
    types = {"run": "INTEGER", "seed": "INTEGER"} | {name: TYPES[column.kind] for name, column in columns.items()}
    _make(database, table.name, types)
    values: dict[str, Iterable[Any]] = {"run": repeat(run, len(table)), "seed": repeat(seed, len(table))}
    values |= {name: _stored(column) for name, column in columns.items()}
    names, marks = ", ".join(map(_quoted, values)), ", ".join("?" * len(values))
    database.executemany(
        f"INSERT INTO {_quoted(table.name)} ({names}) VALUES ({marks})", zip(*values.values(), strict=True)
    )


def _make(database: sqlite3.Connection, name: str, types: dict[str, str]) -> None:
    """Make the table, or add the columns that it does not have yet."""
    there = {row[1] for row in database.execute(f"PRAGMA table_info({_quoted(name)})")}
    if not there:
        described = ", ".join(f"{_quoted(column)} {kind}" for column, kind in types.items())
        database.execute(f"CREATE TABLE {_quoted(name)} ({described})")
        return
    for column, kind in types.items():
        if column not in there:
            database.execute(f"ALTER TABLE {_quoted(name)} ADD COLUMN {_quoted(column)} {kind}")


def _stored(column: Column) -> Iterable[Any]:
    match column.kind:
        case "time":
            return map(iso, column.values)
        case "bool":
            return map(int, column.values)
    return column.values


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
