"""What annotations of pods may ask for, and how far an administrator lets them go.

Owns the names of the annotations ``decision`` and ``tolerance-watts``, the reading of the latter, and
``AnnotationRules``. Whoever may create a pod writes its annotations: a text of any length must cost next to nothing,
and a value beyond a limit counts as the limit and is said to be odd. ``ceilings`` reads the third annotation. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .ceilings import NO_CEILING, Ceiling

DECISION = "peaks-scheduler/decision"
"""Annotation that records our decision on a pod."""
TOLERANCE = "peaks-scheduler/tolerance-watts"
"""Annotation by which a pod has a tolerance of its own."""

# digits that only one part of the pattern can take: a long text is refused in linear time
_WATTS = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AnnotationRules:
    """How annotations of pods are read."""

    max_tolerance: float = math.inf
    """[W] A pod's tolerance counts up to here."""
    max_ceiling: Ceiling = NO_CEILING
    """A pod's ceilings count up to here. Not a node's: who may change nodes is no tenant."""
    unrecorded: str = ""
    """Name of our scheduler where its Bindings carry no decision record: its pods are taken as bound by us. Empty: the
    record tells."""


FREE = AnnotationRules()
"""No limit but what the values themselves have."""


def own_tolerance(annotations: Mapping[str, Any] | None, most: float) -> tuple[float | None, tuple[str, ...]]:
    """The pod's own tolerance [W], ``most`` where it is above that, None where it has none or one that is no number of
    watts; then what is odd."""
    if not annotations or TOLERANCE not in annotations:
        return None, ()
    text = annotations[TOLERANCE]
    watts = float(text) if isinstance(text, str) and _WATTS.fullmatch(text) else math.inf
    if not math.isfinite(watts):
        return None, (f'{TOLERANCE}: expected watts, 0 or more, such as "2.5"; got {str(text)[:80]!r}',)
    if watts <= most:
        return watts, ()
    return most, (f"{TOLERANCE}: expected at most {most:g} W (maxToleranceWatts), which count; got {text[:80]!r}",)
