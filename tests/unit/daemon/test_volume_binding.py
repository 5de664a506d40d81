"""A pod with volumes is bound after they are bound, never before; an attempt that fails leaves no trace.

The first half speaks HTTP with the embedded API server, the test being volume controller and provisioner; the second,
where minutes pass, runs in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.object_store import StoreChange
from peaks_scheduler.errors import Ambiguous, Conflict, Forbidden, NotFound, Unavailable
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.ledger.records import State
from tests.support.builders import Json, pod
from tests.support.daemon_stage import Api, Stage, until
from tests.support.storage_objects import claim, storage_class, using, volume
from tests.support.virtual_time import run_virtually

UID = "uid-default-web-0"
SELECTED = "volume.kubernetes.io/selected-node"
WEB = pod(cpu="1", volumes=using("data"))
CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
LOCAL = storage_class("local", provisioner="kubernetes.io/no-provisioner")
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}


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
    """It sees whatever is on the server."""
    stage = new_process(server, connection)
    server.add("storageclasses", storage_class())
    return stage


def new_process(server: EmbeddedApiServer, connection: Connection, **more: Any) -> Stage:
    stage = Stage(KubeClient(connection, "Peaks", "stage", timeout=2.0), backoff=0.05, **more)
    for plural, kind in (("pods", "Pod"), *((each.plural, each.kind) for each in KINDS)):
        for there in server.objects(plural):
            stage.sees({"kind": kind, **there}, kind=None)
        server.subscribe(plural, seen_by(stage, kind))
    return stage


def seen_by(stage: Stage, kind: str) -> Callable[[StoreChange], None]:
    def tell(change: StoreChange) -> None:
        if change.after is not None:
            stage.sees({"kind": kind, **change.after.object})
        elif change.before is not None:
            stage.loses({"kind": kind, **change.before.object})

    return tell


def selected(server: EmbeddedApiServer, name: str = "data") -> str | None:
    """The node that the claim's volume is to be made for."""
    found: str | None = (server.get(CLAIMS, name)["metadata"].get("annotations") or {}).get(SELECTED)
    return found


def on_node(server: EmbeddedApiServer, name: str = "web-0") -> str | None:
    found: str | None = server.get("pods", name)["spec"].get("nodeName")
    return found


def provision(server: EmbeddedApiServer, name: str = "data") -> None:
    """As a provisioner and the volume controller do: the volume first, then the claim."""
    server.add(VOLUMES, volume(f"made-for-{name}", on=selected(server, name), claim=name, phase="Bound"))
    server.change(CLAIMS, name, {"metadata": {"annotations": BOUND}, "spec": {"volumeName": f"made-for-{name}"}})


def told(server: EmbeddedApiServer, reason: str) -> list[str]:
    return [event["note"] for event in server.objects("events") if event["reason"] == reason]


async def test_a_claim_is_told_its_node_and_the_pod_follows_when_its_volume_is_there(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        assert selected(server) == "worker-1"
        assert on_node(server) is None
        assert stage.held("worker-1") == 1000  # its place is kept
        assert server.get("pods", "web-0")["status"]["nominatedNodeName"] == "worker-1"
        assert server.requests["create", "pods/binding"] == 0
        provision(server)
        await until(lambda: on_node(server) == "worker-1")
        await until(lambda: told(server, "Scheduled") != [])
    assert len(stage.scheduler.binder.volumes) == 0
    assert "nominatedNodeName" not in server.get("pods", "web-0")["status"]


async def test_a_volume_that_is_there_is_bound_to_the_claim_first(server: EmbeddedApiServer, stage: Stage) -> None:
    server.add("storageclasses", LOCAL)
    server.add(VOLUMES, volume("disk", class_name="local", on="worker-2"))
    server.add(CLAIMS, claim(class_name="local"))
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        disk, data = server.get(VOLUMES, "disk"), server.get(CLAIMS, "data")
        assert disk["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
        assert disk["spec"]["claimRef"]["uid"] == data["metadata"]["uid"]
        assert selected(server) is None
        server.change(CLAIMS, "data", {"metadata": {"annotations": BOUND}, "spec": {"volumeName": "disk"}})
        await until(lambda: on_node(server) == "worker-2")


async def test_a_pod_whose_claims_are_bound_is_bound_at_once(server: EmbeddedApiServer, stage: Stage) -> None:
    server.add(VOLUMES, volume("disk", on="worker-2", claim="data"))
    server.add(CLAIMS, claim(volume="disk"))
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: on_node(server) == "worker-2")
    assert server.requests["patch", CLAIMS] == server.requests["patch", VOLUMES] == 0
    assert server.requests["patch", "pods/status"] == 0


async def test_a_new_process_goes_on_where_the_last_one_ended(
    server: EmbeddedApiServer, stage: Stage, connection: Connection
) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(pod(cpu="1", volumes=using("data"), nodeSelector={"kubernetes.io/hostname": "worker-2"}))
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
    assert selected(server) == "worker-2"
    server.change("pods", "web-0", {"spec": {"nodeSelector": None}})  # worker-1 would now be the cheaper one
    second = new_process(server, connection)
    async with second.running():
        await until(lambda: len(second.scheduler.binder.volumes) == 1)
        provision(server)
        await until(lambda: on_node(server) == "worker-2")


async def test_where_a_provisioner_gives_up_another_node_is_tried_first(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        server.change(CLAIMS, "data", {"metadata": {"annotations": {SELECTED: None}}})
        await until(lambda: told(server, "FailedScheduling") != [])
        await until(lambda: selected(server) == "worker-2")  # the dearer one
        provision(server)
        await until(lambda: on_node(server) == "worker-2")
    words = 'running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"'
    assert told(server, "FailedScheduling") == [words]
    assert stage.conflicts("volumes") == 1


async def test_a_pod_that_is_deleted_meanwhile_leaves_its_claim_as_it_was(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        server.remove("pods", "web-0")
        await until(lambda: selected(server) is None)
    assert len(stage.scheduler.binder.volumes) == len(stage.queue) == 0
    assert stage.held("worker-1") == 0


async def test_a_claim_that_is_bound_by_then_is_left_alone(server: EmbeddedApiServer, stage: Stage) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(WEB)
    server.fail_next(1, 403, match="binding")
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        provision(server)
        await until(lambda: on_node(server) == "worker-1")
    assert selected(server) == "worker-1"
    assert stage.conflicts("refused") == 1


Fault = Callable[[EmbeddedApiServer], None]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda s: s.drop_next(1, "PATCH /api/v1/namespaces/default/pers", after_applying=True), id="lost"),
        pytest.param(lambda s: s.drop_next(1, "PATCH /api/v1/namespaces/default/pers"), id="cut before"),
        pytest.param(lambda s: s.fail_next(1, 503, match="PATCH /api/v1/namespaces/default/pers"), id="503"),
        pytest.param(lambda s: s.fail_next(1, 500, match="PATCH /api/v1/namespaces/default/pers"), id="500"),
        pytest.param(
            lambda s: s.fail_next(1, 429, {"Retry-After": "0.1"}, "PATCH /api/v1/namespaces/default/pers"), id="429"
        ),
        pytest.param(lambda s: s.fail_next(1, 409, match="PATCH /api/v1/namespaces/default/pers"), id="409"),
        pytest.param(lambda s: s.fail_next(1, 403, match="PATCH /api/v1/namespaces/default/pers"), id="403"),
        pytest.param(lambda s: s.fail_next(1, 500, match="pods/web-0/status"), id="nomination not taken"),
    ],
)
async def test_a_write_that_fails_is_made_good(server: EmbeddedApiServer, stage: Stage, fault: Fault) -> None:
    server.add(CLAIMS, claim())
    fault(server)
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        provision(server)
        await until(lambda: on_node(server) == "worker-1")


async def test_a_volume_that_somebody_else_takes_first_costs_another_look(
    server: EmbeddedApiServer, connection: Connection
) -> None:
    server.add("storageclasses", LOCAL)
    server.add(VOLUMES, volume("disk-1", class_name="local", on="worker-1"))
    server.add(VOLUMES, volume("disk-2", class_name="local", on="worker-2"))
    server.add(CLAIMS, claim(class_name="local"))
    server.add_pod(WEB)
    stage = new_process(server, connection)
    stage.leading = False
    watching = stage.feed.other
    stage.feed.other = lambda *_: None  # type: ignore[method-assign]  # its watch is a little behind
    theirs = {"namespace": "default", "name": "other", "uid": "uid-other"}
    server.change(VOLUMES, "disk-1", {"spec": {"claimRef": theirs}})
    stage.leading = True
    async with stage.running():
        await until(lambda: stage.conflicts("volume-conflict") >= 1)
        stage.feed.other = watching  # type: ignore[method-assign]
        stage.sees({"kind": "PersistentVolume", **server.get(VOLUMES, "disk-1")})
        await until(lambda: "claimRef" in server.get(VOLUMES, "disk-2")["spec"])
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
    assert server.get(VOLUMES, "disk-1")["spec"]["claimRef"] == theirs


async def test_pods_that_wait_for_volumes_hold_up_no_others(server: EmbeddedApiServer, stage: Stage) -> None:
    for i in range(30):
        server.add(CLAIMS, claim(f"data-{i}"))
        server.add_pod(pod(f"db-{i}", volumes=using(f"data-{i}")))
    async with stage.running(binders=2):
        await until(lambda: len(stage.scheduler.binder.volumes) == 30)
        server.add_pod(pod("plain"))
        await until(lambda: on_node(server, "plain") is not None)
        for i in range(30):
            provision(server, f"data-{i}")
        await until(lambda: all(on_node(server, f"db-{i}") for i in range(30)))


async def test_two_pods_that_share_a_claim_go_where_its_volume_will_be(server: EmbeddedApiServer, stage: Stage) -> None:
    server.add(CLAIMS, claim(modes=["ReadWriteMany"]))
    for i in range(2):
        server.add_pod(pod(f"web-{i}", cpu="1", volumes=using("data")))
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 2)
        server.remove("pods", "web-0")
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        assert selected(server) == "worker-1"  # the other one counts on it
        provision(server)
        await until(lambda: on_node(server, "web-1") == "worker-1")


async def test_behind_the_fence_nothing_is_written_and_nothing_taken_back(
    server: EmbeddedApiServer, stage: Stage
) -> None:
    server.add(CLAIMS, claim())
    server.add_pod(WEB)
    async with stage.running():
        await until(lambda: len(stage.scheduler.binder.volumes) == 1)
        stage.leading = stage.fence_open = False
        server.remove("pods", "web-0")
        await until(lambda: len(stage.scheduler.binder.volumes) == 0)
        server.add_pod(WEB)
        await until(lambda: stage.ledger.state(UID) is State.PENDING)
    assert selected(server) == "worker-1"
    assert stage.ledger.state(UID) is State.PENDING


# --- in virtual time --------------------------------------------------------------------------------------------------


class Play:
    """A stage in virtual time with one pod and its claim, which nobody provisions."""

    def __init__(self, *pods: Json) -> None:
        self.pods = pods or (WEB,)
        self.api = Api(*self.pods)
        self.api.claims = {"data": claim()}
        self.stage = Stage(self.api)
        self.stage.sees(storage_class(), claim())
        self.stage.sees(*self.pods)

    def shows(self) -> None:
        """The watch brings the claim as it is now."""
        self.stage.sees(self.api.claims["data"])

    @property
    def selected(self) -> str | None:
        found: str | None = self.api.claims["data"]["metadata"].get("annotations", {}).get(SELECTED)
        return found


Scenario = Callable[[Play], Coroutine[Any, Any, None]]


def on_stage(scenario: Scenario) -> Callable[[], None]:
    """The scenario as a test whose minutes take no time."""

    async def play() -> None:
        played = Play()
        async with played.stage.running():
            await scenario(played)

    def test() -> None:
        run_virtually(play())

    test.__name__ = scenario.__name__
    return test


async def waits(play: Play) -> None:
    await until(lambda: len(play.stage.scheduler.binder.volumes) == 1)
    play.shows()


@on_stage
async def test_a_pod_waits_ten_minutes_for_its_volumes_and_no_longer(play: Play) -> None:
    await waits(play)
    await asyncio.sleep(595.0)
    assert play.stage.ledger.state(UID) is State.ASSUMED
    assert play.selected == "worker-1"
    play.stage.leading = False  # it is not to be tried anew here
    await asyncio.sleep(10.0)
    assert play.stage.ledger.state(UID) is State.PENDING
    assert play.selected is None
    assert play.api.nominated == [("web-0", "worker-1"), ("web-0", None)]
    words = 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
    (condition,) = play.api.conditions
    assert (condition["reason"], condition["message"]) == ("SchedulerError", words)
    assert [event["note"] for event in play.api.events] == [words]


@on_stage
async def test_a_node_that_goes_meanwhile_takes_the_claims_choice_with_it(play: Play) -> None:
    await waits(play)
    gone = play.stage.ledger.node("worker-1")
    assert gone is not None
    play.stage.ledger.drop_node("worker-1")
    await asyncio.sleep(2.0)
    play.shows()
    await until(lambda: play.selected == "worker-2", within=20.0)
    assert play.stage.conflicts("node-gone") == 1


@on_stage
async def test_news_that_nobody_told_are_found_within_a_second(play: Play) -> None:
    await waits(play)
    made = volume("made", on="worker-1", claim="data")
    play.stage.ledger.observe_storage(made)
    play.stage.ledger.observe_storage(claim(volume="made", selected_node="worker-1", version="9"))
    await asyncio.sleep(1.5)
    assert play.api.bindings == [("web-0", "worker-1")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Conflict("modified", 409), "volume-conflict", id="somebody changed the claim"),
        pytest.param(NotFound("gone", 404), "volume-gone", id="the claim is gone"),
        pytest.param(Forbidden("may not", 403), "refused", id="a right is missing"),
    ],
)
def test_a_claim_that_cannot_be_written_sends_its_pod_back_with_a_word(error: Exception, reason: str) -> None:
    @on_stage
    async def scenario(play: Play) -> None:
        play.api.patch_answers.append(error)
        play.api.patch_answers.extend([Forbidden("not yet", 403)] * 3)
        await asyncio.sleep(0.5)
        assert play.stage.ledger.state(UID) is State.PENDING
        assert play.stage.conflicts(reason) == 1
        assert str(error) in play.api.conditions[0]["message"]
        assert play.api.told("FailedScheduling") == ["web-0"]
        await asyncio.sleep(30.0)  # 1, 2, 4, 8 seconds later it is tried again
        assert play.selected == "worker-1"

    scenario()


def test_an_api_server_that_is_away_is_waited_for_half_a_minute() -> None:
    @on_stage
    async def scenario(play: Play) -> None:
        play.api.patch_answers.extend([Unavailable("down")] * 500)
        await asyncio.sleep(33.0)
        assert play.stage.conflicts("unavailable") == 1
        # 0.25, 0.5, 1, then every 2 seconds
        assert 10 <= len(play.api.patches) <= 22

    scenario()


@pytest.mark.parametrize("echo", [0.2, 1.5], ids=["at once", "late"])
def test_an_annotation_whose_answer_was_lost_counts_when_the_watch_shows_it(echo: float) -> None:
    @on_stage
    async def scenario(play: Play) -> None:
        async def taken_and_lost() -> None:
            meta = {"resourceVersion": "2", "annotations": {SELECTED: "worker-1"}}
            play.api.claims["data"] = claim() | {"metadata": claim()["metadata"] | meta}
            raise Ambiguous("no answer")

        play.api.patch_answers.append(taken_and_lost)
        await until(lambda: len(play.api.patches) == 2)  # refused, for it is there already
        await asyncio.sleep(echo)
        play.shows()
        await until(lambda: len(play.stage.scheduler.binder.volumes) == 1)
        assert play.stage.conflicts("volume-conflict") == 0

    scenario()


@on_stage
async def test_what_is_written_when_the_end_comes_is_waited_for_and_nothing_more_is_written(play: Play) -> None:
    play.api.patch_answers.append(lambda: asyncio.sleep(2.0))
    await until(lambda: len(play.api.patches) == 1)
    assert await play.stage.scheduler.finish(5.0)
    play.shows()
    play.stage.loses(WEB)
    await asyncio.sleep(30.0)
    assert play.selected == "worker-1"  # for the process after this one
    assert len(play.api.patches) == 1
