"""Writes tables as CSV: one header line, comma, line feed, UTF-8; an unknown value is an empty cell.

A float has as many digits as it needs to be read back exactly. Needs nothing but the standard library.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peaks_scheduler.files.writing import write_whole

from .tables import Column, Table, iso, kubenergy_table


def write_tables(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Write these tables, and KubEnergy's decision log where ``decisions`` is one of them. The files."""
    logs = [kubenergy_table(table) for table in tables if table.name == "decisions"]
    paths = []
    for table in (*tables, *logs):
        path = folder / f"{table.name}.csv"
        write_whole("--out", str(path), as_csv(table))
        paths.append(path)
    return paths


def as_csv(table: Table) -> bytes:
    """The content of the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(zip(*(_cells(column) for column in table.columns), strict=True))
    return text.getvalue().encode()


def _cells(column: Column) -> Sequence[Any]:
    """Values that the csv module writes as they should be: floats by repr, None as an empty cell."""
    match column.kind:
        case "time":
            return [iso(value) for value in column.values]
        case "bool":
            return ["true" if value else "false" for value in column.values]
    return column.values
