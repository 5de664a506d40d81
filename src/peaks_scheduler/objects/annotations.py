"""Annotations of pods, and the limits that an administrator sets to them.

Owns the names of the annotations ``decision``, ``tolerance-watts`` and ``expected-duration``, the reading of the latter
two, and the limits (``AnnotationRules``). ``ceilings`` reads the fourth annotation. Anybody who may create a pod can
write any annotation: a long text must cost little, and a value beyond the limit counts as the limit and is reported.
Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.text.durations import EXPECTED, seconds_of

from .ceilings import NO_CEILING, Ceiling

DECISION = "peaks-scheduler/decision"
"""Annotation that records our decision on a pod."""
TOLERANCE = "peaks-scheduler/tolerance-watts"
"""Annotation with a pod's own tolerance."""

LIFE = "peaks-scheduler/expected-duration"
"""Annotation with how long a pod is expected to run."""

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


def expected_life(annotations: Mapping[str, Any] | None) -> tuple[float | None, tuple[str, ...]]:
    """How long the pod is expected to run [s], and what is wrong with the annotation, in words. None if it has none, or
    one that is no duration."""
    if not annotations or LIFE not in annotations:
        return None, ()
    text = annotations[LIFE]
    seconds = seconds_of(text)
    if seconds is None:
        return None, (f"{LIFE}: expected {EXPECTED}; got {str(text)[:80]!r}",)
    return seconds, ()
