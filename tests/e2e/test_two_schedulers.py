"""Beside kube-scheduler on the same nodes: while there is room nothing is overbooked; when it happens, we notice.

Two schedulers race by nature: each binds on what it knew a moment before. What is shown here is that our part of it is
known at once, counted, and that the node is left in peace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.stopwatch import Stopwatch
from tests.e2e.support.workload import (
    condition,
    events_of,
    model,
    node,
    nodes,
    overcommitted,
    placed,
    pod,
    pods,
    wait_placed,
)
from tests.support.builders import BENT_UP

NOTICED_WITHIN = 1.0  # [s] as promised
WORKERS, CORES = 10, 4
PODS_OF_FULL = WORKERS * CORES * 10  # of 100m each


@pytest.fixture
def daemon(control_plane: ControlPlane) -> Iterator[Daemon]:
    """Ours, with models that spread pods as kube-scheduler does."""
    clear(control_plane)
    load = LoadEndpoint({f"worker-{number}": 1.0 for number in range(WORKERS)})
    models = [model(BENT_UP, nodes=[f"worker-{number}" for number in range(WORKERS)])]
    with load, beside(control_plane, load.url, models=models) as running:
        running.wait_leading()
        yield running


@pytest.fixture
def kube_scheduler(control_plane: ControlPlane) -> Iterator[None]:
    theirs = control_plane.start_kube_scheduler()
    yield
    theirs.stop()


def watch(plane: ControlPlane, daemon: Daemon) -> Stopwatch:
    """Of the way from a Binding to our log."""
    return Stopwatch(daemon.process, plane.process("kube-apiserver"), plane.process("etcd"))


def mixed(share: float, suffix: str = "") -> list[Object]:
    """Pods of both schedulers in turn, as many as fill this share of the nodes."""
    count = int(PODS_OF_FULL * share / 2)
    ours = pods(count, f"ours{suffix}", cpu="100m")
    theirs = pods(count, f"theirs{suffix}", cpu="100m", scheduler="default-scheduler")
    return [each for pair in zip(ours, theirs, strict=True) for each in pair]


def settled(plane: ControlPlane) -> bool:
    """Is every pod placed, or told that it cannot be?"""
    return all("nodeName" in each["spec"] or condition(each).get("status") == "False" for each in plane.list_pods())


def fullest(plane: ControlPlane) -> float:
    """Share of its CPU that the fullest node has given away."""
    counts = Counter(each["spec"]["nodeName"] for each in plane.list_pods() if "nodeName" in each["spec"])
    return max(counts.values()) * 0.1 / CORES


def test_while_no_node_is_more_than_nine_tenths_full_nothing_is_overbooked(
    daemon: Daemon, kube_scheduler: None, control_plane: ControlPlane
) -> None:
    control_plane.create_nodes(nodes(WORKERS, cpu=str(CORES), pods="250"))
    control_plane.create_pods(mixed(0.8))
    wait_until(lambda: settled(control_plane), "every pod settled", every=0.3)
    assert len(placed(control_plane)) == PODS_OF_FULL * 0.8 / 2
    assert fullest(control_plane) <= 0.9
    assert overcommitted(control_plane) == {}
    assert daemon.metric("peaks_overbooked_total") == 0


def test_when_the_nodes_fill_up_every_overbooking_is_noticed_counted_and_cooled(
    daemon: Daemon, kube_scheduler: None, control_plane: ControlPlane
) -> None:
    control_plane.create_nodes(nodes(WORKERS, cpu=str(CORES), pods="250"))
    control_plane.create_pods(mixed(0.8))
    wait_until(lambda: settled(control_plane), "every pod settled", every=0.3)
    since = watch(control_plane, daemon)
    control_plane.create_pods(mixed(0.4, "-late"))  # twice as many as there is room for
    wait_until(lambda: settled(control_plane), "every pod settled", every=0.3)
    # we put nothing onto a full node, so each pod too many is one of theirs, and each of them is one overbooking
    many = too_many(control_plane)
    wait_until(lambda: daemon.metric("peaks_overbooked_total") >= many, f"{many} overbookings counted")
    wait_until(lambda: len(daemon.lines("node in cooldown")) >= many, f"{many} of them in the log")
    lines = daemon.lines("node in cooldown")
    assert daemon.metric("peaks_overbooked_total") == len(lines) == many
    assert {line["reason"] for line in lines} <= {"overbooked"}
    assert {line["node"] for line in lines} == overcommitted(control_plane).keys()
    took = [seconds(line["time"]) - told_at(control_plane, line["pod"]) for line in lines]
    assert max(took, default=0.0) <= NOTICED_WITHIN + since.waited()


def too_many(plane: ControlPlane) -> int:
    """Pods of 100m beyond what the nodes have room for."""
    counts = Counter(each["spec"]["nodeName"] for each in plane.list_pods() if "nodeName" in each["spec"])
    return sum(max(0, count - 10 * CORES) for count in counts.values())


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def told_at(plane: ControlPlane, pod: str) -> float:
    """When the Scheduled event of a pod was written."""
    event = wait_until(lambda: events_of(plane, pod.removeprefix("default/"), "Scheduled"), f"the event of {pod}")[0]
    return seconds(event["eventTime"])


def test_an_overbooking_by_another_hand_is_noticed_and_the_node_left_in_peace(
    daemon: Daemon, control_plane: ControlPlane
) -> None:
    control_plane.create_nodes([node("worker-0", cpu="2")])
    control_plane.create_pods([pod("ours", cpu="1500m"), pod("theirs", cpu="1", scheduler="nobody")])
    assert wait_placed(control_plane, "ours") == "worker-0"
    since = watch(control_plane, daemon)
    control_plane.bind("theirs", "worker-0")
    line = daemon.wait_for("node in cooldown", node="worker-0", pod="default/theirs")
    control_plane.create_pods([pod("next", cpu="0")])  # at once: the node rests for 15 s
    bound = condition(control_plane.api.get("/api/v1/namespaces/default/pods/theirs"))["lastTransitionTime"]
    # the server's stamp is in whole seconds
    assert seconds(line["time"]) - seconds(bound) <= 1.0 + NOTICED_WITHIN + since.waited()
    assert line["reason"] == "overbooked"
    wait_until(lambda: daemon.metric("peaks_overbooked_total") == 1, "the overbooking counted")
    assert overcommitted(control_plane) == {"worker-0": ["cpu"]}

    # a request of nothing would fit, and still it waits: not for a node that an autoscaler could buy
    path = "/api/v1/namespaces/default/pods/next"
    waits = wait_until(lambda: condition(control_plane.api.get(path)), "the next pod told")
    assert waits["reason"] == "WaitingForNodes"
    assert "resting" in waits["message"]
    control_plane.create_nodes([node("worker-1", cpu="2")])
    assert wait_placed(control_plane, "next") == "worker-1"
