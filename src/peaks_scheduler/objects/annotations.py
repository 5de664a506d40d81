"""Annotations of pods, and the limits that an administrator sets to them.

Owns the names of the annotations ``decision``, ``tolerance-watts``, ``expected-duration`` and WAO's ``podspread-rate``,
the reading of the latter three, and the limits (``AnnotationRules``). ``ceilings`` reads the fifth annotation. Anybody
who may create a pod can write any annotation: a long text must cost little, and a value beyond the limit counts as the
limit and is reported. Pure.
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

SPREAD_RATES = ("waok8s.github.io/podspread-rate", "wao.bitmedia.co.jp/podspread-rate")
"""WAO's annotation by its present and by its former name; the first that a pod has counts."""

# each digit can match only one part of the pattern: a long text is refused in linear time
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


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
    watts = float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else math.inf
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


def spread_rate(annotations: Mapping[str, Any] | None, owned: bool) -> tuple[float, tuple[str, ...]]:
    """WAO's spread rate, 0..1, and what is wrong with the annotation, in words. 0, which asks for nothing, if the pod
    has none, one that is no such number, or no owner whose pods could be spread (``owned``)."""
    name = next((each for each in SPREAD_RATES if annotations and each in annotations), None)
    if not annotations or name is None:
        return 0.0, ()
    rate = parsed_rate(annotations[name])
    if rate is None:
        return 0.0, (f'{name}: expected a rate from 0 to 1, such as "0.6"; got {str(annotations[name])[:80]!r}',)
    if rate and not owned:
        return 0.0, (f"{name}: expected a pod that an owner such as a ReplicaSet made; this one has none to be spread",)
    return rate, ()


def parsed_rate(text: object) -> float | None:
    """A spread rate; None if the text is no number from 0 to 1."""
    number = float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else math.inf
    return number if number <= 1.0 else None
