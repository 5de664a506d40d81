"""All sources of sensors that a configuration names: their order, and their readings as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.sensors import EndpointSettings, IpmiExporterSettings, SensorSettings
from peaks_scheduler.settings.settings import PrometheusSettings, Settings
from peaks_scheduler.sources.sensors.all_sensors import merged, passed_over, read_all, sensor_sources
from peaks_scheduler.sources.sensors.source import Reading, Readings, SensorSource
from peaks_scheduler.sources.sensors.values import ConstantValues
from tests.support.builders import NOW, node

NODES = [node_from_api(node(name)) for name in ("worker-1", "worker-2")]


async def get_json(_: str, __: Mapping[str, str]) -> Mapping[str, Any]:
    return {}


class Played:
    """A source that the test plays."""

    def __init__(self, name: str, readings: Readings, after: asyncio.Event | None = None) -> None:
        self.name, self._readings, self._after = name, readings, after

    async def fetch(self, _: Sequence[Node]) -> Readings:
        if self._after is not None:
            await self._after.wait()
        return self._readings

    async def aclose(self) -> None:
        pass


def inlet(value: float, sensor: str = "x") -> dict[str, Reading]:
    return {"inlet": Reading(value, NOW, sensor)}


def sources(sensors: SensorSettings, extra: Sequence[SensorSource] = ()) -> tuple[SensorSource, ...]:
    settings = replace(Settings(), sensors=sensors, prometheus=PrometheusSettings(address="http://prometheus:9090"))
    return sensor_sources(settings, get_json, extra=extra)


def names(sensors: SensorSettings, extra: Sequence[SensorSource] = ()) -> list[str]:
    return [each.name for each in sources(sensors, extra)]


def test_without_sensors_there_is_no_source() -> None:
    assert names(SensorSettings()) == []


def test_the_sources_count_in_one_order_however_they_are_given() -> None:
    bmc = EndpointSettings("https://bmc-{hostname}")
    everything = SensorSettings(
        custom_metrics={"inlet": "inlet_temp"},
        differential_pressure=bmc,
        redfish=bmc,
        ipmi_exporter=IpmiExporterSettings(),
        queries={"inlet": "x"},
        values={"worker-1": {"inlet": 25.0}},
    )
    assert names(everything, [Played("node-configs", Readings())]) == [
        "sensor-values",
        "sensor-queries",
        "ipmi-exporter",
        "redfish",
        "differential-pressure",
        "custom-metrics",
        "node-configs",
    ]


@pytest.mark.parametrize("signal", ["overhead", "carbonIntensity", "carbonIntensity/1h", "cpu"])
def test_a_signal_that_means_something_else_is_refused(signal: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{signal} means something else"):
        sources(SensorSettings(queries={signal: "x"}))


def test_queries_need_a_prometheus() -> None:
    settings = replace(Settings(), sensors=SensorSettings(queries={"inlet": "x"}))
    with pytest.raises(ConfigurationError, match=r"sensors\.queries: expected the URL"):
        sensor_sources(settings, get_json)


def test_the_first_source_that_knows_a_signal_of_a_node_counts() -> None:
    first = Readings({"worker-1": inlet(25.0, "first")})
    second = Readings({"worker-1": inlet(31.0), "worker-2": inlet(22.0, "second")})
    found = merged([("a", first), ("b", second)]).by_node
    assert found == {"worker-1": inlet(25.0, "first"), "worker-2": inlet(22.0, "second")}


def test_signals_of_one_node_may_come_from_several_sources() -> None:
    pressure = {"deltaP": Reading(7.5, NOW, "y")}
    found = merged([("a", Readings({"worker-1": inlet(25.0)})), ("b", Readings({"worker-1": pressure}))])
    assert found.by_node == {"worker-1": {**inlet(25.0), **pressure}}


def test_every_failure_is_told_with_its_source() -> None:
    found = merged([("a", Readings({}, {"worker-1": "dead"})), ("b", Readings({}, {"worker-1": "slow", "": "gone"}))])
    assert found.failures == {"worker-1": "a: dead; b: slow", "": "b: gone"}


async def test_all_sources_are_read_at_the_same_time() -> None:
    begun = asyncio.Event()

    class First(Played):
        async def fetch(self, nodes: Sequence[Node]) -> Readings:
            begun.set()
            return await super().fetch(nodes)

    waiting = Played("waiting", Readings({"worker-1": inlet(25.0)}), after=begun)
    found = await asyncio.wait_for(read_all([waiting, First("first", Readings())], NODES), 5.0)
    assert found.by_node == {"worker-1": inlet(25.0)}


async def test_constants_are_of_the_nodes_that_are_named() -> None:
    found = await ConstantValues({"worker-1": {"inlet": 25.0, "deltaP": 7.5}}, lambda: NOW).fetch(NODES)
    expected = {
        "inlet": Reading(25.0, NOW, "sensors.values", True),
        "deltaP": Reading(7.5, NOW, "sensors.values", True),
    }
    assert found == Readings({"worker-1": expected}, {})


async def test_constants_of_no_node_are_named() -> None:
    found = await ConstantValues({"wroker-1": {"inlet": 25.0}}, lambda: NOW).fetch(NODES)
    assert found == Readings({}, {"": "no nodes of this cluster: wroker-1"})


@pytest.mark.parametrize("broken", [float("nan"), -128.0, 255.0, 300.0])
def test_a_broken_first_source_stands_back_for_a_good_later_one(broken: float) -> None:
    given = [("a", Readings({"worker-1": inlet(broken)})), ("b", Readings({"worker-1": inlet(22.0, "second")}))]
    found = merged(given).by_node
    assert found == {"worker-1": inlet(22.0, "second")}
    assert "says a; another source counts" in passed_over(given, found)["worker-1"]["inlet"].text


def test_of_two_broken_sources_the_first_is_told() -> None:
    given = [("a", Readings({"worker-1": inlet(255.0)})), ("b", Readings({"worker-1": inlet(-128.0)}))]
    assert merged(given).by_node == {"worker-1": inlet(255.0)}


@pytest.mark.parametrize("second", [31.0, 255.0])
def test_a_good_first_source_passes_nothing_over(second: float) -> None:
    given = [("a", Readings({"worker-1": inlet(25.0)})), ("b", Readings({"worker-1": inlet(second)}))]
    assert passed_over(given, merged(given).by_node) == {}
