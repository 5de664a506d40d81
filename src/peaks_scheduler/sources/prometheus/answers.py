"""Bodies of Prometheus' HTTP API as plain values, and its words for what is wrong with a query.

Owns the wire format: ``{"status", "data": {"resultType", "result"}, "warnings", "infos", "error", "errorType"}``,
values as text. Assumes UTF-8 JSON of any shape and size: what is no such answer, or has more series than ``Limits``
allow, is a LoadError of kind malformed. Reads one series after another. Pure.
"""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.json_reader import JsonReader
from peaks_scheduler.sources.limits import MOST_TIME, Limits

from .labels import Labels

_VECTOR, _RANGE = Limits.of_vector(0), Limits.of_range(0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one instant."""

    labels: Mapping[str, str]
    """With ``__name__`` where the query kept it."""
    time: float
    """[s] the instant that was asked about, on Prometheus' clock."""
    value: float
    """NaN and infinities as they came."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Answer of an instant query. A scalar is one sample without labels."""

    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()
    """What the server warns of (partial results, say) and what could not be read, in words."""
    clock_offset: float | None = None
    """Prometheus' clock minus ours [s], to about a second; None: the answer does not tell."""
    correction: float = 0.0
    """[s] to take off the server's times to have them on our clock; 0 where the offset may be chance."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series over time."""

    labels: Mapping[str, str]
    times: Floats
    """(T,) [s] ascending, on Prometheus' clock; steps at which the series had no sample are left out."""
    values: Floats
    """(T,) NaN and infinities as they came."""

    @property
    def size(self) -> int:
        """[bytes] that it takes in memory, about."""
        return Labels(self.labels).size + self.times.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True)
class Matrix:
    """Answer of a range query."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    """As in Vector."""


def read_vector(body: bytes | bytearray, limits: Limits = _VECTOR) -> Vector:
    """An instant query's answer. Raises LoadError (malformed; query where it gives no value a series)."""
    answer = _read(body, limits, _SERIES)
    if answer.type not in ("scalar", "vector"):
        raise LoadError("query", f"expected one value a series; it gives a {answer.type[:40]}")
    return Vector(tuple(Sample(each.labels, *each.value) for each in answer.rows if each.value), answer.problems())


def read_matrix(body: bytes | bytearray, limits: Limits = _RANGE) -> Matrix:
    """A range query's answer. Raises LoadError (malformed; query where it gives something else)."""
    answer = _read(body, limits, _LONG_SERIES)
    if answer.type != "matrix":
        raise LoadError("query", f"expected values over time; it gives a {answer.type[:40]}")
    none = np.empty(0, np.float64)
    return Matrix(tuple(Series(each.labels, *(each.points or (none, none))) for each in answer.rows), answer.problems())


def joined(parts: Iterable[Matrix]) -> Matrix:
    """One matrix out of the consecutive parts of a range."""
    found: dict[Labels, list[Series]] = {}
    problems: dict[str, None] = {}
    for part in parts:
        problems |= dict.fromkeys(part.problems)
        for series in part.series:
            found.setdefault(Labels(series.labels), []).append(series)
    return Matrix(tuple(map(_end_to_end, found.values())), tuple(problems))


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer that is no success says: Prometheus' own word for the trouble, and a short text on one line.
    Empty: nothing."""

    type: str = ""
    text: str = ""


def read_failure(body: bytes | bytearray) -> Said:
    """Never raises: what stands before Prometheus answers in any form, JSON, plain text or a page."""
    try:
        failure = _decode_failure(body[: 2**16])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Said("", _plain(body))
    if isinstance(failure, dict):
        return Said(_word(failure.get("errorType")), _short(_message(failure)))
    return Said("", _short(_word(failure)))


_WORDS = ("error", "message", "error_description", "detail", "msg", "reason", "title")
_MOST_SAID = 300  # characters
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def _message(failure: dict[str, Any], depth: int = 2) -> str:
    """What is wrong, wherever a gateway's JSON has it."""
    for name in _WORDS:
        found = failure.get(name)
        if isinstance(found, dict) and depth:
            found = _message(found, depth - 1)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def _plain(body: bytes | bytearray) -> str:
    """Text as it stands, of a page its title; nothing of what is neither."""
    start = bytes(body[: 2**12]).strip()  # a page that has many titles, and the end of none, is slow to search
    if start.startswith(b"<"):
        title = _TITLE.search(start)
        start = title[1] if title else b""
    try:
        text = start[: 4 * _MOST_SAID].decode("utf-8", "strict" if len(start) < 4 * _MOST_SAID else "ignore")
    except UnicodeDecodeError:
        return ""
    return _short(html.unescape(text))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _short(text: str) -> str:
    """On one line, without characters that a terminal would obey."""
    line = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(line.split())
    return line if len(line) <= _MOST_SAID else line[: _MOST_SAID - 3] + "..."


# --- the wire ---------------------------------------------------------------------------------------------------------

_SERIES = 2**14  # characters that one series may have, its labels mostly
_LONG_SERIES = 2**19  # the same with its values: 11,000 of 45 characters
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
    """One series: a value and its time, or many."""

    labels: Labels
    value: tuple[float, float] | None = None
    points: tuple[Floats, Floats] | None = None
    histogram: bool = False


class _Answer:
    """What of an answer is kept while it is read."""

    def __init__(self) -> None:
        self.data = False
        self.type = ""
        self.status: object = ""
        self.rows: list[_Row] = []
        self.loose: list[Any] = []
        """Elements of the result that are no objects: a scalar's."""
        self.histograms = False
        self.said: list[str] = []

    def problems(self) -> tuple[str, ...]:
        some = ("histograms, which are no numbers, were left out",) if self.histograms else ()
        return tuple(f"Prometheus says: {_short(text)}" for text in self.said[:_MOST_WARNINGS]) + some


def _read(body: bytes | bytearray, limits: Limits, most: int) -> _Answer:
    reader, answer = JsonReader(body, most), _Answer()
    try:
        for key in reader.members():
            if key == "data" and reader.kind() == "{":
                _read_data(reader, answer, limits)
            elif key in ("warnings", "infos"):
                answer.said += _converted(reader.value() or [], list[str])
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


def _read_data(reader: JsonReader, answer: _Answer, limits: Limits) -> None:
    answer.data = True
    for key in reader.members():
        if key == "resultType":
            answer.type = _converted(reader.value(), str)
        elif key == "result":
            _read_results(reader, answer, limits)
        else:
            reader.value()


def _read_results(reader: JsonReader, answer: _Answer, limits: Limits) -> None:
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
    """Raises ValueError where it is of another kind."""
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


_decode_failure = msgspec.json.Decoder().decode
