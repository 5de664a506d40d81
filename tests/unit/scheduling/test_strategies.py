"""What the author of a strategy can rely on: costs in any unit, hooks that tell nodes apart, and the usual record.

The strategies here are in points and a few lines long. Nothing else in the program knows them.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.commands.explain.answer import Answer
from peaks_scheduler.commands.explain.answer_table import as_table, headline
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.annotations import TOLERANCE
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import ANNOTATION_BYTES, Decision
from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy
from peaks_scheduler.scheduling.verdicts import judge
from tests.support.builders import (
    BENT_UP,
    JUMP,
    Json,
    decide,
    ledger,
    models,
    node,
    node_liking,
    pod,
    read,
    workers,
)

PODS = range(30)
"""So many that the hash alone would hardly send all of them to one of two nodes."""


def free_pods(pod: Pod, nodes: Snapshot) -> Floats:
    """Minus one point for every pod that the node has room for."""
    return -nodes.free[nodes.rows["pods"]].astype(np.float64)


POINTS = Strategy("roomiest", "the pods that a node has", free_pods, unit="points")


def cluster(*rooms: int) -> Ledger:
    """worker-0, worker-1, ... with room for so many pods. All have power models; worker-0 draws least."""
    nodes = [node(f"worker-{i}", pods=str(room)) for i, room in enumerate(rooms)]
    curves = {f"worker_{i}": (100.0, 10.0 * (i + 1), 2.0) for i in range(len(rooms))}
    loads = {f"worker-{i}": 0.25 for i in range(len(rooms))}
    return ledger(*nodes, power=models(None, **curves), loads=loads)


def taken(known: Ledger, strategy: Strategy, tolerance: float = 0.0, **more: object) -> set[str | None]:
    """The nodes of many such pods, each decided alone."""
    raws = [pod(f"web-{i}", cpu="1", **more) for i in PODS]  # type: ignore[arg-type]
    return {decide(raw, known, strategy=strategy, tolerance=tolerance).node for raw in raws}


# --- a strategy in points ---------------------------------------------------------------------------------------------


def test_a_strategy_in_points_decides_by_its_points() -> None:
    decision = decide(pod(cpu="1"), cluster(10, 30, 20), strategy=POINTS)
    assert (decision.node, decision.runner_up) == ("worker-1", "worker-2")
    assert (decision.cost, decision.runner_up_cost, decision.cost_unit) == (-30.0, -20.0, "points")


def test_its_record_has_the_cost_in_its_unit_and_the_watts_that_the_node_is_expected_to_draw() -> None:
    known = cluster(10, 30, 20)
    record = json.loads(decide(pod(cpu="1"), known, strategy=POINTS).annotation())
    assert (record["strategy"], record["cost"], record["runnerUpCost"], record["costUnit"]) == (
        "roomiest", -30.0, -20.0, "points",
    )  # fmt: skip
    # k1 * exp(2u) * expm1(2/8), u = 0.25, k1 = 20 and 30: as strategy jump has it
    assert (record["jumpWatts"], record["runnerUpJumpWatts"]) == (9.365575, 14.048362)
    assert (record["riseWatts"], record["jumpErrorWatts"], record["standing"]) == (9.365575, None, "measured")


def test_the_record_of_a_strategy_in_watts_has_no_cost_beside_the_jump() -> None:
    decision = decide(pod(cpu="1"), cluster(10, 30), strategy=JUMP)
    assert (decision.cost, decision.cost_unit) == (decision.jump_watts, "watts")
    assert {"cost", "runnerUpCost", "costUnit"} & set(decision.record()) == set()


def test_the_short_record_is_the_same_for_every_unit() -> None:
    decision = decide(pod(cpu="1"), cluster(10, 30), strategy=POINTS)
    assert list(json.loads(decision.annotation("short"))) == ["node", "jumpWatts", "standing", "preference"]


def test_the_longest_record_with_a_cost_still_fits_into_the_annotation() -> None:
    longest = Decision(
        read(pod()), "grid-intensity", 10**6, 10**6, "n" * 253, -1e8 / 3, "r" * 253, -1e8 / 3, 1e8 / 3, 1e8 / 3,
        "above-ceiling", 1e8 / 3, "k" * 500, "learned", 1e8 / 3, 1e8 / 3, False,
        tuple(each.name for each in PREFERENCES), 1e8 / 3, None, -1e8 / 3, -1e8 / 3, "grams of CO2",
    )  # fmt: skip
    annotation = longest.annotation()
    assert len(annotation.encode()) <= ANNOTATION_BYTES
    assert json.loads(annotation)["costUnit"] == "grams of CO2"


def test_a_node_without_a_power_model_competes_where_it_has_a_cost() -> None:
    known = ledger(node("modelled", pods="10"), node("blind", pods="20"), power=models(modelled=BENT_UP))
    decision = decide(pod(cpu="1"), known, strategy=POINTS)
    assert (decision.node, decision.standing, decision.jump_watts) == ("blind", "estimated", None)


def test_a_node_without_a_cost_comes_behind_all_that_have_one() -> None:
    def odd(pod: Pod, nodes: Snapshot) -> Floats:
        return np.where(np.arange(len(nodes)) == 1, np.nan, free_pods(pod, nodes))

    known = cluster(10, 30, 20)
    strategy = Strategy("odd", "points of some nodes", odd, unit="points")
    assert decide(pod(cpu="1"), known, strategy=strategy).node == "worker-2"
    assert judge(read(pod(cpu="1")), known.snapshot(), strategy)["worker-1"].standing == "unmodelled"


def test_ceilings_and_filters_hold_for_every_unit() -> None:
    known = ledger(*workers(2), node("roomy", pods="500"), power=BENT_UP, loads={"roomy": 0.99})
    assert taken(known, POINTS) == {"worker-0", "worker-1"}
    known.observe_node(node("worker-0", unschedulable=True))
    assert taken(known, POINTS) == {"worker-1"}


# --- ties -------------------------------------------------------------------------------------------------------------


def test_equal_points_are_tied_and_shared_by_the_hash() -> None:
    assert taken(cluster(20, 20, 10), POINTS) == {"worker-0", "worker-1"}


def test_preferences_decide_among_equal_points_and_cost_no_watts() -> None:
    known = cluster(20, 20)
    known.observe_node(node("worker-1", pods="20", labels={"disk": "ssd"}))
    assert taken(known, POINTS, affinity=node_liking("disk", "ssd")) == {"worker-1"}
    decisions = [decide(pod(f"w-{i}", affinity=node_liking("disk", "ssd")), known, strategy=POINTS) for i in PODS]
    assert {each.preference_watts for each in decisions} == {None}
    assert {each.preferences for each in decisions} == {(), ("NodeAffinity",)}


def test_a_tolerance_in_watts_ties_no_points() -> None:
    known = cluster(20, 19)
    assert taken(known, POINTS, tolerance=5.0) == {"worker-0"}
    assert taken(known, POINTS, annotations={TOLERANCE: "5"}) == {"worker-0"}
    in_watts = Strategy("same", "the same numbers, called watts", free_pods)
    assert taken(known, in_watts, tolerance=5.0) == {"worker-0", "worker-1"}


def test_the_tie_break_of_a_strategy_tells_equal_costs_apart() -> None:
    def last(pod: Pod, nodes: Snapshot, tied: Ints) -> Floats:
        return tied.astype(np.float64)

    strategy = Strategy("last", "the same points", free_pods, unit="points", tie_break=last)
    assert taken(cluster(20, 20, 20), strategy) == {"worker-2"}
    assert taken(cluster(21, 20, 20), strategy) == {"worker-0"}


def test_preferences_may_choose_among_nodes_that_the_strategy_calls_indistinct() -> None:
    def within_two(pod: Pod, nodes: Snapshot, cost: Floats, best: int) -> Ints:
        return np.flatnonzero(cost <= cost[best] + 2.0)

    known = cluster(20, 19, 15)
    for i in (1, 2):
        known.observe_node(node(f"worker-{i}", pods=("19", "15")[i - 1], labels={"disk": "ssd"}))
    vague = Strategy("vague", "points, roughly", free_pods, unit="points", indistinct=within_two)
    assert taken(known, POINTS, affinity=node_liking("disk", "ssd")) == {"worker-0"}
    assert taken(known, vague, affinity=node_liking("disk", "ssd")) == {"worker-1"}
    assert taken(known, vague) == {"worker-0"}  # without a preference the lower cost is the best guess


def test_the_error_that_the_record_tells_is_the_strategys() -> None:
    def error(pod: Pod, nodes: Snapshot, i: int) -> float | None:
        return 0.5 + i

    known = cluster(10, 30)
    told = Strategy("told", "watts with an error", free_pods, error=error)
    assert decide(pod(cpu="1"), known, strategy=told).record()["jumpErrorWatts"] == 1.5
    points = Strategy("points", "points with an error", free_pods, unit="points", error=error)
    assert decide(pod(cpu="1"), known, strategy=points).record()["jumpErrorWatts"] is None


# --- what people see --------------------------------------------------------------------------------------------------


def explained(raw: Json, known: Ledger, strategy: Strategy) -> Answer:
    found, nodes = read(raw), known.snapshot()
    return Answer(found, found.key, None, decide(raw, known, strategy=strategy), judge(found, nodes, strategy))


def test_explain_tells_the_cost_in_the_strategys_unit() -> None:
    answer = explained(pod(cpu="1"), cluster(10, 30, 20), POINTS)
    assert headline(answer) == "default/web-0 -> worker-1, -30.00 points (runner-up worker-2, -20.00 points)"
    _, header, *lines = as_table([answer]).splitlines()
    assert header.split()[:3] == ["node", "standing", "cost"]
    assert [line.split()[0] for line in lines] == ["worker-1", "worker-2", "worker-0"]
    told = answer.as_json()["nodes"]["worker-2"]
    assert (told["cost"], told["costUnit"], told["jumpWatts"]) == (-20.0, "points", pytest.approx(14.048362))


@pytest.mark.parametrize("name", ["peaks", "envelope", "jump"])
def test_the_strategies_by_power_models_are_in_watts(name: str) -> None:
    assert STRATEGIES[name].in_watts


IN_WATTS = {name: strategy for name, strategy in STRATEGIES.items() if strategy.in_watts}


@pytest.mark.parametrize("strategy", IN_WATTS.values(), ids=IN_WATTS)
def test_strategies_in_watts_know_their_errors(strategy: Strategy) -> None:
    assert strategy.error is not None
    assert strategy.indistinct is not None
