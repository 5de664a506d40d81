"""The whole daemon in this process against an API server in another thread: its start, its health, its ends.

Every exit must end within ten seconds, less than the grace period of a kubelet.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

from peaks_scheduler.daemon import status
from peaks_scheduler.daemon.keepers.load import LoadKeeper
from peaks_scheduler.daemon.main import Daemon
from peaks_scheduler.daemon.scheduler import loop as scheduling
from peaks_scheduler.daemon.watching.feed import Feed
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.records import State
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import Json, node, pod, when
from tests.support.daemon_stage import decided, until
from tests.support.server_thread import ServerThread

NOBODY = "http://127.0.0.1:9"
"""A load source that nobody serves: every node is estimated."""
LEASE = "peaks-scheduler-peaks"


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


T = TypeVar("T")
Run = Callable[..., contextlib.AbstractAsyncContextManager[Daemon]]


@pytest.fixture
def run(api: ServerThread, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Run:
    """``async with run() as daemon``: it serves; at the end it gets a SIGTERM and has to end with 0."""
    caplog.set_level(logging.INFO, "peaks_scheduler")

    @contextlib.asynccontextmanager
    async def running(kind: type[Daemon] = Daemon, code: int = 0, **flags: Any) -> AsyncIterator[Daemon]:
        daemon = kind(configuration(api, tmp_path, **flags))
        living = asyncio.create_task(daemon.run())
        await until(lambda: "serving" in caplog.messages or living.done())
        try:
            yield daemon
        finally:
            if not living.done():
                signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(60.0):
                assert await living == code

    return running


def configuration(api: ServerThread, folder: Path, **flags: Any) -> Settings:
    given = {
        "kubeconfig": str(api.server.write_kubeconfig(folder / "kubeconfig")),
        "listen": "127.0.0.1:0",
        "load_address": NOBODY,
    }
    return load_settings(None, "", {}, given | flags)[0]


def port(caplog: pytest.LogCaptureFixture) -> int:
    (record,) = (record for record in caplog.records if record.message == "serving")
    return int(record.__dict__["port"])


async def get(caplog: pytest.LogCaptureFixture, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{port(caplog)}{path}")


async def becomes(caplog: pytest.LogCaptureFixture, path: str, status: int) -> None:
    """Ask until the page has this status."""
    for _ in range(400):
        if (await get(caplog, path)).status_code == status:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{path} never had status {status}")


def on_node(api: ServerThread, name: str) -> str | None:
    node_name: str | None = api(lambda server: server.get("pods", name))["spec"].get("nodeName")
    return node_name


def told(api: ServerThread, reason: str) -> list[str]:
    events = api(lambda server: server.objects("events"))
    return [event["regarding"]["name"] for event in events if event["reason"] == reason]


def holder(api: ServerThread) -> str:
    lease: Json = api(lambda server: server.get("leases", LEASE, "kube-system"))
    return str(lease["spec"]["holderIdentity"])


MAIN = threading.main_thread().ident or 0


class LongDecision:
    """In the place of ``schedule``: goes on until it is told to end, then finds no node."""

    def __init__(self) -> None:
        self._begun, self._end = threading.Event(), threading.Event()

    def __call__(self, *_: object, **__: object) -> None:
        self._begun.set()
        give_up = time.monotonic() + 60.0
        while not self._end.is_set():
            assert time.monotonic() < give_up
        raise ZeroDivisionError("the decision is over")

    async def when_begun(self, look: Callable[[], T], ends: bool = True) -> T:
        """``look()`` in another thread while it lasts; then it ends, or goes on."""

        def looked() -> T:
            assert self._begun.wait(30.0)
            try:
                return look()
            finally:
                if ends:
                    self._end.set()

        return await asyncio.to_thread(looked)


def seen_while_deciding(
    api: ServerThread, caplog: pytest.LogCaptureFixture
) -> tuple[httpx.Response, httpx.Response, int]:
    """/livez, /readyz and how often the Lease was renewed, once the watchdog has named the pod."""
    give_up = time.monotonic() + 30.0
    while "a decision takes long" not in caplog.messages:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    before = renewals(api)
    while renewals(api) == before:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    live, ready = (
        httpx.get(f"http://127.0.0.1:{port(caplog)}/{path}?verbose", trust_env=False, timeout=10)
        for path in ("livez", "readyz")
    )
    return live, ready, renewals(api) - before


def renewals(api: ServerThread) -> int:
    return api(lambda server: server.requests["update", "leases"])


async def last_renewal(api: ServerThread, spec: Json) -> None:
    """The holder of the Lease renews it, and dies."""
    url = f"{api.server.url}/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{LEASE}"
    async with httpx.AsyncClient(trust_env=False) as client:
        lease = (await client.get(url)).json()
        assert (await client.put(url, json={**lease, "spec": spec})).status_code == 200


def lists(api: ServerThread) -> Mapping[str, int]:
    """Lists and watches of each kind so far: a list may come as a watch."""
    asked = api(lambda server: dict(server.requests))
    return {f"{verb} {kind}": n for (verb, kind), n in asked.items() if verb in ("list", "watch")}


class TestWork:
    async def test_pods_that_wait_and_pods_that_come_are_placed_and_the_lease_is_given_back(
        self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        api(lambda server: server.add_pod(pod("early", cpu="1")))
        async with run():
            await until(lambda: on_node(api, "early") is not None)
            assert (await get(caplog, "/readyz")).text == "ok"
            assert (await get(caplog, "/livez")).text == "ok"
            api(lambda server: server.add_pod(pod("late", cpu="1")))
            api(lambda server: server.add_pod(pod("huge", cpu="64")))
            await until(lambda: on_node(api, "late") is not None)
            await until(lambda: told(api, "FailedScheduling") == ["huge"])
            await until(lambda: bool(api(lambda server: server.get("pods", "huge"))["status"].get("conditions")))
            assert holder(api) != ""
        assert holder(api) == ""
        assert sorted(told(api, "Scheduled")) == ["early", "late"]
        assert {verb for (verb, kind), n in api.server.requests.items() if kind == "pods" and n} <= {
            "list",
            "watch",
            "get",
        }

    async def test_what_it_says_of_itself(self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        api(lambda server: server.add_node(node("bare", cpu="0")))
        api(lambda server: server.add_pod(pod("idler", node="bare", cpu="100m")))
        async with run(leader_elect=False, node_metrics=True) as daemon:
            await until(daemon.parts.core.gate.may_decide)
            ready = (await get(caplog, "/readyz?verbose")).text
            assert "[+]first-lists ok" in ready
            assert "[!]load: unreachable:" in ready
            assert "[!]power-models: no power model file is configured" in ready
            assert "[+]lease ok" in ready
            numbers = (await get(caplog, "/metrics")).text
            assert 'peaks_nodes{standing="unmodelled"} 2.0' in numbers
            assert 'peaks_node_predicted_cpu_ratio{node="bare"}' not in numbers  # a share of nothing
            assert "peaks_load_age_seconds +Inf" in numbers
            assert "peaks_leader 1.0" in numbers
            assert 'peaks_node_predicted_cpu_ratio{node="worker-1"} 0.0' in numbers
            shown = (await get(caplog, "/configz")).text
            assert "embedded" not in shown  # the token of the kubeconfig

    async def test_the_jump_of_a_node_is_in_watts_whatever_the_strategy_counts(
        self, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        points = Strategy("points", "points", lambda pod, nodes: np.full(len(nodes), -7.0), unit="points")
        monkeypatch.setitem(STRATEGIES, "peaks", points)  # type: ignore[misc]  # the default
        file = tmp_path / "models.yaml"
        file.write_text("models: [{nodes: [worker-1], cpu: ratio, curve: {kind: linear, idle: 100, max: 200}}]")
        async with run(leader_elect=False, node_metrics=True, power_models=str(file)) as daemon:
            await until(daemon.parts.core.gate.may_decide)
            numbers = (await get(caplog, "/metrics")).text
        assert 'peaks_node_jump_watts{node="worker-1"} 2.5' in numbers  # a tenth of a core of four: 100 W / 40
        assert 'peaks_node_jump_watts{node="worker-2"}' not in numbers  # it has no model

    async def test_it_is_not_ready_while_the_api_server_answers_nothing(
        self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status, "UNREACHED", 0.2)

        async with run(leader_elect=False) as daemon:
            await until(daemon.parts.core.gate.may_decide)
            assert (await get(caplog, "/readyz")).text == "ok"
            api(lambda server: (server.fail_next(10_000, 503), server.drop_watches()))
            await becomes(caplog, "/readyz", 500)
            text = (await get(caplog, "/readyz?verbose")).text
            assert re.search(r"\[-\]api-server.*has answered no request for \d+ s: it answers 503", text)
            assert (await get(caplog, "/livez")).text == "ok"  # a restart would not help
            api(lambda server: server.clear_faults())
            await becomes(caplog, "/readyz", 200)

    async def test_what_a_process_that_died_did_not_get_to_tell_is_told(self, api: ServerThread, run: Run) -> None:
        bound = decided(pod("orphan", cpu="1"), "worker-1")
        now = when(api.server.clock())
        bound["status"]["conditions"][0]["lastTransitionTime"] = now
        api(lambda server: server.add_pod(bound))
        async with run(leader_elect=False):
            await until(lambda: told(api, "Scheduled") == ["orphan"])

    async def test_a_standby_is_ready_and_decides_nothing(
        self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        spec = {"holderIdentity": "the-other", "leaseDurationSeconds": 3600, "renewTime": "2026-11-22T10:00:00.000000Z"}
        lease = {"metadata": {"name": LEASE, "namespace": "kube-system"}, "spec": spec}
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"{api.server.url}/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
            assert (await client.post(url, json=lease)).status_code == 201
        api(lambda server: server.add_pod(pod(cpu="1")))
        async with run() as daemon:
            parts = daemon.parts
            ledger, lists = parts.core.ledger, parts.feed.complete
            await until(lambda: ledger.state("uid-default-web-0") is State.PENDING and lists.is_set())
            (source,) = (keeper for keeper in daemon.parts.keepers if isinstance(keeper, LoadKeeper))
            await until(lambda: source.asked and daemon.parts.lease.elector.holder == "the-other")
            answer = await get(caplog, "/readyz?verbose")
            assert answer.status_code == 200
            assert "[!]lease: standing by; the lease is held by the-other" in answer.text
            assert not daemon.parts.core.gate.may_decide()
            assert not daemon.parts.lease.may_write()
        assert on_node(api, "web-0") is None
        assert holder(api) == "the-other"

    async def test_a_standby_whose_leader_has_died_places_pods_without_a_new_list(
        self, api: ServerThread, run: Run
    ) -> None:
        spec = {"holderIdentity": "the-other", "leaseDurationSeconds": 3600, "renewTime": "2026-11-22T10:00:00.000000Z"}
        api(
            lambda server: server.add("leases", {"metadata": {"name": LEASE, "namespace": "kube-system"}, "spec": spec})
        )
        api(lambda server: server.add_pod(pod("placed", node="worker-1", cpu="1")))
        async with run() as daemon:
            await until(daemon.parts.feed.complete.is_set)
            await until(lambda: daemon.parts.lease.elector.holder == "the-other")
            api(lambda server: server.add_pod(pod("waits", cpu="1")))
            await until(lambda: daemon.parts.core.ledger.state("uid-default-waits") is State.PENDING)
            assert daemon.parts.core.ledger.state("uid-default-placed") is State.BOUND
            await until(lambda: lists(api)["watch pods"] == 2)  # of all pods, and kopf's of those that wait
            before = lists(api)
            await last_renewal(api, {**spec, "leaseDurationSeconds": 1})
            await until(lambda: on_node(api, "waits") is not None, 20.0)
            assert daemon.parts.lease.leading
            assert lists(api) == before

    async def test_first_lists_are_dated_by_the_api_servers_clock(self, api: ServerThread, run: Run) -> None:
        started = api.server.clock() + 3600.0
        api.server.clock = lambda: started  # the server's clock is an hour ahead of ours, and stands still
        api(lambda server: server.add_pod(pod(node="worker-1", started=started)))
        async with run(leader_elect=False) as daemon:
            await until(lambda: daemon.parts.core.ledger.pod("uid-default-web-0") is not None)
            known = daemon.parts.core.ledger.pod("uid-default-web-0")
            assert known is not None
            assert known.started is not None
            assert abs(known.started - (started - 3600.0)) < 5.0
            said = re.fullmatch(r"the API server's clock is \+(\d+) s from ours", daemon.parts.clock.health().text)
            assert said is not None
            assert abs(int(said[1]) - 3600) < 5  # ours went on while the daemon started


class TestEnds:
    async def test_a_sigterm_before_anything_was_answered_ends_it_well(self, api: ServerThread, run: Run) -> None:
        api.stop()
        async with run():
            pass

    async def test_a_sigterm_while_the_api_server_is_down_ends_it_in_time(
        self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        states: list[State | None] = []
        async with run() as daemon:

            async def release(_: float) -> None:
                states.append(daemon.parts.core.ledger.state("uid-default-web-0"))

            monkeypatch.setattr(daemon.parts.lease.elector, "release", release)
            await until(lambda: daemon.parts.lease.elector.leading and daemon.parts.core.gate.may_decide())
            api.stop()
            daemon.parts.observer.pod("ADDED", pod(cpu="1"))
            await until(lambda: daemon.parts.core.ledger.state("uid-default-web-0") is State.ASSUMED)
        assert "binds left in flight" in caplog.messages
        # the Lease goes only when no worker has a Binding in its hands any more
        assert states == [State.PENDING]

    async def test_a_sigterm_waits_for_the_bind_in_flight(self, api: ServerThread, run: Run) -> None:
        async with run() as daemon:
            await until(daemon.parts.core.gate.may_decide)
            api(lambda server: server.delay("binding", 0.5))
            api(lambda server: server.add_pod(pod(cpu="1")))
            await until(lambda: daemon.parts.scheduler.context.limiter.in_flight == 1)
        assert on_node(api, "web-0") is not None
        assert told(api, "Scheduled") == ["web-0"]

    async def test_a_signal_is_ours_also_after_kopf_was_started_again(self, api: ServerThread, run: Run) -> None:
        async with run() as daemon:
            await until(daemon.parts.core.gate.may_decide)
            watches = api.server.requests["watch", "pods"]
            daemon.parts.feed.restart()
            await until(lambda: api.server.requests["watch", "pods"] > watches, within=10.0)
            signal.raise_signal(signal.SIGTERM)
            for _ in range(5):
                await asyncio.sleep(0)
            assert daemon.stop.is_set()  # at once: kopf would first end every task of its own

    @pytest.mark.parametrize("how", ["fails", "ends", "is cancelled"])
    async def test_a_task_that_should_never_end_ends_the_process_with_1(
        self, how: str, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken() -> None:
            await asyncio.sleep(0.1)
            if how == "fails":
                raise ZeroDivisionError("a bug")
            if how == "is cancelled":
                raise asyncio.CancelledError

        class Broken(Daemon):
            def _tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
                return super()._tasks() | {"broken": broken()}

        async with run(Broken, code=1) as daemon:
            await until(daemon.stop.is_set)
        (record,) = (record for record in caplog.records if record.levelno == logging.CRITICAL)
        assert (record.message, record.__dict__["task"]) == ("task ended", "broken")
        assert bool(record.exc_info) == (how == "fails")

    async def test_a_feed_that_fails_for_good_ends_the_process_with_1(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(Feed, "run", broken)
        async with run(code=1) as daemon:
            await until(daemon.stop.is_set)
        assert [r.__dict__["task"] for r in caplog.records if r.levelno == logging.CRITICAL] == ["kopf"]


class TestLongDecision:
    """A decision that never ends by itself. Requests meanwhile come from another thread, as a kubelet's do."""

    @pytest.fixture
    def long(self, monkeypatch: pytest.MonkeyPatch) -> LongDecision:
        decision = LongDecision()
        monkeypatch.setattr(scheduling, "schedule", decision)
        return decision

    async def test_probes_are_answered_and_the_lease_is_renewed_while_it_lasts(
        self, api: ServerThread, run: Run, caplog: pytest.LogCaptureFixture, long: LongDecision
    ) -> None:
        async with run() as daemon:
            await until(daemon.parts.core.gate.may_decide)
            meanwhile = long.when_begun(lambda: seen_while_deciding(api, caplog))
            api(lambda server: server.add_pod(pod(cpu="1")))
            live, ready, renewals = await meanwhile
            assert live.status_code == ready.status_code == 200
            assert re.search(r"^\[!\]loop: deciding about default/web-0 for \d+ s$", live.text, re.M)
            assert re.search(r"^\[!\]loop: deciding about default/web-0 for \d+ s$", ready.text, re.M)
            assert "[+]first-lists ok" in ready.text
            assert renewals > 0
            assert daemon.parts.lease.elector.leading
        (slow,) = (record for record in caplog.records if record.message == "a decision takes long")
        assert slow.__dict__["pod"] == "default/web-0"

    async def test_a_sigterm_breaks_it_off(self, api: ServerThread, run: Run, long: LongDecision) -> None:
        async with run() as daemon:
            await until(daemon.parts.core.gate.may_decide)
            killed = long.when_begun(lambda: signal.pthread_kill(MAIN, signal.SIGTERM), ends=False)
            api(lambda server: server.add_pod(pod(cpu="1")))
            await killed
        assert on_node(api, "web-0") is None
        assert holder(api) == ""


class TestBeginnings:
    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            pytest.param({"load_address": "http://load watcher"}, "load", id="address of the load source"),
            pytest.param({"kubeconfig": "/nowhere"}, "kubeconfig: expected a file", id="kubeconfig"),
        ],
    )
    async def test_a_wrong_configuration_is_an_error_in_words(
        self, api: ServerThread, tmp_path: Path, flags: Mapping[str, str], words: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=words):
            await Daemon(configuration(api, tmp_path, **flags)).run()

    async def test_an_unknown_strategy_is_an_error_that_names_the_known_ones(
        self, api: ServerThread, tmp_path: Path
    ) -> None:
        text = f"{{strategy: peeks, kubeconfig: {api.server.write_kubeconfig(tmp_path / 'kubeconfig')}}}"
        chosen, _ = load_settings(text, "config.yaml", {}, {})
        with pytest.raises(ConfigurationError, match=r"strategy: expected one of .*peaks.* got 'peeks'"):
            await Daemon(chosen).run()

    def test_a_port_that_is_taken_is_one_line_and_exit_code_2(self, api: ServerThread, tmp_path: Path) -> None:
        kubeconfig = str(api.server.write_kubeconfig(tmp_path / "kubeconfig"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            command = [sys.executable, "-m", "peaks_scheduler", "run", "--kubeconfig", kubeconfig, "--listen", listen]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 2
        assert f"cannot listen on {listen}: the port is taken" in ended.stderr
        assert "Traceback" not in ended.stderr
