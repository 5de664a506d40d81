"""Which curves can be power curves at all: the rule for the model file, for fits and for imported models. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from .curves import MAX_WATTS, Curve, IdleExponential, Piecewise


def flaw(curve: Curve) -> str:
    """What is wrong with a curve, as text that follows "expected"; empty for a valid curve.

    Between no and full load a valid curve never falls, stays within 0 to 100 kW, and is not 0 W everywhere.
    """
    corners = _corners(curve)
    try:
        values = [curve.watts(u) for u in corners]
        # between two corners the slope keeps its sign, so the values at the corners are enough
        falls = [(u, v) for (u, a), (v, b) in pairwise(zip(corners, values, strict=True)) if b < a]
    except OverflowError:
        values, falls = [math.inf], []
    if falls:
        return f"a curve that never falls; it falls between {falls[0][0]:g} and {falls[0][1]:g} of full load"
    low, high = min(values), max(values)
    if not 0.0 <= low <= high <= MAX_WATTS or high == 0.0:
        return (
            f"a power between 0 and {MAX_WATTS:,.0f} W that is not 0 throughout; the curve gives "
            f"{values[0]:g} W at no load and {values[-1]:g} W at full load"
        )
    return ""


def _corners(curve: Curve) -> list[float]:
    """0, 1 and the utilisations between where the curve changes its form, in order."""
    inner: Sequence[float] = ()
    if isinstance(curve, Piecewise):
        inner = curve.cpu
    elif isinstance(curve, IdleExponential):
        inner = (curve.knee,)
    return sorted({0.0, *(u for u in inner if 0.0 < u < 1.0), 1.0})
