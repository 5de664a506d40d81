"""WAO's API of differential pressure. The shape of its answer is that of WAO's own client."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.sources.sensors.differential_pressure import DifferentialPressure
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import node

NOW = 1_700_000_000.0
ANSWER = {"code": 200, "sensor": [{"sensorid": "101037B", "pressure": 0.25, "temperature": 26.02}]}


async def fetch(answer: httpx.Response, asked: list[str] | None = None) -> Readings:
    def respond(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(str(request.url))
        return answer

    source = DifferentialPressure(
        lambda node: NodeEndpoint("http://dp.example:5000", Access()), 5.0, lambda: NOW, httpx.MockTransport(respond)
    )
    found = await source.fetch([node_from_api(node("worker-1"))])
    await source.aclose()
    return found


async def test_the_pressure_of_a_node_is_asked_for_by_its_name() -> None:
    asked: list[str] = []
    found = await fetch(httpx.Response(200, json=ANSWER), asked)
    assert found.by_node == {"worker-1": {"deltaP": Reading(0.25, NOW, "differential-pressure 101037B")}}
    assert asked == ["http://dp.example:5000/api/sensor/by_nodename/worker-1"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(httpx.Response(404), "it knows no node worker-1", id="unknown node"),
        pytest.param(httpx.Response(200, json={"code": 200, "sensor": []}), "expected a sensor", id="no sensor"),
        pytest.param(httpx.Response(200, json={"code": 404, "sensor": [{"pressure": 1}]}), "expected a", id="code"),
        pytest.param(httpx.Response(200, json={"sensor": [{"pressure": "much"}]}), "expected a sensor", id="text"),
        pytest.param(httpx.Response(200, json={"sensor": {"pressure": 1.0}}), "expected a sensor", id="no list"),
        pytest.param(httpx.Response(500), "got status 500", id="error"),
    ],
)
async def test_without_a_pressure_the_node_is_named_with_the_reason(answer: httpx.Response, words: str) -> None:
    found = await fetch(answer)
    assert not found.by_node
    assert words in found.failures["worker-1"]


@pytest.mark.parametrize("pressure", [-3.5, 0, 1e6])
async def test_a_pressure_is_not_judged(pressure: Any) -> None:
    found = await fetch(httpx.Response(200, json={"sensor": [{"pressure": pressure}]}))
    assert found.by_node["worker-1"]["deltaP"].value == pressure


async def test_a_number_that_no_float_can_hold_is_no_crash() -> None:
    found = await fetch(httpx.Response(200, text='{"sensor": [{"pressure": 1' + "0" * 400 + "}]}"))
    assert found.by_node["worker-1"]["deltaP"].value == float("inf")


async def test_one_server_for_many_nodes_gets_sixteen_requests_at_once() -> None:
    present, most = 0, 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal present, most
        present += 1
        most = max(most, present)
        for _ in range(100):  # turns of the loop: all that may begin have begun
            await asyncio.sleep(0)
        present -= 1
        return httpx.Response(200, json=ANSWER)

    shared = NodeEndpoint("http://dp.example:5000", Access())
    source = DifferentialPressure(lambda node: shared, 5.0, lambda: NOW, httpx.MockTransport(slow))
    found = await source.fetch([node_from_api(node(f"n{i}")) for i in range(300)])
    assert (len(found.by_node), most) == (300, 16)
