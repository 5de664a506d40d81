"""The queue as its users see it: which pod is next, which pod waits for what, and that no pod is ever lost.

Semantics: kube-scheduler 1.36, `pkg/scheduler/backend/queue`.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.queue import SchedulingQueue
from tests.support.examples import examples

NODES = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_CHANGED})
ROOM = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.POD_GONE})


def add(queue: SchedulingQueue, uid: str, priority: int = 0, created: float = 0.0, gated: bool = False) -> None:
    queue.add(uid, f"default/{uid}", priority, created, gated, now=0.0)


def fail(queue: SchedulingQueue, uid: str, now: float, events: frozenset[ClusterEvent] = NODES) -> None:
    assert queue.pop(now) == uid
    queue.failed(uid, now, events)


def drain(queue: SchedulingQueue, now: float = 0.0) -> list[str]:
    return list(iter(lambda: queue.pop(now), None))


@pytest.fixture
def queue() -> SchedulingQueue:
    return SchedulingQueue()


# order


def test_higher_priority_goes_first_then_the_older_pod_then_the_one_that_came_first(queue: SchedulingQueue) -> None:
    add(queue, "late", created=20.0)
    add(queue, "early", created=10.0)
    add(queue, "twin", created=10.0)
    add(queue, "urgent", priority=1000, created=30.0)
    add(queue, "humble", priority=-1, created=0.0)
    assert drain(queue) == ["urgent", "early", "twin", "late", "humble"]


def test_adding_a_pod_again_changes_its_priority_and_nothing_else(queue: SchedulingQueue) -> None:
    add(queue, "a")
    add(queue, "b")
    add(queue, "b", priority=5)
    assert drain(queue) == ["b", "a"]


def test_a_pod_whose_priority_fell_gives_way(queue: SchedulingQueue) -> None:
    add(queue, "a", priority=5)
    add(queue, "b", priority=3)
    add(queue, "a", priority=1)
    assert drain(queue) == ["b", "a"]


def test_a_pod_in_flight_is_not_handed_out_twice_when_it_is_seen_again(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    add(queue, "a", priority=7)
    assert queue.pop(0.0) is None


def test_an_empty_queue_has_nothing_due(queue: SchedulingQueue) -> None:
    assert queue.pop(0.0) is None
    assert queue.next_due(0.0) is None


def test_an_active_pod_is_due_now(queue: SchedulingQueue) -> None:
    add(queue, "a")
    assert queue.next_due(17.0) == 17.0


# gates


def test_a_gated_pod_waits_until_its_gates_are_removed(queue: SchedulingQueue) -> None:
    add(queue, "a", gated=True)
    for event in ClusterEvent:
        queue.wake(event, 0.0)
    assert queue.pop(1e9) is None
    add(queue, "a", gated=False)
    assert queue.pop(1e9) == "a"


def test_a_gated_pod_is_counted_as_gated_alone(queue: SchedulingQueue) -> None:
    add(queue, "a", gated=True)
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 1}


# failure, backoff, wake


def test_an_unschedulable_pod_is_left_alone_until_an_event_that_it_waits_for(queue: SchedulingQueue) -> None:
    add(queue, "a")
    fail(queue, "a", 0.0, events=NODES)
    assert queue.wake(ClusterEvent.POD_GONE, 100.0) == 0
    assert queue.pop(100.0) is None
    assert queue.wake(ClusterEvent.NODE_ADDED, 100.0) == 1
    assert queue.pop(100.0) == "a"


def test_a_pod_woken_during_its_backoff_waits_for_the_end_of_it(queue: SchedulingQueue) -> None:
    add(queue, "a")
    fail(queue, "a", 10.0)
    queue.wake(ClusterEvent.NODE_ADDED, 10.5)
    assert queue.counts()["backoff"] == 1
    assert queue.next_due(10.5) == 11.0
    assert queue.pop(10.9) is None
    assert queue.pop(11.0) == "a"


def test_an_event_while_the_pod_is_in_flight_is_not_slept_through(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.wake(ClusterEvent.NODE_CHANGED, 0.1)
    queue.failed("a", 0.2, NODES)
    assert queue.pop(1.2) == "a"


@pytest.mark.parametrize(
    "event_at",
    [pytest.param("before", id="it came before the pop"), pytest.param("other", id="the pod waits for another one")],
)
def test_an_event_that_the_decision_knew_or_that_helps_nothing_does_not_count(
    queue: SchedulingQueue, event_at: str
) -> None:
    add(queue, "a")
    if event_at == "before":
        queue.wake(ClusterEvent.NODE_ADDED, 0.0)
    queue.pop(0.0)
    if event_at == "other":
        queue.wake(ClusterEvent.LOAD_CHANGED, 0.1)
    queue.failed("a", 0.2, NODES)
    assert queue.counts()["unschedulable"] == 1


# kube-scheduler: podInitialBackoffSeconds 1, doubled with every failure up to podMaxBackoffSeconds 10
def test_backoff_doubles_from_one_second_to_ten(queue: SchedulingQueue) -> None:
    add(queue, "a")
    now, waits = 0.0, []
    for _ in range(6):
        fail(queue, "a", now)
        queue.wake(ClusterEvent.NODE_ADDED, now)
        due = queue.next_due(now)
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_pod_that_failed_very_often_backs_off_no_longer_than_any_other() -> None:
    queue = SchedulingQueue(max_backoff=10.0)
    add(queue, "a")
    for turn in range(1500):  # 2**1024 is more than a float holds
        fail(queue, "a", turn * 100.0)
        queue.wake(ClusterEvent.NODE_ADDED, turn * 100.0)
    assert queue.next_due(0.0) == 1499 * 100.0 + 10.0


def test_a_bind_conflict_is_tried_again_after_a_short_backoff_however_often_the_pod_failed_before(
    queue: SchedulingQueue,
) -> None:
    add(queue, "a")
    for now in (0.0, 100.0, 200.0, 300.0):
        fail(queue, "a", now)
        queue.wake(ClusterEvent.NODE_ADDED, now + 50.0)
    assert queue.pop(350.0) == "a"
    queue.retry("a", 350.0)
    assert queue.next_due(350.0) == 351.0


def test_errors_in_a_row_back_off_longer_each_time(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.retry("a", 0.0)
    queue.pop(1.0)
    queue.retry("a", 1.0)
    assert queue.next_due(1.0) == 3.0


def test_no_pod_waits_longer_than_five_minutes_unlooked_at(queue: SchedulingQueue) -> None:
    add(queue, "a")
    fail(queue, "a", 0.0, events=frozenset())
    assert queue.next_due(0.0) == 300.0
    assert queue.pop(299.9) is None
    assert queue.pop(300.0) == "a"


def test_a_change_of_the_pod_itself_wakes_it_and_no_other(queue: SchedulingQueue) -> None:
    for uid in ("a", "b"):
        add(queue, uid)
        fail(queue, uid, 0.0, events=frozenset())
    queue.changed("b", 50.0)
    assert drain(queue, 50.0) == ["b"]


def test_a_change_of_the_pod_while_it_is_in_flight_is_not_slept_through(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.changed("a", 0.1)
    queue.failed("a", 0.2, frozenset())
    assert queue.counts()["backoff"] == 1


def test_a_change_counts_for_the_attempt_it_fell_into_and_for_no_later_one(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.changed("a", 0.1)
    queue.retry("a", 0.2)
    fail(queue, "a", 10.0)
    assert queue.counts()["unschedulable"] == 1


def test_pods_woken_together_come_out_in_order_of_priority(queue: SchedulingQueue) -> None:
    add(queue, "low", priority=1)
    add(queue, "high", priority=2)
    fail(queue, "high", 0.0)
    fail(queue, "low", 0.0)
    queue.wake(ClusterEvent.NODE_ADDED, 60.0)
    assert drain(queue, 60.0) == ["high", "low"]


def test_an_event_that_can_help_only_some_moves_those_and_no_others(queue: SchedulingQueue) -> None:
    for uid in ("a", "b", "c"):
        add(queue, uid)
        fail(queue, uid, 0.0, events=NODES if uid == "c" else frozenset({ClusterEvent.POD_PLACED}))
    # b was named twice, c waits for another event, x is unknown
    assert queue.wake(ClusterEvent.POD_PLACED, 50.0, ["b", "b", "c", "x"]) == 1
    assert drain(queue, 50.0) == ["b"]


def test_an_event_that_can_help_only_others_still_counts_for_a_pod_in_flight(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.wake(ClusterEvent.POD_PLACED, 0.1, [])
    queue.failed("a", 0.2, frozenset({ClusterEvent.POD_PLACED}))
    assert queue.pop(1.2) == "a"


def test_a_flush_gives_everybody_another_look_whatever_they_wait_for(queue: SchedulingQueue) -> None:
    for uid in ("a", "b", "c", "d"):
        add(queue, uid, gated=uid == "d")
    fail(queue, "a", 0.0, events=frozenset())
    fail(queue, "b", 0.0, events=NODES)
    assert queue.pop(0.0) == "c"
    queue.flush("KindRead", 50.0)
    queue.failed("c", 50.0, frozenset())  # it was decided on what was known before
    assert drain(queue, 60.0) == ["a", "b", "c"]
    assert queue.counts()["gated"] == 1


# leaving


@pytest.mark.parametrize("where", ["active", "gated", "in flight", "backoff", "unschedulable"])
def test_a_pod_that_is_gone_is_forgotten_wherever_it_was(queue: SchedulingQueue, where: str) -> None:
    add(queue, "a", gated=where == "gated")
    if where in ("in flight", "backoff", "unschedulable"):
        queue.pop(0.0)
    if where == "backoff":
        queue.retry("a", 0.0)
    if where == "unschedulable":
        queue.failed("a", 0.0, NODES)
    queue.remove("a")
    assert "a" not in queue
    assert sum(queue.counts().values()) + queue.in_flight == 0
    assert queue.wake(ClusterEvent.NODE_ADDED, 0.0) == 0
    assert queue.pop(1e9) is None


def test_the_late_failure_of_a_pod_that_left_and_came_back_does_not_hold_it_up(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(0.0)
    queue.remove("a")
    add(queue, "a")
    queue.failed("a", 0.1, NODES)
    queue.retry("a", 0.1)
    assert queue.pop(0.1) == "a"


def test_everything_said_of_an_unknown_pod_is_ignored(queue: SchedulingQueue) -> None:
    queue.failed("x", 0.0, NODES)
    queue.retry("x", 0.0)
    queue.changed("x", 0.0)
    queue.done("x")
    assert len(queue) == 0
    assert queue.attempts("x") == 0


# what telemetry asks


def test_attempts_and_the_first_of_them_are_remembered_until_the_pod_is_bound(queue: SchedulingQueue) -> None:
    add(queue, "a")
    queue.pop(5.0)
    queue.retry("a", 5.1)
    queue.pop(7.0)
    assert (queue.attempts("a"), queue.first_attempt("a")) == (2, 5.0)
    queue.done("a")
    assert (queue.attempts("a"), queue.first_attempt("a")) == (0, None)


def test_every_way_into_a_queue_is_counted_under_kube_schedulers_names(queue: SchedulingQueue) -> None:
    add(queue, "a")
    fail(queue, "a", 0.0)
    queue.wake(ClusterEvent.NODE_ADDED, 0.5)
    queue.pop(1.0)
    assert queue.incoming() == {
        ("active", "UnschedulablePodAdd"): 1,
        ("unschedulable", "ScheduleAttemptFailure"): 1,
        ("backoff", "NodeAdd"): 1,
        ("active", "BackoffComplete"): 1,
    }


# cost


def test_an_event_that_nobody_waits_for_costs_nothing_however_many_wait_for_others(queue: SchedulingQueue) -> None:
    for index in range(5000):
        add(queue, f"p{index:04}")
    for uid in drain(queue):
        queue.failed(uid, 0.0, NODES)
    moved = [
        queue.wake(event, 0.0) for event in itertools.islice(itertools.cycle((ClusterEvent.POD_GONE, *NODES)), 5000)
    ]
    assert sum(moved) == 5000  # each pod once, not each pod at each event
    assert queue.counts() == {"active": 0, "backoff": 5000, "unschedulable": 0, "gated": 0}


def test_an_event_for_a_few_costs_nothing_however_many_wait_for_it(queue: SchedulingQueue) -> None:
    for index in range(5000):
        add(queue, f"p{index:04}")
    for uid in drain(queue):
        queue.failed(uid, 0.0, frozenset({ClusterEvent.POD_PLACED}))
    assert sum(queue.wake(ClusterEvent.POD_PLACED, 0.0, [f"p{index:04}"]) for index in range(10)) == 10
    assert queue.counts()["unschedulable"] == 4990


def test_items_left_behind_in_the_heaps_do_not_pile_up(queue: SchedulingQueue) -> None:
    add(queue, "a")
    for turn in range(10_000):
        add(queue, "a", priority=turn)
    assert len(queue._active._lanes[0]._items) < 200


# fairness


def refused(queue: SchedulingQueue, uid: str, cost: float, now: float = 0.0) -> None:
    """Pop a pod, spend so many seconds on its decision, and find that it fits on no node."""
    assert queue.pop(now) == uid
    queue.spent(uid, cost)
    queue.failed(uid, now, NODES)


def decide(queue: SchedulingQueue, cost: dict[str, float], rounds: int, now: float) -> list[str]:
    """Uids in the order of their decisions; ``cost`` has the seconds of a decision by the first letter of the uid."""
    order = []
    for _ in range(rounds):
        uid = queue.pop(now)
        assert uid is not None
        queue.spent(uid, cost[uid[0]])
        order.append(uid)
    return order


def crowd(queue: SchedulingQueue, pods: int, cost: float, priority: int = 0) -> None:
    """So many pods that fitted on no node, all woken at once at time 100."""
    for n in range(pods):
        add(queue, f"failed-{n}", priority)
    for n in range(pods):
        refused(queue, f"failed-{n}", cost)
    queue.wake(ClusterEvent.NODE_CHANGED, 100.0)


@pytest.mark.parametrize("priority", [0, 1000])
def test_a_crowd_that_failed_before_does_not_keep_a_new_pod_waiting(queue: SchedulingQueue, priority: int) -> None:
    crowd(queue, 5000, 0.001, priority)
    decide(queue, {"f": 0.001}, 10, 100.0)
    add(queue, "new", created=1.0)
    assert "new" in decide(queue, {"f": 0.001, "n": 0.001}, 2, 100.0)


def test_the_crowd_keeps_half_of_the_time_however_many_new_pods_come(queue: SchedulingQueue) -> None:
    crowd(queue, 1000, 0.001)
    for n in range(1000):
        add(queue, f"new-{n}")
    order = decide(queue, {"f": 0.001, "n": 0.0001}, 1100, 100.0)
    assert 95 <= sum(uid.startswith("failed") for uid in order) <= 105


def test_a_few_that_failed_before_keep_their_place_by_priority_and_age(queue: SchedulingQueue) -> None:
    crowd(queue, 50, 0.001, priority=5)
    add(queue, "new")
    assert drain(queue, 100.0)[-1] == "new"


def test_a_large_pod_is_decided_about_behind_others_and_is_decided_about(queue: SchedulingQueue) -> None:
    queue.add("large", "default/large", 1000, 0.0, large=True, now=0.0)
    for n in range(3):
        add(queue, f"small-{n}", created=1.0)
    assert decide(queue, {"s": 0.001, "l": 1.0}, 4, 0.0) == ["small-0", "small-1", "small-2", "large"]


def test_a_large_pod_does_not_starve_where_there_are_always_others(queue: SchedulingQueue) -> None:
    queue.add("large", "default/large", 0, 0.0, large=True, now=0.0)
    for n in range(2000):
        add(queue, f"small-{n}")
    assert "large" in decide(queue, {"s": 0.001, "l": 1.0}, 1100, 0.0)


def test_of_many_large_pods_none_but_the_one_under_way_delays_others(queue: SchedulingQueue) -> None:
    for n in range(100):
        queue.add(f"large-{n}", f"default/large-{n}", 0, 0.0, large=True, now=0.0)
    cost = {"l": 1.0, "s": 0.001}
    decide(queue, cost, 5, 0.0)
    for n in range(500):
        add(queue, f"small-{n}", created=1.0)
    assert sum(uid.startswith("large") for uid in decide(queue, cost, 501, 0.0)) <= 1


def test_a_failure_that_took_long_backs_off_in_proportion(queue: SchedulingQueue) -> None:
    add(queue, "a")
    refused(queue, "a", 0.8)
    queue.wake(ClusterEvent.NODE_CHANGED, 0.1)
    assert queue.pop(15.0) is None
    assert queue.pop(16.1) == "a"


class QueueOfAnyLife(RuleBasedStateMachine):
    """Any sequence of events, compared with a simple model: each pod is in exactly one queue, and pops come in
    order."""

    uids = Bundle("uids")

    def __init__(self) -> None:
        super().__init__()
        self.queue = SchedulingQueue()
        self.now = 0.0
        self.known: dict[str, tuple[int, float, int]] = {}  # uid -> order
        self.flying: set[str] = set()
        self.gated: set[str] = set()
        self.names = (f"u{n}" for n in itertools.count())
        self.seq = itertools.count()

    @rule(target=uids, priority=st.integers(-2, 2), created=st.sampled_from([0.0, 1.0, 2.0]), gated=st.booleans())
    def arrives(self, priority: int, created: float, gated: bool) -> str:
        uid = next(self.names)
        self.see(uid, priority, created, gated)
        return uid

    @rule(uid=uids, priority=st.integers(-2, 2), gated=st.booleans())
    def is_seen_again(self, uid: str, priority: int, gated: bool) -> None:
        self.see(uid, priority, self.known.get(uid, (0, 0.0, 0))[1], gated)

    def see(self, uid: str, priority: int, created: float, gated: bool) -> None:
        self.queue.add(uid, f"ns/{uid}", priority, created, gated, now=self.now)
        seq = self.known[uid][2] if uid in self.known else next(self.seq)
        self.known[uid] = (-priority, created, seq)
        (self.gated.add if gated else self.gated.discard)(uid)

    @rule()
    def is_popped(self) -> None:
        uid = self.queue.pop(self.now)
        if uid is None:
            assert self.queue.counts()["active"] == 0
            return
        assert uid in set(self.known) - self.flying - self.gated
        self.flying.add(uid)

    @rule()
    def all_due_are_popped_in_order(self) -> None:
        uids = drain(self.queue, self.now)
        assert uids == sorted(uids, key=self.known.__getitem__)
        assert len(set(uids)) == len(uids)
        assert not self.flying.intersection(uids)
        self.flying.update(uids)

    @precondition(lambda self: self.flying)
    @rule(
        data=st.data(),
        end=st.sampled_from(["failed", "retry", "done"]),
        events=st.frozensets(st.sampled_from(ClusterEvent)),
    )
    def lands(self, data: st.DataObject, end: str, events: frozenset[ClusterEvent]) -> None:
        uid = data.draw(st.sampled_from(sorted(self.flying)))
        self.flying.discard(uid)
        if end == "failed":
            self.queue.failed(uid, self.now, events)
        elif end == "retry":
            self.queue.retry(uid, self.now)
        else:
            self.queue.done(uid)
            self.forget(uid)

    @rule(uid=consumes(uids))
    def is_deleted(self, uid: str) -> None:
        self.queue.remove(uid)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        self.known.pop(uid, None)
        self.flying.discard(uid)
        self.gated.discard(uid)

    @rule(uid=uids)
    def changes(self, uid: str) -> None:
        self.queue.changed(uid, self.now)

    @rule(event=st.sampled_from(ClusterEvent), few=st.booleans())
    def something_happens(self, event: ClusterEvent, few: bool) -> None:
        before = self.queue.counts()["unschedulable"]
        moved = self.queue.wake(event, self.now, sorted(self.known)[::2] if few else None)
        assert self.queue.counts()["unschedulable"] == before - moved

    @rule()
    def everything_may_be_out_of_date(self) -> None:
        self.queue.flush("KindRead", self.now)
        assert self.queue.counts()["unschedulable"] == 0

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def each_pod_is_in_exactly_one_place(self) -> None:
        counts = self.queue.counts()
        assert sum(counts.values()) + self.queue.in_flight == len(self.known) == len(self.queue)
        assert self.queue.in_flight == len(self.flying)
        assert counts["gated"] == len(self.gated - self.flying)
        assert set(self.queue) == set(self.known)

    @invariant()
    def who_waits_for_a_time_has_one(self) -> None:
        due = self.queue.next_due(self.now)
        counts = self.queue.counts()
        assert (due is None) == (counts["active"] + counts["backoff"] + counts["unschedulable"] == 0)
        assert due is None or due <= self.now + 300.0

    def teardown(self) -> None:
        """After five minutes without events every pod that is neither gated nor in flight is popped."""
        waiting = set(self.known) - self.gated - self.flying
        assert set(drain(self.queue, self.now + 300.0)) == waiting


QueueOfAnyLife.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
test_no_pod_is_ever_lost = QueueOfAnyLife.TestCase
