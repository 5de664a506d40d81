"""The words in which a simulation is described: ``head:key=value&key=value``, several joined by ``+``, and durations.

Knows no word by itself. Raises ValueError whose text completes "expected ...": the caller knows where the word was
given. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from peaks_scheduler.text.durations import span_of
from peaks_scheduler.text.words import nearest


def parts(text: str) -> list[tuple[str, str]]:
    """(head, rest) of each word of ``head:rest + head:rest``; the rest is empty without a colon."""
    words = [word.partition(":") for word in text.split("+")] if text.strip() else []
    return [(head.strip(), rest.strip()) for head, _, rest in words]


def pairs(text: str, known: Iterable[str]) -> dict[str, str]:
    """The values by key of ``key=value&key=value``; a key that is not ``known`` or comes twice is an error."""
    found: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        key, equals, value = (each.strip() for each in pair.partition("="))
        if not (equals and value) or key in found or key not in known:
            raise ValueError(f"`key=value` joined by `&`, each of {', '.join(known)} at most once{nearest(key, known)}")
        found[key] = value
    return found


def required(found: Mapping[str, str], keys: Iterable[str]) -> None:
    """Raises ValueError where one of the keys is not there."""
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"`{missing[0]}=...` as well")


def seconds(text: str, *, least: float = 0.0) -> float:
    """[s] of a duration: ``90s``, ``1h30m``, ``30d``; a number without a unit is refused. Above ``least`` or equal."""
    value = span_of(text)
    if value is None:
        raise ValueError("a duration with its unit (s, m, h, d, w), such as 90s, 1h30m or 30d")
    if not least <= value < math.inf:
        raise ValueError(f"a duration of at least {least:g} s")
    return value


def share(text: str) -> float:
    """The fraction in ``0.1`` or ``10%``, between 0 and 1."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(%?)", text)
    value = float(match[1]) / (100.0 if match[2] else 1.0) if match else math.nan
    if not 0.0 <= value <= 1.0:
        raise ValueError("a share between 0 and 1, such as 0.1 or 10%")
    return value
