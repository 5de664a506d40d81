"""Hard constraints: which nodes are refused, in kube-scheduler's words.

Texts and order are those of kube-scheduler 1.36.3 (pkg/scheduler/framework: plugins, FitError); each test asks for the
whole message, as the event and the condition carry it.
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.filtering import diagnose
from peaks_scheduler.scheduling.filters.filters import FILTERS
from tests.support.builders import (
    HOSTNAME,
    Json,
    anti_affinity,
    container,
    decide,
    expression,
    feasible,
    ledger,
    message,
    node,
    node_affinity,
    pod,
    pod_affinity,
    pod_term,
    read,
    spread,
    taint,
    workers,
)

PORT = {"ports": [{"hostPort": 80}]}

# the pod, the one node, a pod that is on it already, the reason
REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None, str]] = {
    "cordoned": ({}, {"unschedulable": True}, None, "node(s) were unschedulable"),
    "tainted": ({}, {"taints": [taint()]}, None, "node(s) had untolerated taint(s)"),
    "tainted, no execution": ({}, {"taints": [taint(effect="NoExecute")]}, None, "node(s) had untolerated taint(s)"),
    "node selector": ({"nodeSelector": {"zone": "a"}}, {}, None, "node(s) didn't match Pod's node affinity/selector"),
    "node affinity": (
        {"affinity": node_affinity({"matchExpressions": [expression("zone", "Exists")]})},
        {},
        None,
        "node(s) didn't match Pod's node affinity/selector",
    ),
    "another node is named": (
        {"affinity": node_affinity({"matchFields": [expression("metadata.name", "In", "other")]})},
        {},
        None,
        "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    ),
    "host port": (PORT, {}, PORT, "node(s) didn't have free ports for the requested pod ports"),
    "cpu": ({"cpu": "9"}, {}, None, "Insufficient cpu"),
    "memory": ({"memory": "33Gi"}, {}, None, "Insufficient memory"),
    "ephemeral storage": ({"requests": {"ephemeral-storage": "1Gi"}}, {}, None, "Insufficient ephemeral-storage"),
    "a device that nobody has": ({"requests": {"example.com/gpu": "1"}}, {}, None, "Insufficient example.com/gpu"),
    "a device that is taken": (
        {"requests": {"example.com/gpu": "1"}},
        {"more": {"example.com/gpu": "1"}},
        {"requests": {"example.com/gpu": "1"}},
        "Insufficient example.com/gpu",
    ),
    "pods": ({}, {"pods": "1"}, {}, "Too many pods"),
    "existing anti-affinity": (
        {"labels": {"app": "web"}},
        {},
        {"affinity": anti_affinity({"app": "web"})},
        "node(s) didn't satisfy existing pods anti-affinity rules",
    ),
    "own affinity": (
        {"affinity": pod_affinity(pod_term({"app": "db"}))},
        {},
        {"labels": {"app": "web"}},
        "node(s) didn't match pod affinity rules",
    ),
    "own anti-affinity": (
        {"affinity": anti_affinity({"app": "web"})},
        {},
        {"labels": {"app": "web"}},
        "node(s) didn't match pod anti-affinity rules",
    ),
    "spread": (
        {"labels": {"app": "web"}, "topologySpreadConstraints": [spread({"app": "web"}, HOSTNAME, minDomains=2)]},
        {},
        {"labels": {"app": "web"}},
        "node(s) didn't match pod topology spread constraints",
    ),
    "spread over a label that it lacks": (
        {"topologySpreadConstraints": [spread({"app": "web"})]},
        {},
        None,
        "node(s) didn't match pod topology spread constraints (missing required label)",
    ),
    "features": (
        {"hostNetwork": True, "hostUsers": False},
        {},
        None,
        "node(s) didn't match Pod's required features",
    ),
}


@pytest.mark.parametrize(("wanted", "there", "resident", "reason"), REASONS.values(), ids=REASONS)
def test_a_refused_node_is_refused_in_these_words(
    wanted: dict[str, Any], there: dict[str, Any], resident: dict[str, Any] | None, reason: str
) -> None:
    residents = [] if resident is None else [pod("resident", node="worker-1", **resident)]
    assert message(pod(**wanted), ledger(node(**there), *residents)) == f"0/1 nodes are available: 1 {reason}."


def test_a_resting_node_is_refused() -> None:
    known = ledger(node())
    known.set_cooldown("worker-1", True)
    reason = "node(s) were resting after a rejected pod or an overbooking"
    assert message(pod(), known) == f"0/1 nodes are available: 1 {reason}."
    known.set_cooldown("worker-1", False)
    assert decide(pod(), known).node == "worker-1"


def test_a_node_is_refused_that_may_be_closed_by_what_nobody_reads() -> None:
    by_label = anti_affinity({"app": "web"}, namespaceSelector={"matchLabels": {"team": "x"}})
    known = ledger(node(), pod("there", node="worker-1", affinity=by_label))
    assert decide(pod(labels={"app": "web"}), known).node == "worker-1"
    known.set_unreadable(frozenset({"namespaces"}))
    reason = "node(s) had pods whose anti-affinity selects namespaces by label, which this scheduler does not read"
    assert message(pod(labels={"app": "web"}), known) == f"0/1 nodes are available: 1 {reason}."


# the message


def test_reasons_are_counted_and_sorted_as_text() -> None:
    nodes = [*workers(10, cpu="1"), node("cordoned", unschedulable=True), node("tainted", taints=[taint()])]
    assert message(pod(cpu="2"), ledger(*nodes)) == (
        "0/12 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
        "10 Insufficient cpu."
    )


def test_a_node_short_of_two_resources_counts_under_both() -> None:
    known = ledger(node("a", cpu="1", memory="1Gi"), node("b", cpu="1"))
    assert (
        message(pod(cpu="2", memory="2Gi"), known)
        == "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu."
    )


def test_only_the_first_filter_that_refuses_a_node_is_heard() -> None:
    known = ledger(node(cpu="1", unschedulable=True, taints=[taint()]))
    assert message(pod(cpu="2"), known) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_nodes_that_are_not_named_are_set_aside_before_any_filter() -> None:
    # as in kube-scheduler: when matchFields name nodes, all other nodes get this reason, whatever else refuses them
    named = node_affinity({"matchFields": [expression("metadata.name", "In", "worker-0")]})
    known = ledger(*workers(3, unschedulable=True))
    assert message(pod(affinity=named), known) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_a_named_node_that_lacks_the_labels_is_told_so() -> None:
    term = {
        "matchFields": [expression("metadata.name", "In", "worker-0")],
        "matchExpressions": [expression("zone", "Exists")],
    }
    assert message(pod(affinity=node_affinity(term)), ledger(*workers(2))) == (
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_names_that_conflict_are_told_before_any_node_is_looked_at() -> None:
    both = node_affinity({"matchFields": [expression("metadata.name", "In", f"worker-{i}") for i in range(2)]})
    known = ledger(*workers(2, unschedulable=True))
    assert message(pod(affinity=both), known) == "0/2 nodes are available: pod affinity terms conflict."
    assert diagnose(read(pod(affinity=both)), known.snapshot()).filters == {"NodeAffinity"}


def test_without_any_node_kube_schedulers_words_are_others() -> None:
    assert message(pod(), ledger()) == "no nodes available to schedule pods"


def test_filters_come_in_kube_schedulers_order() -> None:
    # getDefaultPlugins; the names of NodeAffinity are its PreFilter, and filters of our own come last
    names = [each.name for each in FILTERS]
    assert names == [
        "NodeAffinity",
        "NodeUnschedulable",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "VolumeBinding",
        "VolumeZone",
        "PodTopologySpread",
        "InterPodAffinity",
        "NodeDeclaredFeatures",
        "PeaksUnreadNamespaces",
        "PeaksCoolOff",
    ]


# what fits


def fits(raw: Json, *objects: Json) -> bool:
    return decide(raw, ledger(*objects)).node is not None


def test_a_node_can_be_filled_to_the_last_millicore() -> None:
    there = pod("there", cpu="7500m", memory="30Gi", node="worker-1")
    assert fits(pod(cpu="500m", memory="2Gi"), node(), there)
    assert not fits(pod(cpu="501m"), node(), there)
    assert not fits(pod(memory="2147483649"), node(), there)  # 2 GiB and a byte


def test_a_pod_that_asks_for_nothing_fits_on_an_overcommitted_node() -> None:
    there = pod("there", cpu="9", memory="33Gi", node="worker-1")
    assert fits(pod(), node(), there)
    assert fits(pod(cpu="0", memory="0"), node(), there)
    assert not fits(pod(cpu="1m"), node(), there)


def test_what_counts_is_allocatable_and_not_capacity() -> None:
    assert not fits(pod(cpu="7"), node(cpu="6", capacity="8"))


def test_an_init_container_must_fit_too() -> None:
    assert not fits(pod(cpu="1", initContainers=[container("i", {"cpu": "9"})]), node())


def test_so_must_the_overhead() -> None:
    assert not fits(pod(cpu="8", overhead={"cpu": "1m"}), node())


def test_pods_that_wait_take_nothing_and_pods_that_end_give_back() -> None:
    full = pod("there", cpu="8", node="worker-1")
    assert fits(pod(cpu="8"), node(), pod("there", cpu="8"))
    assert not fits(pod(cpu="8"), node(), full)
    assert not fits(pod(cpu="8"), node(), pod("there", cpu="8", node="worker-1", deleting=True))
    assert fits(pod(cpu="8"), node(), pod("there", cpu="8", node="worker-1", phase="Failed"))


TOLERATED: dict[str, tuple[dict[str, str], bool]] = {
    "the cordon itself": (
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
        True,
    ),
    "everything": ({"operator": "Exists"}, True),
    "another taint": ({"key": "dedicated", "operator": "Exists"}, False),
}


@pytest.mark.parametrize(("toleration", "placed"), TOLERATED.values(), ids=TOLERATED)
def test_a_cordon_can_be_tolerated(toleration: dict[str, str], placed: bool) -> None:
    assert fits(pod(tolerations=[toleration]), node(unschedulable=True)) is placed


def test_every_taint_must_be_tolerated() -> None:
    known = node(taints=[taint("a"), taint("b", "x", "NoExecute"), taint("c", effect="PreferNoSchedule")])
    a, b = {"key": "a", "operator": "Exists"}, {"key": "b", "value": "x"}
    assert fits(pod(tolerations=[a, b]), known)
    assert not fits(pod(tolerations=[a]), known)


OPERATORS: dict[str, tuple[Json, set[str]]] = {
    "In": (expression("zone", "In", "a", "c"), {"a"}),
    "NotIn": (expression("zone", "NotIn", "a"), {"b", "none"}),
    "Exists": (expression("zone", "Exists"), {"a", "b"}),
    "DoesNotExist": (expression("zone", "DoesNotExist"), {"none"}),
    "Gt": (expression("cores", "Gt", "08"), {"b"}),
    "Lt": (expression("cores", "Lt", "16"), {"a"}),
    "Gt, no number": (expression("cores", "Gt", "1e1"), set()),
    "Gt, with underscores": (expression("cores", "Gt", "1_0"), set()),
}


@pytest.mark.parametrize(("requirement", "expected"), OPERATORS.values(), ids=OPERATORS)
def test_node_affinity_selects_by_every_operator(requirement: Json, expected: set[str]) -> None:
    labels = {"a": {"zone": "a", "cores": "8"}, "b": {"zone": "b", "cores": "16"}, "none": {}}
    raw = pod(affinity=node_affinity({"matchExpressions": [requirement]}))
    assert {name for name in labels if fits(raw, node(name, labels=labels[name]))} == expected


def test_a_bad_term_is_skipped_and_the_others_count() -> None:
    bad, good = ({"matchExpressions": [expression("cores", "Gt", value)]} for value in ("7.5", "7"))
    known = node(labels={"cores": "8"})
    assert not fits(pod(affinity=node_affinity(bad)), known)
    assert fits(pod(affinity=node_affinity(bad, good)), known)
    assert not fits(pod(affinity=node_affinity({})), known)
    assert not fits(pod(affinity=node_affinity()), known)


# which events can change it


def events(raw: Json, *objects: Json) -> frozenset[ClusterEvent]:
    return diagnose(read(raw), ledger(*objects).snapshot()).events


NODES = {ClusterEvent.NODE_ADDED, ClusterEvent.NODE_CHANGED}


PODS = NODES | {ClusterEvent.POD_GONE}
NEIGHBOURS = PODS | {ClusterEvent.POD_PLACED, ClusterEvent.POD_CHANGED}
EVENTS: dict[frozenset[ClusterEvent], list[str]] = {
    frozenset(NODES): ["cordoned", "tainted", "node selector", "node affinity", "another node is named", "features"],
    frozenset(PODS): ["host port", "cpu", "pods"],
    frozenset(NEIGHBOURS | {ClusterEvent.NODE_REMOVED}): ["spread", "spread over a label that it lacks"],
    frozenset(NEIGHBOURS | {ClusterEvent.NAMESPACE_CHANGED}): [
        "own affinity",
        "own anti-affinity",
        "existing anti-affinity",
    ],
}


@pytest.mark.parametrize(("case", "expected"), [(case, found) for found, cases in EVENTS.items() for case in cases])
def test_a_refusal_names_the_events_that_can_make_the_node_fit(case: str, expected: frozenset[ClusterEvent]) -> None:
    wanted, there, resident, _ = REASONS[case]
    assert events(pod(**wanted), node(**there), pod("resident", node="worker-1", **(resident or {}))) == expected


def test_without_nodes_only_a_new_node_can_help() -> None:
    assert events(pod()) == {ClusterEvent.NODE_ADDED}


def test_no_event_in_the_cluster_helps_against_a_field_that_is_not_honoured() -> None:
    diagnosis = decide(pod(resourceClaims=[{}]), ledger(node())).diagnosis
    assert diagnosis is not None
    assert diagnosis.events == frozenset()


# what a node declares

RESTARTING: Json = {"restartPolicyRules": [{"action": "RestartAllContainers"}]}
NEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "restart of all containers": (
        {"containers": [container("a", **RESTARTING)]},
        "RestartAllContainersOnContainerExits",
    ),
    "the same of an init container": (
        {"initContainers": [container("a", **RESTARTING)]},
        "RestartAllContainersOnContainerExits",
    ),
    "a user namespace on the host's network": (
        {"hostNetwork": True, "hostUsers": False},
        "UserNamespacesHostNetworkSupport",
    ),
}


@pytest.mark.parametrize(("spec", "feature"), NEEDS.values(), ids=NEEDS)
def test_a_pod_goes_only_where_the_node_declares_what_it_needs(spec: dict[str, Any], feature: str) -> None:
    known = ledger(node("able", features=["Other", feature]), node("other", features=["Other"]), node("silent"))
    assert feasible(pod(**spec), known) == {"able"}


NEEDS_NOTHING: dict[str, dict[str, Any]] = {
    "another restart rule": {"containers": [container("a", restartPolicyRules=[{"action": "Restart"}])]},
    "a user namespace": {"hostUsers": False},
    "the host's network": {"hostNetwork": True, "hostUsers": True},
}


@pytest.mark.parametrize("spec", NEEDS_NOTHING.values(), ids=NEEDS_NOTHING)
def test_others_go_anywhere(spec: dict[str, Any]) -> None:
    assert fits(pod(**spec), node())
