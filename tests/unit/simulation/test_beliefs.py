"""What the simulated scheduler believes of power: fitted, true, and wrong on purpose."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.belief_words import parse_beliefs
from peaks_scheduler.simulation.beliefs import (
    FitTask,
    fitted_models,
    partly_unmodelled,
    sampled,
    swapped,
    true_models,
    unlike_pair,
    with_ends,
    wrong_models,
)
from peaks_scheduler.simulation.cluster import SimulatedNode

BENT = Exponential(300.0, -200.0, -2.0)  # 100 W at no load, 272.9 W at full load


def node(name: str, curve: Curve = BENT, **more: Any) -> SimulatedNode:
    return SimulatedNode(name, 8.0, 32768.0, curve, **more)


def modelled(count: int, curve: Curve = BENT) -> PowerModels:
    return true_models([node(f"n{i}", curve) for i in range(count)])


def ends(model: PowerModel) -> tuple[float, float]:
    return model.curve.watts(0.0), model.curve.watts(1.0)


# --- fitted and true --------------------------------------------------------------------------------------------------


def test_without_noise_a_curve_of_a_known_family_is_learned_as_it_is() -> None:
    learned = fitted_models([node("a")], noise=0.0).by_name["a"]
    assert [learned.curve.watts(u) for u in (0.0, 0.2, 0.6, 1.0)] == pytest.approx(
        [BENT.watts(u) for u in (0.0, 0.2, 0.6, 1.0)], rel=1e-6
    )


def test_a_fitted_model_knows_its_quality() -> None:
    quality = fitted_models([node("a")]).by_name["a"].quality
    assert quality is not None
    assert quality.samples == 30
    assert quality.covariance is not None


def test_the_samples_scatter_by_the_noise() -> None:
    count = 100_000
    cpu, watts = sampled(FitTask("a", BENT, 0.02, count, (1, 0)))
    scatter = watts / np.array([BENT.watts(float(u)) for u in cpu]) - 1.0
    # five standard errors of a standard deviation
    assert scatter.std() == pytest.approx(0.02, rel=5.0 / math.sqrt(2 * count))


def test_one_fit_serves_all_nodes_of_a_kind() -> None:
    fits: list[int] = []

    def counting(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        fits.append(len(tasks))
        return map(function, tasks)

    nodes = [node("a", kind="big"), node("b", kind="big"), node("c")]
    models = fitted_models(nodes, each=counting).by_name
    assert fits == [2]
    assert models["a"] is models["b"]


def test_nodes_without_a_kind_are_fitted_each() -> None:
    models = fitted_models([node("a"), node("b")]).by_name
    assert models["a"].curve != models["b"].curve


def test_the_seed_decides() -> None:
    first, again, other = (fitted_models([node("a")], seed=seed).by_name["a"] for seed in (1, 1, 2))
    assert first == again
    assert first.curve != other.curve


def test_a_node_whose_fit_is_refused_has_no_model() -> None:
    # the rise of 1 % is lost in the noise of 2 %
    models = fitted_models([node("flat", Linear(100.0, 101.0)), node("a")])
    assert set(models.by_name) == {"a"}


def test_a_true_model_is_the_true_curve() -> None:
    assert modelled(1).by_name["n0"].curve is BENT


def test_the_scheduler_knows_what_a_sleeping_node_draws() -> None:
    models = true_models([node("a", kind="k", standby_watts=5.0), node("b", kind="k")]).by_name
    assert (models["a"].standby_watts, models["b"].standby_watts) == (5.0, None)


# --- wrong on purpose -------------------------------------------------------------------------------------------------


def test_every_wrong_model_is_off_by_the_error_at_both_ends() -> None:
    wrong = wrong_models(modelled(64, Linear(100.0, 200.0)), 0.1, seed=3)
    found = {tuple(round(watts, 9) for watts in ends(model)) for model in wrong.by_name.values()}
    assert found == {(90.0, 180.0), (90.0, 220.0), (110.0, 180.0), (110.0, 220.0)}


def test_a_stretched_curve_keeps_its_form() -> None:
    # 110 W + (150 - 100) W * (270 - 110) / (300 - 100)
    curve = with_ends(Piecewise((0.0, 0.5, 1.0), (100.0, 150.0, 300.0)), 110.0, 270.0)
    assert [curve.watts(u) for u in (0.0, 0.5, 1.0)] == pytest.approx([110.0, 150.0, 270.0])


@pytest.mark.parametrize(
    "curve",
    [
        BENT,
        Exponential(50.0, 50.0, 1.5),
        IdleExponential(60.0, 300.0, -200.0, -2.0, 0.1),
        Piecewise((0.0, 0.1, 1.0), (50.0, 90.0, 200.0)),
        Linear(80.0, 200.0),
    ],
    ids=lambda curve: type(curve).__name__,
)
def test_every_kind_of_curve_reaches_its_new_ends(curve: Curve) -> None:
    assert ends(PowerModel("a", with_ends(curve, 70.0, 190.0))) == pytest.approx((70.0, 190.0))


def test_a_wrong_curve_never_falls() -> None:
    wrong = wrong_models(modelled(16, Linear(100.0, 105.0)), 0.2)
    assert [flaw(model.curve) for model in wrong.by_name.values()] == [""] * 16


def test_a_wrong_model_does_not_depend_on_the_other_nodes() -> None:
    few, many = (wrong_models(modelled(count), 0.1, seed=1).by_name["n2"] for count in (3, 30))
    assert few == many


def test_nodes_of_one_kind_are_wrong_alike() -> None:
    models = wrong_models(true_models([node("a", kind="k"), node("b", kind="k")]), 0.1)
    assert models.by_name["a"] is models.by_name["b"]


def test_two_nodes_get_the_models_of_each_other() -> None:
    before = modelled(3)
    after = swapped(before, "n0", "n2")
    assert [after.by_name[name].name for name in ("n0", "n1", "n2")] == ["n2", "n1", "n0"]


def test_swapping_a_node_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"got 'n22' \(did you mean 'n2'\?\)"):
        swapped(modelled(3), "n22", "n0")


def test_a_pair_to_swap_has_different_models() -> None:
    models = true_models([*(node(f"k{i}", kind="k") for i in range(9)), node("other")])
    pairs = [unlike_pair(models, seed) for seed in range(20)]
    assert all(pair is not None and "other" in pair for pair in pairs)


@pytest.mark.parametrize(("count", "share", "left"), [(30, 0.1, 27), (30, 0.0, 30), (5, 0.05, 4), (4, 1.0, 0)])
def test_a_share_of_the_nodes_has_no_model(count: int, share: float, left: int) -> None:
    assert len(partly_unmodelled(modelled(count), share).by_name) == left


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_count_from_left_to_right() -> None:
    nodes = [node(f"n{i}", Linear(100.0, 200.0)) for i in range(10)]
    models = parse_beliefs("true+wrong:10%+unmodelled:0.2").models(nodes, seed=1)
    assert len(models.by_name) == 8
    assert all(watts in (90.0, 110.0) for watts in (round(ends(each)[0], 9) for each in models.by_name.values()))


def test_words_begin_with_fitted_models() -> None:
    nodes = [node("a"), node("b")]
    assert parse_beliefs("swapped:a,b").models(nodes, 1) == swapped(fitted_models(nodes, seed=1), "a", "b")


def test_the_samples_of_a_fit_can_be_told() -> None:
    found = parse_beliefs("fitted:noise=5%&samples=60")
    assert (found.noise, found.samples) == (0.05, 60)


def test_models_that_are_all_the_same_cannot_be_swapped() -> None:
    nodes = [node("a", kind="k"), node("b", kind="k")]
    with pytest.raises(ConfigurationError, match="all have the same one"):
        parse_beliefs("swapped").models(nodes, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "`fitted` or `true`"),
        ("fited", "did you mean 'fitted'"),
        ("true+wrnog:5%", "did you mean 'wrong'"),
        ("wrong+true", "`fitted` or `true` at the beginning"),
        ("true:2", "`true` alone"),
        ("wrong:5", "between 0 and 1"),
        ("wrong:much", "such as 0.1 or 10%"),
        ("fitted:niose=2%", "did you mean 'noise'"),
        ("fitted:noise=2%&noise=3%", "at most once"),
        ("fitted:samples=2", "from 3 to 100,000"),
        ("swapped:a", "names of two nodes"),
        ("swapped:a,a", "names of two nodes"),
    ],
)
def test_a_word_that_is_none_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        parse_beliefs(text)
