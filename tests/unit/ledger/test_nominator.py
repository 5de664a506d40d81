"""Room that is kept: pods that wait elsewhere with a ``status.nominatedNodeName`` are as good as there, for pods of
their priority or a lower one.

When they count, and for what, is kube-scheduler 1.36.3's (framework/runtime, RunFilterPluginsWithNominatedPods).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.selectors import LabelSelector
from tests.support.builders import (
    BENT_UP,
    HOSTNAME,
    Json,
    anti_affinity,
    decide,
    feasible,
    ledger,
    message,
    node,
    pod,
    pod_affinity,
    pod_term,
    read,
    spread,
    workers,
)
from tests.support.ledger_questions import by_node
from tests.support.storage_objects import using

WEB = {"app": "web"}
PORT: Json = {"ports": [{"hostPort": 80}]}
BOTH = {"worker-0", "worker-1"}


def nominee(name: str = "nominee", at: str = "worker-0", *, priority: int = 0, **more: Any) -> Json:
    """A pod of another scheduler that waits, and has room kept for it."""
    given: Json = {"scheduler": "default-scheduler", "status": {"nominatedNodeName": at}, "priority": priority}
    return pod(name, **(given | more))


FULL = nominee(cpu="8")
SMALL = pod(cpu="1")


# --- what is kept ---------------------------------------------------------------------------------

KEPT: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    # the nominee, the pod that asks, where that may go
    "its CPUs": ({"cpu": "8"}, {"cpu": "1"}, {"worker-1"}),
    "no more than those": ({"cpu": "7"}, {"cpu": "1"}, BOTH),
    "a device": ({"requests": {"example.com/gpu": "1"}}, {"requests": {"example.com/gpu": "1"}}, {"worker-1"}),
    "its host port": (PORT, PORT, {"worker-1"}),
    "its place among the pods": ({}, {}, {"worker-1"}),
    "its distance, which the other asks for": ({"labels": WEB}, {"affinity": anti_affinity(WEB)}, {"worker-1"}),
    "its share of its zone": (
        {"labels": WEB},
        {"labels": WEB, "topologySpreadConstraints": [spread(WEB, HOSTNAME)]},
        {"worker-1"},
    ),
}


@pytest.mark.parametrize(("kept", "asking", "expected"), KEPT.values(), ids=KEPT)
def test_it_is_kept(kept: dict[str, Any], asking: dict[str, Any], expected: set[str]) -> None:
    limit = "1" if not kept else "110"
    nodes = workers(2, pods=limit, more={"example.com/gpu": "1"})
    assert feasible(pod(**asking), ledger(*nodes, nominee(**kept))) == expected


def test_the_refusal_is_the_one_that_they_would_bring_if_they_were_there() -> None:
    assert message(pod(cpu="1"), ledger(node("worker-0"), FULL)) == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_reason_of_the_node_itself_is_said_first() -> None:
    cordoned = node("worker-0", unschedulable=True)
    assert message(pod(cpu="1"), ledger(cordoned, FULL)) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_nobody_may_count_on_a_nominee_to_be_there() -> None:
    # it may end up elsewhere: affinity must hold without it
    assert feasible(pod(affinity=pod_affinity(pod_term(WEB))), ledger(*workers(2), nominee(labels=WEB))) == set()


def test_nor_does_a_nominee_begin_a_group() -> None:
    group = pod_affinity(pod_term(WEB))
    known = ledger(*workers(2), nominee(labels=WEB))
    assert feasible(pod(labels=WEB, affinity=group), known) == BOTH


REPELLING = nominee(affinity=anti_affinity(WEB))


def test_a_nominees_own_anti_affinity_alone_keeps_nobody_away() -> None:
    # kube-scheduler passes the filter over for a pod that neither has a term nor is meant by one of a pod that is there
    assert feasible(pod(labels=WEB), ledger(*workers(2), REPELLING)) == BOTH


def test_it_does_where_the_filter_has_something_to_judge_anyway() -> None:
    there = pod("there", node="worker-1", affinity=anti_affinity(WEB))
    assert feasible(pod(labels=WEB), ledger(*workers(3), REPELLING, there)) == {"worker-2"}
    own = pod(labels=WEB, affinity=anti_affinity({"app": "db"}))
    assert feasible(own, ledger(*workers(2), REPELLING)) == {"worker-1"}


# --- for whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("priority", "expected"), [(4, {"worker-1"}), (5, {"worker-1"}), (6, BOTH)])
def test_it_is_kept_from_pods_of_its_priority_and_lower_ones(priority: int, expected: set[str]) -> None:
    known = ledger(*workers(2), nominee(cpu="8", priority=5))
    assert feasible(pod(cpu="1", priority=priority), known) == expected


def test_only_those_count_that_the_pod_does_not_outrank() -> None:
    high, low = nominee("high", cpu="2", priority=10), nominee("low", cpu="6", priority=-10)
    known = ledger(*workers(2), high, low)
    assert feasible(pod(cpu="6"), known) == BOTH
    assert feasible(pod(cpu="7"), known) == {"worker-1"}


def test_all_of_them_count_together() -> None:
    known = ledger(*workers(2), *(nominee(f"n{i}", cpu="3") for i in range(2)))
    assert feasible(pod(cpu="2"), known) == BOTH
    assert feasible(pod(cpu="3"), known) == {"worker-1"}


def test_a_pod_may_have_the_room_that_is_kept_for_itself() -> None:
    itself = pod(cpu="8", status={"nominatedNodeName": "worker-0"})
    known = ledger(node("worker-0"), itself)
    assert decide(itself, known).node == "worker-0"


# --- until when -----------------------------------------------------------------------------------


def test_a_node_that_is_not_there_is_no_matter() -> None:
    known = ledger(*workers(2), nominee(at="gone", cpu="8"))
    assert feasible(SMALL, known) == BOTH
    known.observe_node(node("gone"))
    assert feasible(SMALL, known) == BOTH


def test_room_is_kept_where_the_last_word_says() -> None:
    known = ledger(*workers(2), FULL)
    assert known.observe_pod(nominee(at="worker-1", cpu="8")) == Change.FREED
    assert feasible(SMALL, known) == {"worker-0"}
    assert known.observe_pod(nominee(at="", cpu="8")) == Change.FREED
    assert feasible(SMALL, known) == BOTH


def test_and_kept_no_longer_when_its_pod_is_gone() -> None:
    known = ledger(*workers(2), FULL)
    assert feasible(SMALL, known) == {"worker-1"}
    known.observe_pod(FULL, gone=True)
    assert feasible(SMALL, known) == BOTH


def test_nor_when_it_is_bound_elsewhere() -> None:
    known = ledger(*workers(2), FULL)
    known.observe_pod(nominee(cpu="8", node="worker-1"))
    assert feasible(SMALL, known) == {"worker-0"}


def test_an_assumed_pod_has_its_place_and_its_kept_room_is_anybodys() -> None:
    known = ledger(*workers(2), FULL)
    known.assume("uid-default-nominee", "worker-1")
    assert feasible(SMALL, known) == {"worker-0"}
    known.forget("uid-default-nominee")
    assert feasible(SMALL, known) == {"worker-1"}


def test_a_device_that_only_a_nominee_asks_for_disturbs_nobody() -> None:
    # the arrays are the same ones while it is granted its room
    known = ledger(*workers(2), nominee(requests={"example.com/gpu": "1"}))
    assert feasible(SMALL, known) == BOTH
    late = ledger(*workers(2))
    late.snapshot()
    late.observe_pod(nominee(requests={"example.com/gpu": "1"}))
    assert feasible(SMALL, late) == BOTH


# --- and given back exactly -----------------------------------------------------------------------

EVERY = Selection(((LabelSelector(), None),))
RICH = nominee(
    cpu="333m",
    memory="1Gi",
    labels=WEB,
    affinity=anti_affinity(WEB) | pod_affinity(pod_term(WEB)),
    requests={"example.com/gpu": "1"},
    **PORT,
)


def state(known: Ledger) -> dict[str, list[Any]]:
    """All that a decision reads, as plain lists."""
    nodes = known.snapshot()
    index, ports = nodes.index, read(pod(**PORT)).ports
    repelled, taken = index.repelled_by(read(pod(labels=WEB))), index.holding_ports(ports)
    arrays: Json = {
        "free": nodes.free,
        "low": nodes.cpu_low,
        "high": nodes.cpu_high,
        "pods": index.pods_selected(EVERY),
    }
    return {
        **{name: array.tolist() for name, array in arrays.items()},
        "repelled": [] if repelled is None else repelled.tolist(),
        "taken": [] if taken is None else taken.tolist(),
        "liked": [(weight, by_node(nodes, at, n)) for weight, _, at, n in index.liked_by(read(pod(labels=WEB)))],
    }


def test_while_it_lasts_the_nominees_are_there_and_afterwards_all_is_as_before() -> None:
    known = ledger(*workers(2), pod("there", cpu="1", node="worker-0"), RICH, power=BENT_UP, loads={"worker-0": 0.3})
    nodes, before = known.snapshot(), state(known)
    i = list(nodes.names).index("worker-0")
    with nodes.nominator.with_nominated(i, read(SMALL)):
        granted = state(known)
        assert granted["free"][nodes.rows["cpu"]][i] == before["free"][nodes.rows["cpu"]][i] - 333
        assert granted["pods"][i] == 2
        assert granted["taken"][i]
        assert granted["repelled"][i]
        assert granted["liked"] == [(1, [("worker-0", 1)])]
        assert nodes.nominator.counted
    assert state(known) == before
    assert not nodes.nominator.counted
    assert known.snapshot() is nodes


def test_that_holds_even_if_what_is_done_meanwhile_fails() -> None:
    known = ledger(*workers(2), RICH)
    before = state(known)
    with pytest.raises(RuntimeError), known.with_nominated(0, read(SMALL)):
        raise RuntimeError
    assert state(known) == before


def test_a_decision_leaves_no_trace() -> None:
    known = ledger(*workers(3), RICH, nominee("other", "worker-1", cpu="8"))
    before = state(known)
    first = decide(SMALL, known)
    assert (decide(SMALL, known).node, state(known)) == (first.node, before)


def test_who_is_kept_room_for_is_told_node_by_node() -> None:
    known = ledger(*workers(3), nominee("a"), nominee("b", priority=-1), nominee("c", "worker-2"), nominee("d", "gone"))
    names = np.array(known.snapshot().names)
    assert set(names[list(known.against(read(SMALL)))]) == {"worker-0", "worker-2"}
    assert set(names[list(known.against(read(pod(priority=1))))]) == set()


def test_a_pod_that_is_on_its_node_is_nominated_no_more() -> None:
    """Else pods of any namespace with a claim of that name, for one pod alone, would be refused there for its life."""
    ours = nominee("db-0", scheduler="Peaks", volumes=using("data"))
    known = ledger(*workers(2), ours)
    known.assume("uid-default-db-0", "worker-0")
    assert known.storage.users.nominations_naming({"data"}) == set()
    known.observe_pod(pod("db-0", node="worker-0", volumes=using("data")))
    assert known.storage.users.nominations_naming({"data"}) == set()
