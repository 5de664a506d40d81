"""Reads columns of Parquet files. Imports pyarrow, which is part of ``peaks-scheduler[simulate]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few, nearest


def read_columns(option: str, path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Any:
    """A pyarrow table with the ``needed`` columns, and those of the ``optional`` ones that are there.

    Raises ConfigurationError for a file or a column that is missing, and without pyarrow.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError(
            f"{option} {path}: Parquet files need pyarrow: pip install 'peaks-scheduler[simulate]'"
        ) from error
    if not path.is_file():
        raise ConfigurationError(f"{option}: expected a Parquet file {path}; there is none{_beside(path)}")
    try:
        there = parquet.read_schema(path).names
        _complain(option, path, [name for name in needed if name not in there], there)
        return parquet.read_table(path, columns=[*needed, *(name for name in optional if name in there)])
    except (OSError, arrow.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(f"{option} {path}: expected a Parquet file that can be read; got: {first}") from error


def floats(where: str, table: Any, name: str) -> Floats:
    """(R,) the numbers of a column; NaN where there is none. Raises ConfigurationError for a column of something "
    "else."""
    try:
        return np.asarray(table[name].to_numpy(), np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{where}: expected numbers in column {name!r}; got {table[name].type}") from error


def milliseconds(where: str, table: Any, name: str) -> Floats:
    """(R,) [ms] the times of a column: of timestamps since 1970, of numbers as they are. Raises ConfigurationError."""
    values = table[name].to_numpy()
    if values.dtype.kind != "M":
        return floats(where, table, name)
    known = ~np.isnat(values)
    return np.where(known, values.astype("datetime64[ms]").astype(np.int64), np.nan)


def _complain(option: str, path: Path, missing: Sequence[str], there: Sequence[str]) -> None:
    if missing:
        near = nearest(missing[0], there, 0.5)
        raise ConfigurationError(
            f"{option} {path}: expected the column {missing[0]!r}{near}; it has {few(list(there), 20)}"
        )


def _beside(path: Path) -> str:
    """What the folder has instead, for a message."""
    if not path.parent.is_dir():
        return f", nor the folder {path.parent}"
    names = sorted(each.name for each in path.parent.iterdir())
    return f"; the folder has {few(names)}" if names else "; the folder is empty"
