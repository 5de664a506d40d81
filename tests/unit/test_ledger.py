"""The ledger: every arrow of its drawing, each of its numbered assumptions, and that no order of events loses a
millicore.

The load's correction is in ``test_present_use.py``, the indices over labels, taints and ports in ``test_indices.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peaks_scheduler.ledger import Change, Ledger, State
from peaks_scheduler.objects import HostPort, Pod
from peaks_scheduler.snapshot import PODS, Mask
from tests.builders import (
    BENT_DOWN,
    NOW,
    Json,
    anti_affinity,
    ledger,
    load,
    models,
    node,
    observed_all,
    pod,
    read,
    taint,
)

UID = "uid-default-web-0"
PENDING = pod(cpu="1")
BOUND = pod(cpu="1", node="worker-1")
ELSEWHERE = pod(cpu="1", node="worker-2")
NODES = (node("worker-1", cpu="4"), node("worker-2", cpu="4"))


def free(known: Ledger, name: str, resource: str = "cpu") -> int:
    nodes = known.snapshot()
    return int(nodes.free[nodes.rows[resource], list(nodes.names).index(name)])


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
    assert Change.OVERBOOKED in known.observe_pod(pod(node="worker-1"))


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
    "labelled": {"labels": {"zone": "b"}},
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
    assert free(known, "worker-1", "example.com/gpu") == -2
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
    known.cool("worker-1", True)
    known.observe_node(NODES[0], gone=True)
    known.observe_node(node("worker-1", cpu="16"))
    assert free(known, "worker-1") == 15000
    assert known.load_of("worker-1") is None
    assert not column(known, "worker-1", "cooling")
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


# --- any sequence of events -----------------------------------------------------------------------------------------

NAMES = [f"n{i}" for i in range(3)]
UIDS = [f"p{i}" for i in range(5)]
CPUS = ["0", "100m", "333m", "2"]
EXTRAS: list[dict[str, Any]] = [
    {},
    {"requests": {"example.com/gpu": "1"}},
    {"ports": [{"hostPort": 80}]},
    {"ports": [{"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 443}]},
    {"affinity": anti_affinity({"app": "web"})},
    {"affinity": anti_affinity({"app": "web"}, topology="zone"), "memory": "1Gi"},
]
TAINTS = [[], [taint("a")], [taint("a"), taint("b", "x", "NoExecute")]]
PROBES = [read(pod("probe", labels={"app": "web"}, nodeSelector={"zone": zone})) for zone in "ab"]
PORTS = (HostPort("10.0.0.2", "TCP", 80), HostPort("0.0.0.0", "TCP", 443))


def selected(known: Ledger, probe: Pod) -> Mask:
    return known.snapshot().index.matching(probe.where, lambda node: probe.where.matches(node.name, node.labels))


class AnyOrder(RuleBasedStateMachine):
    """Events in any order against a plain record of the last word on each object; the ledger must equal one filled
    anew."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW
        self.known = Ledger(seed=7, models=models(BENT_DOWN))
        self.known.refresh(self.time)
        self.ask()
        self.nodes: dict[str, Json] = {}
        self.pods: dict[str, Json] = {}  # the last observation
        self.where: dict[str, str] = {}  # assumed there
        self.ended: dict[str, list[tuple[Json, float]]] = {}  # ran on a node and ended at
        self.loads: dict[str, Any] = {}

    def ask(self) -> None:
        """Remember a constraint from the start, so that it is kept up to date and not worked out at the end."""
        for probe in PROBES:
            selected(self.known, probe)

    # nodes

    @rule(
        name=st.sampled_from(NAMES),
        zone=st.sampled_from("ab"),
        taints=st.sampled_from(TAINTS),
        cpu=st.sampled_from(["2", "8"]),
        gpu=st.booleans(),
    )
    def node_seen(self, name: str, zone: str, taints: list[Json], cpu: str, gpu: bool) -> None:
        raw = node(name, cpu=cpu, labels={"zone": zone}, taints=taints, more={"example.com/gpu": "2"} if gpu else {})
        self.known.observe_node(raw)
        self.nodes[name] = raw

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def node_gone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        self.known.observe_node(self.nodes.pop(name), gone=True)
        self.loads.pop(name, None)
        self.ended.pop(name, None)

    # pods

    @rule(uid=st.sampled_from(UIDS), cpu=st.sampled_from(CPUS), extra=st.sampled_from(EXTRAS))
    def pod_pending(self, uid: str, cpu: str, extra: dict[str, Any]) -> None:
        if uid not in self.pods:
            raw = pod(uid, uid=uid, cpu=cpu, **extra)
            self.known.observe_pod(raw)
            self.pods[uid] = raw

    @precondition(lambda self: self.pods)
    @rule(data=st.data(), name=st.sampled_from(NAMES), started=st.booleans(), cpu=st.sampled_from([None, *CPUS]))
    def pod_bound(self, data: st.DataObject, name: str, started: bool, cpu: str | None) -> None:
        """Bound, confirmed, moved, started or resized, as the case may be."""
        uid = data.draw(st.sampled_from(sorted(self.pods)))
        raw = copy.deepcopy(self.pods[uid])
        raw["spec"].setdefault("nodeName", name)
        if cpu is not None:
            raw["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
        if started and raw["status"]["phase"] == "Pending":
            raw["status"] = pod(started=self.time)["status"]
        self.known.observe_pod(raw)
        self.pods[uid] = raw
        self.where.pop(uid, None)

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def pod_seen_late(self, data: st.DataObject) -> None:
        """As it was before it was bound."""
        raw = copy.deepcopy(self.pods[data.draw(st.sampled_from(sorted(self.pods)))])
        raw["spec"].pop("nodeName", None)
        raw["status"] = {"phase": "Pending"}
        self.known.observe_pod(raw)

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def pod_gone(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.pods)))
        raw = self.pods.pop(uid)
        self.known.now = self.time
        self.known.observe_pod(raw, gone=True)
        self.where.pop(uid, None)
        name = raw["spec"].get("nodeName")
        if name in self.nodes and raw["status"]["phase"] == "Running":
            self.ended.setdefault(name, []).append((raw, self.time))

    @precondition(lambda self: self.nodes and self.pods)
    @rule(data=st.data())
    def assume(self, data: st.DataObject) -> None:
        uid, name = data.draw(st.sampled_from(sorted(self.pods))), data.draw(st.sampled_from(sorted(self.nodes)))
        if "nodeName" not in self.pods[uid]["spec"] and uid not in self.where:
            self.known.assume(uid, name)
            self.where[uid] = name

    @precondition(lambda self: self.where)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.where)))
        del self.where[uid]
        assert self.known.forget(uid)

    # load

    @rule(
        step=st.sampled_from([1.0, 60.0, 400.0]),
        measured=st.sets(st.sampled_from(NAMES)),
        use=st.sampled_from([0.0, 0.4, 1.0]),
    )
    def time_passes(self, step: float, measured: set[str], use: float) -> None:
        self.time += step
        fresh = {name: load(use, now=self.time) for name in measured}
        self.known.apply_load(fresh, self.time)
        self.loads |= {name: found for name, found in fresh.items() if name in self.nodes}

    # the truth

    def anew(self) -> Ledger:
        """Nodes and pods in another order than they came, then what ended, then the loads."""
        fresh = Ledger(seed=7, models=models(BENT_DOWN))
        fresh.now = self.time
        pods = [self.pods[uid] for uid in sorted(self.pods, reverse=True)]
        observed_all(fresh, [self.nodes[name] for name in sorted(self.nodes, reverse=True)], pods)
        for uid, name in self.where.items():
            if name not in self.nodes:
                fresh.observe_node(node(name))  # assumed there while it was still there
            fresh.assume(uid, name)
            if name not in self.nodes:
                fresh.observe_node(node(name), gone=True)
        for count, (raw, end) in enumerate((raw, end) for ended in self.ended.values() for raw, end in ended):
            raw = copy.deepcopy(raw)
            raw["metadata"]["uid"] = f"ended-{count}"
            fresh.now = end
            fresh.observe_pod(raw)
            fresh.observe_pod(raw, gone=True)
        fresh.apply_load(self.loads, self.time)
        return fresh

    @invariant()
    def equals_a_ledger_filled_anew(self) -> None:
        self.known.refresh(self.time)
        assert picture(self.known) == picture(self.anew())


def picture(known: Ledger) -> dict[str, Any]:
    """All that a decision could read of each node, and each pod's state."""
    nodes = known.snapshot()
    index = nodes.index
    rows = sorted(nodes.rows, key=nodes.rows.__getitem__)
    certain, possible = index.repelled_by(PROBES[0])
    masks: dict[str, Any] = {
        "repelled": certain,
        "maybe": possible,
        "ports": index.holding_ports(PORTS),
        **{f"zone {i}": selected(known, probe) for i, probe in enumerate(PROBES)},
    }
    fields = ("cpu_capacity", "cpu_low", "cpu_high", "measured", "load_end", "unschedulable", "k1", "tie")
    whole: dict[str, Any] = {uid: (known.state(uid), known.node_of(uid)) for uid in UIDS}
    for i, name in enumerate(nodes.names):
        amounts = {r: (int(nodes.allocatable[nodes.rows[r], i]), int(nodes.free[nodes.rows[r], i])) for r in rows}
        whole[name] = (
            {r: pair for r, pair in amounts.items() if pair != (0, 0)},
            {field: repr(getattr(nodes, field)[i]) for field in fields},
            {mask: bool(array is not None and array[i]) for mask, array in masks.items()},
            {taints for taints, having in index.taint_sets().items() if having[i]},
        )
    return whole


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_sequence_of_events_leaves_what_the_last_words_alone_would = AnyOrder.TestCase


def test_the_picture_that_is_compared_would_show_a_lost_pod() -> None:
    # the machine above could not fail if its picture showed nothing
    one, two = bound(), unknown()
    assert picture(one) != picture(two)
    assert np.array_equal(one.snapshot().free[one.snapshot().rows[PODS]], [109, 110])
