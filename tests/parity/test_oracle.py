"""That the oracle runs what we think it runs: one known verdict of every plugin of kube-scheduler's default profile.

The texts are kube-scheduler 1.36.3's. Nothing of this scheduler takes part; a test that fails here says that the
oracle is not made as kube-scheduler is, and that what the other tests of this folder compare with is worth nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parity import oracle as parity
from tests.parity.oracle import Oracle, OracleError
from tests.support.builders import (
    PREFERRED,
    Json,
    anti_affinity,
    container,
    expression,
    node,
    node_affinity,
    pod,
    taint,
    workers,
)

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle() as running:
        yield running


@pytest.fixture(scope="module")
def scoring() -> Iterator[Oracle]:
    with Oracle(scores=True) as running:
        yield running


# --- storage, as the API server writes it ---------------------------------------------------------------------------


def claim(name: str = "data", *, volume: str = "", storage_class: str = "local", mode: str = "ReadWriteOnce") -> Json:
    """Bound where ``volume`` is given."""
    spec = {"accessModes": [mode], "storageClassName": storage_class, "resources": {"requests": {"storage": "1Gi"}}}
    meta: Json = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    if volume:
        spec["volumeName"] = volume
        meta["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    status = {"phase": "Bound" if volume else "Pending"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": status}


def volume(name: str = "disk", *, node_name: str = "", labels: Json | None = None, bound_to: str = "") -> Json:
    spec: Json = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local"}
    spec["csi"] = {"driver": "disks.example.com", "volumeHandle": name}
    if node_name:
        terms = [{"matchExpressions": [expression(HOST, "In", node_name)]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if bound_to:
        spec["claimRef"] = {"namespace": "default", "name": bound_to, "uid": f"uid-{bound_to}"}
    meta = {"name": name, "labels": labels or {}}
    phase = "Bound" if bound_to else "Available"
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec, "status": {"phase": phase}}


def storage_class(mode: str) -> Json:
    whole = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"}, **whole}


def csi_node(name: str, count: int) -> Json:
    driver = {"name": "disks.example.com", "nodeID": name, "allocatable": {"count": count}}
    meta = {"name": name}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": meta, "spec": {"drivers": [driver]}}


def using(*claims: str) -> list[Json]:
    """``spec.volumes`` with these claims."""
    return [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]


def spread(**more: Any) -> list[Json]:
    constraint = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    return [constraint | {"labelSelector": {"matchLabels": {"app": "web"}}} | more]


def affinity(app: str, topology: str = HOST) -> Json:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": topology}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


# --- what was said --------------------------------------------------------------------------------------------------


def verdict(oracle: Oracle, *objects: Json) -> Json:
    """What is said of the pod web-0."""
    return oracle.judge(objects)["default/web-0"]


def refusals(said: Json) -> dict[str, tuple[str, ...]]:
    """The reasons by node; a feasible node is not in it."""
    return {name: tuple(each["reasons"]) for name, each in said["nodes"].items() if not each["feasible"]}


def test_a_node_without_room_is_refused_by_the_name_of_what_it_lacks(oracle: Oracle) -> None:
    said = verdict(oracle, node("small", cpu="1"), node("large"), pod(cpu="1500m"))
    assert said == {
        "gated": False,
        "message": None,
        "error": None,
        "preFilter": None,
        "nodes": {
            "small": {"feasible": False, "reasons": ["Insufficient cpu"], "plugin": "NodeResourcesFit"},
            "large": {"feasible": True, "reasons": []},
        },
    }


def test_the_message_counts_the_reasons_of_all_nodes(oracle: Oracle) -> None:
    said = verdict(oracle, node("a", cpu="1", memory="1Gi"), node("b", cpu="1"), pod(cpu="2", memory="2Gi"))
    assert said["message"] == "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu."


# --- every plugin, one refusal ---------------------------------------------------------------------------------------

PORT = {"containerPort": 80, "hostPort": 80, "protocol": "TCP"}
RESTART_ALL = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
DATA = using("data")
LATE = storage_class("WaitForFirstConsumer")
BOUND = claim(volume="disk")

# name: the plugin that refuses worker-1, why, and with which objects
REFUSALS: dict[str, tuple[str, str, list[Json]]] = {
    "unschedulable": (
        "NodeUnschedulable",
        "node(s) were unschedulable",
        [node(unschedulable=True), pod()],
    ),
    "taint": (
        "TaintToleration",
        "node(s) had untolerated taint(s)",
        [node(taints=[taint()]), pod()],
    ),
    "node affinity": (
        "NodeAffinity",
        "node(s) didn't match Pod's node affinity/selector",
        [node(), pod(affinity=node_affinity({"matchExpressions": [expression("disk", "Exists")]}))],
    ),
    "port": (
        "NodePorts",
        "node(s) didn't have free ports for the requested pod ports",
        [node(), pod("there", ports=[PORT], node="worker-1"), pod(ports=[PORT])],
    ),
    "claim for one pod": (
        "VolumeRestrictions",
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another"
        " pod",
        [
            *[node(), LATE, claim(volume="disk", mode="ReadWriteOncePod"), volume(bound_to="data")],
            *[pod("there", node="worker-1", volumes=DATA), pod(volumes=DATA)],
        ],
    ),
    "volume limit": (
        "NodeVolumeLimits",
        "node(s) exceed max volume count",
        [
            *[node(), csi_node("worker-1", 1), LATE],
            *[
                claim("a", volume="disk-a"),
                volume("disk-a", bound_to="a"),
                pod("a", node="worker-1", volumes=using("a")),
            ],
            *[BOUND, volume(bound_to="data"), pod(volumes=DATA)],
        ],
    ),
    "volume elsewhere": (
        "VolumeBinding",
        "node(s) didn't match PersistentVolume's node affinity",
        [node(), LATE, BOUND, volume(node_name="worker-2", bound_to="data"), pod(volumes=DATA)],
    ),
    "no volume for a late claim": (
        "VolumeBinding",
        "node(s) didn't find available persistent volumes to bind",
        [node(), LATE, claim(), volume(node_name="worker-2"), pod(volumes=DATA)],
    ),
    "volume's zone": (
        "VolumeZone",
        "node(s) had no available volume zone",
        [node(labels={ZONE: "a"}), LATE, BOUND, volume(labels={ZONE: "b"}, bound_to="data"), pod(volumes=DATA)],
    ),
    "spread, no such label": (
        "PodTopologySpread",
        "node(s) didn't match pod topology spread constraints (missing required label)",
        [node(), pod(topologySpreadConstraints=spread())],
    ),
    "affinity": (
        "InterPodAffinity",
        "node(s) didn't match pod affinity rules",
        [node(), pod(affinity=affinity("db"))],
    ),
    "anti-affinity": (
        "InterPodAffinity",
        "node(s) didn't match pod anti-affinity rules",
        [node(), pod("there", node="worker-1", labels={"app": "db"}), pod(affinity=anti_affinity({"app": "db"}))],
    ),
    "anti-affinity of a pod there": (
        "InterPodAffinity",
        "node(s) didn't satisfy existing pods anti-affinity rules",
        [node(), pod("there", node="worker-1", affinity=anti_affinity({"app": "db"})), pod(labels={"app": "db"})],
    ),
    "feature of a newer kubelet": (
        "NodeDeclaredFeatures",
        "node(s) didn't match Pod's required features",
        [node(), pod(containers=[container(restartPolicy="Never", restartPolicyRules=[RESTART_ALL])])],
    ),
}


@pytest.mark.parametrize(("plugin", "reason", "objects"), REFUSALS.values(), ids=REFUSALS)
def test_every_plugin_refuses_in_its_own_words(oracle: Oracle, plugin: str, reason: str, objects: list[Json]) -> None:
    said = verdict(oracle, *objects)
    assert said["nodes"] == {"worker-1": {"feasible": False, "reasons": [reason], "plugin": plugin}}
    assert said["message"] == f"0/1 nodes are available: 1 {reason}."


REJECTIONS: dict[str, tuple[str, list[Json]]] = {
    "missing claim": ('persistentvolumeclaim "data" not found', [pod(volumes=DATA)]),
    "missing volume": ('persistentvolume "disk" not found', [LATE, BOUND, pod(volumes=DATA)]),
    "unbound claim": (
        "pod has unbound immediate PersistentVolumeClaims",
        [storage_class("Immediate"), claim(), volume(), pod(volumes=DATA)],
    ),
    "names that conflict": (
        "pod affinity terms conflict",
        [pod(affinity=node_affinity({"matchFields": [expression("metadata.name", "In", name) for name in "ab"]}))],
    ),
}


@pytest.mark.parametrize(("reason", "objects"), REJECTIONS.values(), ids=REJECTIONS)
def test_a_pod_rejected_outright_says_so_once(oracle: Oracle, reason: str, objects: list[Json]) -> None:
    said = verdict(oracle, *workers(2), *objects)
    assert said["preFilter"] == reason
    assert said["message"] == f"0/2 nodes are available: {reason}."
    assert refusals(said) == {"worker-0": (reason,), "worker-1": (reason,)}


def test_nodes_that_the_pod_does_not_name_are_not_looked_at(oracle: Oracle) -> None:
    names_one = node_affinity({"matchFields": [expression("metadata.name", "In", "worker-1", "gone")]})
    said = verdict(oracle, *workers(2, unschedulable=True), pod(affinity=names_one))
    unnamed, unschedulable = "node(s) didn't satisfy plugin(s) [NodeAffinity]", "node(s) were unschedulable"
    assert refusals(said) == {"worker-0": (unnamed,), "worker-1": (unschedulable,)}
    assert said["message"] == f"0/2 nodes are available: 1 {unnamed}, 1 {unschedulable}."


# --- verdicts that hang on other pods --------------------------------------------------------------------------------


def test_a_spread_constraint_keeps_the_fuller_zone_shut(oracle: Oracle) -> None:
    zones = [node("a", labels={ZONE: "a"}), node("b", labels={ZONE: "b"})]
    there = pod("there", node="a", labels={"app": "web"})
    said = verdict(oracle, *zones, there, pod(labels={"app": "web"}, topologySpreadConstraints=spread()))
    assert refusals(said) == {"a": ("node(s) didn't match pod topology spread constraints",)}


def test_the_first_pod_of_a_group_may_start_it_where_the_topology_label_is(oracle: Oracle) -> None:
    first = pod(labels={"app": "web"}, affinity=affinity("web", ZONE))
    said = verdict(oracle, node("a", labels={ZONE: "a"}), node("bare"), first)
    assert refusals(said) == {"bare": ("node(s) didn't match pod affinity rules",)}


def test_a_late_claim_opens_the_nodes_that_have_a_volume_for_it(oracle: Oracle) -> None:
    said = verdict(oracle, *workers(2), LATE, claim(), volume(node_name="worker-1"), pod(volumes=DATA))
    assert set(refusals(said)) == {"worker-0"}


@pytest.mark.parametrize(("priority", "room"), [(9, False), (10, False), (11, True)])
def test_a_nominated_pod_of_any_scheduler_takes_room_from_pods_that_do_not_outrank_it(
    oracle: Oracle, priority: int, room: bool
) -> None:
    nominated = pod("first", cpu="600m", priority=10, scheduler="other", status={"nominatedNodeName": "worker-1"})
    said = verdict(oracle, node(cpu="1"), nominated, pod(cpu="600m", priority=priority))
    assert said["nodes"]["worker-1"]["feasible"] is room


def test_a_pod_is_judged_on_all_nodes_wherever_it_is_nominated(oracle: Oracle) -> None:
    said = verdict(oracle, *workers(2, cpu="1"), pod(cpu="1", status={"nominatedNodeName": "worker-1"}))
    assert refusals(said) == {}
    assert set(said["nodes"]) == {"worker-0", "worker-1"}


@pytest.mark.parametrize(
    ("there", "room"), [({"deleting": True}, False), ({"phase": "Succeeded"}, True), ({"phase": "Failed"}, True)]
)
def test_a_bound_pod_holds_its_node_until_it_is_gone_or_finished(oracle: Oracle, there: Json, room: bool) -> None:
    said = verdict(oracle, node(cpu="1"), pod("there", cpu="1", node="worker-1", **there), pod(cpu="1"))
    assert said["nodes"]["worker-1"]["feasible"] is room


# --- what is judged, and how -----------------------------------------------------------------------------------------


def test_only_pending_pods_of_the_scheduler_are_judged_and_each_on_its_own(oracle: Oracle) -> None:
    ours = [pod("a", cpu="1"), pod("b", cpu="1", namespace="prod")]
    others = [pod("c", scheduler="other"), pod("d", deleting=True), pod("e", phase="Failed"), pod("f", node="gone")]
    said = oracle.judge([node(cpu="1"), *ours, *others])
    assert {name: refusals(each) for name, each in said.items()} == {"default/a": {}, "prod/b": {}}


def test_a_gated_pod_is_looked_at_nowhere(oracle: Oracle) -> None:
    said = verdict(oracle, node(), pod(schedulingGates=[{"name": "example.com/wait"}]))
    assert said == {"gated": True, "message": None, "error": None, "preFilter": None, "nodes": {}}


def test_without_nodes_there_is_a_text_of_its_own(oracle: Oracle) -> None:
    said = verdict(oracle, pod())
    assert (said["message"], said["nodes"]) == ("no nodes available to schedule pods", {})


def test_an_error_of_a_plugin_leaves_no_node_feasible(oracle: Oracle) -> None:
    # NodeVolumeLimits translates in-tree volumes where the node's CSINode says that their driver has migrated
    migrated = csi_node("worker-1", 1)
    migrated["metadata"]["annotations"] = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}
    inline = [{"name": "data", "awsElasticBlockStore": {"volumeID": "aws://zone/disk"}}]
    said = verdict(oracle, *workers(2), migrated, pod(volumes=inline))
    assert 'running "NodeVolumeLimits" filter plugin' in said["error"]
    assert said["message"] is None
    assert refusals(said) == {"worker-0": (), "worker-1": ()}


def test_nothing_of_one_line_is_left_for_the_next(oracle: Oracle) -> None:
    exclusive = [LATE, claim(volume="disk", mode="ReadWriteOncePod"), volume(bound_to="data")]
    lonely = pod("there", cpu="1", node="worker-0", volumes=DATA, affinity=anti_affinity({"app": "web"}))
    nominated = pod("next", cpu="1", scheduler="other", status={"nominatedNodeName": "worker-1"})
    asked = pod(cpu="1", labels={"app": "web"}, volumes=DATA)
    full = verdict(oracle, *workers(2, cpu="1"), *exclusive, lonely, nominated, asked)
    assert set(refusals(full)) == {"worker-0", "worker-1"}
    assert refusals(verdict(oracle, *workers(2, cpu="1"), *exclusive, asked)) == {}
    bare = verdict(oracle, *workers(1, cpu="1"), asked)
    assert (bare["preFilter"], set(bare["nodes"])) == ('persistentvolumeclaim "data" not found', {"worker-0"})


# --- scores ----------------------------------------------------------------------------------------------------------

# name: the plugin that tells worker-0 from worker-1, the weighted score of each, and what makes the difference
WISH = {"weight": 7, "preference": {"matchExpressions": [expression(HOST, "In", "worker-1")]}}
NEAR = {"weight": 9, "podAffinityTerm": {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "db"}}}}
SCORES: dict[str, tuple[str, tuple[int, int], list[Json]]] = {
    "mild taint": (
        "TaintToleration",
        (0, 300),
        [node("worker-0", taints=[taint(effect="PreferNoSchedule")]), node("worker-1"), pod()],
    ),
    "preferred node": (
        "NodeAffinity",
        (0, 200),
        [*workers(2), pod(affinity={"nodeAffinity": {PREFERRED: [WISH]}})],
    ),
    "even spread": (
        "PodTopologySpread",
        # one pod of one there, of two domains: log(2 + 2) rounds to 1
        (0, 200),
        [
            *[*workers(2), pod("there", node="worker-0", labels={"app": "web"})],
            pod(topologySpreadConstraints=spread(topologyKey=HOST, whenUnsatisfiable="ScheduleAnyway")),
        ],
    ),
    "preferred neighbour": (
        "InterPodAffinity",
        (200, 0),
        [
            *[*workers(2), pod("there", node="worker-0", labels={"app": "db"})],
            pod(affinity={"podAffinity": {PREFERRED: [NEAR]}}),
        ],
    ),
}


@pytest.mark.parametrize(("plugin", "expected", "objects"), SCORES.values(), ids=SCORES)
def test_scores_are_normalized_and_weighted(
    scoring: Oracle, plugin: str, expected: tuple[int, int], objects: list[Json]
) -> None:
    scores = verdict(scoring, *objects)["scores"]
    assert scores[plugin] == {"worker-0": expected[0], "worker-1": expected[1]}
    telling = {name for name, found in scores.items() if len(set(found.values())) > 1}
    assert telling & {each[0] for each in SCORES.values()} == {plugin}


def test_a_plugin_without_anything_to_say_of_the_pod_is_left_out(scoring: Oracle) -> None:
    assert not {"NodeAffinity", "InterPodAffinity"} & verdict(scoring, *workers(2), pod())["scores"].keys()


def test_with_nothing_to_choose_from_nothing_is_scored(scoring: Oracle) -> None:
    assert "scores" not in verdict(scoring, node("large"), node("small", cpu="1"), pod(cpu="2"))


def test_scores_are_told_only_when_asked_for(oracle: Oracle) -> None:
    assert "scores" not in verdict(oracle, *workers(2), pod())


def test_a_preference_that_cannot_be_read_is_an_error_where_there_is_a_choice(scoring: Oracle) -> None:
    unreadable = {"weight": 1, "preference": {"matchExpressions": [expression(HOST, "Gt", "7.5")]}}
    asked = pod(affinity={"nodeAffinity": {PREFERRED: [unreadable]}})
    said = verdict(scoring, *workers(2), asked)
    assert 'running PreScore plugin "NodeAffinity"' in said["error"]
    assert refusals(said) == {"worker-0": (), "worker-1": ()}
    assert verdict(scoring, node(), asked)["error"] is None


def test_defaults_of_the_api_server_are_set_only_when_asked_for(oracle: Oracle) -> None:
    limited = [node(cpu="1"), pod(limits={"cpu": "2"})]
    with Oracle(defaults=True) as defaulting:
        assert refusals(verdict(defaulting, *limited)) == {"worker-1": ("Insufficient cpu",)}
    assert refusals(verdict(oracle, *limited)) == {}


# --- the program ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objects", "complaint"),
    [
        ([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}], "of kind Secret"),
        ([node(), node()], "a second Node named worker-1"),
        ([pod(cpu="a lot")], "quantities must match"),
    ],
    ids=["kind", "twice", "quantity"],
)
def test_what_would_be_lost_in_silence_ends_the_oracle_in_words(objects: list[Json], complaint: str) -> None:
    with Oracle() as oracle:
        oracle.judge([node(), pod()])
        with pytest.raises(OracleError, match=rf"line 2: .*{complaint}"):
            oracle.judge(objects)


def test_an_oracle_that_hangs_is_killed() -> None:
    with Oracle(answer_limit=1.0) as oracle:
        os.kill(oracle.pid, signal.SIGSTOP)
        with pytest.raises(OracleError, match="no answer within 1 s"):
            oracle.judge([node(), pod()])


def test_timing_tells_how_long_each_pod_takes_and_how_many_nodes_it_fits(tmp_path: Path) -> None:
    line = tmp_path / "cluster.json"
    line.write_text(parity.request([*workers(3), node("small", cpu="1"), pod("a", cpu="2"), pod("b", cpu="9")]))
    timed = parity.time(line, rounds=2)
    assert {name: each["feasible"] for name, each in timed.items()} == {"default/a": 3, "default/b": 0}
    assert all(each["seconds"] > 0 for each in timed.values())


def test_timing_a_file_that_is_not_there_fails_in_words(tmp_path: Path) -> None:
    with pytest.raises(OracleError, match="no such file"):
        parity.time(tmp_path / "none.json")
