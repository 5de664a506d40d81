"""What the demo records of its workload: bindings and endings in order, waiting times, decision records."""

from __future__ import annotations

import json
from typing import Any

from peaks_scheduler.commands.demo.recorder import Recorder
from peaks_scheduler.commands.demo.replay import PodEnded, PodPlaced
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer


class Ticks:
    """A clock that advances by one second with every reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def pod(name: str, scheduler: str = "Peaks") -> dict[str, Any]:
    container = {"name": "main", "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": {"schedulerName": scheduler, "containers": [container]}}


def recorded() -> tuple[EmbeddedApiServer, Recorder]:
    server, record = EmbeddedApiServer(), Recorder(Ticks())
    server.subscribe("pods", record.observe)
    return server, record


def test_a_binding_is_noted_once_with_what_the_pod_asks_for() -> None:
    server, record = recorded()
    server.add_pod(pod("a"))
    server.bind("a", "worker-1")
    server.change("pods", "a", {"status": {"phase": "Running"}})
    assert record.steps == [PodPlaced("a", 1500, 2**30, "worker-1")]
    assert (record.bound, record.median_wait()) == (1, 1.0)


def test_a_pod_ends_once_whether_it_finishes_or_is_removed_while_it_runs() -> None:
    server, record = recorded()
    for name in ("finishes", "removed"):
        server.add_pod(pod(name))
        server.bind(name, "worker-1")
    server.change("pods", "finishes", {"status": {"phase": "Succeeded"}})
    server.remove("pods", "finishes")
    server.remove("pods", "removed")
    assert record.steps[2:] == [PodEnded("finishes"), PodEnded("removed")]


def test_a_pod_that_never_had_a_node_does_not_end() -> None:
    server, record = recorded()
    server.add_pod(pod("a"))
    server.remove("pods", "a")
    assert record.steps == []


def test_pods_of_other_schedulers_are_not_the_workload() -> None:
    server, record = recorded()
    server.add_pod(pod("a", scheduler="default-scheduler"))
    server.bind("a", "worker-1")
    assert (record.steps, record.bound) == ([], 0)


def test_decision_records_are_kept_in_order_of_binding_and_may_be_missing() -> None:
    server, record = recorded()
    for name in "abc":
        server.add_pod(pod(name))
    for name in "cb":
        text = json.dumps({"node": f"worker-{name}"})
        server.change("pods", name, {"metadata": {"annotations": {"peaks-scheduler/decision": text}}})
    for name in "cab":
        server.bind(name, "worker-1")
    assert record.decisions == [("c", {"node": "worker-c"}), ("b", {"node": "worker-b"})]
