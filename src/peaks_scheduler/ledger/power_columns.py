"""A node's power model in the ledger's arrays: curve, envelope, and the errors of both.

Assumes that the ledger calls ``write_model`` when a node's model has changed. Envelope and errors of a model are
computed once for all its nodes and kept as long as the model; ``prepare`` computes them ahead, in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.uncertainty import UNKNOWN, ErrorProfile, error_profile

from .columns import Columns


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the arrays need of a model."""

    curve: Curve
    envelope: Curve
    errors: ErrorProfile


def write_model(columns: Columns, i: int, model: PowerModel | None, fitted: PowerModel | None) -> None:
    """Write the model of node i, which is ``fitted`` under present conditions; None: it has none."""
    known = None if model is None or fitted is None else _at_present(model, fitted)
    columns.curves["curves"].write(i, known.curve if known else None)
    columns.curves["envelopes"].write(i, known.envelope if known else None)
    errors = known.errors if known else UNKNOWN
    columns.single["slope_error"][i] = errors.slope
    columns.slope_errors[:, :, i] = errors.sums


def _at_present(model: PowerModel, fitted: PowerModel) -> Prepared:
    curve = model.curve
    if not isinstance(curve, Adjusted) or model is fitted or model.standby_watts is not None:
        return _prepared(model)
    # temperatures change all the time: envelope and errors of the fitted curve are adjusted, not computed anew
    of, factor = _prepared(fitted), curve.factor
    errors = of.errors if factor == 1.0 else ErrorProfile(factor * of.errors.slope, factor * of.errors.sums)
    return Prepared(curve, Adjusted(of.envelope, factor, curve.base, curve.slope), errors)


def prepare(models: PowerModels) -> None:
    """Compute what the arrays need of each model. 5,000 models take most of a second; writing them takes little."""
    for model in (*models.by_name.values(), *(model for _, model in models.by_selector)):
        _prepared(model)


_PREPARED: WeakKeyDictionary[PowerModel, Prepared] = WeakKeyDictionary()


def _prepared(model: PowerModel) -> Prepared:
    if (known := _PREPARED.get(model)) is None:
        known = Prepared(model.curve, model.curve.envelope(model.standby_watts), error_profile(model))
        _PREPARED[model] = known
    return known
