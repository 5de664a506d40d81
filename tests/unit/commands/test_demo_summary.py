"""The demo's scenario, its replay and the table at the end: arithmetic that can be done by hand."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from peaks_scheduler.commands.demo.replay import (
    PodEnded,
    PodPlaced,
    least_allocated,
    recorded_placements,
    replay,
    use_before,
)
from peaks_scheduler.commands.demo.scenario import GIB, KINDS, DemoNode, NodeKind, arrivals, demo_nodes, power_models
from peaks_scheduler.commands.demo.summary import cost_lines, rows, table_lines, why_lines
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.power.file import parse_models

# k2 = ln 2: watts = 2**u * 100, so 0 %, 50 % and 100 % are 100, 141.4 and 200 W
DOUBLING = NodeKind("doubling", 10, 40, Exponential(0.0, 100.0, float(np.log(2.0))))
FLAT = NodeKind("flat", 10, 40, Exponential(50.0, 0.0, 1.0))


def machine(name: str, kind: NodeKind = DOUBLING, resident: int = 0, memory: int = 0, own: float = 0.0) -> DemoNode:
    return DemoNode(name, kind, own, resident, memory)


def placed(pod: str, node: str = "", millicores: int = 1000, memory: int = GIB) -> PodPlaced:
    return PodPlaced(pod, millicores, memory, node)


def test_watts_follow_the_curve_of_each_node_and_stop_at_full_use() -> None:
    cluster = (
        machine("half", resident=5000),
        machine("own", own=10.0),
        machine("over", resident=99_000),
        machine("f", FLAT),
    )
    assert use_before(cluster).watts() == pytest.approx([100.0 * 2.0**0.5, 200.0, 200.0, 50.0])


def test_a_replay_puts_pods_where_they_were_put_and_lets_ended_ones_go() -> None:
    cluster = (machine("a"), machine("b", resident=1000))
    steps = [placed("p", "a"), placed("q", "b", 2000), PodEnded("p"), placed("r", "b")]
    after = replay(cluster, steps, recorded_placements(cluster))
    assert after.cores() == pytest.approx([0.0, 4.0])
    assert after.placed == Counter({"b": 2, "a": 1})


def test_a_replay_does_not_change_the_use_before() -> None:
    cluster = (machine("a"),)
    before = use_before(cluster)
    replay(cluster, [placed("p", "a")], recorded_placements(cluster))
    assert before.cores() == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        # free after the pod: (0.5 + 0.9)/2 against (0.9 + 0.7)/2
        ((machine("a", resident=4000, memory=3 * GIB), machine("b", resident=0, memory=11 * GIB)), "b"),
        # the busiest CPU wins if its memory is free enough: (0.4 + 0.95)/2 against (0.9 + 0.2)/2
        ((machine("a", resident=5000, memory=GIB), machine("b", resident=0, memory=31 * GIB)), "a"),
        # b has more room in the mean but no CPU left
        ((machine("a", resident=8000, memory=30 * GIB), machine("b", resident=9500)), "a"),
        # own use is nobody's request: kube-scheduler does not see it
        ((machine("a", resident=1000), machine("b", own=9.0)), "b"),
    ],
    ids=["freer mean", "memory counts", "must fit", "requests only"],
)
def test_least_allocated_takes_the_largest_mean_of_free_fractions(cluster: tuple[DemoNode, ...], expected: str) -> None:
    after = replay(cluster, [placed("p")], least_allocated(cluster))
    assert dict(after.placed) == {expected: 1}


def test_a_pod_that_fits_nowhere_is_counted_and_its_end_changes_nothing() -> None:
    cluster = (machine("a", resident=9500),)
    after = replay(cluster, [placed("p"), PodEnded("p")], least_allocated(cluster))
    assert (after.unplaced, after.cores()[0]) == (1, pytest.approx(9.5))


def test_rows_sum_by_kind_and_over_all() -> None:
    cluster = (machine("a"), machine("b", FLAT), machine("c", resident=5000))
    after = replay(cluster, [placed("p", "a", 5000), placed("q", "b")], recorded_placements(cluster))
    doubling, flat, everything = rows(use_before(cluster), after)
    assert (doubling.kind, doubling.nodes, doubling.pods) == ("doubling", 2, 1)
    assert (doubling.cpu_before, doubling.cpu_after) == pytest.approx((0.25, 0.5))
    assert (doubling.watts_before, doubling.watts_after) == pytest.approx((241.42, 282.84), abs=0.01)
    assert (flat.pods, flat.watts_before, flat.watts_after) == (1, 50.0, 50.0)
    assert everything.watts_after == pytest.approx(doubling.watts_after + flat.watts_after)


def test_the_table_lines_up() -> None:
    cluster = (machine("a"), machine("b", FLAT))
    lines = table_lines(rows(use_before(cluster), use_before(cluster)))
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split() == ["doubling", "1", "0", "0.0%", "0.0%", "100", "W", "100", "W"]


def test_the_cost_is_the_rise_and_the_difference_is_told_in_percent_of_the_alternative() -> None:
    cluster = (machine("d"), machine("f", FLAT))
    before = use_before(cluster)
    ours = replay(cluster, [placed("p", "f", 5000)], recorded_placements(cluster))
    theirs = replay(cluster, [placed("p", "d", 5000)], recorded_placements(cluster))
    costs, alternative, difference = cost_lines(before, ours, theirs)
    assert " 0.0 W" in costs
    assert " 41.4 W" in alternative
    assert "-41.4 W   (-100.0%)" in difference


def test_a_comparison_that_left_pods_out_says_so() -> None:
    cluster = (machine("d"),)
    before = use_before(cluster)
    theirs = replay(cluster, [placed("p", millicores=11_000)], least_allocated(cluster))
    assert "no node for 1 of the pods" in cost_lines(before, before, theirs)[-1]


def test_a_decision_is_told_with_its_runner_up() -> None:
    record = {
        "node": "worker-2",
        "jumpWatts": 4.314,
        "runnerUp": "worker-3",
        "runnerUpJumpWatts": 5.5,
        "cpuBefore": 0.22,
        "cpuAfter": 0.28,
        "standing": "measured",
    }
    assert why_lines([("web-0", record)]) == [
        "  web-0: worker-2, +4.31 W (CPU 22.0% -> 28.0%, measured); runner-up worker-3, +5.50 W"
    ]


@pytest.mark.parametrize("missing", ["jumpWatts", "runnerUp", "cpuBefore"])
def test_a_decision_without_some_fields_is_told_all_the_same(missing: str) -> None:
    record = {
        "node": "w",
        "jumpWatts": 1.0,
        "runnerUp": "v",
        "runnerUpJumpWatts": 2.0,
        "cpuBefore": 0.1,
        "cpuAfter": 0.2,
    }
    (line,) = why_lines([("p", {**record, missing: None})])
    assert line.startswith("  p: w, ")
    assert "None" not in line.replace(", None)", "")


# ---- the made-up world


def test_one_seed_makes_one_world() -> None:
    cluster = demo_nodes(6, seed=1)
    assert cluster == demo_nodes(6, seed=1)
    assert cluster != demo_nodes(6, seed=2)
    assert arrivals(20, cluster, 1, 8.0) == arrivals(20, cluster, 1, 8.0)


def test_the_power_models_are_valid_for_the_daemon_and_give_every_node_its_curve() -> None:
    models = parse_models(json.dumps(power_models()), "demo")
    for kind in KINDS:
        model = models.for_node("any", {"node.kubernetes.io/instance-type": kind.name})
        assert model is not None
        assert model.curve == kind.curve


@pytest.mark.parametrize(("nodes", "pods"), [(1, 1), (1, 200), (3, 200), (60, 200), (200, 1000)])
def test_the_workload_fits_whatever_the_numbers(nodes: int, pods: int) -> None:
    cluster = demo_nodes(nodes, seed=3)
    workload = arrivals(pods, cluster, 3, 8.0)
    free = sum(m.kind.cores * 1000 - m.resident_millicores for m in cluster)
    assert len(workload) == pods
    assert sum(a.millicores for a in workload) <= free / 2
    assert [a.at for a in workload] == sorted(a.at for a in workload)


@pytest.mark.parametrize(("nodes", "pods"), [(0, 1), (1, 0), (1, 201)])
def test_numbers_that_make_no_sense_are_refused_in_words(nodes: int, pods: int) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        arrivals(pods, demo_nodes(nodes, seed=0), 0, 8.0)
