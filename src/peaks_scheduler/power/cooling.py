"""What one more watt of a rack costs with its cooling: 1 + d(cooling)/d(rack power), from a table.

The table has the cooling watts of a rack by inlet temperature and by the rack's own power; between its numbers both are
interpolated along straight lines. Outside the table the nearest edge counts, with the slope of its outermost piece, and
is named: an edge that went flat would say that cooling is free there. Where the inlet temperature is not known, the row
counts that costs most at this power, which is the hottest one of a usual table. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

RACK = "topology.kubernetes.io/rack"


@dataclass(frozen=True, slots=True)
class CoolingTable:
    """Cooling watts of a rack by inlet temperature [celsius] and power of the rack [W]."""

    inlet: tuple[float, ...]
    """(I,) rising."""
    rack_watts: tuple[float, ...]
    """(R,) rising, R >= 2."""
    cooling_watts: tuple[tuple[float, ...], ...]
    """(I, R) [W], not negative, not falling along R."""
    rack_label: str = RACK
    """Nodes of one value share a rack; a node without the label is a rack of its own."""


@dataclass(frozen=True, slots=True)
class Marginal:
    """What a rack pays for one more watt of its nodes."""

    factor: float
    """[1] not below 1."""
    outside: tuple[str, ...] = ()
    """In what the rack is outside the table, in words."""


def marginal(table: CoolingTable, inlet: float, rack_watts: float) -> Marginal:
    """The factor of a rack with this inlet temperature [celsius] (NaN: not known) and this power [W]."""
    slopes = [_slope(table.rack_watts, row, rack_watts) for row in table.cooling_watts]
    outside = tuple(filter(None, (_beyond(table.inlet, inlet, "celsius"), _beyond(table.rack_watts, rack_watts, "W"))))
    if not math.isfinite(inlet):
        return Marginal(1.0 + max(slopes), outside)
    return Marginal(1.0 + _between(table.inlet, slopes, inlet), outside)


def _slope(at: tuple[float, ...], watts: tuple[float, ...], x: float) -> float:
    """Slope of the piece that begins at or before ``x``: a pod adds watts, so at a corner the next piece counts."""
    k = min(max(bisect_right(at, x), 1), len(at) - 1)
    return (watts[k] - watts[k - 1]) / (at[k] - at[k - 1])


def _between(at: tuple[float, ...], values: list[float], x: float) -> float:
    """Value at ``x`` on the straight lines through the points; beyond them the outermost value."""
    if x <= at[0] or len(at) == 1:
        return values[0]
    if x >= at[-1]:
        return values[-1]
    k = bisect_right(at, x)
    share = (x - at[k - 1]) / (at[k] - at[k - 1])
    return values[k - 1] + share * (values[k] - values[k - 1])


def _beyond(at: tuple[float, ...], x: float, unit: str) -> str:
    """``36.5 celsius, the table ends at 30``; empty within the table, for a single row, and for no number."""
    if len(at) == 1:
        return ""
    if x > at[-1]:
        return f"{x:.1f} {unit}, the table ends at {at[-1]:g}"
    return f"{x:.1f} {unit}, the table begins at {at[0]:g}" if x < at[0] else ""
