"""Parquet files, with pyarrow where it is installed: it is no dependency of the scheduler.

pyarrow is imported when a file is read, so that the other commands start fast and run without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few, nearest

_MOST_ROWS = 50_000_000


def read_parquet(origin: str, path: str, wanted: Sequence[str]) -> Any:
    """The columns of ``wanted`` that the file at ``path`` has, as a ``pyarrow.Table``. Raises ConfigurationError."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ConfigurationError(
            f"{origin}: expected pyarrow, which reads Parquet; it is not installed: "
            "pip install 'peaks-scheduler[simulate]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > _MOST_ROWS:
                raise ConfigurationError(f"{origin}: expected at most {_MOST_ROWS:,} rows; it has more")
            there = set(file.schema_arrow.names)
            return file.read([name for name in wanted if name in there])
    except (OSError, arrow.ArrowException) as error:
        raise ConfigurationError(f"{origin}: expected a readable Parquet file; got: {error}") from error


def one_of(origin: str, there: Sequence[str], names: Sequence[str]) -> str:
    """The first of ``names`` that is a column of the file. Raises ConfigurationError where none is."""
    found = next((name for name in names if name in there), None)
    if found is None:
        wanted, has = " or ".join(names), few(sorted(there), 20)
        raise ConfigurationError(f"{origin}: expected a column {wanted}{nearest(names[0], there)}; it has {has}")
    return found
