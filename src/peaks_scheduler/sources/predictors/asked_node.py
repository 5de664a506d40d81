"""A node that predictors are asked about, and the last prediction of it that counted. Both are data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from peaks_scheduler.arrays import Floats
from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predictions import FIRST
from peaks_scheduler.settings.predictors import ServedModel

from .assignment import Assignment


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A prediction that counted."""

    model: ServedModel
    version: str
    """Of the model, as the server says; empty: it does not."""
    u: Floats  # (K,) [1]
    watts: Floats  # (K,) [W] repaired
    capacity: float | None = None
    """[cores] of the node then; None: not known."""


@dataclass(frozen=True, slots=True, eq=False)
class AskedNode:
    """A node to be asked about."""

    node: Node
    assignment: Assignment
    sensors: Mapping[str, float]
    """Signal -> value, in the signal's unit. NaN, or left out: not known."""
    use: float | None = None
    """[1] CPU use now, for CPU temperatures that follow it; None: not known, they are held."""
    grid: Floats = field(default_factory=lambda: FIRST)
    """(K,) [1]"""
    last: Accepted | None = None
    below: PowerModel | None = None
    """The node's model of the next layers of the power book."""
