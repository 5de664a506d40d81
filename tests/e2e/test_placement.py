"""Where pods go on a real API server: least power jump, hard constraints, and what the pod's owner is told.

The watts of the big test are worked out here anew, in a few lines that share nothing with the scheduler.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import pytest
import yaml

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import (
    assert_sound,
    bound_lines,
    condition,
    decision,
    events_of,
    model,
    node,
    ours,
    placed,
    pod,
    pods,
    wait_placed,
)
from tests.support.builders import (
    BENT_DOWN,
    HOSTNAME,
    anti_affinity,
    container,
    expression,
    node_affinity,
    pod_affinity,
    pod_term,
    spread,
    taint,
)

# --- 200 pods on 50 nodes of three kinds ------------------------------------------------------------------------------

KINDS: Mapping[str, tuple[str, str, tuple[float, float, float], int]] = {
    # kind: cores, memory, (k0, k1, k2) with watts = k0 + k1*exp(k2*u), how many nodes
    "old": ("8", "16Gi", BENT_DOWN, 17),
    "new": ("16", "64Gi", (150.0, 6.0, 2.0), 17),
    "big": ("32", "24Gi", (160.0, -80.0, -1.2), 16),
}
REQUESTS: tuple[tuple[Object, float, float], ...] = (
    # resources, cores that the pod counts for, cores that it holds
    ({"requests": {"cpu": "250m", "memory": "1Gi"}}, 0.25, 0.25),
    ({"requests": {"cpu": "500m", "memory": "256Mi"}}, 0.5, 0.5),
    ({"requests": {"cpu": "1500m", "memory": "2Gi"}}, 1.5, 1.5),
    ({"requests": {"memory": "512Mi"}, "limits": {"memory": "512Mi"}}, 0.1, 0.0),  # no CPU: the default
    ({"requests": {"cpu": "0", "memory": "128Mi"}, "limits": {"cpu": "2"}}, 2.0, 0.0),  # a limit alone
)
MEBIBYTES = {"Gi": 1024, "Mi": 1}


@dataclass
class Machine:
    """A node as this test keeps it: cores in use, cores and MiB left to requests."""

    cores: float
    memory: int
    k1: float
    k2: float
    used: float
    free_cores: float
    free_memory: int

    def jump(self, cores: float, *, envelope: bool) -> float:
        before, after = self.used / self.cores, (self.used + cores) / self.cores
        if envelope and self.k2 < 0:  # bent down: what lies below it is the chord from no to full load
            return self.k1 * (exp(self.k2) - 1.0) * (after - before)
        return self.k1 * (exp(self.k2 * after) - exp(self.k2 * before))

    def takes(self, cores: float, held: float, memory: int) -> bool:
        fits = held <= self.free_cores + 1e-9 and memory <= self.free_memory
        return fits and self.used + cores <= self.cores + 1e-9

    def stays_below(self, cores: float, memory: int) -> bool:
        """Neither above 80 % of the CPUs nor, by requests, above 90 % of the memory: the ceilings where none is set."""
        requested = self.memory - self.free_memory + memory
        return self.used + cores <= 0.8 * self.cores + 1e-9 and requested <= 0.9 * self.memory


def mebibytes(text: str) -> int:
    return int(text[:-2]) * MEBIBYTES[text[-2:]]


def machine(kind: str, percent: float) -> Machine:
    cores, memory, (_, k1, k2), _ = KINDS[kind]
    size = mebibytes(memory)
    return Machine(float(cores), size, k1, k2, float(cores) * percent / 100, float(cores), size)


@pytest.mark.parametrize("strategy", ["peaks", "jump"])
def test_each_of_200_pods_is_on_the_node_whose_power_rises_least(control_plane: ControlPlane, strategy: str) -> None:
    clear(control_plane)
    envelope = strategy == "peaks"
    rng = random.Random(20261120)
    kinds = {f"{kind}-{number}": kind for kind, (*_, count) in KINDS.items() for number in range(count)}
    percent = {name: round(rng.uniform(3, 80), 2) for name in kinds}
    control_plane.create_nodes(
        [node(name, cpu=KINDS[kind][0], memory=KINDS[kind][1], labels={"kind": kind}) for name, kind in kinds.items()]
    )
    models = [model(curve, nodeSelector={"kind": kind}) for kind, (_, _, curve, _) in KINDS.items()]
    asked = {f"web-{number}": rng.choice(REQUESTS) for number in range(200)}
    # the window ended a minute ago: no pod of this test can be in the average, running or not
    with (
        LoadEndpoint(percent, age=60) as load,
        beside(control_plane, load.url, models=models, settings={"strategy": strategy}) as daemon,
    ):
        control_plane.create_pods([pod(name, **resources) for name, (resources, _, _) in asked.items()])
        assert_sound(control_plane, daemon)
        wait_until(lambda: bound_lines(daemon) >= len(asked), "a line of each in the log")
        lines = sorted(daemon.lines("bound"), key=lambda line: line["decision"])

    assert [line["decision"] for line in lines] == list(range(1, 201)), "one line a decision, none of them in vain"
    machines = {name: machine(kind, percent[name]) for name, kind in kinds.items()}
    wrong = []
    for line in lines:
        resources, cores, held = asked[line["pod"].removeprefix("default/")]
        memory = mebibytes(resources["requests"]["memory"])
        below = [m for m in machines.values() if m.takes(cores, held, memory) and m.stays_below(cores, memory)]
        least = min(m.jump(cores, envelope=envelope) for m in below)
        chosen = machines[line["node"]]
        cost = chosen.jump(cores, envelope=envelope)
        told_right = abs(line["jumpWatts"] - cost) < 1e-3
        if chosen not in below or cost > least + 1e-3 or not told_right:
            wrong.append((line, least, chosen))
        chosen.used += cores
        chosen.free_cores -= held
        chosen.free_memory -= memory
    assert wrong == []
    assert len({kinds[line["node"]] for line in lines}) > 1, "a test in which more than one kind has its turn"
    assert {line["standing"] for line in lines} == {"measured"}


# --- order ------------------------------------------------------------------------------------------------------------


def test_the_highest_priority_goes_first_whatever_came_first(control_plane: ControlPlane) -> None:
    clear(control_plane)
    priorities, classes = {"low": 10, "middle": 20, "high": 30}, "/apis/scheduling.k8s.io/v1/priorityclasses"
    for name in priorities.keys() - control_plane.names(classes):
        control_plane.api.post(classes, {"metadata": {"name": name}, "value": priorities[name]})
    control_plane.create_nodes([node("cheap", cpu="3")])
    for name in priorities:
        control_plane.create_pods(pods(2, name, cpu="1", priorityClassName=name))
    with beside(control_plane, models=CHEAP_AND_DEAR) as daemon:
        wait_until(lambda: len(placed(control_plane)) == 3, "as many placed as fit")
        for name in ("low-0", "low-1"):
            wait_unschedulable(control_plane, name)
        wait_until(lambda: bound_lines(daemon) == 3, "their lines in the log")
        order = [line["pod"] for line in sorted(daemon.lines("bound"), key=lambda line: line["decision"])]
    assert [name.split("/")[1].split("-")[0] for name in order] == ["high", "high", "middle"]


# --- one pod at a time ------------------------------------------------------------------------------------------------

CHEAP_AND_DEAR = [model((100.0, 1.0, 1.0), nodes=["cheap"]), model((100.0, 200.0, 1.0), nodes=["dear"])]


@pytest.fixture(scope="module")
def shared(control_plane: ControlPlane) -> Iterator[Daemon]:
    """One daemon for the small tests; to it each test is only another change of the cluster."""
    clear(control_plane)
    load = LoadEndpoint({"cheap": 10.0, "dear": 10.0})
    with load, beside(control_plane, load.url, models=CHEAP_AND_DEAR) as daemon:
        daemon.wait_leading()
        yield daemon


@pytest.fixture
def daemon(shared: Daemon, control_plane: ControlPlane) -> Daemon:
    """The shared daemon, with an empty cluster and a ledger that knows that it is empty."""
    control_plane.reset()
    wait_until(lambda: shared.metric("scheduler_cache_size") == 0, "an empty ledger")
    return shared


def wait_known(daemon: Daemon, nodes: int) -> None:
    """Until the daemon knows so many nodes: they and the pods come by ways of their own."""
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="nodes") == nodes, f"{nodes} nodes known")


def test_kubectl_shows_the_decision_on_the_pod_and_the_event(daemon: Daemon, control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("cheap"), node("dear")])
    wait_known(daemon, 2)
    control_plane.create_pods([pod("web-0", cpu="500m")])
    wait_placed(control_plane, "web-0")
    shown = yaml.safe_load(control_plane.kubectl("get", "pod", "web-0", "-o", "yaml"))
    assert shown["spec"]["nodeName"] == "cheap"
    record = decision(shown)
    assert record["node"] == "cheap"
    assert record["runnerUp"] == "dear"
    assert 0 < record["jumpWatts"] < record["runnerUpJumpWatts"]
    wait_until(lambda: events_of(control_plane, "web-0", "Scheduled"), "the event")
    listed = control_plane.kubectl("get", "events")
    assert "Scheduled" in listed
    assert "Successfully assigned default/web-0 to cheap" in listed


def test_a_node_above_its_own_ceiling_is_left_alone_until_no_other_has_room(
    daemon: Daemon, control_plane: ControlPlane
) -> None:
    cheap = node("cheap", cpu="10")
    cheap["metadata"]["annotations"] = {"peaks-scheduler/ceiling": "cpu=50%"}
    control_plane.create_nodes([cheap, node("dear", cpu="5")])
    wait_known(daemon, 2)
    records = []
    for name in ("a", "b", "c"):
        control_plane.create_pods([pod(name, cpu="3")])
        wait_placed(control_plane, name)
        records.append(decision(control_plane.api.get(f"/api/v1/namespaces/default/pods/{name}")))
    # each node comes with 10 % of use, or with none before its first load: two pods are 60 to 70 % of the cheap one
    assert [record["node"] for record in records] == ["cheap", "dear", "cheap"]
    assert [record["standing"] == "above-ceiling" for record in records] == [False, False, True]


FIELDS = {"node", "jumpWatts", "runnerUp", "runnerUpJumpWatts", "cpuBefore", "cpuAfter", "standing"} | {
    "loadAgeSeconds",
    "model",
    "strategy",
    "feasible",
    "total",
    "preference",
    "preferenceWatts",
    "riseWatts",
    "jumpErrorWatts",
    "extrapolated",
    "podCpu",
    "podCpuFrom",
    "modelFrom",
}


def test_the_record_on_the_pod_has_every_promised_field_in_less_than_a_kibibyte(
    daemon: Daemon, control_plane: ControlPlane
) -> None:
    control_plane.create_nodes([node("cheap"), node("dear")])
    wait_known(daemon, 2)
    control_plane.create_pods([pod("web-0", cpu="500m")])
    wait_placed(control_plane, "web-0")
    text = ours(control_plane)[0]["metadata"]["annotations"]["peaks-scheduler/decision"]
    assert len(text.encode()) < 1024
    assert decision(ours(control_plane)[0]).keys() == FIELDS


GPU = "example.com/gpu"
BIG_INIT = [container("init", {"cpu": "6"}, image="none")]
SIDECAR = [container("init", {"cpu": "6"}, image="none", restartPolicy="Always")]
HOST_PORT = [{"containerPort": 80, "hostPort": 8080}]


@pytest.mark.parametrize(
    ("cheap", "there", "wants"),
    [
        pytest.param({}, {}, {"nodeSelector": {"disk": "ssd"}}, id="a node selector"),
        pytest.param(
            {},
            {},
            {"affinity": node_affinity({"matchExpressions": [expression("disk", "In", "ssd")]})},
            id="node affinity",
        ),
        pytest.param({"taints": [taint("dedicated", "db")]}, {}, {}, id="a taint"),
        pytest.param({"unschedulable": True}, {}, {}, id="a cordoned node"),
        pytest.param({}, {"ports": HOST_PORT}, {"ports": HOST_PORT}, id="a host port that is taken"),
        pytest.param({"cpu": "4"}, {}, {"initContainers": BIG_INIT}, id="an init container larger than the rest"),
        pytest.param({"cpu": "7"}, {}, {"cpu": "2", "initContainers": SIDECAR}, id="a sidecar on top of the rest"),
        pytest.param(
            {"more": {GPU: "1"}},
            {},
            {"requests": {GPU: "2"}, "limits": {GPU: "2"}},
            id="more of an extended resource than is there",
        ),
        pytest.param({"pods": "1"}, {"cpu": "0"}, {"cpu": "0"}, id="the number of pods"),
        pytest.param({"memory": "1Gi"}, {}, {"memory": "2Gi"}, id="memory"),
        pytest.param(
            {},
            {"affinity": anti_affinity({"app": "web"})},
            {"labels": {"app": "web"}},
            id="a pod there that wants to be apart",
        ),
        pytest.param(
            {},
            {"labels": {"app": "web"}},
            {"affinity": anti_affinity({"app": "web"})},
            id="a pod there that it wants to be apart from",
        ),
        pytest.param(
            {},
            {"labels": {"app": "web"}},
            {"labels": {"app": "web"}, "topologySpreadConstraints": [spread({"app": "web"}, HOSTNAME)]},
            id="a pod there of its kind, of which there is none elsewhere",
        ),
        pytest.param(
            {},
            {},
            {"labels": {"app": "web"}, "affinity": pod_affinity(pod_term({"app": "web"}, "disk"))},
            id="a node without the label that pods of its kind are to share",
        ),
    ],
)
def test_a_constraint_sends_a_pod_to_the_dearer_node(
    daemon: Daemon, control_plane: ControlPlane, cheap: Object, there: Object, wants: Object
) -> None:
    dear = node("dear", labels={"disk": "ssd"}, more={GPU: "4"})
    control_plane.create_nodes([node("cheap", **cheap), dear])
    control_plane.create_pods([pod("resident", scheduler="nobody", node="cheap", **there)])
    wait_until(lambda: daemon.metric("scheduler_cache_size") == 3, "both nodes and the resident known")
    control_plane.create_pods([pod("web-0", **wants)])
    assert wait_placed(control_plane, "web-0") == "dear"


@pytest.mark.parametrize(
    "wants",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, id="a tolerated taint"),
        pytest.param({"ports": [{"containerPort": 80, "hostPort": 8081}]}, id="another host port"),
    ],
)
def test_without_a_reason_against_it_a_pod_goes_to_the_cheaper_node(
    daemon: Daemon, control_plane: ControlPlane, wants: Object
) -> None:
    tainted = [taint("dedicated", "db")] if "tolerations" in wants else []
    control_plane.create_nodes([node("cheap", taints=tainted), node("dear")])
    control_plane.create_pods([pod("resident", scheduler="nobody", node="cheap", ports=HOST_PORT)])
    wait_until(lambda: daemon.metric("scheduler_cache_size") == 3, "both nodes and the resident known")
    control_plane.create_pods([pod("web-0", **wants)])
    assert wait_placed(control_plane, "web-0") == "cheap"


FROM_A_CLAIM = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu-0"}]}
FROM_A_TEMPLATE = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}
ONE_GPU = container("main", {"cpu": "50m"}, image="none")
ONE_GPU["resources"]["claims"] = [{"name": "gpu"}]


@pytest.mark.parametrize(
    ("wants", "field"),
    [
        pytest.param(FROM_A_CLAIM, "spec.resourceClaims", id="a resource claim"),
        pytest.param(FROM_A_TEMPLATE, "spec.resourceClaims", id="a resource claim to be made for it"),
        pytest.param(
            {**FROM_A_CLAIM, "containers": [ONE_GPU]},
            "spec.containers[0].resources.claims",
            id="a container that uses one",
        ),
    ],
)
def test_a_pod_with_a_constraint_not_honoured_is_refused_by_name_and_not_placed(
    daemon: Daemon, control_plane: ControlPlane, wants: Object, field: str
) -> None:
    control_plane.create_nodes([node("cheap"), node("dear")])
    control_plane.create_pods([pod("refused", **wants), pod("plain")])
    wait_placed(control_plane, "plain")
    event = wait_until(lambda: events_of(control_plane, "refused", "FailedScheduling"), "the event")[0]
    path = "/api/v1/namespaces/default/pods/refused"
    wait_until(lambda: condition(control_plane.api.get(path)), "the condition")
    refused = control_plane.api.get(path)
    assert field in event["note"]
    assert field in condition(refused)["message"]
    # not "Unschedulable": a cluster autoscaler would buy nodes for it
    assert (condition(refused)["status"], condition(refused)["reason"]) == ("False", "UnsupportedConstraint")
    assert placed(control_plane).keys() == {"plain"}


def test_a_gated_pod_is_left_alone_until_its_gate_goes(daemon: Daemon, control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("cheap")])
    control_plane.create_pods([pod("gated", schedulingGates=[{"name": "example.com/quota"}])])
    wait_until(lambda: daemon.metric("scheduler_pending_pods", queue="gated") == 1, "the pod seen")
    control_plane.create_pods([pod("after")])
    wait_placed(control_plane, "after")
    gated = control_plane.api.get("/api/v1/namespaces/default/pods/gated")
    assert "nodeName" not in gated["spec"]
    assert condition(gated)["reason"] == "SchedulingGated"
    control_plane.api.patch("/api/v1/namespaces/default/pods/gated", {"spec": {"schedulingGates": []}})
    assert wait_placed(control_plane, "gated") == "cheap"
    assert events_of(control_plane, "gated", "FailedScheduling") == []


# --- pods that fit nowhere --------------------------------------------------------------------------------------------


def wait_unschedulable(plane: ControlPlane, name: str) -> Object:
    """The pod, once it has been told that it fits nowhere."""
    path = f"/api/v1/namespaces/default/pods/{name}"
    wait_until(lambda: condition(plane.api.get(path)).get("reason") == "Unschedulable", f"{name} unschedulable")
    wait_until(lambda: events_of(plane, name, "FailedScheduling"), "the event")
    found: Object = plane.api.get(path)
    return found


def test_a_pod_that_fits_nowhere_is_told_in_the_words_of_kube_scheduler(
    daemon: Daemon, control_plane: ControlPlane
) -> None:
    control_plane.create_nodes([node("cheap", cpu="1"), node("dear", unschedulable=True)])
    wait_known(daemon, 2)
    control_plane.create_pods([pod("large", cpu="3")])
    words = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable."
    assert condition(wait_unschedulable(control_plane, "large"))["message"] == words
    assert [event["note"] for event in events_of(control_plane, "large", "FailedScheduling")] == [words]


def add_a_node(plane: ControlPlane) -> None:
    plane.create_nodes([node("dear")])


def delete_a_pod(plane: ControlPlane) -> None:
    plane.delete_all("/api/v1/namespaces/blocking/pods")


def grow_a_node(plane: ControlPlane) -> None:
    bigger = {"cpu": "16", "memory": "32Gi", "pods": "110"}
    plane.api.request(
        "PATCH",
        "/api/v1/nodes/cheap/status",
        {"status": {"allocatable": bigger, "capacity": bigger}},
        "application/merge-patch+json",
    )


@pytest.mark.parametrize(
    "cure",
    [
        pytest.param(add_a_node, id="a new node"),
        pytest.param(delete_a_pod, id="a pod that is deleted"),
        pytest.param(grow_a_node, id="a node that grew"),
    ],
)
def test_a_pod_that_fits_nowhere_is_placed_as_soon_as_it_does(
    daemon: Daemon, control_plane: ControlPlane, cure: Any
) -> None:
    if "blocking" not in control_plane.names("/api/v1/namespaces"):
        control_plane.api.post("/api/v1/namespaces", {"metadata": {"name": "blocking"}})
    control_plane.create_nodes([node("cheap")])
    control_plane.create_pods([pod("resident", cpu="6", scheduler="nobody", node="cheap", namespace="blocking")])
    wait_until(lambda: daemon.metric("scheduler_cache_size") == 2, "the node and the resident known")
    control_plane.create_pods([pod("large", cpu="3")])
    wait_unschedulable(control_plane, "large")
    cure(control_plane)
    wait_placed(control_plane, "large")


def test_what_a_pod_was_told_is_not_told_again_while_it_stays_true(daemon: Daemon, control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("cheap", cpu="1")])
    wait_until(lambda: daemon.metric("scheduler_cache_size") == 1, "the node known")
    control_plane.create_pods([pod("large", cpu="3")])
    before = wait_unschedulable(control_plane, "large")

    def tries() -> int:
        return int(daemon.metric("scheduler_schedule_attempts_total", result="unschedulable"))

    for number in range(2):
        tried = tries()
        # a change of the node is worth another look, and the answer is the same
        control_plane.api.patch("/api/v1/nodes/cheap", {"metadata": {"labels": {"change": str(number)}}})
        wait_until(lambda tried=tried: tries() > tried, "another try")
    after = control_plane.api.get("/api/v1/namespaces/default/pods/large")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert len(events_of(control_plane, "large", "FailedScheduling")) == 1
