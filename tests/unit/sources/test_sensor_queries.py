"""Signals by PromQL: which node a series is about, how old its value is, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.promql_matchers import parse_matchers
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.sensors.queries import SensorQueries
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import NOW, node

QUERY = "avg by (node) (node_hwmon_temp_celsius)"
TIMES = f"timestamp((\n{QUERY}\n))"
Given = Mapping[str, Sequence[tuple[Mapping[str, str], str]] | int]
"""Query -> (labels, value) of its series, or the status of its refusal."""


def nodes(*names: str, address: str = "10.0.0.1") -> list[Node]:
    raw = [node(name) for name in names]
    raw[0]["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
    return [node_from_api(each) for each in raw]


def served(given: Given, asked: list[str]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        asked.append(query)
        found = given[query]
        if isinstance(found, int):
            return httpx.Response(found, json={"status": "error", "errorType": "execution", "error": "no"})
        result: Any = [{"metric": dict(labels), "value": [NOW, value]} for labels, value in found]
        whole = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return httpx.Response(200, content=json.dumps(whole))

    return httpx.MockTransport(answer)


async def fetch(
    given: Given,
    known: Sequence[Node],
    queries: Mapping[str, str] | None = None,
    asked: list[str] | None = None,
    **how: Any,
) -> Readings:
    transport = served(given, [] if asked is None else asked)
    api = PrometheusApi("http://prometheus:9090", transport=transport, clock=lambda: NOW, **how)
    source = SensorQueries(api, queries or {"inlet": QUERY}, lambda: NOW)
    try:
        return await source.fetch(known)
    finally:
        await source.aclose()


def one(labels: Mapping[str, str], value: str = "24.5", age: float = 10.0) -> Given:
    return {QUERY: [(labels, value)], TIMES: [(labels, str(NOW - age))]}


@pytest.mark.parametrize(
    "labels",
    [
        {"node": "worker-1"},
        {"instance": "10.0.0.1:9290"},
        {"instance": "worker-1.example.org:9100", "job": "ipmi"},
        {"kubernetes_node": "worker-1", "instance": "192.0.2.9:9100"},
    ],
)
async def test_a_series_is_of_the_node_that_its_label_names(labels: Mapping[str, str]) -> None:
    readings = await fetch(one(labels), nodes("worker-1", "worker-2"))
    assert readings == Readings({"worker-1": {"inlet": Reading(24.5, NOW - 10.0, "query inlet")}}, {})


async def test_a_configured_label_names_the_node_before_the_usual_ones() -> None:
    labels = {"bmc": "worker-2", "node": "worker-1"}
    readings = await fetch(one(labels), nodes("worker-1", "worker-2"), node_label="bmc")
    assert set(readings.by_node) == {"worker-2"}


async def test_the_query_goes_as_it_is_whatever_else_is_matched() -> None:
    asked: list[str] = []
    await fetch(one({"node": "worker-1"}), nodes("worker-1"), asked=asked, match=parse_matchers('cluster="a"'))
    assert sorted(asked) == sorted([QUERY, TIMES])


async def test_a_series_of_another_cluster_is_dropped() -> None:
    labels = [{"node": "worker-1", "cluster": cluster} for cluster in ("a", "b")]
    given = {QUERY: [(labels[0], "24"), (labels[1], "31")], TIMES: [(each, str(NOW)) for each in labels]}
    readings = await fetch(given, nodes("worker-1"), match=parse_matchers('cluster="a"'))
    assert readings.by_node["worker-1"]["inlet"].value == 24.0


async def test_two_series_of_one_node_are_refused_with_the_label_in_which_they_differ() -> None:
    labels = [{"node": "worker-1", "sensor": sensor} for sensor in ("temp1", "temp2")]
    given = {QUERY: [(each, "24") for each in labels], TIMES: [(each, str(NOW)) for each in labels]}
    readings = await fetch(given, nodes("worker-1"))
    assert readings.by_node == {}
    assert "got several, which differ in sensor: choose one" in readings.failures["worker-1"]


async def test_two_names_of_one_node_are_refused() -> None:
    labels = [{"instance": "10.0.0.1:9290"}, {"instance": "worker-1.example.org"}]
    given = {QUERY: [(each, "24") for each in labels], TIMES: [(each, str(NOW)) for each in labels]}
    readings = await fetch(given, nodes("worker-1"))
    assert readings.by_node == {}
    assert set(readings.failures) == {"worker-1"}


async def test_a_value_is_as_old_as_its_sample() -> None:
    readings = await fetch(one({"node": "worker-1"}, age=200.0), nodes("worker-1"))
    assert readings.by_node["worker-1"]["inlet"].time == NOW - 200.0


async def test_a_sample_from_the_future_is_of_now() -> None:
    readings = await fetch(one({"node": "worker-1"}, age=-5.0), nodes("worker-1"))
    assert readings.by_node["worker-1"]["inlet"].time == NOW


async def test_a_value_whose_age_is_not_known_is_not_used() -> None:
    readings = await fetch({QUERY: [({"node": "worker-1"}, "24")], TIMES: []}, nodes("worker-1"))
    assert readings == Readings({}, {"worker-1": "sensors.queries.inlet: the time of its sample is not known"})


async def test_nonsense_is_a_reading_which_others_judge() -> None:
    readings = await fetch(one({"node": "worker-1"}, "NaN"), nodes("worker-1"))
    assert math.isnan(readings.by_node["worker-1"]["inlet"].value)


async def test_a_query_that_fails_costs_its_own_signal_alone() -> None:
    other = "node_deltap_pascal"
    labels = {"node": "worker-1"}
    given = {**one(labels), other: 422, f"timestamp((\n{other}\n))": 422}
    readings = await fetch(given, nodes("worker-1"), {"inlet": QUERY, "deltaP": other})
    assert set(readings.by_node["worker-1"]) == {"inlet"}
    assert readings.failures[""].startswith("sensors.queries.deltaP: Prometheus at http://prometheus:9090")
    assert f"it refused '{other}'" in readings.failures[""]


async def test_a_query_without_series_says_so() -> None:
    readings = await fetch({QUERY: [], TIMES: []}, nodes("worker-1"))
    assert readings.failures == {"": "sensors.queries.inlet: expected one series a node; got none"}


async def test_a_query_whose_series_name_no_node_tells_what_they_name() -> None:
    readings = await fetch(one({"instance": "pdu-7:161"}), nodes("worker-1"))
    assert readings.failures[""].endswith("they name pdu-7:161")
