"""The power that a whole machine can draw: bounds for fits, for ``check`` and for finding out units.

There are two pairs of bounds. No machine is outside the wide pair, so such a fit is refused. Outside the narrow pair
``check`` warns: of the 498 servers in SPECpower_ssj2008 none draws less than 45 W or more than 2,148 W at full load.
Pure.
"""

from __future__ import annotations

from .curves import Curve

LEAST, MOST = 1.0, 20_000.0
"""[W] from no to full load: a single-board computer, a shelf of blades."""
USUAL_LEAST, USUAL_MOST = 5.0, 5000.0
"""[W] of one server."""
LEAST_RISE = 0.05
"""Of the power at full load: a curve that rises by less was likely fitted for percent and is read as one for 0..1."""
MOST_FIRST_RISE = 0.5
"""Share of the whole rise: a curve that rises by more in the first 1 % of the load was likely fitted for 0..1 and is
read as one for percent. (In SPECpower_ssj2008 the first 10 % of the load take at most 39 % of the rise.)"""

# possible units of a series whose numbers were read as watts (or as joules, for a counter)
_OTHERS = (
    ("kilowatts", 1e3),
    ("watt-hours", 3600.0),
    ("kilowatt-hours", 3.6e6),
    ("milliwatts", 1e-3),
    ("microwatts", 1e-6),
)


def plausible(watts: float) -> bool:
    """Can a machine draw this power [W]?"""
    return LEAST <= watts <= MOST


def usual(idle: float, full: float) -> bool:
    """Are these the powers [W] of a usual server, at no and at full load?"""
    return USUAL_LEAST <= idle <= full <= USUAL_MOST


def too_flat(curve: Curve) -> bool:
    """Does power rise by less than LEAST_RISE from no to full load?"""
    idle, full = curve.watts(0.0), curve.watts(1.0)
    return full - idle < LEAST_RISE * full


def too_steep(curve: Curve) -> bool:
    """Does power rise by more than MOST_FIRST_RISE in the first 1 % of the load?"""
    idle, full = curve.watts(0.0), curve.watts(1.0)
    return curve.watts(0.01) - idle > MOST_FIRST_RISE * (full - idle)


def implausible(curve: Curve) -> str:
    """Why no machine can have this curve, with the likely unit of its numbers; empty for a plausible curve."""
    idle, full = curve.watts(0.0), curve.watts(1.0)
    bounds = f"expected {LEAST:g} to {MOST:,.0f} W of a machine"
    if plausible(full):
        if plausible(idle):
            return ""
        return f"{idle:.3g} W at no load: {bounds}: is the idle power missing in it, or is it power of a part?"
    likely = {unit: factor for unit, factor in _OTHERS if plausible(full * factor)}
    if not likely:
        return f"{full:.3g} W at full load: {bounds}: check the unit of the series"
    told = " or ".join(f"{unit} ({full * factor:,.0f} W)" for unit, factor in likely.items())
    factors = " or ".join(f"{factor:g}" for factor in likely.values())
    return (
        f"{full:.3g} W at full load: {bounds}: are these {told}? Then say --power-unit {' or '.join(likely)}, or "
        f"multiply by {factors} in --power-query"
    )
