"""What a keeper may rely on: one class and one line in the table, and it runs, is asked, is shown and is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from peaks_scheduler.daemon import wiring
from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.observability.gauge import Gauge, Rows, by_key
from peaks_scheduler.observability.serving import Check, Health
from tests.support.daemon_stage import until
from tests.unit.daemon.test_main import Run, api, collector, get, run  # noqa: F401 - fixtures

# gauges of the contract that keepers bring, and their labels
EXPORTED = {
    "peaks_assigned_predictors": {"said_by"},
    "peaks_clock_offset_seconds": {"peer"},
    "peaks_leader": set(),
    "peaks_load_age_seconds": set(),
    "peaks_load_problems": set(),
    "peaks_load_source_up": set(),
    "peaks_load_unmatched_keys": set(),
    "peaks_oldest_unseen_pod_seconds": set(),
    "peaks_pods_awaiting_volumes": set(),
    "peaks_power_compared_nodes": set(),
    "peaks_power_model_valid": set(),
    "peaks_learned_power_models": set(),
    "peaks_power_models": {"origin"},
    "peaks_predicted_nodes": set(),
    "peaks_prediction_repair_watts": set(),
    "peaks_prediction_round_seconds": set(),
    "peaks_prediction_rows": set(),
    "peaks_predictions_repaired": set(),
    "peaks_undecided_pods": set(),
    "peaks_unread_kinds": {"kind"},
}
WITHOUT_ROWS = (
    "peaks_common_unknown_pod_fields",
    "peaks_node_power_watts",
    "peaks_node_pressure_pascals",
    "peaks_node_temperature_celsius",
    "peaks_pod_usage_groups",
    "peaks_power_model_drift_ratio",
    "peaks_sensor_age_seconds",
    "peaks_sensor_marked_values",
    "peaks_sensor_nodes",
    "peaks_predictions_refused",
)
"""Exported by name alone, as long as nothing is known."""
WITH_A_SETTING = (
    "peaks_carbon_intensity_grams_per_kwh",
    "peaks_power_overhead_ratio",
    "peaks_rack_power_watts",
)
"""Exported where a setting asks for it: ``carbon.path``, ``power.overhead``."""


class Temperature(Keeper):
    """A source of facts that the daemon has never heard of."""

    def __init__(self) -> None:
        self.inlet, self.closed = 20.0, False

    def tasks(self) -> Tasks:
        return {"temperature": every(0.01, self.look)}

    def look(self) -> None:
        self.inlet += 1.0

    def checks(self) -> Sequence[Check]:
        return (Check("temperature", lambda: Health.degraded("inlet is warm")),)

    def gauges(self) -> Sequence[Gauge]:
        return (Gauge("peaks_inlet_celsius", "Inlet temperature.", lambda: by_key({"rack-1": self.inlet}), ("rack",)),)

    async def aclose(self) -> None:
        self.closed = True


class Broken(Keeper):
    """A keeper with a bug in everything that it is asked."""

    def checks(self) -> Sequence[Check]:
        return (Check("broken", self._fail),)

    def gauges(self) -> Sequence[Gauge]:
        return (Gauge("peaks_broken", "A bug.", self._fail),)

    def _fail(self) -> Rows:
        raise ZeroDivisionError("a bug")


def add(monkeypatch: pytest.MonkeyPatch, *keepers: Keeper) -> None:
    makers = tuple(lambda _, keeper=keeper: keeper for keeper in keepers)
    monkeypatch.setattr(wiring, "KEEPERS", (*wiring.KEEPERS, *makers))


async def test_a_new_keeper_is_a_line_in_the_table(
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = Temperature()
    add(monkeypatch, keeper)
    async with run(leader_elect=False):
        await until(lambda: keeper.inlet > 25.0)
        assert "[!]temperature: inlet is warm" in (await get(caplog, "/readyz?verbose")).text.splitlines()
        numbers = (await get(caplog, "/metrics")).text.splitlines()
        (shown,) = [line for line in numbers if line.startswith("peaks_inlet")]
        assert shown.startswith('peaks_inlet_celsius{rack="rack-1"} ')
        assert float(shown.split()[1]) > 25.0
        assert not keeper.closed
    assert keeper.closed
    ended = keeper.inlet
    await asyncio.sleep(0.05)
    assert keeper.inlet == ended


async def test_a_broken_keeper_says_so_and_costs_no_other_numbers(
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(monkeypatch, Broken(), Temperature())
    async with run(leader_elect=False):
        assert "[-]broken failed: ZeroDivisionError: a bug" in (await get(caplog, "/readyz?verbose")).text
        numbers = (await get(caplog, "/metrics")).text
        assert "peaks_broken" not in numbers
        assert "peaks_inlet_celsius" in numbers
        assert "peaks_leader 1.0" in numbers
    assert "gauge not read" in caplog.messages


async def test_every_promised_gauge_is_exported_with_its_labels_and_says_what_it_is(
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with run(leader_elect=False, node_metrics=True) as daemon:
        await until(daemon.parts.core.gate.may_decide)
        answer: httpx.Response = await get(caplog, "/metrics")
        ready = (await get(caplog, "/readyz?verbose")).text
        brought = {gauge.name for keeper in daemon.parts.keepers for gauge in keeper.gauges()}
    assert brought == {*EXPORTED, *WITHOUT_ROWS}
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families.keys() >= {*EXPORTED, *WITHOUT_ROWS}
    for name in (*EXPORTED, *WITHOUT_ROWS):
        assert families[name].documentation.endswith(".")
    labels = {name: {label for sample in families[name].samples for label in sample.labels} for name in EXPORTED}
    assert labels == EXPORTED
    names = [line.removeprefix("[+]").removeprefix("[!]").split(":")[0].split(" ")[0] for line in ready.splitlines()]
    assert names == [
        "first-lists",
        "api-server",
        "watches",
        "kinds",
        "load",
        "power-models",
        "node-configs",
        "sensors",
        "predictions",
        "annotations",
        "undecided",
        "clock",
        "lease",
        "rivals",
        "readyz",
    ]
