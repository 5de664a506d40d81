"""Pods and nodes from API objects: what a pod holds, what it is taken to use, and which of its fields are honoured.

Where a number is kube-scheduler's, the source is k8s.io/component-helpers v0.36.3, resource/helpers.go (PodRequests).
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.errors import ObjectError, QuantityError
from peaks_scheduler.objects.constraints import HostPort
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.node import namespace_from_api, node_from_api
from peaks_scheduler.objects.pod import pod_from_api
from tests.support.builders import (
    NOW,
    PREFERRED,
    REQUIRED,
    Json,
    anti_affinity,
    container,
    expression,
    namespace,
    node,
    node_affinity,
    pod,
    pod_affinity,
    pod_term,
    read,
    spread,
    taint,
    when,
)

WEB = {"app": "web"}


def requests(raw: Json) -> dict[str, int]:
    return dict(read(raw).requests)


def sidecar(name: str, **asked: str) -> Json:
    return container(name, asked, restartPolicy="Always")


# what a pod holds


def test_containers_add_up() -> None:
    raw = pod(containers=[container("a", {"cpu": "250m", "memory": "1Gi"}), container("b", {"cpu": "1"})])
    assert requests(raw) == {"cpu": 1250, "memory": 2**30}


def test_quantities_are_summed_exactly_and_rounded_up_once_per_pod() -> None:
    # as kube-scheduler has it: 2 x 100.5m is 201m, not 202m
    assert requests(pod(containers=[container(str(i), {"cpu": "100.5m"}) for i in range(2)])) == {"cpu": 201}
    assert requests(pod(containers=[container(str(i), {"cpu": "100.5m"}) for i in range(3)])) == {"cpu": 302}


def test_a_request_of_zero_is_no_request() -> None:
    assert requests(pod(cpu="0", memory="0")) == {}


INIT: dict[str, tuple[list[Json], str, int]] = {
    "a small init container costs nothing": ([container("i", {"cpu": "100m"})], "500m", 500),
    "a large one is what the pod needs": ([container("i", {"cpu": "2"})], "500m", 2000),
    "two run one after the other": ([container("i", {"cpu": "2"}), container("j", {"cpu": "3"})], "500m", 3000),
    "a sidecar runs beside the containers": ([sidecar("s", cpu="200m")], "500m", 700),
    "an init container runs beside the sidecars before it": (
        [sidecar("s", cpu="200m"), container("i", {"cpu": "2"})],
        "500m",
        2200,
    ),
    "and not beside those after it": ([container("i", {"cpu": "2"}), sidecar("s", cpu="200m")], "500m", 2000),
    "sidecars alone may be the most": ([sidecar("s", cpu="1"), sidecar("t", cpu="1")], "0", 2000),
}


@pytest.mark.parametrize(("init", "main", "expected"), INIT.values(), ids=INIT)
def test_init_containers_and_sidecars_count_as_in_kep_753(init: list[Json], main: str, expected: int) -> None:
    assert requests(pod(cpu=main, initContainers=init))["cpu"] == expected


def test_overhead_comes_on_top() -> None:
    assert requests(pod(cpu="500m", overhead={"cpu": "250m", "memory": "64Mi"})) == {"cpu": 750, "memory": 64 * 2**20}


def test_extended_resources_and_hugepages_are_counted_in_whole_units() -> None:
    raw = pod(cpu="1", requests={"example.com/gpu": "2", "hugepages-2Mi": "4Mi"})
    assert requests(raw) == {"cpu": 1000, "example.com/gpu": 2, "hugepages-2Mi": 4 * 2**20}


def test_pod_level_resources_replace_those_of_the_containers() -> None:
    raw = pod(
        cpu="3",
        memory="1Gi",
        requests={"example.com/gpu": "1"},
        resources={"requests": {"cpu": "2"}},
        overhead={"cpu": "1"},
    )
    # cpu from the pod's level and the overhead; what the pod's level does not name stays
    assert requests(raw) == {"cpu": 3000, "memory": 2**30, "example.com/gpu": 1}


def test_pod_level_resources_cannot_name_a_device() -> None:
    raw = pod(requests={"example.com/gpu": "1"}, resources={"requests": {"cpu": "2", "example.com/gpu": "5"}})
    assert requests(raw) == {"cpu": 2000, "example.com/gpu": 1}


# resize in place (KEP-1287)


def resized(asked: str, actual: str, allocated: str, *, infeasible: bool = False) -> Json:
    raw = pod(cpu=asked, node="worker-1", started=NOW)
    raw["status"]["containerStatuses"][0] |= {
        "resources": {"requests": {"cpu": actual}},
        "allocatedResources": {"cpu": allocated},
    }
    reason = "Infeasible" if infeasible else "Deferred"
    raw["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return raw


RESIZE: dict[str, tuple[tuple[str, str, str], bool, int]] = {
    "growing, not given yet": (("2", "1", "1"), False, 2000),
    "shrinking, still in force": (("1", "2", "2"), False, 2000),
    "allocated, not actuated": (("1", "1", "3"), False, 3000),
    "infeasible: what was asked for does not count": (("8", "1", "2"), True, 2000),
}


@pytest.mark.parametrize(("amounts", "infeasible", "expected"), RESIZE.values(), ids=RESIZE)
def test_a_resize_holds_the_largest_of_asked_allocated_and_actual(
    amounts: tuple[str, str, str], infeasible: bool, expected: int
) -> None:
    assert requests(resized(*amounts, infeasible=infeasible)) == {"cpu": expected}


def test_a_plain_init_container_has_no_resize() -> None:
    raw = pod(cpu="1", initContainers=[container("i", {"cpu": "2"})], started=NOW)
    raw["status"]["initContainerStatuses"] = [{"name": "i", "resources": {"requests": {"cpu": "9"}}}]
    assert requests(raw) == {"cpu": 2000}


def test_a_sidecar_has() -> None:
    raw = pod(cpu="1", initContainers=[sidecar("s", cpu="1")], started=NOW)
    raw["status"]["initContainerStatuses"] = [{"name": "s", "resources": {"requests": {"cpu": "3"}}}]
    assert requests(raw) == {"cpu": 4000}


@pytest.mark.parametrize(("infeasible", "expected"), [(False, 4000), (True, 2000)], ids=["feasible", "infeasible"])
def test_a_resize_of_the_pod_level_counts_the_same_way(infeasible: bool, expected: int) -> None:
    raw = pod(cpu="1", resources={"requests": {"cpu": "4"}})
    raw["status"] |= {"resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "1"}}
    if infeasible:
        raw["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible"}]
    assert requests(raw) == {"cpu": expected}


# what a pod is taken to use

USE: dict[str, tuple[dict[str, Any], int]] = {
    "its request": ({"cpu": "250m", "limits": {"cpu": "1"}}, 250),
    "else its limit": ({"limits": {"cpu": "1500m"}}, 1500),
    "else its pod-level limit": ({"limits": {"cpu": "3"}, "resources": {"limits": {"cpu": "2"}}}, 2000),
    "else the default": ({}, 100),
    "a request of zero says nothing": ({"cpu": "0"}, 100),
}


@pytest.mark.parametrize(("given", "expected"), USE.values(), ids=USE)
def test_a_pod_is_taken_to_use_its_request_else_limit_else_default(given: dict[str, Any], expected: int) -> None:
    assert read(pod(**given), default_cpu=100).cpu == expected


# the rest of a pod


def test_times_come_out_on_our_clock() -> None:
    # the API server's clock is 30 s ahead of ours
    seen = pod_from_api(pod(started=NOW), 100, clock_offset=30.0)
    assert seen.started == NOW - 30.0


def test_a_pod_started_when_its_first_container_did() -> None:
    raw = pod(phase="Running", status={"containerStatuses": [
        {"name": "a", "state": {"running": {"startedAt": when(NOW)}}}, {"name": "b", "state": {"running":
        {"startedAt": when(NOW - 60)}}},
        {"name": "c", "state": {"waiting": {}}},
    ]})  # fmt: skip
    assert read(raw).started == NOW - 60


def test_a_running_pod_whose_containers_all_wait_started_with_the_pod() -> None:
    status = {"startTime": when(NOW - 90), "containerStatuses": [{"name": "main", "state": {"waiting": {}}}]}
    assert read(pod(phase="Running", status=status)).started == NOW - 90
    assert read(pod(phase="Pending", status=status)).started is None


def test_a_finished_pod_ended_with_its_last_container() -> None:
    ends = [{"name": str(i), "state": {"terminated": {"finishedAt": when(NOW - 60 * i)}}} for i in range(3)]
    assert read(pod(phase="Succeeded", status={"containerStatuses": ends})).finished == NOW


def test_the_time_of_our_own_decision_is_known_again_after_a_restart() -> None:
    scheduled = {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": when(NOW)}]}
    assert (
        read(pod(node="worker-1", annotations={"peaks-scheduler/decision": "{}"}, status=scheduled)).decided_at == NOW
    )
    assert read(pod(node="worker-1", annotations={"other": "x"}, status=scheduled)).decided_at is None


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-13-45T00:00:00Z"])
def test_a_time_that_is_none_is_none(text: str | None) -> None:
    assert parse_time(text) is None


def test_host_ports_of_containers_and_sidecars_count_and_those_of_init_containers_do_not() -> None:
    init = [
        container("i", ports=[{"hostPort": 81}]),
        {**sidecar("s"), "ports": [{"hostPort": 82, "hostIP": "10.0.0.1"}]},
    ]
    ports: list[Json] = [
        {"hostPort": 80, "protocol": "UDP"},
        {"containerPort": 90},
        {"containerPort": 91, "hostPort": 0},
    ]
    assert read(pod(ports=ports, initContainers=init)).ports == (
        HostPort("0.0.0.0", "UDP", 80),
        HostPort("10.0.0.1", "TCP", 82),
    )


def test_a_pod_with_gates_is_gated() -> None:
    assert read(pod(schedulingGates=[{"name": "quota"}])).gated
    assert not read(pod(schedulingGates=[])).gated


# what is honoured

UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "resource claims": ({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims"),
    "claims of a container": (
        {"containers": [{"name": "a", "resources": {"claims": [{"name": "gpu"}]}}]},
        "spec.containers[0].resources.claims",
    ),
    "scheduling group": ({"schedulingGroup": {"podGroupName": "g"}}, "spec.schedulingGroup"),
    "workload": ({"workloadRef": {"name": "w"}}, "spec.workloadRef"),
    "a volume of a later Kubernetes": ({"volumes": [{"name": "a", "tape": {}}]}, "spec.volumes[0].tape"),
    "a field of a later Kubernetes": ({"quantumEntanglement": True}, "spec.quantumEntanglement"),
}


@pytest.mark.parametrize(("spec", "path"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_field_that_is_not_honoured_is_named_by_its_path(spec: dict[str, Any], path: str) -> None:
    assert read(pod(**spec)).unsupported == (path,)


FINE: dict[str, dict[str, Any]] = {
    "preferences": {
        "affinity": {kind: {PREFERRED: [{"weight": 1}]} for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")}
    },
    "required affinity": {
        "affinity": node_affinity({"matchFields": []}) | pod_affinity(pod_term(WEB)) | anti_affinity(WEB)
    },
    "spread": {"topologySpreadConstraints": [spread(WEB), spread(WEB, whenUnsatisfiable="ScheduleAnyway")]},
    "volumes that have a place": {
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "awsElasticBlockStore": {"volumeID": "x"}},
        ]
    },
    "volumes of no place": {
        "volumes": [
            {"name": "a", source: {}}
            for source in (
                "configMap",
                "secret",
                "emptyDir",
                "hostPath",
                "projected",
                "downwardAPI",
                "csi",
                "nfs",
                "image",
            )
        ]
    },
    "restart rules": {"containers": [{"name": "a", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]},
    "a user namespace on the host's network": {"hostNetwork": True, "hostUsers": False},
    "what a service account brings": {
        "serviceAccountName": "x",
        "automountServiceAccountToken": True,
        "imagePullSecrets": [],
    },
    "names and order": {
        "priority": 10,
        "priorityClassName": "x",
        "preemptionPolicy": "Never",
        "runtimeClassName": "kata",
    },
}


@pytest.mark.parametrize("spec", FINE.values(), ids=FINE)
def test_a_field_that_is_honoured_or_that_no_filter_reads_is_no_reason_to_refuse(spec: dict[str, Any]) -> None:
    assert read(pod(**spec)).unsupported == ()


def test_every_field_that_is_not_honoured_is_named() -> None:
    raw = pod(schedulingGroup={"podGroupName": "g"}, resourceClaims=[{}])
    assert set(read(raw).unsupported) == {"spec.resourceClaims", "spec.schedulingGroup"}


# near and far


def test_terms_that_must_hold_and_terms_it_would_like_are_kept_apart() -> None:
    near, far, liked = pod_term({"app": "db"}), pod_term(WEB), pod_term({"app": "cache"}, "zone")
    affinity = {
        "podAffinity": {REQUIRED: [near], PREFERRED: [{"weight": 3, "podAffinityTerm": liked}]},
        "podAntiAffinity": {REQUIRED: [far], PREFERRED: [{"weight": 5, "podAffinityTerm": liked}]},
        "nodeAffinity": {PREFERRED: [{"weight": 9, "preference": {"matchExpressions": [expression("a", "Exists")]}}]},
    }
    seen = read(pod(affinity=affinity))
    assert [t.selects({"app": "db"}) for t in seen.affinity] == [True]
    assert [t.selects(WEB) for t in seen.anti_affinity] == [True]
    assert [(weight, t.topology_key) for weight, t in seen.preferences.pods] == [(3, "zone"), (-5, "zone")]
    assert [weight for weight, _ in seen.preferences.nodes] == [9]


def test_a_term_that_says_nothing_of_namespaces_means_the_pods_own() -> None:
    terms = [pod_term(WEB), pod_term(WEB, namespaces=["x"]), pod_term(WEB, namespaceSelector={})]
    seen = read(pod(namespace="team", affinity=pod_affinity(*terms)))
    assert [t.namespaces for t in seen.affinity] == [{"team"}, {"x"}, frozenset()]


def test_constraints_on_spread_that_must_hold_and_those_that_may_not_are_kept_apart() -> None:
    hard, soft = spread(WEB, "zone"), spread(WEB, "rack", whenUnsatisfiable="ScheduleAnyway")
    unsaid = {"topologyKey": "row", "maxSkew": 2}  # as a person writes it; the API server asks for an answer
    seen = read(pod(topologySpreadConstraints=[hard, soft, unsaid]))
    assert [(c.topology_key, c.max_skew) for c in seen.spread] == [("zone", 1), ("row", 2)]
    assert [c.topology_key for c in seen.preferences.spread] == ["rack"]


def test_a_pod_knows_the_node_that_is_kept_for_it() -> None:
    assert read(pod(status={"nominatedNodeName": "worker-1"})).nominated == "worker-1"
    assert read(pod()).nominated == ""


# nodes


def test_a_node_has_its_allocatable_and_for_the_load_its_capacity() -> None:
    seen = node_from_api(node(cpu="7500m", capacity="8", more={"example.com/gpu": "2"}))
    assert dict(seen.allocatable)["cpu"] == 7500
    assert dict(seen.allocatable)["example.com/gpu"] == 2
    assert seen.cpu_capacity == 8.0


def test_a_node_without_allocatable_has_its_capacity() -> None:
    assert dict(node_from_api({"metadata": {"name": "a"}, "status": {"capacity": {"cpu": "4"}}}).allocatable) == {
        "cpu": 4000
    }


def test_taints_that_only_prefer_are_kept_apart() -> None:
    seen = node_from_api(
        node(taints=[taint("a", effect="PreferNoSchedule"), taint("b"), taint("c", effect="NoExecute")])
    )
    assert [t.key for t in seen.taints] == ["b", "c"]
    assert [t.key for t in seen.mild_taints] == ["a"]


def test_a_node_has_the_features_it_declares() -> None:
    assert node_from_api(node(features=["B", "A"])).features == {"A", "B"}
    assert node_from_api(node()).features == frozenset()


def test_a_namespace_is_its_name_and_labels() -> None:
    assert namespace_from_api(namespace("team", {"env": "prod"})) == (
        "team",
        {"kubernetes.io/metadata.name": "team", "env": "prod"},
    )
    assert namespace_from_api({"metadata": {"name": "bare"}}) == ("bare", {})


# what cannot be read


@pytest.mark.parametrize(
    "raw", [{}, {"metadata": None}, {"metadata": {"name": ""}}], ids=["nothing", "no metadata", "no name"]
)
def test_an_object_without_a_name_is_refused(raw: Json) -> None:
    with pytest.raises(ObjectError, match=r"expected a pod with metadata\.name"):
        read(raw)
    with pytest.raises(ObjectError, match=r"expected a node with metadata\.name"):
        node_from_api(raw)
    with pytest.raises(ObjectError, match=r"expected a namespace with metadata\.name"):
        namespace_from_api(raw)


def test_a_quantity_that_is_none_names_the_object() -> None:
    with pytest.raises(QuantityError, match=r"pod default/web-0: .*'much'"):
        read(pod(cpu="much"))
    with pytest.raises(QuantityError, match=r"node worker-1: .*'8x'"):
        node_from_api(node(cpu="8x"))
