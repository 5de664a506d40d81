"""kopf and the ledger: what comes in, what kopf must not do to a cluster, and that it runs again after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import kopf
import pytest
from kopf._cogs.aiokits import aiotasks
from kopf._cogs.clients import watching
from kopf._core.reactor import orchestration

from peaks_scheduler.daemon.watching.feed import Feed
from peaks_scheduler.daemon.watching.kopf_log import REPORTER, STREAM, WATCHER, pass_over_open_streams
from peaks_scheduler.daemon.watching.observer import Observer
from peaks_scheduler.daemon.watching.waiting_pods import Endless, NoMemories, NoStorage, WaitingPods, settings_of
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.kinds import KINDS, Kind
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import NOW, ledger, namespace, node, pod
from tests.support.daemon_stage import OTHERS, until
from tests.support.server_thread import ServerThread
from tests.support.storage_objects import attachment, capacity, claim, csi_driver, csi_node, storage_class, volume
from tests.support.virtual_time import run_virtually

UID = "uid-default-web-0"


class Heard:
    """A feed into an empty ledger, and the changes it told."""

    def __init__(self, connection: Connection | None = None) -> None:
        self.ledger: Ledger = ledger()
        self.telemetry = Telemetry("Peaks")
        self.pods: list[tuple[str, Change, Pod | None]] = []
        self.nodes: list[Change] = []
        self.others: list[tuple[str, str]] = []
        self.kinds: Sequence[Kind] = ()
        self.completed: set[str] = set()
        self.starts = self.refusals = 0
        self.observer = Observer(
            self.ledger,
            self.telemetry,
            lambda: NOW,
            lambda *what: self.pods.append(what),
            self.nodes.append,
            lambda kind, raw: self.others.append((kind.plural, raw["metadata"]["name"])),
        )
        self.feed = Feed(
            self.observer,
            cast(Connection, connection),
            self.telemetry,
            "Peaks",
            self._fed,
            lambda kind: self.completed.add(kind.plural),
            refused=self._was_refused,
            on_start=self._started,
        )

    async def _fed(self) -> Sequence[Kind]:
        return self.kinds

    def _was_refused(self) -> None:
        self.refusals += 1

    def _started(self) -> None:
        self.starts += 1

    def restarts(self, resource: str, reason: str) -> float:
        labels = {"resource": resource, "reason": reason}
        return self.telemetry.registry.get_sample_value("peaks_watch_restarts_total", labels) or 0.0


# --- the ledger's door ------------------------------------------------------------------------------------------------


class TestDoor:
    def test_what_a_watch_brings_is_in_the_ledger_before_it_is_told(self) -> None:
        heard = Heard()
        heard.observer.node("ADDED", node())
        heard.observer.pod("ADDED", pod())
        assert heard.nodes == [Change.NODE_NEW]
        assert heard.pods == [(UID, Change.PENDING, None)]
        assert heard.ledger.state(UID) is State.PENDING

    def test_an_end_is_told_with_the_pod_as_it_was(self) -> None:
        heard = Heard()
        heard.observer.pod(None, pod(node="worker-1"))
        heard.observer.pod("DELETED", pod(node="worker-1"))
        _, change, before = heard.pods[-1]
        assert change & Change.GONE
        assert before is not None
        assert before.node_name == "worker-1"
        assert heard.ledger.pod(UID) is None

    def test_what_says_nothing_new_is_not_told(self) -> None:
        heard = Heard()
        for _ in range(2):
            heard.observer.node("MODIFIED", node())
            heard.observer.pod("MODIFIED", pod())
        assert (len(heard.nodes), len(heard.pods)) == (1, 1)

    def test_an_object_that_makes_no_sense_is_passed_over_with_a_warning(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard = Heard()
        heard.observer.pod("ADDED", pod("odd", cpu="a lot"))
        heard.observer.node("ADDED", node("odd", cpu="plenty"))
        heard.observer.pod("ADDED", pod())
        assert [record.getMessage() for record in caplog.records] == ["pod not understood", "node not understood"]
        assert "default/odd" in caplog.records[0].__dict__["error"]
        assert [uid for uid, _, _ in heard.pods] == [UID]

    def test_a_node_that_made_no_sense_last_is_gone_when_it_goes(self) -> None:
        heard = Heard()
        heard.observer.node("ADDED", node())
        heard.observer.node("MODIFIED", node(cpu="plenty"))
        heard.observer.node("DELETED", node(cpu="plenty"))
        assert [each.name for each in heard.ledger.nodes()] == []
        assert heard.nodes == [Change.NODE_NEW, Change.NODE_GONE]

    def test_a_claim_is_in_the_ledger_before_it_is_told_and_told_only_when_it_says_something_new(self) -> None:
        heard = Heard()
        for version in ("1", "2"):
            heard.observer.other(OTHERS["PersistentVolumeClaim"], "MODIFIED", claim(version=version))
        heard.observer.other(OTHERS["Namespace"], "ADDED", namespace("shop"))
        assert heard.others == [("persistentvolumeclaims", "data"), ("namespaces", "shop")]
        assert heard.ledger.storage.keys("PersistentVolumeClaim") == {"default/data"}
        heard.observer.other(OTHERS["PersistentVolumeClaim"], "DELETED", claim(version="3"))
        assert heard.ledger.storage.keys("PersistentVolumeClaim") == set()
        assert len(heard.others) == 3

    def test_a_claim_that_makes_no_sense_is_passed_over_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        heard = Heard()
        heard.observer.other(OTHERS["PersistentVolumeClaim"], "ADDED", claim("odd", size="a lot"))
        (record,) = caplog.records
        assert (record.getMessage(), record.__dict__["kind"]) == ("object not understood", "persistentvolumeclaims")
        assert "default/odd" in record.__dict__["error"]


# --- kopf, for real ---------------------------------------------------------------------------------------------------


@pytest.fixture
def api() -> Iterator[ServerThread]:
    with ServerThread() as running:
        running(lambda server: (server.add_node(node()), server.add_pod(pod())))
        yield running


@contextlib.asynccontextmanager
async def fed_from(api: ServerThread, folder: Path, kinds: Sequence[Kind] = ()) -> AsyncIterator[Heard]:
    """A feed whose reflectors and kopf run, its first lists read. No fixture: a test's task must be older than kopf."""
    connection = await connect(str(api.server.write_kubeconfig(folder / "kubeconfig")))
    heard, stop = Heard(connection), asyncio.Event()
    heard.kinds = kinds
    reflecting = [asyncio.create_task(each) for each in heard.feed.tasks().values()]
    await asyncio.sleep(0)
    running = asyncio.create_task(heard.feed.run(stop))
    try:
        await until(lambda: heard.ledger.pod(UID) is not None and heard.feed.complete.is_set() and heard.starts > 0)
        yield heard
    finally:
        stop.set()
        async with asyncio.timeout(20.0):
            await running
        for task in reflecting:
            task.cancel()
        await asyncio.gather(*reflecting, return_exceptions=True)
        await connection.close()


async def test_lists_and_changes_come_in_and_nothing_is_written_onto_the_objects(
    api: ServerThread, tmp_path: Path
) -> None:
    async with fed_from(api, tmp_path) as heard:
        before = api(lambda server: server.get("pods", "web-0"))
        api(lambda server: server.change("nodes", "worker-1", {"spec": {"unschedulable": True}}, ""))
        api(lambda server: server.add_pod(pod("web-1")))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None)
        await until(lambda: bool(heard.ledger.snapshot().unschedulable.any()))
        api(lambda server: server.remove("pods", "web-1"))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is None)
        assert api(lambda server: server.get("pods", "web-0")) == before
        assert {verb for verb, _ in api.server.requests} <= {"list", "watch", "get"}


async def test_finished_pods_are_kept_out(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path) as heard:
        api(lambda server: server.change("pods", "web-0", {"status": {"phase": "Succeeded"}}))
        await until(lambda: heard.ledger.pod(UID) is None)
        assert heard.pods[-1][1] & Change.GONE


async def test_a_broken_connection_loses_nothing(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path) as heard:
        api(lambda server: server.drop_watches())
        api(lambda server: server.add_pod(pod("web-1")))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None)


async def test_a_watch_from_too_long_ago_is_counted_and_its_objects_are_listed_again(
    api: ServerThread, tmp_path: Path
) -> None:
    async with fed_from(api, tmp_path) as heard:

        def forget(server: Any) -> None:
            server.add_pod(pod("web-1"))
            server.remove("pods", "web-1")
            server.freeze_watches()
            server.add_pod(pod("web-2"))
            server.compact()
            server.drop_watches()
            server.freeze_watches(False)

        api(forget)
        await until(lambda: heard.restarts("pods", "gone") >= 1)
        await until(lambda: heard.ledger.pod("uid-default-web-2") is not None)
        assert api.server.expired["pods"] >= 1


async def test_kopfs_list_whose_next_page_is_gone_is_no_news(
    api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The waiting pods are listed anew: nothing is logged, and kopf does not end."""
    for i in range(600):  # two pages
        api(lambda server, i=i: server.add_pod(pod(f"more-{i}")))
    api(lambda server: server.fail_next(1, status=410, match="continue="))
    async with fed_from(api, tmp_path) as heard:
        await until(lambda: api.server.requests["watch", "pods"] >= 2, within=10.0)
        assert heard.starts == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_watches_that_look_dead_are_started_again(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path) as heard:
        api(lambda server: server.freeze_watches())
        api(lambda server: server.add_pod(pod("web-1")))
        heard.feed.restart()
        api(lambda server: server.freeze_watches(False))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None, within=10.0)
        await until(lambda: heard.starts == 2, within=10.0)
        assert heard.restarts("all", "inactive") == 1


WORLD = {
    "namespaces": namespace("shop"),
    "persistentvolumes": volume("disk"),
    "persistentvolumeclaims": claim("data"),
    "storageclasses": storage_class("fast"),
    "csinodes": csi_node("worker-1"),
    "csidrivers": csi_driver("driver"),
    "csistoragecapacities": capacity("room", {}),
    "volumeattachments": attachment("disk", "worker-1", name="attached"),
}


@pytest.mark.parametrize("way", ["streaming lists", "pages"])
async def test_every_kind_that_placing_reads_is_brought_in_from_lists_and_from_watches(
    api: ServerThread, tmp_path: Path, way: str
) -> None:
    if way == "pages":  # whose items do not say their kind
        api(lambda server: server.fail_next(10_000, status=422, match="sendInitialEvents"))
    assert set(WORLD) == {kind.plural for kind in KINDS}
    for plural, there in WORLD.items():
        api(lambda server, plural=plural, there=there: server.add(plural, there))
    wanted = [(plural, there["metadata"]["name"]) for plural, there in WORLD.items()]
    async with fed_from(api, tmp_path, KINDS) as heard:
        await until(lambda: sorted(heard.others) == sorted(wanted))
        assert all(heard.ledger.storage.keys(kind.kind) for kind in KINDS if kind.kind != "Namespace")
        for plural, (_, name) in zip(WORLD, wanted, strict=True):
            space = "kube-system" if plural == "csistoragecapacities" else "default"
            api(lambda server, plural=plural, name=name, space=space: server.remove(plural, name, space))
        await until(lambda: len(heard.others) == 2 * len(wanted))
        assert not any(heard.ledger.storage.keys(kind.kind) for kind in KINDS if kind.kind != "Namespace")
    assert {verb for verb, _ in api.server.requests} <= {"list", "watch", "get"}


async def test_the_first_lists_are_read_once_all_that_is_fed_is_watched(api: ServerThread, tmp_path: Path) -> None:
    api(lambda server: server.delay("/persistentvolumeclaims", 0.5))
    async with fed_from(api, tmp_path, KINDS):
        assert {kind for verb, kind in api.server.requests if verb == "watch"} == {"pods", "nodes", *WORLD}


async def test_a_kind_that_the_server_takes_away_is_not_watched_any_more(api: ServerThread, tmp_path: Path) -> None:
    claims, csi_nodes = OTHERS["PersistentVolumeClaim"], OTHERS["CSINode"]
    async with fed_from(api, tmp_path, [claims, csi_nodes]) as heard:
        heard.kinds = [claims]  # as the keeper will say when it is asked again
        api(lambda server: server.absent.add("csinodes"))
        heard.feed.restart("kinds")
        api(lambda server: server.drop_watches())
        api(lambda server: server.add_pod(pod("web-1")))
        api(lambda server: server.add("persistentvolumeclaims", claim()))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None, within=10.0)
        await until(lambda: heard.ledger.storage.keys("PersistentVolumeClaim") == {"default/data"})
        assert "csinodes" not in heard.feed._reflectors


async def test_a_right_that_is_taken_away_stops_only_the_kind_it_was_for(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path, KINDS) as heard:
        api(lambda server: server.denied.update({("list", "csinodes"), ("watch", "csinodes")}))
        api(lambda server: server.drop_watches())
        api(lambda server: server.add_pod(pod("web-1")))
        api(lambda server: server.add("persistentvolumeclaims", claim()))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None)
        await until(lambda: heard.ledger.storage.keys("PersistentVolumeClaim") == {"default/data"})
        assert heard.restarts("all", "error") == 0


async def test_a_kind_that_was_refused_for_a_moment_is_complete_again_without_a_new_list(
    api: ServerThread, tmp_path: Path
) -> None:
    async with fed_from(api, tmp_path, KINDS) as heard:
        heard.completed.clear()  # as the keeper forgets what it believes unreadable
        heard.feed.restart("kinds")
        await until(lambda: heard.completed == set(WORLD))


async def test_reflectors_that_kopf_cancelled_run_again_while_the_api_server_is_asked_for_its_kinds(
    api: ServerThread, tmp_path: Path
) -> None:
    async with fed_from(api, tmp_path) as heard:
        never = asyncio.Event()

        async def asked() -> Sequence[Kind]:
            await never.wait()
            return ()

        heard.feed._kinds = asked
        heard.feed.restart("inactive")
        api(lambda server: server.add_pod(pod("web-1")))
        await until(lambda: heard.ledger.pod("uid-default-web-1") is not None, within=10.0)


async def test_kinds_that_cannot_be_followed_are_said_and_so_is_the_end_of_it(
    api: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("peaks_scheduler.daemon.watching.feed.FAILING", 3.0)
    async with fed_from(api, tmp_path) as heard:
        (check,) = heard.feed.checks()
        assert check.run().level == "ok"
        api(lambda server: server.denied.update({("list", "nodes"), ("watch", "nodes")}))
        api(lambda server: server.drop_watches())
        await until(lambda: check.run().level == "degraded", within=20.0)
        assert "nodes: " in check.run().text
        assert "forbidden" in check.run().text
        await until(lambda: "kinds not followed" in caplog.messages)
        api(lambda server: server.denied.clear())
        await until(lambda: check.run().level == "ok", within=20.0)
        await until(lambda: "all kinds are followed again" in caplog.messages)


async def test_a_kind_that_is_refused_is_asked_about_soon(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path, KINDS) as heard:
        assert heard.refusals == 0
        api(lambda server: server.denied.update({("list", "csinodes"), ("watch", "csinodes")}))
        api(lambda server: server.drop_watches())
        await until(lambda: heard.refusals > 0)


async def test_a_waiting_pod_that_was_bound_is_not_taken_for_deleted(api: ServerThread, tmp_path: Path) -> None:
    """kopf watches waiting pods alone: to it a bound pod is gone."""
    async with fed_from(api, tmp_path) as heard:
        api(lambda server: server.bind("web-0", "worker-1"))
        await until(lambda: heard.ledger.node_of(UID) == "worker-1")
        await asyncio.sleep(0.2)  # kopf's event of it comes within milliseconds
        assert heard.ledger.node_of(UID) == "worker-1"


async def test_pods_that_vanish_during_an_outage_are_gone(api: ServerThread, tmp_path: Path) -> None:
    async with fed_from(api, tmp_path) as heard:
        api.stop()
        api(lambda server: (server.remove("pods", "web-0"), server.compact()))
        api.start()
        await until(lambda: heard.ledger.pod(UID) is None, within=10.0)
        labels = {"resource": "pods", "kind": "vanished"}
        assert heard.telemetry.registry.get_sample_value("peaks_audit_repairs_total", labels) == 1


# --- kopf, played -----------------------------------------------------------------------------------------------------


def test_kopf_that_fails_runs_again_a_moment_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[float] = []

    async def operator(*, stop_flag: asyncio.Event, **_: Any) -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) < 3:
            raise ConnectionError("broken")
        await stop_flag.wait()

    async def scenario() -> None:
        heard, stop = Heard(), asyncio.Event()
        heard.feed.complete.set()
        running = asyncio.create_task(heard.feed.run(stop))
        await asyncio.sleep(10.0)
        assert [run - runs[0] for run in runs] == [0.0, 1.0, 2.0]
        assert heard.restarts("all", "error") == 2
        stop.set()
        await running

    monkeypatch.setattr(kopf, "operator", operator)
    run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records] == ["watching failed, starting again"] * 2


def test_kopf_that_ends_by_itself_was_told_to_and_so_are_we(monkeypatch: pytest.MonkeyPatch) -> None:
    async def operator(**_: Any) -> None:
        await asyncio.sleep(1.0)  # a signal that kopf got before our handlers were in place

    async def scenario() -> None:
        heard, stop = Heard(), asyncio.Event()
        heard.feed.complete.set()
        await heard.feed.run(stop)
        assert stop.is_set()

    monkeypatch.setattr(kopf, "operator", operator)
    run_virtually(scenario())


def test_kopf_waits_for_the_first_lists_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def operator(**_: Any) -> None:
        raise AssertionError("the lists are not in")

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(Heard().feed.run(stop))
        await asyncio.sleep(10.0)
        assert not running.done()
        stop.set()
        await running

    monkeypatch.setattr(kopf, "operator", operator)
    run_virtually(scenario())


def test_the_tries_of_a_watch_never_end() -> None:
    pauses = list(itertools.islice(Endless(), 1000))
    assert pauses[:4] == [0.2, 0.5, 1.0, 2.0]
    assert set(pauses[3:]) == {2.0}


# --- what kopf says of broken watches ---------------------------------------------------------------------------------


def test_kopf_still_calls_its_watches_what_we_end_them_by() -> None:
    assert f'name=f"{WATCHER}{{what}}", logger=logger' in inspect.getsource(orchestration)
    assert "{capname} has failed: {e}" in inspect.getsource(aiotasks)
    assert orchestration.logger.name == REPORTER
    assert watching.infinite_watch.__name__ == STREAM


def test_a_stream_that_kopf_leaves_open_is_no_news_at_the_end_and_other_trouble_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def infinite_watch() -> AsyncIterator[int]:
        yield 1

    async def another() -> AsyncIterator[int]:
        yield 1

    loop = asyncio.new_event_loop()
    for stream in (infinite_watch(), another()):
        pass_over_open_streams(loop, {"message": "closing of asynchronous generator", "asyncgen": stream})
    loop.close()
    (record,) = caplog.records
    assert "another" in record.getMessage()


def test_kopf_keeps_its_hands_off_pods_and_nodes() -> None:
    settings = settings_of("Peaks")
    registry = WaitingPods(cast(Connection, None), "Peaks", lambda *_: None, lambda: None)._registry()
    assert settings.posting.enabled is False
    assert settings.scanning.disabled
    assert isinstance(settings.persistence.progress_storage, NoStorage)
    # handlers of any other kind would write finalizers and annotations
    for handlers in (registry._changing, registry._spawning, registry._indexing):
        assert not list(handlers.get_all_handlers())
    assert kopf.OperatorRegistry is type(registry)


async def test_kopf_keeps_no_record_of_an_object_whose_end_it_may_miss() -> None:
    memories = NoMemories()
    for i in range(3):
        await memories.recall({"metadata": {"uid": f"pod-{i}"}})
    assert list(memories.iter_all_memories()) == []
