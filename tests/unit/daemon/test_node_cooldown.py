"""Which nodes are in cooldown, how long, and what ends it. All times in seconds."""

from __future__ import annotations

import pytest

from peaks_scheduler.daemon.scheduler.node_cooldown import FIRST_COOLDOWN, LONGEST_COOLDOWN, REMEMBERED, NodeCooldown
from peaks_scheduler.ledger.records import Change
from tests.support.builders import Json, ledger, node, pod
from tests.support.daemon_stage import decided

OURS, THEIRS = "ours", "default-scheduler"


class Cluster:
    """Nodes of two cores in a real ledger, and which are in cooldown."""

    def __init__(self, nodes: int = 20) -> None:
        self.names = [f"n{i}" for i in range(nodes)]
        self.ledger = ledger(*(node(name, cpu="2") for name in self.names))
        self.cooldown = NodeCooldown(self.ledger)

    @property
    def resting(self) -> list[str]:
        nodes = self.ledger.snapshot()
        return [name for name, cooling in zip(nodes.names, nodes.cooldown, strict=True) if cooling]

    def place(self, name: str, cpu: str = "1") -> None:
        """A pod of ours comes to the node by a decision of ours."""
        raw = pod(f"ours-on-{name}", cpu=cpu)
        self.ledger.observe_pod(raw)
        self.ledger.assume(raw["metadata"]["uid"], name)
        self.ledger.observe_pod(pod(f"ours-on-{name}", cpu=cpu, node=name))

    def overbook(self, name: str, cpu: str = "40", now: float = 0.0) -> Json:
        """Somebody else's pod comes to the node; its cooldown starts if that is a collision with ours."""
        raw = pod(f"theirs-on-{name}", cpu=cpu, node=name, scheduler=THEIRS)
        uid = raw["metadata"]["uid"]
        assert self.ledger.observe_pod(raw) & Change.OVERBOOKED
        if self.ledger.collides(uid):
            self.cooldown.start(name, now, uid)
        return raw

    def leaves(self, raw: Json) -> None:
        self.ledger.observe_pod(raw, gone=True)
        self.cooldown.freed(raw["spec"]["nodeName"])


@pytest.fixture
def nodes() -> Cluster:
    return Cluster()


# --- after a kubelet rejected a pod: time alone -----------------------------------------------------------------------


def test_a_node_that_rejected_a_pod_rests_to_the_end_of_its_rest(nodes: Cluster) -> None:
    assert nodes.cooldown.start("n1", 100.0) == FIRST_COOLDOWN
    assert nodes.resting == ["n1"]
    assert nodes.cooldown.tick(100.0 + FIRST_COOLDOWN - 0.1) == []
    assert nodes.cooldown.tick(100.0 + FIRST_COOLDOWN) == ["n1"]
    assert nodes.resting == []


def test_a_rejection_soon_after_a_rest_doubles_the_next_one_up_to_a_limit(nodes: Cluster) -> None:
    now, lengths = 0.0, []
    for _ in range(6):
        lengths.append(nodes.cooldown.start("n1", now))
        now += lengths[-1]
        nodes.cooldown.tick(now)
        now += 60.0
    assert lengths == [15.0, 30.0, 60.0, 120.0, 240.0, 240.0]
    assert lengths[-1] == LONGEST_COOLDOWN


def test_a_rejection_long_after_a_rest_is_a_first_one(nodes: Cluster) -> None:
    nodes.cooldown.start("n1", 0.0)
    nodes.cooldown.tick(FIRST_COOLDOWN)
    nodes.cooldown.tick(FIRST_COOLDOWN + REMEMBERED)
    assert nodes.cooldown.start("n1", FIRST_COOLDOWN + REMEMBERED) == FIRST_COOLDOWN


def test_a_rejection_during_a_rest_begins_it_anew_and_makes_it_no_longer(nodes: Cluster) -> None:
    nodes.cooldown.start("n1", 0.0)
    assert nodes.cooldown.start("n1", 10.0) == FIRST_COOLDOWN
    assert nodes.cooldown.tick(FIRST_COOLDOWN) == []
    assert nodes.cooldown.tick(10.0 + FIRST_COOLDOWN) == ["n1"]


def test_nodes_rest_each_for_itself(nodes: Cluster) -> None:
    nodes.cooldown.start("n1", 0.0)
    nodes.cooldown.start("n2", 5.0)
    assert nodes.cooldown.tick(FIRST_COOLDOWN) == ["n1"]
    assert nodes.resting == ["n2"]
    assert nodes.cooldown.tick(5.0 + FIRST_COOLDOWN) == ["n2"]


# --- after an overbooking: as long as it lasts ------------------------------------------------------------------------


def test_a_node_that_is_overbooked_without_a_pod_of_ours_does_not_rest(nodes: Cluster) -> None:
    nodes.overbook("n1")
    assert nodes.resting == []


def test_a_pod_with_our_name_and_annotation_that_we_did_not_place_is_none_of_ours(nodes: Cluster) -> None:
    forged = pod("forged", cpu="1", node="n1", scheduler="Peaks", annotations={"peaks-scheduler/decision": "{}"})
    nodes.ledger.observe_pod(forged)
    nodes.overbook("n1")
    assert nodes.resting == []


def test_a_pod_of_ours_whose_binding_was_given_up_for_lost_is_no_collision(nodes: Cluster) -> None:
    """An outage of the API server: its place was given to another, and it was bound after all. Nobody else is about."""
    lost = pod("lost", cpu="2")
    nodes.ledger.observe_pod(lost)
    nodes.ledger.assume(lost["metadata"]["uid"], "n1")
    nodes.ledger.forget(lost["metadata"]["uid"])
    nodes.place("n1")
    assert nodes.ledger.observe_pod(pod("lost", cpu="2", node="n1")) & Change.OVERBOOKED
    assert not nodes.ledger.collides(lost["metadata"]["uid"])


def test_a_pod_that_our_predecessor_bound_at_the_last_moment_is_no_collision(nodes: Cluster) -> None:
    nodes.place("n1")
    late = decided(pod("late", cpu="2"), "n1")
    assert nodes.ledger.observe_pod(late) & Change.OVERBOOKED
    assert not nodes.ledger.collides(late["metadata"]["uid"])


def test_a_pod_that_another_instance_bound_is_a_collision(nodes: Cluster) -> None:
    nodes.place("n1")
    theirs = decided(pod("theirs", cpu="2", scheduler="Another"), "n1")
    nodes.ledger.observe_pod(theirs)
    assert nodes.ledger.collides(theirs["metadata"]["uid"])


def test_an_overbooked_node_rests_until_the_pod_that_came_is_gone(nodes: Cluster) -> None:
    nodes.place("n1")
    theirs = nodes.overbook("n1")
    assert nodes.cooldown.tick(1.0) == []
    assert nodes.resting == ["n1"]
    nodes.leaves(theirs)
    assert nodes.resting == []
    assert nodes.cooldown.tick(2.0) == ["n1"]  # pods that wait for it are told


def test_an_overbooked_node_rests_until_ours_has_made_room(nodes: Cluster) -> None:
    nodes.place("n1")
    nodes.overbook("n1", cpu="1500m")
    nodes.leaves(pod("ours-on-n1", node="n1"))
    assert nodes.resting == []


def test_an_overbooked_node_rests_until_it_has_grown(nodes: Cluster) -> None:
    nodes.place("n1")
    nodes.overbook("n1", cpu="3")
    nodes.ledger.observe_node(node("n1", cpu="4"))
    assert nodes.cooldown.tick(1.0) == ["n1"]
    assert nodes.resting == []


def test_an_overbooked_node_that_stays_so_rests_no_longer_than_its_time(nodes: Cluster) -> None:
    nodes.place("n1")
    nodes.overbook("n1")
    assert nodes.cooldown.tick(FIRST_COOLDOWN) == ["n1"]


def test_a_tenant_who_creates_and_deletes_pods_makes_no_rest_longer(nodes: Cluster) -> None:
    nodes.place("n1")
    for second in range(100):
        nodes.leaves(nodes.overbook("n1", now=float(second)))
        nodes.cooldown.tick(float(second))
    assert nodes.cooldown.start("n1", 100.0) == FIRST_COOLDOWN


def test_an_overbooking_does_not_shorten_the_rest_after_a_rejection(nodes: Cluster) -> None:
    nodes.place("n1")
    nodes.cooldown.start("n1", 0.0)
    nodes.leaves(nodes.overbook("n1"))
    assert nodes.resting == ["n1"]


def test_a_node_that_goes_and_comes_back_does_not_rest(nodes: Cluster) -> None:
    nodes.cooldown.start("n1", 0.0)
    nodes.ledger.observe_node(node("n1"), gone=True)
    assert nodes.cooldown.tick(1.0) == ["n1"]
    nodes.ledger.observe_node(node("n1"))
    assert nodes.resting == []


# --- never all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 1), (9, 1), (20, 2), (300, 30)])
def test_at_most_one_node_in_ten_rests_and_the_oldest_rests_end_first(count: int, most: int) -> None:
    nodes = Cluster(count)
    for second, name in enumerate(nodes.names):
        nodes.place(name)
        nodes.overbook(name, now=second / count)
        assert len(nodes.resting) <= most
    assert nodes.resting == nodes.names[-most:]
    assert nodes.cooldown.tick(1.0) == nodes.names[:-most]


def test_a_rest_that_begins_anew_is_not_the_oldest_any_more(nodes: Cluster) -> None:
    for name in ("n1", "n2", "n1", "n3"):
        nodes.cooldown.start(name, 0.0)
    assert nodes.resting == ["n1", "n3"]
