"""The eleven levels of use at which a true power curve is known; between two of them it is straight. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Piecewise

from .cluster import SimulatedNode

LEVELS = tuple(k / 10 for k in range(11))
"""[fraction] SPECpower's levels."""


def levelled(node: SimulatedNode) -> SimulatedNode:
    """The node with a true curve that is straight between the levels."""
    if isinstance(node.curve, Piecewise) and node.curve.cpu == LEVELS:
        return node
    return replace(node, curve=Piecewise(LEVELS, tuple(node.curve.watts(u) for u in LEVELS)))


def level_watts(node: SimulatedNode) -> tuple[float, ...]:
    """(11,) [W] at ``LEVELS``."""
    curve = levelled(node).curve
    assert isinstance(curve, Piecewise)
    return curve.power


def true_watts(node: SimulatedNode, share: Floats) -> Floats:
    """(M,) [W] the node draws at M utilisations [fraction], at most at full load."""
    watts: Floats = np.interp(share, LEVELS, level_watts(node))
    return watts
