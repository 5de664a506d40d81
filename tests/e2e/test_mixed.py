"""The clusters of the differential test on a real API server: each decision against kube-scheduler's own filters.

One daemon sees all of them come and go. Everything of a cluster is in place before its pods lose their gates, so that
the only things that change from then on are what the daemon itself does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.judging import could_be_placed, misjudged, misplaced, picture
from tests.e2e.support.processes import wait_until
from tests.e2e.support.scenes import Scene, is_to_be_placed, lift_gates, prepare, stage, strike
from tests.e2e.support.workload import condition
from tests.parity.generate import scenario
from tests.parity.oracle import Oracle

GROUPS = (
    "spread",
    "spread-policies",
    "pod-affinity",
    "pod-anti-affinity",
    "existing-anti-affinity",
    "namespaces",
    "match-label-keys",
    "nominated",
    "volumes-bound",
    "volumes-immediate",
    "volume-zone",
    "volume-limits",
    "volume-restrictions",
    "declared-features",
    "ports",
    "resources",
)
COUNTS = {"mixed": 6, **dict.fromkeys(GROUPS, 2)}
"""How many clusters of each group are judged."""
ALIKE = 4  # pods where the cluster has one to be placed: what the first of them changes is there for the next
TRIES = 3  # times as many are looked at: the server may refuse too much of one, or all the pods to be placed
ACCEPTED = 0.75  # of the objects of a cluster, at least: with fewer it would be another cluster


@pytest.fixture(scope="module")
def daemon(control_plane: ControlPlane) -> Iterator[Daemon]:
    clear(control_plane)
    prepare(control_plane)
    with beside(control_plane) as daemon:
        daemon.wait_leading()
        yield daemon
        assert [line for line in daemon.lines() if "exception" in line] == []
    strike(control_plane)


def needs_a_controller(pod: Object, objects: list[Object]) -> bool:
    """Does it use a claim that waits for its first consumer? Whoever binds that does not run here."""
    now = {each["metadata"]["name"] for each in objects if each.get("volumeBindingMode") == "Immediate"}
    waiting = {
        each["metadata"]["name"]
        for each in objects
        if each["kind"] == "PersistentVolumeClaim"
        if "volumeName" not in each["spec"] and each["spec"].get("storageClassName") not in (*now, None, "")
    }
    volumes = pod["spec"].get("volumes", ())
    used = {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}
    return any("ephemeral" in each for each in volumes) or not used.isdisjoint(waiting)


def is_known(plane: ControlPlane, daemon: Daemon) -> bool:
    """Has kwok done what it does, and does the daemon know as many nodes and pods as there are?"""
    nodes = plane.api.get("/api/v1/nodes")["items"]
    pods = [each for each in plane.list_pods() if each["status"]["phase"] not in ("Succeeded", "Failed")]
    names = {each["metadata"]["name"] for each in nodes}
    starting = [each for each in pods if each["spec"].get("nodeName") in names and is_starting(each)]
    if starting or not all(each["status"].get("conditions") for each in nodes):
        return False
    return known(daemon, "nodes") == len(nodes) and known(daemon, "pods") == len(pods)


def is_starting(pod: Object) -> bool:
    return pod["status"]["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]


def known(daemon: Daemon, what: str) -> float:
    """How many ``nodes``, or unfinished ``pods``, the daemon knows."""
    return daemon.metric("scheduler_cache_size", type=what)


def is_settled(plane: ControlPlane, scene: Scene) -> bool:
    """Is each pod on a node, or told why not?"""
    uids = {each["metadata"]["uid"] for each in scene.waiting}
    pods = [each for each in plane.list_pods() if each["metadata"]["uid"] in uids]
    told = [
        "nodeName" in each["spec"]
        or "schedulingGates" in each["spec"]
        or condition(each).get("reason", "SchedulingGated") != "SchedulingGated"
        for each in pods
    ]
    return all(told)


@pytest.mark.parametrize("group", COUNTS)
def test_each_pod_is_where_kube_scheduler_could_have_put_it_or_told_what_it_would_have_said(
    daemon: Daemon, control_plane: ControlPlane, oracle: Oracle, group: str
) -> None:
    judged, wrong = 0, []
    for seed in range(1, TRIES * COUNTS[group] + 1):
        if judged == COUNTS[group]:
            break
        scene = staged(control_plane, daemon, scenario(group, seed))
        if scene is not None:
            judged += 1
            wrong += [f"{group} {seed}: {words}" for words in judge(control_plane, daemon, oracle, scene)]
    assert judged == COUNTS[group]
    assert wrong == []


def staged(plane: ControlPlane, daemon: Daemon, objects: list[Object]) -> Scene | None:
    """The cluster, once the daemon knows all of it; None for one that would show nothing."""
    objects = [each for each in objects if each["kind"] != "Pod" or not needs_a_controller(each, objects)]
    objects += [twin for each in objects if is_to_be_placed(each) for twin in twins(each)]
    strike(plane)
    wait_until(lambda: daemon.metric("scheduler_cache_size") == 0, "an empty ledger")
    scene = stage(plane, objects)
    if not scene.waiting or scene.created < ACCEPTED * len(objects):
        return None
    wait_until(lambda: is_known(plane, daemon), "everything known")
    return scene


def twins(pod: Object) -> Iterator[Object]:
    """More pods like this one, by other names."""
    for number in range(1, ALIKE):
        ids = {key: f"{pod['metadata'][key]}-{number}" for key in ("name", "uid")}
        yield {**pod, "metadata": {**pod["metadata"], **ids}}


def judge(plane: ControlPlane, daemon: Daemon, oracle: Oracle, scene: Scene) -> list[str]:
    """What kube-scheduler's filters object to, once all pods of the scene are placed or told why not."""
    before, said = picture(plane), len(daemon.lines())
    lift_gates(plane, scene)
    wait_until(lambda: is_settled(plane, scene), "each pod placed or told")
    wait_until(lambda: not could_be_placed(oracle, picture(plane)), "nobody waits who could be placed", every=0.5)
    after = picture(plane)
    wait_until(lambda: placements(scene, after) <= bound(daemon.lines()[said:]), "each placement in the log")
    log = daemon.lines()[said:]
    return misplaced(oracle, before, after, log) + misjudged(oracle, before, after, log)


def placements(scene: Scene, after: list[Object]) -> set[str]:
    """The scene's pods that are on nodes, as the log names them."""
    uids = {each["metadata"]["uid"] for each in scene.waiting}
    pods = [each for each in after if each["metadata"]["uid"] in uids and "nodeName" in each["spec"]]
    return {f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in pods}


def bound(log: list[Object]) -> set[str]:
    return {line["pod"] for line in log if line["message"] == "bound"}
