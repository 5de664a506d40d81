"""The indices: host ports, existing anti-affinity, taints and remembered constraints, kept up to date as things change.

``test_ledger.py`` compares them with a ledger filled anew after any sequence of events; here is what each answer is.
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.indices import REMEMBERED
from peaks_scheduler.ledger import Ledger
from peaks_scheduler.objects import HostPort, Node
from peaks_scheduler.snapshot import Mask
from tests.builders import Json, anti_affinity, expression, ledger, node, pod, read, taint, workers

WEB = {"app": "web"}
BY_LABEL = {"matchLabels": {"t": "x"}}


def names(known: Ledger, mask: Mask | None) -> set[str]:
    return set() if mask is None else {name for name, there in zip(known.snapshot().names, mask, strict=True) if there}


# --- host ports -----------------------------------------------------------------------------------

PORTS: dict[str, tuple[Json, Json, bool]] = {
    "the same": ({"hostPort": 80}, {"hostPort": 80}, True),
    "another number": ({"hostPort": 80}, {"hostPort": 81}, False),
    "another protocol": ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, False),
    "two addresses": ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, False),
    "one address": ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.1"}, True),
    "every address is there": ({"hostPort": 80}, {"hostPort": 80, "hostIP": "10.0.0.1"}, True),
    "every address is wanted": ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "0.0.0.0"}, True),
    ":: is one address and not every one": (
        {"hostPort": 80, "hostIP": "10.0.0.1"},
        {"hostPort": 80, "hostIP": "::"},
        False,
    ),
    "0.0.0.0 covers ::": ({"hostPort": 80}, {"hostPort": 80, "hostIP": "::"}, True),
}


@pytest.mark.parametrize(("there", "wanted", "taken"), PORTS.values(), ids=PORTS)
def test_a_host_port_can_be_had_once_per_node_protocol_and_address(there: Json, wanted: Json, taken: bool) -> None:
    known = ledger(*workers(2), pod("there", ports=[there], node="worker-0"))
    mask = known.snapshot().index.holding_ports(read(pod(ports=[wanted])).ports)
    assert names(known, mask) == ({"worker-0"} if taken else set())


def test_a_port_is_free_when_the_last_pod_that_had_it_is_gone() -> None:
    # two pods of one port can be on a node: the API server binds whatever a binder asks for
    holders = [pod(f"p{i}", ports=[{"hostPort": 80}, {"hostPort": 443}], node="worker-0") for i in range(2)]
    known = ledger(*workers(1), *holders)
    wanted = (HostPort("0.0.0.0", "TCP", 80),)
    known.observe_pod(holders[0], gone=True)
    assert names(known, known.snapshot().index.holding_ports(wanted)) == {"worker-0"}
    known.observe_pod(holders[1], gone=True)
    assert known.snapshot().index.holding_ports(wanted) is None


def test_an_assumed_pod_has_its_ports() -> None:
    known = ledger(*workers(2), pod(ports=[{"hostPort": 80}]))
    known.assume("uid-default-web-0", "worker-1")
    assert names(known, known.snapshot().index.holding_ports((HostPort("0.0.0.0", "TCP", 80),))) == {"worker-1"}


def test_ports_on_a_node_not_seen_yet_are_taken_when_it_comes() -> None:
    known = ledger(pod(ports=[{"hostPort": 80}], node="worker-0"))
    wanted = (HostPort("0.0.0.0", "TCP", 80),)
    assert known.snapshot().index.holding_ports(wanted) is None
    known.observe_node(node("worker-0"))
    assert names(known, known.snapshot().index.holding_ports(wanted)) == {"worker-0"}


# --- existing anti-affinity -----------------------------------------------------------------------

ZONES = [node(f"{zone}{i}", labels={"zone": zone}) for zone in "ab" for i in range(2)] + [node("nowhere")]
BY_ZONE = anti_affinity(WEB, topology="zone")


def repelled(incoming: Json, *there: Json) -> tuple[set[str], set[str]]:
    """(for certain, possibly)."""
    known = ledger(*ZONES, *there)
    certain, possible = known.snapshot().index.repelled_by(read(incoming))
    return names(known, certain), names(known, possible)


def resident(**more: Any) -> Json:
    return pod("there", **({"node": "a0", "affinity": BY_ZONE} | more))


def test_a_pod_keeps_matching_pods_out_of_its_zone() -> None:
    assert repelled(pod(labels=WEB), resident()) == ({"a0", "a1"}, set())


def test_or_off_its_node() -> None:
    assert repelled(pod(labels=WEB), resident(affinity=anti_affinity(WEB))) == ({"a0"}, set())


def test_and_lets_others_in() -> None:
    assert repelled(pod(labels={"app": "db"}), resident()) == (set(), set())


def test_a_pod_on_a_node_outside_every_domain_keeps_nobody_out() -> None:
    assert repelled(pod(labels=WEB), resident(node="nowhere")) == (set(), set())


def test_a_terminating_pod_still_keeps_others_out() -> None:
    assert repelled(pod(labels=WEB), resident(deleting=True)) == ({"a0", "a1"}, set())


def test_a_preference_keeps_nobody_out() -> None:
    soft = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}
    assert repelled(pod(labels=WEB), resident(affinity=soft)) == (set(), set())


NAMESPACES: dict[str, tuple[dict[str, Any], set[str], set[str]]] = {
    # what the resident has, and for an incoming pod of "default" the nodes refused: for certain, possibly
    "its own, by default": ({"namespace": "default"}, {"a0", "a1"}, set()),
    "its own is another": ({"namespace": "other"}, set(), set()),
    "named": ({"namespace": "other", "affinity": anti_affinity(WEB, "zone", ["default"])}, {"a0", "a1"}, set()),
    "others are named": ({"namespace": "default", "affinity": anti_affinity(WEB, "zone", ["x"])}, set(), set()),
    "every namespace": (
        {"namespace": "other", "affinity": anti_affinity(WEB, "zone", namespaceSelector={})},
        {"a0", "a1"},
        set(),
    ),
    "by label, may match": (
        {"namespace": "other", "affinity": anti_affinity(WEB, "zone", namespaceSelector=BY_LABEL)},
        set(),
        {"a0", "a1"},
    ),
    "by label, not its own": (
        {"namespace": "default", "affinity": anti_affinity(WEB, "zone", namespaceSelector=BY_LABEL)},
        set(),
        {"a0", "a1"},
    ),
    "named beside a label": (
        {"namespace": "other", "affinity": anti_affinity(WEB, "zone", ["default"], namespaceSelector=BY_LABEL)},
        {"a0", "a1"},
        set(),
    ),
}


@pytest.mark.parametrize(("there", "certain", "possible"), NAMESPACES.values(), ids=NAMESPACES)
def test_a_term_is_for_its_namespaces(there: dict[str, Any], certain: set[str], possible: set[str]) -> None:
    assert repelled(pod(labels=WEB), resident(**there)) == (certain, possible)


SELECTORS: dict[str, tuple[Any, bool]] = {
    "none matches nothing": (None, False),
    "an empty one everything": ({}, True),
    "expressions": ({"matchExpressions": [expression("app", "In", "web")]}, True),
    "labels and expressions": ({"matchLabels": WEB, "matchExpressions": [expression("tier", "Exists")]}, False),
}


@pytest.mark.parametrize(("selector", "matches"), SELECTORS.values(), ids=SELECTORS)
def test_a_term_is_for_pods_that_its_selector_matches(selector: Any, matches: bool) -> None:
    affinity = anti_affinity(WEB, labelSelector=selector)
    assert repelled(pod(labels=WEB), resident(affinity=affinity))[0] == ({"a0"} if matches else set())


def test_the_domains_of_several_terms_are_closed_together() -> None:
    there = [resident(), pod("other", node="b1", affinity=anti_affinity(WEB))]
    assert repelled(pod(labels=WEB), *there) == ({"a0", "a1", "b1"}, set())


def test_a_domain_is_free_when_the_last_pod_that_repels_is_gone() -> None:
    there = [pod(f"p{i}", node=f"a{i}", affinity=BY_ZONE) for i in range(2)]
    known = ledger(*ZONES, *there)
    incoming = read(pod(labels=WEB))
    known.observe_pod(there[0], gone=True)
    assert names(known, known.snapshot().index.repelled_by(incoming)[0]) == {"a0", "a1"}
    known.observe_pod(there[1], gone=True)
    assert known.snapshot().index.repelled_by(incoming) == (None, None)


def test_a_node_that_changes_zone_takes_its_pods_along() -> None:
    known = ledger(*ZONES, resident())
    known.observe_node(node("a0", labels={"zone": "b"}))
    assert names(known, known.snapshot().index.repelled_by(read(pod(labels=WEB)))[0]) == {"a0", "b0", "b1"}


# --- taints ---------------------------------------------------------------------------------------


def tainted(known: Ledger) -> dict[tuple[str, ...], set[str]]:
    sets = known.snapshot().index.taint_sets()
    return {tuple(t.key for t in taints): found for taints, mask in sets.items() if (found := names(known, mask))}


def test_nodes_are_grouped_by_the_taints_that_keep_pods_away() -> None:
    nodes = [
        node("n0"),
        node("n1", taints=[taint("a")]),
        node("n2", taints=[taint("a"), taint("b")]),
        node("n3", taints=[taint("a")]),
    ]
    assert tainted(ledger(*nodes)) == {("a",): {"n1", "n3"}, ("a", "b"): {"n2"}}


def test_a_taint_that_is_taken_off_is_off() -> None:
    known = ledger(*workers(2, taints=[taint("a")]))
    known.observe_node(node("worker-0"))
    assert tainted(known) == {("a",): {"worker-1"}}
    known.observe_node(node("worker-1"), gone=True)
    assert tainted(known) == {}


def test_a_node_that_moves_into_a_gap_keeps_its_taints() -> None:
    known = ledger(*workers(3), node("last", taints=[taint("a")]))
    known.observe_node(node("worker-0"), gone=True)
    assert tainted(known) == {("a",): {"last"}}


def test_taints_that_carry_a_time_do_not_pile_up() -> None:
    known = ledger(*workers(2))
    for second in range(3 * REMEMBERED):
        known.observe_node(node("worker-0", taints=[taint("deletion-candidate", str(second))]))
    assert len(known.snapshot().index.taint_sets()) <= REMEMBERED + 1
    assert tainted(known) == {("deletion-candidate",): {"worker-0"}}


# --- remembered constraints -----------------------------------------------------------------------


def in_zone(zone: str) -> Any:
    def holds(node: Node) -> bool:
        return node.labels.get("zone") == zone

    return holds


def matching(known: Ledger, zone: str) -> set[str]:
    return names(known, known.snapshot().index.matching(zone, in_zone(zone)))


def test_a_remembered_verdict_follows_the_nodes() -> None:
    known = ledger(*ZONES)
    assert matching(known, "a") == {"a0", "a1"}
    known.observe_node(node("a0", labels={"zone": "b"}))
    known.observe_node(node("new", labels={"zone": "a"}))
    known.observe_node(node("b0"), gone=True)
    assert matching(known, "a") == {"a1", "new"}
    assert matching(known, "b") == {"a0", "b1"}


def test_it_follows_them_beyond_the_arrays_first_size() -> None:
    known = ledger(*ZONES)
    assert matching(known, "a") == {"a0", "a1"}
    for i in range(200):
        known.observe_node(node(f"n{i}", labels={"zone": "a" if i % 2 else "b"}))
    assert len(matching(known, "a")) == 2 + 100


def test_a_constraint_asked_for_before_any_node_was_there_is_right_afterwards() -> None:
    known = ledger()
    assert matching(known, "a") == set()
    known.observe_node(ZONES[0])
    assert matching(known, "a") == {"a0"}


def test_a_verdict_is_worked_out_once_while_it_is_remembered() -> None:
    known = ledger(*ZONES)
    asked: list[str] = []

    def noting(node: Node) -> bool:
        asked.append(node.name)
        return True

    for _ in range(3):
        known.snapshot().index.matching("x", noting)
    assert len(asked) == len(ZONES)


def test_constraints_not_asked_for_any_more_are_forgotten() -> None:
    known = ledger(*ZONES)
    calls: list[str] = []

    def noting(node: Node) -> bool:
        calls.append(node.name)
        return True

    index = known.snapshot().index
    index.matching("old", noting)
    for i in range(REMEMBERED):
        index.matching(i, in_zone("a"))
    index.matching("old", noting)
    assert len(calls) == 2 * len(ZONES)
