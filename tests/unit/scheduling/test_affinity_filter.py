"""InterPodAffinity: affinity and anti-affinity of the pod, and anti-affinity of existing pods.

What the rules are is kube-scheduler 1.36.3's (plugins/interpodaffinity/filtering.go).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import (
    HOSTNAME,
    PREFERRED,
    Json,
    anti_affinity,
    expression,
    feasible,
    ledger,
    message,
    namespace,
    node,
    place,
    pod,
    pod_affinity,
    pod_term,
)

WEB, DB = {"app": "web"}, {"app": "db"}
A0, A1, B0 = (node(name, labels={"zone": name[0]}) for name in ("a0", "a1", "b0"))
NOWHERE = node("nowhere")
NODES = (A0, A1, B0, NOWHERE)
ABSENT = "node(s) didn't match pod affinity rules"
PRESENT = "node(s) didn't match pod anti-affinity rules"
REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"


def db(**more: Any) -> Json:
    """The pod to which the others have affinity or anti-affinity."""
    return pod("db-0", **({"labels": DB, "node": "a0"} | more))


def near(*terms: Json, **more: Any) -> Json:
    """A pod with affinity."""
    return pod("next", **({"labels": WEB, "affinity": pod_affinity(*terms)} | more))


def far(match: dict[str, str] | None = DB, topology: str = "zone", **more: Any) -> Json:
    """A pod with anti-affinity."""
    return pod("next", labels=WEB, affinity=anti_affinity(match, topology, **more))


NEAR_DB = near(pod_term(DB, "zone"))


# --- near -----------------------------------------------------------------------------------------


def test_a_pod_goes_to_the_zone_of_those_it_wants_near() -> None:
    assert feasible(NEAR_DB, ledger(*NODES, db())) == {"a0", "a1"}


def test_or_to_their_node() -> None:
    assert feasible(near(pod_term(DB)), ledger(*NODES, db())) == {"a0"}


def test_and_nowhere_if_they_are_not_there() -> None:
    assert message(NEAR_DB, ledger(*NODES)) == f"0/4 nodes are available: 4 {ABSENT}."


WHO: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one on its way out still counts": ({"deleting": True}, {"a0", "a1"}),
    "one that has finished does not": ({"phase": "Failed"}, set()),
    "one that waits does not": ({"node": None}, set()),
    "one with other labels does not": ({"labels": WEB}, set()),
    "one of another namespace does not": ({"namespace": "other"}, set()),
    "one on a node without the zone does not": ({"node": "nowhere"}, set()),
}


@pytest.mark.parametrize(("there", "expected"), WHO.values(), ids=WHO)
def test_who_counts(there: dict[str, Any], expected: set[str]) -> None:
    assert feasible(NEAR_DB, ledger(*NODES, db(**there))) == expected


def test_one_on_its_way_to_a_node_counts() -> None:
    known = ledger(*NODES, db(node=None))
    known.assume("uid-default-db-0", "b0")
    assert feasible(NEAR_DB, known) == {"b0"}
    known.forget("uid-default-db-0")
    assert feasible(NEAR_DB, known) == set()


def test_a_pod_that_is_labelled_otherwise_is_not_wanted_any_more() -> None:
    known = ledger(*NODES, db())
    assert feasible(NEAR_DB, known) == {"a0", "a1"}
    known.observe_pod(db(labels=WEB))
    assert feasible(NEAR_DB, known) == set()


def test_every_zone_with_one_will_do() -> None:
    assert feasible(NEAR_DB, ledger(*NODES, db(), db(uid="2", node="b0"))) == {"a0", "a1", "b0"}


def test_a_node_that_lacks_a_label_of_a_term_is_no_place() -> None:
    # the node of the pod itself, which is outside every zone
    known = ledger(*NODES, db(), db(uid="2", node="nowhere"))
    assert feasible(near(pod_term(DB), pod_term(DB, "zone")), known) == {"a0"}


def test_one_pod_must_match_all_terms() -> None:
    front = pod_term({"tier": "front"}, "zone")
    one_each = [db(), db(uid="2", labels={"tier": "front"})]
    assert feasible(near(pod_term(DB, "zone"), front), ledger(*NODES, *one_each)) == set()
    both = db(uid="3", labels=DB | {"tier": "front"})
    assert feasible(near(pod_term(DB, "zone"), front), ledger(*NODES, *one_each, both)) == {"a0", "a1"}


def test_the_domains_of_two_terms_may_hold_different_pods_that_match_both() -> None:
    # as kube-scheduler counts: one pod for each domain, not one pod for both
    nodes = [node(name, labels={"zone": zone, "rack": rack}) for name, zone, rack in
             [("n0", "a", "1"), ("n1", "b", "2"), ("n2", "a", "2")]]  # fmt: skip
    there = [db(node="n0"), db(uid="2", node="n1")]
    assert feasible(near(pod_term(DB, "zone"), pod_term(DB, "rack")), ledger(*nodes, *there)) == {"n0", "n1", "n2"}


SELECTORS: dict[str, tuple[Json, set[str]]] = {
    "none selects nobody": (pod_term(None, "zone"), set()),
    "an empty one selects everybody": (pod_term({}, "zone"), {"a0", "a1"}),
    "expressions": (
        pod_term(None, "zone", labelSelector={"matchExpressions": [expression("app", "NotIn", "web")]}),
        {"a0", "a1"},
    ),
}


@pytest.mark.parametrize(("term", "expected"), SELECTORS.values(), ids=SELECTORS)
def test_a_selector_says_whom_it_wants(term: Json, expected: set[str]) -> None:
    assert feasible(near(term), ledger(*NODES, db())) == expected


# --- the first of a group -------------------------------------------------------------------------

GROUP = near(pod_term(WEB, "zone"))


def test_the_first_of_a_group_that_wants_itself_near_may_go_to_any_zone() -> None:
    assert feasible(GROUP, ledger(*NODES)) == {"a0", "a1", "b0"}


def test_and_the_others_follow_it() -> None:
    known = ledger(*NODES)
    placed = [place(pod(f"web-{i}", labels=WEB, affinity=pod_affinity(pod_term(WEB, "zone"))), known) for i in range(5)]
    assert len({str(name)[0] for name in placed}) == 1


def test_one_that_nobody_can_be_near_to_is_no_company() -> None:
    assert feasible(GROUP, ledger(*NODES, pod("there", labels=WEB, node="nowhere"))) == {"a0", "a1", "b0"}


def test_it_must_match_all_its_terms_itself() -> None:
    known = ledger(*NODES)
    assert feasible(near(pod_term(WEB, "zone"), pod_term(DB, "zone")), known) == set()
    assert feasible(near(pod_term(WEB, "zone"), pod_term({}, HOSTNAME)), known) == {"a0", "a1", "b0"}


def test_it_does_not_match_them_in_another_namespace() -> None:
    assert feasible(near(pod_term(WEB, "zone", ["other"])), ledger(*NODES)) == set()
    assert feasible(near(pod_term(WEB, "zone", ["other", "default"])), ledger(*NODES)) == {"a0", "a1", "b0"}


def test_a_group_that_has_begun_is_not_begun_again_because_its_node_is_full() -> None:
    full = pod("there", labels=WEB, node="b0", cpu="8")
    assert message(near(pod_term(WEB, "zone"), cpu="1"), ledger(*NODES, full)) == (
        f"0/4 nodes are available: 1 Insufficient cpu, 3 {ABSENT}."
    )


# --- far ------------------------------------------------------------------------------------------


def test_a_pod_keeps_away_from_the_zone_of_those_it_wants_far() -> None:
    assert feasible(far(), ledger(*NODES, db())) == {"b0", "nowhere"}


def test_or_from_their_node() -> None:
    assert feasible(far(topology=HOSTNAME), ledger(*NODES, db())) == {"a1", "b0", "nowhere"}


AWAY: dict[str, tuple[dict[str, Any], bool]] = {
    "one on its way out still counts": ({"deleting": True}, True),
    "one that has finished does not": ({"phase": "Succeeded"}, False),
    "one of another namespace does not": ({"namespace": "other"}, False),
    "one on a node without the zone does not": ({"node": "nowhere"}, False),
}


@pytest.mark.parametrize(("there", "counts"), AWAY.values(), ids=AWAY)
def test_whom_it_keeps_away_from(there: dict[str, Any], counts: bool) -> None:
    everywhere = {"a0", "a1", "b0", "nowhere"}
    expected = {"b0", "nowhere"} if counts else everywhere
    assert feasible(far(), ledger(*NODES, db(**there))) == expected


def test_any_one_of_the_terms_is_enough() -> None:
    # unlike with affinity
    both = {"podAntiAffinity": {next(iter(anti_affinity(DB)["podAntiAffinity"])): [
        pod_term(DB, "zone"), pod_term({"tier": "front"}, HOSTNAME)]}}  # fmt: skip
    known = ledger(*NODES, db(), pod("front", labels={"tier": "front"}, node="b0"))
    assert feasible(pod("next", affinity=both), known) == {"nowhere"}


def test_no_selector_keeps_away_from_nobody_and_an_empty_one_from_everybody() -> None:
    known = ledger(*NODES, db())
    assert feasible(far(None), known) == {"a0", "a1", "b0", "nowhere"}
    assert feasible(far({}), known) == {"b0", "nowhere"}


def test_a_group_that_keeps_away_from_itself_has_one_a_node_and_no_more() -> None:
    known = ledger(A0, A1, B0)
    placed = [place(pod(f"web-{i}", labels=WEB, affinity=anti_affinity(WEB)), known) for i in range(4)]
    assert set(placed) == {"a0", "a1", "b0", None}


# --- what pods that are there demand --------------------------------------------------------------


def test_who_is_there_keeps_others_out_of_its_zone() -> None:
    resident = pod("there", node="a0", affinity=anti_affinity(WEB, "zone"))
    assert feasible(pod(labels=WEB), ledger(*NODES, resident)) == {"b0", "nowhere"}
    assert feasible(pod(labels=DB), ledger(*NODES, resident)) == {"a0", "a1", "b0", "nowhere"}


def test_those_on_their_way_out_do_so_until_they_are_gone() -> None:
    resident = pod("there", node="a0", affinity=anti_affinity(WEB, "zone"), deleting=True)
    known = ledger(*NODES, resident)
    assert feasible(pod(labels=WEB), known) == {"b0", "nowhere"}
    known.observe_pod(resident, gone=True)
    assert feasible(pod(labels=WEB), known) == {"a0", "a1", "b0", "nowhere"}


def test_what_is_required_near_there_and_what_is_only_preferred_keeps_nobody_out() -> None:
    soft = {"podAntiAffinity": {PREFERRED: [{"weight": 100, "podAffinityTerm": pod_term(WEB, "zone")}]}}
    there = [pod("a", node="a0", affinity=soft), pod("b", node="a1", affinity=pod_affinity(pod_term(DB, "zone")))]
    assert feasible(pod(labels=WEB), ledger(*NODES, *there)) == {"a0", "a1", "b0", "nowhere"}


# --- namespaces -----------------------------------------------------------------------------------

PROD, NO_ENV = {"matchLabels": {"env": "prod"}}, {"matchExpressions": [expression("env", "DoesNotExist")]}
OTHER_IS_PROD, OTHER_IS_TEST = (namespace("other", {"env": env}) for env in ("prod", "test"))
NAMESPACES: dict[str, tuple[dict[str, Any], Json | None, bool]] = {
    # the term, the namespace "other", and whether the term selects a pod in it
    "its own alone, by default": ({}, OTHER_IS_PROD, False),
    "named": ({"namespaces": ["other"]}, None, True),
    "an empty selector is every namespace": ({"namespaceSelector": {}}, None, True),
    "by label": ({"namespaceSelector": PROD}, OTHER_IS_PROD, True),
    "by another label": ({"namespaceSelector": PROD}, OTHER_IS_TEST, False),
    "by label, or named": ({"namespaceSelector": PROD, "namespaces": ["other"]}, OTHER_IS_TEST, True),
    "by label, no such namespace": ({"namespaceSelector": PROD}, None, False),
    # kube-scheduler asks an incoming pod's selector a second time, without any labels: one that takes no label for an
    # answer means every namespace
    "by a label it must not have": ({"namespaceSelector": NO_ENV}, OTHER_IS_PROD, True),
    "by a label it must not have, no such namespace": ({"namespaceSelector": NO_ENV}, None, True),
}


@pytest.mark.parametrize(("more", "other", "meant"), NAMESPACES.values(), ids=NAMESPACES)
def test_a_term_means_pods_of_its_namespaces(more: dict[str, Any], other: Json | None, meant: bool) -> None:
    objects = [*NODES, db(namespace="other")] + ([] if other is None else [other])
    known = ledger(*objects)
    assert feasible(near(pod_term(DB, "zone", **more)), known) == ({"a0", "a1"} if meant else set())
    assert feasible(far(**more), known) == ({"b0", "nowhere"} | (set() if meant else {"a0", "a1"}))


def test_a_selector_of_namespaces_does_not_mean_the_pods_own_if_that_has_not_the_label() -> None:
    known = ledger(*NODES, db(), namespace("default"), OTHER_IS_PROD)
    assert feasible(near(pod_term(DB, "zone", namespaceSelector=PROD)), known) == set()


def test_a_namespace_that_gets_the_label_is_meant_from_then_on() -> None:
    known = ledger(*NODES, db(namespace="other"), OTHER_IS_TEST)
    by_label = near(pod_term(DB, "zone", namespaceSelector=PROD))
    assert feasible(by_label, known) == set()
    known.observe_namespace(OTHER_IS_PROD)
    assert feasible(by_label, known) == {"a0", "a1"}
    known.observe_namespace(OTHER_IS_PROD, gone=True)
    assert feasible(by_label, known) == set()


def test_every_namespace_is_known_without_reading_any() -> None:
    known = ledger(*NODES, db(namespace="other"))
    known.unfed(frozenset({"namespaces"}))
    assert feasible(near(pod_term(DB, "zone", namespaceSelector={})), known) == {"a0", "a1"}


# --- which reason is heard ------------------------------------------------------------------------


def test_near_is_heard_before_far_and_far_before_what_others_demand() -> None:
    demanding = pod("there", labels={"tier": "x"}, node="a0", affinity=anti_affinity(WEB, "zone"))
    both = anti_affinity({"tier": "x"}, "zone")
    known = ledger(A0, demanding)
    assert message(pod(labels=WEB), known) == f"0/1 nodes are available: 1 {REPELLED}."
    assert message(pod(labels=WEB, affinity=both), known) == f"0/1 nodes are available: 1 {PRESENT}."
    whole = both | pod_affinity(pod_term(DB, "zone"))
    assert message(pod(labels=WEB, affinity=whole), known) == f"0/1 nodes are available: 1 {ABSENT}."
