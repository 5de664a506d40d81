"""Measured watts compared with the models: what is reported, of which nodes, and for how long.

Sensors follow ``measured_nodes.true_watts``; a model that is 10 % below it at every load is 11 % off by what is
predicted, 10 % by what is measured, and the latter is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from peaks_scheduler.daemon.keepers.drift import Drift, DriftKeeper
from peaks_scheduler.daemon.keepers.measured_power import MeasuredPower
from peaks_scheduler.observability.sample import Sample
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.power.scope import Scope
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import DriftSettings
from peaks_scheduler.sources.power_history.plan import Queries
from tests.support.builders import ledger, node
from tests.support.measured_nodes import EACH, NOW, loads, scraped, true_watts
from tests.support.played_prometheus import PlayedPrometheus, Raw

WORKERS = ("worker-1", "worker-2", "worker-3")
STEADY = np.full(12, 0.4)  # an hour at 40 % load


def scaled(factor: float) -> Exponential:
    return Exponential(184.21 * factor, -84.21 * factor, -3.0)


class Keeping:
    """A DriftKeeper over a played Prometheus, at a time that the test sets."""

    def __init__(self, series: Sequence[Raw] | None = None, factors: Sequence[float] = (1.0, 0.9, 0.7), **flaws: Any):
        self.api = PlayedPrometheus(scraped(*WORKERS, u=STEADY) if series is None else series, **flaws)
        self.now, self.telemetry = NOW, Telemetry("Peaks")
        self.ledger = ledger(*map(node, WORKERS))
        models = {name: PowerModel(name, scaled(f)) for name, f in zip(WORKERS, factors, strict=False)}
        self.ledger.apply_models(PowerModels(models))
        self.keeper = DriftKeeper(
            self.api,  # type: ignore[arg-type]
            DriftSettings(),
            Queries(),
            self.ledger,
            self.telemetry,
            asyncio.Event(),
            lambda: self.now,
        )

    @property
    def health(self) -> str:
        health = self.keeper.health()
        return f"{health.level}: {health.text}" if health.text else health.level


class TestDrift:
    async def test_it_is_the_difference_as_a_share_of_what_was_measured(self) -> None:
        keeping = Keeping()
        await keeping.keeper.once()
        nodes = keeping.keeper.nodes
        assert {name: each.measured for name, each in nodes.items()} == pytest.approx(
            dict.fromkeys(WORKERS, true_watts(0.4))
        )
        assert nodes["worker-2"].predicted == pytest.approx(0.9 * true_watts(0.4))
        assert keeping.keeper.summary() == {"median": pytest.approx(0.1), "worst": pytest.approx(0.3)}
        assert keeping.health == "ok"

    async def test_a_load_that_goes_up_and_down_is_no_drift(self) -> None:
        keeping = Keeping(scraped(*WORKERS, u=loads(span=3600.0)), factors=(1.0, 1.0, 1.0))
        await keeping.keeper.once()
        assert keeping.keeper.summary()["worst"] < 0.02

    async def test_nodes_without_a_model_or_without_sensors_are_passed_over(self) -> None:
        keeping = Keeping(scraped("worker-1", "worker-2", u=STEADY), factors=(1.0,))
        await keeping.keeper.once()
        assert set(keeping.keeper.nodes) == {"worker-1"}

    async def test_only_the_last_minutes_count(self) -> None:
        """The machine has drawn 20 % more for the last quarter of an hour."""
        u = STEADY
        sensors = scraped("worker-1", u=u)
        later = sensors[-1].times > NOW - 3 * EACH
        more = sensors[-1].values + 0.2 * true_watts(0.4) * np.where(later, sensors[-1].times - (NOW - 3 * EACH), 0.0)
        keeping = Keeping([*sensors[:-1], replace(sensors[-1], values=more)])
        await keeping.keeper.once()
        assert keeping.keeper.nodes["worker-1"].measured == pytest.approx(1.2 * true_watts(0.4), rel=1e-3)

    async def test_a_counter_that_begins_again_is_no_drift(self) -> None:
        sensors = scraped("worker-1", u=STEADY)
        values = sensors[-1].values.copy()
        values[-4:] -= values[-4]
        keeping = Keeping([*sensors[:-1], replace(sensors[-1], values=values)])
        await keeping.keeper.once()
        assert keeping.keeper.nodes["worker-1"].measured == pytest.approx(true_watts(0.4))

    async def test_a_sensor_that_is_read_too_seldom_tells_nothing(self) -> None:
        """Read every ten minutes its energy stands still and then jumps: no mean of a few minutes is in it."""
        sensors = scraped("worker-1", u=STEADY)
        seldom = np.floor_divide(np.arange(sensors[-1].values.size), 7) * 7
        keeping = Keeping([*sensors[:-1], replace(sensors[-1], values=sensors[-1].values[seldom])])
        await keeping.keeper.once()
        assert keeping.keeper.nodes == {}

    async def test_all_nodes_are_asked_for_together(self) -> None:
        few, many = Keeping(scraped("worker-1", u=STEADY)), Keeping()
        await few.keeper.once()
        await many.keeper.once()
        assert len(many.api.asked) == len(few.api.asked)


class TestScopes:
    """Only watts of the same parts of a machine are held against one another."""

    @staticmethod
    def keeping(scope: Scope | None, zone: str) -> Keeping:
        told = [
            replace(each, labels={**each.labels, "zone": zone}) if each.name.startswith("kepler") else each
            for each in scraped("worker-1", u=STEADY)
        ]
        keeping = Keeping(told)
        keeping.ledger.apply_models(PowerModels({"worker-1": PowerModel("worker-1", scaled(0.9), scope=scope)}))
        return keeping

    @pytest.mark.parametrize(("scope", "zone"), [("platform", "psys"), ("package", "package"), (None, "psys")])
    async def test_like_is_compared_with_like(self, scope: Scope | None, zone: str) -> None:
        keeping = self.keeping(scope, zone)
        await keeping.keeper.once()
        assert keeping.keeper.summary()["worst"] == pytest.approx(0.1)
        assert keeping.health == "ok"

    @pytest.mark.parametrize(
        ("scope", "zone", "words"),
        [
            ("wall", "package", "worker-1 (model of wall, package measured)"),
            ("wall", "psys", "worker-1 (model of wall, platform measured)"),
            ("package", "psys", "worker-1 (model of package, platform measured)"),
            (None, "package", "worker-1 (model of wall, as far as is known, package measured)"),
        ],
    )
    async def test_a_part_of_the_machine_is_no_drift_of_the_whole(
        self, scope: Scope | None, zone: str, words: str
    ) -> None:
        keeping = self.keeping(scope, zone)
        await keeping.keeper.once()
        assert keeping.keeper.nodes == {}
        assert (
            keeping.health == f"degraded: not comparable, models and meters are of other parts of the machine: {words}"
        )


def below(watts: float) -> Exponential:
    """So many watts below the truth at any load."""
    return Exponential(184.21 - watts, -84.21, -3.0)


AIR = TemperatureTerm("inlet", 22.0, 2.0, 2.0, coolest=20.0, hottest=27.0)  # 2 W/K at any load


class TestAir:
    """Sensors follow ``true_watts``, whatever the temperature is said to be."""

    @staticmethod
    def keeping(model: PowerModel, inlet: float | None) -> Keeping:
        keeping = Keeping(scraped("worker-1", u=STEADY))
        keeping.ledger.apply_models(PowerModels({"worker-1": replace(model, name="worker-1")}))
        if inlet is not None:
            keeping.ledger.set_signal("inlet", {"worker-1": inlet}, unit="celsius", time=NOW)
        keeping.ledger.set_signal("overhead", {"worker-1": 1.5}, unit="ratio", time=NOW)
        return keeping

    async def test_the_model_predicts_for_the_present_temperature_and_without_the_cooling(self) -> None:
        keeping = self.keeping(PowerModel("", below(10.0), temperature=AIR), 27.0)
        await keeping.keeper.once()
        drift = keeping.keeper.nodes["worker-1"]
        assert (drift.predicted, drift.warmth) == (pytest.approx(drift.measured), "")

    async def test_a_prediction_is_compared_as_it_was_made(self) -> None:
        keeping = self.keeping(PowerModel("", below(50.0)), 27.0)
        keeping.ledger.power.predict([PowerModel("worker-1", below(0.0), celsius=27.0)], NOW, NOW + 120.0)
        await keeping.keeper.once()
        assert keeping.keeper.summary()["worst"] == pytest.approx(0.0, abs=1e-6)

    async def test_where_the_temperature_is_not_known_nothing_is_compared_and_it_is_said(self) -> None:
        keeping = self.keeping(PowerModel("", below(10.0), temperature=AIR), None)
        await keeping.keeper.once()
        assert keeping.keeper.nodes == {}
        assert keeping.health == (
            "degraded: not compared, the model depends on a temperature that is not known: worker-1"
        )

    async def test_a_room_that_is_warmer_than_the_model_has_seen_is_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "peaks_scheduler")
        # at 31 celsius it predicts 18 W more than its curve, and 40 - 18 W are missing
        keeping = self.keeping(PowerModel("", below(40.0), temperature=AIR), 31.0)
        await keeping.keeper.once()
        await keeping.keeper.once()
        words = "worker-1 (+22 W at 31.0 celsius: 4.0 K above what its model was fitted on)"
        assert keeping.health == f"degraded: more power than predicted, the air may be why: {words}"
        assert caplog.messages.count("nodes draw more power than predicted, the air may be why") == 1

    async def test_a_model_that_does_not_know_the_temperature_is_named(self) -> None:
        keeping = self.keeping(PowerModel("", below(20.0)), 31.0)
        await keeping.keeper.once()
        (drift,) = keeping.keeper.nodes.values()
        assert drift.warmth == "+20 W at 31.0 celsius: its model does not know the temperature"

    @pytest.mark.parametrize(
        ("model", "inlet"),
        [
            pytest.param(PowerModel("", below(20.0)), None, id="no temperature is known"),
            pytest.param(PowerModel("", below(5.0)), 31.0, id="the drift is small"),
            pytest.param(PowerModel("", below(-20.0)), 31.0, id="less is drawn than predicted"),
            pytest.param(PowerModel("", below(40.0), temperature=AIR), 27.5, id="the model knows such air"),
        ],
    )
    async def test_no_air_is_blamed_where_nothing_says_so(self, model: PowerModel, inlet: float | None) -> None:
        keeping = self.keeping(model, inlet)
        await keeping.keeper.once()
        assert (set(keeping.keeper.nodes), keeping.health) == ({"worker-1"}, "ok")


class TestTrouble:
    async def test_what_was_compared_is_told_for_three_intervals_after_prometheus_went_away(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "peaks_scheduler")
        keeping = Keeping()
        await keeping.keeper.once()
        keeping.api.failing = ""
        keeping.now += 900.0
        await keeping.keeper.once()
        assert keeping.health.startswith("degraded: http-500: ")
        assert set(keeping.keeper.summary()) == {"median", "worst"}
        keeping.now += 1.0
        assert (keeping.keeper.summary(), keeping.keeper.nodes) == ({}, {})
        assert keeping.telemetry.registry.get_sample_value("peaks_source_errors_total", {"source": "drift"}) == 1.0
        assert caplog.messages == ["measured power compared with the models", "measured power not known"]

    async def test_a_lesser_series_does_not_pass_for_drift_while_the_better_one_cannot_be_asked_for(self) -> None:
        keeping = Keeping(failing="kepler_platform_watts")
        await keeping.keeper.once()
        assert keeping.keeper.nodes == {}
        assert "not all series are known" in keeping.health


# --- what is exported -------------------------------------------------------------------------------------------------


async def exported(power: MeasuredPower, node_metrics: bool = False) -> list[str]:
    sample = Sample(gauges=[(gauge, tuple(gauge.rows())) for gauge in power.gauges()])
    text, _ = await Telemetry("Peaks", lambda: asyncio.sleep(0, sample), node_metrics).render()
    return [line for line in text.decode().splitlines() if "_power_" in line and not line.startswith("#")]


async def test_the_median_and_the_worst_are_exported_and_each_node_only_where_asked_for() -> None:
    power = measured_power("prometheus: {address: 'http://p:9090'}")
    nodes = {"worker-1": Drift(120.0, 108.0), "gone": Drift(100.0, 70.0), "also-gone": Drift(100.0, 90.0)}
    compared = SimpleNamespace(nodes=nodes, summary=lambda: {"median": 0.1, "worst": 0.3})
    power.drift = cast(DriftKeeper, compared)
    lines = await exported(power)
    assert 'peaks_power_model_drift_ratio{stat="median"} 0.1' in lines
    assert 'peaks_power_model_drift_ratio{stat="worst"} 0.3' in lines
    assert "peaks_power_compared_nodes 3.0" in lines
    assert not any("peaks_node_power_watts" in line for line in lines)
    assert [line for line in await exported(power, node_metrics=True) if "node_power" in line] == [
        'peaks_node_power_watts{kind="measured",node="worker-1"} 120.0',
        'peaks_node_power_watts{kind="predicted",node="worker-1"} 108.0',
    ]
    await power.aclose()


def measured_power(file: str | None) -> MeasuredPower:
    settings, _ = load_settings(file, "", {}, {})
    known = ledger(node("worker-1"), node("worker-2"))
    return MeasuredPower(settings, known, Telemetry("Peaks"), asyncio.Event(), lambda: None)


@pytest.mark.parametrize(
    ("file", "names"),
    [
        (None, []),
        ("prometheus: {address: 'http://p:9090'}", ["drift"]),
        ("{prometheus: {address: 'http://p:9090'}, drift: {enabled: false}}", []),
        ("{prometheus: {address: 'http://p:9090'}, refit: {enabled: true}}", ["refit", "drift"]),
    ],
    ids=["no-prometheus", "drift-is-on", "drift-is-off", "refit-is-on"],
)
async def test_what_goes_on_is_what_is_configured(file: str | None, names: list[str]) -> None:
    power = measured_power(file)
    tasks = power.tasks()
    for task in tasks.values():
        task.close()
    assert list(tasks) == [check.name for check in power.checks()] == names
    assert {gauge.name: list(gauge.rows()) for gauge in power.gauges()} == {
        "peaks_learned_power_models": [((), 0)],
        "peaks_power_model_drift_ratio": [],
        "peaks_power_compared_nodes": [((), 0)],
        "peaks_node_power_watts": [],
    }
    await power.aclose()
