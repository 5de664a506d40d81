"""True curves that are drawn from the errors of the models.

Expected spreads are the covariance that the draws are made from.
"""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.commands.simulate.cluster.curves import drawn_curves, parameters, with_parameters
from peaks_scheduler.commands.simulate.cluster.nodes import simulated, with_curves
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels, Quality
from peaks_scheduler.power.validity import flaw
from tests.support.builders import node

LINEAR = Linear(100.0, 200.0)
CURVES = (
    LINEAR,
    Exponential(180.0, -80.0, -3.0),
    IdleExponential(60.0, 200.0, -120.0, -2.0, 0.2),
    Piecewise((0.0, 0.5, 1.0), (50.0, 80.0, 90.0)),
)


def diagonal(*deviations: float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in np.diag(np.square(deviations)))


def fitted(curve: Curve, *deviations: float) -> PowerModel:
    return PowerModel("worker-1", curve, quality=Quality(covariance=diagonal(*deviations)))


def draws(model: PowerModel, count: int) -> list[Curve]:
    given = PowerModels({"worker-1": model})
    return [drawn_curves(given, seed).by_name["worker-1"].curve for seed in range(count)]


def test_the_draws_have_the_spread_of_the_fit() -> None:
    """Of 400 draws a deviation is known to 1 / sqrt(800) = 3.5 %, a mean to 2 / sqrt(400) = 0.1 W: four times that."""
    idle = np.array([curve.watts(0.0) for curve in draws(fitted(LINEAR, 2.0, 3.0), 400)])
    assert idle.std() == pytest.approx(2.0, rel=0.15)
    assert idle.mean() == pytest.approx(100.0, abs=0.4)


@pytest.mark.parametrize("curve", CURVES, ids=lambda each: each.kind)
def test_the_parameters_of_every_kind_of_curve_go_there_and_back(curve: Curve) -> None:
    assert with_parameters(curve, parameters(curve)) == curve


@pytest.mark.parametrize("curve", CURVES, ids=lambda each: each.kind)
def test_no_drawn_curve_falls(curve: Curve) -> None:
    """With an error as large as the curve's rise, every second draw of a line would fall."""
    wide = fitted(curve, *(0.5 * np.abs(parameters(curve)) + 1.0))
    assert [flaw(each) for each in draws(wide, 50)] == [""] * 50


def test_one_seed_gives_one_curve_and_another_seed_another() -> None:
    model = PowerModels({"worker-1": fitted(LINEAR, 2.0, 3.0)})
    one, again, other = (drawn_curves(model, seed).by_name["worker-1"].curve for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_nodes_of_one_fit_share_its_error_and_nodes_of_two_do_not() -> None:
    shared, own = fitted(LINEAR, 2.0, 3.0), fitted(Linear(101.0, 200.0), 2.0, 3.0)
    found = drawn_curves(PowerModels({"a": shared, "b": shared, "c": own}), 0).by_name
    assert found["a"].curve == found["b"].curve
    assert found["c"].curve.watts(0.0) - 101.0 != pytest.approx(found["a"].curve.watts(0.0) - 100.0)


def test_a_model_without_an_error_keeps_its_curve() -> None:
    assert draws(PowerModel("worker-1", LINEAR), 3) == [LINEAR] * 3


def test_models_by_label_are_drawn_too_and_reach_their_nodes() -> None:
    models = PowerModels(by_selector=(({"kind": "big"}, fitted(LINEAR, 2.0, 3.0)),))
    there = [node_from_api(node("worker-1", labels={"kind": "big"}))]
    nodes, _ = simulated(there, models, "--nodes x")
    drawn = drawn_curves(models, 7)
    (moved,) = with_curves(nodes, drawn)
    assert nodes[0].curve == LINEAR
    assert moved.curve == drawn.by_selector[0][1].curve != LINEAR
