"""This scheduler's verdicts and scores are kube-scheduler's: a sample of every group, and every disagreement that was
ever found.

``make parity`` runs the same over thousands of scenarios a group.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.scheduling.scoring import preferences
from tests.parity import compare
from tests.parity.__main__ import main
from tests.parity.compare import Answers, Difference, Json, Kind, differences, our_answers, printed_answers
from tests.parity.generate import GROUP_NAMES, scenario
from tests.parity.minimise import minimise
from tests.parity.oracle import Oracle
from tests.parity.run import chunks, judged, minimised, tallied
from tests.parity.statistics import REASONS, Tally, known_reason, statistics, unseen
from tests.support.builders import PREFERRED, expression, node, pod, workers

FIRST, COUNT = 10_000, 60
"""Seeds of the sample: none that the full run starts with."""
CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle(scores=True) as running:
        yield running


@pytest.fixture(scope="module")
def sample(oracle: Oracle) -> Callable[[str], Tally]:
    """The tally of a group's sample, judged once for all tests."""
    found: dict[str, Tally] = {}

    def of(group: str) -> Tally:
        if group not in found:
            found[group] = tallied(group, range(FIRST, FIRST + COUNT), oracle)
        return found[group]

    return of


def told(examples: list[tuple[int, Difference]], group: str) -> str:
    """What a developer needs to look into it."""
    lines = [
        f"{seed}: {each}\n    python -m tests.parity --group {group} --seed {seed} --show --minimise"
        for seed, each in examples
    ]
    return "\n".join(lines)


# --- the verdicts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUP_NAMES)
def test_every_verdict_word_and_score_is_kube_schedulers(sample: Callable[[str], Tally], group: str) -> None:
    examples = sample(group).examples
    assert not examples, told(examples, group)


@pytest.mark.parametrize("group", GROUP_NAMES)
def test_clusters_are_neither_too_kind_nor_too_harsh(sample: Callable[[str], Tally], group: str) -> None:
    tally = sample(group)
    assert tally.balanced, f"{tally.share:.0%} of {tally.verdicts} verdicts are feasible"


def test_every_preference_tells_the_nodes_apart_for_many_pods(sample: Callable[[str], Tally]) -> None:
    tally = sample("preferences")
    assert tally.scored > COUNT
    assert tally.indifferent == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_disagreement_once_found_stays_settled(oracle: Oracle, path: Path) -> None:
    case = json.loads(path.read_text())
    theirs, found = judged(case["objects"], oracle)
    assert theirs
    assert not found, f"{case['about']}\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("group", ["resources", "node-affinity", "mixed"])
def test_what_is_compared_is_what_the_command_prints(group: str) -> None:
    objects = scenario(group, FIRST)
    assert printed_answers(objects) == our_answers(objects)


# --- the clusters ---------------------------------------------------------------------------------------------------


def test_a_scenario_is_the_same_in_every_process() -> None:
    code = (
        "import json; from tests.parity.generate import GROUP_NAMES, scenario\n"
        "print(json.dumps([scenario(group, 7) for group in GROUP_NAMES]))"
    )
    here = json.dumps([scenario(group, 7) for group in GROUP_NAMES])
    env = os.environ | {"PYTHONHASHSEED": "12345"}
    elsewhere = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert elsewhere.stdout.strip() == here, elsewhere.stderr


@pytest.mark.parametrize("group", GROUP_NAMES)
def test_another_seed_is_another_cluster(group: str) -> None:
    assert scenario(group, 1) != scenario(group, 2)


@pytest.mark.parametrize("group", GROUP_NAMES)
def test_a_cluster_has_nodes_pods_to_judge_and_no_name_twice(group: str) -> None:
    for seed in range(FIRST, FIRST + COUNT):
        objects = scenario(group, seed)
        names = [(raw["kind"], raw["metadata"].get("namespace"), raw["metadata"]["name"]) for raw in objects]
        assert len(names) == len(set(names))
        assert 2 <= sum(raw["kind"] == "Node" for raw in objects) <= 9
        assert any(raw["kind"] == "Pod" and raw["metadata"]["name"].startswith("new-") for raw in objects)


# --- the comparison -------------------------------------------------------------------------------------------------


def answers(**nodes: list[str]) -> Answers:
    """The answer for one pod: each node's reasons."""
    judged_nodes = {
        name.replace("_", "-"): {"feasible": not reasons, "reasons": reasons} for name, reasons in nodes.items()
    }
    message = None if any(not reasons for reasons in nodes.values()) else "0/2 nodes are available"
    return {"default/new-0": {"gated": False, "message": message, "error": None, "nodes": judged_nodes}}


def scored(**scores: Json) -> Answers:
    """The answer for one pod that both nodes take, with scores by preference."""
    whole = answers(node_0=[], node_1=[])
    whole["default/new-0"]["scores"] = scores
    return whole


def planted(change: Callable[[Json], object]) -> Answers:
    """The answer that both would agree on, with one change."""
    changed = copy.deepcopy(AGREED)
    change(changed["default/new-0"])
    return changed


AGREED = answers(node_0=[], node_1=["Insufficient cpu", "Too many pods"])
NOWHERE = {"feasible": False, "reasons": ["Insufficient cpu"]}
SOMEWHERE = {"feasible": True, "reasons": []}


BETTER, WORSE, EVEN = {"node-0": 200, "node-1": 40}, {"node-0": 40, "node-1": 200}, {"node-0": 200, "node-1": 200}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda pod: pod["nodes"].update({"node-1": SOMEWHERE}), Kind.FALSE_FEASIBLE),
        (lambda pod: pod["nodes"].update({"node-0": NOWHERE}), Kind.FALSE_INFEASIBLE),
        (lambda pod: pod["nodes"]["node-1"]["reasons"].pop(), Kind.REASONS),
        (lambda pod: pod["nodes"].pop("node-1"), Kind.PODS),
        (lambda pod: pod.update(message="0/2 nodes are available: none."), Kind.MESSAGE),
        (lambda pod: pod.update(gated=True), Kind.GATED),
    ],
    ids=["feasible", "infeasible", "reasons", "nodes", "message", "gated"],
)
def test_a_planted_disagreement_is_noticed(change: Callable[[Json], object], kind: Kind) -> None:
    assert [each.kind for each in differences(planted(change), AGREED)] == [kind]


def test_the_order_of_reasons_is_nobodys_concern() -> None:
    assert differences(planted(lambda pod: pod["nodes"]["node-1"]["reasons"].reverse()), AGREED) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"NodeAffinity": WORSE}, {"NodeAffinity": BETTER}),
        ({"NodeAffinity": EVEN}, {"NodeAffinity": BETTER}),
        ({"NodeAffinity": {"node-0": 0, "node-1": 0}}, {"NodeAffinity": EVEN}),
        ({}, {"NodeAffinity": BETTER}),
        ({"NodeAffinity": BETTER}, {}),
    ],
    ids=["other", "no longer apart", "at another height", "only theirs", "only ours"],
)
def test_scores_that_differ_are_noticed_and_whose_they_are(ours: Json, theirs: Json) -> None:
    found = differences(scored(**ours), scored(**theirs))
    assert [(each.kind, each.preference) for each in found] == [(Kind.SCORE, "NodeAffinity")]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"NodeAffinity": BETTER, "InterPodAffinity": WORSE}, {"NodeAffinity": BETTER, "InterPodAffinity": WORSE}),
        ({}, {"TaintToleration": EVEN}),
        ({"TaintToleration": EVEN}, {}),
        ({}, {"ImageLocality": BETTER}),
    ],
    ids=["equal", "nothing said and all alike", "all alike and nothing said", "no preference of ours"],
)
def test_who_says_nothing_agrees_with_who_finds_all_nodes_alike(ours: Json, theirs: Json) -> None:
    assert differences(scored(**ours), scored(**theirs)) == []


def test_scores_over_other_nodes_are_not_compared() -> None:
    ours = scored(NodeAffinity=WORSE)
    ours["default/new-0"]["nodes"]["node-1"] = NOWHERE
    assert [each.kind for each in differences(ours, scored(NodeAffinity=BETTER))] == [Kind.FALSE_INFEASIBLE]


def faulty(each: preferences.Preference) -> preferences.Preference:
    """The preference, one point off on the last node."""

    def score(*asked: Any) -> Any:
        scores = each.score(*asked)
        if scores is not None:
            scores[-1] += 1 if scores[-1] < preferences.MOST else -1
        return scores

    return replace(each, score=score)


@pytest.fixture(params=[each.name for each in preferences.PREFERENCES])
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One preference scores wrongly; its name."""
    changed = [faulty(each) if each.name == request.param else each for each in preferences.PREFERENCES]
    monkeypatch.setattr(preferences, "PREFERENCES", tuple(changed))
    return str(request.param)


def test_a_planted_fault_in_a_preference_is_found_and_shown_in_a_small_cluster(oracle: Oracle, fault: str) -> None:
    found = {seed: judged(scenario("preferences", seed), oracle)[1] for seed in range(FIRST, FIRST + 10)}
    kinds = {(each.kind, each.preference) for differing in found.values() for each in differing}
    assert kinds == {(Kind.SCORE, fault)}
    seed, first = next((seed, differing[0]) for seed, differing in found.items() if differing)
    small = minimised(scenario("preferences", seed), first, oracle)
    assert sum(raw["kind"] == "Node" for raw in small) == 2


@pytest.mark.parametrize("name", compare.ALLOCATION)
def test_a_point_too_few_for_one_node_in_least_or_balanced_allocation_is_found(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = compare.ALLOCATION[name]
    monkeypatch.setitem(compare.ALLOCATION, name, lambda pod, nodes: real(pod, nodes) - (np.arange(len(nodes)) == 0))
    found = [each for seed in range(FIRST, FIRST + 5) for each in judged(scenario("resources", seed), oracle)[1]]
    assert {(each.kind, each.preference) for each in found} == {(Kind.SCORE, name)}


def test_a_preference_that_cannot_be_read_refuses_no_node_here(oracle: Oracle) -> None:
    """The one known difference: with several nodes to choose from kube-scheduler ends with an error, so such terms are
    not generated."""
    term = {"matchExpressions": [expression("gen", "Gt", "7.5")]}
    wish = {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": term}]}}
    _, found = judged([*workers(2), pod("new-0", affinity=wish)], oracle)
    assert [(each.kind, each.node) for each in found] == [(Kind.FALSE_FEASIBLE, f"worker-{i}") for i in (0, 1)]
    assert judged([node(), pod("new-0", affinity=wish)], oracle)[1] == []


def test_a_pod_that_only_one_of_them_judges_is_noticed() -> None:
    assert [each.kind for each in differences({}, AGREED)] == [Kind.PODS]
    assert [each.kind for each in differences(AGREED, {})] == [Kind.PODS]


def test_no_answer_at_all_is_a_disagreement() -> None:
    failure = Difference(Kind.FAILED, "all pods", "", "KeyError: 'spec'", "an answer")
    assert differences(failure, AGREED) == [failure]


def test_where_kube_scheduler_ends_with_an_error_nothing_may_be_feasible() -> None:
    theirs = planted(lambda pod: pod.update(error="bad volume", nodes={}, message=None))
    assert [each.kind for each in differences(AGREED, theirs)] == [Kind.FALSE_FEASIBLE]
    assert differences(answers(node_0=["whatever"], node_1=["it says"]), theirs) == []


def test_a_cluster_is_made_as_small_as_what_it_shows(oracle: Oracle) -> None:
    """A pod that fits nowhere: what is left is that pod and one node."""
    objects = [*workers(4, cpu="1"), pod("big", cpu="2", labels={"app": "web"}), pod("small", cpu="1")]

    def still(fewer: Sequence[Json]) -> bool:
        verdicts = oracle.judge(fewer).get("default/big", {"nodes": {}})["nodes"].values()
        return any(verdict["reasons"] == ["Insufficient cpu"] for verdict in verdicts)

    small = minimise(objects, still)
    assert sorted(raw["kind"] for raw in small) == ["Node", "Pod"]
    assert "labels" not in next(raw for raw in small if raw["kind"] == "Pod")["metadata"]


def test_an_agreement_cannot_be_made_small(oracle: Oracle) -> None:
    """Asked for a disagreement that is none, it leaves the cluster as it is."""
    objects = [node("worker-0"), pod("web")]
    none = Difference(Kind.FALSE_FEASIBLE, "default/web", "worker-0", "feasible", ["Insufficient cpu"])
    assert minimised(objects, none, oracle) == objects


# --- the statistics -------------------------------------------------------------------------------------------------


def test_reasons_with_names_in_them_are_counted_together() -> None:
    one = 'persistentvolumeclaim "data" not found'
    other = 'persistentvolumeclaim "logs" not found'
    tally = statistics(answers(node_0=[one], node_1=[other]))
    assert tally.reasons == {known_reason(one): 2}


def test_a_reason_that_nobody_brought_out_is_named() -> None:
    every = {reason for reasons in REASONS.values() for reason in reasons}
    tally = Tally()
    tally.reasons.update(every - {"Too many pods"})
    assert unseen([tally]) == [("NodeResourcesFit", "Too many pods")]


@pytest.mark.parametrize(("feasible", "balanced"), [(14, False), (15, True), (85, True), (86, False)])
def test_a_group_has_both_kinds_of_verdicts(feasible: int, balanced: bool) -> None:
    assert Tally(verdicts=100, feasible=feasible).balanced is balanced


def test_a_preference_is_indifferent_unless_it_tells_nodes_apart_for_more_than_a_third_of_the_pods() -> None:
    tally = Tally(scored=3)
    tally.telling.update({"TaintToleration": 3, "NodeAffinity": 2, "PodTopologySpread": 1})
    assert tally.indifferent == ["PodTopologySpread", "InterPodAffinity"]


def test_scores_that_are_all_the_same_tell_nothing() -> None:
    tally = statistics(scored(NodeAffinity=BETTER, TaintToleration=EVEN))
    assert (tally.scored, tally.telling) == (1, {"NodeAffinity": 1})


def test_work_is_cut_into_pieces_that_leave_nothing_out() -> None:
    pieces = chunks(["names", "ports"], first=5, count=120)
    seeds = [(piece.group, seed) for piece in pieces for seed in range(piece.first, piece.first + piece.count)]
    assert seeds == [(group, seed) for group in ("names", "ports") for seed in range(5, 125)]


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_that_all_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--group", "names", "--scenarios", "4", "--seed", str(FIRST), "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "all agree" in out
    assert "names" in out


def test_the_command_shows_one_cluster_and_both_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--group", "ports", "--seed", str(FIRST), "--show"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["objects"] == scenario("ports", FIRST)
    assert shown["ours"].keys() == shown["theirs"].keys()
