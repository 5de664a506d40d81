"""Pods that wait too long for a decision are found, logged, counted and helped on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import get_args

import pytest

from peaks_scheduler.daemon.scheduler.undecided import BINDING, LOOK_EVERY, MOST_TOLD, OVERDUE, UndecidedPods
from peaks_scheduler.errors import Unavailable
from peaks_scheduler.ledger.records import State
from peaks_scheduler.observability.telemetry import Undecided
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES, BatchStrategy
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from tests.support.builders import PEAKS, node, pod, read
from tests.support.daemon_stage import Api, Stage, bound, until
from tests.unit.daemon.test_audit import virtually

WEB = pod("web-0", cpu="100m")
UID = "uid-default-web-0"


class Watched:
    """A stage, and the look at its overdue pods."""

    def __init__(self, *pods: dict[str, object], strategy: Strategy | BatchStrategy = PEAKS) -> None:
        self.api = Api(*pods)
        nodes = tuple(node(f"worker-{i}", cpu="4", pods="500") for i in (1, 2))
        self.stage = Stage(self.api, nodes=nodes, strategy=strategy)
        self.undecided = UndecidedPods(self.stage.scheduler)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.undecided.tasks()["undecided"])
        try:
            async with self.stage.running():
                yield
                assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def found(self, reason: str) -> float:
        return self.stage.count("peaks_pods_left_undecided_total", reason=reason)

    @property
    def bound(self) -> list[str]:
        return [name for name, _ in self.api.bindings]


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    records = [each for each in caplog.records if each.getMessage() == "pod not decided in time"]
    return [(each.__dict__["pod"], each.__dict__["text"]) for each in records]


@virtually
async def test_a_pod_in_no_queue_is_queued_and_bound() -> None:
    """Without this a pod that is pending in the ledger, and in no queue, waited for minutes."""
    watched = Watched(WEB)
    async with watched.running():
        watched.stage.ledger.observe_pod(WEB)
        await asyncio.sleep(LOOK_EVERY + 1)
        assert watched.bound == ["web-0"]
    assert watched.found("not-queued") == 1


@virtually
async def test_a_pod_whose_attempt_was_lost_before_a_node_was_found_is_put_back() -> None:
    watched = Watched(WEB)
    watched.stage.leading = False
    async with watched.running():
        watched.stage.sees(WEB)
        assert watched.stage.queue.pop(watched.stage.clock()) == UID
        watched.stage.leading = True
        await asyncio.sleep(2 * LOOK_EVERY + 1)
        assert watched.bound == ["web-0"]
    assert watched.found("lost") == 1


@virtually
async def test_a_pod_whose_decision_nobody_carries_out_gives_its_place_back_and_is_tried_again() -> None:
    watched = Watched(WEB)
    watched.stage.leading = False
    async with watched.running():
        watched.stage.sees(WEB)
        watched.stage.queue.pop(watched.stage.clock())
        watched.stage.ledger.assume(UID, "worker-2")
        watched.stage.leading = True
        await asyncio.sleep(2 * LOOK_EVERY + 1)
        assert watched.api.bindings == [("web-0", "worker-1")]
        watched.stage.sees(watched.api.pods["web-0"])
        assert (watched.stage.held("worker-1"), watched.stage.held("worker-2")) == (100, 0)
    assert watched.found("lost") == 1


@virtually
async def test_a_deciding_task_that_sleeps_is_woken() -> None:
    watched = Watched(WEB)
    async with watched.running():
        await asyncio.sleep(1.0)
        queue, clock = watched.stage.queue, watched.stage.clock
        watched.stage.ledger.observe_pod(WEB)
        queue.add(UID, "default/web-0", 0, 0.0, now=clock())  # and nobody says so
        await asyncio.sleep(OVERDUE - LOOK_EVERY)
        assert watched.bound == []
        await asyncio.sleep(3 * LOOK_EVERY)
        assert watched.bound == ["web-0"]
    assert watched.found("waiting") == 1


@virtually
async def test_a_binding_that_hangs_is_told_and_left_alone() -> None:
    watched = Watched(WEB)
    hangs = asyncio.Event()

    async def hang() -> None:
        await hangs.wait()

    watched.api.answers.append(hang)
    async with watched.running():
        watched.stage.sees(WEB)
        await asyncio.sleep(BINDING + 2 * LOOK_EVERY)
        assert "its Binding is under way" in watched.undecided.health().text
        assert watched.stage.ledger.state(UID) is State.ASSUMED
        assert len(watched.undecided) == 1
        hangs.set()
        await asyncio.sleep(2 * LOOK_EVERY)
        assert watched.undecided.health().level == "ok"
    assert watched.bound == ["web-0"]
    assert watched.found("binding") == 1


@virtually
async def test_attempts_that_fail_in_silence_are_told() -> None:
    """The fence is closed though the Lease is not lost: nothing may be sent, and no owner is told why."""
    watched = Watched(WEB)
    watched.stage.fence_open = False
    async with watched.running():
        watched.stage.sees(WEB)
        await asyncio.sleep(BINDING - LOOK_EVERY)
        assert watched.found("failing") == 0
        await asyncio.sleep(12.0 + 2 * LOOK_EVERY)  # a backoff is 10 s at most
        assert watched.found("failing") >= 1
        watched.stage.fence_open = True
        await asyncio.sleep(12.0 + LOOK_EVERY)
        assert watched.stage.ledger.state(UID) is State.ASSUMED
        assert watched.undecided.health().level == "ok"


@virtually
async def test_who_came_back_while_a_decision_was_under_way_waits_again() -> None:
    """The audit dropped a pod that exists: the old decision must not take the pod out of the queue."""
    watched = Watched(WEB)
    stage = watched.stage
    watched.api.answers.append(Unavailable("away"))  # it will be sent once more
    async with watched.running():
        stage.sees(WEB)
        await until(lambda: len(watched.bound) == 1)
        stage.leading = False
        stage.scheduler.pod_changed(UID, stage.ledger.drop(UID), read(WEB))
        stage.scheduler.pod_changed(UID, stage.ledger.observe_pod(WEB), None)
        await asyncio.sleep(2.0)
        stage.leading = True
        stage.scheduler.load_changed()
        await asyncio.sleep(1.0)
        assert watched.bound == ["web-0", "web-0"]
    assert watched.found("not-queued") == 0


@virtually
async def test_pods_that_are_decided_are_no_trouble() -> None:
    """Pods that are bound, unschedulable, gated, being deleted or of another scheduler are not overdue."""
    big, gated = pod("big", cpu="100"), pod("gated", schedulingGates=[{"name": "later"}])
    others = [pod("foreign", scheduler="default-scheduler"), pod("leaving", deleting=True)]
    watched = Watched(WEB, big, gated, *others)
    async with watched.running():
        watched.stage.sees(WEB, big, gated, *others)
        await asyncio.sleep(10 * OVERDUE)
        assert watched.undecided.health().level == "ok"
    assert watched.bound == ["web-0"]  # no watch confirms it: the audit's affair
    assert sum(watched.found(reason) for reason in get_args(Undecided)) == 0


@virtually
async def test_a_standby_is_late_with_nothing_and_a_new_leader_has_its_time() -> None:
    pods = [pod(f"web-{i}") for i in range(3)]
    watched = Watched(*pods)
    watched.stage.leading = False
    async with watched.running():
        watched.stage.sees(*pods)
        await asyncio.sleep(10 * OVERDUE)
        watched.stage.leading = True
        await asyncio.sleep(LOOK_EVERY)
        assert len(watched.undecided) == 0
        watched.stage.scheduler.load_changed()
        await until(lambda: len(watched.bound) == 3)
    assert watched.found("waiting") == 0


@pytest.mark.parametrize("stuck", [1, 3 * MOST_TOLD])
def test_every_pod_is_told_once_and_not_all_at_once(stuck: int, caplog: pytest.LogCaptureFixture) -> None:
    @virtually
    async def scenario() -> None:
        pods = [pod(f"web-{i}") for i in range(stuck)]
        watched = Watched(*pods)
        for raw in pods:
            watched.stage.ledger.observe_pod(raw)
            watched.stage.queue.add(raw["metadata"]["uid"], raw["metadata"]["name"], 0, 0.0, now=watched.stage.clock())
        watched.undecided.look()
        await asyncio.sleep(OVERDUE)
        told = []
        for _ in range(5):
            watched.undecided.look()
            told.append(len(lines(caplog)))
        assert told == [min(stuck, MOST_TOLD * (turn + 1)) for turn in range(5)]
        assert len({name for name, _ in lines(caplog)}) == stuck
        assert watched.found("waiting") == stuck

    with caplog.at_level(logging.WARNING):
        scenario()


@virtually
async def test_the_health_check_names_a_few() -> None:
    watched = Watched()
    for number in range(5):
        watched.stage.ledger.observe_pod(pod(f"web-{number}"))
    watched.undecided.look()
    health = watched.undecided.health()
    assert health.level == "degraded"
    assert "default/web-0 (in no queue: queued)" in health.text
    assert health.text.endswith("and 2 more")


@virtually
async def test_a_pod_that_is_bound_behind_our_back_is_not_put_back() -> None:
    watched = Watched(WEB)
    async with watched.running():
        watched.stage.ledger.observe_pod(bound(WEB, "worker-2"))
        await asyncio.sleep(3 * LOOK_EVERY)
    assert watched.bound == []


@virtually
async def test_a_pod_that_waits_for_its_turn_in_a_batch_is_not_lost() -> None:
    pods = [pod(f"web-{i}", cpu="1m") for i in range(200)]
    watched = Watched(*pods, strategy=BATCH_STRATEGIES["min-min"])
    watched.api.answers.extend([partial(asyncio.sleep, 1.0)] * 200)
    async with watched.running():
        watched.stage.sees(*pods)
        await asyncio.sleep(60.0)
    assert len(watched.bound) == 200
    assert {reason: watched.found(reason) for reason in get_args(Undecided)} == dict.fromkeys(get_args(Undecided), 0.0)
