"""Reads and writes the curves of the power model file; the table is ``CURVE_KINDS``. Pure.

A curve's parameters are per unit of CPU use, and the entry's ``cpu`` says whether use runs over 0..1 or 0..100. Here
they become parameters per fraction of full load; the unit is never guessed. Functions that read raise PowerModelError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.text.words import nearest

from .curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from .file_values import number, numbers, refuse, refuse_unknown
from .validity import flaw

PER_FRACTION = {"ratio": 1.0, "percent": 100.0}
"""The value of full load in each unit that ``cpu`` may name."""

MOST_POINTS = 101
"""Points of a piecewise curve, one a percent: in the arrays every node has as many rows as the longest curve."""
_FROM = 0.1  # [1] default of ``from``: the lowest load above idle that is usually measured


def read_curve(where: str, entry: Mapping[str, Any]) -> Curve:
    """The curve of an entry, by its fields ``cpu`` and ``curve``."""
    unit = entry.get("cpu")
    if not isinstance(unit, str) or unit not in PER_FRACTION:
        refuse(f"{where}.cpu", "`ratio` (the curve is for CPU 0..1) or `percent` (0..100), never guessed", unit)
    curve = entry.get("curve")
    if not isinstance(curve, dict):
        refuse(f"{where}.curve", "{kind: exponential, k0: .., k1: .., k2: ..} or another kind", curve)
    kind: Any = curve.get("kind")
    if not isinstance(kind, str) or kind not in CURVE_KINDS:
        hint = nearest(str(kind), CURVE_KINDS)
        refuse(f"{where}.curve.kind", f"one of {', '.join(CURVE_KINDS)}{hint}", kind)
    where = f"{where}.curve"
    refuse_unknown(where, curve, ("kind", *CURVE_KINDS[kind].fields))
    return _checked(where, CURVE_KINDS[kind].read(where, curve, PER_FRACTION[unit]))


def read_plugin_curve(where: str, parameters: Mapping[str, Any]) -> Curve:
    """The curve of a node in the original plugin's ``NodePowerModel``: k0, k1, k2 for CPU in percent."""
    refuse_unknown(where, parameters, tuple(CURVE_KINDS["exponential"].fields))
    return _checked(where, _exponential(where, parameters, PER_FRACTION["percent"]))


def _exponential(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Exponential:
    k0, k1, k2 = (number(f"{where}.{name}", parameters.get(name)) for name in ("k0", "k1", "k2"))
    # the sign of k1*k2 is the sign of the slope k1*k2*exp(k2*u) everywhere
    if k1 * k2 < 0:
        raise PowerModelError(
            f"{where}: expected a curve that never falls; k1*exp(k2*u) with k1={k1:g}, k2={k2:g} falls: "
            "k1 and k2 need the same sign (fit again, or look for a lost minus)"
        )
    return Exponential(k0, k1, k2 * per_fraction)


def _idle_exponential(where: str, parameters: Mapping[str, Any], per_fraction: float) -> IdleExponential:
    idle = number(f"{where}.idle", parameters.get("idle"))
    knee = _FROM
    if parameters.get("from") is not None:
        knee = number(f"{where}.from", parameters["from"]) / per_fraction
    if not 0.0 < knee <= 1.0:
        refuse(
            f"{where}.from", f"more than 0 and at most {per_fraction:g}, the unit that `cpu` says", parameters["from"]
        )
    rest = _exponential(where, parameters, per_fraction)
    return IdleExponential(idle, rest.k0, rest.k1, rest.k2, knee)


def _piecewise(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Piecewise:
    cpu, watts = (numbers(f"{where}.{name}", parameters.get(name)) for name in ("cpu", "watts"))
    if len(cpu) != len(watts) or not 2 <= len(cpu) <= MOST_POINTS:
        raise PowerModelError(
            f"{where}: expected 2 to {MOST_POINTS} points, and as many watts as cpu; got {len(cpu)} cpu, {len(watts)} "
            "watts"
        )
    cpu = tuple(u / per_fraction for u in cpu)
    if not all(a < b for a, b in pairwise(cpu)) or not 0.0 <= cpu[0] <= cpu[-1] <= 1.0:
        refuse(
            f"{where}.cpu",
            f"rising numbers between 0 and {per_fraction:g}, the unit that `cpu` says",
            parameters["cpu"],
        )
    return Piecewise(cpu, watts)


def _linear(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Linear:
    return Linear(*(number(f"{where}.{name}", parameters.get(name)) for name in ("idle", "max")))


def _checked(where: str, curve: Curve) -> Curve:
    if trouble := flaw(curve):
        raise PowerModelError(
            f"{where}: expected {trouble}: check the watts, and whether `cpu` says what the curve is for"
        )
    return curve


@dataclass(frozen=True, slots=True)
class CurveKind:
    """How the file writes one kind of curve."""

    fields: Mapping[str, str]
    """Field of the file -> attribute of the curve."""
    read: Callable[[str, Mapping[str, Any], float], Curve]
    """(where, fields of the file, value of full load in the file's unit of CPU) -> curve."""


CURVE_KINDS: Mapping[str, CurveKind] = {
    "exponential": CurveKind({"k0": "k0", "k1": "k1", "k2": "k2"}, _exponential),
    "idle-exponential": CurveKind(
        {"idle": "idle", "k0": "k0", "k1": "k1", "k2": "k2", "from": "knee"}, _idle_exponential
    ),
    "piecewise": CurveKind({"cpu": "cpu", "watts": "power"}, _piecewise),
    "linear": CurveKind({"idle": "idle", "max": "max"}, _linear),
}


def curve_fields(curve: Curve) -> dict[str, Any]:
    """The parameters of a curve by their names in the file, CPU as a ratio."""
    values = {field: getattr(curve, attribute) for field, attribute in CURVE_KINDS[curve.kind].fields.items()}
    return {field: list(value) if isinstance(value, tuple) else value for field, value in values.items()}
