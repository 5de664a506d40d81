"""The strategies to compare with: kube-scheduler's scores to the point, turns, names, chance, and grams of CO2.

kube-scheduler's numbers are from its own tests (noderesources/least_allocated_test.go, 1.36) or worked out by hand from
its formulas; a cost is the points that are missing.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.scheduling.batching import any_strategy, plan_for_one
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
from tests.support.builders import NOW, Json, container, decide, ledger, node, place, pod, read, workers

LEAST, MOST = STRATEGIES["least-allocated"], STRATEGIES["most-allocated"]
ROUND_ROBIN, FIRST_COME, RANDOM = (STRATEGIES[name] for name in ("round-robin", "first-come", "random"))
CARBON = STRATEGIES["carbon"]


def costs(strategy_name: str, raw: Json, known: Ledger) -> list[float]:
    """In the order of the nodes."""
    return list(STRATEGIES[strategy_name].cost(read(raw), known.snapshot()))


# --- kube-scheduler -------------------------------------------------------------------------------------------------


def test_kube_schedulers_score_of_two_nodes_of_different_size() -> None:
    # LeastAllocated: (25 + 50) / 2 = 37 and (50 + 50) / 2 = 50, as in kube-scheduler's test.
    # BalancedAllocation: shares 3/4 and 5/10 deviate by 1/8, 87 points after 100 before: 50 + (50 + 87 - 100) / 2 = 68;
    # equal shares: 50 + (50 + 100 - 100) / 2 = 75
    known = ledger(node("node1", cpu="4000", memory="10000"), node("node2", cpu="6000", memory="10000"))
    raw = pod(cpu="3000", memory="5000")
    assert costs("least-allocated", raw, known) == [200 - 37 - 68, 200 - 50 - 75]


def test_what_runs_there_counts() -> None:
    # kube-scheduler's test: (40 + 75) / 2 = 57 and (40 + 50) / 2 = 45. Balance by hand: shares 6/10 and 5/20 deviate by
    # 0.175, 82 points; before 3/10 and 0: 85; 50 + (50 + 82 - 85) / 2 = 73. On node2 6/10 and 10/20: 95; before 3/10
    # and 5/20, 97 of 97.5: 50 + (50 + 95 - 97) / 2 = 74
    known = ledger(
        node("node1", cpu="10000", memory="20000"),
        node("node2", cpu="10000", memory="20000"),
        pod("one", cpu="3000", memory="0", node="node1"),
        pod("two", cpu="3000", memory="5000", node="node2"),
    )
    assert costs("least-allocated", pod(cpu="3000", memory="5000"), known) == [200 - 57 - 73, 200 - 45 - 74]


def test_a_container_that_requests_nothing_counts_as_a_tenth_of_a_core_and_200_mebibytes() -> None:
    # (4000 - 100) / 4000 = 97 points, (8192 - 200) / 8192 = 97; BalancedAllocation skips such pods. The second one
    # finds 95 and 95
    known = ledger(node(cpu="4", memory="8Gi"))
    assert costs("least-allocated", pod(), known) == [200 - 97]
    place(pod("first"), known, strategy=LEAST)
    assert costs("least-allocated", pod(), known) == [200 - 95]


def test_small_requests_are_given_back() -> None:
    known = ledger(node(cpu="4", memory="8Gi"))
    place(pod("first"), known)
    known.observe_node(node(cpu="4", memory="8Gi", pods="50"))
    known.observe_pod(pod("first"), gone=True)
    nodes = known.snapshot()
    assert (nodes.unasked_cpu.tolist(), nodes.unasked_memory.tolist()) == ([0], [0])


SMALL = 200 * 2**20


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"containers": [container(requests={"cpu": "1"})] * 2}, (0, 2 * SMALL), id="no memory twice"),
        pytest.param({"containers": [container(requests={"cpu": "0", "memory": "0"})]}, (0, 0), id="zeros count"),
        # the larger of 100m and what the init container takes; memory is what the container asks for
        pytest.param(
            {"containers": [container(requests={"memory": "1Gi"})], "initContainers": [container("init")]},
            (100, 0),
            id="an init container beside",
        ),
        pytest.param(
            {"containers": [container()], "resources": {"requests": {"cpu": "2"}}},
            (0, SMALL),
            id="cpu of the pod",
        ),
    ],
)
def test_what_is_counted_beside_the_requests(spec: Json, expected: tuple[int, int]) -> None:
    assert read(pod(**spec)).unasked == expected


def test_most_allocated_takes_the_fuller_node() -> None:
    # 75 and 50 points of node1, 62 together; 50 and 50 of node2
    known = ledger(node("node1", cpu="4000", memory="10000"), node("node2", cpu="6000", memory="10000"))
    assert costs("most-allocated", pod(cpu="3000", memory="5000"), known) == [100 - 62, 100 - 50]


def test_a_node_without_memory_is_scored_by_its_cpu_alone() -> None:
    # 75 points; a single resource is always in balance: 50 + (50 + 100 - 100) / 2
    known = ledger(node(cpu="4", memory="0"))
    assert costs("least-allocated", pod(cpu="1"), known) == [200 - 75 - 75]


def test_shares_that_differ_by_less_than_a_point_tie() -> None:
    there = [pod(f"web-{i}", cpu="1", memory="1Gi", node=f"worker-{i // 2}") for i in range(3)]
    known = ledger(*workers(2, cpu="1000", memory="1Ti"), *there)
    first, second = costs("least-allocated", pod(cpu="1", memory="1Gi"), known)
    assert first == second


@pytest.mark.parametrize("name", ["least-allocated", "most-allocated", "jump-upstream", "ecsched", "min-min"])
def test_a_request_beyond_any_number_of_64_bits_is_refused_and_not_an_error(name: str) -> None:
    known, raw = ledger(*workers(2)), pod(cpu="9e15", memory="9e18")
    strategy = plan_for_one(any_strategy(name), read(raw), known.snapshot())
    assert decide(raw, known, strategy=strategy).node is None
    assert np.isfinite(strategy.cost(read(raw), known.snapshot()) if not strategy.in_watts else 0.0).all()


# --- turns, names, chance -------------------------------------------------------------------------------------------


def test_round_robin_gives_every_node_its_turn_in_the_same_order() -> None:
    known = ledger(*workers(3))
    nodes = [place(pod(f"web-{i}", cpu="100m"), known, strategy=ROUND_ROBIN) for i in range(9)]
    assert set(nodes[:3]) == {"worker-0", "worker-1", "worker-2"}
    assert nodes[3:6] == nodes[:3] == nodes[6:]


def test_a_turn_stays_with_its_node_when_another_node_goes() -> None:
    known = ledger(*workers(3))
    for i, name in enumerate(("worker-2", "worker-0", "worker-1")):
        known.observe_pod(pod(f"web-{i}"))
        known.assume(f"uid-default-web-{i}", name)
    known.observe_node(node("worker-0"), gone=True)
    late = [place(pod(f"late-{i}"), known, strategy=ROUND_ROBIN) for i in range(3)]
    assert late == ["worker-2", "worker-1", "worker-2"]


def test_a_fork_has_its_own_turns() -> None:
    known = ledger(*workers(2))
    first = place(pod("first"), known, strategy=ROUND_ROBIN)
    other = known.fork()
    second = place(pod("second"), other, strategy=ROUND_ROBIN)
    assert place(pod("third"), other, strategy=ROUND_ROBIN) == first
    assert place(pod("fourth"), known, strategy=ROUND_ROBIN) == second != first


def test_a_full_node_misses_its_turn() -> None:
    known = ledger(node("small", cpu="1"), node("large"))
    nodes = [place(pod(f"web-{i}", cpu="1"), known, strategy=ROUND_ROBIN) for i in range(4)]
    assert sorted(filter(None, nodes)) == ["large", "large", "large", "small"]


def test_first_come_fills_the_first_node_by_name_whenever_it_came() -> None:
    known = ledger(node("b", cpu="2"), node("c", cpu="2"), node("a", cpu="2"))
    nodes = [place(pod(f"web-{i}", cpu="1"), known, strategy=FIRST_COME) for i in range(7)]
    assert nodes == ["a", "a", "b", "b", "c", "c", None]


def test_a_node_that_comes_later_takes_its_place_by_name() -> None:
    known = ledger(node("b"), node("c"))
    assert decide(pod(), known, strategy=FIRST_COME).node == "b"
    known.observe_node(node("a"))
    assert decide(pod(), known, strategy=FIRST_COME).node == "a"
    known.observe_node(node("a"), gone=True)
    assert decide(pod(), known, strategy=FIRST_COME).node == "b"


def spread_of(seed: int) -> list[str | None]:
    known = ledger(*workers(4), seed=seed)
    return [decide(pod(f"web-{i}"), known, strategy=RANDOM).node for i in range(40)]


def test_random_uses_all_nodes_and_one_seed_gives_one_choice() -> None:
    assert set(spread_of(1)) == {"worker-0", "worker-1", "worker-2", "worker-3"}
    assert spread_of(1) == spread_of(1) != spread_of(2)


# --- carbon ---------------------------------------------------------------------------------------------------------

HOUR = 3600.0


def grid(**regions: float) -> Ledger:
    """Nodes of these names and intensities [gCO2/kWh], 8 cores each, 12.5 W a core."""
    known = ledger(*[node(name) for name in regions], power=Linear(100.0, 200.0), loads=dict.fromkeys(regions, 0.25))
    known.set_signal("carbonIntensity", regions, unit="gCO2/kWh", time=NOW)
    return known


def running_for(duration: str | None, **more: str) -> Json:
    return pod(cpu="1", annotations=None if duration is None else {"peaks-scheduler/expected-duration": duration})


def test_carbon_counts_grams_an_hour_and_takes_the_cleaner_grid() -> None:
    decision = decide(pod(cpu="1"), grid(clean=40.0, dirty=400.0), strategy=CARBON)
    # 12.5 W of a thousand, times 40 and 400 g/kWh
    assert (decision.node, decision.cost, decision.runner_up_cost) == ("clean", pytest.approx(0.5), pytest.approx(5.0))
    assert (decision.cost_unit, decision.jump_watts) == ("gCO2/h", pytest.approx(12.5))


def test_a_node_whose_grid_is_not_known_comes_last() -> None:
    known = grid(dirty=900.0)
    known.observe_node(node("unknown"))
    known.apply_load({"unknown": known.load_of("dirty")}, NOW)  # type: ignore[dict-item]
    assert math.isnan(dict(zip(known.snapshot().names, costs("carbon", pod(cpu="1"), known), strict=True))["unknown"])
    assert decide(pod(cpu="1"), known, strategy=CARBON).node == "dirty"


@pytest.mark.parametrize(
    ("duration", "mean"),
    [
        pytest.param(None, 50.0, id="no duration: now"),
        pytest.param("30m", 100.0, id="within the first hour: its mean"),
        # the first hour has 100 g, the next five (6 * 200 - 100) / 5 = 220 g each: (100 + 2 * 220) / 3
        pytest.param("3h", 180.0, id="three hours"),
        pytest.param("6h", 200.0, id="six hours"),
        # 6 * 200 g, then (24 * 150 - 1200) / 18 = 133.3 g each: (1200 + 9 * 133.33) / 15
        pytest.param("15h", 160.0, id="fifteen hours"),
        pytest.param("100h", 150.0, id="beyond what is known: the longest mean"),
    ],
)
def test_over_the_expected_life_the_mean_counts(duration: str | None, mean: float) -> None:
    known = grid(worker=50.0)
    for horizon, value in (("1h", 100.0), ("6h", 200.0), ("24h", 150.0)):
        known.set_signal(f"carbonIntensity/{horizon}", {"worker": value}, unit="gCO2/kWh", time=NOW)
    assert costs("carbon", running_for(duration), known) == [pytest.approx(12.5 / 1000 * mean)]


def test_a_horizon_that_is_not_known_is_passed_over() -> None:
    known = grid(worker=50.0)
    assert costs("carbon", running_for("3h"), known) == [pytest.approx(12.5 / 1000 * 50.0)]
    known.set_signal("carbonIntensity/6h", {"worker": 200.0}, unit="gCO2/kWh", time=NOW)
    assert costs("carbon", running_for("3h"), known) == [pytest.approx(12.5 / 1000 * 200.0)]


def life(text: object) -> Pod:
    return read(pod(annotations={"peaks-scheduler/expected-duration": text}))


def test_the_expected_duration_of_a_pod_is_read_from_its_annotation() -> None:
    assert life("2h").expected_life == 7200.0
    assert life("1h30m").expected_life == 5400.0
    assert read(pod()).expected_life is None


@pytest.mark.parametrize("text", ["2", "soon", "-1h", "0s", "2d", "", 7200, "9" * 200 + "h"])
def test_a_duration_that_cannot_be_read_is_told_and_not_used(text: object) -> None:
    found = life(text)
    assert found.expected_life is None
    assert found.oddities[0].startswith("peaks-scheduler/expected-duration: expected a duration with its unit")


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("peaks", "envelope", "jump")])
def test_costs_of_a_cluster_without_models_load_and_signals_are_finite_or_nan(name: str) -> None:
    found = costs(name, pod(), ledger(*workers(3)))
    assert len(found) == 3
    assert not np.isinf(found).any()
