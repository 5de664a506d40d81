"""What a node uses now: its load corrected for what the average cannot have seen, or a range where none is fresh.

Expected numbers are worked out by hand: a node of 8 cores, a window of 900 s, pods that use what they ask for.
"""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import Ended, NodeLoad
from peaks_scheduler.objects.pod import Pod
from tests.support.builders import (
    BENT_DOWN,
    BENT_UP,
    JUMP,
    NOW,
    WINDOW,
    Json,
    ledger,
    load,
    node,
    owned,
    place,
    pod,
    read,
    workers,
)

UID = "uid-default-web-0"


def use(known: Ledger, name: str = "worker-1") -> tuple[float, float]:
    """(low, high) [cores]."""
    nodes = known.snapshot()
    i = list(nodes.names).index(name)
    return float(nodes.cpu_low[i]), float(nodes.cpu_high[i])


def measured(known: Ledger, name: str = "worker-1") -> bool:
    nodes = known.snapshot()
    return bool(nodes.measured[list(nodes.names).index(name)])


def at(low: float, high: float | None = None) -> Any:
    return pytest.approx((low, low if high is None else high))


# --- corrected ------------------------------------------------------------------------------------


def test_a_load_that_saw_everything_stands_as_it_is() -> None:
    known = ledger(node(), pod(cpu="2", node="worker-1", started=NOW - 3600), loads={"worker-1": 0.5})
    assert use(known) == at(4.0)


def test_a_load_in_cores_needs_no_capacity_and_never_exceeds_it() -> None:
    known = ledger(node("a", cpu="8"), node("b", cpu="2"), pod(cpu="1"))
    used = NodeLoad(None, NOW - WINDOW, NOW, cores=3.0)
    known.apply_load({"a": used, "b": used}, NOW)
    assert (use(known, "a"), use(known, "b")) == (at(3.0), at(2.0))
    known.assume(UID, "a")
    assert use(known, "a") == at(4.0)


def test_an_assumed_pod_is_used_in_full() -> None:
    known = ledger(node(), pod(cpu="2"), loads={"worker-1": 0.5})
    known.assume(UID, "worker-1")
    assert use(known) == at(6.0)


def test_and_no_more_once_it_is_forgotten() -> None:
    known = ledger(node(), pod(cpu="2"), loads={"worker-1": 0.5})
    known.assume(UID, "worker-1")
    known.forget(UID)
    assert use(known) == at(4.0)


STARTED: dict[str, tuple[float | None, float]] = {
    "bound, not started": (None, 6.0),
    "after the window's end": (NOW + 5, 6.0),
    "two thirds through the window": (NOW - 300, 4.0 + 2 * 2 / 3),
    "in the middle of the window": (NOW - 450, 5.0),
    "at the window's start": (NOW - 900, 4.0),
}


@pytest.mark.parametrize(("started", "cores"), STARTED.values(), ids=STARTED)
def test_a_pod_counts_by_the_share_of_the_window_it_did_not_live(started: float | None, cores: float) -> None:
    known = ledger(node(), pod(cpu="2", node="worker-1", started=started), loads={"worker-1": 0.5})
    assert use(known) == at(cores)


def test_a_pod_without_a_request_counts_by_its_limit_or_the_default() -> None:
    pods = [pod("a", node="worker-1", limits={"cpu": "1"}), pod("b", node="worker-1")]
    assert use(ledger(node(), *pods, loads={"worker-1": 0.5}, default_cpu=250)) == at(5.25)


ENDED: dict[str, tuple[float, float, float]] = {
    #                                        started      ended       cores
    "in the middle of the window":          (NOW - 3600,  NOW - 450,  4.0 - 1.0),
    "just now":                             (NOW - 3600,  NOW,        4.0 - 2.0),
    "before the window":                    (NOW - 3600,  NOW - 1000, 4.0),
    "having lived a third of the window":   (NOW - 600,   NOW - 300,  4.0 - 2 / 3),
}  # fmt: skip


@pytest.mark.parametrize(("started", "ended", "cores"), ENDED.values(), ids=ENDED)
def test_a_pod_that_ended_is_taken_off_by_the_share_it_lived(started: float, ended: float, cores: float) -> None:
    running = pod(cpu="2", node="worker-1", started=started)
    known = ledger(node(), running, loads={"worker-1": 0.5})
    known.now = ended
    known.observe_pod(running, gone=True)
    known.refresh(NOW)
    assert use(known) == at(cores)


def test_a_pod_whose_end_is_known_ended_then() -> None:
    running = pod(cpu="2", node="worker-1", started=NOW - 3600)
    known = ledger(node(), running, loads={"worker-1": 0.5})
    state = {"containerStatuses": [{"name": "main", "state": {"terminated": {"finishedAt": "2027-01-15T07:52:30Z"}}}]}
    known.observe_pod(pod(cpu="2", node="worker-1", phase="Succeeded", status=state))  # NOW - 450 s
    assert use(known) == at(3.0)


def test_a_pod_that_never_ran_takes_nothing_off() -> None:
    waiting = pod(cpu="2", node="worker-1")
    known = ledger(node(), waiting, loads={"worker-1": 0.5})
    known.observe_pod(waiting, gone=True)
    assert use(known) == at(4.0)


def test_use_is_never_below_zero() -> None:
    # it asked for 6 cores and used next to none
    idle = pod(cpu="6", node="worker-1", started=NOW - 3600)
    known = ledger(node(), idle, loads={"worker-1": 0.01})
    known.observe_pod(idle, gone=True)
    assert use(known) == at(0.0)


def test_a_pod_grows_into_later_windows() -> None:
    known = ledger(node(), pod(cpu="2", node="worker-1", started=NOW), loads={"worker-1": 0.5})
    seen = []
    for later in (0.0, 450.0, 900.0, 1800.0):
        known.apply_load({"worker-1": load(0.5, now=NOW + later)}, NOW + later)
        seen.append(use(known)[0])
    assert seen == pytest.approx([6.0, 5.0, 4.0, 4.0])


def test_one_that_ended_grows_out_of_them() -> None:
    running = pod(cpu="2", node="worker-1", started=NOW - 3600)
    known = ledger(node(), running)
    known.observe_pod(running, gone=True)
    seen = []
    for later in (0.0, 450.0, 900.0):
        known.apply_load({"worker-1": load(0.5, now=NOW + later)}, NOW + later)
        seen.append(use(known)[0])
    assert seen == pytest.approx([2.0, 3.0, 4.0])


def test_what_ended_on_a_node_that_was_replaced_is_not_taken_off_the_new_one() -> None:
    running, there = (
        pod(cpu="2", node="worker-1", started=NOW - 3600),
        pod("there", node="worker-1", started=NOW - 3600),
    )
    known = ledger(node(), running, there)
    known.observe_pod(running, gone=True)
    known.observe_node(node(), gone=True)
    known.observe_node(node())
    known.apply_load({"worker-1": load(0.5)}, NOW)
    assert use(known) == at(4.0)


def test_the_api_servers_clock_may_differ_from_ours() -> None:
    # its clock is 60 s ahead: what it calls NOW - 390 is NOW - 450 on ours
    known = ledger(node(), pod(cpu="2", node="worker-1", started=NOW - 390), loads={"worker-1": 0.5}, clock_offset=60.0)
    assert use(known) == at(5.0)


def test_a_burst_onto_equal_nodes_spreads_though_no_load_is_heard_meanwhile() -> None:
    # on a convex curve the fuller node is the dearer one; an average that is minutes old tells nothing of the burst
    known = ledger(*workers(4, cpu="64"), power=BENT_UP, loads={f"worker-{i}": 0.2 for i in range(4)})
    placed = Counter(place(pod(f"p{i}", cpu="1"), known) for i in range(20))
    assert placed == {f"worker-{i}": 5 for i in range(4)}


def test_nor_does_a_burst_overfill_a_node_on_which_each_step_is_cheaper() -> None:
    # on a concave curve the fuller node is the cheaper one, up to its 8 cores, of which 1.6 were in use;
    # requests alone would leave room for 8 pods
    known = ledger(*workers(4), power=BENT_DOWN, loads={f"worker-{i}": 0.2 for i in range(4)})
    placed = Counter(place(pod(f"p{i}", cpu="1"), known, strategy=JUMP) for i in range(20))
    assert sorted(placed.values()) == [2, 6, 6, 6]


# --- a range --------------------------------------------------------------------------------------

LONG_AGO = NOW - 1e6
PODS: list[Json] = [pod("a", cpu="2", node="worker-1", started=LONG_AGO), pod("b", node="worker-1", started=LONG_AGO)]


def test_without_a_load_a_node_uses_between_nothing_and_what_its_pods_ask_for() -> None:
    # one of the pods has no request and counts at the default of 100m
    known = ledger(node(), *PODS)
    assert not measured(known)
    assert use(known) == at(0.0, 2.1)


def test_an_assumed_pod_widens_the_range() -> None:
    known = ledger(node(), *PODS, pod(cpu="1"))
    known.assume(UID, "worker-1")
    assert use(known) == at(0.0, 3.1)


def test_a_load_expires() -> None:
    fresh = ledger(node(), *PODS, loads={"worker-1": load(0.5, age=300.0)}, expiry=300.0)
    stale = ledger(node(), *PODS, loads={"worker-1": load(0.5, age=300.5)}, expiry=300.0)
    assert measured(fresh)
    assert not measured(stale)


def test_time_alone_makes_a_load_stale() -> None:
    known = ledger(node(), *PODS, loads={"worker-1": 0.5}, expiry=300.0)
    known.refresh(NOW + 301.0)
    assert not measured(known)
    known.apply_load({"worker-1": load(0.5, now=NOW + 302.0)}, NOW + 302.0)
    assert measured(known)


def test_a_stale_load_above_what_is_asked_for_widens_the_range() -> None:
    assert use(ledger(node(), *PODS, loads={"worker-1": load(0.75, age=3600.0)})) == at(0.0, 6.0)


def test_a_stale_load_below_does_not_narrow_it() -> None:
    assert use(ledger(node(), *PODS, loads={"worker-1": load(0.01, age=3600.0)})) == at(0.0, 2.1)


def test_pods_that_came_after_a_stale_load_come_on_top_of_it() -> None:
    known = ledger(node(), *PODS, pod("new", cpu="1", node="worker-1"), loads={"worker-1": load(0.75, age=3600.0)})
    assert use(known) == at(0.0, 7.0)


@given(st.floats(0.0, 1.0), st.floats(301.0, 86400.0), st.integers(0, 8), st.floats(0.0, 2000.0))
def test_a_stale_load_never_narrows_the_range(cpu: float, age: float, cores: int, started: float) -> None:
    pods = [pod(f"p{i}", cpu="1", node="worker-1", started=NOW - started) for i in range(cores)]
    without = use(ledger(node(), *pods))
    low, high = use(ledger(node(), *pods, loads={"worker-1": load(cpu, age=age)}))
    assert low <= without[0]
    assert high >= without[1]
    assert high >= 8.0 * cpu * (1 - 1e-9)


def test_a_load_of_a_node_that_is_not_there_is_passed_over() -> None:
    known = ledger(node(), pod(node="ghost", cpu="1"), loads={"ghost": 0.5, "nobody": 0.1, "worker-1": 0.25})
    assert use(known) == at(2.0)


def test_a_node_not_named_keeps_its_load_until_it_is_stale() -> None:
    known = ledger(node(), loads={"worker-1": 0.5})
    known.apply_load({}, NOW + 60.0)
    assert use(known) == at(4.0)


def test_the_load_is_a_fraction_of_capacity_and_not_of_what_is_allocatable() -> None:
    assert use(ledger(node(cpu="6", capacity="8"), loads={"worker-1": 0.5})) == at(4.0)


def test_the_window_of_the_builders_is_the_longest_of_load_watcher() -> None:
    assert (load(0.5).window_start, load(0.5).window_end) == (NOW - WINDOW, NOW)


# --- what is kept of pods that ended --------------------------------------------------------------


def kept(known: Ledger) -> list[Pod]:
    """Whole records of pods that somebody still holds, but for those that run."""
    gc.collect()
    alive = {id(each) for each, _ in known.pods()}
    return [each for each in gc.get_objects() if isinstance(each, Pod) and id(each) not in alive]


def test_of_a_pod_that_ended_nothing_is_kept_but_what_it_used() -> None:
    known = ledger(node(), loads={"worker-1": 0.5})
    before = len(kept(known))
    for i in range(20):
        known.observe_pod(
            raw := pod(f"big-{i}", cpu="100m", node="worker-1", started=NOW - 600, labels={"x": "y" * 60})
        )
        known.observe_pod(raw, gone=True)
    assert use(known) == at(4.0 - 20 * 0.1 * 600 / 900)
    assert len(kept(known)) == before


@pytest.mark.parametrize("loads", [{"worker-1": 0.5}, {}], ids=["with a load", "without"])
def test_however_many_pods_end_on_a_node_few_are_kept_and_it_never_looks_less_busy_for_it(
    loads: dict[str, float],
) -> None:
    known = ledger(node(cpu="64"), loads=loads)
    for i in range(1500):
        known.observe_pod(raw := pod(f"short-{i}", cpu="1m", node="worker-1", started=NOW - WINDOW))
        known.observe_pod(raw, gone=True)
    gc.collect()
    assert sum(isinstance(each, Ended) for each in gc.get_objects()) <= 1001
    assert use(known)[1] >= (32.0 - 1.5 if loads else 0.0)


def ended_pods() -> int:
    gc.collect()
    return sum(isinstance(each, Ended) for each in gc.get_objects())


def come_and_go(known: Ledger, times: int) -> None:
    """Pods that start and end within a second, a minute apart."""
    for i in range(times):
        known.now += 60.0
        known.observe_pod(raw := pod(f"short-{i}", cpu="1m", node="worker-1", started=known.now - 1.0))
        known.observe_pod(raw, gone=True)
        known.refresh(known.now)


def test_while_a_source_is_away_pods_that_come_and_go_are_remembered_for_an_hour() -> None:
    known, before = ledger(node(), loads={"worker-1": 0.5}), ended_pods()
    come_and_go(known, 300)
    assert ended_pods() - before == 60


def test_and_those_that_its_last_load_contains_for_as_long_as_that_counts() -> None:
    known = ledger(node(), pod(cpu="2", node="worker-1", started=NOW - 3600), loads={"worker-1": 0.5}, expiry=1e6)
    known.drop("uid-default-web-0", ended=NOW - 450.0)
    come_and_go(known, 100)
    assert use(known) == at(4.0 - 1.0)


def test_the_names_of_images_are_of_any_length_and_the_group_of_siblings_is_not() -> None:
    images = [owned(pod(), "db", image="x" * 300_000 + end) for end in "ab"]
    one, other = (read(raw).siblings for raw in images)
    assert len(one) < 1024
    assert one != other
    assert read(images[0]).siblings == one


# --- all nodes at once ----------------------------------------------------------------------------

COLUMNS = ("measured", "load_end", "cpu_reported", "cpu_low", "cpu_high", "memory_used")
loads_of_any_kind = st.builds(
    NodeLoad,
    st.sampled_from((None, 0.0, 0.3, 1.0)),
    st.just(NOW - 900.0),
    st.sampled_from((NOW - 600.0, NOW - 100.0, NOW)),
    st.sampled_from((None, None, 0.5, 100.0)),
    st.sampled_from((None, None, 1e9, 3e9)),
    st.sampled_from((None, 0.5)),
)


@given(st.lists(st.none() | loads_of_any_kind, min_size=4, max_size=4), st.integers(0, 1500))
def test_all_nodes_at_once_are_estimated_as_each_by_itself(loads: list[NodeLoad | None], age: int) -> None:
    pods = [
        pod(f"{i}-{name}", cpu=str(1 + i), memory="1Gi", node=f"worker-{i}", started=NOW - since)
        for i in range(4)
        for name, since in (("old", 2000.0), ("new", 50.0 * i))
    ]
    known = ledger(*(node(f"worker-{i}") for i in range(4)), *pods)
    known.drop("uid-default-2-old", ended=NOW - 30.0)
    known.apply_load({f"worker-{i}": each for i, each in enumerate(loads) if each is not None}, NOW)
    known.refresh(NOW + age)
    together = {name: known._columns.single[name].copy() for name in COLUMNS}
    for slot in known._slots:
        known._estimate(slot)
    for name in COLUMNS:
        assert together[name].tolist() == pytest.approx(known._columns.single[name].tolist(), rel=0, abs=0, nan_ok=True)
