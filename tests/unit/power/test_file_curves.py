"""The table of curve kinds: what the file writes of a curve, it reads as the same curve."""

from __future__ import annotations

from typing import get_args

import pytest

from peaks_scheduler.power.curves import Exponential, FittedCurve, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.file_curves import CURVE_KINDS, curve_fields, read_curve

CURVES: dict[str, FittedCurve] = {
    "exponential": Exponential(471.7, -91.5, -7.186),
    "idle-exponential": IdleExponential(118.0, 30.0, 120.0, 0.9, 0.2),
    "piecewise": Piecewise((0.0, 0.1, 1.0), (60.0, 90.0, 240.0)),
    "linear": Linear(60.0, 240.0),
}


def test_every_kind_of_curve_has_a_row() -> None:
    assert CURVE_KINDS.keys() == {kind.kind for kind in get_args(FittedCurve)} == CURVES.keys()


@pytest.mark.parametrize("kind", CURVE_KINDS)
def test_a_curve_is_read_as_it_was_written(kind: str) -> None:
    fields = curve_fields(CURVES[kind])
    assert fields.keys() == CURVE_KINDS[kind].fields.keys()
    assert read_curve("here", {"cpu": "ratio", "curve": {"kind": kind, **fields}}) == CURVES[kind]
