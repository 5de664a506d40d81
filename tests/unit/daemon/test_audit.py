"""Is a watch that went silent found out in time, and the trouble of others never taken for it? In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from peaks_scheduler.daemon.watching.audit import NAMES_EVERY, UNSEEN_DEAD, UNSEEN_RESTART, Audit
from peaks_scheduler.errors import Forbidden, MalformedResponse, NotFound, Unavailable
from peaks_scheduler.kube.client import Listing
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import Json, ledger, namespace, node, pod
from tests.support.storage_objects import claim, volume
from tests.support.virtual_time import now, run_virtually

WEB, DB = pod("web-0"), pod("db-0")
LATEST_LOOK = 30.0  # [s] between two looks, as long as nothing is wrong


class World:
    """An API server, and watches that show of it what the test lets through."""

    def __init__(self, *objects: Json) -> None:
        self.objects = {each["metadata"].get("uid", each["metadata"]["name"]): each for each in objects}
        self.ledger: Ledger = ledger()
        self.away = False
        self.restarts: list[float] = []
        self.told: list[tuple[str, Change]] = []
        self.listed, self.relisted = asyncio.Event(), asyncio.Event()
        self.unheard: set[str] = set()
        self.complete = 0
        self.fed: tuple[Kind, ...] = KINDS
        self.forbidden = ""
        self.read: set[str] = set()
        self.doubts = 0
        self.telemetry = Telemetry("Peaks")
        self.audit = Audit(
            self.ledger,
            cast(Any, self),
            cast(Any, self),
            cast(Any, self),
            self.telemetry,
            cast(Any, self),
            self._completed,
            clock=now,
        )

    # what the watches do

    def shows(self, *objects: Json) -> None:
        for each in objects:
            other = next((kind for kind in KINDS if kind.kind == each["kind"]), None)
            if other is not None:
                self.other(other, None, each)
            else:
                (self.node if each["kind"] == "Node" else self.pod)(None, each)

    def other(self, kind: Kind, event: str | None, raw: Json) -> bool:
        observe = self.ledger.observe_namespace if kind.kind == "Namespace" else self.ledger.observe_storage
        observe(raw, gone=event == "DELETED")
        return True

    def pod(self, _: str | None, raw: Json) -> bool:
        self.unheard.discard(raw["metadata"]["uid"])
        self.ledger.observe_pod(raw)
        return True

    def node(self, _: str | None, raw: Json) -> bool:
        self.ledger.observe_node(raw)
        return True

    def restart(self) -> None:
        self.restarts.append(now())

    # what the API server answers

    async def list_pending(self) -> Listing:
        self._answer()
        return self._listing(lambda each: each["kind"] == "Pod" and "nodeName" not in each["spec"])

    async def list_metadata(self, resource: str) -> Listing:
        self._answer()
        kind = {"pods": "Pod", "nodes": "Node"}[resource]
        return self._listing(lambda each: each["kind"] == kind)

    def _listing(self, among: Callable[[Json], bool]) -> Listing:
        found = {uid: each["metadata"] for uid, each in self.objects.items() if among(each)}
        return Listing("1", {uid: (meta.get("namespace", ""), meta["name"]) for uid, meta in found.items()})

    async def list_keys(self, path: str) -> frozenset[str]:
        metas = [each["metadata"] for each in await self.list_objects(path)]
        return frozenset(f"{m['namespace']}/{m['name']}" if "namespace" in m else m["name"] for m in metas)

    async def list_objects(self, path: str) -> list[Json]:
        self._answer()
        (kind,) = (kind for kind in KINDS if kind.path == path)
        if kind.plural == self.forbidden:
            raise Forbidden("may not", 403)
        return [each for each in self.objects.values() if each["kind"] == kind.kind]

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        self._answer()
        return next((each for each in self.objects.values() if each["metadata"]["name"] == name), None)

    async def get_node(self, name: str) -> Json:
        found = await self.get_pod("", name)
        if found is None:
            raise NotFound(name)
        return found

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("no answer")

    # what the others hear

    def pod_changed(self, uid: str, change: Change, before: Any) -> None:
        self.told.append((uid, change))

    def node_changed(self, change: Change) -> None:
        self.told.append(("", change))

    def completed(self, kinds: list[Kind]) -> None:
        self.read |= {kind.plural for kind in kinds}

    def doubt(self) -> None:
        self.doubts += 1

    def _completed(self) -> None:
        self.complete += 1

    def repaired(self, resource: str, kind: str) -> float:
        labels = {"resource": resource, "kind": kind}
        return self.telemetry.registry.get_sample_value("peaks_audit_repairs_total", labels) or 0.0


@asynccontextmanager
async def running(*work: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def virtually(scenario: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """The scenario as a test whose minutes take no time."""

    def test() -> None:
        async def whole() -> None:
            await scenario()

        run_virtually(whole())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


# --- pending pods -----------------------------------------------------------------------------------------------------


@virtually
async def test_a_pod_that_is_seen_is_no_trouble() -> None:
    world = World(WEB)
    world.shows(WEB)
    async with running(world.audit.watch_pending()):
        await asyncio.sleep(600)
    assert (world.audit.oldest_unseen, world.restarts) == (0.0, [])


@virtually
async def test_an_unseen_pod_starts_the_watches_again_and_then_fails_liveness() -> None:
    world = World(WEB)
    begun = now()
    async with running(world.audit.watch_pending()):
        while world.audit.oldest_unseen < UNSEEN_DEAD:
            await asyncio.sleep(1)
            assert now() < begun + LATEST_LOOK + UNSEEN_DEAD + 1
    assert len(world.restarts) == 1
    since = begun + LATEST_LOOK  # the first look is what the time is counted from
    assert UNSEEN_RESTART <= world.restarts[0] - since < UNSEEN_DEAD


@virtually
async def test_watches_that_come_back_leave_no_trace() -> None:
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        await asyncio.sleep(LATEST_LOOK + UNSEEN_DEAD)
        assert len(world.restarts) == 1
        world.shows(WEB)
        await asyncio.sleep(30)
        assert world.audit.oldest_unseen == 0.0
        # and the next silence is found out as the first was
        world.objects[DB["metadata"]["uid"]] = DB
        await asyncio.sleep(LATEST_LOOK + UNSEEN_DEAD)
        assert len(world.restarts) == 2


@virtually
async def test_an_api_server_that_is_away_for_ten_minutes_fails_nothing() -> None:
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        await asyncio.sleep(45)
        world.away = True
        worst = 0.0
        for _ in range(600):
            await asyncio.sleep(1)
            worst = max(worst, world.audit.oldest_unseen)
    assert worst < UNSEEN_DEAD
    assert world.audit.oldest_unseen == 0.0


@virtually
async def test_other_pods_that_are_unseen_for_a_moment_do_not_add_up() -> None:
    world = World()
    worst = 0.0
    async with running(world.audit.watch_pending()):
        for number in range(60):
            fresh = pod(f"web-{number}")
            world.objects = {fresh["metadata"]["uid"]: fresh}
            for _ in range(10):
                await asyncio.sleep(1)
                worst = max(worst, world.audit.oldest_unseen)
            world.shows(fresh)
    assert worst < UNSEEN_RESTART
    assert world.restarts == []


# --- names ------------------------------------------------------------------------------------------------------------


@virtually
async def test_the_first_lists_are_in_when_all_that_is_listed_was_seen() -> None:
    worker = node()
    world = World(WEB, worker)
    async with running(world.audit.compare_names()):
        world.listed.set()
        world.shows(worker)
        await asyncio.sleep(2)
        assert not world.audit.complete.is_set()
        world.shows(WEB)
        await asyncio.sleep(2)
    assert world.audit.complete.is_set()
    assert world.complete == 1


@virtually
async def test_an_object_that_no_watch_shows_is_read_and_holds_up_the_start_no_longer() -> None:
    world = World(WEB, node())
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(100)
    assert world.audit.complete.is_set()
    assert world.ledger.pod(WEB["metadata"]["uid"]) is not None
    assert world.ledger.node("worker-1") is not None


@virtually
async def test_what_vanished_in_a_gap_is_dropped_once_objects_were_listed_again() -> None:
    gone = pod("gone", node="worker-1", started=1.0, cpu="1")
    world = World(WEB, gone, node())
    world.shows(WEB, gone, node())
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
        del world.objects[gone["metadata"]["uid"]]
        await asyncio.sleep(5)
        assert world.told == []
        world.relisted.set()
        await asyncio.sleep(5)
    assert world.told == [(gone["metadata"]["uid"], Change.GONE | Change.FREED)]
    assert world.repaired("pods", "vanished") == 1


@virtually
async def test_what_vanished_unheard_is_found_after_five_minutes_at_the_latest() -> None:
    world = World(WEB, node())
    world.shows(WEB, node())
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
        world.objects.clear()
        await asyncio.sleep(NAMES_EVERY + 5)
    assert world.ledger.pod(WEB["metadata"]["uid"]) is None
    assert world.ledger.node("worker-1") is None
    assert (world.repaired("pods", "vanished"), world.repaired("nodes", "vanished")) == (1, 1)


@virtually
async def test_a_node_made_anew_under_its_old_name_is_not_dropped() -> None:
    old, new = node(), node()
    new["metadata"]["uid"] = "another"
    world = World(old)
    world.shows(old)
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
        world.objects = {"another": new}
        world.shows(new)
        world.relisted.set()
        await asyncio.sleep(60)
    assert world.ledger.node("worker-1") is not None
    assert world.repaired("nodes", "vanished") == 0


@pytest.mark.parametrize("seconds", [1, 30, 200])
def test_names_are_compared_when_the_api_server_is_back(seconds: float) -> None:
    async def scenario() -> None:
        world = World(WEB, node())
        world.shows(WEB, node())
        world.away = True
        world.listed.set()
        async with running(world.audit.compare_names()):
            await asyncio.sleep(seconds)
            assert not world.audit.complete.is_set()
            world.away = False
            await asyncio.sleep(5)
        assert world.audit.complete.is_set()

    run_virtually(scenario())


# --- other kinds ------------------------------------------------------------------------------------------------------

DATA, DISK, SHOP = claim(), volume("disk"), namespace("shop")


@virtually
async def test_the_first_lists_are_in_when_claims_volumes_and_namespaces_are_as_well() -> None:
    world = World(WEB, node(), DATA, DISK, SHOP)
    async with running(world.audit.compare_names()):
        world.listed.set()
        world.shows(WEB, node(), DATA, SHOP)
        await asyncio.sleep(2)
        assert not world.audit.complete.is_set()
        assert world.read == set()
        world.shows(DISK)
        await asyncio.sleep(2)
    assert world.audit.complete.is_set()
    assert world.read == {kind.plural for kind in KINDS}


@virtually
async def test_a_claim_that_no_watch_shows_is_read_and_holds_up_the_start_no_longer() -> None:
    world = World(DATA, SHOP)
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(100)
    assert world.audit.complete.is_set()
    assert world.ledger.storage.keys("PersistentVolumeClaim") == {"default/data"}
    assert world.ledger.namespaces() == {"shop"}
    assert world.repaired("persistentvolumeclaims", "missing") == 1


@virtually
async def test_a_volume_that_vanished_in_a_gap_is_dropped() -> None:
    world = World(DATA, DISK, SHOP)
    world.shows(DATA, DISK, SHOP)
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
        world.objects.clear()
        world.relisted.set()
        await asyncio.sleep(5)
    assert world.ledger.storage.keys("PersistentVolume") == world.ledger.storage.keys("PersistentVolumeClaim") == set()
    assert world.ledger.namespaces() == set()
    assert world.repaired("persistentvolumes", "vanished") == 1


@virtually
async def test_a_kind_that_is_forbidden_holds_up_nothing_else() -> None:
    world = World(WEB, DATA)
    world.forbidden = "persistentvolumeclaims"
    world.shows(WEB)
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
    assert world.audit.complete.is_set()
    assert world.read == {kind.plural for kind in KINDS} - {"persistentvolumeclaims"}
    assert world.doubts > 0


@virtually
async def test_a_kind_that_is_not_fed_is_not_asked_for() -> None:
    world = World(WEB, DATA)
    world.fed, world.forbidden = (), "persistentvolumeclaims"
    world.shows(WEB)
    world.listed.set()
    async with running(world.audit.compare_names()):
        await asyncio.sleep(5)
    assert world.audit.complete.is_set()
    assert world.doubts == 0


class Misread(World):
    """Whose door makes no sense of anything called odd, and whose answers about odd pods have another shape."""

    def other(self, kind: Kind, event: str | None, raw: Json) -> bool:
        if raw["metadata"]["name"] == "odd":
            return False
        super().other(kind, event, raw)
        return True

    def node(self, event: str | None, raw: Json) -> bool:
        if raw["metadata"]["name"] == "odd":
            return False
        super().node(event, raw)
        return True

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        found = await super().get_pod(namespace, name)
        if found is not None and found["kind"] == "Pod" and name == "odd":
            raise MalformedResponse("status: expected an object")
        return found


@virtually
async def test_objects_that_nobody_can_make_sense_of_hold_up_the_start_no_longer() -> None:
    world = Misread(WEB, node(), DATA, pod("odd"), node("odd"), claim("odd"), namespace("odd"))
    world.listed.set()
    async with running(world.audit.compare_names(), world.audit.watch_pending()):
        world.shows(WEB, node(), DATA)
        await asyncio.sleep(300)
    assert (world.complete, world.restarts, world.audit.oldest_unseen) == (1, [], 0.0)
    assert [world.repaired(kind, "missing") for kind in ("pods", "nodes", "persistentvolumeclaims")] == [0, 0, 0]
