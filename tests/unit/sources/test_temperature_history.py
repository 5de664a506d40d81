"""The temperature of each node's air over time, from a query of one's own. Values are those of the played sensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from peaks_scheduler.errors import LoadError
from peaks_scheduler.sources.power_history.discovery import Discovery, NodeHistory, discover
from tests.support.played_prometheus import PlayedPrometheus, Raw, raw

START, STEP = 1_700_000_000.0 // 60 * 60, 60.0
END = START + 7200.0
QUERY = "inlet_celsius"
ASKED = f"avg_over_time(({QUERY})[60s:15s])"
"""As every query for a gauge: the mean of each step."""


def node_exporter(node: str, share: float = 0.25) -> list[Raw]:
    modes = (("user", share), ("idle", 1.0 - share))
    return [
        raw("node_cpu_seconds_total", lambda t, s=s: s * (t - START), START, END, cpu="0", mode=mode, instance=node)
        for mode, s in modes
    ]


def meter(node: str) -> Raw:
    return raw("ipmi_dcmi_power_consumption_watts", lambda t: 100.0 + t % 7.0, START, END, instance=node)


def sensor(celsius: float, **labels: str) -> Raw:
    return raw(QUERY, celsius, START, END, **labels)


async def found(sensors: Sequence[Raw], nodes: Iterable[str] = ("worker-1",)) -> Discovery:
    series = [each for node in nodes for each in (*node_exporter(node), meter(node))]
    api = PlayedPrometheus(series, {ASKED: list(sensors)})
    return await discover(api, START, END, STEP, temperature_query=QUERY)  # type: ignore[arg-type]


async def only(*sensors: Raw) -> NodeHistory:
    (node,) = (await found(sensors)).nodes
    return node


def middle(node: NodeHistory) -> float:
    assert node.celsius is not None
    return float(np.median(node.celsius.values))


async def test_each_node_has_its_own_temperature_whatever_its_exporter_calls_it() -> None:
    sensors = [sensor(21.0, instance="worker-1:9290"), sensor(27.0, node="worker-2")]
    nodes = (await found(sensors, ("worker-1", "worker-2"))).nodes
    assert {node.node: middle(node) for node in nodes} == {"worker-1": 21.0, "worker-2": 27.0}


async def test_two_replicas_of_a_sensor_are_one() -> None:
    node = await only(*(sensor(21.0 + 0.1 * i, instance="worker-1", replica=str(i)) for i in range(2)))
    assert middle(node) == pytest.approx(21.05, abs=0.06)


async def test_two_sensors_that_disagree_are_none_and_the_note_says_what_to_do() -> None:
    node = await only(
        sensor(21.0, instance="worker-1", sensor="Inlet"), sensor(60.0, instance="worker-1", sensor="CPU1")
    )
    assert node.celsius is not None
    assert len(node.celsius.values) == 0
    (said,) = (note for note in node.notes if note.startswith("temperature"))
    assert "differ in sensor ('CPU1', 'Inlet')" in said
    assert said.endswith("make one of them in the query, such as avg by (instance) (..)")


async def test_a_node_without_a_sensor_keeps_its_cpu_and_power() -> None:
    node = await only()
    assert node.celsius is not None
    assert len(node.celsius.values) == 0
    assert "temperature: the query has no series of this node" in node.notes


async def test_a_sensor_of_no_node_is_named_and_no_node_of_its_own() -> None:
    discovery = await found([sensor(21.0, instance="worker-1"), sensor(30.0, instance="switch-1")])
    assert discovery.incomplete == {}
    assert [note for note in discovery.notes if "switch-1" in note] == [
        "temperature of switch-1: the query for temperatures has it, but no node has this name"
    ]


async def test_without_the_query_no_temperature_is_asked_for() -> None:
    api = PlayedPrometheus([*node_exporter("worker-1"), meter("worker-1")])
    (node,) = (await discover(api, START, END, STEP)).nodes  # type: ignore[arg-type]
    assert node.celsius is None
    assert not any(QUERY in query for query in api.asked)


async def test_a_query_that_fails_is_named_and_costs_the_temperatures_alone() -> None:
    class Refusing(PlayedPrometheus):
        async def query_range(self, promql: str, *args: float, **more: object) -> object:  # type: ignore[override]
            if QUERY in promql:
                raise LoadError("refused", "parse error")
            return await super().query_range(promql, *args, **more)  # type: ignore[arg-type]

    api = Refusing([*node_exporter("worker-1"), meter("worker-1")])
    discovery = await discover(api, START, END, STEP, temperature_query=QUERY)  # type: ignore[arg-type]
    assert [node.node for node in discovery.nodes] == ["worker-1"]
    assert any("not known, because a query failed" in note and "parse error" in note for note in discovery.notes)
