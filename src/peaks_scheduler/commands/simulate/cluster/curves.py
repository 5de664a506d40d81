"""True curves drawn from the errors of power models: what the machines may draw, as far as the fits can tell. Pure."""

from __future__ import annotations

import zlib
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.delta_method import standard_errors
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.uncertainty import has_errors
from peaks_scheduler.power.validity import flaw

_TRIES = 200
_FAR = 4.0
"""Standard errors: a draw that is farther from the fitted curve anywhere is no error of the fit but of the covariance,
which is linear in the parameters while an exponential is not."""
_LOADS = np.linspace(0.0, 1.0, 21)


def drawn_curves(models: PowerModels, seed: int) -> PowerModels:
    """The models with other curves, each drawn from the error of its fit; a model without a covariance stays.

    Only curves that could be a power model count: none falls. Nodes that share one fit share its error, draws of
    different fits are independent, and one seed always gives the same curve for the same fit.
    """
    named = {name: _drawn(model, seed) for name, model in models.by_name.items()}
    selected = tuple((selector, _drawn(model, seed)) for selector, model in models.by_selector)
    return PowerModels(MappingProxyType(named), selected)


def _drawn(model: PowerModel, seed: int) -> PowerModel:
    if not has_errors(model):
        return model
    assert model.quality is not None
    fit = zlib.crc32(repr((model.curve, model.quality.covariance)).encode())
    return replace(model, curve=_drawn_curve(model, np.random.default_rng([seed, fit])))


def _drawn_curve(model: PowerModel, random: np.random.Generator) -> Curve:
    assert model.quality is not None
    assert model.quality.covariance is not None
    curve = model.curve
    center, covariance = parameters(curve), np.asarray(model.quality.covariance)
    limit = _FAR * standard_errors(model.quality.covariance, curve.gradient(_LOADS))
    draws = random.multivariate_normal(center, covariance, size=_TRIES, check_valid="ignore", method="eigh")
    for draw in draws:
        found = with_parameters(curve, draw)
        if not flaw(found) and _near(found, curve, limit):
            return found
    return curve


def _near(found: Curve, curve: Curve, limit: Floats) -> bool:
    """Is no power farther from that of ``curve`` than (L,) ``limit`` [W] at the loads?"""
    apart = np.array([found.watts(float(u)) - curve.watts(float(u)) for u in _LOADS])
    return bool(np.all(np.abs(apart) <= limit + 1e-9))


def parameters(curve: Curve) -> Floats:
    """(P,) the parameters in the order of ``curve.parameters``."""
    match curve:
        case Exponential():
            values: tuple[float, ...] = (curve.k0, curve.k1, curve.k2)
        case IdleExponential():
            values = (curve.idle, curve.k0, curve.k1, curve.k2)
        case Piecewise():
            values = curve.power
        case Linear():
            values = (curve.idle, curve.max)
        case Adjusted():
            return parameters(curve.fitted)
    return np.array(values)


def with_parameters(curve: Curve, values: Floats) -> Curve:
    """A curve of the same kind, with other (P,) parameters."""
    numbers = [float(value) for value in values]
    match curve:
        case Exponential():
            return Exponential(*numbers)
        case IdleExponential():
            return replace(curve, **dict(zip(curve.parameters, numbers, strict=True)))
        case Piecewise():
            return Piecewise(curve.cpu, tuple(numbers))
        case Linear():
            return Linear(*numbers)
        case Adjusted():
            return replace(curve, fitted=with_parameters(curve.fitted, values))
