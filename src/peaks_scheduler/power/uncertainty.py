"""Standard errors of the power rises that a fitted curve predicts, by the delta method (``delta_method``).

The derivatives of a rise by the curve's parameters are the difference of the curve's gradients at the end and at the
start of the step. On a chord of the envelope the gradient is interpolated between the chord's two ends; that the ends
themselves move is an effect of second order. A standby point does not depend on the parameters. Assumes that fits of
different models are independent, and that nodes with the same model have the same error. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .adjusted import Adjusted
from .curves import Curve
from .delta_method import standard_errors
from .models import PowerModel

Chords = tuple[tuple[float, float], ...]
CELLS = 20
"""Equal parts of 0..1. Within one the error of the slope counts as constant: curves mostly bend at full tenths."""
_EDGES = np.linspace(0.0, 1.0, CELLS + 1)


def has_errors(model: PowerModel | None) -> bool:
    """Does the model have the covariance of its parameters, or what its sensors' errors do to them?"""
    if model is None:
        return False
    return model.sensor_errors is not None or (model.quality is not None and model.quality.covariance is not None)


def gradient(model: PowerModel, u: Floats, *, envelope: bool) -> Floats:
    """(P, M) derivatives by the P parameters of the power, or of its lower convex envelope, at M utilisations."""
    curve = model.curve
    slopes = curve.gradient(u)
    for start, end in _chords(model) if envelope else ():
        on_it = (u >= start) & (u <= end)
        if not on_it.any():
            continue
        share = (u[on_it] - start) / (end - start)
        first, last = curve.gradient(np.array([start, end])).T
        if start == 0.0 and model.standby_watts is not None:
            first = np.zeros_like(first)
        slopes[:, on_it] = np.outer(first, 1.0 - share) + np.outer(last, share)
    return slopes


_CHORDS: WeakKeyDictionary[PowerModel, Chords] = WeakKeyDictionary()
"""Every decision asks for them, and to find them takes as long as the rest of an error. Kept as long as the model."""


def _chords(model: PowerModel) -> Chords:
    """``curve.chords`` of the model."""
    if (known := _CHORDS.get(model)) is None:
        known = _CHORDS[model] = model.curve.chords(model.standby_watts)
    return known


def remember_chords(model: PowerModel, chords: Chords) -> None:
    """These are the chords of the model's envelope: who has computed them says so."""
    _CHORDS.pop(model, None)  # of an equal model: the entry would end with it
    _CHORDS[model] = chords


def rise_gradient(model: PowerModel, u: Floats, step: Floats, *, envelope: bool) -> Floats:
    """(P, M) derivatives by the P parameters of the M rises from ``u`` to ``u + step``. (M,) fractions each."""
    both = gradient(model, np.concatenate([u, u + step]), envelope=envelope)
    difference: Floats = both[:, len(u) :] - both[:, : len(u)]
    return difference


def rise_error(model: PowerModel | None, u: float, step: float, *, envelope: bool) -> float | None:
    """Standard error [W] of one rise; None for a model without covariance."""
    if model is None or not has_errors(model):
        return None
    g = rise_gradient(model, np.array([u]), np.array([step]), envelope=envelope)
    return float(_errors(model, g)[0])


def _errors(model: PowerModel, g: Floats) -> Floats:
    if model.sensor_errors is not None:
        by_sensor: Floats = model.sensor_errors @ g
        errors: Floats = np.sqrt(np.square(by_sensor).sum(axis=0))
        return errors
    assert model.quality is not None
    assert model.quality.covariance is not None
    return standard_errors(model.quality.covariance, g)


# --- many nodes at once ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class ErrorProfile:
    """Errors of a model's slope in each cell of the utilisation: what the arrays keep of its covariance."""

    slope: float
    """[W] per unit of u: upper bound on the standard error of the slope, of the curve and of its envelope. The error
    of a rise is at most this times the step. 0: not known."""
    sums: Floats
    """(2, CELLS + 1) [W] standard error of the slope, integrated from no load to each cell's edge: curve, envelope."""


UNKNOWN = ErrorProfile(0.0, np.zeros((2, CELLS + 1)))


def error_profile(model: PowerModel | None) -> ErrorProfile:
    """The profile of one model; ``UNKNOWN`` for a model without covariance."""
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

    ``sums`` (CELLS + 1, N) are the nodes' profiles, of the curve or of its envelope. The error of the slope counts as
    constant within a cell, and errors of neighbouring cells as fully correlated. That is exact for the small steps of
    most pods, and slightly too large for long steps.
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
    """Standard error [W] of each rise minus the rise of number ``best``. (M,) [W], (M,) fractions -> (M,) [W].

    ``errors`` are the standard errors of the rises themselves. Errors of different models are independent. Between
    nodes with the best one's model the errors cancel, as far as the nodes' loads are alike.
    """
    differences: Floats = np.hypot(errors, errors[best])
    model = models[best]
    same_model = [i for i, each in enumerate(models) if each is model or _same_fit(each, model)]
    if len(same_model) > 1 and model is not None and has_errors(model):
        gradients = rise_gradient(model, u[same_model], step[same_model], envelope=envelope)
        overheads = np.array([1.0 if (each := models[i]) is None else each.overhead for i in same_model])
        gradients *= overheads / model.overhead
        differences[same_model] = _errors(model, gradients - gradients[:, [same_model.index(best)]])
    differences[best] = 0.0
    return differences


def _same_fit(a: PowerModel | None, b: PowerModel | None) -> bool:
    """Are both the same fitted model, under present conditions that may differ?"""
    if a is None or b is None or a.name != b.name or a.quality is not b.quality or a.quality is None:
        return False
    return _fitted(a) is _fitted(b)


def _fitted(model: PowerModel) -> Curve:
    return model.curve.fitted if isinstance(model.curve, Adjusted) else model.curve
