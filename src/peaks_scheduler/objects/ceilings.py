"""How full a node may get before it only takes what no other node can: the value, and its words in an annotation.

Owns ``Ceiling`` and the annotation ``peaks-scheduler/ceiling`` of pods and nodes. What stands in neither counts as the
configuration says. Never decides: ``scoring.headroom`` compares. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANNOTATION = "peaks-scheduler/ceiling"
"""On a node: its own ceiling. On a pod: a ceiling of its own, which never raises a node's own."""

EXPECTED = "a share of the node above 0 and up to 100 %, such as 80% or 0.8"
# digits that only one part of the pattern can take: whoever creates a pod writes the text, of any length
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", re.ASCII)
_PART = re.compile(r"(cpu|memory)\s*[=:]\s*(\S.*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Predicted use above which a node ranks behind all that stay below. Fractions of capacity; None: not said."""

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
    """The ceiling among the annotations, cut where it is above ``most``; None where there is none or none that can be
    read. Then what is odd."""
    if not annotations or ANNOTATION not in annotations:
        return None, ()
    text = annotations[ANNOTATION]
    try:
        return _cut(parse_ceiling(text), most, text)
    except ValueError as error:
        return None, (f"{ANNOTATION}: expected {error}; got {str(text)[:80]!r}",)


def _cut(asked: Ceiling, most: Ceiling, text: object) -> tuple[Ceiling, tuple[str, ...]]:
    """``asked`` where ``most`` allows it; what was cut, in words."""
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
