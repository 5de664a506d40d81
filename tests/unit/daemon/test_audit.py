"""A silent watch is noticed in time, and no other trouble is taken for one. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from peaks_scheduler.daemon.watching.audit import UNSEEN_DEAD, UNSEEN_RESTART, Audit
from peaks_scheduler.errors import Unavailable
from peaks_scheduler.kube.client import Listing
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import Json, ledger, pod
from tests.support.virtual_time import now, run_virtually

WEB, DB = pod("web-0"), pod("db-0")
LATEST_LOOK = 30.0  # [s] between two looks, as long as nothing is wrong


class World:
    """An API server, and watches that show only what the test lets through."""

    def __init__(self, *objects: Json) -> None:
        self.objects = {each["metadata"]["uid"]: each for each in objects}
        self.ledger: Ledger = ledger()
        self.away = False
        self.listing_for = 0.0
        self.restarts: list[float] = []
        self.unheard: set[str] = set()
        self.told: list[str] = []
        self.telemetry = Telemetry("Peaks")
        anybody = cast(Any, self)
        self.audit = Audit(
            self.ledger,
            anybody,
            anybody,
            anybody,
            self.telemetry,
            clock=now,
            unseen=lambda name, _: self.told.append(name),
        )

    def shows(self, *objects: Json) -> None:
        """The watches show these pods."""
        for each in objects:
            self.pod(None, each)

    def pod(self, _: str | None, raw: Json) -> bool:
        if raw["metadata"]["name"].startswith("odd"):
            return False
        self.unheard.discard(raw["metadata"]["uid"])
        self.ledger.observe_pod(raw)
        return True

    def restart(self) -> None:
        self.restarts.append(now())

    # what the API server answers

    async def list_pending(self) -> Listing:
        self._answer()
        waiting = {uid: each["metadata"] for uid, each in self.objects.items() if "nodeName" not in each["spec"]}
        return Listing("1", {uid: (meta.get("namespace", ""), meta["name"]) for uid, meta in waiting.items()})

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        self._answer()
        return next((each for each in self.objects.values() if each["metadata"]["name"] == name), None)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("no answer")


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
async def test_a_whole_list_that_takes_minutes_is_not_broken_off() -> None:
    """The list of the pending pods alone is faster than that of all, at the start of a large or busy cluster."""
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        for second in range(300):
            world.listing_for = 1.0 + second
            await asyncio.sleep(1)
        assert (world.audit.oldest_unseen, world.restarts) == (0.0, [])
        world.listing_for = 0.0
        world.shows(WEB)
        await asyncio.sleep(60)
    assert (world.audit.oldest_unseen, world.restarts) == (0.0, [])


@virtually
async def test_dead_watches_are_found_although_each_restart_lists_for_a_while() -> None:
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        for _ in range(300):
            await asyncio.sleep(1)
            lists = bool(world.restarts) and now() - world.restarts[-1] < 20.0
            world.listing_for = 1.0 if lists else 0.0
    assert len(world.restarts) == 1
    assert world.audit.oldest_unseen >= UNSEEN_DEAD


@virtually
async def test_a_list_that_never_ends_fails_liveness_in_the_end() -> None:
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        for second in range(900):
            world.listing_for = 1.0 + second
            await asyncio.sleep(1)
    assert world.audit.oldest_unseen >= UNSEEN_DEAD


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


@virtually
async def test_an_unseen_pod_is_read_and_told_of_and_counts_as_unseen_until_a_watch_shows_it() -> None:
    world = World(WEB)
    async with running(world.audit.watch_pending()):
        await asyncio.sleep(LATEST_LOOK + 15)
        assert world.ledger.pod(WEB["metadata"]["uid"]) is not None
        assert world.told == ["default/web-0"]
        assert world.audit.oldest_unseen > 0.0
        world.shows(WEB)
        await asyncio.sleep(LATEST_LOOK)
        assert world.audit.oldest_unseen == 0.0


@virtually
async def test_a_pod_that_nobody_can_make_sense_of_is_no_dead_watch() -> None:
    world = World(pod("odd"))
    async with running(world.audit.watch_pending()):
        await asyncio.sleep(600)
    assert (world.restarts, world.audit.oldest_unseen) == ([], 0.0)
