"""Imports a model of Kepler's model server as a power curve over CPU utilisation.

Owns which components make up a node, and how their sum becomes one of our curves: exactly where the sum has the form of
one, else by a fit to samples of it, which the file then says. The component ``platform`` is the whole machine and is
used alone. Without it, ``package`` and ``dram`` are added; ``core`` and ``uncore`` are parts of the package and are
never added. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.power.curves import Curve, Exponential, Linear, Piecewise
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.scope import PACKAGE, PLATFORM, Scope

from .imported_models import ImportedModels, Target, checked_curve, models_of
from .kepler_weights import EXPONENTIAL, Component, TargetMachine, Weights

_LEVELS = np.arange(1001) / 1000.0
_EACH = 10  # every 10th level is a sample for a fit
_CLOSE = 0.01  # share of the power at full load: largest error of a fitted curve
_MOST_POINTS = 21  # of a piecewise curve
_ANOTHER = 1.25  # ratio of busy cores where the model was learned to the node's cores: beyond, a note is given
_SAME_UNIT = 100.0  # the same ratio: beyond, the counters were not in milliseconds a second
_IDLE = 0.02  # share of the power at full load: less at no load is dynamic power only


@dataclass(frozen=True, slots=True)
class Converted:
    """A curve made of weights, and how it was made, in words."""

    curve: Curve
    how: str


def import_kepler(
    weights: Weights, cores: float | None, mhz: float | None, dram: bool, target: Target
) -> ImportedModels:
    """The models for ``target``, whose nodes have ``cores`` CPUs of ``mhz``; None: as many as the answer says.

    ``dram``: add the memory's power, where the platform is not known. Raises ConfigurationError.
    """
    notes: list[str] = []
    machine = TargetMachine(_cores(weights, cores, notes), mhz)
    parts = [weights.component(name, machine) for name in _names(weights, dram)]
    notes += _constant(weights, parts)
    reached = _reach(weights, parts, machine, notes)
    converted = convert(weights.origin, parts)
    idle, full = converted.curve.watts(0.0), converted.curve.watts(1.0)
    if idle < _IDLE * full:
        notes.append(
            f"only {idle:.3g} W at no load: is it a model of dynamic power (DynPower)? Then jumps are right, but what "
            "an empty node draws is missing: ask for AbsPower"
        )
    quality = Quality(cpu_max=reached, confidence="low")
    comment = _comment(weights, parts, machine, converted)
    scope: Scope = PLATFORM if parts[0].name == "platform" else PACKAGE
    return ImportedModels(models_of(target.models(converted.curve, quality, scope)), comment, tuple(notes))


def convert(where: str, parts: Sequence[Component]) -> Converted:
    """The sum of the components as one curve. Raises ConfigurationError where it cannot be a node's power."""
    power = total(parts, _LEVELS)
    if not np.all(np.isfinite(power)) or power.min() < 0.0:
        first = int(np.argmin(np.where(np.isfinite(power), power, -np.inf)))
        raise PowerModelError(
            f"{where}: expected watts of 0 and more at every load; got {power[first]:.4g} W at {_LEVELS[first]:.0%}: "
            "ask for another trainer (--trainer), or is --cores right?"
        )
    converted = _exact(parts) or _fitted(power)
    return Converted(checked_curve(where, converted.curve), converted.how)


def total(parts: Sequence[Component], u: Floats) -> Floats:
    """(M,) [W] power of all components together at M utilisations."""
    power: Floats = np.sum([part.watts(u) for part in parts], axis=0)
    return power


def _exact(parts: Sequence[Component]) -> Converted | None:
    """The sum as a linear or exponential curve, where it is exactly one; else None."""
    constant, slope = (sum(getattr(part, name) for part in parts) for name in ("constant", "slope"))
    formed = [(part, part.form.trainer) for part in parts if part.form is not None]
    if not formed:
        return Converted(Linear(constant, constant + slope), "exactly, it is linear")
    if len(formed) > 1 or slope or formed[0][1] != EXPONENTIAL:
        return None
    (part, _), *_ = formed
    a, b, c = part.weights
    return Converted(Exponential(constant + c, a, b * part.reach), "exactly, it is exponential")


def _fitted(power: Floats) -> Converted:
    """A curve fitted to samples of the power, or a piecewise curve through points of it where no fit is close."""
    # here, since scipy is slow to import
    from peaks_scheduler.fitting.fit import fit
    from peaks_scheduler.fitting.samples import Samples

    samples = Samples(_LEVELS[::_EACH], power[::_EACH])
    found = fit(samples).curve
    if found is not None and (off := _errors(found, power).max()) <= _CLOSE * power[-1]:
        return Converted(found, f"fitted to {len(samples)} samples of it, at most {off:.2g} W off")
    points = _points(power)
    off = _errors(points, power).max()
    return Converted(points, f"by {len(points.cpu)} points of it, at most {off:.2g} W off between them")


def _points(power: Floats) -> Piecewise:
    """A close piecewise curve: points are added where the error is largest, as few as needed."""
    knots = {0, len(_LEVELS) - 1}
    while True:
        at = sorted(knots)
        curve = Piecewise(tuple(_LEVELS[at].tolist()), tuple(power[at].tolist()))
        errors = _errors(curve, power)
        if errors.max() <= _CLOSE * power[-1] or len(knots) == _MOST_POINTS:
            return curve
        knots.add(int(np.argmax(errors)))


def _errors(curve: Curve, power: Floats) -> Floats:
    """(levels,) [W] absolute errors of the curve."""
    errors: Floats = np.abs(np.array([curve.watts(u) for u in _LEVELS.tolist()]) - power)
    return errors


# --- what it is of ----------------------------------------------------------------------------------------------------


def _names(weights: Weights, dram: bool) -> tuple[str, ...]:
    """The components to add."""
    if "platform" in weights.raw:
        return ("platform",)
    if "package" not in weights.raw:
        raise ConfigurationError(
            f"{weights.origin}: expected the component platform, or package; got {', '.join(weights.raw)}: a node is "
            "more than that, ask for another energy source (--source)"
        )
    return ("package", "dram") if dram and "dram" in weights.raw else ("package",)


def _cores(weights: Weights, said: float | None, notes: list[str]) -> float:
    """Number of CPUs of the nodes: as ``said``, or of the machine that the model was learned on."""
    if said is not None:
        return said
    there = weights.spec.get("cores")
    if isinstance(there, (int, float)) and there > 0:
        notes.append(f"--cores not given: {there:g}, as the machine that the model was learned on has")
        return float(there)
    raise ConfigurationError(
        "expected --cores N, how many CPUs the node has (status.capacity.cpu): the model counts milliseconds of CPU "
        "time, not utilisation; got none"
    )


def _constant(weights: Weights, parts: Sequence[Component]) -> list[str]:
    """Notes on fitted components that do not depend on CPU use."""
    return [
        f"{part.name} does not depend on CPU use where the model was learned: taken as constant, {part.constant:.4g} W"
        for part in parts
        if part.form is None and part.slope == 0.0 and part.constant and "CurveFit_Weights" in weights.raw[part.name]
    ]


def _reach(weights: Weights, parts: Sequence[Component], machine: TargetMachine, notes: list[str]) -> float | None:
    """Highest utilisation [fraction] of this machine that the model was learned on; None if it is not known."""
    if (busy := weights.learned_up_to(parts[0].name)) is None:
        return None
    share = busy / machine.cores
    learned = f"learned with up to {busy:.3g} busy cores; --cores says {machine.cores:g}"
    if not 1.0 / _SAME_UNIT < share < _SAME_UNIT:
        raise ConfigurationError(
            f"{weights.origin}: expected CPU time in milliseconds a second; the model was {learned}: is --cores right, "
            "or was it learned on a counter in another unit?"
        )
    if share > _ANOTHER:
        notes.append(f"{learned}: it is the power of a larger machine")
    elif share * _ANOTHER < 1.0:
        notes.append(f"{learned}: above {share:.0%} of full load it is extrapolated")
    return min(share, 1.0)


def _comment(weights: Weights, parts: Sequence[Component], machine: TargetMachine, converted: Converted) -> str:
    what = {"platform": "whole machine"}.get(parts[0].name, "sockets and memory only, not the whole machine")
    lines = [
        f"Weights of Kepler's model server: {weights.model or weights.trainer or 'model not named'}, {weights.origin}",
        f"{' + '.join(part.name for part in parts)} ({what}), converted for {machine.cores:g} CPUs {converted.how}.",
    ]
    if weights.spec:
        lines.append("Learned on " + ", ".join(f"{key} {value}" for key, value in weights.spec.items()) + ".")
    if weights.mae is not None:
        lines.append(f"Mean absolute error where it was learned, by the server: {weights.mae:g} W.")
    return "\n".join([*lines, "A first guess: not measured on these nodes (confidence: low)."])
