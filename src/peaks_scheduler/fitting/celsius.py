"""Temperatures beside the samples of a node: which of them can be true, and which belongs to which sample.

Owns what counts as nonsense (what sensors say instead of nothing, such as -128 or 255), how a recorded series is
brought to the times of the samples, and when numbers look like another unit than celsius. Never bridges a gap. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.text.words import plural

from .readings import Reading

CELSIUS = "celsius"
LOWEST, HIGHEST = -40.0, 120.0
"""[celsius] Air and processors of a running node are between; the range of most sensors' data sheets."""
UNIT_ABOVE = 100.0
"""[celsius] Numbers that are all above are of another unit: no running node is that hot all the time."""
_IN_CELLS = {"°c": CELSIUS, "c": CELSIUS, "℃": CELSIUS, "celsius": CELSIUS, "degc": CELSIUS, "degrees c": CELSIUS}
_OTHERS = {"°f": "Fahrenheit", "f": "Fahrenheit", "℉": "Fahrenheit", "fahrenheit": "Fahrenheit", "k": "kelvin"}
_NAMES = (("Fahrenheit", re.compile(r"fahrenheit|°f|[(_ ]f\)?$", re.IGNORECASE)),)
_SPIKE = 3.0  # times the range from the 5th to the 95th percentile, beyond which a single reading is none
_LEAST_SPIKE = 10.0  # [K] where that range is small
_NOTHING = (-128.0, -127.0, 127.0, 128.0, 255.0)  # a byte without a reading, signed or not
_GAP = 3.0  # usual steps; a temperature that is further away than that is not known


def plausible(celsius: Floats) -> Floats:
    """The temperatures, with NaN for those that can be no reading: outside of what sensors can measure, or so far from
    all others that the sensor must have failed for a moment (0, 85, 127). (S,) -> (S,)."""
    with np.errstate(invalid="ignore"):
        good = (celsius >= LOWEST) & (celsius <= HIGHEST)
    if not good.any():
        return np.full(len(celsius), np.nan)
    low, high = np.quantile(celsius[good], [0.05, 0.95])
    room = max(_SPIKE * (high - low), _LEAST_SPIKE)
    return np.where(good & (celsius >= low - room) & (celsius <= high + room), celsius, np.nan)


def celsius_in_cell(text: str) -> tuple[str, float] | None:
    """The unit of a temperature after a number in a cell, as (unit, 1); None: the text is none."""
    found = {**_IN_CELLS, **_OTHERS}.get(text.casefold())
    return None if found is None else (found, 1.0)


def named_otherwise(name: str) -> str:
    """The unit other than celsius that the name of a column says, in words; empty for none."""
    unit = next((unit for unit, form in _NAMES if form.search(name)), "")
    return f"its name says {unit}: convert it" if unit else ""


def other_unit(every: Sequence[Floats]) -> str:
    """Why these series are not in celsius, in words; empty where they may be."""
    values = np.concatenate([*every, np.zeros(0)])
    values = values[np.isfinite(values) & ~np.isin(values, _NOTHING)]
    if not values.size or float(values.min()) <= UNIT_ABOVE:
        return ""
    middle = float(np.median(values))
    kelvin = middle - 273.15
    guess = f"kelvin ({kelvin:.0f} celsius)" if kelvin >= LOWEST else "Fahrenheit or tenths of a degree"
    if kelvin > HIGHEST:
        guess = "thousandths of a degree" if middle > 10.0 * HIGHEST else "tenths of a degree"
    return f"all values are above {UNIT_ABOVE:g} (about {middle:.4g}), which looks like {guess}: convert it to celsius"


def celsius_at(reading: Reading, times: Floats) -> Floats:
    """The temperature at each of the (M,) times [s]: a straight line between the two readings around it; before the
    first reading and after the last one that reading, within the length of a gap. NaN where the next readings are
    further away than three usual steps, or are nonsense. (M,)."""
    known = np.isfinite(reading.times) & np.isfinite(plausible(reading.values))
    if not known.any():
        return np.full(len(times), np.nan)
    at, first = np.unique(reading.times[known], return_index=True)
    values = reading.values[known][first]
    if len(at) == 1:
        return np.where(times == at[0], values[0], np.nan)
    reach = _GAP * float(np.median(np.diff(at)))
    after = np.clip(np.searchsorted(at, times), 1, len(at) - 1)
    before = after - 1
    outside = np.maximum(at[0] - times, times - at[-1])
    near = np.where(outside > 0.0, outside <= reach, at[after] - at[before] <= reach)
    exact = np.isin(times, at)
    return np.where(near | exact, np.interp(times, at, values), np.nan)


def missing(celsius: Floats) -> tuple[str, ...]:
    """A note on the samples without a temperature; none where all have one. (S,)."""
    lost = int(np.isnan(celsius).sum())
    if not lost:
        return ()
    return (f"{plural(lost, 'sample')} of {len(celsius)} without a plausible temperature: not used for the term",)
