"""Each preference's scores are those of kube-scheduler's Score plugin, on the cases of its own unit tests.

Numbers are from kubernetes v1.36.3, pkg/scheduler/framework/plugins: tainttoleration/taint_toleration_test.go,
nodeaffinity/node_affinity_test.go, podtopologyspread/scoring_test.go, interpodaffinity/scoring_test.go. A case is named
after the one there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES, preferred
from tests.support.builders import (
    HOSTNAME,
    PREFERRED,
    Json,
    expression,
    ledger,
    namespace,
    node,
    node_affinity,
    pod,
    pod_affinity,
    read,
    taint,
)

BY_NAME = {preference.name: preference for preference in PREFERENCES}


def labelled(name: str, *, taints: Iterable[Json] = (), **labels: str) -> Json:
    """A node with these labels and no others."""
    raw = node(name, taints=list(taints))
    raw["metadata"]["labels"] = labels
    return raw


def scores(preference: str, raw: Json, known: Ledger, among: Iterable[str] = ()) -> dict[str, int] | None:
    """Scores of these nodes (none given: of all nodes), by name; None: the preference does not apply."""
    nodes = known.snapshot()
    tied = [i for i, name in enumerate(nodes.names) if not among or name in among]
    found = BY_NAME[preference].score(read(raw), nodes, np.array(tied, np.int64))
    return None if found is None else {nodes.names[i]: int(score) for i, score in zip(tied, found, strict=True)}


def there(*where: str, **more: Any) -> list[Json]:
    """Pods on nodes: ``"a foo"`` is a pod on node a with the label foo and an empty value, ``"a foo bar"`` has two
    labels."""
    pods = []
    for i, (name, *labels) in enumerate(text.split() for text in where):
        pods.append(pod(f"there-{i}", node=name, labels=dict.fromkeys(labels, ""), **more))
    return pods


# --- TaintToleration --------------------------------------------------------------------------------------------------

ARM, SSD = taint("cpu-type", "arm64", "PreferNoSchedule"), taint("disk-type", "ssd", "PreferNoSchedule")


def tolerating(*taints: Json, effect: str = "PreferNoSchedule") -> Json:
    return pod(tolerations=[{**each, "operator": "Equal", "effect": effect} for each in taints])


@pytest.mark.parametrize(
    ("raw", "taints", "expected"),
    [
        (tolerating(taint("foo", "bar")), [[taint("foo", "bar", "PreferNoSchedule")],
         [taint("foo", "blah", "PreferNoSchedule")]], [100, 0]),
        (tolerating(ARM, SSD), [[], [ARM], [ARM, SSD]], [100, 100, 100]),
        (tolerating(taint("foo", "bar")), [[], [ARM], [ARM, SSD]], [100, 50, 0]),
        (tolerating(ARM, SSD, effect="NoSchedule"), [[], [ARM | {"effect": "NoSchedule"}], [ARM, SSD]], [100, 100, 0]),
        (pod(), [[], [ARM]], [100, 0]),
        (tolerating(ARM, effect=""), [[], [ARM]], [100, 100]),
    ],
    ids=["tolerated", "how many are tolerated does not matter", "how many are not does", "only PreferNoSchedule counts",
         "no tolerations", "a toleration without effect"],
)  # fmt: skip
def test_taints_that_are_not_tolerated_count_against_a_node(
    raw: Json, taints: list[list[Json]], expected: list[int]
) -> None:
    known = ledger(*(labelled(f"node-{i}", taints=each) for i, each in enumerate(taints)))
    assert scores("TaintToleration", raw, known) == {f"node-{i}": score for i, score in enumerate(expected)}


def test_where_no_node_has_such_a_taint_there_is_nothing_to_say() -> None:
    assert scores("TaintToleration", pod(), ledger(node("a"), node("b", taints=[taint()]))) is None


# --- NodeAffinity -----------------------------------------------------------------------------------------------------


def preferring(*terms: tuple[int, list[Json]]) -> Json:
    """A pod with preferred node affinity of (weight, expressions)."""
    wanted = [{"weight": weight, "preference": {"matchExpressions": where}} for weight, where in terms]
    return pod(affinity={"nodeAffinity": {PREFERRED: wanted}})


FOO, KEY, AZ = expression("foo", "In", "bar"), expression("key", "In", "value"), expression("az", "In", "az1")


@pytest.mark.parametrize(
    ("raw", "labels", "expected"),
    [
        (preferring((2, [FOO])), [{"abc": "az11", "def": "az22"}, {"key": "value"}, {"az": "az1"}], [0, 0, 0]),
        (preferring((2, [FOO])), [{"foo": "bar"}, {"key": "value"}, {"az": "az1"}], [100, 0, 0]),
        (preferring((2, [FOO]), (4, [KEY]), (5, [FOO, KEY, AZ])),
         [{"foo": "bar"}, {"foo": "bar", "key": "value", "az": "az1"}, {"key": "value"}], [18, 100, 36]),
        (preferring((2, [FOO]), (3, [KEY])), [{"foo": "bar"}, {"key": "value"}, {"foo": "bar", "key": "value"}],
         [40, 60, 100]),
        (preferring((7, []), (2, [FOO])), [{"foo": "bar"}, {"key": "value"}], [100, 0]),
    ],
    ids=["no node matches", "only node1 matches", "different priorities", "added affinity", "an empty term"],
)  # fmt: skip
def test_a_node_has_the_weight_of_the_terms_it_meets(
    raw: Json, labels: list[dict[str, str]], expected: list[int]
) -> None:
    known = ledger(*(labelled(f"node-{i}", **each) for i, each in enumerate(labels)))
    assert scores("NodeAffinity", raw, known) == {f"node-{i}": score for i, score in enumerate(expected)}


# --- PodTopologySpread ------------------------------------------------------------------------------------------------


def spreading(*constraints: Json, labels: Iterable[str] = ("foo",), **spec: Any) -> Json:
    return pod("p", labels=dict.fromkeys(labels, ""), topologySpreadConstraints=list(constraints), **spec)


def over(key: str, label: str | None = "foo", skew: int = 1, **more: Any) -> Json:
    """A ``ScheduleAnyway`` constraint that selects pods with the label; None: no selector, "": an empty selector."""
    raw: Json = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway", **more}
    if label is None:
        return raw
    return raw | {"labelSelector": {"matchExpressions": [expression(label, "Exists")]} if label else {}}


def places(count: int = 4) -> list[Json]:
    """node-a and node-b in zone1, node-x and node-y in zone2."""
    zones = {"a": "zone1", "b": "zone1", "x": "zone2", "y": "zone2"}
    return [labelled(n, zone=zone, node=n, **{HOSTNAME: n}) for n, zone in list(zones.items())[:count]]


UNEQUAL = there("a foo", "a foo", "b foo", "y foo", "y foo", "y foo")  # 2/1/0/3
FALLING = there(*["a foo"] * 4, *["b foo"] * 3, *["x foo"] * 2, "y foo")  # 4/3/2/1
MIXED = there(*["a foo"] * 4, *["b foo"] * 2, "x foo", *["y foo"] * 3)  # 4/2/1/3
TWO = there("a foo", "b foo bar", "y foo", "y bar")


@pytest.mark.parametrize(
    ("raw", "pods", "expected"),
    [
        (spreading(over(HOSTNAME)), [], {"a": 100, "b": 100}),
        (spreading(over(HOSTNAME)), there("a foo", "a foo", "b foo"), {"a": 100}),
        (spreading(over(HOSTNAME)), there("a foo", "b foo"), {"a": 100, "b": 100}),
        (spreading(over(HOSTNAME)), UNEQUAL, {"a": 20, "b": 60, "x": 100, "y": 0}),
        (spreading(over(HOSTNAME, None)), UNEQUAL, {"a": 100, "b": 100, "x": 100, "y": 100}),
        (spreading(over(HOSTNAME, skew=2)), UNEQUAL, {"a": 33, "b": 66, "x": 100, "y": 16}),
        (spreading(over(HOSTNAME, skew=3)), FALLING, {"a": 44, "b": 66, "x": 77, "y": 100}),
        (spreading(over(HOSTNAME)), MIXED, {"a": 33, "b": 83, "x": 100}),
        (spreading(over("zone")), MIXED, {"a": 75, "b": 75, "x": 100}),
        (spreading(over("zone"), over(HOSTNAME)), there(*["a foo"] * 2, "b foo", *["x foo"] * 2, *["y foo"] * 4),
         {"a": 100, "x": 63}),
        (spreading(over("zone"), over("zone", "bar")),
         there("a foo bar", "a foo", "b foo bar", "y foo", "y foo bar", "y foo"), {"a": 85, "x": 100}),
        (spreading(over("zone"), over(HOSTNAME, "bar")), TWO, {"a": 60, "b": 20, "x": 100, "y": 60}),
        (spreading(over("zone"), over(HOSTNAME, "bar")), there("b bar", "x foo", "y foo bar"),
         {"a": 100, "b": 60, "x": 40, "y": 0}),
        (spreading(over("zone"), over(HOSTNAME, "bar")), TWO, {"a": 50, "b": 25, "x": 100}),
        (spreading(over(HOSTNAME)), [*there("a foo", namespace="ns1"), *there("a foo", "b foo", "b foo")],
         {"a": 100, "b": 33}),
        (spreading(over(HOSTNAME)), [*there("a foo", deleting=True), pod(node="b", labels={"foo": ""})],
         {"a": 100, "b": 0}),
        (spreading(over("node", skew=2, minDomains=10)), there("a foo", "a foo", "b foo", "b foo", "x foo"),
         {"a": 75, "b": 75, "x": 100}),
        (spreading(over("zone", "", matchLabelKeys=["foo"]), over(HOSTNAME, "", matchLabelKeys=["bar"]),
                   labels=("foo", "bar")), TWO, {"a": 60, "b": 20, "x": 100, "y": 60}),
    ],
    ids=[
        "no existing pods", "only one node is candidate", "all nodes have the same number of matching pods",
        "all 4 nodes are candidates", "null selector", "maxSkew=2", "maxSkew=3", "3 out of 4 nodes are candidates",
        "one constraint on zone, 3 out of 4 nodes are candidates", "two Constraints on zone and node, 2 out of 4",
        "two Constraints on zone, 2 out of 4", "with different labelSelectors", "some nodes have 0 pods",
        "with different labelSelectors, 3 out of 4", "a different namespace does not count",
        "terminating Pods should be excluded", "minDomains has no effect", "matchLabelKeys, LabelSelector is empty",
    ],
)  # fmt: skip
def test_fewer_pods_in_a_domain_are_better(raw: Json, pods: list[Json], expected: dict[str, int]) -> None:
    assert scores("PodTopologySpread", raw, ledger(*places(), *pods), expected) == expected


def test_a_node_without_a_topology_key_is_not_judged() -> None:
    # "one constraint on node, 3 out of 4 nodes are candidates, one node doesn't match topology key"
    named = [labelled(name, **{HOSTNAME: name}) for name in ("a", "x", "y")]
    known = ledger(*named, labelled("b", n="b"), *MIXED)
    assert scores("PodTopologySpread", spreading(over(HOSTNAME)), known, "abx") == {"a": 16, "b": 0, "x": 100}


def test_nodes_all_without_a_topology_key_are_equal() -> None:
    known = ledger(node("a"), node("b"), *there("a foo"))
    assert scores("PodTopologySpread", spreading(over("rack")), known) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("more", "policies", "expected"),
    [
        ({"nodeSelector": {"foo": ""}}, {}, {"a": 0, "b": 33, "c": 100}),
        ({"nodeSelector": {"foo": ""}}, {"nodeAffinityPolicy": "Ignore"}, {"a": 66, "b": 100, "c": 100}),
        ({"affinity": node_affinity({"matchExpressions": [expression("foo", "In", "")]})}, {},
         {"a": 0, "b": 33, "c": 100}),
        ({}, {"nodeTaintsPolicy": "Honor"}, {"a": 0, "b": 33, "c": 100}),
        ({}, {}, {"a": 66, "b": 100, "c": 100}),
    ],
    ids=["node selector honoured", "node selector ignored", "node affinity honoured", "taints honoured",
         "taints ignored"],
)  # fmt: skip
def test_pods_on_nodes_that_the_policies_leave_out_do_not_count(
    more: Json, policies: Json, expected: dict[str, int]
) -> None:
    nodes = [
        labelled("a", node="a", foo=""),
        labelled("b", node="b", foo=""),
        labelled("c", node="c", taints=[taint()]),
    ]
    known = ledger(*nodes, *there("a foo", "a foo", "b foo", "c foo"))
    assert scores("PodTopologySpread", spreading(over("node", **policies), **more), known) == expected


def test_a_constraint_that_must_hold_is_no_preference() -> None:
    must = over(HOSTNAME) | {"whenUnsatisfiable": "DoNotSchedule"}
    assert scores("PodTopologySpread", spreading(must), ledger(*places(), *UNEQUAL)) is None


# --- InterPodAffinity -------------------------------------------------------------------------------------------------

S1, S2 = {"security": "S1"}, {"security": "S2"}


def term(topology: str, *where: Json, **more: Any) -> Json:
    return {"topologyKey": topology, "labelSelector": {"matchExpressions": list(where)}, **more}


def wishes(near: Iterable[tuple[int, Json]] = (), away: Iterable[tuple[int, Json]] = ()) -> Json:
    """``spec.affinity`` with preferred pod affinity and anti-affinity of (weight, term)."""

    def weighted(terms: Iterable[tuple[int, Json]]) -> Json:
        found = [{"weight": weight, "podAffinityTerm": each} for weight, each in terms]
        return {PREFERRED: found}

    return {"podAffinity": weighted(near), "podAntiAffinity": weighted(away)}


IS_S1, IS_S2 = expression("security", "In", "S1"), expression("security", "In", "S2")
TEAM1 = {"namespaceSelector": {"matchExpressions": [expression("team", "In", "team1")]}}
STAY_S1, STAY_S2 = wishes([(5, term("region", IS_S1))]), wishes([(6, term("region", IS_S2))])
AWAY_S1, AWAY_S2 = wishes(away=[(5, term("az", IS_S1))]), wishes(away=[(5, term("az", IS_S2))])
BOTH = wishes([(8, term("region", IS_S1))], [(5, term("az", IS_S2))])
SEVERAL = wishes([
    (8, term("region", expression("security", "NotIn", "S1"), IS_S2)),
    (2, term("region", expression("security", "Exists"), expression("wrongkey", "DoesNotExist"))),
])  # fmt: skip
ACROSS = term("region", IS_S1, namespaces=["subteam2.team2"], **TEAM1)
NEAR_TEAM1, AWAY_TEAM1 = wishes([(5, ACROSS)]), wishes(away=[(5, ACROSS)])
HARD = pod_affinity(
    term("region", expression("security", "In", "S1", "value2")),
    term("region", expression("security", "Exists"), expression("wrongkey", "DoesNotExist")),
)

CHINA, INDIA, AZ1, AZ2 = {"region": "China"}, {"region": "India"}, {"az": "az1"}, {"az": "az2"}
CHINA_AZ1 = CHINA | AZ1
OF_TEAM1 = {"namespace": "subteam1.team1"}

Existing = tuple[int, dict[str, str], Json]
"""(number of the node, labels, other fields)"""


@pytest.mark.parametrize(
    ("own", "labels", "existing", "nodes", "expected"),
    [
        ({"affinity": STAY_S1}, S1, [(0, S1, {}), (1, S2, {}), (2, S1, {})], [CHINA, INDIA, AZ1], [100, 0, 0]),
        ({"affinity": STAY_S1}, {}, [(0, S1, {})], [CHINA, CHINA_AZ1, INDIA], [100, 100, 0]),
        ({"affinity": STAY_S2}, S1, [(0, S2, {}), *((i, S2, {}) for i in range(5))],
         [CHINA, INDIA, CHINA, CHINA, INDIA], [100, 0, 100, 100, 0]),
        ({"affinity": SEVERAL}, S1, [(0, S1, {}), (1, S2, {}), (2, S1, {})], [CHINA, INDIA, AZ1], [20, 100, 0]),
        ({}, S2, [(0, S1, {"affinity": STAY_S1}), (1, S2, {"affinity": STAY_S2})], [CHINA, INDIA, AZ1], [0, 100, 0]),
        (OF_TEAM1, S1, [(0, {}, {"affinity": NEAR_TEAM1}), (1, S2, {"affinity": STAY_S2})],
         [CHINA, INDIA, AZ1], [100, 0, 0]),
        (OF_TEAM1, S1, [(0, {}, {"affinity": AWAY_TEAM1}), (1, S2, {"affinity": STAY_S2})],
         [CHINA, INDIA, AZ1], [0, 100, 100]),
        ({}, S1, [(0, S1, {"affinity": HARD}), (1, S2, {"affinity": HARD})], [CHINA, INDIA, AZ1], [100, 100, 0]),
        ({"affinity": AWAY_S1}, S1, [(0, S1, {}), (1, S2, {})], [AZ1, CHINA], [0, 100]),
        ({"affinity": AWAY_S1}, S1, [(0, S1, {}), (1, S1, {})], [AZ1, CHINA], [0, 100]),
        ({"affinity": AWAY_S1}, S1, [(0, S1, {}), (0, S1, {}), (1, S2, {})], [AZ1, INDIA], [0, 100]),
        ({}, S2, [(0, S1, {"affinity": AWAY_S2}), (1, S2, {"affinity": AWAY_S1})], [AZ1, AZ2], [0, 100]),
        ({"affinity": BOTH}, S1, [(0, S1, {}), (1, S1, {})], [CHINA, AZ1], [100, 0]),
        ({"affinity": BOTH}, S1, [(i, S1, {}) for i in (0, 0, 1, 2, 2, 3, 4)],
         [CHINA_AZ1, INDIA, CHINA, CHINA, INDIA], [100, 0, 100, 100, 0]),
        ({"affinity": BOTH}, S1,
         [(0, S1, {}), (1, S2, {}), (2, {}, {"affinity": BOTH}), (3, {}, {"affinity": AWAY_S1})],
         [CHINA, AZ1, INDIA, AZ2], [100, 0, 100, 0]),
        ({**OF_TEAM1, "affinity": AWAY_TEAM1}, S1,
         [(0, S1, OF_TEAM1), (0, S1, OF_TEAM1), (0, S1, {"namespace": "subteam1.team2"}),
          (1, S1, {"namespace": "subteam2.team1"})], [CHINA, INDIA], [0, 100]),
        ({**OF_TEAM1, "affinity": NEAR_TEAM1}, S1,
         [(0, S1, OF_TEAM1), (0, S1, OF_TEAM1), (0, S1, {"namespace": "subteam2.team2"}),
          (1, S1, {"namespace": "subteam2.team1"})], [CHINA, INDIA], [100, 0]),
        ({}, S2, [(0, S1, {"affinity": BOTH}), (1, S2, {"affinity": STAY_S2})], [CHINA, INDIA], [0, 100]),
    ],
    ids=[
        "matches topology key & pods in nodes", "the same topology key & label value", "more matches in one region",
        "different Label operators", "Affinity symmetry", "Affinity symmetry with namespace selector",
        "AntiAffinity symmetry with namespace selector", "Required in pod affinity symmetry",
        "Anti Affinity: not matching pods", "Anti Affinity: not matching topology key", "Anti Affinity: more matching",
        "Anti Affinity symmetry", "Affinity and Anti Affinity", "to schedule and existing pods have the same labels",
        "Affinity and Anti Affinity and symmetry", "AntiAffinity, NamespaceSelector",
        "Affinity, NamespaceSelector and Namespaces", "Do not ignore preferred terms of existing pods",
    ],
)  # fmt: skip
def test_pods_are_drawn_to_those_they_like_and_to_those_that_like_them(
    own: Json, labels: dict[str, str], existing: list[Existing], nodes: list[dict[str, str]], expected: list[int]
) -> None:
    pods = [pod(f"there-{i}", node=f"node-{at}", labels=has, **more) for i, (at, has, more) in enumerate(existing)]
    known = ledger(*(labelled(f"node-{i}", **each) for i, each in enumerate(nodes)), *pods)
    for name in ("subteam1.team1", "subteam2.team1", "subteam1.team2", "subteam2.team2"):
        known.observe_namespace(namespace(name, {"team": name[-5:]}))
    found = scores("InterPodAffinity", pod(labels=labels, **own), known)
    assert found == {f"node-{i}": score for i, score in enumerate(expected)}


@pytest.mark.parametrize(
    ("of", "expected"),
    [("subteam1.team1", [100, 100, 0]), ("subteam2.team2", [100, 100, 0]), ("subteam1.team2", None)],
)
def test_a_required_affinity_of_pods_that_are_there_counts_one(of: str, expected: list[int] | None) -> None:
    # TestPreferredAffinityWithHardPodAffinitySymmetricWeight, default weight
    service = term("region", expression("service", "In", "S1"), namespaces=["", "subteam2.team2"], **TEAM1)
    nodes = [labelled(f"node-{i}", **each) for i, each in enumerate((CHINA, INDIA, AZ1))]
    known = ledger(*nodes, *(pod(f"there-{i}", node=f"node-{i}", affinity=pod_affinity(service)) for i in range(2)))
    known.observe_namespace(namespace("subteam1.team1", {"team": "team1"}))
    found = scores("InterPodAffinity", pod(namespace=of, labels={"service": "S1"}), known)
    assert (found and list(found.values())) == expected


# --- all of them ------------------------------------------------------------------------------------------------------


def test_where_nobody_prefers_anything_nothing_is_said() -> None:
    known = ledger(node("a", taints=[taint()]), node("b"), *there("a foo"))
    assert preferred(read(pod(labels={"foo": ""})), known.snapshot(), np.arange(2)) == []


def test_the_weights_are_kube_schedulers() -> None:
    # getDefaultPlugins, pkg/scheduler/apis/config/v1/default_plugins.go
    weights = {preference.name: preference.weight for preference in PREFERENCES}
    assert weights == {"TaintToleration": 3, "NodeAffinity": 2, "PodTopologySpread": 2, "InterPodAffinity": 2}
