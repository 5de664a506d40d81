"""Selectors, taints and tolerations as Kubernetes evaluates them (component-helpers v0.36.3, apimachinery v0.36.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.objects.affinity import affinity_term_from, spread_constraint_from
from peaks_scheduler.objects.selectors import (
    NodeRequirement,
    NodeSelectorTerm,
    Requirement,
    Taint,
    Toleration,
    label_selector_from,
    parse_int64,
    requirements_from,
    toleration_from,
)
from tests.support.builders import expression, pod_term, spread

LABELS = {"zone": "a", "cores": "64", "padded": "08", "huge": "9223372036854775808", "empty": ""}

OPERATORS: dict[str, tuple[tuple[str, ...], bool]] = {
    "In, one of them": (("zone", "In", "b", "a"), True),
    "In, none of them": (("zone", "In", "b"), False),
    "In, label missing": (("rack", "In", "a"), False),
    "In, empty value": (("empty", "In", ""), True),
    "NotIn": (("zone", "NotIn", "b"), True),
    "NotIn, one of them": (("zone", "NotIn", "a"), False),
    "NotIn, label missing": (("rack", "NotIn", "a"), True),
    "Exists": (("empty", "Exists"), True),
    "Exists, label missing": (("rack", "Exists"), False),
    "DoesNotExist": (("rack", "DoesNotExist"), True),
    "DoesNotExist, label there": (("zone", "DoesNotExist"), False),
    "Gt": (("cores", "Gt", "63"), True),
    "Gt, equal": (("cores", "Gt", "64"), False),
    "Lt": (("cores", "Lt", "65"), True),
    "Lt, signed": (("cores", "Lt", "-1"), False),
    "Gt, a leading zero is decimal": (("padded", "Gt", "7"), True),
    "Gt, label missing": (("rack", "Gt", "1"), False),
    "Gt, label no number": (("zone", "Gt", "1"), False),
    "Lt, label beyond int64": (("huge", "Gt", "1"), False),
    "an operator of a later Kubernetes": (("zone", "Like", "a"), False),
}


@pytest.mark.parametrize(("requirement", "matches"), OPERATORS.values(), ids=OPERATORS)
def test_operators_match_as_in_kubernetes(requirement: tuple[str, ...], matches: bool) -> None:
    key, operator, *values = requirement
    assert Requirement(key, operator, tuple(values)).matches(LABELS) is matches


PARSED = {"0": 0, "08": 8, "+7": 7, "-7": -7, "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63)}
NOT_PARSED = [
    "",
    "1_000",
    "1e3",
    "7.5",
    " 7",
    "7 ",
    "0x10",
    "--1",
    "٣",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 5000,
]


@pytest.mark.parametrize(("text", "number"), PARSED.items())
def test_numbers_are_what_gos_parse_int_takes(text: str, number: int) -> None:
    assert parse_int64(text) == number


@pytest.mark.parametrize("text", NOT_PARSED, ids=lambda text: repr(text[:24]))
def test_and_nothing_else(text: str) -> None:
    assert parse_int64(text) is None


@given(st.integers(-(2**64), 2**64))
def test_every_integer_of_64_bits_is_read_and_no_other(number: int) -> None:
    assert parse_int64(str(number)) == (number if -(2**63) <= number < 2**63 else None)


def term(*expressions: dict[str, Any], names: tuple[str, ...] | None = None, operator: str = "In") -> NodeSelectorTerm:
    fields = [] if names is None else [expression("metadata.name", operator, *names)]
    return NodeSelectorTerm(requirements_from(list(expressions)), requirements_from(fields))


def matches(*terms: NodeSelectorTerm, name: str = "worker-1") -> bool:
    return NodeRequirement(terms=terms).matches(name, LABELS)


def test_all_of_a_term_must_hold_and_one_of_the_terms() -> None:
    yes, no = expression("zone", "In", "a"), expression("zone", "In", "b")
    assert matches(term(yes, expression("cores", "Exists")))
    assert not matches(term(yes, no))
    assert matches(term(no), term(yes))


def test_an_empty_term_matches_nothing_and_neither_does_no_term() -> None:
    assert not matches(term())
    assert not matches()
    assert matches(term(), term(expression("zone", "Exists")))


@pytest.mark.parametrize(
    "bad",
    [
        expression("cores", "Gt", "1e3"),
        expression("cores", "Gt"),
        expression("cores", "Gt", "1", "2"),
        expression("zone", "In"),
        expression("zone", "Exists", "a"),
        expression("zone", "Like", "a"),
    ],
    ids=["no number", "no value", "two values", "In without values", "Exists with values", "unknown operator"],
)
def test_a_bad_requirement_spoils_its_term_and_not_the_others(bad: dict[str, Any]) -> None:
    good = expression("zone", "In", "a")
    assert not matches(term(good, bad))
    assert matches(term(bad), term(good))


def test_fields_match_the_nodes_name() -> None:
    assert matches(term(names=("worker-1",)))
    assert not matches(term(names=("worker-2",)))
    assert matches(term(names=("worker-2",), operator="NotIn"))
    assert not matches(term(names=("worker-1", "worker-2")))  # kube-scheduler takes one value for a field


def test_selector_and_affinity_must_both_hold() -> None:
    terms = (term(expression("cores", "Gt", "32")),)
    assert NodeRequirement((("zone", "a"),), terms).matches("worker-1", LABELS)
    assert not NodeRequirement((("zone", "b"),), terms).matches("worker-1", LABELS)
    assert not NodeRequirement((("rack", ""),)).matches("worker-1", LABELS)


NAMES: dict[str, tuple[tuple[NodeSelectorTerm, ...] | None, set[str] | None]] = {
    "no affinity": (None, None),
    "no name": ((term(expression("zone", "Exists")),), None),
    "one": ((term(names=("a",)),), {"a"}),
    "terms are ORed": ((term(names=("a",)), term(names=("b",))), {"a", "b"}),
    "a term without names allows all": ((term(names=("a",)), term(expression("zone", "Exists"))), None),
    "names that conflict": (
        (NodeSelectorTerm((), requirements_from([expression("metadata.name", "In", n) for n in "ab"])),),
        set(),
    ),
}


@pytest.mark.parametrize(("terms", "names"), NAMES.values(), ids=NAMES)
def test_a_requirement_knows_the_only_nodes_it_names(
    terms: tuple[NodeSelectorTerm, ...] | None, names: set[str] | None
) -> None:
    assert NodeRequirement(terms=terms).names == names


# labels of pods


def test_an_empty_label_selector_matches_everything_and_none_is_none() -> None:
    everything = label_selector_from({})
    assert everything is not None
    assert everything.matches({})
    assert label_selector_from(None) is None


def test_labels_and_expressions_of_a_selector_must_all_hold() -> None:
    selector = label_selector_from(
        {"matchLabels": {"app": "web"}, "matchExpressions": [expression("tier", "In", "x", "y")]}
    )
    assert selector is not None
    assert selector.matches({"app": "web", "tier": "y"})
    assert not selector.matches({"app": "web"})
    assert not selector.matches({"app": "db", "tier": "y"})


def test_an_invalid_selector_matches_nothing() -> None:
    selector = label_selector_from({"matchExpressions": [expression("tier", "NotIn")]})
    assert selector is not None
    assert not selector.matches({})


# terms of affinity

PROD = {"matchLabels": {"env": "prod"}}
LOOKS: dict[str, tuple[dict[str, Any], str, dict[str, str] | None, bool]] = {
    # the term of a pod in "own", a namespace and its labels
    "its own, by default": ({}, "own", {}, True),
    "another, by default": ({}, "other", {"env": "prod"}, False),
    "named": ({"namespaces": ["other"]}, "other", {}, True),
    "its own, where others are named": ({"namespaces": ["other"]}, "own", {}, False),
    "every one": ({"namespaceSelector": {}}, "other", None, True),
    "by label": ({"namespaceSelector": PROD}, "other", {"env": "prod"}, True),
    "its own goes by label too": ({"namespaceSelector": PROD}, "own", {}, False),
    "named or by label": ({"namespaceSelector": PROD, "namespaces": ["own"]}, "own", {}, True),
    "a namespace that is not there has no labels": ({"namespaceSelector": PROD}, "other", None, False),
    "and so lacks them all": (
        {"namespaceSelector": {"matchExpressions": [expression("env", "DoesNotExist")]}},
        "other",
        None,
        True,
    ),
}


@pytest.mark.parametrize(("more", "namespace", "labels", "looks"), LOOKS.values(), ids=LOOKS)
def test_a_term_looks_into_its_namespaces(
    more: dict[str, Any], namespace: str, labels: dict[str, str] | None, looks: bool
) -> None:
    assert affinity_term_from(pod_term({}, **more), "own").in_namespace(namespace, labels) is looks


def test_a_term_without_selector_selects_no_pod_and_one_with_an_empty_selector_every_pod() -> None:
    assert not affinity_term_from(pod_term(None), "own").selects({})
    assert affinity_term_from(pod_term({}), "own").selects({})


# constraints on spread


def test_a_constraint_has_kubernetes_defaults() -> None:
    seen = spread_constraint_from(spread({"app": "web"}, "zone", 2), {})
    assert (seen.topology_key, seen.max_skew, seen.min_domains) == ("zone", 2, 1)
    assert (seen.honour_affinity, seen.honour_taints) == (True, False)


def test_policies_say_which_nodes_count() -> None:
    raw = spread({}, nodeAffinityPolicy="Ignore", nodeTaintsPolicy="Honor", minDomains=3)
    seen = spread_constraint_from(raw, {})
    assert (seen.honour_affinity, seen.honour_taints, seen.min_domains) == (False, True, 3)


def test_match_label_keys_add_the_pods_own_values() -> None:
    raw = spread({"app": "web"}, matchLabelKeys=["hash", "lacking"])
    selector = spread_constraint_from(raw, {"app": "web", "hash": "1"}).selector
    assert selector is not None
    assert selector.matches({"app": "web", "hash": "1"})
    assert not selector.matches({"app": "web", "hash": "2"})


def test_they_add_nothing_to_no_selector() -> None:
    assert spread_constraint_from(spread(None, matchLabelKeys=["hash"]), {"hash": "1"}).selector is None


# taints

GPU = Taint("gpu", "a100", "NoSchedule")
TOLERATIONS: dict[str, tuple[dict[str, str], bool]] = {
    "equal": ({"key": "gpu", "value": "a100", "effect": "NoSchedule"}, True),
    "equal by name": ({"key": "gpu", "operator": "Equal", "value": "a100"}, True),
    "another value": ({"key": "gpu", "value": "h100"}, False),
    "another key": ({"key": "fpga", "operator": "Exists"}, False),
    "exists": ({"key": "gpu", "operator": "Exists"}, True),
    "everything": ({"operator": "Exists"}, True),
    "another effect": ({"operator": "Exists", "effect": "NoExecute"}, False),
    "no key, equal value": ({"value": "a100"}, True),
    "comparison, which 1.36 has switched off": ({"key": "gpu", "operator": "Gt", "value": "1"}, False),
}


@pytest.mark.parametrize(("toleration", "tolerated"), TOLERATIONS.values(), ids=TOLERATIONS)
def test_tolerations_tolerate_as_in_kubernetes(toleration: dict[str, str], tolerated: bool) -> None:
    assert toleration_from(toleration).tolerates(GPU) is tolerated


def test_an_empty_toleration_tolerates_only_a_taint_without_value() -> None:
    assert Toleration().tolerates(Taint("a", "", "NoSchedule"))
    assert not Toleration().tolerates(GPU)
