"""Whatever the outcome of a Binding, its pod ends bound, pending or gone, and its owner is told once.

The first half speaks HTTP with the embedded API server; the second, where hours pass, runs in virtual time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.daemon.scheduler.after_binding import PACE
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.object_store import StoreChange
from peaks_scheduler.errors import Ambiguous, Conflict, Forbidden, Unavailable
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.ledger.records import State
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.objects.pod import Pod
from tests.support.builders import (
    HOSTNAME,
    PEAKS,
    Json,
    anti_affinity,
    namespace,
    node,
    pod,
    pod_affinity,
    pod_term,
    spread,
    taint,
)
from tests.support.daemon_stage import WORKERS, Api, Stage, bound, decided, until
from tests.support.storage_objects import DRIVER, capacity, claim, csi_driver, csi_node, storage_class, using, volume
from tests.support.virtual_time import run_virtually

UID = "uid-default-web-0"
WEB = pod(cpu="1")
BINDING = ("create", "pods/binding")


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedApiServer]:
    async with EmbeddedApiServer() as running:
        yield running


@pytest.fixture
async def connection(server: EmbeddedApiServer, tmp_path: Path) -> AsyncIterator[Connection]:
    connection = await connect(str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    yield connection
    await connection.close()


@pytest.fixture
async def stage(server: EmbeddedApiServer, connection: Connection) -> Stage:
    """web-0 is on the server and seen; from here on the watch is blind unless the test says otherwise."""
    stage = Stage(KubeClient(connection, "Peaks", "stage", timeout=2.0), backoff=0.05)
    server.add_pod(WEB)
    stage.sees(WEB)
    return stage


def watch(server: EmbeddedApiServer, stage: Stage) -> None:
    def tell(change: StoreChange) -> None:
        if change.after is not None:
            stage.sees(change.after.object)
        elif change.before is not None:
            stage.loses(change.before.object)

    server.subscribe("pods", tell)


def told(server: EmbeddedApiServer, reason: str = "Scheduled") -> list[str]:
    return [event["regarding"]["name"] for event in server.objects("events") if event["reason"] == reason]


async def settled(stage: Stage) -> None:
    """The pod waits nowhere and everything about it was told."""
    await until(lambda: not len(stage.queue) and not stage.events.backlog)


async def test_a_pod_is_bound_where_the_power_rises_least_and_its_owner_told_once(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    watch(server, stage)
    async with stage.running():
        await settled(stage)
    there = server.get("pods", "web-0")
    assert there["spec"]["nodeName"] == "worker-1"
    record = json.loads(there["metadata"]["annotations"][DECISION])
    assert (record["node"], record["runnerUp"]) == ("worker-1", "worker-2")
    assert told(server) == ["web-0"]
    assert stage.ledger.state(UID) is State.BOUND
    assert stage.count("scheduler_schedule_attempts_total", result="scheduled", profile="Peaks") == 1


def bound_by_another(server: EmbeddedApiServer) -> None:
    server.bind("web-0", "worker-2")


def bound_by_another_there(server: EmbeddedApiServer) -> None:
    server.bind("web-0", "worker-1")


def deleted(server: EmbeddedApiServer) -> None:
    server.remove("pods", "web-0")


def replaced(server: EmbeddedApiServer) -> None:
    server.remove("pods", "web-0")
    server.add_pod(pod(cpu="1", uid="another"))


def being_deleted(server: EmbeddedApiServer) -> None:
    server.change("pods", "web-0", {"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}})


@pytest.mark.parametrize(
    ("happened", "reason", "state", "held"),
    [
        pytest.param(bound_by_another, "already-bound", State.BOUND, (0, 1000), id="bound elsewhere by another"),
        pytest.param(bound_by_another_there, "already-bound", State.BOUND, (1000, 0), id="bound there by another"),
        pytest.param(deleted, "pod-gone", None, (0, 0), id="pod deleted"),
        pytest.param(replaced, "pod-gone", None, (0, 0), id="another pod of that name"),
        pytest.param(being_deleted, "being-deleted", State.PENDING, (0, 0), id="pod being deleted"),
    ],
)
async def test_a_pod_that_others_were_faster_with_is_left_to_them(
    server: EmbeddedApiServer,
    stage: Stage,
    happened: Callable[[EmbeddedApiServer], None],
    reason: str,
    state: State | None,
    held: tuple[int, int],
) -> None:
    happened(server)
    async with stage.running():
        await settled(stage)
    assert stage.conflicts(reason) == 1
    assert stage.ledger.state(UID) is state
    assert (stage.held("worker-1"), stage.held("worker-2")) == held
    assert told(server) == []
    assert server.requests[BINDING] == 1


Fault = Callable[[EmbeddedApiServer], None]


@pytest.mark.parametrize(
    ("fault", "bindings"),
    [
        pytest.param(lambda s: s.drop_next(1, "binding", after_applying=True), 1, id="answer lost, binding done"),
        pytest.param(lambda s: s.drop_next(1, "binding"), 2, id="answer lost, binding not done"),
        pytest.param(lambda s: s.fail_next(1, 500, match="binding"), 2, id="500"),
        pytest.param(lambda s: s.fail_next(1, 504, match="binding"), 2, id="504"),
        pytest.param(lambda s: s.fail_next(1, 503, match="binding"), 2, id="503"),
        pytest.param(lambda s: s.fail_next(1, 403, match="binding"), 2, id="403"),
        pytest.param(lambda s: s.fail_next(1, 404, match="binding"), 2, id="404 though the pod is there"),
        pytest.param(lambda s: s.fail_next(1, 409, match="binding"), 2, id="409 though the pod is not bound"),
        pytest.param(lambda s: s.fail_next(1, 429, {"Retry-After": "0.2"}, "binding"), 2, id="429"),
    ],
)
async def test_a_binding_that_fails_is_made_good(
    server: EmbeddedApiServer, stage: Stage, fault: Fault, bindings: int
) -> None:
    watch(server, stage)
    fault(server)
    async with stage.running():
        await settled(stage)
    assert server.get("pods", "web-0")["spec"]["nodeName"] == "worker-1"
    assert server.requests[BINDING] == bindings
    assert told(server) == ["web-0"]
    assert (stage.held("worker-1"), stage.held("worker-2")) == (1000, 0)


async def test_a_429_holds_binds_back_and_halves_their_number_until_they_succeed_again(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    server.fail_next(1, 429, {"Retry-After": "0.1"}, "binding")
    async with stage.running():
        await until(lambda: stage.limiter.limit == 4)
        for i in range(1, 4):
            server.add_pod(pod(f"web-{i}"))
            stage.sees(pod(f"web-{i}"))
        await settled(stage)
    # the fourth success in a row gives the fifth turn back
    assert stage.limiter.limit == 5


async def test_the_watch_that_is_faster_than_the_answer_makes_no_second_event(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    watch(server, stage)
    server.drop_next(1, "binding", after_applying=True)
    server.fail_next(1, 503, match="GET /api/v1/namespaces/default/pods/web-0")
    async with stage.running():
        await settled(stage)
    assert told(server) == ["web-0"]
    assert stage.count("scheduler_schedule_attempts_total", result="scheduled", profile="Peaks") == 1
    assert server.requests[BINDING] == 1


# --- in virtual time --------------------------------------------------------------------------------------------------

Scenario = Callable[[], Coroutine[Any, Any, None]]


def virtually(scenario: Scenario) -> Callable[[], None]:
    """The scenario as a test whose minutes take no time."""

    def test() -> None:
        run_virtually(scenario())

    test.__name__ = scenario.__name__
    return test


@virtually
async def test_a_binding_is_tried_for_half_a_minute_and_then_its_pod_waits_again() -> None:
    api = Api(WEB)
    api.answers.extend([Unavailable("down")] * 200)
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running():
        await asyncio.sleep(32.0)
        assert stage.conflicts("unavailable") == 1
        assert UID in stage.queue
        api.answers.clear()
        await asyncio.sleep(35.0)
    assert api.pods["web-0"]["spec"]["nodeName"] == "worker-1"
    assert api.told("Scheduled") == ["web-0"]


@pytest.mark.parametrize("error", [Unavailable("503", 503), Ambiguous("500", 500)], ids=["unavailable", "ambiguous"])
def test_an_api_server_that_fails_every_binding_is_not_hammered(error: Exception) -> None:
    async def scenario() -> None:
        api = Api(WEB)
        api.answers.extend([error] * 1000)
        stage = Stage(api)
        stage.sees(WEB)
        async with stage.running():
            await asyncio.sleep(29.0)
        # 0.25, 0.5, 1, then every 2 seconds
        assert 10 <= len(api.bindings) <= 18

    run_virtually(scenario())


@virtually
async def test_a_pod_that_vanishes_while_its_binding_is_retried_is_let_go() -> None:
    api = Api(WEB)
    api.answers.extend([Unavailable("down")] * 200)
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: len(api.bindings) == 3)
        stage.loses(WEB)
        await asyncio.sleep(60.0)
    assert len(api.bindings) == 3
    assert len(stage.queue) == 0
    assert stage.held("worker-1") == 0


@virtually
async def test_a_pod_given_up_for_lost_and_bound_after_all_is_announced() -> None:
    api = Api(WEB)
    stage = Stage(api)

    async def done_but_lost() -> None:
        stage.fence_open = False  # the Lease is lost at the same time
        raise Ambiguous("no answer")

    api.answers.extend([done_but_lost, Unavailable("down")])
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: stage.conflicts("fenced") == 1)
        stage.leading, stage.fence_open = False, True
        stage.sees(decided(WEB, "worker-1"))
        await asyncio.sleep(1.0)
    assert api.told("Scheduled") == ["web-0"]
    assert len(stage.queue) == 0
    assert stage.held("worker-1") == 1000


@virtually
async def test_a_binding_that_took_effect_before_the_api_server_forbade_everything_is_announced() -> None:
    """The answer is lost, then all is forbidden for a moment, then the pod is decided anew, for another node."""
    api = Api(WEB)
    stage = Stage(api)

    async def done_but_lost() -> None:
        stage.sees(node("worker-1", cpu="4", unschedulable=True))
        api.pods["web-0"] = bound(WEB, "worker-1", {DECISION: "{}"})
        api.pod_answers.extend([Forbidden("starting", 403)] * 2)
        raise Ambiguous("no answer")

    async def forbidden_then_taken() -> None:
        raise Conflict("already assigned to node worker-1", 409)

    api.answers.extend([done_but_lost, Forbidden("starting", 403), forbidden_then_taken])
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: stage.conflicts("already-bound") == 1, 60.0)
        await asyncio.sleep(1.0)
    assert api.told("Scheduled") == ["web-0"]
    assert api.conditions == []  # of a pod that is bound nothing is said
    assert (stage.held("worker-1"), stage.held("worker-2")) == (1000, 0)


@virtually
async def test_no_binding_is_sent_behind_the_fence() -> None:
    pods = [pod(f"web-{i}") for i in range(40)]
    api = Api(*pods)
    stage = Stage(api)
    stage.sees(*pods)
    async with stage.running(binders=0):
        await asyncio.sleep(1.0)  # some are decided and wait for a worker
        assert sum(state is State.ASSUMED for _, state in stage.ledger.pods()) > 1
        stage.leading = stage.fence_open = False
        workers = [asyncio.create_task(stage.scheduler.binder.bind_jobs()) for _ in range(4)]
        await asyncio.sleep(1.0)
        assert api.bindings == []
        assert all(state is State.PENDING for _, state in stage.ledger.pods())
        stage.leading = stage.fence_open = True
        stage.scheduler.load_changed()
        await asyncio.sleep(5.0)
        for worker in workers:
            worker.cancel()
    assert sorted(api.told("Scheduled")) == sorted(each["metadata"]["name"] for each in pods)


@virtually
async def test_a_decision_whose_node_is_gone_is_made_again() -> None:
    api = Api(WEB)
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running(binders=0):
        await until(lambda: stage.ledger.state(UID) is State.ASSUMED)
        stage.loses(node("worker-1"))
        worker = asyncio.create_task(stage.scheduler.binder.bind_jobs())
        await until(lambda: bool(api.told("Scheduled")))
        worker.cancel()
    assert stage.conflicts("node-gone") == 1
    assert api.bindings == [("web-0", "worker-2")]


@virtually
async def test_a_decision_that_another_scheduler_overtook_is_dropped_unsent() -> None:
    api = Api(WEB)
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running(binders=0):
        await until(lambda: stage.ledger.state(UID) is State.ASSUMED)
        stage.sees(bound(WEB, "worker-2"))
        worker = asyncio.create_task(stage.scheduler.binder.bind_jobs())
        await asyncio.sleep(1.0)
        worker.cancel()
    assert api.bindings == []
    assert (stage.held("worker-1"), stage.held("worker-2")) == (0, 1000)
    assert api.told("Scheduled") == []
    assert len(stage.queue) == 0


@virtually
async def test_a_worker_that_is_stopped_gives_its_pod_back() -> None:
    api = Api(WEB)
    api.answers.append(lambda: asyncio.sleep(3600.0))
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: len(api.bindings) == 1)
    assert stage.ledger.state(UID) is State.PENDING
    assert stage.held("worker-1") == 0
    assert UID in stage.queue


@virtually
async def test_stopping_waits_for_the_binds_in_flight_but_not_for_ever() -> None:
    api = Api(WEB)
    api.answers.append(lambda: asyncio.sleep(5.0))
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: len(api.bindings) == 1)
        assert not await stage.scheduler.finish(1.0)
        stage.sees(pod("late"))
        assert await stage.scheduler.finish(10.0)
        await asyncio.sleep(10.0)
    assert api.bindings == [("web-0", "worker-1")]  # and nothing new was begun


@virtually
async def test_a_pod_that_the_core_cannot_cope_with_holds_up_nobody() -> None:
    def cost(pod: Pod, nodes: Snapshot) -> Floats:
        if pod.name == "poison":
            raise ZeroDivisionError("a bug")
        return PEAKS.cost(pod, nodes)

    poison = pod("poison", priority=100)
    api = Api(WEB, poison)
    stage = Stage(api, strategy=replace(PEAKS, cost=cost))
    stage.sees(poison, WEB)
    async with stage.running():
        await asyncio.sleep(60.0)
    assert api.told("Scheduled") == ["web-0"]
    # at once, then backoffs of 1, 2, 4, 8 and every 10 seconds
    assert 6 <= stage.count("scheduler_schedule_attempts_total", result="error", profile="Peaks") <= 12


@virtually
async def test_a_pod_whose_decision_was_interrupted_by_a_sleeping_machine_is_tried_again_soon() -> None:
    def cost(pod: Pod, nodes: Snapshot) -> Floats:
        time.sleep(0.5 if stage.queue.attempts(pod.uid) == 1 else 0.0)  # ten seconds of backoff, if it were work
        return PEAKS.cost(pod, nodes)

    api = Api(WEB)
    stage = Stage(api, strategy=replace(PEAKS, cost=cost))
    stage.fence_open = False
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: stage.conflicts("fenced") == 1)
        stage.fence_open = True
        await until(lambda: api.bindings == [("web-0", "worker-1")], within=3.0)


BIG = pod("big", cpu="8")
FULL = bound(pod("hog", cpu="4", scheduler="default-scheduler"), "worker-1")
BOTH_FULL = (FULL, bound(pod("pig", cpu="4", scheduler="default-scheduler"), "worker-2"))
TOLERATING = [{"key": "dedicated", "operator": "Exists"}]


def a_node_comes(stage: Stage) -> None:
    stage.sees(node("worker-3", cpu="16"), kind="ADDED")


def a_node_grows(stage: Stage) -> None:
    stage.sees(node("worker-1", cpu="16"))


def a_pod_goes(stage: Stage) -> None:
    stage.loses(FULL)


def a_gate_is_removed(stage: Stage) -> None:
    stage.sees(pod(cpu="1"))


def it_tolerates_more(stage: Stage) -> None:
    stage.sees(pod(cpu="1", tolerations=TOLERATING))


def a_taint_is_removed(stage: Stage) -> None:
    stage.sees(*WORKERS)


ZONE = "zone"
ZONED = tuple(node(f"worker-{i}", cpu="4", labels={ZONE: f"z{i}"}) for i in (1, 2))
DB = pod("db", labels={"app": "db"}, scheduler="default-scheduler")
CACHE = pod("db", labels={"app": "cache"}, scheduler="default-scheduler")
NEAR_DB = pod(affinity=pod_affinity(pod_term({"app": "db"})))
AWAY_FROM_DB = pod(affinity=anti_affinity({"app": "db"}, "everywhere"))
EVERYWHERE = tuple(node(f"worker-{i}", labels={"everywhere": "yes"}) for i in (1, 2))
NEAR_TEAM = pod(affinity=pod_affinity(pod_term({"app": "db"}, namespaceSelector={"matchLabels": {"team": "a"}})))
IN_SHOP = pod("db", labels={"app": "db"}, namespace="shop", scheduler="default-scheduler")
WITH_CLAIM = pod(volumes=using("data"))
LOCAL = storage_class("local", provisioner="kubernetes.io/no-provisioner")
BOUND_CLAIM = (volume("disk", on="worker-1", claim="data"), claim(volume="disk"))
# it can only go to z1, where one pod of the app is, and must not make it two while z2 has none
EVENLY = spread({"app": "db"}, nodeAffinityPolicy="Ignore")
SPREAD = pod(labels={"app": "db"}, topologySpreadConstraints=[EVENLY], nodeSelector={ZONE: "z1"})


# a preemptor of another scheduler, for which room is kept on worker-1
NOMINEE = pod("nominee", cpu="4", priority=10, scheduler="default-scheduler", status={"nominatedNodeName": "worker-1"})
WEB_ON_1 = pod(cpu="1", nodeSelector={HOSTNAME: "worker-1"})


def one_comes_that_it_wants_near(stage: Stage) -> None:
    stage.sees(bound(DB, "worker-1"))


def one_gets_the_label_that_it_wants(stage: Stage) -> None:
    stage.sees(bound(DB, "worker-1"))


def one_loses_the_label_that_it_shuns(stage: Stage) -> None:
    stage.sees(bound(CACHE, "worker-1"))


def one_comes_to_the_emptiest_zone(stage: Stage) -> None:
    stage.sees(bound(pod("db-2", labels={"app": "db"}, scheduler="default-scheduler"), "worker-2"))


def one_begins_to_end(stage: Stage) -> None:
    stage.sees(bound(pod("db", labels={"app": "db"}, scheduler="default-scheduler", deleting=True), "worker-1"))


def the_emptiest_zone_goes(stage: Stage) -> None:
    stage.loses(ZONED[1])


def the_nominee_goes(stage: Stage) -> None:
    stage.loses(NOMINEE)


def the_nominee_goes_elsewhere(stage: Stage) -> None:
    stage.sees(bound(NOMINEE, "worker-2"))


def its_namespace_gets_a_label(stage: Stage) -> None:
    stage.sees(namespace("shop", {"team": "a"}))


def its_claim_comes(stage: Stage) -> None:
    stage.sees(BOUND_CLAIM[1])


def its_volume_comes(stage: Stage) -> None:
    stage.sees(BOUND_CLAIM[0])


def its_class_comes(stage: Stage) -> None:
    stage.sees(storage_class("standard", provisioner="disk.example.com"))


def a_limit_rises(stage: Stage) -> None:
    stage.sees(*(csi_node(f"worker-{i}", {DRIVER: 5}) for i in (1, 2)))


def room_is_reported(stage: Stage) -> None:
    stage.sees(capacity("room", {}, maximumVolumeSize="100Gi"))


FULL_OF_VOLUMES = (
    volume("disk", handle="h", claim="data"),
    claim(volume="disk"),
    *(csi_node(f"worker-{i}", {DRIVER: 0}) for i in (1, 2)),
)


TAINTED = tuple(node(f"worker-{i}", cpu="4", taints=[taint()]) for i in (1, 2))


@pytest.mark.parametrize(
    ("before", "waiting", "cure"),
    [
        pytest.param(WORKERS, BIG, a_node_comes, id="a node comes"),
        pytest.param(WORKERS, BIG, a_node_grows, id="a node grows"),
        pytest.param((*WORKERS, *BOTH_FULL), WEB, a_pod_goes, id="a pod of another scheduler goes"),
        pytest.param(WORKERS, pod(cpu="1", schedulingGates=[{"name": "wait"}]), a_gate_is_removed, id="a gate goes"),
        pytest.param(TAINTED, WEB, it_tolerates_more, id="the pod tolerates more"),
        pytest.param(TAINTED, WEB, a_taint_is_removed, id="a taint goes"),
        pytest.param(WORKERS, NEAR_DB, one_comes_that_it_wants_near, id="the one it wants near comes"),
        pytest.param(
            (*WORKERS, bound(CACHE, "worker-1")),
            NEAR_DB,
            one_gets_the_label_that_it_wants,
            id="another one becomes what it wants near",
        ),
        pytest.param(
            (*EVERYWHERE, bound(DB, "worker-1")),
            AWAY_FROM_DB,
            one_loses_the_label_that_it_shuns,
            id="another one is no more what it shuns",
        ),
        pytest.param(
            (*ZONED, bound(DB, "worker-1")), SPREAD, one_comes_to_the_emptiest_zone, id="the emptiest zone fills up"
        ),
        pytest.param((*ZONED, bound(DB, "worker-1")), SPREAD, one_begins_to_end, id="its own zone empties"),
        pytest.param((*ZONED, bound(DB, "worker-1")), SPREAD, the_emptiest_zone_goes, id="the emptiest zone goes"),
        pytest.param((*WORKERS, BOTH_FULL[1], NOMINEE), WEB, the_nominee_goes, id="the nominee of the room goes"),
        pytest.param((*WORKERS, NOMINEE), WEB_ON_1, the_nominee_goes_elsewhere, id="the nominee goes elsewhere"),
        pytest.param(
            (*WORKERS, namespace("shop"), bound(IN_SHOP, "worker-1")),
            NEAR_TEAM,
            its_namespace_gets_a_label,
            id="a namespace gets the label",
        ),
        pytest.param((*WORKERS, BOUND_CLAIM[0]), WITH_CLAIM, its_claim_comes, id="its claim comes"),
        pytest.param((*WORKERS, BOUND_CLAIM[1]), WITH_CLAIM, its_volume_comes, id="the volume of its claim comes"),
        pytest.param((*WORKERS, *FULL_OF_VOLUMES), WITH_CLAIM, a_limit_rises, id="a node can take more volumes"),
    ],
)
def test_what_cures_a_waiting_pod_wakes_it(
    before: tuple[Json, ...], waiting: Json, cure: Callable[[Stage], None]
) -> None:
    async def scenario() -> None:
        api = Api(waiting)
        stage = Stage(api, nodes=())
        stage.sees(*before, waiting)
        async with stage.running():
            await asyncio.sleep(100.0)
            assert api.bindings == []
            cure(stage)
            await asyncio.sleep(1.0)
        assert [name for name, _ in api.bindings] == [waiting["metadata"]["name"]]

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("before", "cure"),
    [
        pytest.param((claim(),), its_class_comes, id="the class of its claim comes"),
        pytest.param((claim(), storage_class(), csi_driver()), room_is_reported, id="there is room for its volume"),
    ],
)
def test_what_cures_a_pod_with_a_new_claim_wakes_it(before: tuple[Json, ...], cure: Callable[[Stage], None]) -> None:
    async def scenario() -> None:
        api = Api(WITH_CLAIM)
        api.claims = {"data": claim()}
        stage = Stage(api)
        stage.sees(*before, WITH_CLAIM)
        async with stage.running():
            await asyncio.sleep(100.0)
            assert api.patches == []
            cure(stage)
            await asyncio.sleep(1.0)
        assert [name for name, _ in api.patches] == ["data"]

    run_virtually(scenario())


def another_one_comes(stage: Stage) -> None:
    stage.sees(bound(CACHE, "worker-1"))


def another_claim_comes(stage: Stage) -> None:
    stage.sees(claim("other"))


@pytest.mark.parametrize(
    ("waiting", "event"),
    [
        pytest.param(NEAR_DB, another_one_comes, id="a pod that it does not want"),
        pytest.param(WITH_CLAIM, another_claim_comes, id="a claim that it does not use"),
        pytest.param(BIG, its_volume_comes, id="a volume, and it has none"),
        pytest.param(NEAR_DB, its_class_comes, id="a class, and it waits for a pod"),
    ],
)
def test_what_cannot_cure_a_waiting_pod_lets_it_wait(waiting: Json, event: Callable[[Stage], None]) -> None:
    async def scenario() -> None:
        stage = Stage(Api(waiting))
        stage.sees(waiting)
        async with stage.running():
            await asyncio.sleep(100.0)
            event(stage)
            await asyncio.sleep(20.0)
        assert stage.queue.attempts(f"uid-default-{waiting['metadata']['name']}") == 1

    run_virtually(scenario())


@virtually
async def test_our_own_placement_wakes_who_wants_to_be_near_it() -> None:
    db = pod("db", labels={"app": "db"})
    api = Api(NEAR_DB, db)
    stage = Stage(api)
    stage.sees(NEAR_DB)
    async with stage.running():
        await asyncio.sleep(30.0)
        stage.sees(db)
        await until(lambda: len(api.bindings) == 1)
        stage.sees(api.pods["db"])  # the watch confirms it
        await until(lambda: len(api.bindings) == 2)
    assert api.bindings == [("db", "worker-1"), ("web-0", "worker-1")]


@virtually
async def test_a_thousand_waiting_pods_are_not_all_tried_again_for_a_placement_that_cures_one() -> None:
    many = [pod(f"lonely-{i}", affinity=pod_affinity(pod_term({"app": f"db-{i}"}))) for i in range(300)]
    stage = Stage(Api(*many))
    stage.sees(*many)
    async with stage.running():
        await until(lambda: stage.queue.counts()["unschedulable"] == 300)
        await asyncio.sleep(20.0)
        stage.sees(bound(pod("db", labels={"app": "db-7"}, scheduler="default-scheduler"), "worker-1"))
        await asyncio.sleep(1.0)
    attempts = [stage.queue.attempts(f"uid-default-lonely-{i}") for i in range(300)]
    assert attempts.count(0) == 1  # placed: the queue has forgotten it
    assert attempts.count(1) == 299


@virtually
async def test_what_was_refused_for_want_of_a_right_is_looked_at_when_the_right_is_there() -> None:
    api = Api(WITH_CLAIM)
    stage = Stage(api)
    stage.ledger.set_unreadable(frozenset({"persistentvolumeclaims"}))
    stage.sees(*BOUND_CLAIM, WITH_CLAIM)
    async with stage.running():
        await asyncio.sleep(20.0)
        assert api.conditions[-1]["reason"] == "UnsupportedConstraint"
        stage.ledger.set_unreadable(frozenset())
        stage.scheduler.kinds_changed()
        await asyncio.sleep(1.0)
    assert api.bindings == [("web-0", "worker-1")]


@virtually
async def test_a_waiting_pod_is_looked_at_again_after_five_minutes_whatever_happens() -> None:
    stage = Stage(Api(BIG))
    stage.sees(BIG)
    async with stage.running():
        await asyncio.sleep(299.0)
        assert stage.queue.attempts("uid-default-big") == 1
        await asyncio.sleep(2.0)
    assert stage.queue.attempts("uid-default-big") == 2


@virtually
async def test_our_own_condition_on_a_pod_wakes_nobody() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2"}
    stage = Stage(Api(BIG))
    stage.sees(BIG)
    async with stage.running():
        await asyncio.sleep(20.0)
        stage.sees(pod("big", cpu="8", status={"conditions": [condition]}))
        await asyncio.sleep(20.0)
    assert stage.queue.attempts("uid-default-big") == 1


@virtually
async def test_an_owner_hears_of_a_changed_reason_though_it_came_soon_after_the_first() -> None:
    api = Api(BIG)
    stage = Stage(api)
    stage.sees(BIG)
    async with stage.running():
        await asyncio.sleep(2.0)
        stage.sees(node("worker-3", cpu="1"), kind="ADDED")
        for _ in range(10):
            await asyncio.sleep(1.0)
            stage.scheduler.tick()
        await asyncio.sleep(1.0)
    assert [condition["message"][:3] for condition in api.conditions] == ["0/2", "0/3"]


@virtually
async def test_no_refusal_is_written_over_a_pod_that_is_on_its_way_to_a_node() -> None:
    api = Api(BIG)
    api.answers.append(lambda: asyncio.sleep(60.0))
    stage = Stage(api)
    stage.sees(BIG)
    async with stage.running():
        await asyncio.sleep(2.0)
        stage.sees(node("worker-3", cpu="1"), kind="ADDED")
        await asyncio.sleep(2.0)  # 0/3 now, which is too soon to be said
        stage.sees(node("worker-4", cpu="16"), kind="ADDED")
        await until(lambda: len(api.bindings) == 1)
        for _ in range(30):
            stage.scheduler.tick()
            await asyncio.sleep(1.0)
    assert [condition["message"] for condition in api.conditions] == ["0/2 nodes are available: 2 Insufficient cpu."]


@virtually
async def test_pods_of_other_schedulers_are_left_alone() -> None:
    foreign = pod("foreign", scheduler="default-scheduler")
    api = Api(foreign)
    stage = Stage(api)
    stage.sees(foreign)
    async with stage.running():
        await asyncio.sleep(10.0)
    assert api.bindings == []
    assert len(stage.queue) == 0


@virtually
async def test_nothing_is_kept_of_a_pod_that_is_gone() -> None:
    api = Api(BIG)
    stage = Stage(api)
    stage.sees(BIG)
    async with stage.running():
        await until(lambda: bool(stage.scheduler.pending.unschedulable))
        stage.loses(BIG)
        assert stage.scheduler.pending.unschedulable == {}
        assert len(stage.queue) == 0
        stage.sees(pod("big", cpu="8", uid="its successor"))
        await asyncio.sleep(1.0)
    # what was said of the first is not taken for said of the second
    assert api.told("FailedScheduling") == ["big", "big"]


# --- two schedulers on one node ---------------------------------------------------------------------------------------


@virtually
async def test_a_node_that_another_scheduler_overbooks_is_counted_once_and_rests_until_there_is_room() -> None:
    pods = [pod(f"web-{i}", cpu="3") for i in range(2)]
    api = Api(*pods)
    stage = Stage(api)
    stage.sees(pods[0])
    async with stage.running():
        await until(lambda: len(api.bindings) == 1)
        stage.sees(bound(pod("theirs", cpu="2", scheduler="default-scheduler"), "worker-1"))
        stage.sees(api.pods["web-0"])  # only now the watch confirms ours
        assert stage.count("peaks_overbooked_total") == 1
        await place(stage, api, "of-nothing", "worker-2", cpu="0")  # it would fit
        stage.loses(api.pods["web-0"])
        assert stage.held("worker-1") == 2000
        await place(stage, api, "small", "worker-1", cpu="1")


async def place(stage: Stage, api: Api, name: str, where: str, **how: Any) -> None:
    """A new pod is seen, and goes there."""
    raw = api.pods[name] = pod(name, **how)
    stage.sees(raw)
    await until(lambda: bool(api.bindings) and api.bindings[-1][0] == name)
    assert api.bindings[-1] == (name, where)


@virtually
async def test_a_pod_that_fits_only_a_resting_node_is_placed_when_the_rest_is_over() -> None:
    choosy = pod("choosy", cpu="0", nodeSelector={"kubernetes.io/hostname": "worker-1"})
    api = Api(WEB, choosy)
    stage = Stage(api)
    stage.sees(WEB)
    async with stage.running():
        await until(lambda: len(api.bindings) == 1)
        stage.sees(bound(pod("theirs", cpu="5", scheduler="default-scheduler"), "worker-1"))
        stage.sees(choosy)
        for _ in range(14):
            await asyncio.sleep(1.0)
            stage.scheduler.tick()
        assert len(api.bindings) == 1
        assert api.conditions[-1]["reason"] == "WaitingForNodes"  # no word for an autoscaler
        for _ in range(3):
            await asyncio.sleep(1.0)
            stage.scheduler.tick()
    assert api.bindings[-1] == ("choosy", "worker-1")


@virtually
async def test_a_tenant_who_fills_all_nodes_by_name_and_leaves_again_closes_none() -> None:
    """300 pods of 40 cores, as many as nodes, on each of which one of ours runs."""
    count = 300
    nodes = tuple(node(f"node-{i}", cpu="32") for i in range(count))
    ours = [pod(f"ours-{i}", cpu="1", nodeSelector={"kubernetes.io/hostname": f"node-{i}"}) for i in range(count)]
    api = Api(*ours)
    stage = Stage(api, nodes)
    async with stage.running():
        stage.sees(*ours)
        await until(lambda: len(api.bindings) == count)
        stage.sees(*(api.pods[f"ours-{i}"] for i in range(count)))
        for turn in range(3):
            big = [pod(f"evil-{turn}-{i}", cpu="40", node=f"node-{i}", scheduler="none") for i in range(count)]
            stage.sees(*big, kind="ADDED")
            assert stage.ledger.snapshot().cooldown.sum() <= count // 10
            stage.loses(*big)
            assert not stage.ledger.snapshot().cooldown.any()
            canary = f"canary-{len(api.bindings)}"
            await place(stage, api, canary, api.bindings[0][1], nodeSelector=ours[0]["spec"]["nodeSelector"])


@virtually
async def test_nodes_that_reject_pods_which_name_them_themselves_do_not_rest() -> None:
    """They bear our scheduler's name, and even its annotation, but we never placed them."""
    api = Api()
    stage = Stage(api)
    async with stage.running():
        for number in range(5):
            there = decided(pod(f"evil-{number}", cpu="40"), "worker-1")
            stage.sees(there)
            api.pods[f"evil-{number}"] = there | {"status": {"phase": "Failed", "reason": "OutOfcpu"}}
            stage.loses(there)
            await asyncio.sleep(1.0)
    assert not stage.ledger.snapshot().cooldown.any()


@virtually
async def test_what_the_first_lists_show_is_no_new_overbooking() -> None:
    stage = Stage(Api())
    stage.leading = False
    stage.sees(bound(pod("theirs", cpu="5", scheduler="default-scheduler"), "worker-1"))
    assert stage.count("peaks_overbooked_total") == 0
    assert not stage.ledger.snapshot().cooldown.any()


@pytest.mark.parametrize(
    ("status", "rests"),
    [
        pytest.param({"phase": "Failed", "reason": "OutOfcpu"}, True, id="rejected for lack of CPU"),
        pytest.param({"phase": "Failed", "reason": "OutOfpods"}, True, id="rejected for lack of pods"),
        pytest.param({"phase": "Failed", "reason": "NodeAffinity"}, False, id="rejected for another reason"),
        pytest.param({"phase": "Succeeded"}, False, id="ended well before it was seen to run"),
    ],
)
def test_a_node_whose_kubelet_rejects_a_pod_for_lack_of_room_rests(status: Json, rests: bool) -> None:
    async def scenario() -> None:
        api = Api(WEB)
        stage = Stage(api)
        stage.sees(WEB)
        async with stage.running():
            await until(lambda: bool(api.told("Scheduled")))
            there = api.pods["web-0"]
            stage.sees(there)
            api.pods["web-0"] = there | {"status": status}
            stage.loses(there)  # as the watch shows a pod that finished: as it was before
            await asyncio.sleep(1.0)
        assert stage.ledger.snapshot().cooldown.tolist() == [rests, False]
        assert stage.count("peaks_overbooked_total") == rests

    run_virtually(scenario())


@virtually
async def test_a_pod_that_ran_or_was_deleted_makes_nobody_suspicious() -> None:
    asked: list[str] = []

    class Watched(Api):
        async def get_pod(self, namespace: str, name: str) -> Json | None:
            asked.append(name)
            return await super().get_pod(namespace, name)

    stage = Stage(Watched())
    ran = decided(pod("ran", started=1_799_999_000.0), "worker-1")
    dropped = decided(pod("dropped", deleting=True), "worker-1")
    foreign = bound(pod("foreign", scheduler="default-scheduler"), "worker-1")
    stage.sees(ran, dropped, foreign)
    async with stage.running():
        stage.loses(ran, dropped, foreign)
        await asyncio.sleep(1.0)
    assert asked == []


# --- a new leader -----------------------------------------------------------------------------------------------------


@virtually
async def test_a_new_leader_makes_up_for_the_events_that_its_predecessor_did_not_get_to() -> None:
    api = Api()
    stage = Stage(api)
    stage.fence_open = False
    stage.sees(decided(WEB, "worker-1"), bound(pod("theirs", scheduler="default-scheduler"), "worker-1"))
    async with stage.running():
        await asyncio.sleep(1.0)
        assert api.events == []  # a standby says nothing
        stage.scheduler.after_binding.announce_recent()
        stage.scheduler.after_binding.announce_recent()
        await asyncio.sleep(1.0)
    assert api.told("Scheduled") == ["web-0"]


@virtually
async def test_a_new_leaders_old_news_do_not_flood_the_queue_of_events() -> None:
    api = Api()
    stage = Stage(api)
    stage.fence_open = False
    stage.sees(*(decided(pod(f"web-{i}"), "worker-1") for i in range(200)))
    backlogs: list[int] = []

    def all_told() -> bool:
        backlogs.append(stage.events.backlog)
        return len(api.events) == 200

    async with stage.running():
        stage.scheduler.after_binding.announce_recent()
        await until(all_told, within=60.0)
    assert max(backlogs) <= PACE


@virtually
async def test_what_was_bound_long_ago_is_no_news() -> None:
    api = Api()
    stage = Stage(api)
    old = decided(WEB, "worker-1")
    old["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-22T10:00:00Z"  # NOW is in January 2027
    stage.sees(old)
    async with stage.running():
        stage.scheduler.after_binding.announce_recent()
        await asyncio.sleep(1.0)
    assert api.events == []


@virtually
async def test_a_change_of_a_pod_that_was_missed_while_it_was_assumed_is_caught_up_with() -> None:
    api = Api(WEB)
    api.answers.append(Conflict("being deleted", 409))
    stage = Stage(api)
    stage.sees(WEB)
    api.pods["web-0"] = pod(cpu="1", deleting=True)
    async with stage.running():
        await asyncio.sleep(60.0)
    assert len(api.bindings) == 1
    assert len(stage.queue) == 0
