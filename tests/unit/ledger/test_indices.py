"""The indices: host ports, existing anti-affinity, taints, node labels and pods by label, kept up to date as things
change.

``test_ledger.py`` compares them with a ledger filled anew after any sequence of events; here is what each answer is.
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.indices.labels import KEYS, REMEMBERED
from peaks_scheduler.ledger.indices.pods import REMEMBERED as TALLIES
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.constraints import HostPort
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement, label_selector_from
from tests.support.builders import (
    PREFERRED,
    Json,
    anti_affinity,
    expression,
    ledger,
    namespace,
    node,
    node_affinity,
    pod,
    pod_affinity,
    pod_term,
    read,
    taint,
    workers,
)
from tests.support.ledger_questions import by_node

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


def repelled(incoming: Json, *there: Json, unreadable: bool = False) -> set[str]:
    """Nodes that existing pods repel the incoming pod from; ``unreadable``: namespaces are not read, so perhaps."""
    known = ledger(*ZONES, *there)
    index = known.snapshot().index
    if not unreadable:
        assert index.perhaps_repelled_by(read(incoming)) is None
        return names(known, index.repelled_by(read(incoming)))
    known.set_unreadable(frozenset({"namespaces"}))
    return names(known, index.perhaps_repelled_by(read(incoming)))


def resident(**more: Any) -> Json:
    return pod("there", **({"node": "a0", "affinity": BY_ZONE} | more))


def test_a_pod_keeps_matching_pods_out_of_its_zone() -> None:
    assert repelled(pod(labels=WEB), resident()) == {"a0", "a1"}


def test_or_off_its_node() -> None:
    assert repelled(pod(labels=WEB), resident(affinity=anti_affinity(WEB))) == {"a0"}


def test_and_lets_others_in() -> None:
    assert repelled(pod(labels={"app": "db"}), resident()) == set()


def test_a_pod_on_a_node_outside_every_domain_keeps_nobody_out() -> None:
    assert repelled(pod(labels=WEB), resident(node="nowhere")) == set()


def test_a_terminating_pod_still_keeps_others_out() -> None:
    assert repelled(pod(labels=WEB), resident(deleting=True)) == {"a0", "a1"}


def test_a_preference_keeps_nobody_out() -> None:
    soft = {"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": pod_term(WEB, "zone")}]}}
    assert repelled(pod(labels=WEB), resident(affinity=soft)) == set()


def elsewhere(*named: str, **more: Any) -> dict[str, Any]:
    """A resident of another namespace whose term names these ones."""
    return {"namespace": "other", "affinity": anti_affinity(WEB, "zone", named, **more)}


DEFAULT_HAS_IT = namespace("default", {"t": "x"})
DEFAULT_HAS_NOT = namespace("default", {"t": "y"})
NOT_X = {"matchExpressions": [expression("t", "NotIn", "x")]}
NAMESPACES: dict[str, tuple[dict[str, Any], Json | None, bool]] = {
    # what the resident has, the namespace "default", and whether a pod of that is refused
    "its own, by default": ({"namespace": "default"}, None, True),
    "its own is another": ({"namespace": "other"}, None, False),
    "named": (elsewhere("default"), None, True),
    "others are named": ({"namespace": "default", "affinity": anti_affinity(WEB, "zone", ["x"])}, None, False),
    "every namespace": (elsewhere(namespaceSelector={}), None, True),
    "by label": (elsewhere(namespaceSelector=BY_LABEL), DEFAULT_HAS_IT, True),
    "by another label": (elsewhere(namespaceSelector=BY_LABEL), DEFAULT_HAS_NOT, False),
    "named beside another label": (elsewhere("default", namespaceSelector=BY_LABEL), DEFAULT_HAS_NOT, True),
    "by a label it must not have": (elsewhere(namespaceSelector=NOT_X), DEFAULT_HAS_IT, False),
    # a namespace that is not there counts as one without labels, as in kube-scheduler
    "by label, no such namespace": (elsewhere(namespaceSelector=BY_LABEL), None, False),
    "by a label it must not have, no such namespace": (elsewhere(namespaceSelector=NOT_X), None, True),
}


@pytest.mark.parametrize(("there", "own", "refused"), NAMESPACES.values(), ids=NAMESPACES)
def test_a_term_is_for_its_namespaces(there: dict[str, Any], own: Json | None, refused: bool) -> None:
    objects = [resident(**there)] if own is None else [own, resident(**there)]
    assert repelled(pod(labels=WEB), *objects) == ({"a0", "a1"} if refused else set())


UNFED: dict[str, tuple[dict[str, Any], bool]] = {
    "its own": ({"namespace": "default"}, False),  # certain, or certainly not
    "its own is another": ({"namespace": "other"}, False),
    "every namespace": (elsewhere(namespaceSelector={}), False),
    "by label": (elsewhere(namespaceSelector=BY_LABEL), True),
    "by label, not its own": ({"affinity": anti_affinity(WEB, "zone", namespaceSelector=BY_LABEL)}, True),
    "named beside a label": (elsewhere("default", namespaceSelector=BY_LABEL), False),
    "by label, for other pods": ({"affinity": anti_affinity({"app": "db"}, namespaceSelector=BY_LABEL)}, False),
}


@pytest.mark.parametrize(("there", "refused"), UNFED.values(), ids=UNFED)
def test_where_nobody_reads_namespaces_a_label_of_theirs_may_mean_any_of_them(
    there: dict[str, Any], refused: bool
) -> None:
    assert repelled(pod(labels=WEB), resident(**there), unreadable=True) == ({"a0", "a1"} if refused else set())


def test_a_namespace_that_changes_its_labels_changes_who_is_kept_out() -> None:
    known = ledger(*ZONES, resident(**elsewhere(namespaceSelector=BY_LABEL)))
    incoming, index = read(pod(labels=WEB)), known.snapshot().index
    assert known.observe_namespace(DEFAULT_HAS_IT)
    assert names(known, index.repelled_by(incoming)) == {"a0", "a1"}
    assert known.observe_namespace(DEFAULT_HAS_NOT)
    assert names(known, index.repelled_by(incoming)) == set()


def test_news_of_a_namespace_is_what_its_labels_are() -> None:
    known = ledger()
    assert known.observe_namespace(DEFAULT_HAS_IT)
    assert not known.observe_namespace(DEFAULT_HAS_IT)
    assert known.observe_namespace(DEFAULT_HAS_IT, gone=True)
    assert not known.observe_namespace(DEFAULT_HAS_IT, gone=True)


SELECTORS: dict[str, tuple[Any, bool]] = {
    "none matches nothing": (None, False),
    "an empty one everything": ({}, True),
    "expressions": ({"matchExpressions": [expression("app", "In", "web")]}, True),
    "one of several values": ({"matchExpressions": [expression("app", "In", "db", "web")]}, True),
    "labels and expressions": ({"matchLabels": WEB, "matchExpressions": [expression("tier", "Exists")]}, False),
    "not another value": ({"matchExpressions": [expression("app", "NotIn", "db")]}, True),
    "a label that it lacks": ({"matchExpressions": [expression("tier", "DoesNotExist")]}, True),
}


@pytest.mark.parametrize(("selector", "matches"), SELECTORS.values(), ids=SELECTORS)
def test_a_term_is_for_pods_that_its_selector_matches(selector: Any, matches: bool) -> None:
    affinity = anti_affinity(WEB, labelSelector=selector)
    assert repelled(pod(labels=WEB), resident(affinity=affinity)) == ({"a0"} if matches else set())


def test_the_domains_of_several_terms_are_closed_together() -> None:
    there = [resident(), pod("other", node="b1", affinity=anti_affinity(WEB))]
    assert repelled(pod(labels=WEB), *there) == {"a0", "a1", "b1"}


def test_a_domain_is_free_when_the_last_pod_that_repels_is_gone() -> None:
    there = [pod(f"p{i}", node=f"a{i}", affinity=BY_ZONE) for i in range(2)]
    known = ledger(*ZONES, *there)
    incoming = read(pod(labels=WEB))
    known.observe_pod(there[0], gone=True)
    assert names(known, known.snapshot().index.repelled_by(incoming)) == {"a0", "a1"}
    known.observe_pod(there[1], gone=True)
    assert known.snapshot().index.repelled_by(incoming) is None


def test_after_every_pod_that_comes_or_goes_exactly_the_nodes_with_one_are_closed() -> None:
    known, there = ledger(*workers(6)), set[int]()
    incoming = read(pod(labels=WEB))
    for i in (0, 3, 5, 1, -3, -0, 4, 3, -5, -1, -4):
        host, leaves = abs(i), i < 0 or (i == 0 and 0 in there)
        known.observe_pod(pod(f"p{host}", node=f"worker-{host}", affinity=anti_affinity(WEB)), gone=leaves)
        there = there - {host} if leaves else there | {host}
        assert names(known, known.snapshot().index.repelled_by(incoming)) == {f"worker-{each}" for each in there}


def test_a_node_that_changes_zone_takes_its_pods_along() -> None:
    known = ledger(*ZONES, resident())
    known.observe_node(node("a0", labels={"zone": "b"}))
    assert names(known, known.snapshot().index.repelled_by(read(pod(labels=WEB)))) == {"a0", "b0", "b1"}


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
    for second in range(50):
        known.observe_node(node("worker-0", taints=[taint("deletion-candidate", str(second))]))
    assert len(known.snapshot().index.taint_sets()) == 1
    assert tainted(known) == {("deletion-candidate",): {"worker-0"}}


def test_taints_that_only_prefer_are_kept_apart() -> None:
    known = ledger(node("n0", taints=[taint("a", effect="PreferNoSchedule"), taint("b")]), node("n1"))
    mild = known.snapshot().index.mild_taint_sets()
    assert [([t.key for t in taints], names(known, mask)) for taints, mask in mild.items()] == [(["a"], {"n0"})]
    assert tainted(known) == {("b",): {"n0"}}


def test_nodes_are_found_by_the_features_they_declare() -> None:
    known = ledger(node("n0", features=["A", "B"]), node("n1", features=["B"]), node("n2"))
    index = known.snapshot().index
    assert names(known, index.declaring(frozenset({"B"}))) == {"n0", "n1"}
    assert names(known, index.declaring(frozenset({"A", "B"}))) == {"n0"}
    known.observe_node(node("n0", features=["C"]))
    assert names(known, index.declaring(frozenset({"A"}))) == set()


# --- node labels ----------------------------------------------------------------------------------


def zone(name: str) -> NodeRequirement:
    return NodeRequirement((("zone", name),))


def matching(known: Ledger, where: NodeRequirement) -> set[str]:
    return names(known, known.snapshot().index.matching(where))


def affine(*requirements: Json) -> NodeRequirement:
    return read(pod(affinity=node_affinity({"matchExpressions": list(requirements)}))).where


CORES = [node(f"n{cores}", labels={"cores": cores}) for cores in ("08", "9", "64", "many")] + [node("none")]
REQUIREMENTS: dict[str, tuple[Json, set[str]]] = {
    "In": (expression("cores", "In", "9", "64", "7"), {"n9", "n64"}),
    "NotIn matches a node without the label": (expression("cores", "NotIn", "9", "64"), {"n08", "nmany", "none"}),
    "Exists": (expression("cores", "Exists"), {"n08", "n9", "n64", "nmany"}),
    "DoesNotExist": (expression("cores", "DoesNotExist"), {"none"}),
    "Gt goes by number": (expression("cores", "Gt", "8"), {"n9", "n64"}),
    "Lt goes by number": (expression("cores", "Lt", "9"), {"n08"}),
    "an operator of a later Kubernetes": (expression("cores", "Like", "9"), set()),
    "a label that no node has": (expression("rack", "NotIn", "a"), {"n08", "n9", "n64", "nmany", "none"}),
}


@pytest.mark.parametrize(("requirement", "found"), REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_nodes_are_found_by_every_operator(requirement: Json, found: set[str]) -> None:
    assert matching(ledger(*CORES), affine(requirement)) == found


def test_a_remembered_verdict_follows_the_nodes() -> None:
    known = ledger(*ZONES)
    assert matching(known, zone("a")) == {"a0", "a1"}
    known.observe_node(node("a0", labels={"zone": "b"}))
    known.observe_node(node("new", labels={"zone": "a"}))
    known.observe_node(node("b0"), gone=True)
    assert matching(known, zone("a")) == {"a1", "new"}
    assert matching(known, zone("b")) == {"a0", "b1"}


def test_so_does_one_that_names_nodes() -> None:
    where = read(pod(affinity=node_affinity({"matchFields": [expression("metadata.name", "NotIn", "a0")]}))).where
    known = ledger(*ZONES)
    assert matching(known, where) == {"a1", "b0", "b1", "nowhere"}
    known.observe_node(ZONES[0], gone=True)
    known.observe_node(ZONES[0])
    assert matching(known, where) == {"a1", "b0", "b1", "nowhere"}


def test_it_follows_them_beyond_the_arrays_first_size() -> None:
    known = ledger(*ZONES)
    assert matching(known, zone("a")) == {"a0", "a1"}
    for i in range(200):
        known.observe_node(node(f"n{i}", labels={"zone": "a" if i % 2 else "b"}))
    assert len(matching(known, zone("a"))) == 2 + 100


def test_a_constraint_asked_for_before_any_node_was_there_is_right_afterwards() -> None:
    known = ledger()
    assert matching(known, zone("a")) == set()
    known.observe_node(ZONES[0])
    assert matching(known, zone("a")) == {"a0"}


def test_an_answer_is_nobodys_to_change() -> None:
    mask = ledger(*ZONES).snapshot().index.matching(zone("a"))
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True


def test_more_constraints_than_are_remembered_are_answered_all_the_same() -> None:
    known = ledger(*ZONES)
    for i in range(2 * REMEMBERED):
        assert matching(known, zone(str(i))) == set()
    assert matching(known, zone("a")) == {"a0", "a1"}


def test_so_are_more_label_keys_than_are_kept() -> None:
    known = ledger(*ZONES, node("odd", labels={f"key-{i}": str(i) for i in range(2 * KEYS)}))
    for i in range(2 * KEYS):
        assert matching(known, NodeRequirement(((f"key-{i}", str(i)),))) == {"odd"}
    known.observe_node(node("odd", labels={"key-0": "0"}))
    assert matching(known, NodeRequirement((("key-0", "0"),))) == {"odd"}
    assert matching(known, NodeRequirement((("key-1", "1"),))) == set()


def test_values_of_nodes_long_gone_do_not_pile_up_and_do_not_show() -> None:
    known = ledger(*ZONES)
    index = known.snapshot().index
    index.codes("zone")
    for i in range(1000):  # a label that changes all the time, as one with a time in it
        known.observe_node(node("nowhere", labels={"zone": f"z{i}"}))
    codes, size = index.codes("zone")
    assert size < 200
    assert len({int(code) for code in codes}) == 3  # a, b and the last
    assert matching(known, zone("z999")) == {"nowhere"}
    assert matching(known, zone("z998")) == set()


def test_nodes_of_one_value_have_one_code_and_those_without_have_none() -> None:
    known = ledger(*ZONES)
    codes, size = known.snapshot().index.codes("zone")
    a0, a1, b0, b1, nowhere = codes
    assert (a0 == a1, b0 == b1, a0 == b0, nowhere) == (True, True, False, 0)
    assert max(codes) < size


def test_an_empty_value_is_a_value() -> None:
    known = ledger(node("empty", labels={"zone": ""}), node("none"))
    assert names(known, known.snapshot().index.having("zone")) == {"empty"}
    assert matching(known, zone("")) == {"empty"}


def test_a_selector_of_nodes_matches_as_one_of_pods_does() -> None:
    known = ledger(*ZONES)
    everything, invalid = LabelSelector(), label_selector_from({"matchExpressions": [expression("zone", "In")]})
    assert invalid is not None
    assert names(known, known.snapshot().index.selecting(everything)) == {raw["metadata"]["name"] for raw in ZONES}
    assert names(known, known.snapshot().index.selecting(invalid)) == set()


# --- pods by label --------------------------------------------------------------------------------

HERE = frozenset({"default"})


def selection(match: Any, namespaces: frozenset[str] | None = HERE, *, leaving: bool = True) -> Selection:
    selector = label_selector_from(match)
    assert selector is not None
    return Selection(((selector, namespaces),), leaving=leaving)


def counted(known: Ledger, what: Selection) -> dict[str, int]:
    """Nodes with such pods, and how many."""
    nodes = known.snapshot()
    counts = zip(nodes.names, nodes.index.pods_selected(what), strict=True)
    return {name: int(count) for name, count in counts if count}


PODS = [
    pod("w0", labels=WEB, node="worker-0"),
    pod("w1", labels=WEB | {"tier": "front"}, node="worker-0"),
    pod("w2", labels=WEB, node="worker-1", deleting=True),
    pod("w3", labels=WEB, node="worker-1", namespace="other"),
    pod("d0", labels={"app": "db"}, node="worker-2"),
    pod("waiting", labels=WEB),
]
SELECTIONS: dict[str, tuple[Selection, dict[str, int]]] = {
    "by label": (selection({"matchLabels": WEB}), {"worker-0": 2, "worker-1": 1}),
    "without those being deleted": (selection({"matchLabels": WEB}, leaving=False), {"worker-0": 2}),
    "everywhere": (selection({"matchLabels": WEB}, None), {"worker-0": 2, "worker-1": 2}),
    "in other namespaces": (selection({"matchLabels": WEB}, frozenset({"other", "x"})), {"worker-1": 1}),
    "in no namespace": (selection({"matchLabels": WEB}, frozenset()), {}),
    "by values": (
        selection({"matchExpressions": [expression("app", "In", "web", "db")]}),
        {"worker-0": 2, "worker-1": 1, "worker-2": 1},
    ),
    "by a label they have": (selection({"matchExpressions": [expression("tier", "Exists")]}), {"worker-0": 1}),
    "by one they have not": (
        selection({"matchExpressions": [expression("tier", "DoesNotExist")]}),
        {"worker-0": 1, "worker-1": 1, "worker-2": 1},
    ),
    "all of them": (selection({}), {"worker-0": 2, "worker-1": 1, "worker-2": 1}),
    "none, by an invalid selector": (selection({"matchExpressions": [expression("app", "In")]}), {}),
    "by two at once": (
        Selection((*selection({"matchLabels": WEB}).matchers, *selection({"matchLabels": {"tier": "front"}}).matchers)),
        {"worker-0": 1},
    ),
}


@pytest.mark.parametrize(("what", "found"), SELECTIONS.values(), ids=SELECTIONS)
def test_pods_are_counted_by_what_their_labels_say(what: Selection, found: dict[str, int]) -> None:
    assert counted(ledger(*workers(3), *PODS), what) == found


@pytest.mark.parametrize(("what", "found"), SELECTIONS.values(), ids=SELECTIONS)
def test_counted_from_the_start_they_come_out_the_same(what: Selection, found: dict[str, int]) -> None:
    known = ledger(*workers(2))
    assert counted(known, what) == {}
    for raw in PODS:
        known.observe_pod(raw)
    known.observe_node(node("worker-2"))
    assert counted(known, what) == found


def test_a_pod_that_changes_its_labels_or_begins_to_end_is_counted_as_what_it_is_now() -> None:
    known = ledger(*workers(3), *PODS)
    web, db = selection({"matchLabels": WEB}, leaving=False), selection({"matchLabels": {"app": "db"}})
    assert (counted(known, web), counted(known, db)) == ({"worker-0": 2}, {"worker-2": 1})
    known.observe_pod(pod("w0", labels={"app": "db"}, node="worker-0"))
    known.observe_pod(pod("w1", labels=WEB | {"tier": "front"}, node="worker-0", deleting=True))
    assert (counted(known, web), counted(known, db)) == ({}, {"worker-0": 1, "worker-2": 1})


def test_pods_go_with_their_node_and_come_back_with_it() -> None:
    known = ledger(*workers(3), *PODS)
    web = selection({"matchLabels": WEB})
    assert counted(known, web) == {"worker-0": 2, "worker-1": 1}
    known.observe_node(node("worker-0"), gone=True)
    assert counted(known, web) == {"worker-1": 1}
    known.observe_pod(PODS[0], gone=True)
    known.observe_node(node("worker-0"))
    assert counted(known, web) == {"worker-0": 1, "worker-1": 1}


def test_more_selections_than_are_remembered_are_counted_all_the_same() -> None:
    known = ledger(*workers(3), *PODS)
    many = [selection({"matchLabels": {"app": f"a{i}"}}) for i in range(TALLIES)]
    web = selection({"matchLabels": WEB})
    assert counted(known, web) == {"worker-0": 2, "worker-1": 1}
    assert all(counted(known, each) == {} for each in many)
    known.observe_pod(PODS[0], gone=True)  # nobody keeps its count meanwhile
    assert counted(known, web) == {"worker-0": 1, "worker-1": 1}


@pytest.mark.parametrize("many", [2, 100, 2000])  # evaluated once, kept although they are many, and counted each time
def test_pods_in_namespaces_that_a_selector_selects_are_counted_however_many_these_are(many: int) -> None:
    known = ledger(*workers(3), *(namespace(f"team-{i}", BY_LABEL["matchLabels"]) for i in range(many)))
    asking = read(pod(affinity=pod_affinity(pod_term(WEB, namespaceSelector=BY_LABEL)))).affinity

    def matched() -> list[int]:
        counts: list[int] = known.snapshot().index.matched_by_all(asking).tolist()
        return counts

    assert matched() == [0, 0, 0]
    known.observe_pod(pod("w0", labels=WEB, namespace="team-0", node="worker-0"))
    known.observe_pod(pod("w1", labels=WEB, namespace="team-1", node="worker-0"))
    known.observe_pod(pod("w2", labels=WEB, namespace="elsewhere", node="worker-1"))
    assert matched() == [2, 0, 0]
    known.observe_namespace(namespace("elsewhere", BY_LABEL["matchLabels"]))
    assert matched() == [2, 1, 0]
    known.observe_namespace(namespace("team-1"))
    known.observe_pod(pod("w0", labels=WEB, namespace="team-0", node="worker-0"), gone=True)
    assert matched() == [0, 1, 0]


# --- whom pods that are there like ----------------------------------------------------------------


def liked(known: Ledger, incoming: Json) -> list[tuple[int, list[tuple[str, int]]]]:
    """(weight, (node, how often)) of every term that wants it near, or away."""
    nodes = known.snapshot()
    found = nodes.index.liked_by(read(incoming))
    return sorted((weight, by_node(nodes, at, pods)) for weight, _, at, pods in found)


def preferring(kind: str, weight: int, term: Json) -> Json:
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term}]}}


def test_preferences_and_required_affinity_of_pods_there_are_told_with_their_weight() -> None:
    near, away = (preferring(kind, 7, pod_term(WEB, "zone")) for kind in ("podAffinity", "podAntiAffinity"))
    there = [
        pod("n0", node="a0", affinity=near),
        pod("n1", node="a0", affinity=near),
        pod("away", node="b0", affinity=away),
        pod("needs", node="b1", affinity=pod_affinity(pod_term(WEB, "zone"))),
        pod("other", node="b1", affinity=pod_affinity(pod_term({"app": "db"}, "zone"))),
    ]
    known = ledger(*ZONES, *there)
    assert liked(known, pod(labels=WEB)) == [(-7, [("b0", 1)]), (1, [("b1", 1)]), (7, [("a0", 2)])]
    for raw in there:
        known.observe_pod(raw, gone=True)
    assert liked(known, pod(labels=WEB)) == []
