"""scheduler_perf's own configurations, as Kubernetes' Go module has them: they are understood, and one of them runs.

The expected names, numbers and reasons are read in those files by hand (Kubernetes 1.36.3).
"""

from __future__ import annotations

import functools

import pytest

from benchmarks.plan import Plan
from benchmarks.scheduler_perf import objects, part, reading
from benchmarks.scheduler_perf.steps import CreateNodes, CreatePods

CHOSEN = {
    # name -> published threshold
    "misc/SchedulingBasic/5000Nodes_10000Pods_QueueingHintsEnabled": 270,
    "misc/Unschedulable/5kNodes/100Init/10kPods_QueueingHintsEnabled": 170,
    "affinity/SchedulingPodAffinity/5000Nodes": None,
    "affinity/SchedulingPodAntiAffinity/5000Nodes_2000Pods_QueueingHintsEnabled": 60,
    "affinity/SchedulingRequiredPodAntiAffinityWithNSSelector/5000Nodes_2000Pods_QueueingHintsEnabled": 24,
    "topology_spreading/SchedulingWithNodeInclusionPolicy/5000Nodes_QueueingHintsEnabled": 68,
    "volumes/SchedulingCSIPVs/5000Nodes_5000Pods_QueueingHintsEnabled": 48,
}
LEFT_OUT = {
    "misc/SchedulingBasic/5000Nodes_10000Pods": "SchedulerQueueingHints=false",
    "misc/SchedulingBasic/5000Nodes_50000Pods_AsyncAPICallsEnabled": "SchedulerAsyncAPICalls=true",
    "misc/PreemptionAsync/5000Nodes_QueueingHintsEnabled": "preemption",
    "misc/SchedulingDaemonset/15000Nodes_QueueingHintsEnabled": "15,001 nodes",
    "dra/PublishResourceSlices/5000nodes": "dynamic resource allocation",
    "nodedeclaredfeatures/NodeDeclaredFeaturesEnabled/5000Nodes20DeclaredFeatures": "numNodeDeclaredFeatures",
}


@functools.cache
def selected() -> tuple[dict[str, reading.Case], dict[str, str]]:
    module = reading.find()
    chosen, left_out = reading.select(reading.read(module), reading.gate_defaults(module))
    return {case.name: case for case in chosen}, left_out


@pytest.mark.parametrize("name", CHOSEN)
def test_a_case_of_five_thousand_nodes_is_chosen_with_its_threshold(name: str) -> None:
    assert selected()[0][name].threshold == CHOSEN[name]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_case_that_needs_more_is_left_out_with_its_reason(name: str) -> None:
    assert LEFT_OUT[name] in selected()[1][name]


def test_every_chosen_case_collects_once_and_its_templates_make_pods() -> None:
    for case in selected()[0].values():
        pods = [step for step in case.parse(0.002)[0] if isinstance(step, CreatePods)]
        assert sum(step.collect for step in pods) == 1, case.name
        assert all(pod["spec"]["containers"] for step in pods for pod in objects.pods(step, "Peaks")), case.name


def test_nodes_of_a_spreading_case_lie_in_three_zones() -> None:
    case = selected()[0]["topology_spreading/TopologySpreading/5000Nodes_5000Pods_QueueingHintsEnabled"]
    (step,) = (step for step in case.parse(0.002)[0] if isinstance(step, CreateNodes))
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in objects.nodes(step, 0, 1)]
    assert zones[:4] == ["moon-1", "moon-2", "moon-3", "moon-1"]


def test_both_schedulers_go_through_a_small_case() -> None:
    said: list[str] = []
    part.measure(Plan(nodes=25, cases=("SchedulingMigratedInTreePVs/5000Nodes_5000Pods",)), said.append)
    bound = [line for line in said if ": 25 pods" in line]
    assert [line.split(", ")[1].split(":")[0] for line in bound] == ["peaks", "kube-scheduler"]
