"""Inlet temperatures from BMCs: three vendors' ways and the standard ones, and BMCs that do not answer.

The answers have the members and names of WAO's client for these vendors, and of DMTF's schemas Thermal and
ThermalMetrics; values are our own.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.sources.sensors.redfish import RedfishInlet
from peaks_scheduler.sources.sensors.source import Readings
from tests.support.builders import node

NOW = 1_700_000_000.0
ANYBODY = Access()
CHASSIS = "/redfish/v1/Chassis"
IDRAC = {
    f"{CHASSIS}/System.Embedded.1/Sensors/SystemBoardInletTemp": {"Name": "System Board Inlet Temp", "Reading": 23}
}
XCLARITY = {f"{CHASSIS}/1/Sensors/128L0": {"Name": "Ambient Temp", "Reading": 21.5}}
SUPERMICRO = {
    f"{CHASSIS}/1/Thermal": {
        "Temperatures": [{"Name": "CPU Temp", "ReadingCelsius": 51}, {"Name": "System Temp", "ReadingCelsius": 26}]
    }
}
ONE_CHASSIS = {CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/Self"}]}}
METRICS = {
    **ONE_CHASSIS,
    f"{CHASSIS}/Self/ThermalSubsystem/ThermalMetrics": {
        "TemperatureSummaryCelsius": {
            "Intake": {"Reading": 24.8, "DataSourceUri": "/redfish/v1/Chassis/Self/Sensors/1"}
        }
    },
}
READINGS = {
    **ONE_CHASSIS,
    f"{CHASSIS}/Self/ThermalSubsystem/ThermalMetrics": {
        "TemperatureReadingsCelsius": [
            {"PhysicalContext": "CPU", "Reading": 61},
            {"PhysicalContext": "Intake", "Reading": 22},
        ]
    },
}
THERMAL = {
    CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/Tray"}, {"@odata.id": f"{CHASSIS}/Self/"}]},
    f"{CHASSIS}/Tray/Thermal": {"Temperatures": []},
    f"{CHASSIS}/Self/Thermal": {
        "Temperatures": [
            {"Name": "12V Rail", "PhysicalContext": "SystemBoard", "ReadingCelsius": 33},
            {"Name": "Temp 7", "PhysicalContext": "Intake", "ReadingCelsius": 19},
        ]
    },
}
NAMED = {
    **ONE_CHASSIS,
    f"{CHASSIS}/Self/Thermal": {
        "Temperatures": [
            {"Name": "01-Inlet Ambient", "ReadingCelsius": None},
            {"Name": "02-Inlet Ambient", "ReadingCelsius": 18},
        ]
    },
}


class Bmc:
    """A BMC with these resources, which counts what it is asked."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        self.resources = dict(resources)
        self.asked: Counter[str] = Counter()
        self.authorizations: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked[request.url.path] += 1
        self.authorizations.append(request.headers.get("Authorization", ""))
        if request.url.path not in self.resources:
            return httpx.Response(404, json={"error": {"code": "Base.1.8.ResourceMissingAtURI"}})
        found = self.resources[request.url.path]
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def machine(name: str) -> Node:
    return node_from_api(node(name))


def bmcs(
    handler: Callable[[httpx.Request], Any], access: Access = ANYBODY, clock: Callable[[], float] = lambda: NOW
) -> RedfishInlet:
    """Every node has a BMC of its own, all of them answered by ``handler``."""
    transport = httpx.MockTransport(handler)
    return RedfishInlet(lambda node: NodeEndpoint(f"http://bmc-{node.name}", access), 5.0, clock, transport)


async def fetch(resources: Mapping[str, Any]) -> Readings:
    return await bmcs(Bmc(resources)).fetch([machine("a")])


@pytest.mark.parametrize(
    ("resources", "celsius", "sensor"),
    [
        pytest.param(IDRAC, 23.0, "redfish iDRAC", id="iDRAC"),
        pytest.param(XCLARITY, 21.5, "redfish XClarity", id="XClarity"),
        pytest.param(SUPERMICRO, 26.0, "redfish Supermicro", id="Supermicro"),
        pytest.param(METRICS, 24.8, "redfish ThermalMetrics", id="summary of ThermalMetrics"),
        pytest.param(READINGS, 22.0, "redfish ThermalMetrics", id="readings of ThermalMetrics"),
        pytest.param(THERMAL, 19.0, "redfish Thermal", id="Thermal of the second chassis"),
        pytest.param(NAMED, 18.0, "redfish Thermal", id="a sensor named inlet, and not one that is switched off"),
    ],
)
async def test_each_way_of_telling_the_inlet_temperature_is_found(
    resources: Mapping[str, Any], celsius: float, sensor: str
) -> None:
    reading = (await fetch(resources)).by_node["a"]["inlet"]
    assert (reading.value, reading.time, reading.sensor) == (celsius, NOW, sensor)


async def test_the_way_is_found_out_once_for_each_bmc() -> None:
    bmc = Bmc(THERMAL)
    source = bmcs(bmc)
    await source.fetch([machine("a")])
    bmc.asked.clear()
    await source.fetch([machine("a")])
    assert bmc.asked == {f"{CHASSIS}/Self/Thermal": 1}


async def test_another_firmware_is_found_out_anew() -> None:
    bmc = Bmc(IDRAC)
    source = bmcs(bmc)
    await source.fetch([machine("a")])
    bmc.resources = dict(XCLARITY)
    assert (await source.fetch([machine("a")])).by_node["a"]["inlet"].value == 21.5


async def test_a_bmc_without_an_inlet_sensor_is_named_and_not_searched_at_every_round() -> None:
    bmc, clock = Bmc(ONE_CHASSIS), Clock()
    source = bmcs(bmc, clock=clock)
    assert "none of the inlet sensors" in (await source.fetch([machine("a")])).failures["a"]
    bmc.asked.clear()
    clock.now += 60.0
    assert "none of the inlet sensors" in (await source.fetch([machine("a")])).failures["a"]
    assert not bmc.asked
    clock.now += 600.0
    bmc.resources = dict(METRICS)
    assert (await source.fetch([machine("a")])).by_node["a"]["inlet"].value == 24.8


async def test_a_sensor_that_a_bmc_calls_otherwise_is_not_taken_for_the_ambient_one() -> None:
    assert "a" in (await fetch({f"{CHASSIS}/1/Sensors/128L0": {"Name": "CPU1 Temp", "Reading": 60}})).failures


async def test_members_elsewhere_are_not_asked() -> None:
    bmc = Bmc({CHASSIS: {"Members": [{"@odata.id": "https://evil.example/redfish/v1/Chassis/1"}, {"@odata.id": "/x"}]}})
    await bmcs(bmc).fetch([machine("a")])
    assert all(path.startswith(CHASSIS) for path in bmc.asked)


async def test_numbers_are_not_judged() -> None:
    assert (await fetch({**XCLARITY, f"{CHASSIS}/1/Sensors/128L0": {"Name": "Ambient Temp", "Reading": -128}})).by_node[
        "a"
    ]["inlet"].value == -128.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(httpx.Response(401), "check its user and password", id="wrong password"),
        pytest.param(httpx.Response(503), "got status 503", id="busy"),
        pytest.param(httpx.Response(308, headers={"Location": "https://x"}), "got status 308", id="redirect"),
        pytest.param(httpx.Response(200, text="<html>"), "expected JSON", id="a page"),
        pytest.param(httpx.Response(200, json=[1]), "expected a JSON object", id="a list"),
    ],
)
async def test_what_is_wrong_at_a_bmc_is_said_and_costs_its_node_alone(answer: httpx.Response, words: str) -> None:
    good = Bmc(IDRAC)
    source = bmcs(lambda request: answer if request.url.host == "bmc-bad" else good(request))
    found = await source.fetch([machine("bad"), machine("good")])
    assert words in found.failures["bad"]
    assert found.by_node.keys() == {"good"}


async def test_a_bmc_that_does_not_answer_is_left_in_peace_longer_each_time() -> None:
    asked, clock = Counter[float](), Clock()

    def silent(request: httpx.Request) -> httpx.Response:
        asked[clock.now - NOW] += 1
        raise httpx.ConnectTimeout("no answer", request=request)

    source = bmcs(silent, clock=clock)
    for _ in range(20):
        assert "a" in (await source.fetch([machine("a")])).failures
        clock.now += 10.0
    # after a pause of 15, 30, 60 and 120 s: the first round of ten seconds at or after that
    assert list(asked) == [0.0, 20.0, 50.0, 110.0]


@pytest.mark.parametrize("status", [307, 400, 405, 500, 501])
async def test_a_bmc_that_answers_unknown_addresses_with_an_error_is_searched_all_the_same(status: int) -> None:
    """DMTF's emulator redirects from ``Chassis/1`` to the chassis's UUID."""
    refusals = {path: httpx.Response(status) for path in (*IDRAC, *XCLARITY, *SUPERMICRO)}
    found = await fetch({**refusals, **THERMAL})
    assert found.by_node["a"]["inlet"].value == 19


async def test_a_bmc_that_only_refuses_is_named_with_its_refusal() -> None:
    found = await fetch({path: httpx.Response(500) for path in (*IDRAC, *XCLARITY, *SUPERMICRO)} | {CHASSIS: {}})
    assert "500" in found.failures["a"]


async def test_slow_bmcs_do_not_hold_up_a_round_beyond_its_time() -> None:
    transport = httpx.MockTransport(Bmc(XCLARITY))
    slow = RedfishInlet(lambda node: NodeEndpoint(f"http://{node.name}", ANYBODY), 5.0, lambda: NOW, transport, 0.0)
    found = await slow.fetch([machine("a")])
    assert "not asked in this round" in found.failures["a"]


@pytest.mark.parametrize(
    ("nodes", "at_once"),
    # 300 questions of 5 s are 1500 s: 50 side by side take the 30 s of a round
    [pytest.param(50, 16, id="sixteen are enough"), pytest.param(300, 50, id="a round would not end in time")],
)
async def test_so_many_bmcs_are_asked_at_once(nodes: int, at_once: int) -> None:
    present, most, good = 0, 0, Bmc(IDRAC)

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal present, most
        present += 1
        most = max(most, present)
        for _ in range(100):  # turns of the loop: all that may begin have begun
            await asyncio.sleep(0)
        present -= 1
        return good(request)

    source = bmcs(slow)
    await source.fetch([machine("first")])  # loads the authorities in a thread
    found = await source.fetch([machine(f"n{i}") for i in range(nodes)])
    assert len(found.by_node) == nodes
    assert most == at_once


async def test_user_and_password_are_sent_and_read_from_the_file_at_each_request(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    bmc = Bmc(IDRAC)
    source = bmcs(bmc, Access("root", str(file)))
    await source.fetch([machine("a")])
    file.write_text("second\n")
    await source.fetch([machine("a")])
    sent = [base64.b64decode(each.removeprefix("Basic ")).decode() for each in bmc.authorizations]
    assert sent == ["root:first", "root:second"]


async def test_credentials_that_an_object_gave_count_before_those_of_a_file() -> None:
    bmc = Bmc(IDRAC)
    await bmcs(bmc, Access("root", "/does/not/exist", basic=("admin", "s3cret"))).fetch([machine("a")])
    assert base64.b64decode(bmc.authorizations[0].removeprefix("Basic ")) == b"admin:s3cret"


async def test_a_password_file_that_cannot_be_read_is_named_and_nothing_is_sent() -> None:
    bmc = Bmc(IDRAC)
    found = await bmcs(bmc, Access("root", "/does/not/exist")).fetch([machine("a")])
    assert "/does/not/exist" in found.failures["a"]
    assert not bmc.asked


async def test_a_node_without_a_bmc_is_left_out() -> None:
    assert await RedfishInlet(lambda node: None).fetch([machine("a")]) == Readings({}, {})
