"""Reads and writes ``temperature`` of an entry of the power model file. Pure.

    temperature: {signal: inlet, reference: 22, wattsPerKelvin: {idle: 0.4, full: 1.6}, coolest: 18.2, hottest: 31}

One number for ``wattsPerKelvin`` is the same at every load. Temperatures are celsius. A term that is negative, or
smaller at full load than at no load, is refused: with it a node, or a pod on it, would cost less when the air is warm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peaks_scheduler.errors import PowerModelError

from .file_values import number, refuse, refuse_unknown
from .temperature import TemperatureTerm

TEMPERATURE_FIELDS = ("signal", "reference", "wattsPerKelvin", "coolest", "hottest")
LOAD_FIELDS = ("idle", "full")

COLDEST, WARMEST = -50.0, 150.0
"""[celsius] Outside of them a number is no temperature of a node's air or processor; kelvins are above."""
MOST_PER_KELVIN = 1000.0
"""[W/K] A machine of 20 kW that draws 5 % more a kelvin."""


def read_temperature(where: str, entry: Mapping[str, Any]) -> TemperatureTerm | None:
    """The term of an entry; None where it has none. Raises PowerModelError."""
    if (given := entry.get("temperature")) is None:
        return None
    where = f"{where}.temperature"
    if not isinstance(given, dict):
        refuse(where, "a mapping such as {signal: inlet, reference: 22, wattsPerKelvin: 0.8}", given)
    refuse_unknown(where, given, TEMPERATURE_FIELDS)
    signal = given.get("signal")
    if not isinstance(signal, str) or not signal.strip():
        refuse(f"{where}.signal", "the name of a signal, such as inlet", signal)
    idle, full = _per_kelvin(f"{where}.wattsPerKelvin", given.get("wattsPerKelvin"))
    reference = _celsius(f"{where}.reference", given.get("reference"))
    coolest, hottest = (
        None if given.get(name) is None else _celsius(f"{where}.{name}", given[name]) for name in TEMPERATURE_FIELDS[3:]
    )
    if coolest is not None and hottest is not None and coolest > hottest:
        refuse(f"{where}.coolest", f"at most {hottest:g}, what `hottest` says", given["coolest"])
    if hottest is not None and hottest < reference:
        refuse(f"{where}.hottest", f"at least the reference, {reference:g}", given["hottest"])
    return TemperatureTerm(signal.strip(), reference, idle, full, coolest, hottest)


def _celsius(where: str, value: Any) -> float:
    celsius = number(where, value)
    if not COLDEST <= celsius <= WARMEST:
        refuse(where, f"celsius between {COLDEST:g} and {WARMEST:g}", value)
    return celsius


def _per_kelvin(where: str, value: Any) -> tuple[float, float]:
    """([W/K] at no load, [W/K] at full load)."""
    if not isinstance(value, dict):
        if value is None or isinstance(value, list):
            refuse(where, "a number of watts, or {idle: .., full: ..}", value)
        same = _watts(where, value)
        return same, same
    refuse_unknown(where, value, LOAD_FIELDS)
    idle, full = (_watts(f"{where}.{name}", value.get(name)) for name in LOAD_FIELDS)
    if full < idle:
        raise PowerModelError(
            f"{where}: expected `full` of at least `idle`; got {full:g} at full load and {idle:g} at no load: a pod "
            "must not cost less on a node because its air is warm"
        )
    return idle, full


def _watts(where: str, value: Any) -> float:
    watts = number(where, value)
    if watts < 0.0:
        raise PowerModelError(
            f"{where}: expected watts of 0 or more; got {watts:g}: a node must not get cheaper when it is warm"
        )
    if watts > MOST_PER_KELVIN:
        refuse(where, f"at most {MOST_PER_KELVIN:g} W for each kelvin", value)
    return watts


def temperature_fields(term: TemperatureTerm) -> dict[str, Any]:
    """The term as the file has it; what is not known is left out."""
    same = term.idle == term.full
    fields = {
        "signal": term.signal,
        "reference": term.reference,
        "wattsPerKelvin": term.idle if same else {"idle": term.idle, "full": term.full},
        "coolest": term.coolest,
        "hottest": term.hottest,
    }
    return {name: value for name, value in fields.items() if value is not None}
