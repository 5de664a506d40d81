"""Pods with claims, on a real API server with the real volume controller and a provisioner that can be made to fail.

The cheapest node is worker-0, the next worker-1, and so on: where a pod goes elsewhere, its volumes wanted it. After
each test every pod is where kube-scheduler's own filters would have it, told once, and no claim names another node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.support.claims import SOON, assert_volumes_sound, claims_of, notes, selected, wait_told
from tests.e2e.support.cluster import path_of
from tests.e2e.support.controllers import (
    DEFAULT_SCHEDULER,
    deployment,
    scale,
    stateful_set,
    wait_bound,
    wait_claims_bound,
)
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.judging import picture
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.provisioner import SELECTED_NODE, Provisioner
from tests.e2e.support.volumes import (
    DRIVER,
    DYNAMIC,
    LOCAL,
    ONE_POD,
    capacity,
    claim,
    claim_template,
    csi_driver,
    csi_node,
    dynamic_class,
    ephemeral,
    local_class,
    local_volume,
    uses,
)
from tests.e2e.support.workload import condition, model, node, nodes, ours, placed, pod, wait_placed
from tests.parity.oracle import Oracle

WORKERS = [f"worker-{number}" for number in range(5)]
MODELS = [model((2000.0, 10.0 * 2**number, 1.0), nodes=[name]) for number, name in enumerate(WORKERS)]


@pytest.fixture(scope="module")
def shared(controllers: ControlPlane) -> Iterator[Daemon]:
    clear(controllers)
    with LoadEndpoint(dict.fromkeys(WORKERS, 10.0)) as load, beside(controllers, load.url, models=MODELS) as daemon:
        daemon.wait_leading()
        yield daemon
        assert [line for line in daemon.lines() if "exception" in line] == []


@pytest.fixture
def plane(controllers: ControlPlane) -> ControlPlane:
    """The control plane with nothing in it."""
    controllers.reset_workloads()
    return controllers


@pytest.fixture
def daemon(shared: Daemon, plane: ControlPlane) -> Daemon:
    """The shared daemon, with an empty cluster and a ledger that knows that it is empty."""
    wait_until(lambda: shared.metric("scheduler_cache_size") == 0, "an empty ledger")
    return shared


# --- StatefulSets -----------------------------------------------------------------------------------------------------


def test_a_stateful_set_runs_where_its_local_disks_are(daemon: Daemon, plane: ControlPlane, oracle: Oracle) -> None:
    plane.create_nodes(nodes(5))
    where = {f"disk-{number}": f"worker-{number}" for number in (2, 3, 4)}
    plane.create(local_class(), *(local_volume(name, host) for name, host in where.items()))
    plane.create(stateful_set("db", 3, claims=[claim_template("data", LOCAL)]))
    bound = wait_bound(plane, "db", 3)
    volumes = wait_claims_bound(plane, 3)
    assert {name: where[volumes[f"data-{name}"]] for name in bound} == bound
    assert_volumes_sound(plane, daemon, oracle)


def test_more_replicas_than_disks_wait_until_there_is_one_more(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(3))
    plane.create(local_class(), local_volume("disk-1", "worker-1"))
    plane.create(stateful_set("db", 2, claims=[claim_template("data", LOCAL)], parallel=True))
    words = "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."
    # either may be told so at first, while the one disk is not known yet
    waits = wait_until(lambda: told(plane, words) if len(placed(plane)) == 1 else [], "one placed, one waits")
    plane.create(local_volume("disk-2", "worker-2"))
    assert wait_placed(plane, waits[0], timeout=SOON) == "worker-2"
    assert_volumes_sound(plane, daemon, oracle)


def told(plane: ControlPlane, words: str) -> list[str]:
    """Pods that wait and were told so."""
    return [
        each["metadata"]["name"]
        for each in ours(plane)
        if condition(each).get("message") == words and "nodeName" not in each["spec"]
    ]


def test_a_stateful_set_comes_back_to_the_volumes_that_were_made_for_it(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(3, pods="1"))  # one each: the dearer nodes have their turn
    plane.create(dynamic_class())
    with Provisioner(plane) as provisioner:
        plane.create(stateful_set("db", 3, claims=[claim_template("data", DYNAMIC)], parallel=True))
        before = wait_bound(plane, "db", 3)
        assert sorted(provisioner.made) == sorted((f"data-{name}", host) for name, host in before.items())
        assert_volumes_sound(plane, daemon, oracle)
        scale(plane, "StatefulSet", "db", 0)
        wait_bound(plane, "db", 0)
        scale(plane, "StatefulSet", "db", 3)
        assert wait_bound(plane, "db", 3) == before
        assert_volumes_sound(plane, daemon, oracle)
    assert provisioner.refusals == []


def test_pods_that_share_a_claim_go_where_its_volume_is_made(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(3))
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane) as provisioner:
        plane.create(deployment("web", 4, volumes=uses("files")))
        hosts = set(wait_bound(plane, "web", 4).values())
        assert_volumes_sound(plane, daemon, oracle)
    assert [("files", host) for host in hosts] == provisioner.made


def test_a_volume_that_comes_and_goes_with_its_pod_is_made_where_the_pod_goes(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(2))
    plane.create(dynamic_class())
    with Provisioner(plane) as provisioner:
        plane.create(pod("web", volumes=[ephemeral("scratch", DYNAMIC)]))
        host = wait_placed(plane, "web")
        assert_volumes_sound(plane, daemon, oracle)
    assert provisioner.made == [("web-scratch", host)]


def test_two_schedulers_that_want_the_same_disks_get_one_each(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(5))
    disks = {f"disk-{number}-{which}": f"worker-{number}" for number in range(5) for which in "abcd"}
    plane.create(local_class(), *(local_volume(name, host) for name, host in disks.items()))
    their_scheduler = plane.start_kube_scheduler()
    claims = [claim_template("data", LOCAL)]
    ours_and_theirs = [
        stateful_set("ours", 10, claims=claims, parallel=True),
        stateful_set("theirs", 10, scheduler=DEFAULT_SCHEDULER, claims=claims, parallel=True),
    ]
    plane.create(*ours_and_theirs)
    hosts = wait_bound(plane, "ours", 10) | wait_bound(plane, "theirs", 10)
    their_scheduler.stop()
    volumes = wait_claims_bound(plane, 20)
    assert sorted(volumes.values()) == sorted(disks)
    assert {name: disks[volumes[f"data-{name}"]] for name in hosts} == hosts
    assert_volumes_sound(plane, daemon, oracle)


# --- the provisioner says no, or nothing ------------------------------------------------------------------------------


def test_where_a_claim_is_sent_back_the_pod_is_tried_again(daemon: Daemon, plane: ControlPlane, oracle: Oracle) -> None:
    plane.create_nodes(nodes(2))
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane, refused_claims=["files"]) as provisioner:
        plane.create(pod("web", volumes=uses("files")))
        assert wait_told(plane, "web", 'provisioning failed for PVC "files"')["reason"] == "SchedulerError"
        provisioner.refused_claims.clear()
        assert wait_placed(plane, "web", timeout=SOON) == provisioner.made[0][1]
        assert_volumes_sound(plane, daemon, oracle)


def test_when_many_claims_are_sent_back_at_once_all_pods_are_placed_in_the_end(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(3, pods="10"))
    plane.create(dynamic_class())
    refused = [f"data-db-{number}" for number in range(0, 20, 2)]
    with Provisioner(plane, refused_claims=refused) as provisioner:
        plane.create(stateful_set("db", 20, claims=[claim_template("data", DYNAMIC)], parallel=True))
        wait_until(lambda: {name for name, _ in provisioner.refusals} == set(refused), "each of them sent back")
        provisioner.refused_claims.clear()
        wait_bound(plane, "db", 20)
        assert_volumes_sound(plane, daemon, oracle)


def test_a_node_that_the_provisioner_refuses_does_not_get_the_pod(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(1))
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane, refused_nodes=["worker-0"]) as provisioner:
        plane.create(pod("web", volumes=uses("files")))
        wait_until(lambda: len(provisioner.refusals) >= 2, "the only node refused twice")
        plane.create_nodes([node("worker-1")])  # not the cheaper one: that is tried again only if there is no other
        assert wait_placed(plane, "web", timeout=SOON) == "worker-1"
        assert_volumes_sound(plane, daemon, oracle)
    assert provisioner.made == [("files", "worker-1")]


def test_a_pod_whose_node_goes_while_its_volume_is_made_goes_elsewhere(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(2))
    both_known(daemon)
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane, silent=True) as provisioner:
        plane.create(pod("web", volumes=uses("files")))
        assert selected(plane, "files") == "worker-0"
        plane.api.delete("/api/v1/nodes/worker-0")
        wait_until(lambda: notes(plane, "files").get(SELECTED_NODE) == "worker-1", "the other node selected", SOON)
        provisioner.silent = False
        assert wait_placed(plane, "web") == "worker-1"
        assert_volumes_sound(plane, daemon, oracle)


def test_a_pod_that_is_deleted_while_its_volume_is_made_leaves_the_claim_free_for_the_next(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(2))
    both_known(daemon)
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane, silent=True) as provisioner:
        plane.create(pod("web", volumes=uses("files")))
        assert selected(plane, "files") == "worker-0"
        plane.delete_all_pods()
        wait_until(lambda: SELECTED_NODE not in notes(plane, "files"), "the claim free again")
        wait_until(lambda: daemon.metric("scheduler_cache_size", type="assumed_pods") == 0, "nothing assumed")
        plane.create(pod("next", volumes=uses("files"), nodeSelector={"kubernetes.io/hostname": "worker-1"}))
        provisioner.silent = False
        assert wait_placed(plane, "next") == "worker-1"
        assert_volumes_sound(plane, daemon, oracle)


def both_known(daemon: Daemon) -> None:
    """Which of two equal nodes a pod gets is told by their names, once the scheduler has seen both."""
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="nodes") == 2, "both nodes known")


def test_a_pod_that_waits_for_its_volume_holds_its_place_and_holds_up_nobody(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes([node("worker-0", cpu="2"), node("worker-1", cpu="2")])
    both_known(daemon)
    plane.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(plane, silent=True) as provisioner:
        plane.create(pod("web", cpu="1200m", volumes=uses("files")))  # below the ceiling of 80 %, with load and without
        assert selected(plane, "files") == "worker-0"
        plane.create(pod("large", cpu="1"))
        assert wait_placed(plane, "large") == "worker-1"
        assert "nodeName" not in plane.read("Pod", "web")["spec"]
        provisioner.silent = False
        assert wait_placed(plane, "web") == "worker-0"
        assert_volumes_sound(plane, daemon, oracle)


# --- claims that come late, limits ------------------------------------------------------------------------------------


def test_a_pod_with_an_immediate_claim_waits_until_the_claim_is_bound(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(2))
    both_known(daemon)
    plane.create(dynamic_class(immediate=True), claim("files", DYNAMIC))
    plane.create(pod("web", volumes=uses("files")))
    told = wait_told(plane, "web", "pod has unbound immediate PersistentVolumeClaims")
    assert told["message"] == oracle.judge(picture(plane))["default/web"]["message"]
    with Provisioner(plane):
        wait_placed(plane, "web", timeout=SOON)
    assert_volumes_sound(plane, daemon, oracle)


def test_a_pod_whose_claim_is_not_there_yet_waits_for_it(daemon: Daemon, plane: ControlPlane, oracle: Oracle) -> None:
    plane.create_nodes(nodes(2))
    both_known(daemon)
    plane.create(local_class(), local_volume("disk", "worker-1"), pod("web", volumes=uses("late")))
    told = wait_told(plane, "web", 'persistentvolumeclaim "late" not found')
    assert told["message"] == oracle.judge(picture(plane))["default/web"]["message"]
    plane.create(claim("late"))
    assert wait_placed(plane, "web", timeout=SOON) == "worker-1"
    assert_volumes_sound(plane, daemon, oracle)


def test_a_claim_for_one_pod_is_used_by_one_after_the_other(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(1))
    plane.create(local_class(), local_volume("disk", "worker-0", modes=ONE_POD), claim("own", modes=ONE_POD))
    plane.create(pod("first", volumes=uses("own")))
    wait_placed(plane, "first")
    plane.create(pod("second", volumes=uses("own")))
    told = wait_told(plane, "second", "ReadWriteOncePod")
    assert told["message"] == oracle.judge(picture(plane))["default/second"]["message"]
    plane.api.delete(path_of("Pod", "first"), {"gracePeriodSeconds": 0})
    wait_placed(plane, "second", timeout=SOON)
    assert_volumes_sound(plane, daemon, oracle)


def test_nodes_get_no_more_volumes_than_their_driver_attaches(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes(nodes(2))
    plane.create(dynamic_class(), csi_driver(), csi_node("worker-0", {DRIVER: 2}), csi_node("worker-1", {DRIVER: 1}))
    names = [f"files-{number}" for number in range(4)]
    plane.create(*(claim(name, DYNAMIC) for name in names))
    with Provisioner(plane):
        plane.create_pods([pod(f"web-{number}", volumes=uses(name)) for number, name in enumerate(names)])
        words = "0/2 nodes are available: 2 node(s) exceed max volume count."
        wait_until(lambda: [each for each in ours(plane) if condition(each).get("message") == words], "the last waits")
        wait_until(lambda: Counter(placed(plane).values()) == {"worker-0": 2, "worker-1": 1}, "the others placed")
        leaving = next(each for each in ours(plane) if each["spec"].get("nodeName") == "worker-1")
        plane.api.delete(path_of("Pod", leaving["metadata"]["name"]), {"gracePeriodSeconds": 0})
        wait_until(lambda: all("nodeName" in each["spec"] for each in ours(plane)), "the last placed", SOON)
        plane.api.delete(path_of("PersistentVolumeClaim", claims_of(leaving)[0]))
        assert_volumes_sound(plane, daemon, oracle)


def test_volumes_are_made_only_where_the_driver_said_there_is_room(
    daemon: Daemon, plane: ControlPlane, oracle: Oracle
) -> None:
    plane.create_nodes([node("worker-0", labels={"zone": "a"}), node("worker-1", labels={"zone": "b"})])
    plane.create(dynamic_class(), csi_driver(capacity=True), csi_node("worker-0"), csi_node("worker-1"))
    plane.create(capacity("little", "1Mi", zone="a"), claim("files", DYNAMIC))
    with Provisioner(plane):
        plane.create(pod("web", volumes=uses("files")))
        wait_told(plane, "web", "0/2 nodes are available: 2 node(s) did not have enough free storage.")
        plane.create(capacity("much", "1Ti", zone="b"))
        assert wait_placed(plane, "web", timeout=SOON) == "worker-1"
        assert_volumes_sound(plane, daemon, oracle)
