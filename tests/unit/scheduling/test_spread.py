"""PodTopologySpread, ``DoNotSchedule``: no domain has more than ``maxSkew`` pods more than the emptiest one.

What counts and what does not is kube-scheduler 1.36.3's (plugins/podtopologyspread/filtering.go and common.go).
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    HOSTNAME,
    PEAKS,
    Json,
    expression,
    feasible,
    ledger,
    message,
    node,
    node_affinity,
    place,
    pod,
    read,
    spread,
    taint,
    workers,
)

WEB = {"app": "web"}
A, B, C = (node(f"{zone}0", labels={"zone": zone}) for zone in "abc")
ZONES = (A, B, C)
EVERYWHERE = {"a0", "b0", "c0"}
UNEVEN = "node(s) didn't match pod topology spread constraints"
UNLABELLED = f"{UNEVEN} (missing required label)"


def webs(**there: int) -> list[Json]:
    """So many pods of the group on each of these nodes."""
    return [pod(f"web-{name}-{i}", labels=WEB, node=name) for name, count in there.items() for i in range(count)]


def spreading(*constraints: Json, labels: dict[str, str] | None = None, **spec: Any) -> Json:
    """A pod of the group with these constraints."""
    own = WEB if labels is None else labels
    return pod("next", labels=own, topologySpreadConstraints=list(constraints), **spec)


# --- skew -----------------------------------------------------------------------------------------

# maxSkew, pods in zones a, b, c; where the next may go
SKEWS: dict[str, tuple[int, dict[str, int], set[str]]] = {
    "nobody is there yet": (1, {}, EVERYWHERE),
    "one zone is ahead": (1, {"a0": 1}, {"b0", "c0"}),
    "two are": (1, {"a0": 1, "b0": 1}, {"c0"}),
    "all are even": (1, {"a0": 1, "b0": 1, "c0": 1}, EVERYWHERE),
    "far ahead": (1, {"a0": 5, "b0": 2}, {"c0"}),
    "two may be ahead": (2, {"a0": 1}, EVERYWHERE),
    "three may not": (2, {"a0": 2}, {"b0", "c0"}),
}


@pytest.mark.parametrize(("skew", "there", "expected"), SKEWS.values(), ids=SKEWS)
def test_no_zone_gets_ahead_by_more_than_the_skew(skew: int, there: dict[str, int], expected: set[str]) -> None:
    assert feasible(spreading(spread(WEB, skew=skew)), ledger(*ZONES, *webs(**there))) == expected


def test_pods_of_one_zone_are_counted_together() -> None:
    nodes = [A, node("a1", labels={"zone": "a"}), B]
    assert feasible(spreading(spread(WEB)), ledger(*nodes, *webs(a0=1))) == {"b0"}


def test_nodes_can_be_the_domains() -> None:
    assert feasible(spreading(spread(WEB, HOSTNAME)), ledger(*workers(2), *webs(**{"worker-0": 1}))) == {"worker-1"}


def test_a_deployment_ends_up_even() -> None:
    known = ledger(*ZONES, node("a1", labels={"zone": "a"}))
    placed = [place(pod(f"web-{i}", labels=WEB, topologySpreadConstraints=[spread(WEB)]), known) for i in range(9)]
    assert sorted(str(name)[0] for name in placed) == sorted("abc" * 3)


def test_a_pod_that_its_own_selector_does_not_select_does_not_count_itself() -> None:
    # a domain that is one pod ahead may take it, a domain two pods ahead may not
    stranger = spreading(spread(WEB), labels={"app": "db"})
    assert feasible(stranger, ledger(*ZONES, *webs(a0=1))) == EVERYWHERE
    assert feasible(stranger, ledger(*ZONES, *webs(a0=2))) == {"b0", "c0"}


def test_a_refusal_says_so() -> None:
    assert message(spreading(spread(WEB, minDomains=2)), ledger(A, *webs(a0=1))) == (
        f"0/1 nodes are available: 1 {UNEVEN}."
    )


# --- who counts -----------------------------------------------------------------------------------

BYSTANDERS: dict[str, dict[str, Any]] = {
    "one of another group": {"labels": {"app": "db"}},
    "one of another namespace": {"namespace": "other"},
    "one on its way out": {"deleting": True},
    "one that has finished": {"phase": "Succeeded"},
    "one that waits": {"node": None},
}


@pytest.mark.parametrize("other", BYSTANDERS.values(), ids=BYSTANDERS)
def test_it_does_not_count(other: dict[str, Any]) -> None:
    there = pod("other", **({"labels": WEB, "node": "a0"} | other))
    assert feasible(spreading(spread(WEB)), ledger(*ZONES, there)) == EVERYWHERE


def test_a_pod_that_begins_to_end_counts_no_more() -> None:
    known = ledger(*ZONES, *webs(a0=1))
    assert feasible(spreading(spread(WEB)), known) == {"b0", "c0"}
    known.observe_pod(pod("web-a0-0", labels=WEB, node="a0", deleting=True))
    assert feasible(spreading(spread(WEB)), known) == EVERYWHERE


def test_nor_does_one_that_is_labelled_otherwise_from_now_on() -> None:
    known = ledger(*ZONES, *webs(a0=1))
    known.observe_pod(pod("web-a0-0", labels={"app": "db"}, node="a0"))
    assert feasible(spreading(spread(WEB)), known) == EVERYWHERE


def test_one_on_its_way_to_a_node_counts() -> None:
    known = ledger(*ZONES, pod("web-0", labels=WEB))
    known.assume("uid-default-web-0", "a0")
    assert feasible(spreading(spread(WEB)), known) == {"b0", "c0"}


SELECTORS: dict[str, tuple[Json, set[str]]] = {
    "expressions": ({"labelSelector": {"matchExpressions": [expression("app", "In", "web", "db")]}}, {"b0", "c0"}),
    "an empty one counts nobody": ({"labelSelector": {}}, EVERYWHERE),
    "none counts nobody": ({"labelSelector": None}, EVERYWHERE),
}


@pytest.mark.parametrize(("more", "expected"), SELECTORS.values(), ids=SELECTORS)
def test_a_selector_says_who_counts(more: Json, expected: set[str]) -> None:
    assert feasible(spreading(spread(WEB, **more)), ledger(*ZONES, *webs(a0=2))) == expected


def test_an_empty_selector_counts_nobody_there_but_the_pod_itself() -> None:
    # as in kube-scheduler: minDomains makes the emptiest domain count 0, and the pod itself counts 1
    known = ledger(A, *webs(a0=5))
    assert feasible(spreading(spread(None, labelSelector={}, minDomains=2)), known) == {"a0"}


def test_match_label_keys_count_pods_of_the_same_revision_only() -> None:
    old = pod("old", labels=WEB | {"hash": "1"}, node="a0")
    known = ledger(*ZONES, old)
    by_hash = spread(WEB, matchLabelKeys=["hash"])
    assert feasible(spreading(by_hash, labels=WEB | {"hash": "2"}), known) == EVERYWHERE
    assert feasible(spreading(by_hash, labels=WEB | {"hash": "1"}), known) == {"b0", "c0"}


def test_a_key_that_the_pod_lacks_narrows_nothing() -> None:
    assert feasible(spreading(spread(WEB, matchLabelKeys=["hash"])), ledger(*ZONES, *webs(a0=1))) == {"b0", "c0"}


def test_with_match_label_keys_an_empty_selector_counts_after_all() -> None:
    constraint = spread(None, labelSelector={}, matchLabelKeys=["app"])
    assert feasible(spreading(constraint), ledger(*ZONES, *webs(a0=1))) == {"b0", "c0"}


# --- domains --------------------------------------------------------------------------------------


def test_a_node_without_the_label_is_no_place() -> None:
    assert message(spreading(spread(WEB)), ledger(node())) == f"0/1 nodes are available: 1 {UNLABELLED}."


def test_and_its_pods_count_for_nobody() -> None:
    known = ledger(*ZONES, node("nowhere"), *webs(nowhere=3))
    assert feasible(spreading(spread(WEB)), known) == EVERYWHERE


def test_a_zone_by_the_empty_name_is_a_zone() -> None:
    known = ledger(A, node("unnamed", labels={"zone": ""}), *webs(unnamed=1))
    assert feasible(spreading(spread(WEB)), known) == {"a0"}


def test_too_few_domains_make_the_emptiest_count_as_empty() -> None:
    known = ledger(A, B, *webs(a0=1, b0=1))
    assert feasible(spreading(spread(WEB, minDomains=2)), known) == {"a0", "b0"}
    assert feasible(spreading(spread(WEB, minDomains=3)), known) == set()
    known.observe_node(C)
    assert feasible(spreading(spread(WEB, minDomains=3)), known) == {"c0"}


def test_a_new_zone_is_the_emptiest_at_once() -> None:
    known = ledger(A, B, *webs(a0=1, b0=1))
    assert feasible(spreading(spread(WEB)), known) == {"a0", "b0"}
    known.observe_node(C)
    assert feasible(spreading(spread(WEB)), known) == {"c0"}


def test_a_zone_that_loses_its_last_node_is_none_any_more() -> None:
    known = ledger(*ZONES, *webs(a0=1, b0=1))
    known.observe_node(C, gone=True)
    assert feasible(spreading(spread(WEB)), known) == {"a0", "b0"}


def test_two_constraints_must_both_hold() -> None:
    nodes = [node(f"{zone}{i}", labels={"zone": zone}) for zone in "ab" for i in range(2)]
    by_zone, by_host = spread(WEB, skew=2), spread(WEB, HOSTNAME)
    known = ledger(*nodes, *webs(a0=1, b0=1, a1=1))
    assert feasible(spreading(by_zone), known) == {"a0", "a1", "b0", "b1"}
    assert feasible(spreading(by_zone, by_host), known) == {"b1"}


def test_the_first_constraint_that_fails_is_heard() -> None:
    constraints = [spread(WEB, "rack"), spread(WEB, minDomains=9)]
    both, one = node("both", labels={"zone": "a", "rack": "r"}), node("no-zone", labels={"rack": "r"})
    judged = judge(read(spreading(*constraints)), ledger(A, both, one, *webs(both=1)).snapshot(), PEAKS)
    reasons = {name: verdict.reasons for name, verdict in judged.items()}
    assert reasons == {"a0": (UNLABELLED,), "both": (UNEVEN,), "no-zone": (UNLABELLED,)}


def test_a_node_that_lacks_one_of_the_labels_counts_for_none_of_the_constraints() -> None:
    # zone c, whose node has no rack, would be the emptiest
    racked = [node(f"{zone}0", labels={"zone": zone, "rack": zone}) for zone in "ab"]
    known = ledger(*racked, C, *webs(a0=1, b0=1))
    assert feasible(spreading(spread(WEB), spread(WEB, "rack")), known) == {"a0", "b0"}


# --- which nodes count ----------------------------------------------------------------------------

NOT_C = {"affinity": node_affinity({"matchExpressions": [expression("zone", "NotIn", "c")]})}
POLICIES: dict[str, tuple[Json, dict[str, Any], set[str]]] = {
    # a0 and b0 have a pod each, zone c none; is c the emptiest?
    "its node affinity counts": ({}, NOT_C, {"a0", "b0"}),
    "its node affinity counts, as it says": ({"nodeAffinityPolicy": "Honor"}, NOT_C, {"a0", "b0"}),
    "its node affinity does not": ({"nodeAffinityPolicy": "Ignore"}, NOT_C, set()),
    "its node selector counts": ({}, {"nodeSelector": {"half": "left"}}, {"a0", "b0"}),
    "its node selector does not": ({"nodeAffinityPolicy": "Ignore"}, {"nodeSelector": {"half": "left"}}, set()),
}


@pytest.mark.parametrize(("more", "spec", "expected"), POLICIES.values(), ids=POLICIES)
def test_nodes_that_the_pod_cannot_go_to_count_or_do_not(more: Json, spec: dict[str, Any], expected: set[str]) -> None:
    left = [node(f"{zone}0", labels={"zone": zone, "half": "left"}) for zone in "ab"]
    assert feasible(spreading(spread(WEB, **more), **spec), ledger(*left, C, *webs(a0=1, b0=1))) == expected


TAINTED = node("c0", labels={"zone": "c"}, taints=[taint()])
TAINTS: dict[str, tuple[Json, dict[str, Any], set[str]]] = {
    "taints do not count": ({}, {}, set()),
    "taints do not count, as it says": ({"nodeTaintsPolicy": "Ignore"}, {}, set()),
    "taints count": ({"nodeTaintsPolicy": "Honor"}, {}, {"a0", "b0"}),
    "a taint that it tolerates": (
        {"nodeTaintsPolicy": "Honor"},
        {"tolerations": [{"key": "dedicated", "operator": "Exists"}]},
        {"c0"},
    ),
}


@pytest.mark.parametrize(("more", "spec", "expected"), TAINTS.values(), ids=TAINTS)
def test_so_do_nodes_that_are_tainted(more: Json, spec: dict[str, Any], expected: set[str]) -> None:
    assert feasible(spreading(spread(WEB, **more), **spec), ledger(A, B, TAINTED, *webs(a0=1, b0=1))) == expected


def test_a_cordon_is_no_taint_of_its_own() -> None:
    # the node controller adds the taint, and then it counts
    cordoned = node("c0", labels={"zone": "c"}, unschedulable=True)
    known = ledger(A, B, cordoned, *webs(a0=1, b0=1))
    assert feasible(spreading(spread(WEB, nodeTaintsPolicy="Honor")), known) == set()


def test_a_taint_that_only_prefers_excludes_nobody() -> None:
    mild = node("c0", labels={"zone": "c"}, taints=[taint(effect="PreferNoSchedule")])
    assert feasible(spreading(spread(WEB, nodeTaintsPolicy="Honor")), ledger(A, B, mild, *webs(a0=1, b0=1))) == {"c0"}


def test_pods_on_excluded_nodes_of_a_zone_do_not_count_for_it() -> None:
    a1 = node("a1", labels={"zone": "a"}, taints=[taint()])
    known = ledger(A, a1, B, *webs(a1=3))
    assert feasible(spreading(spread(WEB)), known) == {"b0"}
    assert feasible(spreading(spread(WEB, nodeTaintsPolicy="Honor")), known) == {"a0", "b0"}


def test_a_zone_whose_nodes_are_all_excluded_is_none() -> None:
    # with it minDomains 2 would be met
    known = ledger(A, TAINTED, *webs(a0=1))
    assert feasible(spreading(spread(WEB, minDomains=2, nodeTaintsPolicy="Honor")), known) == set()
    assert feasible(spreading(spread(WEB, minDomains=1, nodeTaintsPolicy="Honor")), known) == {"a0"}


def test_if_every_node_is_excluded_it_is_their_own_filters_that_refuse() -> None:
    known = ledger(TAINTED)
    raw = spreading(spread(WEB, nodeTaintsPolicy="Honor"))
    assert message(raw, known) == "0/1 nodes are available: 1 node(s) had untolerated taint(s)."


def test_a_constraint_that_only_prefers_refuses_nobody() -> None:
    known = ledger(A, *webs(a0=9))
    assert feasible(spreading(spread(WEB, minDomains=2, whenUnsatisfiable="ScheduleAnyway")), known) == {"a0"}
