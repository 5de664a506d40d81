"""Preferences decide among nodes tied by watts, and nowhere else. A pod may have a tolerance of its own."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.cli import main
from peaks_scheduler.commands.explain.answer import Answer
from peaks_scheduler.commands.explain.answer_table import headline
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.annotations import TOLERANCE, AnnotationRules
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.scheduling.selection import SAME_COST
from tests.support.builders import (
    BENT_UP,
    HOSTNAME,
    PEAKS,
    PREFERRED,
    Json,
    decide,
    expression,
    ledger,
    models,
    node,
    pod,
    pod_affinity,
    pod_term,
    read,
    spread,
    taint,
)
from tests.support.daemon_stage import WORKERS, Api, Stage, until
from tests.support.virtual_time import now, run_virtually

ZONE = "topology.kubernetes.io/zone"
PODS = range(30)
"""So many that the hash alone would hardly send all of them to one of two nodes."""


def cluster(*zones: str, uses: tuple[float, ...] | None = None, there: tuple[Json, ...] = (), **more: Any) -> Ledger:
    """worker-0 in the first zone, worker-1 in the second, ... They differ only in zone and use."""
    nodes = [node(f"worker-{i}", labels={ZONE: zone}, **more) for i, zone in enumerate(zones)]
    used = dict(enumerate(uses or (0.2,) * len(zones)))
    return ledger(*nodes, *there, power=BENT_UP, loads={f"worker-{i}": use for i, use in used.items()})


def running(app: str, on: int, name: str = "", **spec: Any) -> Json:
    """A running pod of that app, which the measured load contains."""
    return pod(name or f"{app}-on-{on}", cpu="1", labels={"app": app}, node=f"worker-{on}", started=0.0, **spec)


def web(i: int = 0, tolerance: str | None = None, **more: Any) -> Json:
    """A pod of the app web; ``tolerance`` is its annotation."""
    annotations = None if tolerance is None else {TOLERANCE: tolerance}
    return pod(f"web-{i}", cpu="1", labels={"app": "web"}, annotations=annotations, **more)


def taken(known: Ledger, tolerance: float = 0.0, own: str | None = None, **more: Any) -> set[str | None]:
    """The nodes of many such pods, each decided alone; ``own`` is their annotation."""
    return {decide(web(i, own, **more), known, tolerance=tolerance).node for i in PODS}


def liking(zone: str) -> Json:
    """``spec.affinity`` that prefers a zone."""
    term = {"weight": 1, "preference": {"matchExpressions": [expression(ZONE, "In", zone)]}}
    return {"nodeAffinity": {PREFERRED: [term]}}


def preferring(kind: str, app: str) -> Json:
    """``spec.affinity`` that prefers nodes with that app's pods (podAffinity), or without (podAntiAffinity)."""
    return {kind: {PREFERRED: [{"weight": 100, "podAffinityTerm": pod_term({"app": app})}]}}


def evenly(*keys: str) -> list[Json]:
    """``topologySpreadConstraints`` over the app web, as a preference."""
    return [spread({"app": "web"}, key, whenUnsatisfiable="ScheduleAnyway") for key in keys]


# --- equal nodes ------------------------------------------------------------------------------------------------------


def test_a_preferred_zone_wins_among_equal_nodes() -> None:
    assert taken(cluster("a", "b", "a", "b"), affinity=liking("b")) == {"worker-1", "worker-3"}


def test_a_node_with_a_mild_taint_is_taken_last() -> None:
    known = cluster("a", "b")
    known.observe_node(node("worker-0", taints=[taint(effect="PreferNoSchedule")]))
    assert taken(known) == {"worker-1"}
    assert taken(known, tolerations=[{"operator": "Exists"}]) == {"worker-0", "worker-1"}


def test_pods_spread_over_zones() -> None:
    known = cluster("a", "a", "b", "b", there=(running("web", 0), running("web", 2), running("web", 3)))
    assert taken(known, topologySpreadConstraints=evenly(ZONE)) == {"worker-0", "worker-1"}
    assert taken(known, topologySpreadConstraints=evenly(ZONE, HOSTNAME)) == {"worker-1"}


def test_an_app_is_liked_near_or_kept_away() -> None:
    known = cluster("a", "a", "a", there=(running("db", 0),))
    assert taken(known, affinity=preferring("podAffinity", "db")) == {"worker-0"}
    assert taken(known, affinity=preferring("podAntiAffinity", "db")) == {"worker-1", "worker-2"}


def test_pods_that_are_there_can_prefer_to_have_it_away() -> None:
    shy = running("db", 0, affinity=preferring("podAntiAffinity", "web"))
    assert taken(cluster("a", "a", there=(shy,))) == {"worker-1"}


def test_or_to_have_it_near() -> None:
    fond = running("db", 0, affinity=preferring("podAffinity", "web"))
    assert taken(cluster("a", "a", there=(fond,))) == {"worker-0"}


def test_and_one_that_must_be_near_such_pods_is_met_halfway() -> None:
    needy = running("db", 1, affinity=pod_affinity(pod_term({"app": "web"})))
    assert taken(cluster("a", "a", there=(needy,))) == {"worker-1"}


def test_one_that_goes_is_liked_no_more() -> None:
    fond = running("db", 0, affinity=preferring("podAffinity", "web"))
    known = cluster("a", "a", there=(fond,))
    known.observe_pod(fond, gone=True)
    assert taken(known, tolerance=10.0) == {"worker-0", "worker-1"}


def test_what_preferences_leave_equal_is_for_the_hash() -> None:
    known = cluster("a", "a", "b", "b", "b")
    plain = {i: decide(web(i), known).node for i in PODS}
    likers = {i: decide(web(i, affinity=liking("b")), known).node for i in PODS}
    stayed = [i for i in PODS if plain[i] in {"worker-2", "worker-3", "worker-4"}]
    assert stayed
    assert all(likers[i] == plain[i] for i in stayed)


def test_the_weightier_wish_wins() -> None:
    # the taint weighs 3, the zone 2; two preferences of 2 outweigh the taint
    known = cluster("a", "b", there=(running("db", 0),))
    known.observe_node(node("worker-0", labels={ZONE: "a"}, taints=[taint(effect="PreferNoSchedule")]))
    assert taken(known, affinity=liking("a")) == {"worker-1"}
    assert taken(known, affinity=liking("a") | preferring("podAffinity", "db")) == {"worker-0"}


def test_without_power_models_preferences_decide_among_nodes_equally_full() -> None:
    nodes = [node(f"worker-{i}", labels={ZONE: zone}) for i, zone in enumerate("abb")]
    known = ledger(*nodes, loads={"worker-0": 0.2, "worker-1": 0.2, "worker-2": 0.3})
    decision = decide(web(affinity=liking("b")), known)
    assert decision.node == "worker-1"
    assert taken(known, tolerance=50.0, affinity=liking("b")) == {"worker-1"}


# --- nodes that differ ------------------------------------------------------------------------------------------------


def near_ties() -> Ledger:
    """worker-0 in zone a is the cheapest; in zone b worker-1 costs hundredths of a watt more, worker-2 about one."""
    return cluster("a", "b", "b", uses=(0.2, 0.201, 0.25))


def test_a_preference_does_not_win_over_watts() -> None:
    assert taken(near_ties(), affinity=liking("b")) == {"worker-0"}


def test_nor_over_watts_beyond_the_tolerance() -> None:
    jumps = [decide(web(), cluster("a", uses=(use,))).jump_watts or 0.0 for use in (0.2, 0.201, 0.25)]
    extra = jumps[1] - jumps[0]
    assert taken(near_ties(), 0.9 * extra, affinity=liking("b")) == {"worker-0"}
    assert taken(near_ties(), 1.1 * extra, affinity=liking("b")) == {"worker-1"}
    assert taken(near_ties(), jumps[2], affinity=liking("b")) == {"worker-1", "worker-2"}


def test_an_overfull_node_is_not_preferred_to_one_that_fits() -> None:
    known = cluster("a", "b", uses=(0.5, 0.99))
    assert taken(known, 1000.0, affinity=liking("b")) == {"worker-0"}


def test_nor_is_one_without_a_model() -> None:
    nodes = [node("known", labels={ZONE: "a"}), node("blind", labels={ZONE: "b"})]
    known = ledger(*nodes, power=models(known=BENT_UP), loads={"known": 0.2, "blind": 0.2})
    assert taken(known, 1000.0, affinity=liking("b")) == {"known"}


# --- a pod's own tolerance --------------------------------------------------------------------------------------------


def test_a_pod_may_close_the_tolerance() -> None:
    assert taken(near_ties(), 1.0, "0", affinity=liking("b")) == {"worker-0"}


def test_a_pod_may_widen_it() -> None:
    assert taken(near_ties(), 0.0, "2.5", affinity=liking("b")) == {"worker-1", "worker-2"}


def test_nodes_tied_by_its_own_tolerance_share_such_pods_even_without_preferences() -> None:
    assert taken(near_ties(), 0.0, "5") == {"worker-0", "worker-1", "worker-2"}


@pytest.mark.parametrize(("text", "watts"), [("0", 0.0), ("5", 5.0), ("2.5", 2.5), (".5", 0.5), ("1e1", 10.0)])
def test_a_number_of_watts_is_read(text: str, watts: float) -> None:
    found = read(web(tolerance=text))
    assert (found.tolerance, found.oddities) == (watts, ())


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "1e999", "5 W", "1_000", "٥", "five", 5, None], ids=lambda text: repr(text)
)
def test_anything_else_is_not_used_and_said(text: Any) -> None:
    found = read(pod(annotations={TOLERANCE: text}))
    assert found.tolerance is None
    assert found.oddities == (f'{TOLERANCE}: expected watts, 0 or more, such as "2.5"; got {str(text)!r}',)


def test_beyond_the_administrators_limit_the_limit_counts_and_the_pod_is_told_of_it() -> None:
    limits = AnnotationRules(max_tolerance=2.5)
    found = pod_from_api(web(tolerance="1e9"), 100, rules=limits)
    said = f"{TOLERANCE}: expected at most 2.5 W (maxToleranceWatts), which count; got '1e9'"
    assert (found.tolerance, found.oddities) == (2.5, (said,))
    assert pod_from_api(web(tolerance="2.5"), 100, rules=limits).oddities == ()


def test_an_administrator_who_allows_no_tolerance_gets_none() -> None:
    known = near_ties()
    known.rules = AnnotationRules(max_tolerance=0.0)
    for i in PODS:
        known.observe_pod(web(i, "5"))
    assert {schedule(each, known.snapshot(), PEAKS, now=0.0).node for each, _ in known.pods()} == {"worker-0"}


def test_then_the_configured_tolerance_counts() -> None:
    assert taken(near_ties(), 2.5, "lots", affinity=liking("b")) == {"worker-1", "worker-2"}


def test_a_pod_without_the_annotation_has_nothing_odd() -> None:
    found = read(pod(annotations={"other": "x"}))
    assert (found.tolerance, found.oddities) == (None, ())


# --- the record -------------------------------------------------------------------------------------------------------


def records(known: Ledger, tolerance: float = 0.0, **more: Any) -> dict[str, tuple[str | None, float | None]]:
    """The preference and its watts in the annotations of many such pods, by pod."""
    found = [json.loads(decide(web(i, **more), known, tolerance=tolerance).annotation()) for i in PODS]
    return {f"web-{i}": (one["preference"], one["preferenceWatts"]) for i, one in enumerate(found)}


def test_the_record_says_which_preference_decided_and_only_where_one_did() -> None:
    known = cluster("a", "b")
    plain = {f"web-{i}": decide(web(i), known).node for i in PODS}
    assert set(plain.values()) == {"worker-0", "worker-1"}
    assert records(known, affinity=liking("b")) == {
        name: (None, None) if at == "worker-1" else ("NodeAffinity", 0.0) for name, at in plain.items()
    }


def test_and_what_it_cost() -> None:
    decisions = [decide(web(i, affinity=liking("b")), near_ties(), tolerance=0.1) for i in PODS]
    decision = next(each for each in decisions if each.preferences)
    assert decision.runner_up == "worker-0"
    extra = (decision.jump_watts or 0.0) - (decision.runner_up_jump_watts or 0.0)
    assert decision.preference_watts == pytest.approx(extra)
    assert 0.0 < extra < 0.1


def test_each_preference_that_spoke_for_the_node_is_named() -> None:
    known = cluster("a", "b", there=(running("db", 1), running("web", 0)))
    wishes = liking("b") | preferring("podAffinity", "db")
    said = records(known, affinity=wishes, topologySpreadConstraints=evenly(HOSTNAME))
    assert set(said.values()) == {(None, None), ("NodeAffinity,PodTopologySpread,InterPodAffinity", 0.0)}


def test_one_that_spoke_against_it_is_not() -> None:
    known = cluster("a", "b", there=(running("db", 1), running("web", 1)))
    wishes = liking("b") | preferring("podAffinity", "db")
    said = records(known, affinity=wishes, topologySpreadConstraints=evenly(HOSTNAME))
    assert set(said.values()) == {(None, None), ("NodeAffinity,InterPodAffinity", 0.0)}


def test_where_watts_had_no_part_there_are_none_in_it() -> None:
    nodes = [node(f"worker-{i}", labels={ZONE: zone}) for i, zone in enumerate("ab")]
    said = records(ledger(*nodes), affinity=liking("b"))
    assert set(said.values()) == {(None, None), ("NodeAffinity", None)}


def test_the_runner_up_is_the_cheapest_of_the_others_and_of_equals_the_one_liked_best() -> None:
    known = cluster("a", "b", "c", "b", uses=(0.1, 0.3, 0.3, 0.2))
    seen = {decide(web(i, affinity=liking("b")), known, tolerance=0.0).runner_up for i in PODS}
    assert seen == {"worker-3"}
    known = cluster("a", "b", "c", "c", uses=(0.1, 0.3, 0.3, 0.3))
    assert {decide(web(i, affinity=liking("b")), known).runner_up for i in PODS} == {"worker-1"}


# --- no ties, no preferences ------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0.0, 0.8), min_size=2, max_size=6),
    st.lists(st.integers(0, 5), max_size=6),
    st.sampled_from(["a", "b"]),
)
def test_where_nothing_is_tied_the_decision_is_the_one_without_preferences(
    uses: list[float], webs: list[int], zone: str
) -> None:
    there = tuple(running("web", on % len(uses), f"web-{n}") for n, on in enumerate(webs))
    known = cluster(*("ab"[i % 2] for i in range(len(uses))), uses=tuple(uses), there=there)
    known.observe_node(node("worker-0", labels={ZONE: "a"}, taints=[taint(effect="PreferNoSchedule")]))
    wishes = liking(zone) | preferring("podAntiAffinity", "web")
    with_wishes = decide(web(affinity=wishes, topologySpreadConstraints=evenly(ZONE)), known)
    plain = decide(web(tolerations=[{"operator": "Exists"}]), known)
    if abs((plain.runner_up_jump_watts or 0.0) - (plain.jump_watts or 0.0)) <= SAME_COST:
        return
    assert (with_wishes.node, with_wishes.preferences) == (plain.node, ())


# --- what people are told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "extra", "words"),
    [
        ((), None, ""),
        (("NodeAffinity",), 0.0, "; NodeAffinity prefers it"),
        (("NodeAffinity", "InterPodAffinity"), 0.204, "; NodeAffinity and InterPodAffinity prefer it, at +0.20 W"),
        (("TaintToleration",), None, "; TaintToleration prefers it"),
    ],
    ids=["none", "a tie", "two, for watts", "no watts"],
)
def test_explain_says_what_was_preferred(names: tuple[str, ...], extra: float | None, words: str) -> None:
    decision = Decision(read(pod()), "peaks", 2, 2, "a", 4.31, "b", 4.4, preferences=names, preference_watts=extra)
    assert (
        headline(Answer(decision.pod, "default/web-0", decision=decision))
        == f"default/web-0 -> a, +4.31 W (runner-up b, +4.40 W){words}"
    )


@pytest.mark.parametrize("output", ["json", "table"])
def test_explain_notes_an_annotation_that_it_cannot_use(output: str, tmp_path: Path) -> None:
    cluster_file = tmp_path / "cluster.yaml"
    cluster_file.write_text(yaml.safe_dump_all([node(), web(tolerance="lots")]))
    result = CliRunner().invoke(main, ["explain", "--all-pending", "--from", str(cluster_file), "--output", output])
    note = f"note: default/web-0: {TOLERANCE}: expected watts, 0 or more, such as \"2.5\"; got 'lots'"
    assert note in result.stderr.splitlines()
    assert (result.exit_code, "tolerance" in result.stdout) == (0, False)


def test_explain_goes_by_the_administrators_limit_too(tmp_path: Path) -> None:
    cluster_file, config = tmp_path / "cluster.yaml", tmp_path / "config.yaml"
    cluster_file.write_text(yaml.safe_dump_all([node(), web(tolerance="9")]))
    config.write_text("maxToleranceWatts: 2\ndecisionAnnotation: none")
    command = ["explain", "--all-pending", "--from", str(cluster_file), "--config", str(config)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert f"{TOLERANCE}: expected at most 2 W (maxToleranceWatts), which count; got '9'" in result.stderr
    assert "default/web-0 -> worker-1" in result.stdout


def test_the_daemon_warns_once_of_such_a_pod_and_says_it_with_the_decision(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    raw = web(tolerance="lots")

    async def scenario() -> None:
        stage = Stage(Api(raw), tuple(node(f"worker-{i}", unschedulable=True) for i in (1, 2)), now)
        async with stage.running():
            stage.sees(raw)
            await until(lambda: stage.queue.attempts("uid-default-web-0") == 1)
            stage.sees(*WORKERS)  # the second attempt binds it
            await until(lambda: not len(stage.queue))

    run_virtually(scenario())
    said = {record.getMessage(): record.__dict__ for record in caplog.records}
    assert [record.getMessage() for record in caplog.records].count("annotation not used") == 1
    assert said["annotation not used"]["text"] == said["bound"]["notUsed"]
    assert said["bound"]["notUsed"].startswith(f"{TOLERANCE}: expected watts")


def test_nothing_of_it_is_said_of_other_pods(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        stage = Stage(Api(web()), clock=now)
        async with stage.running():
            stage.sees(web())
            await until(lambda: not len(stage.queue))

    run_virtually(scenario())
    bound = next(record.__dict__ for record in caplog.records if record.getMessage() == "bound")
    assert "notUsed" not in bound
    assert (bound["preference"], bound["preferenceWatts"]) == (None, None)
