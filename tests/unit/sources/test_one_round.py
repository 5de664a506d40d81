"""One round over sensors and predictors: each node with all that was answered about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from peaks_scheduler.errors import NotFound
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.settings.predictors import PredictorSettings, ServedModel, ServerRule
from peaks_scheduler.settings.sensors import SensorSettings
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode, AnsweredNodes
from peaks_scheduler.sources.predictors.one_round import one_round, read_sources
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import NOW, node
from tests.support.served_models import Model, V2Server


async def nothing(path: str, query: Mapping[str, str]) -> Any:
    raise NotFound("HTTP 404")


def cluster(*names: str) -> list[Node]:
    return [node_from_api(node(name)) for name in names]


def settings(url: str = "http://127.0.0.1:1", **values: Mapping[str, float]) -> Settings:
    model = ServedModel("v2", url, "m", inputs=("cpu", "inlet"))
    rules = (ServerRule(model, selector={}),)
    return Settings(sensors=SensorSettings(values=values), predictors=PredictorSettings(rules, timeout=1.0))


async def asked(given: Settings, *names: str, **more: Any) -> AnsweredNodes:
    return await one_round(given, cluster(*names), nothing, EMPTY, 20.0, **more)


async def one(given: Settings, **more: Any) -> AnsweredNode:
    (found,) = (await asked(given, "a", **more)).nodes
    return found


def rising(rows: Any) -> Any:
    return 100.0 + 80.0 * rows[:, 0] + 2.0 * (rows[:, 1] - 20.0)


async def test_a_node_has_its_readings_its_predictor_and_its_curve() -> None:
    with V2Server({"m": Model(rising, 2)}) as server:
        found = await one(settings(server.url, a={"inlet": 25.0}))
    assert found.readings["inlet"].value == 25.0
    assert found.assignment is not None
    assert (found.version, found.batch, found.counts, found.reasons) == ("1", True, True, ())
    assert found.watts[0] == 110.0


async def test_a_reading_that_is_nonsense_does_not_reach_the_predictor() -> None:
    with V2Server({"m": Model(rising, 2)}) as server:
        found = await one(settings(server.url, a={"inlet": -128.0}))
    assert server.predictions == []
    assert "inlet" in found.distrusted
    assert (found.missing, found.counts) == ((), False)
    assert found.reasons == ("inlet is not known",)


async def test_without_settings_and_objects_there_is_nothing_to_tell() -> None:
    assert not (await asked(Settings(), "a", "b")).told


async def test_a_server_that_is_not_there_costs_its_nodes_alone() -> None:
    found = await one(settings(a={"inlet": 25.0}))
    assert not found.counts
    assert "http://127.0.0.1:1" in found.reasons[0]


async def test_labels_that_are_wrong_are_told() -> None:
    raw = node("a", labels={"tensorflow/host": "10.0.0.1"})
    found = await one_round(Settings(), [node_from_api(raw)], nothing, EMPTY, 20.0)
    assert "tensorflow/name" in found.nodes[0].unassigned
    assert found.told


async def test_a_source_that_hangs_is_named_and_the_others_are_read() -> None:
    class Hangs:
        name = "hangs"

        async def fetch(self, nodes: Sequence[Node]) -> Readings:
            await asyncio.Event().wait()
            raise AssertionError

        async def aclose(self) -> None: ...

    class Answers:
        name = "answers"
        closed = False

        async def fetch(self, nodes: Sequence[Node]) -> Readings:
            return Readings({"a": {"inlet": Reading(25.0, NOW, "x")}})

        async def aclose(self) -> None:
            self.closed = True

    answers = Answers()
    found = await read_sources([Hangs(), answers], cluster("a"), 0.01)
    assert found.by_node["a"]["inlet"].value == 25.0
    assert found.failures[""] == "hangs: expected its readings within 0.01 s; they did not come"
    assert answers.closed


async def test_a_reading_that_is_too_old_does_not_count_and_says_so() -> None:
    async def adapter(path: str, query: Mapping[str, str]) -> Any:
        if path != "/apis/custom.metrics.k8s.io/v1beta2/nodes/*/inlet_temp":
            raise NotFound("HTTP 404")
        whose = {"kind": "Node", "name": "a", "apiVersion": "/v1"}
        told = {"describedObject": whose, "metric": {"name": "inlet_temp"}, "timestamp": "2020-01-01T00:00:00Z"}
        return {"kind": "MetricValueList", "items": [told | {"windowSeconds": 0, "value": "25"}]}

    given = Settings(sensors=SensorSettings(custom_metrics={"inlet": "inlet_temp"}))
    found = await one_round(given, cluster("a"), adapter, EMPTY, 20.0)
    assert found.nodes[0].distrusted == {"inlet": "it is older than 120 s (sensors.expiry)"}
