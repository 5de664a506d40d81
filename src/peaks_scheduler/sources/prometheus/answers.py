"""Read answers of Prometheus' HTTP API.

Owns the wire format of a success: ``{"status", "data": {"resultType", "result"}, "warnings", "infos"}``, values as
text. Assumes UTF-8 JSON of any form and size: anything else, or more series than ``Limits`` allow, is a LoadError of
kind malformed. Reads one series after another, so that no call takes long. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.json_reader import JsonReader
from peaks_scheduler.sources.limits import MOST_TIME, Limits

from .failures import one_line
from .labels import LabelMap, Labels

_VECTOR, _RANGE = Limits.of_vector(0), Limits.of_range(0)


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one series at one instant."""

    labels: LabelMap
    """With ``__name__`` if the query keeps it."""
    time: float
    """[s] the instant that was asked for, on Prometheus' clock."""
    value: float
    """May be NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Vector:
    """The answer to an instant query. A scalar is one sample without labels."""

    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()
    """The server's warnings (of partial results, say), and what could not be read, in words."""
    clock_offset: float | None = None
    """Prometheus' clock minus ours [s], to about a second; None: not known."""
    correction: float = 0.0
    """[s] to subtract from the server's times to get ours; 0 if the offset is within the error of its measurement."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series over time."""

    labels: LabelMap
    times: Floats
    """(T,) [s] ascending, on Prometheus' clock; without the steps at which the series had no sample."""
    values: Floats
    """(T,) may be NaN or infinite."""

    @property
    def size(self) -> int:
        """[bytes] of memory, about."""
        return Labels(self.labels).size + self.times.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True)
class Matrix:
    """The answer to a range query."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    """As in Vector."""


def read_vector(body: bytes | bytearray, limits: Limits = _VECTOR) -> Vector:
    """The answer to an instant query. Raises LoadError: malformed; query, if it does not give one value a series."""
    answer = _read(body, limits, _SERIES)
    if answer.type not in ("scalar", "vector"):
        raise LoadError("query", f"expected one value a series; it gives a {answer.type[:40]}")
    return Vector(tuple(Sample(each.labels, *each.value) for each in answer.rows if each.value), answer.problems())


def read_matrix(body: bytes | bytearray, limits: Limits = _RANGE) -> Matrix:
    """The answer to a range query. Raises LoadError: malformed; query, if it does not give values over time."""
    answer = _read(body, limits, _LONG_SERIES)
    if answer.type != "matrix":
        raise LoadError("query", f"expected values over time; it gives a {answer.type[:40]}")
    none = np.empty(0, np.float64)
    return Matrix(tuple(Series(each.labels, *(each.points or (none, none))) for each in answer.rows), answer.problems())


def joined(parts: Iterable[Matrix]) -> Matrix:
    """One matrix of the consecutive parts of a range."""
    found: dict[Labels, list[Series]] = {}
    problems: dict[str, None] = {}
    for part in parts:
        problems |= dict.fromkeys(part.problems)
        for series in part.series:
            found.setdefault(Labels(series.labels), []).append(series)
    return Matrix(tuple(map(_end_to_end, found.values())), tuple(problems))


# --- the wire ---------------------------------------------------------------------------------------------------------

_SERIES = 2**14  # characters of one series, labels mostly
_LONG_SERIES = 2**19  # characters of one series with its values: 11,000 of 45 characters
_NUMBER = 64  # characters
_MOST_WARNINGS = 10
_NO_LABELS = Labels({})
_OF_SERIES = ("vector", "matrix")
_Point = tuple[float, str]


class _Result(msgspec.Struct):
    metric: dict[str, str] = {}
    value: _Point | None = None
    values: list[_Point] = []
    histogram: Any = None
    histograms: Any = None


@dataclass(frozen=True, slots=True)
class _Row:
    """One series: one time and value, or many."""

    labels: Labels
    value: tuple[float, float] | None = None
    points: tuple[Floats, Floats] | None = None
    histogram: bool = False


class _Parsed:
    """The parts of an answer that are kept while it is read."""

    def __init__(self) -> None:
        self.data = False
        self.type = ""
        self.status: object = ""
        self.rows: list[_Row] = []
        self.loose: list[Any] = []
        """Elements of the result that are no objects: the time and value of a scalar."""
        self.histograms = False
        self.warnings: list[str] = []

    def problems(self) -> tuple[str, ...]:
        left_out = ("histograms, which are no numbers, were left out",) if self.histograms else ()
        return tuple(f"Prometheus says: {one_line(text)}" for text in self.warnings[:_MOST_WARNINGS]) + left_out


def _read(body: bytes | bytearray, limits: Limits, most: int) -> _Parsed:
    reader, answer = JsonReader(body, most), _Parsed()
    try:
        for key in reader.members():
            if key == "data" and reader.kind() == "{":
                _read_data(reader, answer, limits)
            elif key in ("warnings", "infos"):
                answer.warnings += _converted(reader.value() or [], list[str])
            elif key == "status":
                answer.status = reader.value()
            else:
                reader.value()
        reader.end()
        if answer.loose and answer.type in _OF_SERIES:
            raise ValueError("expected series")
        if answer.type == "scalar":
            answer.rows = [_Row(_NO_LABELS, _number(_converted(answer.loose, _Point)))]
    except (ValueError, RecursionError) as error:
        text = bytes(body[:40]).decode("utf-8", "replace")
        raise LoadError(
            "malformed", f"expected an answer of Prometheus' API; got {text!r} ({error}): is this its address?"
        ) from error
    if not answer.data:
        raise LoadError("malformed", f"expected data; got status {shown(answer.status)} without any")
    return answer


def _read_data(reader: JsonReader, answer: _Parsed, limits: Limits) -> None:
    answer.data = True
    for key in reader.members():
        if key == "resultType":
            answer.type = _converted(reader.value(), str)
        elif key == "result":
            _read_results(reader, answer, limits)
        else:
            reader.value()


def _read_results(reader: JsonReader, answer: _Parsed, limits: Limits) -> None:
    for number, _ in enumerate(reader.elements(), 1):
        limits.count(number, "series")
        if reader.kind() == "{":
            answer.rows.append(_row(_converted(reader.value(), _Result)))
            answer.histograms |= answer.rows[-1].histogram
        elif len(answer.loose) < 2:
            answer.loose.append(reader.value())
        else:
            raise ValueError("expected series, or a time and a value")


def _converted(value: Any, kind: Any) -> Any:
    """``value`` as ``kind``. Raises ValueError if it is something else."""
    return msgspec.convert(value, kind)


def _row(result: _Result) -> _Row:
    histogram = result.histogram is not None or result.histograms is not None
    value = _number(result.value) if result.value else None
    return _Row(Labels(result.metric), value, _points(result.values) if result.values else None, histogram)


def _points(values: list[_Point]) -> tuple[Floats, Floats]:
    points = np.array([_number(point) for point in values], np.float64)
    return points[:, 0].copy(), points[:, 1].copy()


def _number(point: _Point) -> tuple[float, float]:
    time, text = point
    if len(text) > _NUMBER or not abs(time) < MOST_TIME:
        raise ValueError(
            f"expected a time in seconds and a number as text; got {shown(time)} and {shown(text[:_NUMBER])}"
        )
    try:
        return time, float(text)
    except ValueError as error:
        raise ValueError(f"expected a number as text; got {shown(text)}") from error


def _end_to_end(pieces: list[Series]) -> Series:
    times = np.concatenate([each.times for each in pieces])
    return Series(pieces[0].labels, times, np.concatenate([each.values for each in pieces]))
