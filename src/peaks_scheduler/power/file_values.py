"""Reads single values of the power model file, and words the errors about them. Pure.

``where`` is the place in the file for messages (``FILE: models[0].curve.k0``). Every function here raises
PowerModelError that says where, what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.text.words import nearest


def numbers(where: str, values: Any) -> tuple[float, ...]:
    """A list of finite numbers."""
    if not isinstance(values, list):
        refuse(where, "a list of numbers", values)
    return tuple(number(f"{where}[{i}]", value) for i, value in enumerate(values))


def number(where: str, value: Any) -> float:
    """A finite number; text and true/false are refused."""
    if isinstance(value, str):
        refuse(where, "a number without quotes", value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(where, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        refuse(where, "a finite number", value)
    return number


def refuse_unknown(where: str, mapping: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise for the first key that is not one of the ``known`` fields, with the nearest known one as a hint."""
    for key in mapping:
        if key not in known:
            hint = nearest(str(key), known)
            raise PowerModelError(f"{where}: expected {', '.join(known)}; got the unknown field {_shown(key)}{hint}")


def refuse(where: str, expected: str, got: Any) -> NoReturn:
    """Raise for a value that is not what was ``expected``; None counts as missing."""
    raise PowerModelError(f"{where}: expected {expected}; got {'nothing' if got is None else _shown(got)}")


def _shown(got: Any) -> str:
    came = repr(got)
    return came if len(came) <= 80 else came[:77] + "..."
