"""Jobs come and go, and the scheduler places them: what holds for every case, and what happens when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.scheduling.batching import BatchStrategy
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy
from peaks_scheduler.simulation.case import LOAD_WATCHER, Case, Replay
from peaks_scheduler.simulation.cluster import Outage
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job, in_order
from tests.support.examples import examples
from tests.support.small_cases import case, cases, job, models_of, straight

CPU_ROOM, MEMORY_ROOM = 1e-3, 1.0  # [cores], [MiB] requests are rounded up to a millicore and a byte


def starts(done: Replay) -> dict[str, float]:
    """When each job that completed began."""
    return {each.job.name: each.start_s for each in done.placements if each.completed}


# --- whatever the case ----------------------------------------------------------------------------------------------


@settings(max_examples=examples(40))
@given(cases(pinned=False))
def test_no_node_ever_holds_more_than_it_has(made_up: Case) -> None:
    done = replay(made_up)
    for node in made_up.nodes:
        here = [each for each in done.placements if each.node == node.name]
        for time in (each.start_s for each in here):
            present = [each.job for each in here if each.start_s <= time < each.end_s]
            assert sum(each.cpu_cores for each in present) <= node.cpu_cores + CPU_ROOM
            assert sum(each.memory_mib for each in present) <= node.memory_mib + MEMORY_ROOM


@settings(max_examples=examples(40))
@given(cases())
def test_every_job_runs_to_its_end_once_or_is_counted_as_unscheduled(made_up: Case) -> None:
    done = replay(made_up)
    completed = [each.job.name for each in done.placements if each.completed]
    assert sorted([*completed, *(each.name for each in done.unscheduled)]) == sorted(each.name for each in made_up.jobs)


@settings(max_examples=examples(40))
@given(cases())
def test_a_completed_job_ran_as_long_as_it_lasts_and_the_others_until_their_node_failed(made_up: Case) -> None:
    failures = {(each.node, each.start_s) for each in made_up.outages}
    for each in replay(made_up).placements:
        assert each.start_s >= each.job.arrival_s
        if each.completed:
            assert each.end_s - each.start_s == pytest.approx(each.job.duration_s, abs=1e-9)
        else:
            assert (each.node, each.end_s) in failures


@settings(max_examples=examples(40))
@given(cases())
def test_no_pod_runs_on_a_node_that_is_down_or_that_it_must_not_be_on(made_up: Case) -> None:
    for each in replay(made_up).placements:
        down = [(out.start_s, out.end_s) for out in made_up.outages if out.node == each.node]
        assert not any(start < each.end_s and each.start_s < end for start, end in down)
        assert each.job.node in ("", each.node)


@settings(max_examples=examples(20))
@given(cases())
def test_two_replays_of_one_case_are_equal(made_up: Case) -> None:
    one, other = (replace(replay(made_up), decision_s=0.0) for _ in range(2))
    assert one == other


# --- what happens when ----------------------------------------------------------------------------------------------


def test_a_job_that_ends_makes_room_for_one_that_comes_at_that_moment() -> None:
    done = replay(case([straight(cores=1.0)], [job("a", 0.0, 60.0), job("b", 60.0, 60.0)]))
    assert starts(done) == {"a": 0.0, "b": 60.0}
    assert done.decisions == 2


def test_jobs_of_one_moment_are_decided_in_order_of_their_names() -> None:
    done = replay(case([straight(cores=1.0)], [job(name, 5.0, 10.0) for name in "cab"]))
    assert starts(done) == {"a": 5.0, "b": 15.0, "c": 25.0}


def test_waiting_pods_start_when_room_comes_and_the_first_to_come_is_first() -> None:
    many = [job("long", 0.0, 100.0, 8.0), job("first", 1.0, 10.0, 4.0), job("second", 2.0, 10.0, 4.0)]
    # the third fits beside the long one at once, for no pod before it can use that room
    done = replay(case([straight()], [*many, job("small", 3.0, 10.0, 1.0), job("last", 4.0, 10.0, 8.0)]))
    assert starts(done) == {"long": 0.0, "small": 3.0, "first": 100.0, "second": 100.0, "last": 110.0}


def test_a_pod_larger_than_every_node_is_unscheduled_and_holds_nobody_up() -> None:
    done = replay(case([straight()], [job("huge", 0.0, 5.0, 11.0), job("usual", 1.0, 5.0)]))
    assert [each.name for each in done.unscheduled] == ["huge"]
    assert starts(done) == {"usual": 1.0}


def test_pods_of_a_node_that_fails_begin_anew_elsewhere() -> None:
    both = [straight("better", idle=10.0, full=20.0), straight("worse")]
    given_ = replace(case(both, [job("a", 0.0, 60.0)]), outages=[Outage("better", 20.0, 30.0)])
    runs = [(each.node, each.start_s, each.end_s, each.completed) for each in replay(given_).placements]
    assert runs == [("better", 0.0, 20.0, False), ("worse", 20.0, 80.0, True)]


def test_where_no_other_node_is_they_wait_until_it_is_back() -> None:
    given_ = replace(case([straight()], [job("a", 0.0, 60.0)]), outages=[Outage("one", 20.0, 50.0)])
    assert [(each.start_s, each.end_s) for each in replay(given_).placements] == [(0.0, 20.0), (50.0, 110.0)]


def test_a_node_is_up_again_when_the_last_of_its_outages_ends() -> None:
    outages = [Outage("one", 10.0, 100.0), Outage("one", 50.0, 70.0), Outage("one", 100.0, 120.0)]
    done = replay(replace(case([straight()], [job("a", 20.0, 5.0)]), outages=outages))
    assert starts(done) == {"a": 120.0}


def test_a_pod_that_cannot_be_moved_starts_where_it_must_whatever_room_there_is() -> None:
    fixed = replace(job("fixed", 1.0, 10.0, 8.0), node="one")
    done = replay(case([straight(), straight("two")], [job("a", 0.0, 20.0, 8.0), job("b", 0.0, 20.0, 8.0), fixed]))
    assert [(each.node, each.start_s) for each in done.placements if each.job is fixed] == [("one", 1.0)]
    assert done.decisions == 2


def test_it_waits_for_its_node_and_for_nothing_else() -> None:
    fixed = replace(job("fixed", 5.0, 10.0), node="one")
    given_ = replace(case([straight(), straight("two")], [fixed]), outages=[Outage("one", 0.0, 30.0)])
    assert starts(replay(given_)) == {"fixed": 30.0}


# --- constraints ----------------------------------------------------------------------------------------------------


ON_A = {"nodeSelector": {"kubernetes.io/hostname": "a"}}


def api_pod(name: str, app: str, spec: dict[str, object], cpu: str = "1") -> Pod:
    container = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
    meta = {"name": name, "uid": name, "labels": {"app": app}}
    return pod_from_api({"metadata": meta, "spec": {"containers": [container], **spec}}, 100)


def beside(app: str, how: str) -> dict[str, object]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    return {"affinity": {how: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def test_a_pod_that_must_be_beside_another_starts_once_that_one_runs() -> None:
    guest = replace(job("guest", 0.0, 10.0), pod=api_pod("guest", "guest", beside("host", "podAffinity")))
    host = replace(job("host", 50.0, 10.0), pod=api_pod("host", "host", {}))
    assert starts(replay(case([straight(), straight("two")], [guest, host]))) == {"guest": 50.0, "host": 50.0}


def test_one_that_must_not_be_beside_another_starts_once_that_one_has_ended() -> None:
    spec = beside("host", "podAntiAffinity")
    shy = replace(job("shy", 5.0, 10.0), pod=api_pod("shy", "shy", spec))
    host = replace(job("host", 0.0, 50.0), pod=api_pod("host", "host", {}))
    assert starts(replay(case([straight()], [host, shy]))) == {"host": 0.0, "shy": 50.0}


def test_pods_that_ask_the_same_wait_together_and_one_of_them_is_tried() -> None:
    selecting = {"nodeSelector": {"kubernetes.io/hostname": "one"}}
    alike = [replace(job(f"{i:02}", 0.0, 10.0), pod=api_pod(f"{i:02}", "app", selecting)) for i in range(20)]
    done = replay(case([straight(cores=1.0), straight("two")], alike))
    assert starts(done) == {f"{i:02}": 10.0 * i for i in range(20)}
    # each once when it comes, and each of the 19 that waited once when there is room
    assert done.decisions == 39


def test_one_that_another_pod_keeps_out_of_a_zone_starts_when_that_one_ends() -> None:
    small_and_large = [replace(straight(*each), region="north") for each in (("a", 1.0), ("b", 10.0))]
    term = {"topologyKey": "topology.kubernetes.io/region", "labelSelector": {"matchLabels": {"app": "guest"}}}
    repelling = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    shy = replace(job("shy", 0.0, 50.0), pod=api_pod("shy", "shy", {**repelling, **ON_A}))
    # too large for the node that the other one leaves: it goes to the other node of that zone
    guest = replace(job("guest", 2.0, 5.0), pod=api_pod("guest", "guest", {}, cpu="2"))
    assert starts(replay(case(small_and_large, [shy, guest]))) == {"shy": 0.0, "guest": 50.0}


# --- batches --------------------------------------------------------------------------------------------------------


def last_first(pods: Sequence[Pod], nodes: Snapshot) -> list[tuple[int, Strategy]]:
    return [(place, STRATEGIES["envelope"]) for place in reversed(range(len(pods)))]


IN_THREES = BatchStrategy("last-first", "", last_first, 3)


def test_a_batch_waits_for_more_pods_and_is_decided_in_the_order_of_its_plan() -> None:
    done = replay(
        case([straight(cores=1.0)], [job("a", 0.0, 10.0), job("b", 0.5, 10.0), job("c", 20.9, 10.0)]),
        strategy=IN_THREES,
    )
    # both are there a second after the first came; the first one waits for room, and then for a batch again
    assert starts(done) == {"b": 1.0, "a": 12.0, "c": 23.0}


def test_more_pods_than_a_batch_holds_are_decided_in_several() -> None:
    done = replay(case([straight()], [job(f"{i}", 0.0, 10.0) for i in range(8)]), strategy=IN_THREES)
    assert starts(done) == {f"{i}": 1.0 for i in range(8)}


def test_a_pod_bound_to_a_node_never_waits_for_a_batch() -> None:
    fixed = replace(job("fixed", 1.0, 10.0), node="one")
    given_ = replace(case([straight()], [job("huge", 0.0, 5.0, 11.0), fixed]), outages=[Outage("one", 0.0, 30.0)])
    assert starts(replay(given_, strategy=IN_THREES)) == {"fixed": 30.0}


def test_a_plan_without_pods_leaves_them_waiting() -> None:
    idle = BatchStrategy("idle", "", lambda pods, nodes: [], 1)
    assert len(replay(case([straight()], [job("a", 0.0, 1.0), job("b", 0.0, 1.0)]), strategy=idle).unscheduled) == 2


# --- the correction of the lag --------------------------------------------------------------------------------------


def test_a_burst_within_one_load_window_is_spread_as_if_every_load_were_known_at_once() -> None:
    fleet = [straight(f"node-{i:02}", 32.0, 60.0 + i, 250.0 + 3.0 * i) for i in range(50)]
    burst = in_order(job(f"pod-{i:03}", 1.0 * i, 3600.0, 1.0 + i % 4) for i in range(500))
    seen, known = (measure(replay(case(fleet, burst, load))).kpis for load in (LOAD_WATCHER, case([], []).load))
    assert seen.unscheduled == known.unscheduled == 0
    assert seen.energy_kwh <= 1.1 * known.energy_kwh


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"nodes": []}, "at least one node"),
        ({"nodes": [straight(), straight()]}, "'one' comes twice"),
        ({"jobs": [job("a", 0.0, 1.0), job("a", 2.0, 1.0)]}, "'a' comes twice"),
        ({"jobs": [job("a", -1.0, 1.0)]}, "arrival of 0 s or later; got -1"),
        ({"jobs": [job("a", 0.0, 0.0)]}, "duration above 0 s; got 0"),
        ({"jobs": [job("a", 0.0, float("nan"))]}, "duration above 0 s; got nan"),
        ({"outages": [Outage("two", 0.0, 1.0)]}, "there is no node 'two'"),
        ({"outages": [Outage("one", 5.0, 5.0)]}, "5 s to 5 s"),
    ],
)
def test_a_case_that_cannot_be_is_refused_with_what_is_wrong(wrong: dict[str, object], told: str) -> None:
    possible = Case([straight()], [job("a", 0.0, 1.0)], "envelope", models_of([straight()]))
    with pytest.raises(SimulationError, match=told):
        replay(replace(possible, **wrong))  # type: ignore[arg-type]


def test_the_jobs_of_a_replay_that_ended_are_counted_while_it_runs() -> None:
    seen: list[tuple[int, int]] = []
    jobs: list[Job] = [job("a", 0.0, 10.0), job("b", 0.0, 5.0)]
    replay(case([straight()], jobs), lambda ended, every: seen.append((ended, every)))
    assert seen == [(1, 2), (2, 2)]
