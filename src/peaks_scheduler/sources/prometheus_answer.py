"""Bodies of Prometheus' HTTP API as plain values, and its words for what is wrong with a query.

Owns the wire format: ``{"status", "data": {"resultType", "result"}, "warnings", "infos", "error", "errorType"}``,
values as text. Assumes UTF-8 JSON of any shape: what is no such answer is a LoadError of kind malformed. Pure.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.errors import LoadError

Floats = NDArray[np.float64]
T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Matrix:
    """Answer of a range query."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    """As in Vector."""


def read_vector(body: bytes) -> Vector:
    """An instant query's answer. Raises LoadError (malformed; query where it gives no value a series)."""
    data, problems = _data(body)
    if data.resultType == "scalar":
        results = [_Result(value=_decoded(data.result, _decode_point))]
    elif data.resultType == "vector":
        results = _decoded(data.result, _decode_results)
    else:
        raise LoadError("query", f"expected one value a series; it gives a {data.resultType}")
    samples = tuple(Sample(each.metric, *_number(each.value)) for each in results if each.value)
    return Vector(samples, problems + _histograms(results))


def read_matrix(body: bytes) -> Matrix:
    """A range query's answer. Raises LoadError (malformed; query where it gives something else)."""
    data, problems = _data(body)
    if data.resultType != "matrix":
        raise LoadError("query", f"expected values over time; it gives a {data.resultType}")
    results = _decoded(data.result, _decode_results)
    return Matrix(tuple(map(_series, results)), problems + _histograms(results))


def joined(parts: Iterable[Matrix]) -> Matrix:
    """One matrix out of the consecutive parts of a range."""
    found: dict[frozenset[tuple[str, str]], list[Series]] = {}
    problems: dict[str, None] = {}
    for part in parts:
        problems |= dict.fromkeys(part.problems)
        for series in part.series:
            found.setdefault(frozenset(series.labels.items()), []).append(series)
    return Matrix(tuple(map(_end_to_end, found.values())), tuple(problems))


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer that is no success says: Prometheus' own word for the trouble, and a short text on one line.
    Empty: nothing."""

    type: str = ""
    text: str = ""


def read_failure(body: bytes) -> Said:
    """Never raises: what stands before Prometheus answers in any form, JSON, plain text or a page."""
    try:
        failure = _decode_failure(body)
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


def _plain(body: bytes) -> str:
    """Text as it stands, of a page its title; nothing of what is neither."""
    start = body[: 2**16].strip()
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

_Point = tuple[float, str]


class _Result(msgspec.Struct):
    metric: dict[str, str] = {}
    value: _Point | None = None
    values: list[_Point] = []
    histogram: msgspec.Raw = msgspec.Raw()
    histograms: msgspec.Raw = msgspec.Raw()


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - Prometheus' own word
    result: msgspec.Raw


class _Whole(msgspec.Struct):
    status: str = ""
    data: _Data | None = None
    warnings: list[str] = []
    infos: list[str] = []


_decode_point = msgspec.json.Decoder(_Point).decode
_decode_results = msgspec.json.Decoder(list[_Result]).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_failure = msgspec.json.Decoder().decode


def _data(body: bytes) -> tuple[_Data, tuple[str, ...]]:
    whole = _decoded(body, _decode_whole)
    if whole.data is None:
        raise LoadError("malformed", f"expected data; got status {whole.status!r} without any")
    return whole.data, tuple(f"Prometheus says: {text}" for text in (*whole.warnings, *whole.infos))


def _decoded(body: bytes | msgspec.Raw, decode: Callable[[bytes | msgspec.Raw], T]) -> T:
    try:
        return decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        text = bytes(body)[:40].decode("utf-8", "replace")
        raise LoadError(
            "malformed", f"expected an answer of Prometheus' API; got {text!r} ({error}): is this its address?"
        ) from error


def _number(point: _Point) -> tuple[float, float]:
    try:
        return point[0], float(point[1])
    except ValueError as error:
        raise LoadError("malformed", f"expected a number as text; got {point[1][:40]!r}") from error


def _series(result: _Result) -> Series:
    points = np.array([_number(point) for point in result.values], np.float64).reshape(-1, 2)
    return Series(result.metric, points[:, 0].copy(), points[:, 1].copy())


def _end_to_end(pieces: list[Series]) -> Series:
    times = np.concatenate([each.times for each in pieces])
    return Series(pieces[0].labels, times, np.concatenate([each.values for each in pieces]))


def _histograms(results: Iterable[_Result]) -> tuple[str, ...]:
    some = any(bytes(each.histogram) or bytes(each.histograms) for each in results)
    return ("histograms, which are no numbers, were left out",) if some else ()
