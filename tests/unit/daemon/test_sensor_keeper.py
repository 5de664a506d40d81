"""Sensors in a running daemon: from readings to signals of the nodes, and what a failing sensor does."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from peaks_scheduler.daemon.keepers.sensors import SensorKeeper
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.sensors import SensorSettings
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import NOW, ledger, node
from tests.support.daemon_stage import until
from tests.unit.daemon import test_main
from tests.unit.daemon.test_main import Run, api, collector, get, run  # noqa: F401 - fixtures

RACK = "topology.kubernetes.io/rack"
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")


class Played:
    """A source that the test plays: what it gives now, or an exception."""

    def __init__(self, name: str = "played") -> None:
        self.name, self.closed = name, False
        self.answer: Readings | Exception = Readings()
        self.asked: list[list[str]] = []

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        self.asked.append([each.name for each in nodes])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        self.closed = True


class Kept:
    """A keeper on four nodes of one rack, at a time that the test sets."""

    def __init__(self, *sources: Played) -> None:
        self.now, self.rounds = NOW, 0
        self.sources = sources or (Played(),)
        self.known = ledger(*(node(name, labels={RACK: "r1"}) for name in WORKERS))
        self.telemetry, self.begin = Telemetry("Peaks"), asyncio.Event()
        self.keeper = SensorKeeper(
            self.sources,
            SensorSettings(expiry=120.0),
            self.known,
            self.telemetry,
            self.begin,
            self._round,
            lambda: self.now,
        )

    def _round(self) -> None:
        self.rounds += 1

    async def read(self, values: Mapping[str, float], signal: str = "inlet", source: int = 0, **how: bool) -> None:
        """One round in which a source gives these values of now."""
        readings = {name: {signal: Reading(value, self.now, "s", **how)} for name, value in values.items()}
        self.sources[source].answer = Readings(readings)
        await self.keeper.once()

    def passed(self, seconds: float) -> None:
        self.now += seconds
        self.known.refresh(self.now)

    def signal(self, name: str = "inlet") -> list[float]:
        """Of the four nodes."""
        nodes = self.known.snapshot()
        return [float(nodes.signals[name][nodes.names.index(each)]) for each in WORKERS]

    def gauge(self, name: str) -> dict[tuple[str, ...], float]:
        return next(dict(each.rows()) for each in self.keeper.gauges() if each.name == name)

    @property
    def health(self) -> str:
        found = self.keeper.health()
        return f"{found.level}: {found.text}"


ROOM = dict(zip(WORKERS, (21.0, 22.0, 23.0, 24.0), strict=True))


async def test_readings_are_signals_of_their_nodes() -> None:
    kept = Kept()
    await kept.read(ROOM)
    assert kept.signal() == [21.0, 22.0, 23.0, 24.0]
    assert kept.health == "ok: "


async def test_the_source_is_asked_for_all_nodes() -> None:
    kept = Kept()
    await kept.read(ROOM)
    assert sorted(kept.sources[0].asked[0]) == list(WORKERS)


@pytest.mark.parametrize(("signal", "unit"), [("inlet", "celsius"), ("deltaP", "pascal"), ("humidity", "")])
async def test_a_signal_has_its_unit(signal: str, unit: str) -> None:
    kept = Kept()
    await kept.read({"worker-1": 21.0}, signal)
    assert kept.known.snapshot().signals.unit(signal) == unit


async def test_a_value_counts_until_it_expires_by_the_time_of_its_measurement() -> None:
    kept = Kept()
    await kept.read({"worker-1": 21.0})
    kept.sources[0].answer = Readings()
    kept.passed(119.0)
    assert kept.signal()[0] == 21.0
    kept.passed(1.0)
    assert math.isnan(kept.signal()[0])


async def test_a_reading_that_is_too_old_is_not_told() -> None:
    kept = Kept()
    kept.sources[0].answer = Readings({"worker-1": {"inlet": Reading(21.0, NOW - 121.0, "s")}})
    await kept.keeper.once()
    assert math.isnan(kept.signal()[0])


async def test_a_value_that_does_not_count_leaves_the_one_before_until_that_expires() -> None:
    kept = Kept()
    await kept.read(ROOM)
    kept.passed(30.0)
    await kept.read({**ROOM, "worker-1": 255.0})
    assert kept.signal()[0] == 21.0
    kept.passed(90.0)
    assert math.isnan(kept.signal()[0])
    assert kept.signal()[1] == 22.0


async def test_nodes_whose_value_does_not_count_are_named_with_the_reason() -> None:
    kept = Kept()
    await kept.read({**ROOM, "worker-4": 60.0})
    assert kept.health == "degraded: inlet is more than 30 K from the median of its neighbours: worker-4"


async def test_a_node_whose_value_has_expired_is_named() -> None:
    kept = Kept()
    await kept.read({"worker-1": 21.0})
    kept.sources[0].answer = Readings()
    kept.passed(200.0)
    await kept.keeper.once()
    assert kept.health == "degraded: inlet is older than 120 s and does not count: worker-1"


async def test_failures_are_named_together() -> None:
    kept = Kept()
    kept.sources[0].answer = Readings({}, dict.fromkeys(WORKERS, "no answer"))
    await kept.keeper.once()
    assert kept.health == "degraded: played: no answer: worker-1, worker-2, worker-3 and 1 more"


async def test_a_source_that_breaks_in_an_unknown_way_stops_nothing() -> None:
    kept = Kept(Played("broken"), Played("well"))
    kept.sources[0].answer = ZeroDivisionError("a bug")
    await kept.read(ROOM, source=1)
    assert kept.signal() == [21.0, 22.0, 23.0, 24.0]
    assert kept.health == "degraded: broken: ZeroDivisionError: a bug"


async def test_failures_are_counted_by_source_and_logged_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    caplog.set_level(logging.INFO)
    kept.sources[0].answer = Readings({}, {"worker-1": "no answer"})
    for _ in range(3):
        await kept.keeper.once()
    await kept.read(ROOM)
    assert kept.telemetry.registry.get_sample_value("peaks_source_errors_total", {"source": "played"}) == 3.0
    assert caplog.messages == ["sensors not read", "sensors read"]


async def test_marked_values_are_logged_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        await kept.read({**ROOM, "worker-4": 60.0})
    assert caplog.messages == ["sensor values that do not count"]


async def test_the_first_source_counts_as_long_as_it_knows_the_signal() -> None:
    kept = Kept(Played("first"), Played("second"))
    kept.sources[1].answer = Readings({"worker-1": {"inlet": Reading(31.0, NOW, "s")}})
    await kept.read({"worker-1": 21.0})
    assert kept.signal()[0] == 21.0
    kept.sources[0].answer = Readings({}, {"worker-1": "dead"})
    await kept.keeper.once()
    assert kept.signal()[0] == 31.0


async def test_a_broken_first_source_is_named_and_the_second_counts() -> None:
    kept = Kept(Played("first"), Played("second"))
    kept.sources[1].answer = Readings({"worker-1": {"inlet": Reading(22.0, NOW, "s")}})
    await kept.read({"worker-1": -128.0})
    assert kept.signal()[0] == 22.0
    assert kept.gauge("peaks_sensor_marked_values")["no-reading",] == 1.0
    assert kept.health.endswith("as of a BMC that has no reading, says first; another source counts: worker-1")


async def test_a_constant_never_expires_and_is_withdrawn_when_nobody_says_it() -> None:
    kept = Kept()
    await kept.read({"worker-1": 25.0}, constant=True)
    kept.passed(1e6)
    assert kept.signal()[0] == 25.0
    kept.sources[0].answer = Readings()
    await kept.keeper.once()
    assert math.isnan(kept.signal()[0])


async def test_a_new_node_has_its_sensors_in_the_next_round() -> None:
    kept = Kept()
    await kept.read({"worker-1": 25.0}, constant=True)
    kept.known.observe_node(node("worker-1"), gone=True)
    kept.known.observe_node(node("worker-1"))
    kept.passed(30.0)
    await kept.read({"worker-1": 25.0}, constant=True)
    assert kept.signal()[0] == 25.0


async def test_a_signal_that_is_in_use_for_something_else_is_named() -> None:
    kept = Kept()
    kept.known.set_signal("price", {"worker-1": 3.0}, unit="EUR/kWh", time=NOW)
    await kept.read({"worker-2": 7.0}, "price")
    assert kept.health.startswith("degraded: signal price: expected the unit 'EUR/kWh'")


async def test_who_waits_for_signals_is_called_after_each_round() -> None:
    kept = Kept()
    await kept.read(ROOM)
    await kept.read(ROOM)
    assert kept.rounds == 2


async def test_the_latest_readings_of_a_node_are_those_that_count() -> None:
    kept = Kept()
    await kept.read(ROOM)
    assert kept.keeper.latest("worker-1") == {"inlet": Reading(21.0, NOW, "s")}
    kept.passed(120.0)
    assert kept.keeper.latest("worker-1") == {}


async def test_gauges_show_who_has_a_value_and_whose_does_not_count() -> None:
    kept = Kept()
    await kept.read({**ROOM, "worker-4": -128.0})
    kept.passed(7.0)
    assert kept.gauge("peaks_sensor_nodes") == {("inlet",): 3.0}
    assert kept.gauge("peaks_sensor_marked_values")["no-reading",] == 1.0
    assert kept.gauge("peaks_sensor_age_seconds") == {(): 7.0}
    assert kept.gauge("peaks_node_temperature_celsius")["worker-2", "inlet"] == 22.0
    assert kept.gauge("peaks_node_pressure_pascals") == {}


async def test_a_signal_that_nobody_has_any_more_shows_no_node() -> None:
    kept = Kept()
    await kept.read(ROOM)
    kept.passed(200.0)
    assert kept.gauge("peaks_sensor_nodes") == {("inlet",): 0.0}
    assert kept.gauge("peaks_sensor_age_seconds") == {}


async def test_sources_that_know_nothing_are_no_trouble_and_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    caplog.set_level(logging.INFO)
    await kept.keeper.once()
    assert (kept.health, caplog.messages, kept.rounds) == ("ok: ", [], 0)
    assert [dict(each.rows()) for each in kept.keeper.gauges()] == [{}] * 5


async def test_before_the_first_round_it_says_so() -> None:
    assert Kept().health == "degraded: played: not read yet"


async def test_connections_are_closed() -> None:
    kept = Kept()
    await kept.keeper.aclose()
    assert kept.sources[0].closed


async def test_a_source_that_never_answers_delays_no_other_even_one_of_its_name() -> None:
    class Silent(Played):
        async def fetch(self, nodes: Sequence[Node]) -> Readings:
            await asyncio.Event().wait()
            return await super().fetch(nodes)

    kept = Kept(Silent("redfish"), Played("redfish"))
    kept.sources[1].answer = Readings({"worker-1": {"inlet": Reading(21.0, NOW, "s")}})
    running = [asyncio.create_task(task) for task in kept.keeper.tasks().values()]
    kept.begin.set()
    await until(lambda: kept.signal()[0] == 21.0)
    for task in running:
        task.cancel()
    assert kept.health == "degraded: redfish: not read yet"


async def test_no_source_is_read_before_the_nodes_are_known() -> None:
    kept = Kept()
    running = [asyncio.create_task(task) for task in kept.keeper.tasks().values()]
    for _ in range(5):
        await asyncio.sleep(0)
    assert kept.sources[0].asked == []
    for task in running:
        task.cancel()


def test_without_sensors_nothing_runs_and_nothing_is_shown() -> None:
    keeper = SensorKeeper((), SensorSettings(), ledger(), Telemetry("Peaks"), asyncio.Event())
    assert (dict(keeper.tasks()), list(keeper.checks()), list(keeper.gauges())) == ({}, [], [])


async def test_a_daemon_with_constants_shows_them(
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual, sensors = test_main.configuration, SensorSettings(values={"worker-1": {"inlet": 25.0}})
    monkeypatch.setattr(
        test_main, "configuration", lambda *where, **flags: replace(usual(*where, **flags), sensors=sensors)
    )
    async with run(leader_elect=False, node_metrics=True) as daemon:
        await until(lambda: 25.0 in daemon.parts.core.ledger.snapshot().signals["inlet"])
        ready, numbers = (await get(caplog, "/readyz?verbose")).text, (await get(caplog, "/metrics")).text
    assert "[+]sensors ok" in ready
    assert 'peaks_node_temperature_celsius{node="worker-1",signal="inlet"} 25.0' in numbers
