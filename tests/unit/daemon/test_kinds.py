"""A cluster without some kinds, or an account without some rights: which pods are refused, and what is reported."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from peaks_scheduler.daemon.main import Daemon
from peaks_scheduler.daemon.watching import kinds as kinds_module
from peaks_scheduler.daemon.watching.kinds import LOOK_EVERY, LOOK_SOON, KindKeeper
from peaks_scheduler.errors import Forbidden, NotFound, Unavailable
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.settings.loading import load_settings
from tests.support.builders import anti_affinity, ledger, node, pod
from tests.support.daemon_stage import OTHERS, until
from tests.support.server_thread import ServerThread
from tests.support.storage_objects import claim, using, volume
from tests.support.virtual_time import run_virtually

ALL = {kind.plural for kind in KINDS}
CLAIMS, CSI_NODES = OTHERS["PersistentVolumeClaim"], OTHERS["CSINode"]
MAY_NOT = Forbidden("forbidden", 403)


# --- the keeper, in virtual time --------------------------------------------------------------------------------------


class World:
    """An API server that has and shows what it is told to, and a keeper that asks it."""

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.forbidden: set[str] = set()
        self.unwatchable: set[str] = set()
        self.away = False
        self.looks = 0
        self.changes = 0
        self.restarts = 0
        self.ledger = ledger()
        self.keeper = KindKeeper(cast(Any, self), self.ledger, self._changed, self._restart)

    async def served(self, base: str) -> frozenset[str]:
        self._answer()
        self.looks += base == "/api/v1"
        return frozenset(kind.plural for kind in KINDS if kind.base == base) - self.absent

    async def peek(self, path: str) -> None:
        self._answer()
        plural = path.rpartition("/")[2]
        if plural in self.absent:
            raise NotFound(plural, 404)
        if plural in self.forbidden:
            raise MAY_NOT

    async def may(self, verb: str, group: str, resource: str) -> bool:
        self._answer()
        return resource not in self.unwatchable

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("no answer")

    def _changed(self) -> None:
        self.changes += 1

    def _restart(self) -> None:
        self.restarts += 1

    async def start(self) -> None:
        """As kopf's start and the audit do."""
        self.keeper.completed(await self.keeper.fed_now())


def on_world(scenario: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """The scenario in virtual time, the keeper looking again and again."""

    async def play() -> None:
        world = World()
        looking = asyncio.create_task(world.keeper.run())
        try:
            await scenario(world)
            assert not looking.done()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def test() -> None:
        run_virtually(play())

    test.__name__ = scenario.__name__
    return test


@on_world
async def test_what_can_be_read_is_fed_and_used_once_all_of_it_is_there(world: World) -> None:
    assert world.ledger.unreadable == ALL
    kinds = await world.keeper.fed_now()
    assert kinds == KINDS
    assert world.ledger.unreadable == ALL  # nothing of it is in the ledger yet
    world.keeper.completed(kinds)
    assert world.ledger.unreadable == set()
    assert world.keeper.health().level == "ok"
    assert world.changes == 1


@on_world
async def test_a_kind_that_the_cluster_lacks_is_not_fed_and_named(world: World) -> None:
    world.absent = {"csinodes", "csidrivers"}
    await world.start()
    assert {kind.plural for kind in world.keeper.fed} == ALL - world.absent
    assert world.ledger.unreadable == world.absent
    health = world.keeper.health()
    assert health.level == "degraded"
    assert "this API server has no csinodes.storage.k8s.io in v1" in health.text
    assert "limits of volumes per node are not checked" in health.text
    assert {kind for kind, unread in world.keeper.unreadable().items() if unread} == world.absent


@pytest.mark.parametrize("right", ["forbidden", "unwatchable"])
def test_a_missing_right_is_named(right: str, caplog: pytest.LogCaptureFixture) -> None:
    @on_world
    async def scenario(world: World) -> None:
        setattr(world, right, {"persistentvolumeclaims"})
        await world.start()
        await asyncio.sleep(1000.0)  # said once, however often it is looked at
        assert world.ledger.unreadable == {"persistentvolumeclaims"}

    scenario()
    (record,) = caplog.records
    assert record.getMessage() == "kind not read"
    words = "list/watch persistentvolumeclaims: the service account may not; add it to the ClusterRole"
    assert record.__dict__["reason"] == words
    assert record.__dict__["therefore"] == "pods with persistent volume claims are refused"


@on_world
async def test_a_right_that_has_come_is_noticed_and_used_when_the_objects_are_there(world: World) -> None:
    world.forbidden = {"persistentvolumeclaims"}
    await world.start()
    world.forbidden = set()
    await asyncio.sleep(LOOK_SOON + 1)
    assert world.restarts == 1  # other kinds are to be watched
    assert world.ledger.unreadable == {"persistentvolumeclaims"}
    await world.start()
    assert world.ledger.unreadable == set()
    assert world.changes == 2
    await asyncio.sleep(1000.0)
    assert world.restarts == 1


@on_world
async def test_a_kind_that_stays_away_is_asked_about_every_few_minutes(world: World) -> None:
    world.absent = {"csinodes"}
    await world.start()
    await asyncio.sleep(1000.0)
    before = world.looks
    await asyncio.sleep(10 * LOOK_EVERY)
    assert world.looks - before == 10
    assert world.restarts == 0


@on_world
async def test_a_server_that_forbids_everything_for_a_moment_changes_nothing(world: World) -> None:
    await world.start()
    await asyncio.sleep(LOOK_EVERY - 10)
    world.forbidden = ALL
    world.keeper.ask_soon()
    await asyncio.sleep(LOOK_SOON + 2)
    world.forbidden = set()
    await asyncio.sleep(100.0)
    assert world.ledger.unreadable == set()
    assert world.restarts == 0


@on_world
async def test_a_right_that_is_taken_away_for_good_ends_the_watching_of_that_kind(world: World) -> None:
    await world.start()
    world.forbidden = {"csinodes"}
    world.keeper.ask_soon()
    await asyncio.sleep(20.0)
    assert CSI_NODES not in world.keeper.fed
    assert world.ledger.unreadable == {"csinodes"}
    assert world.restarts == 1


@on_world
async def test_an_api_server_that_does_not_answer_is_waited_for(world: World) -> None:
    world.away = True
    asked: asyncio.Task[tuple[Kind, ...]] = asyncio.create_task(world.keeper.fed_now())
    await asyncio.sleep(30.0)
    assert not asked.done()
    world.away = False
    assert await asked == KINDS


@on_world
async def test_an_api_server_that_goes_away_later_changes_nothing(world: World) -> None:
    await world.start()
    world.away = True
    await asyncio.sleep(1000.0)
    assert await world.keeper.fed_now() == KINDS
    assert world.ledger.unreadable == set()


# --- the whole daemon -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The daemon tunes the garbage collector of its process, which here is ours."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture
def api() -> Iterator[ServerThread]:
    with ServerThread() as running:
        running(lambda server: [server.add_node(node(f"worker-{i}", cpu="4")) for i in (1, 2)])
        yield running


@contextlib.asynccontextmanager
async def running(api: ServerThread, folder: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Daemon]:
    """A daemon that places, without a Lease."""
    caplog.set_level(logging.INFO, "peaks_scheduler")
    given = {
        "kubeconfig": str(api.server.write_kubeconfig(folder / "kubeconfig")),
        "listen": "127.0.0.1:0",
        "load_address": "http://127.0.0.1:9",
        "leader_elect": False,
    }
    daemon = Daemon(load_settings(None, "", {}, given)[0])
    living = asyncio.create_task(daemon.run())
    try:
        await until(lambda: "serving" in caplog.messages and daemon.parts.core.gate.may_decide(), within=10.0)
        yield daemon
    finally:
        if not living.done():
            signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(10.0):
            assert await living == 0


async def page(caplog: pytest.LogCaptureFixture, path: str) -> str:
    (record,) = (record for record in caplog.records if record.message == "serving")
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{record.__dict__['port']}{path}")).text


def on_node(api: ServerThread, name: str) -> str | None:
    found: str | None = api(lambda server: server.get("pods", name))["spec"].get("nodeName")
    return found


def refused(api: ServerThread, name: str) -> str:
    """What the pod's owner is told."""
    conditions = api(lambda server: server.get("pods", name))["status"].get("conditions") or [{}]
    return str(conditions[0].get("message", ""))


def with_bound_claim(api: ServerThread) -> None:
    api(lambda server: server.add("persistentvolumes", volume("disk", on="worker-2", claim="data")))
    api(lambda server: server.add("persistentvolumeclaims", claim(volume="disk")))
    api(lambda server: server.add_pod(pod("db", volumes=using("data"))))


async def test_a_pod_with_a_claim_that_waits_at_the_start_is_placed_and_never_refused(
    api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_bound_claim(api)
    api(lambda server: server.delay("/persistentvolumeclaims", 0.3))  # its list is the last to come
    async with running(api, tmp_path, caplog):
        await until(lambda: on_node(api, "db") == "worker-2")
        assert "[+]kinds ok" in await page(caplog, "/readyz?verbose")
    assert not [event for event in api(lambda server: server.objects("events")) if event["reason"] != "Scheduled"]


async def test_without_the_right_to_see_claims_only_pods_with_claims_wait_until_it_is_given(
    api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds_module, "LOOK_SOON", 0.2)
    with_bound_claim(api)
    api(lambda server: server.add_pod(pod("plain")))
    api(lambda server: server.denied.add(("list", "persistentvolumeclaims")))
    async with running(api, tmp_path, caplog):
        await until(lambda: on_node(api, "plain") is not None)
        await until(lambda: "cannot read persistentvolumeclaims" in refused(api, "db"))
        ready = await page(caplog, "/readyz?verbose")
        assert "[!]kinds: list/watch persistentvolumeclaims: the service account may not" in ready
        assert await page(caplog, "/readyz") == "ok"
        assert 'peaks_unread_kinds{kind="persistentvolumeclaims"} 1.0' in await page(caplog, "/metrics")
        api(lambda server: server.denied.clear())
        await until(lambda: on_node(api, "db") == "worker-2", within=20.0)
        assert "[+]kinds ok" in await page(caplog, "/readyz?verbose")
        assert 'peaks_unread_kinds{kind="persistentvolumeclaims"} 0.0' in await page(caplog, "/metrics")


async def test_a_cluster_without_storage_places_what_needs_none(
    api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = {kind.plural for kind in KINDS if kind.group}
    api(lambda server: server.absent.update(storage))
    api(lambda server: server.add_pod(pod("plain")))
    api(lambda server: server.add_pod(pod("db", volumes=using("data"))))
    async with running(api, tmp_path, caplog):
        await until(lambda: on_node(api, "plain") is not None)
        await until(lambda: "cannot read storageclasses" in refused(api, "db"))
    assert {r.__dict__["kind"] for r in caplog.records if r.message == "kind not read"} == storage


async def test_without_the_right_to_see_namespaces_no_term_that_selects_them_is_taken_for_granted(
    api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api(lambda server: server.denied.add(("watch", "namespaces")))
    by_label = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    api(lambda server: server.add_pod(pod("choosy", affinity=anti_affinity({"app": "db"}, **by_label))))
    api(lambda server: server.add_pod(pod("plain", affinity=anti_affinity({"app": "db"}))))
    async with running(api, tmp_path, caplog):
        await until(lambda: on_node(api, "plain") is not None)
        await until(lambda: "cannot read namespaces" in refused(api, "choosy"))
