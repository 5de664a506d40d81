"""A user's own cluster for the simulator: a real API server's dump with metrics-server's measurements, and the history
of a real Prometheus over the real kube-state-metrics.

Expected are the objects that the test has made, at the times at which it made and deleted them, and the use that the
pods' annotations and our cAdvisor declare. Times are right to a few seconds: kube-state-metrics has whole seconds, a
pod that is gone is missed at the next scrape, and this machine is busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from peaks_scheduler.commands.simulate.cluster.dump import nodes_of_dump, workload_of_dump
from peaks_scheduler.commands.simulate.cluster.prometheus import (
    nodes_of_prometheus,
    request_of,
    workload_of_prometheus,
)
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job
from tests.e2e.support.api import Object
from tests.e2e.support.kube_state import Cadvisor, KubeState
from tests.e2e.support.metrics_server import MeteredControlPlane, metered, uses
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.workload import node, pod
from tests.support.builders import taint

KIND = "node.kubernetes.io/instance-type"
SMALL, BIG = Linear(50.0, 100.0), Linear(90.0, 200.0)
MODELS = PowerModels(
    by_selector=tuple(({KIND: kind}, PowerModel(kind, curve)) for kind, curve in (("small", SMALL), ("big", BIG)))
)
USE = {"web-0": 1.5, "agent-0": 0.25, "spare-0": 0.5}
"""[cores] by pod."""
SPAN = 100.0
"""[s] of life, three quarters of the shortest window of a rate and more."""
GONE_AFTER = 50.0
NEAR = 12.0
"""[s]"""


@dataclass(frozen=True)
class Stage:
    """The cluster after a while, in which one pod was deleted."""

    plane: MeteredControlPlane
    prometheus: Prometheus
    begun: float
    deleted: float


def bound(name: str, on: str, **more: object) -> Object:
    """A pod that its owner put on a node itself."""
    return pod(name, node=on, annotations=uses(f"{USE[name]}"), scheduler="default-scheduler", **more)


def owned_by(raw: Object, kind: str) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "owner", "uid": "a-uid", "controller": True}
    return {**raw, "metadata": {**raw["metadata"], "ownerReferences": [owner]}}


@pytest.fixture(scope="module")
def stage(metered_plane: MeteredControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two nodes, one of them tainted; a pod of a ReplicaSet, one of a DaemonSet, and one that is deleted half-way."""
    plane = metered_plane
    plane.reset()
    small = node("worker-0", cpu="4", memory="16Gi", labels={KIND: "small"}, annotations=metered("worker-0"))
    big = node("worker-1", labels={KIND: "big"}, annotations=metered("worker-1"), taints=[taint("dedicated", "db")])
    with (
        KubeState(plane) as state,
        Cadvisor() as cadvisor,
        Prometheus(tmp_path_factory.mktemp("prometheus"), [state.target, cadvisor.target]) as prometheus,
    ):
        plane.create_nodes([small, big])
        prometheus.wait_until("kube_node_info", series=2)
        begun = time.time()
        plane.create_pods(
            [
                owned_by(bound("web-0", "worker-1", cpu="2", memory="1Gi"), "ReplicaSet"),
                owned_by(bound("agent-0", "worker-0", cpu="500m"), "DaemonSet"),
                bound("spare-0", "worker-0"),
            ]
        )
        for name, cores in USE.items():
            cadvisor.run(name, cores)
        wait_until(lambda: time.time() > begun + GONE_AFTER, "some life of all pods", SPAN + PATIENCE, every=0.5)
        plane.api.delete("/api/v1/namespaces/default/pods/spare-0", {"gracePeriodSeconds": 0})
        cadvisor.end("spare-0")
        deleted = time.time()
        wait_until(
            lambda: time.time() > begun + SPAN, "some life of the pods that are left", SPAN + PATIENCE, every=0.5
        )
        yield Stage(plane, prometheus, begun, deleted)


def by_name(nodes: tuple[SimulatedNode, ...]) -> Mapping[str, SimulatedNode]:
    return {each.name: each for each in nodes}


def assert_the_nodes(nodes: tuple[SimulatedNode, ...]) -> None:
    found = by_name(nodes)
    assert {name: (each.cpu_cores, each.memory_mib, each.curve) for name, each in found.items()} == {
        "worker-0": (4.0, 16 * 1024.0, SMALL),
        "worker-1": (8.0, 32 * 1024.0, BIG),
    }
    tainted = found["worker-1"].node
    assert tainted is not None
    assert [(each.key, each.value, each.effect) for each in tainted.taints] == [("dedicated", "db", "NoSchedule")]


# --- kubectl ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dump(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the documentation says to type."""
    plane, path = stage.plane, tmp_path_factory.mktemp("dump") / "cluster.json"
    wait_until(lambda: len(plane.pod_metrics()) == 2, "metrics-server has measured the pods", 2 * PATIENCE, every=1.0)
    path.write_text(
        plane.kubectl("get", "nodes,pods,pv,pvc", "-A", "-o", "json")
        + plane.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods")
    )
    return str(path)


def test_the_nodes_of_a_dump_have_their_models_and_taints(dump: str) -> None:
    nodes, _ = nodes_of_dump(dump, MODELS)
    assert_the_nodes(nodes)


def test_the_pods_of_a_dump_have_their_requests_and_metrics_servers_measurement(dump: str) -> None:
    jobs = {job.name: job for job in workload_of_dump(dump, 3600.0, Settings()).jobs}
    assert {name: (job.cpu_cores, job.node) for name, job in jobs.items()} == {
        "default/web-0": (2.0, ""),
        "default/agent-0": (0.5, "worker-0"),
    }
    used = {name: job.cpu_used_cores for name, job in jobs.items()}
    assert used == pytest.approx({"default/web-0": USE["web-0"], "default/agent-0": USE["agent-0"]}, rel=0.1)


# --- Prometheus -------------------------------------------------------------------------------------------------------


def asked(stage: Stage) -> tuple[Settings, float, float]:
    """A range that holds the whole life of the pods."""
    seconds = int(time.time() - stage.begun) + 10
    return request_of(f"{stage.prometheus.url}?range={seconds}s&step=5s", Settings())


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> Mapping[str, Job]:
    return {job.name: job for job in workload_of_prometheus(*asked(stage)).jobs}


def test_the_nodes_that_prometheus_knows_have_their_models_and_taints(stage: Stage) -> None:
    nodes, _ = nodes_of_prometheus(*asked(stage), MODELS)
    assert_the_nodes(nodes)


def test_the_pods_that_prometheus_knows_have_their_requests_and_stay_or_move(jobs: Mapping[str, Job]) -> None:
    assert {name: (job.cpu_cores, job.memory_mib, job.node) for name, job in jobs.items()} == {
        "default/web-0": (2.0, 1024.0, ""),
        "default/agent-0": (0.5, 0.0, "worker-0"),
        "default/spare-0": (0.0, 0.0, ""),
    }


def test_a_pod_that_is_gone_has_lived_as_long_as_it_did(stage: Stage, jobs: Mapping[str, Job]) -> None:
    assert jobs["default/spare-0"].duration_s == pytest.approx(stage.deleted - stage.begun, abs=NEAR)
    assert jobs["default/web-0"].duration_s >= SPAN - NEAR


def test_the_use_that_cadvisor_tells_is_counted_once(jobs: Mapping[str, Job]) -> None:
    """To a fifth: the first and the last scrape are seconds apart from the life of fifty, where the machine is busy."""
    used = {name.removeprefix("default/"): job.cpu_used_cores for name, job in jobs.items()}
    assert used == pytest.approx(USE, rel=0.2)


def test_a_pod_tolerates_the_taint_of_the_node_that_it_was_seen_on(jobs: Mapping[str, Job]) -> None:
    tolerated = {name: [each.key for each in job.pod.tolerations] for name, job in jobs.items() if job.pod}
    assert tolerated == {"default/web-0": ["dedicated"], "default/agent-0": [], "default/spare-0": []}


def test_a_dump_of_nodes_and_the_history_of_pods_go_together(dump: str, jobs: Mapping[str, Job]) -> None:
    nodes, _ = nodes_of_dump(dump, MODELS)
    assert {job.node for job in jobs.values()} - {""} <= set(by_name(nodes))
