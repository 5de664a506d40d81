"""Verdicts: what is good, what is only usable, what is refused, and in which words."""

from pathlib import Path

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.fitting.fit import MODELS, fit
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.samples import Samples, load_levels
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.writing import render_models
from tests.support.attainable import spread_error

SEED = 7


def samples(count: int = 60, low: float = 0.0, high: float = 1.0, noise: float = 2.0) -> Samples:
    """Of a node that draws 180 - 65 exp(-3u) W, evenly over the loads from ``low`` to ``high``."""
    cpu = np.linspace(low, high, count)
    return Samples(cpu, 180.0 - 65.0 * np.exp(-3.0 * cpu) + noise * np.random.default_rng(SEED).standard_normal(count))


def with_watts(watts: Floats) -> Samples:
    return Samples(np.linspace(0.0, 1.0, len(watts)), watts)


def verdict_and_reasons(found: Fit) -> tuple[str, str]:
    return found.verdict, " | ".join(found.reasons)


def test_samples_over_the_whole_load_give_a_good_model_without_reservations() -> None:
    assert verdict_and_reasons(fit(samples())) == ("good", "")


def test_the_figures_of_a_fit_say_what_it_was_made_of() -> None:
    found = fit(samples(1000, noise=2.0), "exponential")
    assert (found.quality.samples, found.quality.cpu_min, found.quality.cpu_max) == (1000, 0.0, 1.0)
    # the noise put in was 2 W; a median tells a scale 1 / 0.37 times less surely than squares do (Huber and Ronchetti
    # 2009, 5.1), so that many draws fewer
    assert found.quality.rmse_watts == pytest.approx(2.0, rel=spread_error(1000, comparisons=3))
    assert found.noise_watts == pytest.approx(2.0, rel=spread_error(370, comparisons=3))
    assert found.quality.cv_rmse_watts == pytest.approx(2.0, rel=spread_error(1000, comparisons=3) + 0.01)
    # over even loads the curve's own standard deviation is 16.7 W
    unexplained = 2.0**2 / (2.0**2 + 16.7**2)
    assert found.quality.r2 == pytest.approx(1.0 - unexplained, abs=unexplained * 2 * spread_error(1000, comparisons=3))
    assert found.degrees == 997  # 1,000 samples, three parameters


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        pytest.param(0.01, 0.10, "measured between 1.0% and 10.0% of load only, a curve beyond is a guess", id="idle"),
        pytest.param(0.80, 1.00, "the load varies by 20.0% of full load only", id="busy"),
    ],
)
@pytest.mark.parametrize("model", ["auto", "exponential", "linear"])
def test_a_narrow_range_of_load_is_refused(low: float, high: float, words: str, model: str) -> None:
    found = fit(samples(low=low, high=high, noise=0.1), model)
    assert found.verdict == "refused"
    assert words in found.reasons[0]
    assert "load test" in found.reasons[0]
    assert found.curve is not None  # to be looked at all the same


def test_half_the_range_is_usable_and_says_why() -> None:
    verdict, reasons = verdict_and_reasons(fit(samples(high=0.45, noise=0.5)))
    assert verdict == "usable"
    assert "measured between 0.0% and 45.0% of load only" in reasons


def test_power_that_has_nothing_to_do_with_cpu_is_refused() -> None:
    random = np.random.default_rng(SEED)
    found = fit(Samples(random.random(500), 150.0 + 5.0 * random.standard_normal(500)))
    assert found.verdict == "refused"
    assert "no clear positive correlation between CPU and power" in found.reasons[0]


def test_power_that_falls_with_load_is_refused() -> None:
    verdict, reasons = verdict_and_reasons(fit(with_watts(np.linspace(200.0, 100.0, 60))))
    assert verdict == "refused"
    assert "r = -1.00" in reasons


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(samples().of(np.arange(60) < 2), "2 usable samples of 2, at least 3 are needed", id="two"),
        pytest.param(Samples(np.empty(0), np.empty(0)), "0 usable samples of 0", id="none"),
        pytest.param(with_watts(np.full(60, np.nan)), "0 usable samples of 60", id="no-numbers"),
        pytest.param(Samples(np.linspace(0, 100, 60), np.full(60, 99.0)), "1 usable samples of 60", id="percent"),
        pytest.param(with_watts(np.full(60, 150.0)), "power is 150 W in all samples", id="constant-power"),
        pytest.param(with_watts(np.zeros(60)), "power is 0 W in all samples", id="absent-meter"),
        pytest.param(Samples(np.full(60, 0.3), np.arange(60.0)), "CPU is 30.0% in all samples", id="constant-cpu"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_what_cannot_be_fitted_is_refused_with_the_reason(given: Samples, words: str, model: str) -> None:
    found = fit(given, model)
    assert (found.curve, found.verdict) == (None, "refused")
    assert words in found.reasons[0]
    assert np.isnan(found.interval(np.array([0.5]))).all()
    assert np.isnan(found.rise_interval(0.5, 0.05)).all()


def test_idle_power_is_never_made_up() -> None:
    found = fit(samples(low=0.2), "idle-exponential")
    assert (found.curve, found.verdict) == (None, "refused")
    assert "needs samples at or near idle (at most 5% load); the lowest is 20%" in found.reasons[0]


def test_a_glitch_of_the_meter_hardly_bends_the_curve_and_is_said() -> None:
    clean, glitch = samples(), samples()
    glitch.watts[20] = 90_000.0
    found, expected = fit(glitch, "exponential"), fit(clean, "exponential")
    assert found.curve is not None
    assert expected.curve is not None
    # of 60 samples and three parameters one counts for a twentieth. It pulls by 2 scales of the noise of 2 W at most;
    # without it they would be one fewer, which lay within 4 deviations but in 1 of 16,000 draws
    assert found.curve.watts(0.3) == pytest.approx(expected.curve.watts(0.3), abs=2 * (2 + 4) * 2.0 / 20)
    assert found.quality.rmse_watts == pytest.approx(expected.quality.rmse_watts, rel=4.0**2 / 60 / 2)
    assert found.verdict == "usable"
    assert "1.7% of the samples lie far off the curve" in found.reasons[0]


def test_samples_without_numbers_are_left_out_and_counted() -> None:
    given = samples()
    given.watts[::3] = np.nan
    found = fit(given)
    assert found.quality.samples == 40
    assert "20 of 60 samples are no measurements" in found.reasons[0]


def test_a_bend_that_is_not_settled_is_said() -> None:
    noise = np.resize([1.0, -1.0], 60)  # W, alike at all loads: it bends nothing
    straight = with_watts(100.0 + 80.0 * np.linspace(0, 1, 60) + noise)
    found = fit(straight, "exponential")
    assert found.verdict == "usable"
    assert "whether the curve bends up or down is not settled" in found.reasons[0]
    assert fit(straight).verdict == "good"  # auto takes the straight line


def test_an_unknown_model_is_a_wrong_argument() -> None:
    with pytest.raises(ModelFitError, match="got 'exponental'; did you mean exponential"):
        fit(samples(), "exponental")


def test_series_that_were_not_joined_are_a_wrong_argument() -> None:
    with pytest.raises(ModelFitError, match="join the series first"):
        Samples(np.ones(3), np.ones(4))
    with pytest.raises(ModelFitError, match="sort the samples"):
        Samples(np.ones(3), np.ones(3), np.array([0.0, 2.0, 1.0]))


def test_progress_counts_up_to_its_end() -> None:
    seen: list[tuple[int, int]] = []
    fit(samples(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_the_levels_of_a_table_are_found_as_they_are() -> None:
    table = np.repeat([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], 4)
    assert load_levels(table).tolist() == np.repeat(np.arange(7), 4).tolist()
    assert int(load_levels(np.arange(21) * 0.05).max()) + 1 == 21
    assert int(load_levels(np.random.default_rng(SEED).random(5000)).max()) + 1 in (20, 21)


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_goes_through_the_model_file_unharmed(model: str, tmp_path: Path) -> None:
    found = fit(samples(), model)
    assert found.curve is not None
    models = PowerModels().with_named([PowerModel("worker-1", found.curve, None, found.quality)])
    path = tmp_path / "models.yaml"
    path.write_text(render_models(models), encoding="utf-8")
    read = parse_models(path.read_text(encoding="utf-8"), "models.yaml").by_name["worker-1"]
    assert (read.curve, read.quality) == (found.curve, found.quality)


# --- was it measured? -------------------------------------------------------------------------------------------------


def test_watts_that_nobody_measured_are_usable_at_best_however_good_the_curve() -> None:
    found = fit(samples(), doubt="Kepler has worked them out")
    assert (found.verdict, found.confidence, found.quality.confidence) == ("usable", "low", "low")
    assert found.reasons[0].startswith("no measurement: Kepler has worked them out: take a meter")
    assert (fit(samples()).verdict, fit(samples()).confidence, fit(samples()).quality.confidence) == (
        "good",
        "high",
        None,
    )


def test_a_doubt_saves_nothing_that_is_refused() -> None:
    narrow = fit(samples(high=0.1), doubt="Kepler has worked them out")
    assert (narrow.verdict, narrow.confidence) == ("refused", "low")
    assert any("Kepler has worked them out" in reason for reason in narrow.reasons)
    nothing = fit(with_watts(np.full(60, 80.0)), doubt="Kepler has worked them out")
    assert nothing.verdict == "refused"
    assert any("Kepler has worked them out" in reason for reason in nothing.reasons)


@pytest.mark.parametrize("model", ["auto", "exponential"])
def test_samples_closer_to_a_curve_than_any_meter_reads_are_suspicious(model: str) -> None:
    exact = fit(samples(count=200, noise=0.0), model)
    assert (exact.verdict, exact.confidence) == ("usable", "low")
    assert "too good to be measured: 200 samples" in exact.reasons[0]
    # 0.05 W of 158 W on average
    assert fit(samples(count=200, noise=0.05), model).confidence == "low"


def test_what_is_read_in_whole_watts_is_not_too_good() -> None:
    """A BMC's watts, and nothing else that moves them: 0.29 W (1/sqrt(12)) of 158 W are 0.18 %."""
    exact = samples(count=200, noise=0.0)
    whole = fit(Samples(exact.cpu, np.rint(exact.watts)))
    assert (whole.verdict, whole.confidence) == ("good", "high")


def test_a_table_of_levels_may_be_exact() -> None:
    """Eleven levels, each the mean of minutes, as SPECpower publishes them."""
    assert fit(samples(count=11, noise=0.0), "exponential").confidence == "high"
