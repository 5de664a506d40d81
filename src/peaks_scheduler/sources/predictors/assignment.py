"""Which model predicts a node's power, and where that was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from peaks_scheduler.settings.predictors import ServedModel


@dataclass(frozen=True, slots=True)
class Assignment:
    """A node's model. Nodes that are asked the same question may share one object."""

    model: ServedModel
    said_by: str
    """Where it was said, for people: ``predictors.servers[0]``, ``labels tensorflow/...``, ``NodeConfig x``."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    """Column -> (min, max) of this node, which count before the model's: WAO 1 has them in node labels."""
