"""Power models learned while running: which model wins, what comes into force, and that trouble changes nothing.

Sensors are of the board (psys, scope platform) where a test does not say otherwise, and so are the file's models. The
true curve is ``measured_nodes.true_watts``; errors are root mean squares over the fifth of the day that was held back,
with 1 W of noise on each five minutes. How near figures must come follows from how many of these are averaged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.daemon.keepers.refit import RefitKeeper
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.fitting.contest import Contest, contest
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.curves import Curve, Exponential, Linear
from peaks_scheduler.power.models import EMPTY, PowerModel, PowerModels, Quality
from peaks_scheduler.power.scope import Scope
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import RefitSettings
from peaks_scheduler.settings.table import redacted
from tests.support.attainable import deviations, spread_error
from tests.support.builders import ledger, node
from tests.support.daemon_stage import until
from tests.support.measured_nodes import (
    DAY,
    EACH,
    LEVELS,
    NOW,
    kepler,
    loads,
    node_exporter,
    readings,
    scraped,
    true_watts,
)
from tests.support.played_prometheus import PlayedPrometheus, Raw

TRUE = Exponential(184.21, -84.21, -3.0)
OFF_BY_20 = Exponential(204.21, -84.21, -3.0)
LINE = Linear(100.0, 180.0)
WHOLE_RANGE = Quality(cpu_min=0.0, cpu_max=1.0)

HELD_OUT = int(0.2 * DAY / EACH)  # 57 times five minutes
OF_MEAN = deviations(comparisons=8) / HELD_OUT**0.5  # [W] of the mean noise over them
# [W] of a learned curve: each level of load is measured by its own share of the rest, and no fit is worse than its mean
OF_CURVE = deviations(comparisons=8) / (0.8 * DAY / EACH / len(LEVELS)) ** 0.5


def put_to_the_test(
    champion: Curve | PowerModel | None,
    *,
    u: Sequence[float] | None = None,
    true: Callable[[float], float] = true_watts,
    noise: float = 1.0,
) -> Contest:
    cpu, power = readings(true, None if u is None else np.asarray(u), noise)
    model = champion if isinstance(champion, PowerModel | None) else PowerModel("worker-1", champion, None, WHOLE_RANGE)
    return contest("worker-1", cpu, power, model, 0.2, 0.05, "2026-11-23T10:00:00Z")


# --- who wins ---------------------------------------------------------------------------------------------------------


class TestContest:
    def test_a_model_that_has_gone_wrong_is_replaced_by_one_that_is_right(self) -> None:
        came = put_to_the_test(OFF_BY_20)
        assert came.outcome == "replaced"
        # the noise of 1 W adds 1 / 40 W to it
        assert came.before == pytest.approx(20.0 + 1 / 40, abs=OF_MEAN)
        assert came.after is not None
        assert came.after < (1.0 + spread_error(HELD_OUT)) + OF_CURVE
        assert came.model is not None
        assert [came.model.curve.watts(u) for u in (0.0, 0.5, 1.0)] == pytest.approx(
            [true_watts(u) for u in (0.0, 0.5, 1.0)], abs=OF_CURVE
        )

    def test_a_model_that_is_right_stays(self) -> None:
        came = put_to_the_test(TRUE)
        assert (came.outcome, came.model) == ("kept", None)
        assert "so less than" in came.reasons[0]

    def test_a_node_without_a_model_gets_the_one_that_was_learned(self) -> None:
        came = put_to_the_test(None)
        assert (came.outcome, came.before) == ("learned", None)
        assert came.model is not None
        assert came.model.quality is not None
        assert (came.model.name, came.model.quality.fitted) == ("worker-1", "2026-11-23T10:00:00Z")
        assert came.model.quality.covariance is not None

    def test_nothing_is_learned_from_what_both_are_judged_on(self) -> None:
        """The machine changed when the held-back part began: whoever had learned from it would know."""
        u = loads()
        changed = int(0.8 * u.size)
        cpu, _ = readings(u=u)
        watts = [true_watts(x) + (0.0 if i < changed else 20.0) for i, x in enumerate(u)]
        power = readings(lambda i: watts[int(i)], np.arange(float(u.size)), 0.0)[1]
        came = contest("worker-1", cpu, power, PowerModel("worker-1", OFF_BY_20), 0.2, 0.05, "")
        assert (came.outcome, came.before) == ("kept", pytest.approx(0.0, abs=0.2))
        assert came.after == pytest.approx(20.0, abs=0.5)

    def test_a_model_that_has_seen_more_load_is_kept_until_it_is_twice_as_wrong(self) -> None:
        half_day = loads(np.linspace(0.05, 0.6, 8))
        a_little = Exponential(185.7, -84.21, -3.0)  # 1.5 W above the truth
        assert put_to_the_test(measured_model(a_little, None), u=half_day).outcome == "kept"
        assert (
            put_to_the_test(measured_model(a_little, Quality(cpu_min=0.0, cpu_max=1.0)), u=half_day).outcome == "kept"
        )
        same = Quality(cpu_min=0.05, cpu_max=0.6)
        assert put_to_the_test(measured_model(a_little, same), u=half_day).outcome == "replaced"
        assert put_to_the_test(OFF_BY_20, u=half_day).outcome == "replaced"

    def test_a_first_guess_gives_way_to_anything_that_was_measured(self) -> None:
        assert put_to_the_test(measured_model(TRUE, Quality(confidence="low"))).outcome == "replaced"

    def test_an_idle_day_teaches_nothing(self) -> None:
        came = put_to_the_test(OFF_BY_20, u=loads((0.01, 0.02, 0.03)))
        assert (came.outcome, came.model) == ("refused", None)
        assert any("of load only" in reason for reason in came.reasons)

    def test_too_little_to_judge_by_is_said(self) -> None:
        came = put_to_the_test(OFF_BY_20, u=loads()[:12])
        assert came.outcome == "refused"
        assert "samples to judge a model by, at least 20 are needed" in came.reasons[0]

    def test_what_the_node_draws_when_switched_off_is_kept_and_never_above_idle(self) -> None:
        for standby, kept in ((5.0, 5.0), (150.0, pytest.approx(100.0, abs=OF_CURVE))):
            came = put_to_the_test(PowerModel("worker-1", OFF_BY_20, standby, WHOLE_RANGE))
            assert came.model is not None
            assert came.model.standby_watts == kept


def measured_model(curve: Curve, quality: Quality | None) -> PowerModel:
    return PowerModel("worker-1", curve, None, quality)


# --- rounds -----------------------------------------------------------------------------------------------------------

WORKERS = ("worker-1", "worker-2", "worker-3")


class Keeping:
    """A RefitKeeper over a played Prometheus and a ledger of three nodes, at a time that the test sets."""

    def __init__(self, series: Sequence[Raw] | None = None, models: PowerModels | None = None, **flaws: Any) -> None:
        self.api = PlayedPrometheus(scraped(*WORKERS, noise=1.0) if series is None else series, **flaws)
        self.ledger = ledger(*map(node, WORKERS))
        self.ledger.apply_models(named(worker_1=LINE, worker_2=TRUE) if models is None else models)
        self.telemetry, self.changes = Telemetry("Peaks"), 0
        self.known = asyncio.Event()
        self.keeper = RefitKeeper(
            self.api,  # type: ignore[arg-type]
            RefitSettings(enabled=True),
            self.ledger,
            self.telemetry,
            self.known,
            self._changed,
            lambda: NOW,
        )

    def _changed(self) -> None:
        self.changes += 1

    def curve(self, name: str) -> Curve | None:
        model = self.ledger.models.for_node(name, {})
        return model.curve if model else None

    def count(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(name, labels) or 0.0

    @property
    def health(self) -> str:
        health = self.keeper.health()
        return f"{health.level}: {health.text}" if health.text else health.level


def named(**curves: Curve) -> PowerModels:
    names = {name.replace("_", "-"): curve for name, curve in curves.items()}
    return PowerModels({name: PowerModel(name, curve, None, WHOLE_RANGE, "platform") for name, curve in names.items()})


@pytest.fixture(autouse=True)
def listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peaks_scheduler")


class TestRounds:
    async def test_a_round_replaces_what_is_wrong_keeps_what_is_right_and_learns_what_is_missing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping()
        await keeping.keeper.once()
        learned = keeping.curve("worker-1")
        assert learned is not None
        assert learned.watts(0.3) == pytest.approx(true_watts(0.3), abs=1.0)
        assert keeping.curve("worker-2") is TRUE
        assert keeping.curve("worker-3") is not None
        # a slow machine applies what it has learned in more than one go
        assert (keeping.changes >= 1, keeping.keeper.in_force, keeping.health) == (True, 2, "ok")
        (record,) = [each for each in caplog.records if each.message == "power model replaced"]
        assert record.__dict__["node"] == "worker-1"
        assert record.__dict__["rmse_before_watts"] > 10.0 > 2.0 > record.__dict__["rmse_after_watts"]
        outcomes = {name: keeping.count("peaks_refits_total", outcome=name) for name in ("learned", "replaced", "kept")}
        assert outcomes == {"learned": 1.0, "replaced": 1.0, "kept": 1.0}

    async def test_decisions_use_what_was_learned(self) -> None:
        keeping = Keeping(models=named(worker_1=Linear(100.0, 100.5), worker_2=TRUE, worker_3=TRUE))
        before = keeping.ledger.snapshot().curves.rise(np.zeros(3), np.full(3, 0.1))[0]
        await keeping.keeper.once()
        after = keeping.ledger.snapshot().curves.rise(np.zeros(3), np.full(3, 0.1))[0]
        assert before == pytest.approx(0.05)
        assert after == pytest.approx(true_watts(0.1) - true_watts(0.0), rel=0.1)

    async def test_a_model_file_that_changes_counts_until_the_next_round(self) -> None:
        keeping = Keeping()
        await keeping.keeper.once()
        keeping.ledger.apply_models(named(worker_1=OFF_BY_20))  # as the file's keeper does
        assert keeping.curve("worker-1") is OFF_BY_20
        assert keeping.keeper.in_force == 0
        await keeping.keeper.once()
        assert keeping.curve("worker-1") not in (OFF_BY_20, None)

    async def test_a_prediction_counts_before_what_is_learned_and_neither_hinders_the_other(self) -> None:
        keeping = Keeping()
        keeping.ledger.power.predict([PowerModel("worker-1", Linear(1.0, 2.0))], NOW, NOW + 60.0)
        await keeping.keeper.once()
        assert (keeping.curve("worker-1"), keeping.keeper.in_force) == (Linear(1.0, 2.0), 1)
        keeping.ledger.refresh(NOW + 60.0)
        learned = keeping.curve("worker-1")
        assert learned is not None
        assert learned.watts(0.3) == pytest.approx(true_watts(0.3), abs=1.0)
        assert keeping.keeper.in_force == 2

    async def test_a_model_file_that_changes_while_models_are_learned_wins(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(scraped("worker-1", noise=1.0))
        learn = keeping.keeper._challenge

        def meanwhile(*given: Any) -> Contest:
            keeping.ledger.apply_models(named(worker_1=OFF_BY_20))
            return learn(*given)

        monkeypatch.setattr(keeping.keeper, "_challenge", meanwhile)
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is OFF_BY_20
        assert keeping.changes == 0

    async def test_a_learned_model_is_not_replaced_by_one_of_less_of_the_machine(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(scraped("worker-1", noise=1.0))
        await keeping.keeper.once()
        learned = keeping.curve("worker-1")
        half = [
            replace(each, labels={**each.labels, "zone": "package"}, values=0.5 * each.values)
            if each.name.startswith("kepler")
            else each
            for each in keeping.api.series
        ]
        keeping.api.series = half
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is learned
        assert "power is measured otherwise now, the model stays" in caplog.messages


class TestAir:
    """The file's model knows the temperature: 2 W a kelvin above 22 celsius at any load."""

    @staticmethod
    def keeping(below: float, inlet: float | None) -> Keeping:
        """Its curve is so many watts below the truth."""
        curve, air = Exponential(184.21 - below, -84.21, -3.0), TemperatureTerm("inlet", 22.0, 2.0, 2.0, hottest=35.0)
        model = PowerModel("worker-1", curve, None, WHOLE_RANGE, "platform", temperature=air)
        keeping = Keeping(scraped("worker-1", noise=1.0), PowerModels({"worker-1": model}))
        keeping.ledger.set_signal("overhead", {"worker-1": 1.5}, unit="ratio", time=NOW)
        if inlet is not None:
            keeping.ledger.set_signal("inlet", {"worker-1": inlet}, unit="celsius", time=NOW)
        return keeping

    @pytest.mark.parametrize("inlet", [22.0, 27.0, 33.0, None])
    async def test_it_stays_however_well_a_model_without_the_air_fits_the_day(
        self, inlet: float | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = self.keeping(10.0, inlet)
        before = keeping.curve("worker-1")
        await keeping.keeper.once()
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is before
        assert caplog.messages.count("power model not judged, it stays") == 1


def of_kepler_0_7(worker: str, part: str, source: str, curve: Callable[[float], float], noise: float = 1.0) -> Raw:
    """Old Kepler's counter, dynamic and idle in one."""
    told = kepler(worker, loads(), curve, noise=noise)
    labels = {"instance": worker, "mode": "dynamic", "source": source}
    return Raw(f"kepler_node_{part}_joules_total", labels, told.times, told.values)


def with_cpu(*power: Raw) -> list[Raw]:
    """These, and node_exporter's counters of their nodes."""
    names = sorted({one.labels["instance"] for one in power})
    return [*(each for name in names for each in node_exporter(name, loads())), *power]


def of_scope(scope: Scope | None, **curves: Curve) -> PowerModels:
    """As a file has them that says so, or does not."""
    models = named(**curves).by_name
    return PowerModels({name: replace(model, scope=scope) for name, model in models.items()})


def part_of_it(u: float) -> float:
    """The processors of a machine that draws 200 to 350 W: 40 to 130 W."""
    return 40.0 + 90.0 * u


def whole(u: float) -> float:
    return 200.0 + 150.0 * u


ESTIMATED = of_kepler_0_7("worker-1", "platform", "trained_power_model", lambda u: 30.0 + 25.0 * u, noise=0.0)
PACKAGE = of_kepler_0_7("worker-1", "package", "rapl-sysfs", part_of_it)
WHOLE = Linear(200.0, 350.0)


class TestScopes:
    """A model is only replaced by one of the same or of more of the machine."""

    @pytest.mark.parametrize("series", [ESTIMATED, PACKAGE], ids=["estimate", "package"])
    @pytest.mark.parametrize("scope", ["wall", "platform", None])
    async def test_a_model_of_the_whole_machine_outlives_a_part_and_an_estimate(
        self, series: Raw, scope: Scope | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(with_cpu(series), of_scope(scope, worker_1=WHOLE))
        await keeping.keeper.once()
        await keeping.keeper.once()
        assert (keeping.curve("worker-1"), keeping.changes) == (WHOLE, 0)
        said = "power is measured of less of the machine than the model is of, the model stays"
        assert caplog.messages.count(said) == 1
        assert keeping.count("peaks_refits_total", outcome="kept") == 2.0

    async def test_a_model_of_a_part_gives_way_to_the_whole_machine(self) -> None:
        keeping = Keeping(with_cpu(PACKAGE), of_scope("estimate", worker_1=Linear(30.0, 55.0)))
        await keeping.keeper.once()
        model = keeping.ledger.models.by_name["worker-1"]
        assert (model.scope, model.origin) == ("package", "learned")
        assert model.curve.watts(0.5) == pytest.approx(part_of_it(0.5), abs=1.0)
        meter = of_kepler_0_7("worker-1", "platform", "redfish", whole)
        keeping.api.series = with_cpu(PACKAGE, meter)
        await keeping.keeper.once()
        model = keeping.ledger.models.by_name["worker-1"]
        assert model.scope == "wall"
        assert model.curve.watts(0.5) == pytest.approx(whole(0.5), abs=1.0)

    async def test_a_node_without_a_model_gets_no_estimate_while_others_are_measured(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for models, others in ((named(worker_2=TRUE), []), (EMPTY, scraped("worker-2", noise=1.0))):
            keeping = Keeping([*with_cpu(ESTIMATED), *others], models)
            await keeping.keeper.once()
            assert keeping.curve("worker-1") is None
            assert keeping.count("peaks_refits_total", outcome="refused") == 1.0
        assert "no power model learned" in caplog.messages

    async def test_where_all_are_estimates_they_are_compared_with_one_another(self) -> None:
        """Noise as of a model that is no function of the CPU alone."""
        series = [of_kepler_0_7(name, "package", "trained_power_model", part_of_it) for name in WORKERS]
        keeping = Keeping(with_cpu(*series), EMPTY)
        await keeping.keeper.once()
        models = keeping.ledger.models.by_name
        found = {name: (model.scope, model.measured) for name, model in models.items()}
        assert found == dict.fromkeys(WORKERS, ("estimate", False))

    async def test_watts_too_good_to_be_measured_replace_no_model_that_was(self) -> None:
        keeping = Keeping(scraped("worker-1", noise=0.0), named(worker_1=OFF_BY_20))
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is OFF_BY_20

    async def test_an_honest_meter_of_the_same_scope_still_replaces_what_has_gone_wrong(self) -> None:
        meter = of_kepler_0_7("worker-1", "platform", "redfish", whole)
        for scope in ("wall", None):
            keeping = Keeping(with_cpu(meter, PACKAGE, ESTIMATED), of_scope(scope, worker_1=Linear(100.0, 180.0)))
            await keeping.keeper.once()
            assert keeping.ledger.models.by_name["worker-1"].curve.watts(0.5) == pytest.approx(whole(0.5), abs=1.0)


class TestTrouble:
    async def test_while_prometheus_is_away_models_stay_and_it_is_said_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeping = Keeping(failing="")
        await keeping.keeper.once()
        await keeping.keeper.once()
        assert (keeping.curve("worker-1"), keeping.changes) == (LINE, 0)
        assert keeping.health.startswith("degraded: http-500: ")
        assert keeping.health.endswith("; the power models stay as they are")
        assert keeping.count("peaks_source_errors_total", source="refit") == 2.0
        assert caplog.messages.count("power models not learned, they stay") == 1
        keeping.api.failing = None
        await keeping.keeper.once()
        assert keeping.health == "ok"
        assert keeping.curve("worker-1") is not LINE

    async def test_a_round_is_given_up_where_a_better_series_may_be_missing(self) -> None:
        keeping = Keeping(failing="kepler_platform_watts")
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is LINE
        assert "not all series are known" in keeping.health

    async def test_a_node_that_cannot_be_read_does_not_keep_the_others_from_learning(self) -> None:
        keeping = Keeping(failing='node_name="worker-3"')
        await keeping.keeper.once()
        assert keeping.curve("worker-1") is not LINE
        assert keeping.curve("worker-3") is None
        assert keeping.count("peaks_refits_total", outcome="unread") == 1.0

    async def test_a_cluster_without_sensors_is_told(self) -> None:
        keeping = Keeping([])
        await keeping.keeper.once()
        assert "no node has series of both its CPU and its power" in keeping.health

    async def test_what_nobody_thought_of_does_not_end_the_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keeping = Keeping()

        def broken(*_: Any) -> Contest:
            raise ZeroDivisionError("never thought of")

        monkeypatch.setattr(keeping.keeper, "_challenge", broken)
        await keeping.keeper.once()
        assert keeping.health.startswith("degraded: ZeroDivisionError: never thought of")


async def test_no_round_begins_before_the_nodes_are_known() -> None:
    keeping = Keeping()
    task = asyncio.create_task(keeping.keeper.run())
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert keeping.api.asked == []
        keeping.known.set()
        await until(lambda: keeping.keeper.in_force == 2, 30.0)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- settings ---------------------------------------------------------------------------------------------------------

PROMETHEUS = "prometheus: {address: 'http://p:9090'}\n"


class TestSettings:
    def test_it_is_off_unless_asked_for(self) -> None:
        assert load_settings(None, "", {}, {})[0].refit.enabled is False
        assert load_settings(PROMETHEUS, "", {"PEAKS_REFIT": "yes"}, {})[0].refit.enabled
        assert not load_settings(PROMETHEUS, "", {"PEAKS_REFIT": "yes"}, {"refit": False})[0].refit.enabled

    def test_a_share_is_given_in_percent_or_as_a_fraction(self) -> None:
        for text in ("25%", "0.25"):
            file = f"{PROMETHEUS}refit: {{enabled: true, holdOut: {text}}}"
            settings, _ = load_settings(file, "", {}, {})
            assert settings.refit.hold_out == 0.25
            assert redacted(settings)["refit"]["holdOut"] == "25%"

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("refit: {enabled: true}", "expected the URL of a Prometheus as prometheus.address"),
            (PROMETHEUS + "refit: {enabled: true, holdOut: 20}", "a part of the whole, such as 20% or 0.2; got 20"),
            (PROMETHEUS + "refit: {enabled: true, range: 1h}", "make the range longer or the step shorter"),
        ],
        ids=["nobody-to-ask", "percent-without-its-sign", "too-little-to-judge-by"],
    )
    def test_what_cannot_work_is_refused_in_words(self, file: str, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            load_settings(file, "f.yaml", {}, {})

    def test_keys_that_play_no_part_are_said(self) -> None:
        _, warnings = load_settings("refit: {range: 48h}\ndrift: {interval: 1m}", "f.yaml", {}, {})
        assert warnings == (
            "f.yaml: refit.range is not used: refit.enabled is false",
            "f.yaml: drift.interval is not used: there is no prometheus.address",
        )
