"""What is known of a node's power, written into the arrays: its curve, the envelope, how well they are known.

Owns that translation. Assumes that the ledger says when a node's model has changed. What follows from a model is worked
out once for all nodes that share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .power import Curve, PowerModel
from .power.uncertainty import UNKNOWN, ErrorProfile, error_profile
from .snapshot import Columns


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


@lru_cache(maxsize=256)
def _known(model: PowerModel) -> Known:
    return Known(model.curve, model.curve.envelope(model.standby_watts), error_profile(model))
