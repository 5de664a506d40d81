"""The whole decision: which feasible node is taken, by watts and rank; an unknown use is never an advantage."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import NodeVerdict
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from peaks_scheduler.scheduling.selection import SAME_COST
from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    BENT_DOWN,
    BENT_UP,
    ENVELOPE,
    JUMP,
    NOW,
    PEAKS,
    Json,
    decide,
    ledger,
    load,
    models,
    node,
    place,
    pod,
    read,
    workers,
)

Curve = tuple[float, float, float]
BOTH_WAYS = pytest.mark.parametrize("curve", [BENT_DOWN, BENT_UP], ids=["k2<0", "k2>0"])


def verdicts(raw: Json, known: Ledger) -> dict[str, NodeVerdict]:
    return judge(read(raw), known.snapshot(), PEAKS)


# --- watts ----------------------------------------------------------------------------------------


@BOTH_WAYS
def test_the_pod_goes_where_power_rises_least(curve: Curve) -> None:
    uses = {"worker-0": 0.1, "worker-1": 0.6, "worker-2": 0.3}
    power = Exponential(*curve)
    rises = {name: power.watts(u + 1 / 8) - power.watts(u) for name, u in uses.items()}
    best, second, _ = sorted(rises, key=rises.__getitem__)
    decision = decide(pod(cpu="1"), ledger(*workers(3), power=curve, loads=uses), strategy=JUMP)
    assert (decision.node, decision.runner_up) == (best, second)
    assert decision.jump_watts == pytest.approx(rises[best])
    assert decision.runner_up_jump_watts == pytest.approx(rises[second])
    assert [decision.cpu_before, decision.cpu_after] == pytest.approx([uses[best], uses[best] + 1 / 8])


def test_a_node_that_does_not_fit_is_no_choice_however_cheap() -> None:
    known = ledger(
        node("cheap", cpu="8", unschedulable=True), node("dear"), power=models(cheap=(1.0, 0.1, 1.0), dear=BENT_UP)
    )
    decision = decide(pod(cpu="1"), known)
    assert (decision.node, decision.runner_up, decision.feasible, decision.total) == ("dear", None, 1, 2)


def test_the_record_says_what_the_node_is_by() -> None:
    known = ledger(*workers(1), power=BENT_UP, loads={"worker-0": load(0.2, age=40.0)})
    decision = decide(pod(cpu="1"), known)
    assert (decision.standing, decision.load_age, decision.model, decision.strategy) == ("measured", 40.0, "*", "peaks")


def test_a_node_never_measured_has_no_age() -> None:
    decision = decide(pod(cpu="1"), ledger(node(), power=BENT_UP))
    assert (decision.standing, decision.load_age) == ("estimated", None)


# --- unknown use ----------------------------------------------------------------------------------


def rank(verdict: NodeVerdict) -> tuple[int, float]:
    order = {"measured": 0, "estimated": 0, "unmodelled": 1, "over-full": 2}[verdict.standing or ""]
    return order, (verdict.jump_watts or 0.0) if order == 0 else (verdict.cpu_after or 0.0)


use = st.floats(0.0, 1.0)
bends = st.sampled_from([BENT_DOWN, BENT_UP])


@given(bends, use, st.integers(0, 8000), st.integers(1, 2000))
def test_a_node_whose_load_went_stale_never_ranks_before_its_equal(
    curve: Curve, cpu: float, asked: int, wanted: int
) -> None:
    there = [pod(name, cpu=f"{asked}m", node=name, started=0.0) for name in ("fresh", "stale")]
    loads = {"fresh": load(cpu), "stale": load(cpu, age=3600.0)}
    known = ledger(node("fresh", pods="200"), node("stale"), *there, power=curve, loads=loads)
    raw = pod(cpu=f"{wanted}m")
    seen = {name: v for name, v in verdicts(raw, known).items() if v.feasible}
    if len(seen) < 2:
        return
    assert rank(seen["stale"]) >= (rank(seen["fresh"])[0], rank(seen["fresh"])[1] - SAME_COST)
    if rank(seen["stale"])[1] > rank(seen["fresh"])[1] + SAME_COST:
        assert decide(raw, known).node == "fresh"


@given(bends, use, st.integers(0, 8000), st.integers(1, 2000))
def test_nor_does_one_that_was_never_heard_of(curve: Curve, share: float, asked: int, wanted: int) -> None:
    # an equal node is measured at any use, whatever its pods request
    there = [pod(name, cpu=f"{asked}m", node=name, started=0.0) for name in ("known", "silent")]
    known = ledger(node("known"), node("silent"), *there, power=curve, loads={"known": share})
    raw = pod(cpu=f"{wanted}m")
    if share + wanted / 8000 > 1.0:
        return  # the one is known to be full
    seen = {name: v for name, v in verdicts(raw, known).items() if v.feasible}
    if len(seen) < 2:
        return
    # equal costs may differ in their last digits
    assert rank(seen["silent"]) >= (rank(seen["known"])[0], rank(seen["known"])[1] * (1 - 1e-12) - 1e-12)


@pytest.mark.parametrize("strategy", [ENVELOPE, JUMP], ids=lambda each: each.name)
@BOTH_WAYS
def test_a_node_that_nobody_has_seen_does_not_beat_its_equal_measured_at_41_percent(
    curve: Curve, strategy: Strategy
) -> None:
    little = pod("little", cpu="100m", node="silent", started=0.0)
    for wanted in ("100m", "1", "4"):
        known = ledger(node("known"), node("silent"), little, power=curve, loads={"known": 0.41})
        decision = decide(pod(cpu=wanted), known, strategy=strategy)
        silent = judge(read(pod(cpu=wanted)), known.snapshot(), strategy)["silent"]
        assert decision.jump_watts is not None
        assert silent.jump_watts is not None
        # on the line that a concave curve has for an envelope both cost the same
        assert silent.jump_watts >= decision.jump_watts - 1e-9
        if silent.jump_watts > decision.jump_watts + 1e-9:
            assert decision.node == "known"


def test_where_no_node_was_ever_measured_requests_decide() -> None:
    there = pod("there", cpu="4", node="worker-0", started=0.0)
    for strategy, expected in ((ENVELOPE, "worker-1"), (JUMP, "worker-1")):
        assert decide(pod(cpu="1"), ledger(*workers(2), there, power=BENT_UP), strategy=strategy).node == expected


def test_of_nodes_that_nobody_has_seen_the_one_with_fewer_requests_is_taken() -> None:
    # there is a measured node, but it has no room
    there = [pod("full", cpu="8", node="worker-0", started=0.0), pod("there", cpu="4", node="worker-1", started=0.0)]
    known = ledger(*workers(3), *there, power=BENT_UP, loads={"worker-0": 0.5})
    assert {decide(pod(f"p-{i}", cpu="1"), known).node for i in range(8)} == {"worker-2"}


@BOTH_WAYS
def test_measured_and_estimated_nodes_compete_in_watts(curve: Curve) -> None:
    # an unmeasured node that draws little beats a measured one that draws much
    k0, k1, k2 = curve
    known = ledger(*workers(2), power=models(worker_0=(k0, 10 * k1, k2), worker_1=curve) if k1 > 0 else
                   models(worker_0=(10 * k0, 10 * k1, k2), worker_1=curve), loads={"worker-0": 0.1})  # fmt: skip
    decision = decide(pod(cpu="1"), known)
    assert (decision.node, decision.standing) == ("worker-1", "estimated")


def test_a_silent_idle_node_is_no_bargain_on_a_concave_curve() -> None:
    # the original plugin scores an unmeasured node as if it drew nothing; here its first step is the most expensive
    known = ledger(*workers(2), power=BENT_DOWN, loads={"worker-0": 0.5})
    assert decide(pod(cpu="1"), known, strategy=JUMP).node == "worker-0"


# --- ranks ----------------------------------------------------------------------------------------


def test_unmodelled_nodes_come_behind_all_others_and_overfull_ones_last() -> None:
    nodes = [node("dear"), node("blind"), node("blind-and-fuller"), node("full")]
    loads = {"dear": 0.8, "blind": 0.1, "blind-and-fuller": 0.2, "full": 0.95}
    known = ledger(*nodes, power=models(dear=(0.0, 50.0, 5.0), full=(1.0, 0.001, 0.1)), loads=loads)
    order = []
    for _ in nodes:
        chosen = decide(pod(cpu="1"), known)
        order.append((chosen.node, chosen.standing))
        known.observe_node(node(str(chosen.node), unschedulable=True))
    assert order == [
        ("dear", "measured"),
        ("blind", "unmodelled"),
        ("blind-and-fuller", "unmodelled"),
        ("full", "over-full"),
    ]


def test_the_runner_up_may_be_of_another_rank() -> None:
    known = ledger(node("a"), node("b"), power=models(a=BENT_UP), loads={"a": 0.1, "b": 0.1})
    decision = decide(pod(cpu="1"), known)
    assert (decision.node, decision.runner_up, decision.runner_up_jump_watts) == ("a", "b", None)


def test_of_overfull_nodes_the_one_that_ends_least_full_is_taken() -> None:
    known = ledger(*workers(3), power=BENT_UP, loads={"worker-0": 0.99, "worker-1": 0.95, "worker-2": 1.0})
    decision = decide(pod(cpu="1"), known)
    assert (decision.node, decision.standing, decision.runner_up) == ("worker-1", "over-full", "worker-0")


def test_a_node_is_full_at_100_percent_and_not_before() -> None:
    known = ledger(node(), power=BENT_UP, loads={"worker-1": 0.875})
    assert decide(pod(cpu="1"), known).standing == "measured"
    assert decide(pod(cpu="1001m"), known).standing == "over-full"


def test_a_new_node_is_not_starved_for_ever() -> None:
    # it was never measured and its first step is the most expensive: it is taken when the others are full
    known = ledger(*workers(3), node("new"), power=BENT_DOWN, loads={f"worker-{i}": 0.5 for i in range(3)})
    placed = [place(pod(f"p{i}", cpu="1"), known, strategy=JUMP) for i in range(13)]
    assert Counter(placed) == {"worker-0": 4, "worker-1": 4, "worker-2": 4, "new": 1}
    assert placed[-1] == "new"


def test_without_any_load_scheduling_goes_on_by_estimates() -> None:
    known = ledger(*workers(3), power=BENT_UP)
    placed = Counter(place(pod(f"p{i}", cpu="1"), known) for i in range(24))
    assert placed == {"worker-0": 8, "worker-1": 8, "worker-2": 8}


def test_without_any_model_it_goes_on_by_use() -> None:
    known = ledger(*workers(3), loads={"worker-0": 0.5, "worker-1": 0.2, "worker-2": 0.4})
    decision = decide(pod(cpu="1"), known)
    assert (decision.node, decision.jump_watts, decision.runner_up) == ("worker-1", None, "worker-2")


# --- ties -----------------------------------------------------------------------------------------


def choices(seed: int = 0, count: int = 400, width: int = 8) -> list[str | None]:
    """Nodes of ``count`` pods among equal nodes. Nothing is assumed, so all nodes stay equal."""
    known = ledger(*workers(width), power=BENT_UP, seed=seed)
    return [decide(pod(cpu="1", uid=f"uid-{i}"), known).node for i in range(count)]


def test_a_tie_is_not_broken_by_name_or_place() -> None:
    counts = Counter(choices())
    # 50 each on average; 400 fair draws leave 25..80 once in 100,000 runs, and these are always the same
    assert len(counts) == 8
    assert min(counts.values()) > 25
    assert max(counts.values()) < 80


def test_it_is_broken_the_same_way_again() -> None:
    assert choices() == choices()


def test_and_whatever_the_order_in_which_nodes_were_seen() -> None:
    nodes = workers(8)
    forth, back = ledger(*nodes, power=BENT_UP), ledger(*reversed(nodes), power=BENT_UP)
    raws = [pod(cpu="1", uid=f"uid-{i}") for i in range(50)]
    assert [decide(raw, forth).node for raw in raws] == [decide(raw, back).node for raw in raws]


def test_two_schedulers_of_different_seeds_do_not_run_after_each_other() -> None:
    # 50 of 400 pods get the same node by chance
    same = sum(a == b for a, b in zip(choices(seed=1), choices(seed=2), strict=True))
    assert 20 < same < 90


def test_a_pod_that_comes_again_is_another_pod() -> None:
    known = ledger(*workers(8), power=BENT_UP)
    assert len({decide(pod(cpu="1", uid=f"life-{i}"), known).node for i in range(20)}) > 3


def test_within_the_tolerance_watts_are_tied() -> None:
    known = ledger(*workers(8), power=BENT_UP, loads={f"worker-{i}": 0.1 + 0.001 * i for i in range(8)})
    raws = [pod(cpu="1", uid=f"uid-{i}") for i in range(100)]
    assert {decide(raw, known).node for raw in raws} == {"worker-0"}
    # the first four are within 0.05 W of the best: 20*2*exp(0.2)*expm1(0.25)*0.001*n is 0.0139*n
    jumps = [v.jump_watts or 0.0 for v in verdicts(pod(cpu="1"), known).values()]
    near = {f"worker-{i}" for i, watts in enumerate(jumps) if watts <= jumps[0] + 0.05}
    assert 1 < len(near) < 8
    assert {decide(raw, known, tolerance=0.05).node for raw in raws} == near


def test_the_runner_up_is_the_cheapest_of_the_others_whatever_the_tolerance() -> None:
    known = ledger(*workers(4), power=BENT_UP, loads={f"worker-{i}": 0.1 + 0.001 * i for i in range(4)})
    decisions = [decide(pod(cpu="1", uid=f"uid-{i}"), known, tolerance=1.0) for i in range(50)]
    assert {(d.node != "worker-0", d.runner_up) for d in decisions} == {(True, "worker-0"), (False, "worker-1")}


def test_the_runner_up_is_never_the_chosen_one() -> None:
    known = ledger(*workers(3), power=BENT_UP)
    decisions = [decide(pod(cpu="1", uid=f"uid-{i}"), known) for i in range(50)]
    assert all(d.node != d.runner_up and d.runner_up is not None for d in decisions)


# --- every node's answer --------------------------------------------------------------------------


def test_the_decision_is_the_best_of_the_verdicts() -> None:
    loads = {f"worker-{i}": 0.1 * i for i in range(8)}
    known = ledger(*workers(8), power=BENT_UP, loads=loads)
    raw = pod(cpu="2")
    ranked = sorted(verdicts(raw, known).items(), key=lambda item: rank(item[1]))
    decision = decide(raw, known)
    assert [decision.node, decision.runner_up] == [name for name, _ in ranked[:2]]
    assert all(rank(a[1]) <= rank(b[1]) for a, b in pairwise(ranked))


def test_a_refused_node_says_why_and_has_no_price() -> None:
    verdict = verdicts(pod(cpu="9"), ledger(node(), power=BENT_UP))["worker-1"]
    assert (verdict.feasible, verdict.reasons, verdict.standing, verdict.jump_watts) == (
        False,
        ("Insufficient cpu",),
        None,
        None,
    )


def test_a_reason_found_before_any_node_is_looked_at_is_every_nodes_only_reason() -> None:
    known = ledger(*workers(2, unschedulable=True))
    seen = verdicts(pod(cpu="99", resourceClaims=[{}]), known)
    assert [v.reasons for v in seen.values()] == [("spec.resourceClaims: not honoured by this scheduler",)] * 2


def test_the_age_of_a_load_is_told_at_the_time_of_the_decision() -> None:
    known = ledger(node(), power=BENT_UP, loads={"worker-1": load(0.1)})
    assert decide(pod(), known, now=NOW + 7.0).load_age == 7.0


# --- nodes to avoid -------------------------------------------------------------------------------

CHEAP_AND_DEAR = models(cheap=(100.0, 1.0, 1.0), dear=BENT_UP)


def avoiding(known: Ledger, *names: str) -> tuple[str | None, str | None]:
    decision = schedule(read(pod(cpu="1")), known.snapshot(), PEAKS, now=NOW, avoid=names)
    return decision.node, decision.runner_up


def test_a_node_to_avoid_ranks_behind_all_others_and_is_taken_when_it_is_the_only_one() -> None:
    known = ledger(node("cheap"), node("dear"), node("unknown"), power=CHEAP_AND_DEAR)
    assert avoiding(known) == ("cheap", "dear")
    assert avoiding(known, "cheap") == ("dear", "unknown")
    assert avoiding(known, "cheap", "unknown", "no-such-node") == ("dear", "cheap")
    assert avoiding(ledger(node("cheap"), power=CHEAP_AND_DEAR), "cheap") == ("cheap", None)
