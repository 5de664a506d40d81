"""Air and cooling in the ledger: which curve counts for a node now, and what a meter at the node would read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.overhead import racks_of, tell_overhead
from peaks_scheduler.power.cooling import CoolingTable
from peaks_scheduler.power.curves import Curve, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, Quality
from peaks_scheduler.power.temperature import TemperatureTerm, at_present
from peaks_scheduler.power.uncertainty import error_profile
from tests.support.builders import HOSTNAME, NOW, decide, ledger, models, node, node_liking, pod, workers

AIR = TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=32.0)
WARM = PowerModel("*", Linear(100.0, 160.0), temperature=AIR)
CELSIUS: dict[str, Any] = {"unit": "celsius", "time": NOW}
RATIO: dict[str, Any] = {"unit": "ratio", "time": NOW}


def watts(known: Ledger, use: float = 1.0) -> dict[str, float]:
    """Watts of each node at this use, from the arrays that decisions read."""
    nodes = known.snapshot()
    found = nodes.curves.watts(np.full(len(nodes), use))
    assert nodes.envelopes.watts(np.full(len(nodes), use)) == pytest.approx(found)  # the curves here are straight
    return dict(zip(nodes.names, found.tolist(), strict=True))


def test_the_pod_goes_where_the_air_is_cool() -> None:
    known = ledger(*workers(2, cpu="8"), power=WARM, loads={"worker-0": 0.5, "worker-1": 0.5})
    known.set_signal("inlet", {"worker-0": 27.0, "worker-1": 22.0}, **CELSIUS)
    placed = decide(pod(cpu="1"), known)
    # an eighth of 60 W; at 27 celsius an eighth of 60 + 2*5 W
    assert (placed.node, placed.jump_watts, placed.runner_up_jump_watts) == ("worker-1", 7.5, 8.75)
    known.set_signal("inlet", {"worker-0": 22.0, "worker-1": 27.0}, **CELSIUS)
    assert decide(pod(cpu="1"), known).node == "worker-0"


def test_a_value_that_expires_leaves_the_hottest_temperature() -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS, expires=NOW + 60.0)
    assert watts(known) == {"worker-0": 166.0}
    known.refresh(NOW + 60.0)
    assert watts(known) == {"worker-0": 205.0}
    assert decide(pod(), known).temperature == 37.0  # 15 K above the reference: more than the hottest sample


@pytest.mark.parametrize("reading", [math.nan, math.inf])
def test_a_reading_that_is_no_number_leaves_the_hottest_temperature(reading: float) -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS)
    known.set_signal("inlet", {"worker-0": reading}, **CELSIUS)
    assert watts(known) == {"worker-0": 205.0}


def test_a_snapshot_that_is_asked_again_has_the_new_temperature() -> None:
    known = ledger(*workers(1), power=WARM)
    assert watts(known) == {"worker-0": 205.0}
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS)
    assert (watts(known), known.snapshot().models[0].celsius) == ({"worker-0": 166.0}, 24.0)  # type: ignore[union-attr]


def test_a_node_that_comes_again_does_not_remember_its_air() -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS)
    known.observe_node(workers(1)[0], gone=True)
    known.observe_node(workers(1)[0])
    assert watts(known) == {"worker-0": 205.0}


def test_a_prediction_counts_as_it_is_until_it_ends() -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS)
    predicted = PowerModel("worker-0", Linear(90.0, 150.0), celsius=24.0)
    known.power.predict([predicted], NOW, NOW + 60.0)
    assert watts(known) == {"worker-0": 150.0}
    placed = decide(pod(), known)
    assert (placed.model_from, placed.temperature) == ("predicted", 24.0)
    known.refresh(NOW + 60.0)
    assert watts(known) == {"worker-0": 166.0}


def test_the_overhead_is_in_predictions_too() -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("overhead", {"worker-0": 1.5}, **RATIO)
    known.power.predict([PowerModel("worker-0", Linear(90.0, 150.0), celsius=24.0)], NOW, NOW + 60.0)
    assert watts(known) == {"worker-0": 225.0}


def test_a_meter_at_the_node_does_not_see_the_cooling() -> None:
    known = ledger(*workers(1), power=WARM)
    known.set_signal("inlet", {"worker-0": 24.0}, **CELSIUS)
    known.set_signal("overhead", {"worker-0": 1.5}, **RATIO)
    metered = known.metered_model("worker-0")
    assert metered is not None
    assert (metered.curve.watts(1.0), metered.overhead) == (166.0, 1.0)
    assert watts(known) == {"worker-0": 249.0}
    assert known.metered_model("nobody") is None


def test_nodes_of_one_fit_are_told_apart_by_their_air() -> None:
    # the fit is known to 3 W at either end only, 0.53 W for an eighth of the load; but the error is that of both nodes
    fit = replace(WARM, quality=Quality(covariance=((9.0, 0.0), (0.0, 9.0))))
    known = ledger(*workers(2, cpu="8", labels={"a": "b"}), power=fit, loads={"worker-0": 0.5, "worker-1": 0.5})
    known.set_signal("inlet", {"worker-0": 23.0, "worker-1": 22.0}, **CELSIUS)
    likes = node_liking(HOSTNAME, "worker-0")
    placed = decide(pod(cpu="1", affinity=likes), known)
    assert (placed.node, placed.preferences) == ("worker-1", ())


# --- overhead ---------------------------------------------------------------------------------------------------------

# slopes: 0.1 up to 400 W and 0.5 beyond at 20 celsius, 0.3 and 0.7 at 30
TABLE = CoolingTable((20.0, 30.0), (0.0, 400.0, 1000.0), ((0.0, 40.0, 340.0), (0.0, 120.0, 540.0)), "rack")
PLAIN = PowerModel("*", Linear(100.0, 160.0))


def hall(**power: PowerModel) -> Ledger:
    """Rack a has two nodes, rack b has four; c stands alone."""
    racks = {"a0": "a", "a1": "a", "b0": "b", "b1": "b", "b2": "b", "b3": "b"}
    nodes = [node(name, labels={"rack": rack}) for name, rack in racks.items()]
    return ledger(*nodes, node("c"), power=models(PLAIN, **power), loads=dict.fromkeys([*racks, "c"], 0.5))


def factors(known: Ledger) -> dict[str, float]:
    nodes = known.snapshot()
    return dict(zip(nodes.names, nodes.signals["overhead"].tolist(), strict=True))


def test_a_constant_is_the_factor_of_every_node_and_of_those_that_come_later() -> None:
    known = ledger(*workers(2), power=PLAIN)
    assert tell_overhead(known, known.snapshot(), 1.4, NOW) == ()
    known.observe_node(node("later"))
    assert watts(known) == pytest.approx({"worker-0": 224.0, "worker-1": 224.0, "later": 224.0})
    assert decide(pod(), known).overhead == 1.4


def test_a_rack_pays_the_slope_at_its_power_and_temperature() -> None:
    known = hall()
    known.set_signal("inlet", dict.fromkeys(("a0", "b1", "c"), 20.0) | {"a1": 30.0}, **CELSIUS)
    racks = tell_overhead(known, known.snapshot(), TABLE, NOW)
    # 2 x 130 W at (20 + 30)/2; 4 x 130 W at 20; 130 W at 20
    assert [(rack.name, rack.watts, rack.inlet, rack.factor) for rack in racks] == [
        ("a", pytest.approx(260.0), 25.0, 1.2),
        ("b", pytest.approx(520.0), 20.0, 1.5),
        ("c", pytest.approx(130.0), 20.0, 1.1),
    ]
    assert factors(known) == {"a0": 1.2, "a1": 1.2} | dict.fromkeys(("b0", "b1", "b2", "b3"), 1.5) | {"c": 1.1}


def test_what_is_told_does_not_feed_back_into_the_racks_power() -> None:
    known = hall()
    first = tell_overhead(known, known.snapshot(), TABLE, NOW)
    again = tell_overhead(known, known.snapshot(), TABLE, NOW + 30.0)
    assert [rack.watts for rack in again] == pytest.approx([rack.watts for rack in first])


def test_a_node_that_comes_later_is_no_cheaper_than_any_rack_until_it_is_told() -> None:
    known = hall()
    known.set_signal("inlet", dict.fromkeys(factors(known), 20.0), **CELSIUS)
    tell_overhead(known, known.snapshot(), TABLE, NOW)
    known.observe_node(node("c1"))
    assert factors(known)["c1"] == 1.5


def test_a_rack_that_is_not_known_well_says_why() -> None:
    known = ledger(node("a0", labels={"rack": "a"}), node("a1", labels={"rack": "a"}), power=models(a0=PLAIN))
    (rack,) = racks_of(known, known.snapshot(), TABLE)
    assert (rack.watts, rack.factor) == (100.0, 1.3)  # idle; the hottest row
    assert rack.troubles == (
        "inlet temperature not known, the row that costs most counts",
        "1 of 2 nodes have no power model and count as 0 W",
    )


def test_without_the_setting_no_decision_has_an_overhead() -> None:
    assert "overhead" not in decide(pod(), hall()).record()


# --- what the arrays keep ---------------------------------------------------------------------------------------------

BENT = Piecewise((0.0, 0.4, 1.0), (60.0, 110.0, 240.0))
KNEED = IdleExponential(90.0, 60.0, 80.0, 0.8, 0.1)


@pytest.mark.parametrize("standby", [None, 8.0], ids=["always on", "may be switched off"])
@pytest.mark.parametrize("curve", [BENT, KNEED], ids=["piecewise", "idle-exponential"])
def test_the_arrays_have_envelope_and_errors_as_if_worked_out_anew(curve: Curve, standby: float | None) -> None:
    many = range(len(curve.parameters))
    known_to = tuple(tuple(0.5 if i == j else 0.01 for j in many) for i in many)
    fit = PowerModel("*", curve, standby, Quality(covariance=known_to), temperature=AIR)
    known = ledger(*workers(1), power=fit)
    for celsius, overhead in ((24.0, math.nan), (28.0, 1.3), (math.nan, 1.5)):
        known.set_signal("inlet", {"worker-0": celsius}, **CELSIUS)
        known.set_signal("overhead", {"worker-0": overhead}, **RATIO)
        nodes = known.snapshot()
        model = at_present(fit, celsius, overhead)
        envelope, errors = model.curve.envelope(model.standby_watts), error_profile(model)
        for u in np.linspace(0.0, 1.0, 21):
            assert nodes.envelopes.watts(np.array([u]))[0] == pytest.approx(envelope.watts(u))
        assert nodes.slope_errors[:, :, 0] == pytest.approx(errors.sums)
        assert nodes.slope_error[0] == pytest.approx(errors.slope)


@pytest.mark.parametrize("seen_to_end", [True, False], ids=["its end was seen", "its end was missed"])
def test_a_machine_that_comes_under_the_name_of_another_is_not_judged_by_what_was_learned_of_that(
    seen_to_end: bool,
) -> None:
    known = ledger(node("worker-1"), power=Linear(100.0, 160.0))
    before = known.power.up_to("learned", "worker-1", {})
    assert known.power.learn(PowerModel("worker-1", Linear(50.0, 60.0), origin="learned"), {}, 1.0, instead_of=before)
    known.snapshot()
    again = node("worker-1")
    again["metadata"]["uid"] = "another"
    if seen_to_end:
        known.observe_node(node("worker-1"), gone=True)
    known.observe_node(again)
    assert known.snapshot().models[0] == before
