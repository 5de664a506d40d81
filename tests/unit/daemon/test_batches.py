"""A batch strategy in the daemon: pods wait for one another, but not for long, and every one is decided.

In virtual time, with the daemon's own queue, ledger and binder.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from peaks_scheduler.daemon.heartbeat import Interrupted
from peaks_scheduler.daemon.scheduler.batches import Batches
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES, BatchStrategy
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from tests.support.builders import Json, pod
from tests.support.daemon_stage import Api, Stage, until
from tests.support.virtual_time import run_virtually

MIN_MIN = BATCH_STRATEGIES["min-min"]
WAIT = 1.0
LATE = 0.05  # [s] timers and writes
EVERY = pytest.mark.parametrize("strategy", BATCH_STRATEGIES.values(), ids=BATCH_STRATEGIES)

SIZES = (300, 100, 400, 200)


def web(*millicores: int) -> list[Json]:
    return [pod(f"web-{each}", cpu=f"{each}m") for each in millicores]


@EVERY
def test_all_pods_of_a_batch_are_bound_and_the_record_names_the_strategy(strategy: BatchStrategy) -> None:
    async def scenario() -> None:
        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api, strategy=strategy)
        stage.sees(*raws)
        async with stage.running():
            await until(lambda: len(api.bindings) == len(SIZES), within=WAIT + LATE)
        assert not len(stage.queue)
        assert {json.loads(each[DECISION])["strategy"] for each in api.annotations} == {strategy.name}

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("name", "order"),
    [("min-min", sorted(SIZES)), ("max-min", sorted(SIZES, reverse=True))],
    ids=["min-min", "max-min"],
)
def test_the_pods_of_a_batch_are_decided_in_the_order_of_the_strategy(name: str, order: list[int]) -> None:
    async def scenario() -> None:
        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api, strategy=BATCH_STRATEGIES[name])
        stage.sees(*raws)
        async with stage.running(binders=1):
            await until(lambda: len(api.bindings) == len(SIZES))
        assert [pod for pod, _ in api.bindings] == [f"web-{each}" for each in order]

    run_virtually(scenario())


def test_a_lonely_pod_waits_no_longer_than_the_bound_and_not_less() -> None:
    async def scenario() -> None:
        (raw,) = web(100)
        api = Api(raw)
        stage = Stage(api, strategy=MIN_MIN, batch_wait=WAIT)
        async with stage.running():
            await asyncio.sleep(7.3)
            stage.sees(raw)
            await asyncio.sleep(WAIT - LATE)
            assert api.bindings == []
            await asyncio.sleep(2 * LATE)
            assert api.bindings == [("web-100", "worker-1")]

    run_virtually(scenario())


def test_pods_that_keep_coming_do_not_delay_the_first_one() -> None:
    async def scenario() -> None:
        raws = web(*range(1, 21))
        api = Api(*raws)
        stage = Stage(api, strategy=MIN_MIN)
        async with stage.running():
            for raw in raws:  # one every tenth of a second, for two seconds
                stage.sees(raw)
                await asyncio.sleep(WAIT / 10)
            assert len(api.bindings) >= 10
            await until(lambda: len(api.bindings) == 20, within=WAIT + LATE)

    run_virtually(scenario())


def test_a_full_batch_waits_for_nothing_and_those_left_over_wait_no_longer_than_they_would_have() -> None:
    async def scenario() -> None:
        raws = web(*range(1, 8))
        api = Api(*raws)
        stage = Stage(api, strategy=replace(MIN_MIN, most=3))
        async with stage.running():
            stage.sees(*raws)
            await asyncio.sleep(LATE)
            assert len(api.bindings) == 6
            await until(lambda: len(api.bindings) == 7, within=WAIT)

    run_virtually(scenario())


def test_a_pod_that_fits_nowhere_holds_up_no_other_and_its_owner_is_told() -> None:
    async def scenario() -> None:
        raws = [pod("huge", cpu="100"), *web(100, 200)]
        api = Api(*raws)
        stage = Stage(api, strategy=MIN_MIN)
        stage.sees(*raws)
        async with stage.running():
            await until(lambda: len(api.bindings) == 2 and len(api.conditions) == 1, within=WAIT + LATE)
        assert api.conditions[0]["pod"] == "huge"
        assert api.conditions[0]["message"].startswith("0/2 nodes are available: 2 Insufficient cpu")

    run_virtually(scenario())


def failing(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
    raise ZeroDivisionError("a bug")


def empty(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
    return ()


@pytest.mark.parametrize("plan", [failing, empty])
def test_a_batch_that_cannot_be_planned_is_decided_pod_by_pod(plan: object, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api, strategy=BatchStrategy("odd", "nothing", plan))  # type: ignore[arg-type]
        stage.sees(*raws)
        async with stage.running():
            await until(lambda: len(api.bindings) == len(SIZES), within=WAIT + LATE)

    run_virtually(scenario())
    assert "batch not planned, its pods are decided one by one" in caplog.messages


def test_nothing_is_decided_after_the_end_was_asked_for_while_a_batch_waits() -> None:
    async def scenario() -> None:
        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api, strategy=MIN_MIN)
        stage.sees(*raws)
        async with stage.running():
            await asyncio.sleep(WAIT / 2)
            begun = stage.clock()
            assert await stage.scheduler.finish(10.0)
            assert stage.clock() == begun
            await asyncio.sleep(10 * WAIT)
        assert api.bindings == []

    run_virtually(scenario())


def test_a_plan_that_the_end_interrupts_leaves_its_pods_waiting() -> None:
    async def scenario() -> None:
        def interrupted(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
            raise Interrupted

        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api, strategy=BatchStrategy("long", "nothing", interrupted))
        stage.sees(*raws)
        async with stage.running():
            await asyncio.sleep(2 * WAIT)
            assert await stage.scheduler.finish(1.0)
        assert api.bindings == []
        assert (stage.queue.counts()["active"], stage.queue.in_flight) == (4, 0)

    run_virtually(scenario())


def test_the_rest_of_a_batch_goes_back_when_the_lease_is_lost_and_is_decided_when_it_returns() -> None:
    async def scenario() -> None:
        raws = web(*SIZES)
        api = Api(*raws)
        stage = Stage(api)

        def one_and_lose(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
            stage.leading = len(pods) < len(SIZES)
            return MIN_MIN.plan(pods, nodes)

        stage = Stage(api, strategy=replace(MIN_MIN, plan=one_and_lose))
        stage.sees(*raws)
        async with stage.running():
            await asyncio.sleep(2 * WAIT)
            assert api.bindings == []
            assert stage.queue.counts()["active"] == len(SIZES)
            assert {stage.queue.attempts(uid) for uid in stage.queue} == {0}
            stage.leading = True
            stage.scheduler.strategy = MIN_MIN
            stage.scheduler.load_changed()
            await until(lambda: len(api.bindings) == len(SIZES), within=WAIT + LATE)

    run_virtually(scenario())


# --- the queue of batches -------------------------------------------------------------------------------------------


def test_a_batch_has_the_pods_of_highest_priority() -> None:
    queue = SchedulingQueue()
    for name, priority in (("low", 0), ("high", 10), ("middle", 5)):
        queue.add(name, name, priority, 0.0, now=0.0)
    batches = Batches(queue, most=2, wait=1.0)
    assert batches.take(0.0) == ["high", "middle"]
    assert batches.take(0.5) == []
    assert batches.take(1.0) == ["low"]


def test_a_pod_given_back_keeps_its_place_and_has_not_been_tried() -> None:
    queue = SchedulingQueue()
    queue.add("first", "first", 1, 0.0, now=0.0)
    queue.add("second", "second", 0, 0.0, now=0.0)
    assert queue.pop(0.0) == "first"
    queue.give_back("first", 0.5)
    assert queue.attempts("first") == 0
    assert [queue.pop(1.0), queue.pop(1.0)] == ["first", "second"]


def test_a_gate_that_came_meanwhile_keeps_a_pod_given_back_waiting() -> None:
    queue = SchedulingQueue()
    queue.add("gated", "gated", 0, 0.0, now=0.0)
    queue.pop(0.0)
    queue.add("gated", "gated", 0, 0.0, True, now=0.5)
    queue.give_back("gated", 1.0)
    assert queue.counts()["gated"] == 1
    assert queue.active(1.0) == 0
    queue.give_back("unknown", 1.0)
