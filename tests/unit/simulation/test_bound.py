"""The lower bound: no placement is below it, and on tiny clusters the best of all placements reaches it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.power.curves import Exponential, Piecewise
from peaks_scheduler.simulation.bound import Bounds, bound, weighted_bound
from peaks_scheduler.simulation.cluster import SimulatedNode
from tests.support.examples import examples
from tests.support.small_cases import LEVELS, nodes, straight

Weight = Callable[[SimulatedNode], float]


def level_costs(node: SimulatedNode, weight: float = 1.0) -> list[float]:
    """[W] at each of the eleven levels of use; the node sleeps at the lowest one if it may."""
    assert isinstance(node.curve, Piecewise)
    watts = list(node.curve.power)
    watts[0] = min(watts[0], watts[0] if node.standby_watts is None else node.standby_watts)
    return [weight * each for each in watts]


def least_by_trying(cluster: Sequence[SimulatedNode], weights: Sequence[float]) -> dict[float, float]:
    """[cores] -> [W] of the best of all ways to bring each node to one of its levels."""
    best: dict[float, float] = {}
    costs = [level_costs(node, weight) for node, weight in zip(cluster, weights, strict=True)]
    for levels in itertools.product(range(11), repeat=len(cluster)):
        cores = sum(level * node.cpu_cores / 10 for level, node in zip(levels, cluster, strict=True))
        watts = sum(cost[level] for cost, level in zip(costs, levels, strict=True))
        best[cores] = min(watts, best.get(cores, np.inf))
    return best


@settings(max_examples=examples(60))
@given(nodes(most=3), st.data())
def test_it_is_the_best_of_all_placements_wherever_one_fills_whole_lines(
    cluster: list[SimulatedNode], data: st.DataObject
) -> None:
    weights = [data.draw(st.sampled_from((1.0, 1.0, 0.5, 3.0))) for _ in cluster]
    by_name = dict(zip((node.name for node in cluster), weights, strict=True))
    found, tried = weighted_bound(cluster, lambda node: by_name[node.name]), least_by_trying(cluster, weights)
    corners = [round(cores, 6) for cores in found.cores.tolist()]
    assert found.watts == pytest.approx([tried[cores] for cores in corners], rel=1e-9)


@settings(max_examples=examples(60))
@given(nodes(most=3))
def test_no_placement_is_below_it(cluster: list[SimulatedNode]) -> None:
    tried = least_by_trying(cluster, [1.0] * len(cluster))
    least = bound(cluster).at(np.array(list(tried)))
    assert (least <= np.array(list(tried.values())) * (1.0 + 1e-12)).all()


@settings(max_examples=examples(30))
@given(nodes(), st.data())
def test_that_of_some_of_the_nodes_is_that_of_a_cluster_of_these_alone(
    cluster: list[SimulatedNode], data: st.DataObject
) -> None:
    up = np.array([data.draw(st.booleans()) for _ in cluster])
    some = [node for node, there in zip(cluster, up.tolist(), strict=True) if there]
    found, cores = Bounds(cluster).of(up), np.linspace(0.0, sum(node.cpu_cores for node in some), 7)
    assert found.at(cores) == pytest.approx(bound(some).at(cores) if some else np.zeros(7))


def test_the_bound_of_one_node_is_the_envelope_of_its_power() -> None:
    # 60 W idle, 160 at a tenth, then 10 W a level up to 250: the line from idle to full load is below all of it
    node = SimulatedNode("one", 10.0, 1.0, Piecewise(LEVELS, (60.0, *(160.0 + 10.0 * k for k in range(10)))))
    assert bound([node]).at(np.array([0.0, 1.0, 5.0, 10.0])) == pytest.approx([60.0, 79.0, 155.0, 250.0])


def test_the_cheaper_node_is_filled_first() -> None:
    # 1 W a core on one, 10 W a core on the other, both idle at 100 W
    cheap, dear = straight("cheap", full=110.0), straight("dear", full=200.0)
    assert bound([dear, cheap]).at(np.array([0.0, 5.0, 10.0, 15.0])) == pytest.approx([200.0, 205.0, 210.0, 260.0])


def test_up_to_its_ceiling_where_there_is_one_as_long_as_the_other_has_room() -> None:
    cheap, dear = straight("cheap", full=110.0), straight("dear", full=200.0)
    # 5 cores on the cheap one, 5 on the dear one, and only then more on the cheap one
    below = bound([dear, cheap], 0.5)
    assert below.at(np.array([5.0, 10.0, 15.0, 20.0])) == pytest.approx([205.0, 255.0, 260.0, 310.0])


def test_a_node_that_may_sleep_starts_at_its_standby_power() -> None:
    sleepy = SimulatedNode("sleepy", 10.0, 1.0, straight().curve, standby_watts=0.0)
    assert bound([sleepy]).at(np.array([0.0, 5.0])) == pytest.approx([0.0, 100.0])


def test_a_curve_of_any_kind_is_straight_between_the_levels() -> None:
    # 100 * e^u bends up: 100 W at no load, 100 * e^0.1 at a tenth
    node = SimulatedNode("one", 10.0, 1.0, Exponential(0.0, 100.0, 1.0))
    assert float(bound([node]).at(np.array([0.5]))[0]) == pytest.approx(50.0 * (1.0 + np.exp(0.1)))
