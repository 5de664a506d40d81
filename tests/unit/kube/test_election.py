"""Leader election: takeover, write fence, faults and release, in virtual time."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from peaks_scheduler.errors import Ambiguous, Conflict, KubeError, NotFound, Unavailable
from peaks_scheduler.kube.election import LeaderElector, unique_identity
from peaks_scheduler.kube.http.outgoing import FENCED_TIMEOUT
from peaks_scheduler.kube.http.rotating_connector import CONNECT_TIMEOUT
from tests.support.virtual_time import now, run_virtually

Json = dict[str, Any]
LEASE_DURATION, RENEW_DEADLINE = 15.0, 10.0


class Leases:
    """One Lease as on the API server: resourceVersion, 404, 409, and the faults that a test orders."""

    def __init__(self, latency: float = 0.01) -> None:
        self.latency = latency
        self.lease: Json | None = None
        self.version = 0
        self.down: KubeError | None = None
        self.loses_answers = False  # what is written is stored, but the answer never comes
        self.hangs = False
        self.gate: asyncio.Event | None = None  # what is to be replaced waits here

    async def get_lease(self, namespace: str, name: str) -> Json:
        await self._travel()
        if self.lease is None:
            raise NotFound("no such lease", 404)
        return copy.deepcopy(self.lease)

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        await self._travel()
        if self.lease is not None:
            raise Conflict("already exists", 409)
        return await self._store(lease)

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        await self._travel()
        if self.gate is not None:
            await self.gate.wait()
        if self.lease is None:
            raise NotFound("no such lease", 404)
        if lease["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", 409)
        return await self._store(lease)

    @property
    def spec(self) -> Json:
        assert self.lease is not None
        spec: Json = self.lease["spec"]
        return spec

    async def _travel(self) -> None:
        await asyncio.sleep(self.latency)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.down is not None:
            raise self.down

    async def _store(self, lease: Json) -> Json:
        self.version += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.gate is None:
            await asyncio.sleep(self.latency)
        if self.loses_answers:
            raise Ambiguous("no answer")
        return copy.deepcopy(self.lease)


@dataclass(eq=False)
class Replica:
    """A running elector, and the calls of its ``on_change``."""

    elector: LeaderElector
    changes: list[tuple[float, bool]]
    link: Leases | Link
    running: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.running = asyncio.create_task(self.elector.run())

    async def crash(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


class Link:
    """The connection of one replica to the Lease, which can be cut."""

    def __init__(self, leases: Leases) -> None:
        self.leases, self.cut = leases, False

    def _end(self) -> Leases:
        if self.cut:
            raise Unavailable("no route to host")
        return self.leases

    async def get_lease(self, namespace: str, name: str) -> Json:
        return await self._end().get_lease(namespace, name)

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        return await self._end().create_lease(namespace, lease)

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        return await self._end().replace_lease(namespace, name, lease)


def replica(leases: Leases | Link, identity: str, wall_offset: float = 0.0) -> Replica:
    changes: list[tuple[float, bool]] = []
    elector = LeaderElector(
        leases,
        "kube-system",
        "peaks-scheduler-peaks",
        identity,
        LEASE_DURATION,
        RENEW_DEADLINE,
        2.0,
        now,
        on_change=lambda leading: changes.append((now(), leading)),
        wall_clock=lambda: 1_800_000_000.0 + now() + wall_offset,
    )
    return Replica(elector, changes, leases)


async def until(condition: Callable[[], bool], within: float) -> float:
    """Seconds until ``condition`` holds; fails after ``within``."""
    start = now()
    while not condition():
        assert now() - start < within, f"not within {within} s"
        await asyncio.sleep(0.01)
    return now() - start


def virtually(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        run_virtually(scenario())

    test.__name__ = scenario.__name__
    return test


async def leader_and_standby(leases: Leases) -> tuple[Replica, Replica]:
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    b = replica(leases, "b")
    await asyncio.sleep(5.0)
    assert not b.elector.may_write()
    return a, b


@virtually
async def test_the_first_candidate_makes_the_lease_and_leads() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    assert leases.lease is not None
    assert leases.lease["metadata"]["name"] == "peaks-scheduler-peaks"
    # 1_800_001_000.01: the virtual clock starts at 1000 s, and one journey takes 0.01 s
    stamp = "2027-01-15T08:16:40.010000Z"
    assert leases.spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": stamp,
        "renewTime": stamp,
        "leaseTransitions": 0,
    }
    assert [leading for _, leading in a.changes] == [True]


@virtually
async def test_a_leader_renews_and_keeps_its_acquire_time() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    first = copy.deepcopy(leases.spec)
    for _ in range(100):
        await asyncio.sleep(1.0)
        assert a.elector.may_write()
    assert leases.spec["renewTime"] > first["renewTime"]
    assert {k: v for k, v in leases.spec.items() if k != "renewTime"} == {
        k: v for k, v in first.items() if k != "renewTime"
    }


@virtually
async def test_a_standby_takes_over_within_twenty_seconds_of_a_crash() -> None:
    for _ in range(20):  # the standby looks at random moments
        leases = Leases()
        a, b = await leader_and_standby(leases)
        await a.crash()
        took = await until(b.elector.may_write, 20.0)
        # not before the lease has expired; after that at once: 15 s and the 2.2 s until the last renewal was seen
        assert LEASE_DURATION - 2.5 < took < LEASE_DURATION + 2.3
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("b", 1)
        await b.crash()


@virtually
async def test_a_standby_takes_over_within_three_seconds_of_a_release() -> None:
    for _ in range(20):  # the standby looks at random moments
        leases = Leases(latency=0.05)
        a, b = await leader_and_standby(leases)
        await a.elector.release()
        assert not a.elector.may_write()
        await until(b.elector.may_write, 3.0)
        await b.elector.release()


@virtually
async def test_a_release_leaves_the_lease_as_client_go_does_and_ends_the_run() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    await a.elector.release()
    assert (leases.spec["holderIdentity"], leases.spec["leaseDurationSeconds"]) == ("", 1)
    await asyncio.wait_for(a.running, 1.0)
    assert [leading for _, leading in a.changes] == [True, False]


@virtually
async def test_a_standby_that_stops_leaves_the_leaders_lease_alone() -> None:
    leases = Leases()
    a, b = await leader_and_standby(leases)
    await b.elector.release()
    assert leases.spec["holderIdentity"] == "a"
    assert a.elector.may_write()


@virtually
async def test_a_release_is_not_held_up_by_a_renewal_that_hangs() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    leases.hangs = True
    await asyncio.sleep(3.0)  # now a renewal is under way
    leases.hangs = False
    start = now()
    await a.elector.release()
    assert now() - start < 0.2
    assert leases.spec["holderIdentity"] == ""


@virtually
async def test_a_renewal_answered_in_the_moment_of_the_release_gives_no_right_to_write() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    leases.gate = asyncio.Event()
    await asyncio.sleep(3.0)  # now a renewal waits at the gate
    leases.gate.set()
    await a.elector.release()
    assert not a.elector.may_write()
    assert leases.spec["holderIdentity"] == ""


@virtually
async def test_a_release_that_the_server_does_not_answer_ends_in_time() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    leases.hangs = True
    start = now()
    await a.elector.release(within=2.5)
    assert now() - start <= 2.6


@virtually
async def test_no_write_later_than_the_renew_deadline_after_the_start_of_the_last_renewal() -> None:
    leases = Leases(latency=0.4)
    a = replica(leases, "a")
    await until(a.elector.may_write, 2.0)
    # GET (0.4), then the creation that succeeded was sent at 0.4 s; its answer came at 1.2 s
    sent = now() - 0.8
    leases.down = Unavailable("down", 503)
    await until(lambda: not a.elector.may_write(), RENEW_DEADLINE)
    assert now() - sent == pytest.approx(RENEW_DEADLINE, abs=0.02)
    await asyncio.sleep(0.01)
    assert a.changes[-1] == (pytest.approx(sent + RENEW_DEADLINE, abs=0.02), False)


@pytest.mark.parametrize("fault", [Unavailable("down", 503), KubeError("odd", 418), RuntimeError("a bug")])
def test_a_server_that_fails_for_twelve_seconds_costs_the_lead_and_gives_it_back(fault: Exception) -> None:
    async def scenario() -> None:
        leases = Leases()
        a = replica(leases, "a")
        await until(a.elector.may_write, 1.0)
        leases.down = fault  # type: ignore[assignment]
        await asyncio.sleep(12.0)
        assert not a.elector.leading
        leases.down = None
        await until(a.elector.may_write, 3.0)
        await asyncio.sleep(0.1)
        assert [leading for _, leading in a.changes] == [True, False, True]
        assert leases.spec["leaseTransitions"] == 0

    run_virtually(scenario())


@virtually
async def test_a_server_that_hangs_costs_the_lead_in_time() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    leases.hangs = True
    await until(lambda: not a.elector.leading, RENEW_DEADLINE + 0.1)


@virtually
async def test_a_loser_competes_again() -> None:
    leases = Leases()
    link = Link(leases)
    a = replica(link, "a")
    await until(a.elector.may_write, 1.0)
    b = replica(leases, "b")
    link.cut = True
    await until(b.elector.may_write, 20.0)
    assert not a.elector.may_write()
    link.cut = False
    await asyncio.sleep(5.0)
    assert (a.elector.leading, a.elector.holder) == (False, "b")
    await b.crash()
    await until(a.elector.may_write, 20.0)


def test_a_standby_says_once_for_whom_and_says_it_when_it_leads(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = Leases()
        a, b = await leader_and_standby(leases)
        await asyncio.sleep(600.0)
        await a.crash()
        await until(b.elector.may_write, 20.0)
        await b.elector.release()

    caplog.set_level("INFO")
    run_virtually(scenario())
    said = [(record.message, vars(record).get("holder")) for record in caplog.records]
    assert said == [
        ("leading", "a"),
        ("standing by", "a"),
        ("leading", "b"),
        ("not leading", "b"),
        ("lease released", None),
    ]


def test_a_loser_says_for_whom_it_stands_by(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = Leases()
        link = Link(leases)
        a = replica(link, "a")
        await until(a.elector.may_write, 1.0)
        b = replica(leases, "b")
        link.cut = True
        await until(b.elector.may_write, 20.0)
        link.cut = False
        await asyncio.sleep(60.0)
        await a.crash()

    caplog.set_level("INFO")
    run_virtually(scenario())
    said = [(record.message, vars(record).get("holder")) for record in caplog.records]
    assert said.count(("standing by", "a")) == said.count(("standing by", "b")) == 1
    assert said.index(("not leading", "a")) < said.index(("standing by", "b"))


@virtually
async def test_an_answer_that_was_lost_is_sorted_out_at_the_next_try() -> None:
    leases = Leases()
    leases.loses_answers = True
    a = replica(leases, "a")
    await asyncio.sleep(1.0)
    assert leases.spec["holderIdentity"] == "a"
    assert not a.elector.may_write()  # it cannot know
    leases.loses_answers = False
    await until(a.elector.may_write, 3.0)


@virtually
async def test_a_conflict_on_renewal_makes_the_leader_look_again() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    assert leases.lease is not None
    leases.lease["metadata"] |= {"resourceVersion": "999", "labels": {"touched": "by somebody"}}
    for _ in range(200):
        await asyncio.sleep(0.1)
        assert a.elector.may_write()
    assert leases.lease["metadata"]["labels"] == {"touched": "by somebody"}


@virtually
async def test_a_leader_whose_lease_was_taken_stops_at_once() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    leases.spec["holderIdentity"] = "usurper"
    assert leases.lease is not None
    leases.lease["metadata"]["resourceVersion"] = "999"
    await until(lambda: not a.elector.may_write(), 2.5)


@virtually
async def test_a_lease_deleted_under_its_leader_is_not_taken_by_a_standby() -> None:
    leases = Leases()
    a, b = await leader_and_standby(leases)
    leases.lease = None
    for _ in range(500):
        await asyncio.sleep(0.01)
        assert not (a.elector.may_write() and b.elector.may_write())
    assert a.elector.may_write()


@virtually
async def test_a_lease_that_holds_rubbish_does_not_end_the_race() -> None:
    leases = Leases()
    a = replica(leases, "a")
    await until(a.elector.may_write, 1.0)
    assert leases.lease is not None
    leases.lease = {"metadata": {"resourceVersion": "7"}, "spec": None}
    await asyncio.sleep(20.0)
    assert a.elector.may_write()
    assert leases.spec["holderIdentity"] == "a"


@virtually
async def test_a_callback_that_fails_does_not_end_the_race() -> None:
    def fail(leading: bool) -> None:
        raise ValueError("a bug elsewhere")

    elector = LeaderElector(Leases(), "ns", "lease", "a", clock=now, on_change=fail)
    running = asyncio.create_task(elector.run())
    await asyncio.sleep(60.0)
    assert elector.may_write()
    await elector.release()
    await running


@pytest.mark.parametrize("skew", [-3600.0, -20.0, 0.0, 20.0, 3600.0], ids=lambda s: f"{s:+.0f}s")
@pytest.mark.parametrize("fault", ["crash", "cut", "slow", "restart"])
def test_two_replicas_never_may_write_at_once(fault: str, skew: float) -> None:
    """The leader's connection fails again and again while the wall clocks differ; each time a replica leads again."""

    async def scenario() -> None:
        leases = Leases(latency=0.05)
        links = [Link(leases), Link(leases)]
        replicas = [replica(links[0], "a"), replica(links[1], "b", wall_offset=skew)]

        async def break_leader() -> None:
            for round_ in range(6):
                await asyncio.sleep(9.0 + 3.7 * round_)
                leader = next((i for i in (0, 1) if replicas[i].elector.may_write()), 0)
                await harm(fault, leader)

        async def harm(fault: str, i: int) -> None:
            if fault == "crash":
                await replicas[i].crash()
                await asyncio.sleep(3.0)
                replicas[i] = replica(links[i], f"again-{now()}")
            elif fault == "cut":
                links[i].cut = True
                await asyncio.sleep(13.0)
                links[i].cut = False
            elif fault == "slow":
                leases.latency = 2.3
                await asyncio.sleep(20.0)
                leases.latency = 0.05
            else:
                leases.down = Unavailable("restarting", 503)
                await asyncio.sleep(12.0)
                leases.down = None

        async def watch() -> None:
            while True:
                writers = [i for i in (0, 1) if replicas[i].elector.may_write()]
                assert len(writers) < 2
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        await break_leader()
        await until(lambda: any(r.elector.may_write() for r in replicas), 25.0)
        assert not watching.done()
        watching.cancel()

    run_virtually(scenario())


def test_durations_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="expected lease duration > renew deadline > retry period"):
        LeaderElector(Leases(), "ns", "lease", "a", lease_duration=10, renew_deadline=10)


def test_every_process_has_an_identity_of_its_own() -> None:
    assert unique_identity() != unique_identity()


def test_a_write_that_the_fence_let_through_has_ended_before_another_may_lead() -> None:
    defaults = {name: each.default for name, each in inspect.signature(LeaderElector).parameters.items()}
    last = defaults["renew_deadline"] - CONNECT_TIMEOUT  # after a renewal; see ``daemon.keepers.lease``
    assert last + FENCED_TIMEOUT <= defaults["lease_duration"]
