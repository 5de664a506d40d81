"""The ledger: every arrow of its drawing and each of its numbered assumptions.

That no order of events loses anything is in ``test_any_order.py``, the load's correction in ``test_present_use.py``,
the indices over labels, taints and ports in ``test_indices.py``, room that is kept in ``test_nominated.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change, State
from tests.support.builders import Json, anti_affinity, feasible, ledger, node, pod, taint

UID = "uid-default-web-0"
PENDING = pod(cpu="1")
BOUND = pod(cpu="1", node="worker-1")
ELSEWHERE = pod(cpu="1", node="worker-2")
NODES = (node("worker-1", cpu="4"), node("worker-2", cpu="4"))


def free(known: Ledger, name: str, resource: str = "cpu") -> int:
    nodes = known.snapshot()
    return nodes.resources.left(list(nodes.names).index(name), resource)


def column(known: Ledger, name: str, field: str) -> Any:
    nodes = known.snapshot()
    return getattr(nodes, field)[list(nodes.names).index(name)]


def holds(known: Ledger) -> dict[str, int]:
    """[mCPU] taken on each node."""
    return {name: 4000 - free(known, name) for name in known.snapshot().names}


NOBODY, FIRST, SECOND = (
    {"worker-1": 0, "worker-2": 0},
    {"worker-1": 1000, "worker-2": 0},
    {"worker-1": 0, "worker-2": 1000},
)


# --- the arrows -----------------------------------------------------------------------------------------------------


def unknown() -> Ledger:
    return ledger(*NODES)


def pending() -> Ledger:
    return ledger(*NODES, PENDING)


def assumed() -> Ledger:
    known = pending()
    known.assume(UID, "worker-1")
    return known


def bound() -> Ledger:
    return ledger(*NODES, BOUND)


def finished(raw: Json) -> Json:
    return copy.deepcopy(raw) | {"status": {"phase": "Succeeded"}}


GONE = Change.GONE | Change.FREED
MOVED = Change.PLACED | Change.FREED

ARROWS: dict[str, tuple[Ledger, Json, bool, Change, State | None, dict[str, int]]] = {
    #                                     from      observed    gone   change               to             held
    "unknown, seen pending":             (unknown(), PENDING,   False, Change.PENDING,      State.PENDING, NOBODY),
    "unknown, seen bound":               (unknown(), BOUND,     False, Change.PLACED,       State.BOUND,   FIRST),
    "unknown, seen gone":                (unknown(), BOUND,     True,  Change.NOTHING,      None,          NOBODY),
    "unknown, seen finished":            (unknown(), finished(BOUND), False, Change.NOTHING, None,        NOBODY),
    "pending, seen again":               (pending(), PENDING,   False, Change.NOTHING,      State.PENDING, NOBODY),
    "pending, bound by another":         (pending(), BOUND,     False, Change.PLACED,       State.BOUND,   FIRST),
    "pending, gone":                     (pending(), PENDING,   True,  Change.GONE,         None,          NOBODY),
    "assumed, confirmed":                (assumed(), BOUND,     False, Change.CONFIRMED,    State.BOUND,   FIRST),
    "assumed, still seen pending":       (assumed(), PENDING,   False, Change.NOTHING,      State.ASSUMED, FIRST),
    "assumed, bound elsewhere":          (assumed(), ELSEWHERE, False, MOVED,               State.BOUND,   SECOND),
    "assumed, gone":                     (assumed(), PENDING,   True,  GONE,                None,          NOBODY),
    "bound, seen again":                 (bound(),   BOUND,     False, Change.NOTHING,      State.BOUND,   FIRST),
    "bound, late news of it pending":    (bound(),   PENDING,   False, Change.NOTHING,      State.BOUND,   FIRST),
    "bound, finished":                   (bound(),   finished(BOUND), False, GONE,          None,          NOBODY),
    "bound, gone":                       (bound(),   BOUND,     True,  GONE,                None,          NOBODY),
}  # fmt: skip


@pytest.mark.parametrize(("known", "raw", "gone", "change", "state", "held"), ARROWS.values(), ids=ARROWS)
def test_an_observation_takes_a_pod_along_its_arrow(
    known: Ledger, raw: Json, gone: bool, change: Change, state: State | None, held: dict[str, int]
) -> None:
    known = copy.deepcopy(known)
    assert known.observe_pod(raw, gone=gone) == change
    assert known.state(UID) is state
    assert holds(known) == held


def test_an_assumed_pod_holds_its_nodes_resources() -> None:
    known = assumed()
    assert (known.state(UID), known.node_of(UID), holds(known)) == (State.ASSUMED, "worker-1", FIRST)


def test_a_change_that_was_seen_while_it_was_assumed_counts_when_it_is_forgotten() -> None:
    known = assumed()
    assert known.observe_pod(pod(cpu="2", labels={"tier": "b"})) == Change.NOTHING
    assert holds(known) == FIRST
    known.forget(UID)
    assert holds(known) == NOBODY
    later = known.pod(UID)
    assert later is not None
    assert (later.cpu, later.labels) == (2000, {"tier": "b"})


def test_forgetting_gives_them_back() -> None:
    known = assumed()
    assert known.forget(UID)
    assert (known.state(UID), known.node_of(UID), holds(known)) == (State.PENDING, "", NOBODY)


@pytest.mark.parametrize("known", [unknown(), pending(), bound()], ids=["unknown", "pending", "bound"])
def test_only_an_assumed_pod_can_be_forgotten(known: Ledger) -> None:
    before = holds(known)
    assert not known.forget(UID)
    assert holds(known) == before


def test_a_pod_bound_while_its_binder_gave_up_stays() -> None:
    known = assumed()
    known.observe_pod(BOUND)
    assert not known.forget(UID)
    assert holds(known) == FIRST


@pytest.mark.parametrize("known", [unknown(), assumed(), bound()], ids=["unknown", "assumed", "bound"])
def test_only_a_pending_pod_can_be_assumed(known: Ledger) -> None:
    before = holds(known)
    with pytest.raises(KeyError):
        known.assume(UID, "worker-2")
    assert holds(known) == before


def test_nothing_is_assumed_on_a_node_that_is_not_there() -> None:
    known = ledger(*NODES, PENDING, pod("other", node="ghost"))
    for name in ("nowhere", "ghost"):  # never heard of, and known only by a pod on it
        with pytest.raises(KeyError):
            known.assume(UID, name)
    assert known.state(UID) is State.PENDING


def test_late_news_of_an_assumed_pod_does_not_disturb_what_is_held() -> None:
    known = assumed()
    known.observe_pod(pod(cpu="2", labels={"new": "label"}))
    assert holds(known) == FIRST
    known.forget(UID)
    assert holds(known) == NOBODY


def test_a_pod_that_wants_something_else_has_changed() -> None:
    known = pending()
    assert known.observe_pod(pod(cpu="1", nodeSelector={"zone": "a"})) == Change.CHANGED
    assert (
        known.observe_pod(pod(cpu="1", nodeSelector={"zone": "a"}, status={"conditions": [{"type": "x"}]}))
        == Change.NOTHING
    )


# --- assumptions ----------------------------------------------------------------------------------------------------


def test_pods_of_every_scheduler_count() -> None:
    assert holds(ledger(*NODES, pod(cpu="1", node="worker-1", scheduler="default-scheduler"))) == FIRST


def test_pending_pods_of_others_hold_nothing() -> None:
    assert holds(ledger(*NODES, pod(cpu="1", scheduler="default-scheduler"))) == NOBODY


def test_a_terminating_pod_holds_its_resources_until_it_is_gone() -> None:
    assert holds(ledger(*NODES, pod(cpu="1", node="worker-1", deleting=True))) == FIRST


def test_pods_on_a_node_not_seen_yet_are_counted_when_it_comes() -> None:
    known = ledger(BOUND)
    assert len(known.snapshot()) == 0
    assert known.observe_node(NODES[0]) == Change.NODE_NEW
    assert free(known, "worker-1") == 3000


def test_a_node_that_was_only_a_pods_word_is_forgotten_with_the_pod() -> None:
    known = ledger(BOUND)
    known.observe_pod(BOUND, gone=True)
    known.observe_node(NODES[0])
    assert free(known, "worker-1") == 4000


def test_a_pod_assumed_on_a_node_that_goes_is_held_for_it() -> None:
    known = assumed()
    known.observe_node(NODES[0], gone=True)
    assert known.node_of(UID) == "worker-1"
    known.observe_node(NODES[0])
    assert holds(known) == FIRST


def test_and_can_be_forgotten_though_the_node_is_gone() -> None:
    known = assumed()
    known.observe_node(NODES[0], gone=True)
    assert known.forget(UID)
    known.observe_node(NODES[0])
    assert holds(known) == NOBODY


def test_an_overbooking_by_another_scheduler_is_noticed() -> None:
    known = ledger(node("worker-1", cpu="4"), pod("first", cpu="3", node="worker-1"))
    assert known.observe_pod(pod(cpu="2", node="worker-1")) == Change.PLACED | Change.OVERBOOKED
    assert free(known, "worker-1") == -1000


def test_so_is_one_pod_too_many() -> None:
    known = ledger(node("worker-1", pods="1"), pod("first", node="worker-1"))
    assert known.observe_pod(pod(node="worker-1")) & Change.OVERBOOKED


def test_a_pod_that_asks_for_nothing_overbooks_nothing_on_an_overcommitted_node() -> None:
    known = ledger(node("worker-1", cpu="1"), pod("first", cpu="2", node="worker-1"))
    assert known.observe_pod(pod(node="worker-1")) == Change.PLACED


def test_a_resize_changes_what_is_held() -> None:
    known = bound()
    assert known.observe_pod(pod(cpu="3", node="worker-1")) == Change.NOTHING
    assert free(known, "worker-1") == 1000
    assert known.observe_pod(pod(cpu="2", node="worker-1")) == Change.FREED
    assert free(known, "worker-1") == 2000


def test_a_confirmation_that_asks_for_more_than_was_assumed_counts() -> None:
    known = assumed()
    assert known.observe_pod(pod(cpu="2", node="worker-1")) == Change.CONFIRMED
    assert free(known, "worker-1") == 2000


def test_a_pod_on_a_node_that_is_labelled_otherwise_is_news_to_its_neighbours() -> None:
    known = bound()
    assert known.observe_pod(pod(cpu="1", node="worker-1", labels={"app": "web"})) == Change.RELABELLED
    assert known.observe_pod(pod(cpu="1", node="worker-1", labels={"app": "web"})) == Change.NOTHING


def test_so_is_one_that_begins_to_end() -> None:
    assert bound().observe_pod(pod(cpu="1", node="worker-1", deleting=True)) == Change.RELABELLED


def test_a_confirmation_with_other_labels_is_both() -> None:
    change = assumed().observe_pod(pod(cpu="1", node="worker-1", labels={"app": "web"}))
    assert change == Change.CONFIRMED | Change.RELABELLED


def test_what_kind_of_objects_nobody_reads_is_known_to_the_decision() -> None:
    known = unknown()
    kept_apart = anti_affinity({"app": "web"}, namespaceSelector={"matchLabels": {"env": "prod"}})
    assert feasible(pod(affinity=kept_apart), known) == {"worker-1", "worker-2"}
    known.set_unreadable(frozenset({"namespaces"}))
    assert feasible(pod(affinity=kept_apart), known) == set()
    known.set_unreadable(frozenset())
    assert feasible(pod(affinity=kept_apart), known) == {"worker-1", "worker-2"}


def test_two_pods_of_one_name_are_two_pods() -> None:
    known = bound()
    known.observe_pod(pod(cpu="1", uid="reborn"))
    known.assume("reborn", "worker-1")
    known.observe_pod(BOUND, gone=True)
    assert holds(known) == FIRST


# --- nodes ----------------------------------------------------------------------------------------------------------


def test_a_heartbeat_changes_nothing() -> None:
    known = unknown()
    beat = copy.deepcopy(NODES[0])
    beat["status"]["conditions"] = [{"type": "Ready", "lastHeartbeatTime": "2026-11-20T10:00:00Z"}]
    assert known.observe_node(beat) == Change.NOTHING


CHANGES: dict[str, dict[str, Any]] = {
    "cordoned": {"unschedulable": True},
    "tainted": {"taints": [taint()]},
    "tainted mildly": {"taints": [taint(effect="PreferNoSchedule")]},
    "labelled": {"labels": {"zone": "b"}},
    "able to do more": {"features": ["A"]},
    "grown": {"cpu": "6"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_places_pods_differently_is_a_change(change: dict[str, Any]) -> None:
    known = unknown()
    assert known.observe_node(node("worker-1", **({"cpu": "4"} | change))) == Change.NODE_CHANGED


def test_a_node_that_shrinks_below_what_is_on_it_has_less_than_nothing_left() -> None:
    known = bound()
    known.observe_node(node("worker-1", cpu="500m"))
    assert free(known, "worker-1") == -500


def test_an_extended_resource_may_come_after_the_pods_that_ask_for_it() -> None:
    known = ledger(*NODES, pod(requests={"example.com/gpu": "2"}, node="worker-1"))
    assert free(known, "worker-1", "example.com/gpu") == 0
    known.observe_node(node("worker-1", cpu="4", more={"example.com/gpu": "8"}))
    assert free(known, "worker-1", "example.com/gpu") == 6
    assert free(known, "worker-2", "example.com/gpu") == 0


def test_and_may_go_again() -> None:
    known = ledger(node("worker-1", more={"example.com/gpu": "8"}))
    known.observe_node(node("worker-1"))
    assert free(known, "worker-1", "example.com/gpu") == 0


def test_a_removed_node_takes_nothing_from_the_others() -> None:
    # the last node moves into the place of the removed one
    cores = {f"worker-{i}": 4 + i for i in range(5)}
    pods = [pod(f"p{i}", cpu=str(i), node=f"worker-{i}") for i in range(1, 5)]
    known = ledger(*(node(name, cpu=str(n)) for name, n in cores.items()), *pods)
    assert known.observe_node(node("worker-1"), gone=True) == Change.NODE_GONE
    assert {name: free(known, name) for name in known.snapshot().names} == {n: 4000 for n in cores if n != "worker-1"}
    known.observe_pod(pods[3], gone=True)
    assert free(known, "worker-4") == 8000


def test_a_node_that_comes_back_starts_anew_with_the_pods_still_on_it() -> None:
    known = ledger(*NODES, BOUND, loads={"worker-1": 0.5})
    known.set_cooldown("worker-1", True)
    known.observe_node(NODES[0], gone=True)
    known.observe_node(node("worker-1", cpu="16"))
    assert free(known, "worker-1") == 15000
    assert known.load_of("worker-1") is None
    assert not column(known, "worker-1", "cooldown")
    assert not column(known, "worker-1", "measured")


def test_removing_a_node_that_is_not_there_changes_nothing() -> None:
    assert ledger(BOUND).observe_node(NODES[0], gone=True) == Change.NOTHING


def test_a_hundred_nodes_are_as_exact_as_one() -> None:
    # more than the arrays begin with
    known = ledger(*(node(f"n{i}", cpu=str(1 + i)) for i in range(200)))
    assert [free(known, f"n{i}") for i in range(200)] == [1000 * (1 + i) for i in range(200)]


def test_a_snapshot_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        unknown().snapshot().free[0, 0] = 1
