"""Ceilings: the predicted use above which a node gets a pod only if no other node can take it.

Owns ``Ceiling`` and the annotation ``peaks-scheduler/ceiling`` of pods and nodes; without it the configured ceiling
counts. ``scoring.headroom`` compares with it. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANNOTATION = "peaks-scheduler/ceiling"
"""On a node: its own ceiling. On a pod: the pod's ceiling, which never raises that of a node."""

EXPECTED = "a share of the node above 0 and up to 100 %, such as 80% or 0.8"
# each digit can match only one part of the pattern: a long text is refused in linear time
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", re.ASCII)
_PART = re.compile(r"(cpu|memory)\s*[=:]\s*(\S.*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Predicted use above which a node ranks behind all nodes below theirs. Fractions of capacity; None: not given."""

    cpu: float | None = None
    memory: float | None = None


NO_CEILING = Ceiling(math.inf, math.inf)


def parse_share(value: object) -> float:
    """``80%`` or ``0.8`` as a fraction. Raises ValueError whose text completes "expected ..."."""
    number = _number(value)
    if number is None or not 0.0 < number <= 1.0:
        raise ValueError(EXPECTED)
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return float(match[1]) / (100.0 if match[2] else 1.0)


def parse_ceiling(text: object) -> Ceiling:
    """``70%`` (CPU alone), or ``cpu=70%,memory=85%``. Raises ValueError whose text completes "expected ..."."""
    whole = text.strip().removeprefix("{").removesuffix("}").strip() if isinstance(text, str) else ""
    if _SHARE.fullmatch(whole):
        return Ceiling(cpu=parse_share(whole))
    found: dict[str, float] = {}
    for part in whole.split(","):
        match = _PART.fullmatch(part.strip().replace('"', "").replace("'", ""))
        if match is None or match[1].lower() in found:
            raise ValueError(f"{EXPECTED}, or cpu=70%,memory=85%")
        found[match[1].lower()] = parse_share(match[2])
    return Ceiling(**found)


def annotated(
    annotations: Mapping[str, Any] | None, most: Ceiling = NO_CEILING
) -> tuple[Ceiling | None, tuple[str, ...]]:
    """The ceiling among the annotations, at most ``most``, and what is wrong with it, in words.

    The ceiling is None if there is none, or none that can be read.
    """
    if not annotations or ANNOTATION not in annotations:
        return None, ()
    text = annotations[ANNOTATION]
    try:
        return _cut(parse_ceiling(text), most, text)
    except ValueError as error:
        return None, (f"{ANNOTATION}: expected {error}; got {str(text)[:80]!r}",)


def _cut(asked: Ceiling, most: Ceiling, text: object) -> tuple[Ceiling, tuple[str, ...]]:
    """``asked``, at most ``most``, and what was cut, in words."""
    cpu, memory = _lower(asked.cpu, most.cpu), _lower(asked.memory, most.memory)
    odd = tuple(
        f"{ANNOTATION}: expected at most {100 * limit:g}% of {name} ({key}), which count; got {str(text)[:80]!r}"
        for name, key, before, limit in (
            ("CPU", "ceiling.maxCpu", asked.cpu, cpu),
            ("memory", "ceiling.maxMemory", asked.memory, memory),
        )
        if limit is not None and limit != before
    )
    return (Ceiling(cpu, memory) if odd else asked), odd


def _lower(asked: float | None, most: float | None) -> float | None:
    return asked if asked is None or most is None else min(asked, most)
