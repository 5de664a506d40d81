"""The power jump: the rise of a node's power by a pod, checked against the curve itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.scheduling.scoring.jump import cpu_after, power_jump
from tests.support.builders import BENT_DOWN, BENT_UP, Json, ledger, load, models, node, pod, read

Curve = tuple[float, float, float]


def jump(cpu: str, curve: Curve | None, *objects: Json, use: float | None = None, stale: float | None = None) -> float:
    """Jump [W] of a pod of ``cpu`` on a node of 8 cores, measured at ``use``, or long ago at ``stale``."""
    loads = {"worker-1": load(stale, age=1e6)} if stale is not None else {} if use is None else {"worker-1": load(use)}
    return float(power_jump(read(pod(cpu=cpu)), ledger(node(), *objects, power=curve, loads=loads).snapshot())[0])


def rise(curve: Curve, before: float, cores: float) -> float:
    """Rise [W] of the curve alone, on 8 cores."""
    power = Exponential(*curve)
    return power.watts(before + cores / 8) - power.watts(before)


def asking(cores: float) -> Json:
    return pod("there", cpu=f"{round(1000 * cores)}m", node="worker-1", started=0.0)


def test_the_jump_is_what_the_contracts_curve_says() -> None:
    # 91.5 * (exp(-7.186*0.22) - exp(-7.186*0.28)) by hand: 18.8294 - 12.2344
    assert jump("480m", BENT_DOWN, use=0.22) == pytest.approx(6.595, abs=0.001)


@pytest.mark.parametrize("curve", [BENT_DOWN, BENT_UP], ids=["k2<0", "k2>0"])
@pytest.mark.parametrize("use", [0.0, 0.22, 0.9])
def test_the_jump_is_the_difference_of_the_curve(curve: Curve, use: float) -> None:
    assert jump("500m", curve, use=use) == pytest.approx(rise(curve, use, 0.5), rel=1e-9)


@pytest.mark.parametrize("curve", [BENT_DOWN, BENT_UP], ids=["k2<0", "k2>0"])
def test_not_knowing_costs_the_largest_jump_over_the_plausible_range(curve: Curve) -> None:
    # pods request 5 of 8 cores: the use is between 0 and 0.625
    worst = max(rise(curve, u, 1.0) for u in np.linspace(0.0, 0.625, 1001))
    assert jump("1", curve, asking(5.0)) == pytest.approx(worst, rel=1e-9)


@pytest.mark.parametrize(("curve", "end"), [(BENT_DOWN, 0.0), (BENT_UP, 0.625)], ids=["k2<0", "k2>0"])
def test_that_is_at_the_lower_end_of_a_concave_curve_and_at_the_upper_of_a_convex_one(curve: Curve, end: float) -> None:
    assert jump("1", curve, asking(5.0)) == pytest.approx(rise(curve, end, 1.0), rel=1e-9)


@given(
    bend=st.floats(-10.0, 10.0).filter(lambda k2: abs(k2) > 0.01),
    span=st.floats(10.0, 500.0),
    asked=st.integers(0, 8000),
    stale=st.none() | st.floats(0.0, 1.0),
    truth=st.floats(0.0, 1.0),
)
def test_whatever_the_use_really_is_not_knowing_is_never_cheaper(
    bend: float, span: float, asked: int, stale: float | None, truth: float
) -> None:
    curve = (1000.0, span / math.expm1(bend), bend)  # rises by `span` watts from idle to full
    high = max(asked / 8000, stale or 0.0)
    assert jump("500m", curve, asking(asked / 1000), stale=stale) >= rise(curve, truth * high, 0.5) * (1 - 1e-6) - 1e-9


def test_a_flat_curve_costs_nothing() -> None:
    assert jump("1", (100.0, 0.0, 1.0), use=0.5) == 0.0
    assert jump("1", (100.0, 5.0, 0.0), use=0.5) == 0.0


def test_a_node_without_a_model_has_no_jump() -> None:
    assert math.isnan(jump("1", None, use=0.5))


def test_a_node_that_reports_no_cpus_has_no_jump_and_is_overfilled_by_any_pod() -> None:
    nodes = ledger(node(capacity="0"), power=BENT_DOWN).snapshot()
    assert math.isnan(power_jump(read(pod(cpu="1m")), nodes)[0])
    assert cpu_after(read(pod(cpu="1m")), nodes)[0] > 1.0


def test_a_model_for_percent_gives_the_same_jump() -> None:
    k0, k1, k2 = BENT_DOWN
    percent = parse_models(f'{{"worker-1": {{"k0": {k0}, "k1": {k1}, "k2": {k2 / 100}}}}}', "models.json")
    known = ledger(node(), power=percent, loads={"worker-1": 0.22})
    assert power_jump(read(pod(cpu="480m")), known.snapshot())[0] == pytest.approx(jump("480m", BENT_DOWN, use=0.22))


def test_a_tiny_pod_keeps_its_digits() -> None:
    # the difference of two watts near 450 would have 10 digits left of 16; the derivative is exact to the second order
    _, k1, k2 = BENT_DOWN
    step = 0.001 / 8
    derivative = k1 * k2 * math.exp(k2 * 0.22)
    assert jump("1m", BENT_DOWN, use=0.22) == pytest.approx(derivative * step * (1 + k2 * step / 2), rel=1e-6)


@pytest.mark.parametrize("k1", [0.0, 1e-3], ids=["flat", "steep"])
def test_a_pod_of_a_thousand_nodes_raises_no_warning(k1: float) -> None:
    # larger than any float; such a node ranks last, by its use alone
    assert not jump("9000000", (100.0, k1, 9.0), use=0.5) < 0.0


def test_every_node_is_asked_by_its_own_model_and_size() -> None:
    nodes = [node("small", cpu="4"), node("large", cpu="64"), node("blind")]
    known = ledger(
        *nodes, power=models(small=BENT_DOWN, large=BENT_DOWN), loads={"small": 0.5, "large": 0.5, "blind": 0.5}
    )
    small, large, blind = power_jump(read(pod(cpu="1")), known.snapshot())
    power = Exponential(*BENT_DOWN)
    assert small == pytest.approx(power.watts(0.75) - power.watts(0.5))
    assert large == pytest.approx(power.watts(0.5 + 1 / 64) - power.watts(0.5))
    assert math.isnan(blind)


def test_the_use_after_is_by_the_highest_plausible_use() -> None:
    known = ledger(node(), asking(5.0))
    assert cpu_after(read(pod(cpu="1")), known.snapshot())[0] == pytest.approx(6.0 / 8)
