"""The overhead of cooling in a running daemon: from the setting to the nodes, and what is said where it is not sure."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.daemon.keepers.overhead import MOST_RACKS, OverheadKeeper
from peaks_scheduler.ledger.overhead import A_TURN
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.power.cooling import CoolingTable
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import NOW, Json, decide, ledger, node, pod
from tests.support.daemon_stage import until
from tests.support.server_thread import ServerThread
from tests.unit.daemon import test_main
from tests.unit.daemon.test_main import Run, api, collector, get, run  # noqa: F401 - fixtures

# slopes: 0.2 up to 150 W and 0.6 beyond at 20 celsius, 0.5 and 0.9 at 30
TABLE = CoolingTable((20.0, 30.0), (0.0, 150.0, 1000.0), ((0.0, 30.0, 540.0), (0.0, 75.0, 840.0)), "rack")
PLAIN = PowerModel("*", Linear(100.0, 160.0))


class Kept:
    """A keeper over one rack of two nodes, at a time that the test sets."""

    def __init__(self, overhead: float | CoolingTable | None, *more: Json, use: float = 0.5) -> None:
        racked = [node(name, labels={"rack": "a"}) for name in ("a0", "a1")]
        self.known = ledger(*racked, *more, power=PLAIN, loads={"a0": use, "a1": use})
        self.now = NOW
        self.keeper = OverheadKeeper(overhead, self.known, lambda: self.now)
        self.keeper.look()

    def inlet(self, celsius: float) -> None:
        self.known.set_signal("inlet", {"a0": celsius, "a1": celsius}, unit="celsius", time=self.now)

    @property
    def factors(self) -> list[float]:
        return self.known.snapshot().signals["overhead"].tolist()

    @property
    def health(self) -> str:
        health = self.keeper.health()
        return f"{health.level}: {health.text}"

    @property
    def gauges(self) -> dict[str, list[Any]]:
        return {gauge.name: list(gauge.rows()) for gauge in self.keeper.gauges()}


def test_off_it_does_nothing_and_shows_nothing() -> None:
    keeper = Kept(None).keeper
    assert (keeper.tasks(), keeper.checks(), keeper.gauges()) == ({}, (), ())
    assert list(Kept(None).known.snapshot().signals) == []


def test_a_constant_is_told_at_once_and_never_ends() -> None:
    kept = Kept(1.4)
    kept.known.refresh(NOW + 1e6)
    assert kept.factors == [1.4, 1.4]
    assert kept.health == "ok: every watt counts 1.4 times"
    assert kept.gauges == {"peaks_power_overhead_ratio": [(("",), 1.4)], "peaks_rack_power_watts": []}


def test_with_a_table_the_factor_follows_air_and_power_every_half_minute() -> None:
    kept = Kept(TABLE)
    assert kept.factors == [1.9, 1.9]  # 260 W, the temperature is not known
    kept.inlet(25.0)
    kept.now += 29.0
    kept.keeper.look()
    assert kept.factors == [1.9, 1.9]
    kept.now += 1.0
    kept.keeper.look()
    assert kept.factors == [1.75, 1.75]
    assert kept.health == "ok: cooling of 1 racks"
    assert kept.gauges["peaks_power_overhead_ratio"] == [(("a",), 1.75)]
    assert kept.gauges["peaks_rack_power_watts"] == [(("a",), pytest.approx(260.0))]


def test_thousands_of_nodes_are_told_some_at_a_time() -> None:
    kept = Kept(TABLE, *(node(f"n{i}", labels={"rack": "a"}) for i in range(A_TURN)))
    kept.inlet(25.0)
    kept.now += 30.0
    changed = [kept.factors.count(1.75) for _ in kept.keeper.looking()]
    assert changed == [A_TURN, A_TURN + 2]


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    kept = Kept(TABLE)
    kept.inlet(25.0)
    kept.now -= 3600.0
    kept.keeper.look()
    assert kept.factors == [1.75, 1.75]


def test_a_node_that_comes_is_told_within_seconds() -> None:
    kept = Kept(TABLE)
    kept.inlet(20.0)
    kept.now += 30.0
    kept.keeper.look()
    kept.known.observe_node(node("b0"))
    assert kept.factors == [1.6, 1.6, 1.6]  # as the dearest rack
    kept.now += 5.0
    kept.keeper.look()
    assert kept.factors == [1.6, 1.6, 1.5]  # a rack of its own, idle at 100 W, its temperature not known


def test_what_is_outside_the_table_is_named_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(TABLE)
    for celsius in (33.0, 34.0):
        kept.inlet(celsius)
        kept.now += 30.0
        kept.keeper.look()
    assert kept.health == "degraded: a: 34.0 celsius, the table ends at 30"
    assert kept.factors == [1.9, 1.9]
    # at first its temperature was not known
    assert caplog.messages.count("overhead not known as well as it is configured") == 1


def test_when_all_is_known_again_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept = Kept(TABLE)
    kept.inlet(25.0)
    kept.now += 30.0
    kept.keeper.look()
    assert caplog.messages == ["overhead not known as well as it is configured", "trouble is over"]


def test_a_signal_of_another_meaning_is_named_and_stops_nothing() -> None:
    known = ledger(node("a0"), power=PLAIN)
    known.set_signal("overhead", {"a0": 20.0}, unit="celsius", time=NOW)
    keeper = OverheadKeeper(1.4, known, lambda: NOW)
    keeper.look()
    assert keeper.health().level == "degraded"
    assert "expected the unit 'celsius'" in keeper.health().text


def test_many_racks_are_as_many_series_as_anyone_can_read() -> None:
    kept = Kept(TABLE, *(node(f"n{i}", labels={"rack": f"r{i}"}) for i in range(MOST_RACKS + 5)))
    assert [len(rows) for rows in kept.gauges.values()] == [MOST_RACKS, MOST_RACKS]


def test_the_dearer_rack_gets_no_pod() -> None:
    kept = Kept(TABLE, node("b0", labels={"rack": "b"}))
    kept.known.set_signal("inlet", {"a0": 30.0, "a1": 30.0, "b0": 20.0}, unit="celsius", time=NOW)
    kept.now += 30.0
    kept.keeper.look()
    assert decide(pod(cpu="1"), kept.known).node == "b0"


async def test_the_daemon_counts_the_cooling_and_its_record_says_so(
    api: ServerThread,  # noqa: F811
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text("models: [{nodeSelector: {}, cpu: ratio, curve: {kind: linear, idle: 100, max: 200}}]")
    usual = test_main.configuration

    def with_cooling(*where: Any, **flags: Any) -> Settings:
        settings = usual(*where, **flags)
        return replace(settings, power=replace(settings.power, overhead=1.4))

    monkeypatch.setattr(test_main, "configuration", with_cooling)
    async with run(leader_elect=False, power_models=str(models)):
        api(lambda server: server.add_pod(pod(cpu="1")))
        await until(lambda: api.server.get("pods", "web-0")["spec"].get("nodeName"))
        ready, numbers = (await get(caplog, "/readyz?verbose")).text, (await get(caplog, "/metrics")).text
    record = json.loads(api.server.get("pods", "web-0")["metadata"]["annotations"][DECISION])
    # a core of four is 25 W of the node, and 10 W of cooling
    assert (record["jumpWatts"], record["riseWatts"], record["overhead"]) == (35.0, 35.0, 1.4)
    assert "temperature" not in record
    assert "[+]overhead ok: every watt counts 1.4 times" in ready
    assert 'peaks_power_overhead_ratio{rack=""} 1.4' in numbers
