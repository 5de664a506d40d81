"""What a pod says costs a decision no more than what nodes have: work is counted, not timed.

Every kind of pod is grown to a size where one step for each of its parts would show at once; a few are as large as an
API server takes. The answers themselves are compared with what the selectors say one by one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.indices.bulk import Hashed, Selectors
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.affinity import AffinityTerm
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector, Requirement, Taint, Tolerated, Toleration
from peaks_scheduler.scheduling.decision import MESSAGE_LENGTH
from tests.adversarial.builders import Json, grown, held, size
from tests.adversarial.worst_pods import OF_NODES, OF_PODS, nodes
from tests.support.builders import HOSTNAME, anti_affinity, decide, expression, ledger, node, pod, read

NODES = 60
LARGE = 60_000  # [bytes] several hundred parts or more
KEYS = 3  # that the nodes have
WEB = {"app": "web"}


@pytest.fixture
def known() -> Ledger:
    web = [pod(f"web-{i}", labels=WEB | {"id": str(i)}, node=f"node-{i:05}") for i in range(5)]
    return ledger(*nodes(NODES), *web)


def running(raw: Json, name: str, where: str) -> Json:
    meta = raw["metadata"] | {"name": name, "uid": name}
    return raw | {"metadata": meta, "spec": raw["spec"] | {"nodeName": where}}


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[LabelSelector]:
    """Selectors that were looked at one by one."""
    asked: list[LabelSelector] = []
    matches = LabelSelector.matches

    def counted(self: LabelSelector, labels: Any) -> bool:
        asked.append(self)
        return matches(self, labels)

    monkeypatch.setattr(LabelSelector, "matches", counted)
    return asked


def columns(known: Ledger) -> int:
    return known._indices._labels.built


# --- the pod's own decision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*OF_NODES.values(), *OF_PODS.values()], ids=[*OF_NODES, *OF_PODS])
def test_a_decision_builds_no_column_for_a_label_that_no_node_has(kind: Callable[[int], Json], known: Ledger) -> None:
    raw = grown(kind, LARGE)
    assert LARGE // 2 < size(raw) <= LARGE
    decide(raw, known)
    assert columns(known) <= KEYS


WHOLE = ("nodeSelector", "spread", "preferred nodes by key")


@pytest.mark.parametrize("kind", WHOLE)
def test_nor_for_the_largest_pod_that_an_api_server_takes(kind: str, known: Ledger) -> None:
    decide(grown(OF_NODES[kind]), known)
    assert columns(known) <= KEYS


SAID = {
    "nodeSelector": f"0/{NODES} nodes are available: {NODES} node(s) didn't match Pod's node affinity/selector.",
    "node affinity, a term a key": (
        f"0/{NODES} nodes are available: {NODES} node(s) didn't match Pod's node affinity/selector."
    ),
    "spread": (
        f"0/{NODES} nodes are available: {NODES} node(s) didn't match pod topology spread constraints "
        "(missing required label)."
    ),
    "affinity over keys that no node has": (
        f"0/{NODES} nodes are available: {NODES} node(s) didn't match pod affinity rules."
    ),
}


@pytest.mark.parametrize("kind", SAID)
def test_its_refusal_reads_as_kube_schedulers(kind: str, known: Ledger) -> None:
    decision = decide(grown({**OF_NODES, **OF_PODS}[kind], LARGE), known)
    assert decision.diagnosis is not None
    assert decision.diagnosis.message == SAID[kind]


def test_a_refusal_of_thousands_of_reasons_is_cut(known: Ledger) -> None:
    decision = decide(grown(OF_NODES["extended resources"], LARGE), known)
    assert decision.diagnosis is not None
    assert len(decision.diagnosis.reasons) > 1000
    assert len(decision.diagnosis.message) == MESSAGE_LENGTH
    assert decision.diagnosis.message.endswith(" ...")


# --- others' decisions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["other", "evil"])
@pytest.mark.parametrize("kind", OF_PODS.values(), ids=OF_PODS)
def test_terms_of_running_pods_are_not_looked_at_one_by_one(
    kind: Callable[[int], Json], namespace: str, known: Ledger, matched: list[LabelSelector]
) -> None:
    raw = grown(kind, LARGE)
    for i in range(30):
        known.observe_pod(running(raw, f"evil-{i}", f"node-{i:05}"))
    matched.clear()
    decide(pod("plain", namespace=namespace, labels=WEB | {"aaaa": ""}), known)
    assert len(matched) < 10


@pytest.mark.parametrize("kind", [*OF_NODES.values(), *OF_PODS.values()], ids=[*OF_NODES, *OF_PODS])
def test_what_ran_and_went_leaves_nothing_behind(kind: Callable[[int], Json], known: Ledger) -> None:
    raw = grown(kind, LARGE)

    def come_and_go(i: int) -> None:
        decide(pod("plain", namespace="evil", labels=WEB), known)
        each = running(raw, f"evil-{i}", "node-00001")
        known.observe_pod(each)
        known.observe_pod(each, gone=True)

    come_and_go(0)
    before = held(known._indices)
    for i in range(1, 4):
        come_and_go(i)
    assert held(known._indices) < before + LARGE // 20


def test_a_label_that_changes_all_the_time_builds_nothing_anew(known: Ledger) -> None:
    index = known.snapshot().index
    zone = read(pod(nodeSelector={"zone": "z1"})).where
    remembered = index.matching(zone)
    index.codes("flapping")
    for i in range(500):
        labels = {HOSTNAME: "node-00000", "zone": "z0", "cores": "0", "flapping": str(i)}
        known.observe_node(node("node-00000", labels=labels))
        codes, values = index.codes("flapping")
        assert (codes[0], values) != (0, 1)
        assert values <= 3
    assert index.matching(zone) is remembered
    assert columns(known) <= KEYS + 1


# --- the answers are what the selectors say -----------------------------------------------------------------------


def _requirement(rng: random.Random) -> Requirement:
    operator = rng.choice(["In", "NotIn", "Exists", "DoesNotExist", "In"])
    values = tuple(rng.choices("xyz", k=rng.randint(1, 2))) if operator in ("In", "NotIn") else ()
    return Requirement(rng.choice("abc"), operator, values if rng.random() < 0.95 else ("not a value!",))


def _selector(rng: random.Random) -> LabelSelector | None:
    if rng.random() < 0.05:
        return None
    pairs = tuple({rng.choice("abc"): rng.choice("xyz") for _ in range(rng.randint(0, 1))}.items())
    return LabelSelector(pairs, tuple(_requirement(rng) for _ in range(rng.randint(0, 2))))


def _labels(rng: random.Random) -> dict[str, str]:
    return {rng.choice("abc"): rng.choice("xyz") for _ in range(rng.randint(0, 3))}


@pytest.mark.parametrize("seed", range(20))
def test_many_selectors_match_what_each_matches(seed: int) -> None:
    rng = random.Random(seed)
    selectors, labels = [_selector(rng) for _ in range(200)], _labels(rng)
    expected = [each is not None and each.matches(labels) for each in selectors]
    assert Selectors(selectors).matching(Hashed(labels)).tolist() == expected


def _term(rng: random.Random) -> AffinityTerm:
    namespaces = frozenset(rng.sample(["other", "evil", "default"], k=rng.randint(1, 2)))
    by_label = _selector(rng) if rng.random() < 0.3 else None
    return AffinityTerm(rng.choice([HOSTNAME, "zone", "rack"]), _selector(rng), namespaces, by_label)


@pytest.mark.parametrize("seed", range(8))
def test_many_terms_mean_what_each_means(seed: int, known: Ledger) -> None:
    """Of pods there and of one that comes, required and preferred: together as one by one."""
    rng = random.Random(seed)
    for name in ("evil", "other"):
        known.observe_namespace({"metadata": {"name": name, "labels": _labels(rng)}})
    there = [_there(rng, i) for i in range(12)]
    for each in there:
        known.see(each)
    terms = tuple(_term(rng) for _ in range(120))
    assert bulky(terms)
    incoming = replace(read(pod("new", namespace="evil", labels=_labels(rng))), anti_affinity=terms)
    index = known.snapshot().index
    weighted = tuple((rng.randint(1, 9), term) for term in terms)
    one_by_one = [index.near((each,)) for each in weighted]
    assert _sums(known, index.near(weighted)) == _sums(known, (each for near in one_by_one for each in near))
    one = index.matched_by_all(terms[:1])
    assert index.matched_by_all(terms[:1] * 100).tolist() == one.tolist()
    assert index.all_match(terms[:1] * 100, incoming) == index.all_match(terms[:1], incoming)
    assert _repelled(known, terms, rng.randint(0, NODES - 1), incoming)


def _there(rng: random.Random, i: int) -> Pod:
    labels, namespace = _labels(rng), rng.choice(["evil", "other"])
    return read(pod(f"there-{i}", namespace=namespace, labels=labels, node=f"node-{rng.randint(0, NODES - 1):05}"))


def _sums(known: Ledger, near: Any) -> dict[str, list[int]]:
    sums: dict[str, Any] = {}
    for weight, key, counts in near:
        sums[key] = sums.get(key, 0) + weight * counts.astype(np.int64)
    return {key: each.tolist() for key, each in sums.items() if each.any()}


def _repelled(known: Ledger, terms: tuple[AffinityTerm, ...], at: int, incoming: Pod) -> bool:
    """Do they repel together what they repel one by one?"""
    evil = replace(read(pod("terms", namespace="evil", node=f"node-{at:05}")), anti_affinity=terms)
    known.see(evil)
    together = known.snapshot().index.repelled_by(incoming)
    known.drop(evil.uid)
    apart = np.zeros(NODES, np.bool_)
    for term in terms:
        known.see(replace(evil, anti_affinity=(term,)))
        found = known.snapshot().index.repelled_by(incoming)
        apart |= found if found is not None else False
        known.drop(evil.uid)
    return apart.tolist() == ([False] * NODES if together is None else together.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_many_tolerations_tolerate_what_each_does(seed: int) -> None:
    rng = random.Random(seed)
    some = [
        Toleration(rng.choice(["", "a", "b"]), rng.choice(["Exists", "Equal", "Gt"]), rng.choice("xy"), effect)
        for effect in rng.choices(["", "NoSchedule", "NoExecute"], k=rng.randint(0, 3))
    ]
    taints = [Taint(key, value, effect) for key in "abc" for value in "xyz" for effect in ("NoSchedule", "NoExecute")]
    expected = [any(each.tolerates(taint) for each in some) for taint in taints]
    assert [Tolerated(some).includes(taint) for taint in taints] == expected


def test_a_pod_with_very_many_labels_is_found_by_each(known: Ledger) -> None:
    labels = {f"l{i}": "" for i in range(500)} | WEB
    known.observe_pod(pod("labelled", labels=labels, node="node-00007"))
    wanted = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": HOSTNAME, "labelSelector": {"matchExpressions": [expression("l77", "Exists")]}}
            ]
        }
    }
    assert decide(pod("follower", affinity=wanted), known).node == "node-00007"
    known.observe_pod(pod("labelled", labels=labels, node="node-00007"), gone=True)
    assert decide(pod("follower", affinity=wanted), known).node is None


def test_one_more_term_than_few_is_no_other_rule(known: Ledger) -> None:
    """The same terms, as few as are looked up by label and as many as are compiled, keep the same pods away."""
    for many in (1, 100):
        terms = anti_affinity(WEB, "zone")["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] * many
        evil = pod(
            "evil",
            node="node-00001",
            affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        )
        known.observe_pod(evil)
        assert decide(pod("db", labels={"app": "db"}), known).feasible == NODES
        assert decide(pod("web", labels=WEB), known).feasible == NODES - NODES // 3
        known.observe_pod(evil, gone=True)
