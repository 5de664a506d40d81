"""``peaks-scheduler explain --from`` with workloads explains the pods that they would make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from tests.support.builders import Json, node, pod, taint

NODES = [node("small", cpu="1"), node("large", cpu="8")]
CONTAINERS = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": 2}}}]
SPEC = {"schedulerName": "Peaks", "containers": CONTAINERS}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": SPEC}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODE_POWER_MODEL", raising=False)
    return tmp_path


def workload(kind: str = "Deployment", name: str = "web", spec: Json | None = None, **meta: Any) -> Json:
    """As a person writes it: no namespace, no status."""
    group = {"CronJob": "batch/v1", "Job": "batch/v1", "ReplicationController": "v1", "PodTemplate": "v1"}
    whole = {"replicas": 2, "template": TEMPLATE} if spec is None else spec
    return {"apiVersion": group.get(kind, "apps/v1"), "kind": kind, "metadata": {"name": name, **meta}, "spec": whole}


def run(objects: Sequence[Json], *args: str) -> Result:
    Path("objects.yaml").write_text(yaml.safe_dump_all(objects))
    result = CliRunner().invoke(main, ["explain", *args, "--from", "objects.yaml"])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(objects: Sequence[Json], *args: str) -> dict[str, Any]:
    result = run(objects, *(args or ("--all-pending",)), "--output", "json")
    assert result.exit_code == 0, result.output
    answers: dict[str, Any] = json.loads(result.stdout)
    return answers


KINDS: dict[str, Json] = {
    "Deployment": workload(),
    "ReplicaSet": workload("ReplicaSet"),
    "StatefulSet": workload("StatefulSet"),
    "DaemonSet": workload("DaemonSet", spec={"template": TEMPLATE}),
    "Job": workload("Job", spec={"parallelism": 3, "template": TEMPLATE}),
    "CronJob": workload("CronJob", spec={"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}),
    "ReplicationController": workload("ReplicationController"),
    "PodTemplate": {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": TEMPLATE},
    "Rollout": {**workload("Rollout"), "apiVersion": "argoproj.io/v1alpha1"},
    "Knative's Service": {**workload("Service", spec={"template": TEMPLATE}), "apiVersion": "serving.knative.dev/v1"},
    "Flink": {**workload("FlinkDeployment", spec={"podTemplate": TEMPLATE}), "apiVersion": "flink.apache.org/v1"},
}


@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
def test_any_object_with_a_pod_template_is_explained_as_the_pod_it_would_make(raw: Json) -> None:
    for args in (("default/web",), ("web",), ("--all-pending",)):
        (seen,) = told([*NODES, raw], *args).items()
        key, answer = seen
        assert (key, answer["node"], answer["podCpu"]) == ("default/web", "large", 2.0)
        assert answer["nodes"]["small"]["reasons"] == ["Insufficient cpu"]
        assert answer["template"]["kind"] == raw["kind"]


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(lambda raw: {"apiVersion": "v1", "kind": "List", "items": [raw]}, id="v1 List"),
        pytest.param(
            lambda raw: {"kind": "DeploymentList", "items": [{k: v for k, v in raw.items() if k != "kind"}]},
            id="DeploymentList",
        ),
    ],
)
def test_lists_are_taken_apart(wrapped: Any) -> None:
    assert set(told([*NODES, wrapped(workload())])) == {"default/web"}


def test_its_own_namespace_counts_and_its_metadata_is_not_the_pods() -> None:
    template = {"metadata": {"namespace": "nonsense", "name": "nonsense", "labels": {"app": "web"}}, "spec": SPEC}
    assert set(told([*NODES, workload(spec={"template": template}, namespace="team")])) == {"team/web"}


def test_the_table_says_of_what_kind_and_how_many() -> None:
    lines = run([*NODES, workload()], "--all-pending").stdout.splitlines()
    assert lines[0] == "default/web (Deployment, 2 pods, each judged alone) -> large, no power model"


def test_names_that_collide_are_told_apart_and_a_pod_keeps_its_own() -> None:
    objects = [*NODES, pod("web", cpu="1"), workload(), workload("StatefulSet"), workload(name="other")]
    assert set(told(objects)) == {"default/web", "default/deployment/web", "default/statefulset/web", "default/other"}
    assert told(objects, "default/web").keys() == {"default/web"}
    assert told(objects, "default/web")["default/web"]["podCpu"] == 1.0
    assert told(objects, "default/deployment/web").keys() == {"default/deployment/web"}
    assert told(objects[:2] + objects[3:5], "default/web").keys() == {
        "default/deployment/web",
        "default/statefulset/web",
    }
    assert told(objects, "statefulset/web").keys() == {"default/statefulset/web"}


def test_several_templates_of_one_object_are_named_by_their_place() -> None:
    spec = {
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "template": TEMPLATE},
            "Worker": {"replicas": 4, "template": TEMPLATE},
        }
    }
    raw = {**workload("PyTorchJob", "train", spec), "apiVersion": "kubeflow.org/v1"}
    seen = told([*NODES, raw])
    assert {key: each["template"]["replicas"] for key, each in seen.items()} == {
        "default/train:pytorchReplicaSpecs.Master": 1,
        "default/train:pytorchReplicaSpecs.Worker": 4,
    }
    assert told([*NODES, raw], "default/train").keys() == seen.keys()


def test_what_is_no_pod_template_is_none() -> None:
    crd = {"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {"template": TEMPLATE}}
    revision = {"kind": "ControllerRevision", "metadata": {"name": "web-1"}, "data": {"spec": {"template": TEMPLATE}}}
    claims = {"kind": "Set", "metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": "text"}}}}
    nameless = {"kind": "Set", "metadata": None, "spec": {"template": TEMPLATE}}
    assert told([*NODES, crd, revision, claims, nameless, {"kind": "Set", "spec": [[{"template": 3}]]}]) == {}


# --- whose, and whether -----------------------------------------------------------------------------------------------

THEIRS = workload(spec={"template": {"spec": {"containers": CONTAINERS}}})


def test_a_template_for_another_scheduler_is_named_and_how_to_make_it_ours() -> None:
    result = run([*NODES, THEIRS], "--all-pending")
    assert result.stdout == "no pending pod of Peaks\n"
    assert (
        "pod templates of other schedulers, not explained: Deployment default/web (default-scheduler)" in result.stderr
    )
    assert "write schedulerName: Peaks" in result.stderr
    asked = run([*NODES, THEIRS], "default/web")
    assert asked.exit_code == 1
    assert "Deployment default/web: expected a pod of Peaks; it is default-scheduler's" in asked.stderr
    assert "write schedulerName: Peaks into its pod template, or say --scheduler-name default-scheduler" in asked.stderr
    assert set(told([*NODES, THEIRS], "--all-pending", "--scheduler-name", "default-scheduler")) == {"default/web"}


def test_a_deployment_of_no_replicas_is_explained_when_asked_for() -> None:
    objects = [*NODES, workload(spec={"replicas": 0, "template": TEMPLATE})]
    result = run(objects, "--all-pending")
    assert result.stdout == "no pending pod of Peaks\n"
    assert "0 replicas, explained only when asked for by name: Deployment default/web" in result.stderr
    assert set(told(objects, "default/web")) == {"default/web"}


def owned(raw: Json, kind: str, name: str, **labels: str) -> Json:
    raw["metadata"] |= {"ownerReferences": [{"kind": kind, "name": name, "controller": True, "uid": "x"}]}
    raw["metadata"]["labels"] = {**(raw["metadata"].get("labels") or {}), **labels}
    return raw


def test_in_a_cluster_that_is_dumped_pods_that_are_there_speak_for_their_workload() -> None:
    """`kubectl get deployments,replicasets,pods,nodes -A -o json`"""
    replicas = owned(workload("ReplicaSet", "web-1"), "Deployment", "web")
    there = owned(pod("web-1-a", node="large"), "ReplicaSet", "web-1")
    assert told([*NODES, workload(), replicas, there]) == {}
    # without the ReplicaSet, the pod's name and hash name the Deployment
    hashed = owned(pod("web-1-a", node="large"), "ReplicaSet", "web-1", **{"pod-template-hash": "1"})
    assert told([*NODES, workload(), hashed]) == {}
    assert set(told([*NODES, workload(), hashed], "default/web")) == {"default/web"}
    # without pods, the Deployment is explained for all three
    assert set(told([*NODES, workload(), replicas])) == {"default/web"}


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        pytest.param({"schedulingGates": [{"name": "x"}]}, "waits for its scheduling gates", id="gated"),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims: not honoured", id="not honoured"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, "0/2 nodes are available", id="fits nowhere"),
    ],
)
def test_templates_get_every_answer_that_pods_get(spec: Json, what: str) -> None:
    assert what in run([*NODES, workload(spec={"template": {"spec": SPEC | spec}})], "web").stdout


def test_only_a_deployment_and_no_node_is_an_error_that_says_how_to_go_on() -> None:
    result = run([workload()], "--all-pending")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected nodes to place pods on, got Deployment default/web and no node" in result.stderr
    assert "kubectl get nodes,pods" in result.stderr


def test_pods_without_a_node_are_answered_with_the_same_remedy() -> None:
    result = run([pod("web-0")], "--all-pending")
    assert "no nodes available to schedule pods" in result.stdout
    assert "note: no node is in these files; read a cluster too: kubectl get nodes" in result.stderr


def test_a_name_that_is_nothing_names_what_there_is() -> None:
    result = run([*NODES, workload()], "default/wbe")
    assert result.exit_code == 1
    assert "pod default/wbe: not found; pending are default/web" in result.stderr
    its = run([*NODES, pod("web-7d9-abc", node="large")], "default/web")
    assert its.exit_code == 1
    assert "pods that are named after it: default/web-7d9-abc" in its.stderr


# --- what controllers add ---------------------------------------------------------------------------------------------

CLASS = {
    "kind": "StorageClass",
    "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "example.com/disk",
    "volumeBindingMode": "WaitForFirstConsumer",
}
STORAGE = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CLAIM = {"metadata": {"name": "data"}, "spec": STORAGE}


def test_a_stateful_set_gets_its_claims_with_the_default_class() -> None:
    raw = workload("StatefulSet", spec={"replicas": 2, "template": TEMPLATE, "volumeClaimTemplates": [CLAIM]})
    assert told([*NODES, CLASS, raw])["default/web"]["node"] == "large"
    # without a class no volume would be made, and the answer says so
    assert told([*NODES, raw])["default/web"]["node"] is None


def test_a_claim_that_is_there_already_counts_as_it_is() -> None:
    """The volume of an earlier first pod is on a node that is too small now."""
    raw = workload("StatefulSet", spec={"replicas": 1, "template": TEMPLATE, "volumeClaimTemplates": [CLAIM]})
    bound = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-web-0", "uid": "c", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {**STORAGE, "volumeName": "disk", "storageClassName": "fast"},
        "status": {"phase": "Bound"},
    }
    where = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["small"]}]}
    disk = {
        "kind": "PersistentVolume",
        "metadata": {"name": "disk", "uid": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "claimRef": {"namespace": "default", "name": "data-web-0", "uid": "c"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [where]}},
            "local": {"path": "/x"},
        },
    }
    assert told([*NODES, CLASS, raw, bound, disk])["default/web"]["node"] is None


def test_ephemeral_volumes_have_their_claims() -> None:
    volumes = [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": STORAGE}}}]
    raw = workload(spec={"template": {"spec": SPEC | {"volumes": volumes}}})
    assert told([*NODES, CLASS, raw])["default/web"]["node"] == "large"


def test_a_daemon_sets_pod_tolerates_what_its_controller_lets_it_and_a_note_says_what_it_is() -> None:
    cordoned = node("cordoned", unschedulable=True, taints=[taint("node.kubernetes.io/unschedulable")])
    raw = workload("DaemonSet", spec={"template": TEMPLATE})
    result = run([cordoned, raw], "--all-pending")
    assert "default/web (DaemonSet) -> cordoned" in result.stdout
    assert "note: default/web: its controller makes one pod for each node" in result.stderr


# --- shares of nothing ------------------------------------------------------------------------------------------------


def test_of_a_node_without_cpu_no_share_is_told() -> None:
    bare = node("bare", cpu="0")
    result = run([bare, pod("zero", requests={"cpu": "0"})], "--all-pending")
    assert result.stdout.splitlines()[-1].split() == ["bare", "over-full", "no", "power", "model", "-", "-"]
    verdict = told([bare, pod("zero", requests={"cpu": "0"})])["default/zero"]["nodes"]["bare"]
    assert (verdict["cpuBefore"], verdict["cpuAfter"]) == (None, None)


def test_a_pod_of_a_person_may_have_a_generated_name() -> None:
    raw = {"kind": "Pod", "metadata": {"generateName": "job-"}, "spec": SPEC}
    assert set(told([*NODES, raw])) == {"default/job"}
