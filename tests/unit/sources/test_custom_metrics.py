"""Signals from ``custom.metrics.k8s.io``: the lists of an adapter, and an adapter that does not give lists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from peaks_scheduler.errors import Forbidden, KubeError, NotFound
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.sources.sensors.custom_metrics import CustomMetrics
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import NOW, node, when

NODES = [node_from_api(node(name)) for name in ("worker-1", "worker-2")]
BETA2, BETA1 = (f"/apis/custom.metrics.k8s.io/{version}/nodes" for version in ("v1beta2", "v1beta1"))


def value(name: str, quantity: Any = "22500m", age: float = 3.0) -> dict[str, Any]:
    """As custom-metrics-apiserver sends it (kubernetes/metrics, custom_metrics/v1beta2/types.go)."""
    described = {"kind": "Node", "name": name, "apiVersion": "/v1"}
    metric = {"name": "inlet_temp", "selector": None}
    return {
        "describedObject": described,
        "metric": metric,
        "timestamp": when(NOW - age),
        "windowSeconds": 0,
        "value": quantity,
    }


def listed(*values: Any) -> dict[str, Any]:
    return {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta2",
        "metadata": {},
        "items": list(values),
    }


class ApiServer:
    """Answers by path; a path that is not given is not found."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers, self.asked = answers, list[str]()

    async def get_json(self, path: str, _: Mapping[str, str]) -> Mapping[str, Any]:
        self.asked.append(path)
        answer = self.answers.get(path, NotFound(f"GET {path}: 404", 404, "the server could not find it"))
        if isinstance(answer, Exception):
            raise answer
        if answer == "slow":
            await asyncio.sleep(60.0)
        return answer  # type: ignore[no-any-return]


async def fetch(answers: Mapping[str, Any], patience: float = 5.0, ahead: float = 0.0) -> Readings:
    server = ApiServer(answers)
    source = CustomMetrics(
        {"inlet": "inlet_temp"}, server.get_json, patience, clock=lambda: NOW, cluster_ahead=lambda: ahead
    )
    return await source.fetch(NODES)


def of(readings: Readings) -> dict[str, float]:
    return {name: its["inlet"].value for name, its in readings.by_node.items()}


async def test_a_quantity_in_thousandths_is_a_temperature() -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": listed(value("worker-1"), value("worker-2", "31250m"))})
    assert of(readings) == {"worker-1": 22.5, "worker-2": 31.25}
    assert readings.failures == {}


async def test_a_reading_has_the_time_of_the_answer_on_our_clock() -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": listed(value("worker-1", age=3.0))}, ahead=2.0)
    assert readings.by_node["worker-1"]["inlet"] == Reading(22.5, NOW - 5.0, "custom metric inlet_temp")


async def test_an_older_adapter_is_asked_in_its_version() -> None:
    assert of(await fetch({f"{BETA1}/*/inlet_temp": listed(value("worker-2", 25))})) == {"worker-2": 25.0}


async def test_an_adapter_that_gives_no_list_is_asked_for_each_node() -> None:
    # WAO's adapter answers 500 where one of all nodes has no value
    failed = KubeError("GET: 500", 500, "metric inlet_temp for control-plane not found")
    readings = await fetch(
        {
            f"{BETA2}/*/inlet_temp": failed,
            f"{BETA2}/worker-1/inlet_temp": listed(value("worker-1")),
            f"{BETA2}/worker-2/inlet_temp": failed,
        }
    )
    assert of(readings) == {"worker-1": 22.5}
    assert readings.failures == {"worker-2": "metric inlet_temp: the adapter gives none for it (http-500)"}


async def test_a_cluster_without_an_adapter_says_so_once() -> None:
    readings = await fetch({})
    assert set(readings.failures) == {""}
    assert "is an adapter installed" in readings.failures[""]


async def test_a_missing_right_is_named() -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": Forbidden("GET: 403", 403, "forbidden")})
    assert "the right to get nodes/inlet_temp of custom.metrics.k8s.io is missing" in readings.failures[""]


async def test_an_adapter_that_never_answers_is_given_up() -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": "slow"}, patience=0.05)
    assert readings.failures == {"": "metric inlet_temp: no answer within 0.05 s"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"value": "warm"}, "expected a quantity; got 'warm'"),
        ({"value": None}, "expected a quantity"),
        ({"timestamp": None}, "expected the time of its measurement"),
    ],
)
async def test_a_value_of_another_form_is_named_with_its_node(wrong: dict[str, Any], said: str) -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": listed(value("worker-1") | wrong, value("worker-2"))})
    assert of(readings) == {"worker-2": 22.5}
    assert said in readings.failures["worker-1"]


async def test_two_values_of_one_node_are_refused() -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": listed(value("worker-1"), value("worker-1", "31"))})
    assert readings.by_node == {}
    assert "got several, none is used" in readings.failures["worker-1"]


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": ["x", None, {}]}, listed(value("other"))])
async def test_a_list_without_our_nodes_is_a_trouble(answer: Any) -> None:
    readings = await fetch({f"{BETA2}/*/inlet_temp": answer})
    assert readings.by_node == {}
    assert readings.failures[""] == "inlet: expected values of nodes; its list has none of this cluster"
