"""Columns of numbers by id from a large table of a trace, CSV (gzipped or not) or Parquet.

Made for a million rows: whole columns are converted at once, and a row is looked at alone only where it is wrong. As
strict as ``table``: a row that cannot be read is an error with its place, never left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.bounded_text import read_csv_text

from .parquet import one_of, read_parquet
from .source import Source

Wanted = Mapping[str, Sequence[str]]
"""Our name of a column -> its names in the files, the first that is there counts."""

_CHUNK = 8_192  # rows; larger chunks leave the processor's cache
_TRUE = frozenset(("true", "1", "yes", "deferrable"))


@dataclass(frozen=True, slots=True)
class TraceColumns:
    """R rows. Row i is the same in every column."""

    origin: str
    """Option and file, for messages."""
    ids: tuple[str, ...]
    """The different ids, in order of their first row."""
    codes: Ints
    """(R,) index into ``ids``."""
    values: Mapping[str, Floats]
    """Our name -> (R,) numbers, in the file's unit; NaN where there is none."""
    word: str
    """What a row is called: ``line`` or ``row``."""
    first: int
    """Number of the first row."""

    def error(self, row: int, words: str) -> ConfigurationError:
        """The error with these words behind the file and the row's place."""
        return ConfigurationError(f"{self.origin}: {self.word} {row + self.first}: {words}")

    def check(self, name: str, good: Mask, expected: str) -> None:
        """Raises ConfigurationError for the first row of ``name`` that is not ``good``."""
        if not good.all():
            row = int(np.argmin(good))
            raise self.error(row, f"expected {expected} as {name}; got {self.values[name][row]:.10g}")

    def __len__(self) -> int:
        return len(self.codes)


def trace_columns(source: Source, path: str, required: Wanted, optional: Wanted) -> TraceColumns:
    """The columns of the file at ``path`` (``.parquet``, ``.csv`` or ``.csv.gz``); ``id`` is always required.

    Raises ConfigurationError.
    """
    read = _from_parquet if path.endswith(".parquet") else _from_csv
    found = read(f"{source.option} {path}", source.option, path, required, optional)
    if not len(found):
        raise ConfigurationError(f"{found.origin}: expected rows; there is none")
    for name in required:
        found.check(name, np.isfinite(found.values[name]), "a number")
    return found


def _names(origin: str, there: Sequence[str], required: Wanted, optional: Wanted) -> dict[str, str]:
    """Our name -> name in the file."""
    names = {ours: one_of(origin, there, theirs) for ours, theirs in {"id": ("id",), **required}.items()}
    found = {ours: next((each for each in theirs if each in there), "") for ours, theirs in optional.items()}
    return names | {ours: theirs for ours, theirs in found.items() if theirs}


# --- CSV --------------------------------------------------------------------------------------------------------------


def _from_csv(origin: str, option: str, path: str, required: Wanted, optional: Wanted) -> TraceColumns:
    reader = csv.reader(io.StringIO(read_csv_text(path, option)))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        names = _names(origin, header, required, optional)
        places = {ours: header.index(theirs) for ours, theirs in names.items()}
        codes: dict[str, int] = {}
        owners: list[Ints] = [np.empty(0, np.int64)]
        parts: dict[str, list[Floats]] = {ours: [np.empty(0)] for ours in names if ours != "id"}
        line = 2
        while rows := list(islice(reader, _CHUNK)):
            read = len(rows)
            cells = _transposed(origin, rows, len(header), line)
            owners.append(np.array([codes.setdefault(cell, len(codes)) for cell in cells[places["id"]]], np.int64))
            for ours, part in parts.items():
                part.append(_numbers(origin, names[ours], cells[places[ours]], line, ours in optional))
            line += read
    except csv.Error as error:
        raise ConfigurationError(f"{origin}: expected CSV; it is none: {error}") from error
    columns = {ours: np.concatenate(part) for ours, part in parts.items()}
    return TraceColumns(origin, tuple(codes), np.concatenate(owners), columns, "line", 2)


def _transposed(origin: str, rows: list[list[str]], width: int, line: int) -> Sequence[Sequence[str]]:
    """The cells of some rows by column. ``line``: of the first row."""
    while rows and not rows[-1]:
        rows.pop()
    if set(map(len, rows)) - {width}:
        wrong = next(i for i, row in enumerate(rows) if len(row) != width)
        raise ConfigurationError(
            f"{origin}: line {line + wrong}: expected {width} cells, as in the header; got {len(rows[wrong])}"
        )
    return list(zip(*rows, strict=True)) or [()] * width


def _numbers(origin: str, name: str, cells: Sequence[str], line: int, optional: bool) -> Floats:
    try:
        return np.array(list(map(float, cells)), np.float64)
    except ValueError:
        pass
    if optional:
        return np.array([_number(cell) for cell in cells], np.float64)
    wrong = next(i for i, cell in enumerate(cells) if not _is_number(cell))
    came = f"got {cells[wrong]!r}" if cells[wrong].strip() else "it is empty"
    raise ConfigurationError(f"{origin}: line {line + wrong}: expected a number in column {name!r}; {came}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str) -> float:
    """The number of a cell, 1 for true, 0 for false and other words; NaN for an empty cell."""
    if _is_number(cell):
        return float(cell)
    return float(cell.strip().lower() in _TRUE) if cell.strip() else float("nan")


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _from_parquet(origin: str, option: str, path: str, required: Wanted, optional: Wanted) -> TraceColumns:
    every = ["id", *(name for names in (*required.values(), *optional.values()) for name in names)]
    table = read_parquet(origin, path, every)
    names = _names(origin, table.column_names, required, optional)
    ids = table.column(names.pop("id")).combine_chunks().dictionary_encode()
    codes = ids.indices.fill_null(-1).to_numpy().astype(np.int64)
    values = {ours: as_floats(origin, theirs, table.column(theirs)) for ours, theirs in names.items()}
    found = TraceColumns(origin, tuple(map(str, ids.dictionary.to_pylist())), codes, values, "row", 1)
    if len(codes) and codes.min() < 0:
        raise found.error(int(np.argmin(codes)), "expected an id; it is empty")
    return found


def as_floats(origin: str, name: str, column: Any) -> Floats:
    """A column as numbers: times in ms, true as 1, the number of elements of a list, 1 for the text ``deferrable``."""
    import pyarrow as arrow
    import pyarrow.compute as compute

    kind = column.type
    conversions: Sequence[tuple[Callable[[Any], bool], Callable[[], Any]]] = (
        (arrow.types.is_timestamp, lambda: column.cast(arrow.timestamp("ms"), safe=False).cast(arrow.int64())),
        (arrow.types.is_boolean, lambda: column.cast(arrow.int8())),
        (_is_list, lambda: compute.list_value_length(column)),
        (_is_text, lambda: compute.is_in(compute.utf8_lower(column), arrow.array(sorted(_TRUE))).cast(arrow.int8())),
        (arrow.types.is_null, lambda: column.cast(arrow.float64())),
        (lambda each: arrow.types.is_integer(each) or arrow.types.is_floating(each), lambda: column),
    )
    convert = next((convert for fits, convert in conversions if fits(kind)), None)
    if convert is None:
        raise ConfigurationError(f"{origin}: expected numbers in column {name!r}; got {kind}")
    numbers: Floats = convert().cast(arrow.float64(), safe=False).to_numpy()
    return numbers


def _is_list(kind: Any) -> bool:
    import pyarrow as arrow

    return bool(arrow.types.is_list(kind) or arrow.types.is_large_list(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as arrow

    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))
