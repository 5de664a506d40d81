"""How far the power rises that a fitted curve predicts are known: standard errors by the delta method.

var(rise) = g' C g, with C the covariance of the curve's parameters and g the difference of the curve's gradients at
the end and at the start of the step. On a chord of the envelope the gradient lies between those at the chord's two
ends (how the ends themselves move is of second order), and a standby point has none. Assumes that fits of different
models are independent, and that nodes which share a model share its error. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .curves import Floats
from .models import PowerModel

_GRID = np.linspace(0.0, 1.0, 17)


def has_errors(model: PowerModel | None) -> bool:
    """Does the model say how well its parameters are known?"""
    return model is not None and model.quality is not None and model.quality.covariance is not None


def gradient(model: PowerModel, u: Floats, *, envelope: bool) -> Floats:
    """(P, M) derivatives of the power, or of its lower convex envelope, at M utilisations by the P parameters."""
    curve = model.curve
    slopes = curve.gradient(u)
    for start, end in curve.chords(model.standby_watts) if envelope else ():
        on_it = (u >= start) & (u <= end)
        share = (u[on_it] - start) / (end - start)
        first, last = curve.gradient(np.array([start, end])).T
        if start == 0.0 and model.standby_watts is not None:
            first = np.zeros_like(first)
        slopes[:, on_it] = np.outer(first, 1.0 - share) + np.outer(last, share)
    return slopes


def rise_gradient(model: PowerModel, u: Floats, step: Floats, *, envelope: bool) -> Floats:
    """(P, M) derivatives of M rises, from ``u`` to ``u + step``."""
    both = gradient(model, np.concatenate([u, u + step]), envelope=envelope)
    difference: Floats = both[:, len(u) :] - both[:, : len(u)]
    return difference


def rise_error(model: PowerModel | None, u: float, step: float, *, envelope: bool) -> float | None:
    """Standard error [W] of one rise; None where the model does not say how well it is known."""
    if model is None or not has_errors(model):
        return None
    g = rise_gradient(model, np.array([u]), np.array([step]), envelope=envelope)
    return float(_errors(model, g)[0])


def _errors(model: PowerModel, g: Floats) -> Floats:
    assert model.quality is not None
    covariance = np.asarray(model.quality.covariance)
    errors: Floats = np.sqrt(np.maximum(np.einsum("im,ij,jm->m", g, covariance, g), 0.0))
    return errors


def slope_error(model: PowerModel | None) -> float:
    """[W] per unit of u: the largest standard error of the curve's slope and of its envelope's, a little more than
    seen on a grid. A rise over a step is known at least as well as that times the step. 0: nothing is known."""
    if model is None or not has_errors(model):
        return 0.0
    h = 1e-3
    at = np.concatenate([_GRID[:-1], _GRID[1:] - h])
    steps = np.full(len(at), h)
    largest = max(float(_errors(model, rise_gradient(model, at, steps, envelope=e)).max()) for e in (False, True))
    return 1.05 * largest / h


def difference_errors(
    models: Sequence[PowerModel | None], u: Floats, step: Floats, best: int, *, envelope: bool
) -> Floats:
    """Standard error [W] of each rise's difference to that of number ``best``. (M,) fractions -> (M,) [W].

    A model that does not say how well it is known counts as exact.
    """
    groups: dict[int, list[int]] = {}
    for i, model in enumerate(models):
        if has_errors(model):
            groups.setdefault(id(model), []).append(i)
    variances = np.zeros(len(u))
    reference = np.zeros((1, 1))
    if id(models[best]) in groups:
        reference = _gradient_of(models, [best], u, step, envelope)
        variances += _errors(_known(models[best]), reference) ** 2
    for where in groups.values():
        model, g = _known(models[where[0]]), _gradient_of(models, where, u, step, envelope)
        if model is models[best]:
            variances[where] = _errors(model, g - reference) ** 2
        else:
            variances[where] += _errors(model, g) ** 2
    errors: Floats = np.sqrt(variances)
    return errors


def _gradient_of(
    models: Sequence[PowerModel | None], where: list[int], u: Floats, step: Floats, envelope: bool
) -> Floats:
    return rise_gradient(_known(models[where[0]]), u[where], step[where], envelope=envelope)


def _known(model: PowerModel | None) -> PowerModel:
    assert model is not None
    return model
