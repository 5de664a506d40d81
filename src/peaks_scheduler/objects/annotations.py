"""Annotations of pods, and the limits that an administrator sets to them.

Owns the names of the annotations ``decision`` and ``tolerance-watts``, the reading of the latter, and the limits
(``AnnotationRules``). ``ceilings`` reads the third annotation. Anybody who may create a pod can write any annotation: a
long text must cost little, and a value beyond the limit counts as the limit and is reported. Pure.
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
"""Annotation with a pod's own tolerance."""

# each digit can match only one part of the pattern: a long text is refused in linear time
_WATTS = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AnnotationRules:
    """How annotations of pods are read."""

    max_tolerance: float = math.inf
    """[W] Limit of a pod's tolerance."""
    max_ceiling: Ceiling = NO_CEILING
    """Limit of a pod's ceiling. A node's has no limit: tenants cannot change nodes."""
    unrecorded: str = ""
    """Name of our scheduler if its Bindings carry no decision record: pods of this name count as bound by us. Empty:
    the record tells."""


FREE = AnnotationRules()
"""No limits."""


def own_tolerance(annotations: Mapping[str, Any] | None, most: float) -> tuple[float | None, tuple[str, ...]]:
    """The pod's own tolerance [W], at most ``most``, and what is wrong with the annotation, in words.

    The tolerance is None if the pod has none, or one that is not a number of watts.
    """
    if not annotations or TOLERANCE not in annotations:
        return None, ()
    text = annotations[TOLERANCE]
    watts = float(text) if isinstance(text, str) and _WATTS.fullmatch(text) else math.inf
    if not math.isfinite(watts):
        return None, (f'{TOLERANCE}: expected watts, 0 or more, such as "2.5"; got {str(text)[:80]!r}',)
    if watts <= most:
        return watts, ()
    return most, (f"{TOLERANCE}: expected at most {most:g} W (maxToleranceWatts), which count; got {text[:80]!r}",)
