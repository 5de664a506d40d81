"""The stage for workloads and volumes: real controllers, a provisioner and local disks, under kube-scheduler.

What holds here holds for any scheduler; a test of another one that fails where these pass has found something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.controllers import (
    DEFAULT_SCHEDULER,
    deployment,
    finish_terminating,
    in_place,
    job,
    pods_of,
    roll_out,
    scale,
    spread,
    stateful_set,
    wait_bound,
    wait_claims_bound,
    wait_rolled_out,
)
from tests.e2e.support.controlplane import ControlPlane
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
from tests.e2e.support.workload import condition, node, nodes, pod, wait_placed
from tests.support.builders import anti_affinity

pytestmark = pytest.mark.usefixtures("_empty")
WORKERS = [f"worker-{number}" for number in range(3)]


@pytest.fixture(scope="module", autouse=True)
def _kube_scheduler(controllers: ControlPlane) -> Iterator[None]:
    scheduler = controllers.start_kube_scheduler()
    yield
    scheduler.stop()


@pytest.fixture
def _empty(controllers: ControlPlane) -> None:
    controllers.reset_workloads()


def wait_refused(cluster: ControlPlane, name: str, reason: str) -> None:
    """Until a pod of kube-scheduler's is told that it goes nowhere, with this in the message."""
    path = f"/api/v1/namespaces/default/pods/{name}"
    wait_until(lambda: reason in condition(cluster.api.get(path)).get("message", ""), f"{name}: {reason}")


def claim_of(cluster: ControlPlane, name: str) -> Object:
    return cluster.read("PersistentVolumeClaim", name)


def notes(cluster: ControlPlane, claim_name: str) -> Object:
    return dict(claim_of(cluster, claim_name)["metadata"].get("annotations", {}))


# --- workloads --------------------------------------------------------------------------------------------------------


def test_pods_of_a_deployment_that_repel_each_other_are_on_different_nodes(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    apart = deployment("web", 3, scheduler=DEFAULT_SCHEDULER, affinity=anti_affinity({"app": "web"}))
    controllers.create(apart)
    assert sorted(wait_bound(controllers, "web", 3).values()) == WORKERS


def test_a_deployment_is_scaled_and_keeps_its_spread(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    even = deployment("web", 3, scheduler=DEFAULT_SCHEDULER, topologySpreadConstraints=[spread("web")])
    controllers.create(even)
    wait_bound(controllers, "web", 3)
    scale(controllers, "Deployment", "web", 9)
    assert Counter(wait_bound(controllers, "web", 9).values()) == dict.fromkeys(WORKERS, 3)
    scale(controllers, "Deployment", "web", 0)
    assert wait_bound(controllers, "web", 0) == {}


def test_a_rollout_on_full_nodes_replaces_every_pod(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    apart = anti_affinity({"app": "web"})
    controllers.create(deployment("web", 3, scheduler=DEFAULT_SCHEDULER, strategy=in_place(), affinity=apart))
    before = wait_bound(controllers, "web", 3)
    roll_out(controllers, "Deployment", "web", "second")
    wait_rolled_out(controllers, "Deployment", "web")
    after = wait_bound(controllers, "web", 3)
    assert before.keys().isdisjoint(after)
    assert sorted(after.values()) == WORKERS


def test_pods_deleted_with_grace_hold_their_place_until_a_kubelet_is_done(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(deployment("web", 2, scheduler=DEFAULT_SCHEDULER, grace=30))
    left = wait_bound(controllers, "web", 2)
    wait_rolled_out(controllers, "Deployment", "web")
    scale(controllers, "Deployment", "web", 0)
    wait_until(lambda: not pods_of(controllers, "web"), "both pods deleted")
    assert {each["metadata"]["name"] for each in controllers.list_pods()} == left.keys()
    assert sorted(finish_terminating(controllers)) == sorted(left)
    assert controllers.list_pods() == []


def test_a_job_is_done(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(job("sum", 3, scheduler=DEFAULT_SCHEDULER))
    wait_until(lambda: controllers.read("Job", "sum")["status"].get("succeeded") == 3, "three completions")


def test_what_a_deleted_deployment_owned_goes_with_it(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(deployment("web", 2, scheduler=DEFAULT_SCHEDULER))
    wait_bound(controllers, "web", 2)
    controllers.delete_all("/apis/apps/v1/deployments")
    wait_until(lambda: not controllers.list_all("ReplicaSet") and not controllers.list_pods(), "nothing left")


# --- volumes ----------------------------------------------------------------------------------------------------------


def test_a_stateful_set_runs_where_its_local_volumes_are(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(5))
    where = {f"disk-{number}": f"worker-{number}" for number in range(1, 4)}
    controllers.create(local_class(), *(local_volume(name, node) for name, node in where.items()))
    controllers.create(stateful_set("db", 3, scheduler=DEFAULT_SCHEDULER, claims=[claim_template("data", LOCAL)]))
    bound = wait_bound(controllers, "db", 3)
    volumes = wait_claims_bound(controllers, 3)
    assert {name: where[volumes[f"data-{name}"]] for name in bound} == bound
    assert sorted(volumes.values()) == sorted(where)


def test_a_claim_gets_its_volume_on_the_node_that_was_selected(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    controllers.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(controllers) as provisioner:
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=uses("files")))
        chosen = wait_placed(controllers, "web")
        volumes = wait_claims_bound(controllers, 1)
    assert notes(controllers, "files")[SELECTED_NODE] == chosen
    assert provisioner.made == [("files", chosen)]
    affinity = controllers.read("PersistentVolume", volumes["files"])["spec"]["nodeAffinity"]["required"]
    assert affinity["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == [chosen]


def test_a_stateful_set_keeps_its_volumes_over_a_scale_down(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    claims = [claim_template("data", DYNAMIC)]
    controllers.create(dynamic_class())
    with Provisioner(controllers):
        controllers.create(stateful_set("db", 3, scheduler=DEFAULT_SCHEDULER, claims=claims, parallel=True))
        before = wait_bound(controllers, "db", 3)
        scale(controllers, "StatefulSet", "db", 0)
        wait_bound(controllers, "db", 0)
        scale(controllers, "StatefulSet", "db", 3)
        assert wait_bound(controllers, "db", 3) == before


def test_a_claim_that_was_sent_back_is_tried_again(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(2))
    controllers.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(controllers, refused_claims=["files"]) as provisioner:
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=uses("files")))
        wait_until(lambda: provisioner.refusals, "a refusal")
        assert provisioner.made == []
        provisioner.refused_claims.clear()
        assert provisioner.refusals[0] in {("files", "worker-0"), ("files", "worker-1")}
        assert wait_placed(controllers, "web") == provisioner.made[0][1]


def test_a_node_without_room_for_volumes_never_gets_one(controllers: ControlPlane) -> None:
    controllers.create_nodes([node("worker-0", cpu="1")])
    controllers.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(controllers, refused_nodes=["worker-0"]) as provisioner:
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=uses("files")))
        wait_until(lambda: len(provisioner.refusals) >= 2, "two refusals of the only node")
        # larger, so that the next attempt prefers it: between equals the refused one could be chosen over and over
        controllers.create_nodes([node("worker-1", cpu="64")])
        assert wait_placed(controllers, "web") == "worker-1"


def test_a_silent_provisioner_leaves_the_pod_where_it_was_going(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(dynamic_class(), claim("files", DYNAMIC))
    with Provisioner(controllers, silent=True) as provisioner:
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=uses("files")))
        wait_until(lambda: notes(controllers, "files").get(SELECTED_NODE) == "worker-0", "a node selected")
        assert claim_of(controllers, "files")["status"]["phase"] == "Pending"
        assert provisioner.made == []
        provisioner.silent = False
        assert wait_placed(controllers, "web") == "worker-0"


def test_an_immediate_claim_is_bound_before_anybody_uses_it(controllers: ControlPlane) -> None:
    controllers.create(dynamic_class(immediate=True), claim("files", DYNAMIC))
    with Provisioner(controllers) as provisioner:
        wait_claims_bound(controllers, 1)
    assert provisioner.made == [("files", "")]


def test_the_volume_of_a_deleted_claim_goes_with_it(controllers: ControlPlane) -> None:
    controllers.create(dynamic_class(immediate=True), claim("files", DYNAMIC))
    with Provisioner(controllers):
        wait_claims_bound(controllers, 1)
        controllers.delete_all("/api/v1/persistentvolumeclaims")
        wait_until(lambda: not controllers.list_all("PersistentVolume"), "the volume deleted")


def test_an_ephemeral_volume_lives_as_long_as_its_pod(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(dynamic_class())
    with Provisioner(controllers):
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=[ephemeral("scratch", DYNAMIC)]))
        wait_placed(controllers, "web")
        assert wait_claims_bound(controllers, 1).keys() == {"web-scratch"}
        controllers.delete_all_pods()
        wait_until(lambda: not controllers.list_all("PersistentVolumeClaim"), "the claim deleted")


def test_a_driver_attaches_no_more_volumes_than_its_node_says(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(dynamic_class(), csi_driver(), csi_node("worker-0", {DRIVER: 1}))
    controllers.create(claim("first", DYNAMIC), claim("second", DYNAMIC))
    with Provisioner(controllers):
        controllers.create(pod("fits", scheduler=DEFAULT_SCHEDULER, volumes=uses("first")))
        wait_placed(controllers, "fits")
        controllers.create(pod("beyond", scheduler=DEFAULT_SCHEDULER, volumes=uses("second")))
        wait_refused(controllers, "beyond", "1 node(s) exceed max volume count")


def test_a_driver_makes_volumes_only_where_it_said_there_is_room(controllers: ControlPlane) -> None:
    controllers.create_nodes([node(f"worker-{zone}", labels={"zone": zone}) for zone in "ab"])
    controllers.create(dynamic_class(), csi_driver(capacity=True), *(csi_node(f"worker-{zone}") for zone in "ab"))
    controllers.create(capacity("little", "1Mi", zone="a"), claim("files", DYNAMIC))
    with Provisioner(controllers):
        controllers.create(pod("web", scheduler=DEFAULT_SCHEDULER, volumes=uses("files")))
        wait_refused(controllers, "web", "2 node(s) did not have enough free storage")
        controllers.create(capacity("much", "1Ti", zone="b"))
        assert wait_placed(controllers, "web") == "worker-b"


def test_a_claim_for_one_pod_keeps_a_second_pod_away(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(1))
    controllers.create(local_class(), local_volume("disk", "worker-0", modes=ONE_POD), claim("own", modes=ONE_POD))
    controllers.create(pod("first", scheduler=DEFAULT_SCHEDULER, volumes=uses("own")))
    wait_placed(controllers, "first")
    controllers.create(pod("second", scheduler=DEFAULT_SCHEDULER, volumes=uses("own")))
    wait_refused(controllers, "second", "ReadWriteOncePod access mode")


def test_the_provisioner_outlives_a_restart_of_the_server(controllers: ControlPlane) -> None:
    controllers.create(dynamic_class(immediate=True))
    with Provisioner(controllers):
        controllers.restart_apiserver()
        controllers.create(claim("files", DYNAMIC))
        wait_claims_bound(controllers, 1)


def test_nothing_is_left_after_a_reset(controllers: ControlPlane) -> None:
    controllers.create_nodes(nodes(3))
    controllers.create(dynamic_class(), csi_node("worker-0"))
    with Provisioner(controllers):
        claims = [claim_template("data", DYNAMIC)]
        controllers.create(stateful_set("db", 2, scheduler=DEFAULT_SCHEDULER, claims=claims))
        wait_bound(controllers, "db", 2)
    controllers.reset_workloads()
    kinds = ("StatefulSet", "Pod", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSINode", "Node")
    assert {kind: controllers.list_all(kind) for kind in kinds} == {kind: [] for kind in kinds}
