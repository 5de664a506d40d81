"""What one round over sensors and predictors gave, node by node: what ``check`` and ``predict`` judge and show.

Records alone: ``one_round`` asks and fills them. Everything in words is fit to be shown: it has no secrets. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.sources.sensors.source import Reading

from .assignment import Assignment


def _nothing() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredNode:
    """One node."""

    name: str
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Signal -> what its sensor says, whether it counts or not."""
    distrusted: Mapping[str, str] = field(default_factory=dict)
    """Signal -> why its reading does not count."""
    silent: str = ""
    """Why a source has no reading of this node, in words; empty: none failed."""
    assignment: Assignment | None = None
    """None: nothing says that it has a predictor, or what says it cannot be used (``unassigned``)."""
    unassigned: str = ""
    """What is wrong with what the cluster says about its predictor; empty: nothing."""
    missing: tuple[str, ...] = ()
    """Signals that the predictor needs and that no source gives."""
    version: str = ""
    """Of the model, as its server says; empty: it does not, or it was not asked."""
    batch: bool | None = None
    """Does the server take many questions in one request? None: not known."""
    cpu: Floats = field(default_factory=_nothing)
    """(M,) [fraction] points of use that it was asked at, rising."""
    watts: Floats = field(default_factory=_nothing)
    """(M,) [W] what it predicted there, as it came."""
    model: PowerModel | None = None
    """The curve that decisions would use; None: the predictions do not count."""
    change: float = 0.0
    """[W] the most by which a prediction was changed so that the curve does not fall."""
    reasons: tuple[str, ...] = ()
    """Why the predictions do not count, in words; of a curve that counts: what is odd about it."""

    @property
    def counts(self) -> bool:
        """Has it a curve that decisions would use?"""
        return self.model is not None


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredNodes:
    """All nodes of the round."""

    nodes: tuple[AnsweredNode, ...] = ()
    troubles: tuple[str, ...] = ()
    """What went wrong with a source as a whole, in words that say what to do."""
    now: float = 0.0
    """[s] our clock, at its end."""

    @property
    def told(self) -> bool:
        """Is there anything to tell: a sensor, a predictor, or something wrong with one of them?"""
        return bool(self.troubles) or any(
            each.readings or each.silent or each.assignment or each.unassigned for each in self.nodes
        )
