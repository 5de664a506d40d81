"""Writes tables as Parquet: the same columns as the CSV, with types. Needs pyarrow, and imports it only to write.

The same tables give the same bytes: nothing of this moment or machine is written.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peaks_scheduler.files.writing import write_whole

from .tables import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa


def write_parquet(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Write each table into ``folder``, which exists. The files. Raises ImportError without pyarrow."""
    paths = []
    for table in tables:
        path = folder / f"{table.name}.parquet"
        write_whole("--out", str(path), as_parquet(table))
        paths.append(path)
    return paths


def as_parquet(table: Table) -> bytes:
    """The content of the file."""
    import pyarrow as pa

    return parquet_bytes(pa.table({column.name: _array(column) for column in table.columns}))


def parquet_bytes(table: pa.Table) -> bytes:
    """The content of a file with this Arrow table."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def arrow_table(columns: Mapping[str, tuple[str, Any]], optional: Collection[str] = ()) -> pa.Table:
    """A table from ``name: (Arrow's name of the type, values)``; only the ``optional`` columns may have nulls."""
    import pyarrow as pa

    arrays = {name: pa.array(values, pa.type_for_alias(kind)) for name, (kind, values) in columns.items()}
    fields = [pa.field(name, array.type, nullable=name in optional) for name, array in arrays.items()]
    return pa.table(list(arrays.values()), schema=pa.schema(fields))


def _array(column: Column) -> pa.Array:
    import pyarrow as pa

    match column.kind:
        case "time":
            micros = np.round(np.array(column.values, float) * 1e6).astype(np.int64)
            return pa.array(micros, pa.timestamp("us", tz="UTC"))
        case "text":
            return pa.array(column.values, pa.string())
        case "bool":
            return pa.array(column.values, pa.bool_())
        case "int":
            return pa.array(column.values, pa.int64())
    return pa.array(column.values, pa.float64())
