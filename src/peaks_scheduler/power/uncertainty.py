"""How far the power rises that a fitted curve predicts are known: standard errors by the delta method.

var(rise) = g' C g, with C the covariance of the curve's parameters and g the difference of the curve's gradients at
the end and at the start of the step. On a chord of the envelope the gradient lies between those at the chord's two
ends (how the ends themselves move is of second order), and a standby point has none. Assumes that fits of different
models are independent, and that nodes which share a model share its error. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .models import PowerModel

CELLS = 20
"""Parts of the utilisation within which a slope counts as equally well known: curves mostly bend at full tenths."""
_EDGES = np.linspace(0.0, 1.0, CELLS + 1)


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
    errors: Floats = np.sqrt(np.maximum((covariance @ g * g).sum(axis=0), 0.0))
    return errors


# --- many nodes at once ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class ErrorProfile:
    """How well a model's slope is known, cell by cell of the utilisation: what the arrays keep of its covariance."""

    slope: float
    """[W] per unit of u: the largest standard error of the curve's slope and of its envelope's, a little more than
    seen. A rise over a step is known at least as well as that times the step. 0: nothing is known."""
    sums: Floats
    """(2, CELLS + 1) [W] the standard error of the slope, of the curve and of its envelope, summed up from no load."""


UNKNOWN = ErrorProfile(0.0, np.zeros((2, CELLS + 1)))


def error_profile(model: PowerModel | None) -> ErrorProfile:
    """Of one model; ``UNKNOWN`` where it does not say how well it is known."""
    if model is None or not has_errors(model):
        return UNKNOWN
    h = 1e-3
    ends = np.concatenate([_EDGES[:-1], _EDGES[1:] - h])
    steps = np.full(len(ends), h)
    slopes = np.stack([_errors(model, rise_gradient(model, ends, steps, envelope=e)) for e in (False, True)]) / h
    sums = np.zeros((2, CELLS + 1))
    sums[:, 1:] = np.cumsum(slopes[:, :CELLS] + slopes[:, CELLS:], axis=1) / (2 * CELLS)
    return ErrorProfile(1.05 * float(slopes.max()), sums)


def rise_errors(sums: Floats, nodes: Ints, u: Floats, step: Floats) -> Floats:
    """Standard error [W] of the rise of each of these ``nodes``. (M,) indices, (M,) fractions -> (M,) [W].

    ``sums`` (CELLS + 1, N) are profiles, for the curve or for its envelope. Within a cell the slope counts as known
    equally well, and over a step its errors as going one way: exact for the small steps that most pods are, a little
    too much for large ones.
    """
    cells = np.stack([u, u + step]) * CELLS
    first = np.minimum(cells.astype(np.int64), CELLS - 1)
    low = sums[first, nodes]
    before, after = low + (cells - first) * (sums[first + 1, nodes] - low)
    errors: Floats = after - before
    return errors


def difference_errors(
    errors: Floats, models: Sequence[PowerModel | None], u: Floats, step: Floats, best: int, *, envelope: bool
) -> Floats:
    """Standard error [W] of each rise's difference to that of number ``best``, from those of the rises themselves.
    (M,) [W], (M,) fractions -> (M,) [W].

    Errors of different models are independent; those of nodes that share the best one's model cancel as far as their
    loads are alike.
    """
    differences: Floats = np.hypot(errors, errors[best])
    model = models[best]
    alike = [i for i, each in enumerate(models) if each is model]
    if len(alike) > 1 and model is not None and has_errors(model):
        gradients = rise_gradient(model, u[alike], step[alike], envelope=envelope)
        differences[alike] = _errors(model, gradients - gradients[:, [alike.index(best)]])
    differences[best] = 0.0
    return differences
