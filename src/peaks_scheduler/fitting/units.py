"""Finds out the unit of a series, and whether it is a counter or a gauge.

The column's name, the largest values and ``--cores`` decide together. Where they do not decide, the error says which
option to pass: a unit is never guessed silently. What was found out is returned in words, to be shown. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import MAX_WATTS
from peaks_scheduler.power.plausibility import plausible

from .readings import Kind, Reading, kind_of
from .samples import MAX_CPU

CPU_UNITS = ("ratio", "percent", "cores")
POWER_UNITS = {
    "watts": 1.0,
    "joules": 1.0,
    "milliwatts": 1e-3,
    "microwatts": 1e-6,
    "kilowatts": 1e3,
    "milliwatt-hours": 3.6,
    "watt-hours": 3600.0,
    "kilowatt-hours": 3.6e6,
    "btu-per-hour": 0.29307107,
}
ENERGY = ("joules", "milliwatt-hours", "watt-hours", "kilowatt-hours")
"""Units of energy: only a counter has them."""
KINDS = ("auto", "gauge", "counter")

_ABOUT = 1.2  # times full load: up to here it is a measurement error
_SURELY_PERCENT = 60.0  # values below might be cores, if the number of cores is not known
_CPU_WORDS = (
    ("percent", re.compile(r"percent|pct|perc\b|%", re.IGNORECASE)),
    ("ratio", re.compile(r"ratio|fraction|share", re.IGNORECASE)),
    ("cores", re.compile(r"cores|seconds", re.IGNORECASE)),
)
# symbols as they follow a number; _NAMES below are for names, in lower case
_SYMBOLS = {
    "W": ("watts", 1.0),
    "kW": ("watts", 1e3),
    "KW": ("watts", 1e3),
    "MW": ("watts", 1e6),
    "mW": ("watts", 1e-3),
    "µW": ("watts", 1e-6),
    "uW": ("watts", 1e-6),
    "J": ("joules", 1.0),
    "kJ": ("joules", 1e3),
    "mJ": ("joules", 1e-3),
    "µJ": ("joules", 1e-6),
    "uJ": ("joules", 1e-6),
    "Wh": ("joules", 3600.0),
    "kWh": ("joules", 3.6e6),
    "KWh": ("joules", 3.6e6),
    "mWh": ("joules", 3.6),
    "MWh": ("joules", 3.6e9),
    "BTU/h": ("watts", POWER_UNITS["btu-per-hour"]),
}
_LOOSE = {each.casefold(): _SYMBOLS[each] for each in ("W", "kW", "Wh", "kWh", "J", "kJ", "BTU/h")}
_NAMES = (
    ("kilowatt-hours", r"k(ilo)?[-_ ]?w(att)?s?[-_ ]?h(ours?|rs?)?"),
    ("milliwatt-hours", r"m(illi)?[-_ ]?w(att)?s?[-_ ]?h(ours?|rs?)?"),
    ("watt-hours", r"w(att)?s?[-_ ]?h(ours?|rs?)?"),
    ("btu-per-hour", r"btus?([-_/ ]*(per[-_ ])?h(ours?|r)?)?"),
    ("microwatts", r"(micro[-_ ]?|[uµμ])(w(atts?)?|j(oules?)?)"),
    ("milliwatts", r"(milli[-_ ]?|m)(w(atts?)?|j(oules?)?)"),
    ("kilowatts", r"(kilo[-_ ]?|k)(w(atts?)?|j(oules?)?)"),
    ("joules", r"j(oules?)?"),
    ("watts", r"w(atts?)?"),
    ("volt-amperes", r"[km]?va"),
)
_POWER_NAMES = tuple((unit, re.compile(rf"(?<![a-z0-9]){form}(?![a-z0-9])")) for unit, form in _NAMES)
_CAMEL = re.compile(r"(?<=[a-z]{2})(?!Wh)(?=[A-Z][a-z])|(?<=[a-z]{3})(?=[kKmu]?(?:Wh?|J)(?![a-zA-Z]))")
_ENERGY_WORD = re.compile(r"energy|energie|consumption_total|consumed", re.IGNORECASE)
_COUNTER_WORDS = re.compile(r"_total$|joule|seconds|energy|energie|counter", re.IGNORECASE)
_RISES = 0.9  # least share of rising steps, where the name says that the column is a counter


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a series. ``factor``: one unit in fractions of full load, or in watts."""

    name: str
    factor: float
    remark: str = ""
    """How it was found out, or what is odd about it; empty where the user gave it and it is plausible."""

    @property
    def shown(self) -> str:
        """The unit for messages, with the remark in brackets."""
        return f"{self.name} ({self.remark})" if self.remark else self.name


def kind_found(name: str, every: Sequence[Reading], said: str) -> Kind:
    """Is the column a counter or a gauge? ``said``: one of KINDS. With ``auto`` the majority of the nodes decides."""
    if said != "auto":
        return "counter" if said == "counter" else "gauge"
    votes = [_counts(name, _in_order(reading).values) for reading in every]
    return "counter" if 2 * sum(votes) > len(votes) else "gauge"


def _counts(name: str, values: Floats) -> bool:
    if kind_of(values) == "counter":
        return True
    named = bool(_COUNTER_WORDS.search(name) or named_unit(name) in ENERGY) and values.size >= 3
    return named and bool((np.diff(values) >= 0.0).mean() >= _RISES) and bool(values[-1] != values[0])


def largest(every: Sequence[Reading]) -> float:
    """99th percentile of all values, of a counter of its growth a second. Not the maximum: single values are wrong."""
    found = [_rates(_in_order(reading)) if reading.kind == "counter" else reading.values for reading in every]
    values = np.concatenate(found) if found else np.zeros(0)
    values = values[np.isfinite(values)]
    return float(np.quantile(values, 0.99)) if values.size else 0.0


def _in_order(reading: Reading) -> Reading:
    known = np.isfinite(reading.times) & np.isfinite(reading.values)
    order = np.argsort(reading.times[known], kind="stable")
    return Reading(reading.times[known][order], reading.values[known][order], reading.kind)


def _rates(reading: Reading) -> Floats:
    steps, rises = np.diff(reading.times), np.diff(reading.values)
    good = (steps > 0.0) & (rises >= 0.0)
    rates: Floats = rises[good] / steps[good]
    return rates


# --- CPU --------------------------------------------------------------------------------------------------------------


def cpu_unit(where: str, name: str, every: Sequence[Reading], said: str | None, cores: float | None) -> Unit:
    """The unit of CPU use in the column ``name``: the one that was ``said``, or else found out from name and values.

    ``where`` is the file for messages, ``cores`` how many a node has. Raises ConfigurationError for a unit that the
    values contradict, and for one that cannot be found out.
    """
    if said == "cores" and cores is None:
        raise ConfigurationError("--cpu-unit cores: expected --cores N as well, how many a node has; got none")
    top = largest(every)
    if said is not None:
        return _checked(where, name, top, Unit(said, _factor(said, cores)))
    found, why = _found_out(name, top, every[0].kind if every else "gauge", cores)
    if not found:
        raise ConfigurationError(
            f"{where}: the unit of CPU in column {name!r} cannot be found out ({why}): "
            "pass --cpu-unit ratio (0..1), percent (0..100), or cores with --cores N"
        )
    return Unit(found, _factor(found, cores), f"found out: {why}")


def _factor(unit: str, cores: float | None) -> float:
    return {"ratio": 1.0, "percent": 0.01}.get(unit, 1.0 / (cores or 1.0))


def _checked(where: str, name: str, top: float, unit: Unit) -> Unit:
    if unit.name == "percent" and top <= 1.0:
        return replace(unit, remark="never above 1 %: is it a ratio? Then say --cpu-unit ratio")
    if top * unit.factor <= MAX_CPU:
        return unit
    expected = f"{where}: --cpu-unit {unit.name}: expected CPU between 0 and {1.0 / unit.factor:g} in column {name!r}"
    if unit.name == "cores":
        remedy = "is --cores right?"
    elif unit.name == "ratio" and top <= 100.0 * _ABOUT:
        remedy = "is it percent? Then say --cpu-unit percent"
    else:
        remedy = "is it cores? Then say --cpu-unit cores --cores N"
    raise ConfigurationError(f"{expected}; got values up to {top:.4g}: {remedy}")


def _found_out(name: str, top: float, kind: Kind, cores: float | None) -> tuple[str, str]:
    """(unit, why), or ('', why it cannot be found out)."""
    goes = f"it grows by up to {top:.3g} a second" if kind == "counter" else f"values up to {top:.3g}"
    likely = {
        "ratio": top <= _ABOUT,
        "percent": _ABOUT < top <= 100.0 * _ABOUT,
        "cores": cores is not None and top <= _ABOUT * cores,
    }
    for unit, words in _CPU_WORDS:
        if words.search(name):
            return (unit, f"its name, {goes}") if likely[unit] else ("", f"its name says {unit}, but {goes}")
    if cores is not None and likely["cores"] and (kind == "counter" or not likely["ratio"]):
        return "cores", f"--cores {cores:g}, {goes}"
    if kind == "counter":
        return "", f"{goes}, busy cores or a share of them"
    if likely["ratio"] and cores is None:
        return "ratio", goes
    return ("percent", goes) if likely["percent"] and top >= _SURELY_PERCENT else ("", goes)


# --- power ------------------------------------------------------------------------------------------------------------


def in_cell(text: str) -> tuple[str, float] | None:
    """The unit after a number in a cell, as (``watts`` or ``joules``, factor to it); None: not of power or energy."""
    symbol = text.replace("μ", "µ")
    if (found := _SYMBOLS.get(symbol) or _LOOSE.get(symbol.casefold())) is not None:
        return found
    named = named_unit(text) if len(text) > 2 and text.isascii() else None
    if named is None or named == "volt-amperes":
        return None
    return ("joules" if named in ENERGY else "watts"), POWER_UNITS[named]


def cpu_in_cell(text: str) -> tuple[str, float] | None:
    """The unit of CPU after a number in a cell, as (unit, factor): ``45 %``, ``450m`` (millicores), ``1.5 cores``."""
    forms = {"%": ("percent", 1.0), "m": ("cores", 1e-3), "core": ("cores", 1.0), "cores": ("cores", 1.0)}
    return forms.get(text.casefold())


def named_unit(name: str) -> str | None:
    """The unit of power in a column's name: ``Power (kW)``, ``energy_wh``, ``PowerInWatts``; None if there is none."""
    split = _CAMEL.sub(" ", name).casefold()
    return next((unit for unit, form in _POWER_NAMES if form.search(split)), None)


def power_unit(where: str, name: str, every: Sequence[Reading], said: str) -> Unit:
    """The unit of power in the column ``name``: the one that was ``said``, or found out from name and values, or watts.

    Raises ConfigurationError where several units are possible, or where the name's unit is not.
    """
    counts = bool(every) and every[0].kind == "counter"
    if said != "auto":
        return Unit(said, POWER_UNITS[said])
    named = named_unit(name)
    if named == "volt-amperes":
        raise ConfigurationError(
            f"{where}: column {name!r}: expected watts; its name says volt-amperes, apparent power: take the column of "
            "active power, or say --power-unit watts where the power factor is near 1"
        )
    if named in ENERGY and not counts:
        raise ConfigurationError(
            f"{where}: column {name!r}: its name says {named}, but it does not count up: expected power, or a counter "
            "of energy: say --power-unit watts if it is power, or --power-kind counter"
        )
    if named is not None:
        return Unit(named, POWER_UNITS[named], "found out: its name" if named != "watts" else "")
    if counts:
        return _counted(where, name, every)
    if (top := largest(every)) > MAX_WATTS:
        unit = "milliwatts" if top <= 100.0 * MAX_WATTS else "microwatts"
        return Unit(unit, POWER_UNITS[unit], f"found out: values up to {top:.3g}")
    if _ENERGY_WORD.search(name):
        return Unit("watts", 1.0, "its name says energy, but it does not count up")
    return Unit("watts", 1.0)


def _counted(where: str, name: str, every: Sequence[Reading]) -> Unit:
    """The unit of a counter whose name has none: the only unit with which its growth is a machine's power."""
    rate = _mean_rate(every)
    if rate > MAX_WATTS:
        unit = "milliwatts" if rate <= 100.0 * MAX_WATTS else "microwatts"
        return Unit(unit, POWER_UNITS[unit], f"found out: it grows by {rate:.3g} a second")
    likely = [unit for unit in ("joules", "watt-hours", "kilowatt-hours") if plausible(rate * POWER_UNITS[unit])]
    if len(likely) == 1:
        watts = rate * POWER_UNITS[likely[0]]
        return Unit(likely[0], POWER_UNITS[likely[0]], f"found out: it grows by {rate:.3g} a second, {watts:.3g} W")
    words = " or ".join(f"{unit} ({rate * POWER_UNITS[unit]:.3g} W)" for unit in likely or ENERGY)
    raise ConfigurationError(
        f"{where}: column {name!r} counts up by {rate:.3g} a second, and its name says no unit: expected one of "
        f"{words}: say --power-unit"
    )


def _mean_rate(every: Sequence[Reading]) -> float:
    """Mean growth a second of all counters, without their resets."""
    rises = seconds = 0.0
    for reading in map(_in_order, every):
        steps, grown = np.diff(reading.times), np.diff(reading.values)
        good = (steps > 0.0) & (grown >= 0.0)
        rises, seconds = rises + float(grown[good].sum()), seconds + float(steps[good].sum())
    return rises / seconds if seconds > 0.0 else 0.0
