"""Batch strategies against every possibility on tiny clusters: which pod comes next, and where it goes."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES, BatchStrategy, any_strategy, plan_for_one
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
from tests.support.builders import BENT_UP, NOW, Json, ledger, models, node, pod, read, workers

MIN_MIN, MAX_MIN, ECSCHED = (BATCH_STRATEGIES[name] for name in ("min-min", "max-min", "ecsched"))
EVERY = pytest.mark.parametrize("strategy", BATCH_STRATEGIES.values(), ids=BATCH_STRATEGIES)

Placed = list[tuple[str, str | None]]


def placed(strategy: BatchStrategy, raws: Sequence[Json], known: Ledger) -> Placed:
    """(pod, node) in the order of the decisions, each assumed before the next."""
    left, found = list(raws), []
    for raw in raws:
        known.observe_pod(raw)
    while left:
        plan = strategy.plan([read(raw) for raw in left], known.snapshot())
        assert plan
        for i, how in plan:
            decision = schedule(read(left[i]), known.snapshot(), how, now=NOW)
            assert decision.strategy == strategy.name
            found.append((decision.pod.name, decision.node))
            if decision.node is not None:
                known.assume(decision.pod.uid, decision.node)
        planned = {i for i, _ in plan}
        assert len(planned) == len(plan)
        left = [raw for i, raw in enumerate(left) if i not in planned]
    return found


# --- min-min and max-min --------------------------------------------------------------------------------------------

CORES = 8


def by_hand(cpus: list[int], k1: list[float], first: Callable[[list[float]], int]) -> Placed:
    """The rule on nodes of 8 cores of power k1 * exp(2 u / 8): it looks at every pair of pod and node each time."""
    use, left, found = [0] * len(k1), dict(enumerate(cpus)), []
    while left:
        best = {}
        for i, cpu in left.items():
            rise = [k * (math.exp((u + cpu) / 4) - math.exp(u / 4)) for k, u in zip(k1, use, strict=True)]
            best[i] = min((rise[j], j) for j in range(len(k1)) if use[j] + cpu <= CORES)
        pods = list(left)
        i = pods[first([best[each][0] for each in pods])]
        use[best[i][1]] += left.pop(i)
        found.append((f"pod-{i}", f"worker-{best[i][1]}"))
    return found


def smallest(values: list[float]) -> int:
    return values.index(min(values))


def largest(values: list[float]) -> int:
    return values.index(max(values))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("strategy", "first"), [(MIN_MIN, smallest), (MAX_MIN, largest)], ids=["min-min", "max-min"])
def test_the_order_and_the_nodes_are_those_of_the_rule(
    seed: int, strategy: BatchStrategy, first: Callable[[list[float]], int]
) -> None:
    rng = random.Random(seed)
    cpus, k1 = [rng.randint(1, 4) for _ in range(5)], [rng.uniform(10.0, 30.0) for _ in range(3)]
    curves = {f"worker_{j}": (100.0, each, 2.0) for j, each in enumerate(k1)}
    known = ledger(
        *workers(3, cpu=str(CORES)), power=models(None, **curves), loads={f"worker-{j}": 0.0 for j in range(3)}
    )
    raws = [pod(f"pod-{i}", cpu=str(cpu)) for i, cpu in enumerate(cpus)]
    assert placed(strategy, raws, known) == by_hand(cpus, k1, first)


def test_small_pods_come_first_in_min_min_and_last_in_max_min() -> None:
    raws = [pod(f"of-{cpu}", cpu=str(cpu)) for cpu in (2, 1, 3)]
    for strategy, order in ((MIN_MIN, ["of-1", "of-2", "of-3"]), (MAX_MIN, ["of-3", "of-2", "of-1"])):
        known = ledger(*workers(3), power=BENT_UP, loads={f"worker-{i}": 0.0 for i in range(3)})
        assert [name for name, _ in placed(strategy, raws, known)] == order


def test_equal_pods_keep_their_order() -> None:
    raws = [pod(f"pod-{i}", cpu="1") for i in (3, 1, 2)]
    for strategy in (MIN_MIN, MAX_MIN):
        known = ledger(*workers(4), power=BENT_UP, loads={f"worker-{i}": 0.0 for i in range(4)})
        assert [name for name, _ in placed(strategy, raws, known)] == ["pod-3", "pod-1", "pod-2"]


def test_a_node_above_its_ceiling_counts_only_where_none_is_left_below() -> None:
    # the cheap node is full to its ceiling: by the dear one the small pod costs less than the large one
    power = models(None, cheap=(100.0, 1.0, 2.0), dear=(100.0, 50.0, 2.0))
    known = ledger(
        node("cheap"), node("dear"), power=power, loads={"cheap": 0.5, "dear": 0.0}, ceiling=Ceiling(cpu=0.5)
    )
    raws = [pod("large", cpu="3"), pod("small", cpu="1")]
    assert placed(MIN_MIN, raws, known) == [("small", "dear"), ("large", "dear")]


# --- ecsched --------------------------------------------------------------------------------------------------------


def best_sum(wanted: list[tuple[int, int]], free: list[tuple[int, int]], sizes: tuple[int, int]) -> float:
    """The largest sum of dot products over all ways to give most pods a node of their own, one pod a node."""
    best = (0, 0.0)
    choices = [*range(len(free)), *([None] * len(wanted))]
    for nodes in set(itertools.permutations(choices, len(wanted))):
        pairs = [(p, j) for p, j in enumerate(nodes) if j is not None]
        if any(wanted[p][r] > free[j][r] for p, j in pairs for r in (0, 1)):
            continue
        total = sum(wanted[p][r] * free[j][r] / sizes[r] ** 2 for p, j in pairs for r in (0, 1))
        best = max(best, (len(pairs), total))
    return best[1]


@pytest.mark.parametrize("seed", range(8))
def test_the_first_round_is_the_best_of_all_assignments(seed: int) -> None:
    rng = random.Random(seed)
    free = [(rng.randint(1, 8), rng.randint(1, 16)) for _ in range(4)]
    wanted = [(rng.randint(1, 6), rng.randint(1, 12)) for _ in range(3)]
    known = ledger(*[node(f"worker-{j}", cpu=str(cpu), memory=str(gib)) for j, (cpu, gib) in enumerate(free)])
    raws = [pod(f"pod-{i}", cpu=str(cpu), memory=str(gib)) for i, (cpu, gib) in enumerate(wanted)]
    sizes = (max(cpu for cpu, _ in free), max(gib for _, gib in free))
    plan = ECSCHED.plan([read(raw) for raw in raws], known.snapshot())
    chosen = [(i, schedule(read(raws[i]), known.snapshot(), how, now=NOW).node) for i, how in plan]
    pairs = [(i, int(name.removeprefix("worker-"))) for i, name in chosen if name is not None]
    assert len({j for _, j in pairs}) == len(pairs)
    total = sum(wanted[i][r] * free[j][r] / sizes[r] ** 2 for i, j in pairs for r in (0, 1))
    assert total == pytest.approx(best_sum(wanted, free, sizes), abs=1e-12)


def test_a_pod_of_much_memory_goes_where_memory_is_free_and_one_of_cpu_where_cpu_is() -> None:
    known = ledger(node("cores", cpu="16", memory="16Gi"), node("memory", cpu="8", memory="64Gi"))
    raws = [pod("cache", cpu="1", memory="8Gi"), pod("solver", cpu="6", memory="1Gi")]
    assert dict(placed(ECSCHED, raws, known)) == {"cache": "memory", "solver": "cores"}


def test_more_pods_than_nodes_take_several_rounds_and_all_are_placed() -> None:
    known = ledger(*workers(2))
    raws = [pod(f"pod-{i}", cpu="1", memory="1Gi") for i in range(7)]
    found = placed(ECSCHED, raws, known)
    assert sorted(name for name, _ in found) == [f"pod-{i}" for i in range(7)]
    assert sorted(Counter(node for _, node in found).values()) == [3, 4]


# --- all of them ----------------------------------------------------------------------------------------------------


@EVERY
def test_a_pod_that_fits_nowhere_holds_up_no_other_and_is_told_why(strategy: BatchStrategy) -> None:
    known = ledger(*workers(2), power=BENT_UP, loads={"worker-0": 0.1, "worker-1": 0.1})
    found = placed(strategy, [pod("huge", cpu="100"), pod("a", cpu="1"), pod("b", cpu="1")], known)
    assert [name for name, _ in found][-1] == "huge"
    assert {name: node is not None for name, node in found} == {"huge": False, "a": True, "b": True}


@EVERY
def test_pods_with_fields_that_are_not_honoured_are_planned_and_refused(strategy: BatchStrategy) -> None:
    found = placed(strategy, [pod("odd", newField="x"), pod("plain")], ledger(*workers(1), power=BENT_UP))
    assert found == [("plain", "worker-0"), ("odd", None)]


@EVERY
def test_nodes_without_models_and_a_cluster_without_nodes_are_planned_for(strategy: BatchStrategy) -> None:
    raws = [pod("a", cpu="1"), pod("b", cpu="1")]
    assert {node for _, node in placed(strategy, raws, ledger(*workers(1)))} == {"worker-0"}
    assert {node for _, node in placed(strategy, raws, ledger())} == {None}


@EVERY
def test_a_lonely_pod_has_a_strategy_of_that_name(strategy: BatchStrategy) -> None:
    assert plan_for_one(strategy, read(pod(cpu="1")), ledger(*workers(2)).snapshot()).name == strategy.name
    assert plan_for_one(STRATEGIES["jump"], read(pod()), ledger(*workers(2)).snapshot()) is STRATEGIES["jump"]


def test_a_strategy_is_found_by_name_and_an_unknown_one_is_told_all_names() -> None:
    assert any_strategy("ecsched") is ECSCHED
    assert any_strategy("jump") is STRATEGIES["jump"]
    with pytest.raises(ConfigurationError, match=r"one of peaks, .*first-come, min-min.*got 'minmin' .*'min-min'"):
        any_strategy("minmin")
