"""A user's own cluster out of ``kubectl get ... -o json``: its nodes, its pods, and which of them stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from peaks_scheduler.commands.simulate.cluster.dump import nodes_of_dump, workload_of_dump
from peaks_scheduler.commands.simulate.cluster.nodes import believed
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.workload import Job, Workload
from tests.support.builders import (
    Json,
    container,
    expression,
    models,
    node,
    node_affinity,
    owned,
    pod,
    taint,
    when,
)

DAY = 86_400.0
CURVE = Linear(100.0, 200.0)


def created(raw: Json, time: float) -> Json:
    return raw | {"metadata": raw["metadata"] | {"creationTimestamp": when(time)}}


def dump(folder: Path, *objects: Json) -> str:
    """A file as kubectl writes it."""
    path = folder / "cluster.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return str(path)


def workload(folder: Path, *objects: Json, **more: Any) -> Workload:
    return workload_of_dump(dump(folder, *objects), DAY, Settings(), **more)


def jobs(folder: Path, *objects: Json, **more: Any) -> Mapping[str, Job]:
    return {job.name: job for job in workload(folder, *objects, **more).jobs}


def daemon(name: str, on: str) -> Json:
    return owned(pod(name, cpu="100m", node=on, phase="Running"), "agent", kind="DaemonSet")


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_a_node_has_its_cpus_its_memory_and_its_models_curve(tmp_path: Path) -> None:
    path = dump(tmp_path, node("worker-1", cpu="7800m", capacity="8", memory="32Gi"))
    (only,), _ = nodes_of_dump(path, models(CURVE))
    assert (only.name, only.cpu_cores, only.memory_mib, only.curve) == ("worker-1", 8.0, 32 * 1024.0, CURVE)


def test_a_node_keeps_its_taints_and_labels(tmp_path: Path) -> None:
    path = dump(tmp_path, node(taints=[taint("dedicated", "gpu")], labels={"zone": "a"}))
    ((only,), _) = nodes_of_dump(path, models(CURVE))
    assert only.node is not None
    assert [each.key for each in only.node.taints] == ["dedicated"]
    assert only.node.labels["zone"] == "a"


def test_a_node_without_a_model_is_named_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = dump(tmp_path, node("worker-1"), node("worker-2"))
    with pytest.raises(ConfigurationError, match=r"none for 1 of 2 \(worker-2\).*fit .*--assume-watts IDLE:MAX"):
        nodes_of_dump(path, models(worker_1=CURVE))


def test_watts_per_core_can_be_assumed_for_nodes_without_a_model(tmp_path: Path) -> None:
    """8 cores of 5 W idle and 12 W in full use: 40 W and 96 W."""
    path = dump(tmp_path, node("worker-1"), node("worker-2", cpu="8"))
    nodes, notes = nodes_of_dump(path, models(worker_1=CURVE), assumed=(5.0, 12.0))
    assert [each.curve for each in nodes] == [CURVE, Linear(40.0, 96.0)]
    assert any("1 node without a power model: assumed 5 W per core" in note for note in notes)


def test_the_scheduler_has_a_model_of_nodes_with_assumed_watts_too(tmp_path: Path) -> None:
    nodes, _ = nodes_of_dump(dump(tmp_path, node("worker-1")), EMPTY, assumed=(5.0, 12.0))
    found = believed(nodes, EMPTY).for_node("worker-1", {})
    assert found is not None
    assert found.curve == Linear(40.0, 96.0)


def test_a_node_that_may_sleep_has_its_standby_power(tmp_path: Path) -> None:
    given = models(CURVE)
    ((selector, model),) = given.by_selector
    sleeping = replace(given, by_selector=((selector, replace(model, standby_watts=4.0)),))
    ((only,), _) = nodes_of_dump(dump(tmp_path, node()), sleeping)
    assert only.standby_watts == 4.0


def test_nodes_that_are_not_ready_or_cordoned_are_told(tmp_path: Path) -> None:
    lost = node("worker-1")
    lost["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    _, notes = nodes_of_dump(dump(tmp_path, lost, node("worker-2", unschedulable=True)), models(CURVE))
    assert any(note.startswith("1 node not ready") and "(worker-1)" in note for note in notes)
    assert any(note.startswith("1 node cordoned") and "(worker-2)" in note for note in notes)


def test_a_dump_without_nodes_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected nodes .* got none: kubectl get nodes,pods -A -o json"):
        nodes_of_dump(dump(tmp_path, pod()), models(CURVE))


def test_a_node_of_a_wrong_form_is_named(tmp_path: Path) -> None:
    broken = node("worker-9") | {"status": {"capacity": {"cpu": "eight"}}}
    with pytest.raises(ConfigurationError, match=r"cluster\.json: node worker-9: .*eight"):
        nodes_of_dump(dump(tmp_path, broken), models(CURVE))


def test_yaml_of_several_documents_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([node("worker-1"), node("worker-2")]))
    nodes, _ = nodes_of_dump(str(path), models(CURVE))
    assert [each.name for each in nodes] == ["worker-1", "worker-2"]


# --- pods -------------------------------------------------------------------------------------------------------------


def test_running_and_waiting_pods_arrive_at_the_start_in_the_order_of_their_creation(tmp_path: Path) -> None:
    found = workload(
        tmp_path,
        created(pod("third", cpu="1"), 300.0),
        created(pod("first", cpu="1", node="worker-1", phase="Running"), 100.0),
        created(pod("second", cpu="1", node="worker-1", phase="Running"), 200.0),
    ).jobs
    assert [job.name for job in found] == ["default/first", "default/second", "default/third"]
    assert found[0].arrival_s == 0.0
    assert found[-1].arrival_s < 10.0


def test_pods_that_stay_arrive_first_so_that_their_room_is_taken(tmp_path: Path) -> None:
    late = created(daemon("agent", "worker-1"), 900.0)
    found = workload(tmp_path, created(pod("web", cpu="1"), 100.0), late).jobs
    assert [job.name for job in found] == ["default/agent", "default/web"]


def test_a_pod_runs_to_the_end_of_the_horizon(tmp_path: Path) -> None:
    found = workload(tmp_path, pod("a", cpu="1"), pod("b", cpu="1")).jobs
    assert {job.arrival_s + job.duration_s for job in found} == {DAY}


def test_a_running_pod_is_as_it_was_before_it_was_placed(tmp_path: Path) -> None:
    job = jobs(tmp_path, pod(cpu="1500m", memory="1Gi", node="worker-1", phase="Running"))["default/web-0"]
    assert (job.node, job.cpu_cores, job.memory_mib) == ("", 1.5, 1024.0)
    assert job.pod is not None
    assert (job.pod.node_name, job.pod.phase, job.pod.started) == ("", "Pending", None)


def test_a_pod_keeps_its_constraints(tmp_path: Path) -> None:
    raw = pod(cpu="1", nodeSelector={"disk": "ssd"}, node="worker-1", phase="Running")
    job = jobs(tmp_path, raw)["default/web-0"]
    assert job.pod is not None
    assert job.pod.where.selector == (("disk", "ssd"),)


def test_finished_pods_are_left_out_and_counted(tmp_path: Path) -> None:
    found = workload(tmp_path, pod("a"), pod("b", phase="Succeeded"), pod("c", phase="Failed"))
    assert [job.name for job in found.jobs] == ["default/a"]
    assert any(note.startswith("2 pods left out, finished (default/b, default/c)") for note in found.notes)


def test_pods_that_are_being_deleted_or_held_back_are_left_out(tmp_path: Path) -> None:
    gated = pod("gated", schedulingGates=[{"name": "wait"}])
    found = workload(tmp_path, pod("a"), pod("gone", deleting=True), gated)
    assert [job.name for job in found.jobs] == ["default/a"]


def test_a_dump_without_a_pod_to_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected pods that run or wait, got none"):
        workload(tmp_path, node(), pod(phase="Succeeded"))


def test_pods_of_a_generated_name_are_not_one_pod(tmp_path: Path) -> None:
    raw = pod()
    a, b = (raw | {"metadata": {"generateName": f"{name}-", "namespace": "default"}} for name in "ab")
    assert sorted(jobs(tmp_path, a, b)) == ["default/a", "default/b"]


def test_a_label_that_yaml_made_a_number_of_is_an_error_that_names_the_object(tmp_path: Path) -> None:
    raw = node("worker-1")
    raw["metadata"]["labels"]["rack"] = 7
    with pytest.raises(ConfigurationError, match=r"cluster\.json: Node worker-1: expected text as name"):
        nodes_of_dump(dump(tmp_path, raw), models(CURVE))


# --- pods that stay ---------------------------------------------------------------------------------------------------


def test_a_pod_of_a_daemon_set_stays_on_its_node(tmp_path: Path) -> None:
    found = workload(tmp_path, node("worker-1"), daemon("agent-x", "worker-1"))
    assert [job.node for job in found.jobs] == ["worker-1"]
    assert "1 pod kept on its node: of a DaemonSet (default/agent-x)" in found.notes


@pytest.mark.parametrize("annotation", ["kubernetes.io/config.mirror", "kubernetes.io/config.source"])
def test_a_static_pod_stays(tmp_path: Path, annotation: str) -> None:
    raw = pod("etcd", node="worker-1", phase="Running", annotations={annotation: "file"})
    assert jobs(tmp_path, raw)["default/etcd"].node == "worker-1"


def test_a_pod_that_the_api_server_gave_the_kubelet_may_move(tmp_path: Path) -> None:
    raw = pod("web", node="worker-1", phase="Running", annotations={"kubernetes.io/config.source": "api"})
    assert jobs(tmp_path, raw)["default/web"].node == ""


def test_a_pod_of_kube_system_may_move(tmp_path: Path) -> None:
    raw = owned(pod("dns", namespace="kube-system", node="worker-1", phase="Running"), "dns", revision="1a")
    assert jobs(tmp_path, raw)["kube-system/dns"].node == ""


def test_an_empty_dir_ties_no_pod(tmp_path: Path) -> None:
    raw = pod("web", node="worker-1", phase="Running", volumes=[{"name": "tmp", "emptyDir": {}}])
    assert jobs(tmp_path, raw)["default/web"].node == ""


def claim(name: str, volume: str = "") -> Json:
    meta = {"name": name, "namespace": "default", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    return {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": {"volumeName": volume}}


def volume(name: str, **source: Any) -> Json:
    return {"kind": "PersistentVolume", "metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, **source}}


def with_claim(name: str = "data", **more: Any) -> Json:
    mounted = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    return pod("db-0", node="worker-1", phase="Running", volumes=mounted, **more)


@pytest.mark.parametrize("source", ["local", "hostPath"])
def test_a_pod_with_a_volume_on_its_node_stays(tmp_path: Path, source: str) -> None:
    found = jobs(tmp_path, with_claim(), claim("data", "pv-1"), volume("pv-1", **{source: {"path": "/data"}}))
    assert found["default/db-0"].node == "worker-1"


def test_a_pod_whose_volume_is_not_in_the_dump_stays_and_the_note_says_how_to_tell(tmp_path: Path) -> None:
    found = workload(tmp_path, with_claim())
    assert found.jobs[0].node == "worker-1"
    assert any("kubectl get nodes,pods,pv,pvc" in note for note in found.notes)


def test_a_pod_with_a_volume_of_a_zone_may_move_within_the_zone(tmp_path: Path) -> None:
    """The pod asks for ssd nodes, its volume for zone a: of four nodes one has both."""
    zone = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression("zone", "In", "a")]}]}}
    asking = with_claim(affinity=node_affinity({"matchExpressions": [expression("disk", "In", "ssd")]}))
    found = jobs(tmp_path, asking, claim("data", "pv-1"), volume("pv-1", csi={"driver": "d"}, nodeAffinity=zone))
    job = found["default/db-0"]
    assert job.node == ""
    assert job.pod is not None
    places = [(z, d) for z in "ab" for d in ("ssd", "disk") if job.pod.where.matches("n", {"zone": z, "disk": d})]
    assert places == [("a", "ssd")]


def test_a_claim_that_is_not_bound_yet_asks_for_nothing(tmp_path: Path) -> None:
    found = jobs(tmp_path, with_claim(), claim("data"))
    assert found["default/db-0"].node == ""
    assert found["default/db-0"].pod is not None
    assert found["default/db-0"].pod.volumes == ()


def test_a_pod_that_must_stay_on_a_node_that_is_gone_is_left_out(tmp_path: Path) -> None:
    found = workload(tmp_path, node("worker-1"), pod("web"), daemon("agent-x", "worker-7"))
    assert [job.name for job in found.jobs] == ["default/web"]
    assert any("kept on a node that is not in the dump (default/agent-x)" in note for note in found.notes)


# --- use --------------------------------------------------------------------------------------------------------------


def pod_metrics(name: str, cpu: str) -> Json:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "timestamp": "2026-11-20T10:00:00Z",
        "window": "15s",
        "containers": [{"name": "main", "usage": {"cpu": cpu, "memory": "10Mi"}}],
    }


def test_the_metrics_apis_answer_in_the_same_file_tells_the_use(tmp_path: Path) -> None:
    path = Path(dump(tmp_path, pod("web", cpu="2", node="worker-1", phase="Running")))
    answer = {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": [pod_metrics("web", "250m")]}
    path.write_text(path.read_text() + "\n" + json.dumps(answer))
    (job,) = workload_of_dump(str(path), DAY, Settings()).jobs
    assert job.cpu_used_cores == 0.25


def test_without_a_measurement_a_stated_share_of_the_request_is_used(tmp_path: Path) -> None:
    found = workload(tmp_path, pod("web", cpu="2"), use_of_request=0.4)
    assert found.jobs[0].cpu_used_cores == pytest.approx(0.8)
    assert any("1 pod without a measured CPU use, taken as 40% of the request" in note for note in found.notes)


def test_a_pod_without_requests_uses_the_default_and_requests_nothing(tmp_path: Path) -> None:
    """100m is ``defaultPodCpu``."""
    job = jobs(tmp_path, pod("web"))["default/web"]
    assert (job.cpu_cores, job.memory_mib, job.cpu_used_cores) == (0.0, 0.0, 0.1)


def test_a_limit_counts_as_the_request_where_there_is_none(tmp_path: Path) -> None:
    limited = pod("web", containers=[container(limits={"cpu": "4"})])
    assert jobs(tmp_path, limited, use_of_request=0.5)["default/web"].cpu_used_cores == pytest.approx(2.0)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_list_of_nodes_in_utf_16_is_read(tmp_path: Path) -> None:
    """As Windows PowerShell writes what kubectl prints."""
    text = yaml.safe_dump({"kind": "NodeList", "apiVersion": "v1", "items": [node("a"), node("b")]})
    (tmp_path / "nodes.yaml").write_bytes(text.encode("utf-16"))
    nodes, _ = nodes_of_dump(str(tmp_path / "nodes.yaml"), models(CURVE))
    assert [each.name for each in nodes] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "hello", "[1, 2]", "{", '{"kind": "Pod", "spec": 3}'])
def test_any_other_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"other\.json"):
        workload_of_dump(str(tmp_path / "other.json"), DAY, Settings())
