"""Standard errors of predicted rises of power, by the delta method, and their effect on decisions."""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, Quality
from peaks_scheduler.power.uncertainty import difference_errors, error_profile, rise_error, rise_errors
from tests.support.attainable import EPS, spread_error
from tests.support.builders import ENVELOPE, JUMP, Json, decide, ledger, models, node, node_liking, pod, workers

# each with the covariance of its parameters, so small that the curve changes in proportion
KNOWN: dict[str, tuple[Curve, list[list[float]]]] = {
    "exponential": (Exponential(60.0, 80.0, 1.1), [[4.0, -2.0, 0.01], [-2.0, 3.0, -0.008], [0.01, -0.008, 0.0001]]),
    "idle-exponential": (
        IdleExponential(90.0, 60.0, 80.0, 0.8, 0.1),
        [[1.0, 0.1, 0.0, 0.0], [0.1, 2.0, -0.5, 0.0], [0.0, -0.5, 1.0, -0.002], [0.0, 0.0, -0.002, 0.00005]],
    ),
    "piecewise": (
        Piecewise((0.0, 0.4, 1.0), (60.0, 110.0, 240.0)),
        [[1.0, -0.2, 0.0], [-0.2, 0.5, -0.1], [0.0, -0.1, 2.0]],
    ),
    "linear": (Linear(60.0, 240.0), [[1.0, -0.4], [-0.4, 2.0]]),
}


def known(curve: Curve, covariance: list[list[float]], **more: float) -> PowerModel:
    quality = Quality(covariance=tuple(map(tuple, covariance)), cpu_min=more.get("low"), cpu_max=more.get("high"))
    return PowerModel("m", curve, more.get("standby"), quality)


def with_parameters(curve: Curve, values: np.ndarray) -> Curve:
    match curve:
        case Piecewise():
            return Piecewise(curve.cpu, tuple(values.tolist()))
        case IdleExponential():
            return IdleExponential(*values.tolist(), curve.knee)
        case _:
            return type(curve)(*values.tolist())


def parameters(curve: Curve) -> list[float]:
    if isinstance(curve, Piecewise):
        return list(curve.power)
    return [getattr(curve, name) for name in curve.parameters]


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("envelope", [False, True], ids=["curve", "envelope"])
@pytest.mark.parametrize("standby", [None, 8.0], ids=["always on", "may be switched off"])
def test_the_standard_error_is_the_spread_of_curves_drawn_with_that_covariance(
    kind: str, envelope: bool, standby: float | None
) -> None:
    curve, covariance = KNOWN[kind]
    model = known(curve, covariance) if standby is None else known(curve, covariance, standby=standby)
    # the default uses singular vectors; LAPACK chooses their signs, and so the draws
    random = np.random.default_rng(5)
    draws = random.multivariate_normal(parameters(curve), np.array(covariance) * 1e-4, size=4000, method="cholesky")
    faces = [with_parameters(curve, draw) for draw in draws]
    faces = [face.envelope(standby) for face in faces] if envelope else faces
    for u, step in ((0.02, 0.05), (0.3, 0.05), (0.35, 0.3), (0.7, 0.3)):
        rises = [face.watts(u + step) - face.watts(u) for face in faces]
        # a hundredth of the errors is drawn, so that the curve changes in proportion
        drawn = pytest.approx(100 * np.std(rises), rel=spread_error(len(draws), comparisons=64))
        assert rise_error(model, u, step, envelope=envelope) == drawn


@pytest.mark.parametrize("kind", KNOWN)
def test_no_rise_is_known_worse_than_the_largest_error_of_the_slope_says(kind: str) -> None:
    model = known(*KNOWN[kind], standby=8.0)
    bound = error_profile(model).slope
    for u in np.linspace(0.0, 0.98, 50):
        for step in (0.001, 0.02, 0.3):
            if u + step <= 1.0:
                for envelope in (False, True):
                    assert rise_error(model, float(u), step, envelope=envelope) <= bound * step  # type: ignore[operator]


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("envelope", [False, True], ids=["curve", "envelope"])
def test_what_the_arrays_keep_of_it_gives_the_same_error_for_small_pods_and_no_smaller_one_for_large_pods(
    kind: str, envelope: bool
) -> None:
    model = known(*KNOWN[kind], standby=8.0)
    sums = error_profile(model).sums[int(envelope)][:, None]
    for u in (0.02, 0.18, 0.45, 0.7, 0.97):
        for step, most in ((0.005, 1.05), (0.02, 1.05), (0.3, 2.0)):
            if u + step > 1.0:
                continue
            kept = rise_errors(sums, np.array([0]), np.array([u]), np.array([step]))[0]
            exact = rise_error(model, u, step, envelope=envelope)
            assert exact is not None
            assert 0.95 * exact <= kept <= most * exact


def test_a_model_that_does_not_say_how_well_it_is_known_has_no_error() -> None:
    assert rise_error(PowerModel("m", Linear(60.0, 240.0)), 0.1, 0.1, envelope=True) is None
    assert error_profile(PowerModel("m", Linear(60.0, 240.0), quality=Quality(1.7))).slope == 0.0


def test_errors_of_two_nodes_add_up_in_squares_and_cancel_where_they_share_a_model() -> None:
    # a line's rise over 0.1 has a tenth of the error of its slope: the square root of 1 + 2 + 2 * 0.4
    one, other = known(*KNOWN["linear"]), known(*KNOWN["linear"])
    u, step = np.array([0.2, 0.2, 0.2]), np.full(3, 0.1)
    alone = np.full(3, 0.1 * 3.8**0.5)
    errors = difference_errors(alone, [one, other, one], u, step, 0, envelope=True)
    assert errors == pytest.approx([0.0, 0.1 * 7.6**0.5, 0.0], rel=8 * EPS, abs=1e-12)


# --- decisions ------------------------------------------------------------------------------------


def line(slope: float, error: float) -> PowerModel:
    """A linear model whose slope [W] has the standard error ``error`` [W]."""
    return known(Linear(100.0, 100.0 + slope), [[0.0, 0.0], [0.0, error**2]], low=0.1, high=0.8)


LIKES_B: Json = node_liking("disk", "ssd")
A, B = node("a"), node("b", labels={"disk": "ssd"})


def placed(a: PowerModel, b: PowerModel, raw: Json, use: float = 0.2) -> str | None:
    cluster = ledger(A, B, power=models(a=a, b=b), loads={"a": use, "b": use})
    return decide(raw, cluster).node


@pytest.mark.parametrize("error", [0.0, 2.0])
def test_a_preference_decides_among_nodes_that_their_fits_cannot_tell_apart(error: float) -> None:
    # a pod of 0.8 of 8 cores: 8.0 W on a, 8.2 W on b; with 2 W of error in each slope the difference is 0.2 +- 0.28 W
    wishes = pod(cpu="800m", affinity=LIKES_B)
    assert placed(line(80.0, error), line(82.0, error), wishes) == ("b" if error else "a")


def test_and_not_among_nodes_that_they_can() -> None:
    wishes = pod(cpu="800m", affinity=LIKES_B)
    assert placed(line(80.0, 2.0), line(90.0, 2.0), wishes) == "a"


def test_where_nothing_is_preferred_the_lower_cost_is_the_best_guess() -> None:
    nodes = {placed(line(80.0, 2.0), line(82.0, 2.0), pod(cpu="800m", uid=f"uid-{i}")) for i in range(20)}
    assert nodes == {"a"}


def test_two_nodes_of_one_model_are_told_apart_by_their_loads() -> None:
    # the shape may be uncertain, but it is the same for both
    shared = known(Exponential(60.0, 80.0, 1.1), [[4.0, -2.0, 0.01], [-2.0, 3.0, -0.008], [0.01, -0.008, 0.0001]])
    cluster = ledger(A, B, power=models(shared), loads={"a": 0.2, "b": 0.5})
    assert decide(pod(cpu="800m", affinity=LIKES_B), cluster).node == "a"


def test_the_record_says_how_far_the_jump_is_known_and_whether_it_is_beyond_the_fit() -> None:
    cluster = ledger(*workers(1), power=models(line(80.0, 2.0)), loads={"worker-0": 0.2})
    inside = decide(pod(cpu="800m"), cluster).record()
    assert (inside["jumpWatts"], inside["jumpErrorWatts"], inside["extrapolated"]) == (8.0, 0.2, False)
    assert decide(pod(cpu="5"), cluster).record()["extrapolated"] is True  # to 82.5 %, fitted up to 80 %
    idle = ledger(*workers(1), power=models(line(80.0, 2.0)), loads={"worker-0": 0.05})
    assert decide(pod(cpu="800m"), idle).record()["extrapolated"] is True  # from 5 %, fitted from 10 %


def test_the_predicted_rise_is_told_beside_the_cost() -> None:
    # a concave curve costs its chord in the long run, 91.4 W over the whole of it; the next pod raises it by more
    cluster = ledger(*workers(1), power=(471.7, -91.5, -7.186), loads={"worker-0": 0.22})
    record = decide(pod(cpu="480m"), cluster, strategy=ENVELOPE).record()
    assert (record["jumpWatts"], record["riseWatts"]) == pytest.approx((5.486, 6.595), abs=0.001)
    plain = decide(pod(cpu="480m"), cluster, strategy=JUMP).record()
    assert plain["jumpWatts"] == pytest.approx(plain["riseWatts"])
