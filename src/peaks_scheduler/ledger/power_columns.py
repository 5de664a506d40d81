"""What is known of a node's power, written into the arrays: its curve, the envelope, how well they are known.

Owns that translation. Assumes that the ledger says when a node's model has changed. What follows from a model is worked
out once for all nodes that share it, and kept as long as the model is: ``prepare`` does so ahead, in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.uncertainty import UNKNOWN, ErrorProfile, error_profile

from .columns import Columns


@dataclass(frozen=True, slots=True)
class Known:
    """What the arrays have of a model."""

    curve: Curve
    envelope: Curve
    errors: ErrorProfile


def write_model(columns: Columns, i: int, model: PowerModel | None) -> None:
    """Node i has this model from now on; None: none."""
    known = None if model is None else _known(model)
    columns.curves["curves"].write(i, known.curve if known else None)
    columns.curves["envelopes"].write(i, known.envelope if known else None)
    errors = known.errors if known else UNKNOWN
    columns.single["slope_error"][i] = errors.slope
    columns.slope_errors[:, :, i] = errors.sums


def prepare(models: PowerModels) -> None:
    """Work out what the arrays have of each model. 5,000 of them take most of a second; the writing takes little."""
    for model in (*models.by_name.values(), *(model for _, model in models.by_selector)):
        _known(model)


_KNOWN: WeakKeyDictionary[PowerModel, Known] = WeakKeyDictionary()


def _known(model: PowerModel) -> Known:
    if (known := _KNOWN.get(model)) is None:
        known = Known(model.curve, model.curve.envelope(model.standby_watts), error_profile(model))
        _KNOWN[model] = known
    return known
