"""Numbers as JSON and back: what both protocols share.

Owns that only finite numbers are sent (JSON has no NaN), and how the numbers of an answer are read: nested or flat,
row by row; null, NaN and Infinity are what servers write where a model has no finite answer, and all are NaN. Pure.
"""

from __future__ import annotations

import json
import math
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.values import shown

T = TypeVar("T")

MOST_ROWS = 10_000
"""In one request: half a megabyte of three columns."""
_A_ROW = 512  # bytes of an answer, of which one number has 25: a server may send further outputs
_DEEPEST = 4  # lists within lists


def checked(rows: Floats, columns: tuple[str, ...]) -> Floats:
    """The rows as float64. Raises ValueError for another shape, and for a number that is not finite."""
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise ValueError(f"expected rows of {len(columns)} columns ({', '.join(columns)}); got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"expected finite numbers; got {rows[~np.isfinite(rows)][0]}: leave such rows out")
    return rows


def most_bytes(rows: int) -> int:
    """The size of an answer to so many rows."""
    return 2**20 + _A_ROW * rows


def decode(body: bytes | bytearray, decoder: msgspec.json.Decoder[T], where: str, expected: str) -> T:
    """The answer, also one with NaN in it, which then reads null. Raises PredictorError of kind malformed."""
    try:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Python's own decoder knows NaN and Infinity
            return decoder.decode(msgspec.json.encode(json.loads(body, parse_constant=lambda _: None)))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PredictorError("malformed", f"{where}: expected {expected}; got another answer ({error})") from error


def read_numbers(value: msgspec.Raw, count: int, where: str) -> Floats:
    """(count,) numbers out of JSON with lists of any depth; null is NaN.

    Raises PredictorError of kind malformed, and of kind shape for another count.
    """
    try:
        numbers = np.array(_flat(value), np.float64)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PredictorError("malformed", f"{where}: expected numbers; got {str(error)[:120]}") from error
    if numbers.size != count:
        raise PredictorError(
            "shape", f"{where}: expected {_numbers(count)} for as many rows; got {_numbers(numbers.size)}"
        )
    return numbers


def _flat(value: msgspec.Raw) -> list[float]:
    # the two usual forms, at the speed of the decoder
    for decoder in (_FLAT, _NESTED):
        try:
            found = decoder.decode(value)
        except msgspec.ValidationError:
            continue
        return found if decoder is _FLAT else list(chain.from_iterable(found))
    items = msgspec.json.decode(value)
    for _ in range(_DEEPEST):
        if not isinstance(items, list):
            break
        if not any(isinstance(each, list) for each in items):
            return [_number(each) for each in items]
        items = list(chain.from_iterable(items))
    raise TypeError(f"no list of numbers: {shown(items)}")


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(shown(value))
    return float(value)


def _numbers(count: int) -> str:
    return f"{count:,} number{'' if count == 1 else 's'}"


_FLAT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[float])
_NESTED: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[list[float]])
