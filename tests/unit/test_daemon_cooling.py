"""How long a node rests, and that it is told when its rest begins and ends. All times in seconds."""

from __future__ import annotations

import pytest

from peaks_scheduler.daemon.cooling import FIRST_REST, LONGEST_REST, REMEMBERED, Cooling


class Nodes:
    """Who rests now; every change noted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.cooling = Cooling(lambda node, resting: self.told.append((node, resting)))

    @property
    def resting(self) -> set[str]:
        return {node for node, resting in dict(self.told).items() if resting}


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_a_node_rests_from_its_collision_to_the_end_of_its_rest(nodes: Nodes) -> None:
    assert nodes.cooling.cool("a", 100.0) == FIRST_REST
    assert nodes.resting == {"a"}
    assert nodes.cooling.tick(100.0 + FIRST_REST - 0.1) == []
    assert nodes.cooling.tick(100.0 + FIRST_REST) == ["a"]
    assert nodes.resting == set()


def test_a_collision_soon_after_a_rest_doubles_the_next_one_up_to_a_limit(nodes: Nodes) -> None:
    now, rests = 0.0, []
    for _ in range(6):
        rests.append(nodes.cooling.cool("a", now))
        now += rests[-1]
        nodes.cooling.tick(now)
        now += 60.0
    assert rests == [15.0, 30.0, 60.0, 120.0, 240.0, 240.0]
    assert rests[-1] == LONGEST_REST


def test_a_collision_long_after_a_rest_is_a_first_one(nodes: Nodes) -> None:
    nodes.cooling.cool("a", 0.0)
    nodes.cooling.tick(FIRST_REST)
    nodes.cooling.tick(FIRST_REST + REMEMBERED)
    assert nodes.cooling.cool("a", FIRST_REST + REMEMBERED) == FIRST_REST


def test_a_collision_during_a_rest_begins_it_anew_and_makes_it_no_longer(nodes: Nodes) -> None:
    nodes.cooling.cool("a", 0.0)
    assert nodes.cooling.cool("a", 10.0) == FIRST_REST
    assert nodes.cooling.tick(FIRST_REST) == []
    assert nodes.cooling.tick(10.0 + FIRST_REST) == ["a"]


def test_nodes_rest_each_for_itself(nodes: Nodes) -> None:
    nodes.cooling.cool("a", 0.0)
    nodes.cooling.cool("b", 5.0)
    assert nodes.cooling.tick(FIRST_REST) == ["a"]
    assert nodes.resting == {"b"}
    assert nodes.cooling.tick(5.0 + FIRST_REST) == ["b"]
