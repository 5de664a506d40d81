"""A node's power model in the ledger's arrays: curve, envelope, and the errors of both.

Assumes that the ledger calls ``write_model`` when a node's model has changed. Envelope and errors of a model are
computed once for all its nodes and kept as long as the model; ``prepare`` computes them ahead, in any thread, and
``prepare_predicted`` those of many predictions at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Curve, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.predicted_curves import columns as columns_of
from peaks_scheduler.power.predicted_curves import hulls, profiles
from peaks_scheduler.power.table import column_of
from peaks_scheduler.power.uncertainty import UNKNOWN, ErrorProfile, error_profile, remember_chords

from .columns import Columns

_SCALED = [0, 1, 4]  # rows of ``table.CurveTable`` in watts, without the bends


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What the arrays need of a model."""

    curve: Curve
    envelope: Curve
    errors: ErrorProfile
    columns: tuple[Floats, Floats] | None = None
    """Curve and envelope as columns of ``table.CurveRows``; None: to be made of the curves."""


def write_model(columns: Columns, i: int, model: PowerModel | None, fitted: PowerModel | None) -> None:
    """Write the model of node i, which is ``fitted`` under present conditions; None: it has none."""
    known = None if model is None or fitted is None else _at_present(model, fitted)
    curves, envelopes = columns.curves["curves"], columns.curves["envelopes"]
    if known is not None and known.columns is not None:
        curves.put(i, known.columns[0])
        envelopes.put(i, known.columns[1])
    else:
        curves.write(i, known.curve if known else None)
        envelopes.write(i, known.envelope if known else None)
    errors = known.errors if known else UNKNOWN
    columns.single["slope_error"][i] = errors.slope
    columns.slope_errors[:, :, i] = errors.sums


def _at_present(model: PowerModel, fitted: PowerModel) -> Prepared:
    curve = model.curve
    if not isinstance(curve, Adjusted) or model is fitted:
        return _prepared(model)
    straight = curve.base != 0.0 or curve.slope != 0.0
    if model.standby_watts is not None and straight:
        return _prepared(model)
    # temperatures change all the time: envelope and errors of the fitted curve are adjusted, not computed anew
    of, factor = _prepared(fitted), curve.factor
    errors = of.errors if factor == 1.0 else ErrorProfile(factor * of.errors.slope, factor * of.errors.sums)
    columns = None if of.columns is None or straight else (_times(of.columns[0], factor), _times(of.columns[1], factor))
    return Prepared(curve, Adjusted(of.envelope, factor, curve.base, curve.slope), errors, columns)


def _times(column: Floats, factor: float) -> Floats:
    scaled = column.copy()
    scaled[_SCALED] *= factor
    scaled[5 + (len(column) - 5) // 2 :] *= factor
    return scaled


def prepare(models: PowerModels) -> None:
    """Compute what the arrays need of each model. 5,000 models take most of a second; writing them takes little."""
    for model in (*models.by_name.values(), *(model for _, model in models.by_selector)):
        _prepared(model)


_PREPARED: WeakKeyDictionary[PowerModel, Prepared] = WeakKeyDictionary()


def _prepared(model: PowerModel) -> Prepared:
    if (known := _PREPARED.get(model)) is None:
        curve, envelope = model.curve, model.curve.envelope(model.standby_watts)
        known = Prepared(curve, envelope, error_profile(model), (column_of(curve), column_of(envelope)))
        _PREPARED[model] = known
    return known


# --- many predictions at once -----------------------------------------------------------------------------------------


def prepare_predicted(models: Iterable[PowerModel]) -> None:
    """Compute what the arrays need of predicted models, many at once: 100 models take a few milliseconds."""
    alike: dict[tuple[int, int], list[PowerModel]] = {}
    for model in models:
        if isinstance(model.curve, Piecewise) and model.sensor_errors is not None and len(model.curve.cpu) > 2:
            alike.setdefault((len(model.curve.cpu), len(model.sensor_errors)), []).append(model)
    for some in alike.values():
        _prepare_alike(some)


def _prepare_alike(models: Sequence[PowerModel]) -> None:
    """Models with equally many points and sensors."""
    u = np.array([model.curve.cpu for model in models if isinstance(model.curve, Piecewise)])
    watts = np.array([model.curve.power for model in models if isinstance(model.curve, Piecewise)])
    errors = np.array([model.sensor_errors for model in models])
    standby = np.array([np.nan if model.standby_watts is None else model.standby_watts for model in models])
    first = watts.copy()
    first[:, 0] = np.fmin(first[:, 0], standby)
    hull, of_first = hulls(u, first), errors.copy()
    of_first[~np.isnan(standby), :, 0] = 0.0  # no sensor tells what a node draws that is switched off
    slope, sums = profiles(u, errors)
    slope_below, sums_below = profiles(u, hull.between(of_first))
    curves = columns_of(u, watts, np.ones(u.shape, np.bool_))
    envelopes = columns_of(u, first, hull.corners)
    for i, model in enumerate(models):
        at = hull.corners[i]
        corners, power = tuple(u[i][at].tolist()), tuple(first[i][at].tolist())
        profile = ErrorProfile(1.05 * float(max(slope[i], slope_below[i])), np.stack([sums[i], sums_below[i]]))
        envelope: Curve = Piecewise(corners, power) if len(corners) > 2 else Linear(*power)
        _PREPARED.pop(model, None)  # of an equal model: the entry would end with it, and its errors may differ
        _PREPARED[model] = Prepared(model.curve, envelope, profile, (curves[i].copy(), envelopes[i].copy()))
        remember_chords(model, tuple(pairwise(corners)))
