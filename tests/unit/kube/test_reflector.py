"""The reflector: whatever the API server does, what was told in the end is what exists."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.kube.backoff import Backoff
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.reflector import Event, Head, Reflector, Watched
from tests.support.builders import pod

PODS = "/api/v1/pods"


class Kept:
    """A sink that keeps what exists by its uid, as the ledger does."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, object]] = {}
        self.lists = 0
        self.version = ""

    def begins(self) -> None:
        pass

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        if event == "DELETED":
            self.objects.pop(head.uid, None)
        else:
            self.objects[head.uid] = msgspec.json.decode(raw)

    def reached(self, version: str) -> None:
        self.version = version

    def listed(self, uids: Set[str], version: str) -> None:
        self.lists += 1
        self.objects = {uid: each for uid, each in self.objects.items() if uid in uids}

    @property
    def names(self) -> set[str]:
        return {str(each["metadata"]["name"]) for each in self.objects.values()}  # type: ignore[index]


class Paused(Backoff):
    """Short pauses, written down with what the server asked for."""

    def __init__(self) -> None:
        super().__init__(first=0.01, longest=0.01)
        self.asked: list[float] = []

    def pause(self, least: float = 0.0) -> float:
        self.asked.append(least)
        return super().pause()


class Reflected:
    """A reflector of pods that runs, its sink, and its troubles."""

    def __init__(self, connection: Connection, **options: object) -> None:
        self.sink = Kept()
        self.troubles: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.backoff = Paused()
        self.reflector = Reflector(
            connection,
            Watched(PODS),
            self.sink,
            lambda trouble, why: self.troubles.append((trouble, why)),
            self.requests.append,
            backoff=self.backoff,
            **options,  # type: ignore[arg-type]
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not holds():  # noqa: ASYNC110 -- what is awaited has no event
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def reflected(server_url_file: Path, **options: object) -> AsyncIterator[Reflected]:
    connection = await connect(str(server_url_file))
    of = Reflected(connection, **options)
    running = asyncio.create_task(of.reflector.run())
    try:
        yield of
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await connection.close()


@pytest.fixture
async def api() -> AsyncIterator[EmbeddedApiServer]:
    async with EmbeddedApiServer() as server:
        yield server


def stored(server: EmbeddedApiServer) -> set[str]:
    return {each["metadata"]["name"] for each in server.objects("pods")}


@pytest.fixture(params=["streaming list", "pages"])
def way(request: pytest.FixtureRequest, api: EmbeddedApiServer) -> str:
    """Both ways to list: a server without streaming lists refuses their parameters for ever."""
    if request.param == "pages":
        api.fail_next(10_000, status=422, match="sendInitialEvents")
    return request.param


class TestOnAnApiServer:
    async def test_streaming_lists_that_never_work_are_replaced_by_pages(
        self, api: EmbeddedApiServer, tmp_path: Path
    ) -> None:
        api.add_pod(pod("first"))
        api.fail_next(10_000, status=503, match="sendInitialEvents")
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            assert of.sink.names == {"first"}

    async def test_a_version_that_the_server_does_not_know_leads_to_a_new_list(
        self, api: EmbeddedApiServer, tmp_path: Path
    ) -> None:
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            api.fail_next(10_000, status=400, match="resourceVersion=")
            api.drop_watches()
            await of.until(lambda: of.requests.count("list") >= 2)
            api.add_pod(pod("second"))
            await of.until(lambda: "second" in of.sink.names)

    async def test_what_was_there_and_what_comes_is_told(
        self, api: EmbeddedApiServer, way: str, tmp_path: Path
    ) -> None:
        api.add_pod(pod("first"))
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            assert of.sink.names == {"first"}
            api.add_pod(pod("second"))
            api.remove("pods", "first")
            await of.until(lambda: of.sink.names == {"second"})

    async def test_a_list_of_many_pages_is_whole(self, api: EmbeddedApiServer, way: str, tmp_path: Path) -> None:
        for i in range(1201):
            api.add_pod(pod(f"p{i}"))
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            assert of.sink.names == stored(api)

    async def test_pods_that_vanish_while_the_history_is_lost_are_gone(
        self, api: EmbeddedApiServer, way: str, tmp_path: Path
    ) -> None:
        for name in ("stays", "goes"):
            api.add_pod(pod(name))
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            await api.stop()
            api.remove("pods", "goes")
            api.add_pod(pod("comes"))
            api.compact()
            await api.start()
            await of.until(lambda: of.sink.names == {"stays", "comes"})
            assert "gone" in {trouble for trouble, _ in of.troubles}

    async def test_a_cut_connection_costs_no_list(self, api: EmbeddedApiServer, way: str, tmp_path: Path) -> None:
        api.add_pod(pod("first"))
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(lambda: of.sink.lists == 1 and api.watching == 1)
            api.drop_watches()
            api.add_pod(pod("second"))
            await of.until(lambda: of.sink.names == {"first", "second"})
            assert of.sink.lists == 1

    async def test_a_watch_that_says_nothing_is_given_up(
        self, api: EmbeddedApiServer, way: str, tmp_path: Path
    ) -> None:
        api.add_pod(pod("first"))
        async with reflected(api.write_kubeconfig(tmp_path / "config"), silence=1.0) as of:
            await of.until(lambda: of.sink.lists == 1)
            api.freeze_watches()
            await of.until(lambda: "silent" in {trouble for trouble, _ in of.troubles})
            api.freeze_watches(False)
            api.add_pod(pod("second"))
            await of.until(lambda: of.sink.names == {"first", "second"})

    async def test_rights_that_are_taken_away_and_given_back(
        self, api: EmbeddedApiServer, way: str, tmp_path: Path
    ) -> None:
        api.denied.update({("list", "pods"), ("watch", "pods")})
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(lambda: len(of.troubles) >= 2)
            assert not of.reflector.complete.is_set()
            api.add_pod(pod("first"))
            api.denied.clear()
            await of.until(lambda: of.sink.names == {"first"})

    async def test_a_list_whose_version_is_gone_between_two_pages_begins_anew(
        self, api: EmbeddedApiServer, tmp_path: Path
    ) -> None:
        for i in range(1201):
            api.add_pod(pod(f"p{i}"))
        api.fail_next(1, status=422, match="sendInitialEvents")
        api.fail_next(2, status=410, match="continue=")
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            assert [trouble for trouble, _ in of.troubles] == ["gone", "gone"]
            assert of.sink.names == stored(api)

    async def test_pods_that_come_and_go_between_two_pages_are_told(
        self, api: EmbeddedApiServer, tmp_path: Path
    ) -> None:
        for i in range(1201):
            api.add_pod(pod(f"p{i}"))
        api.fail_next(1, status=422, match="sendInitialEvents")
        api.delay("continue=", 0.2)
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(lambda: len(of.sink.objects) >= 500)
            api.remove("pods", "p0")
            api.remove("pods", "p1200")
            api.add_pod(pod("new"))
            await of.until(lambda: of.sink.names == stored(api))

    async def test_a_reflector_that_was_ended_goes_on(self, api: EmbeddedApiServer, way: str, tmp_path: Path) -> None:
        connection = await connect(str(api.write_kubeconfig(tmp_path / "config")))
        of = Reflected(connection)
        for name in ("first", "second"):
            api.add_pod(pod(name))
            running = asyncio.create_task(of.reflector.run())
            await of.until(lambda: of.sink.names == stored(api))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert of.sink.lists == 1
        await connection.close()

    async def test_a_server_that_asks_to_wait_is_waited_for(
        self, api: EmbeddedApiServer, way: str, tmp_path: Path
    ) -> None:
        api.fail_next(1, status=429, headers={"Retry-After": "3"}, match="GET /api/v1/pods?")
        async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
            await of.until(of.reflector.complete.is_set)
            assert 3.0 in of.backoff.asked


# --- a server that misbehaves -----------------------------------------------------------------------------------------


def line(kind: str, name: str = "", version: int = 0, **more: object) -> bytes:
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return msgspec.json.encode({"type": kind, "object": {"metadata": meta, **more}}) + b"\n"


END_OF_LIST = (
    msgspec.json.encode(
        {
            "type": "BOOKMARK",
            "object": {"metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}},
        }
    )
    + b"\n"
)


@contextlib.asynccontextmanager
async def scripted(tmp_path: Path, *answers: bytes) -> AsyncIterator[Path]:
    """A server whose watches answer these bodies in turn, the last one for ever; its kubeconfig."""
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(left.pop(0) if len(left) > 1 else left[0])
        if len(left) == 1:
            await asyncio.sleep(0.05)
        return response

    async with answered(tmp_path, answer) as config:
        yield config


@contextlib.asynccontextmanager
async def answered(
    tmp_path: Path, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[Path]:
    """A server that answers so when it is asked for pods; its kubeconfig."""
    app = web.Application()
    app.router.add_get(PODS, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    (tmp_path / "config").write_bytes(msgspec.yaml.encode(config))
    try:
        yield tmp_path / "config"
    finally:
        await runner.cleanup()


LISTED = line("ADDED", "a", 3) + END_OF_LIST

GARBAGE = {
    "no JSON": b"nonsense\n",
    "a list in place of an event": b"[1, 2]\n",
    "an event without an object": b'{"type":"ADDED"}\n',
    "an object that is a number": b'{"type":"ADDED","object":7}\n',
    "an unknown type": b'{"type":"SHOUTED","object":{"metadata":{"name":"x","uid":"y"}}}\n',
    "an object without a name": b'{"type":"ADDED","object":{"metadata":{"uid":"y"}}}\n',
    "names that are numbers": b'{"type":"ADDED","object":{"metadata":{"name":3,"uid":4}}}\n',
    "invalid UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"\xff","uid":"y"}}}\n',
    "deep nesting": b'{"type":"ADDED","object":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}\n",
}


class TestOnAServerThatMisbehaves:
    @pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
    async def test_garbage_costs_its_own_line_alone(self, garbage: bytes, tmp_path: Path) -> None:
        async with scripted(tmp_path, LISTED + garbage + line("ADDED", "b", 9), b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.names == {"a", "b"})
            assert {"line", "item"} & {trouble for trouble, _ in of.troubles}

    @pytest.mark.parametrize("code", [410, 500, 429, 0])
    async def test_an_error_event_of_any_code_leads_to_a_new_list(self, code: int, tmp_path: Path) -> None:
        error = msgspec.json.encode({"type": "ERROR", "object": {"kind": "Status", "code": code}}) + b"\n"
        again = line("ADDED", "b", 7) + END_OF_LIST
        async with scripted(tmp_path, LISTED + error, again, b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.lists == 2)
            assert of.sink.names == {"b"}

    @pytest.mark.parametrize(("code", "troubles"), [(410, {"gone"}), (500, {"error", "gone"})])
    async def test_an_error_event_that_is_no_410_is_reported(
        self, code: int, troubles: set[str], tmp_path: Path
    ) -> None:
        error = msgspec.json.encode({"type": "ERROR", "object": {"kind": "Status", "code": code}}) + b"\n"
        async with scripted(tmp_path, LISTED + error, LISTED, b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.lists == 2)
            assert {trouble for trouble, _ in of.troubles} == troubles

    async def test_after_a_skipped_line_the_kind_is_listed_anew(self, tmp_path: Path) -> None:
        """It may have said that a pod is gone."""
        garbled = line("DELETED", "a", 9).replace(b'"uid"', b'"u d"')
        again = line("ADDED", "b", 7) + END_OF_LIST
        async with scripted(tmp_path, LISTED + garbled, again, b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.names == {"b"})

    async def test_a_skipped_item_of_a_list_does_not_list_for_ever(self, tmp_path: Path) -> None:
        listed = b"nonsense\n" + LISTED
        async with scripted(tmp_path, listed, b"") as config, reflected(config) as of:
            await of.until(lambda: len(of.requests) >= 5)
            assert set(of.requests[1:]) == {"watch"}

    async def test_after_a_watch_that_ends_at_once_there_is_a_pause(self, tmp_path: Path) -> None:
        async with scripted(tmp_path, LISTED, b"") as config, reflected(config) as of:
            await of.until(lambda: len(of.requests) >= 5)
            assert len(of.backoff.asked) >= len(of.requests) - 1

    async def test_a_list_without_a_version_is_none(self, tmp_path: Path) -> None:
        nameless = END_OF_LIST.replace(b'"resourceVersion":"5",', b"")
        async with scripted(tmp_path, line("ADDED", "a", 3) + nameless, b"") as config, reflected(config) as of:
            await of.until(lambda: "list" in {trouble for trouble, _ in of.troubles})
            assert not of.reflector.complete.is_set()

    async def test_half_a_line_is_no_event(self, tmp_path: Path) -> None:
        half = line("ADDED", "b", 9)[:-20]
        async with scripted(tmp_path, LISTED + half, line("ADDED", "c", 10), b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.names == {"a", "c"})

    async def test_a_list_that_breaks_off_is_begun_again_and_drops_nothing(self, tmp_path: Path) -> None:
        broken = line("ADDED", "b", 3)  # and no end of the list
        async with scripted(tmp_path, LISTED + line("ADDED", "b", 6), broken, b"") as config, reflected(config) as of:
            await of.until(lambda: of.sink.names == {"a", "b"})
            of.reflector.renew()
            await of.until(lambda: len(of.requests) >= 5)
            assert of.sink.names == {"a", "b"}

    async def test_a_server_that_watches_where_a_list_was_asked_for_is_asked_for_pages(self, tmp_path: Path) -> None:
        watch = line("ADDED", "a", 3) + line("BOOKMARK", "", 4)  # an old one does not know ``sendInitialEvents``
        pages = b'{"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "a", "uid": "uid-a"}}]}'
        async with scripted(tmp_path, watch, pages, b"") as config, reflected(config) as of:
            await of.until(of.reflector.complete.is_set)
            assert of.sink.names == {"a"}

    async def test_bookmarks_alone_move_the_version_on(self, tmp_path: Path) -> None:
        bookmark = line("BOOKMARK", "", 77)
        asked: list[str] = []
        async with scripted(tmp_path, LISTED + bookmark, b"") as config, reflected(config) as of:
            await of.until(lambda: of.requests.count("watch") >= 1)
            asked.append(of.reflector._version)
            assert of.sink.version == "77"
        assert asked == ["77"]


def silent_after(
    listed: bytes, look: Callable[[], web.Response]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Lists, and then watches without a word. ``look`` answers who asks for one object, to learn the version."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "limit" in request.query:
            return look()
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            await response.write(listed)
        else:
            await asyncio.sleep(30.0)
        return response

    return answer


@pytest.mark.parametrize(("theirs", "lists"), [("7", True), ("150", False)], ids=["restored etcd", "nothing happened"])
async def test_after_silence_a_server_that_is_at_an_older_version_is_listed_anew(
    tmp_path: Path, theirs: str, lists: bool
) -> None:
    """It accepts a watch from a version that is yet to come, and shows nothing."""
    listed = line("ADDED", "a", 3) + END_OF_LIST.replace(b'"resourceVersion":"5"', b'"resourceVersion":"100"')
    looks = 0

    def look() -> web.Response:
        nonlocal looks
        looks += 1
        return web.json_response({"metadata": {"resourceVersion": theirs}, "items": []})

    async with answered(tmp_path, silent_after(listed, look)) as config, reflected(config, silence=1.0) as of:
        await of.until(lambda: looks >= 1 and of.requests.count("list" if lists else "watch") >= 2)
        assert (of.requests.count("list") >= 2) == lists


async def test_a_kind_that_is_refused_fails_from_the_first_refusal_on_until_it_is_listed(
    api: EmbeddedApiServer, tmp_path: Path
) -> None:
    api.denied.update({("list", "pods"), ("watch", "pods")})
    async with reflected(api.write_kubeconfig(tmp_path / "config")) as of:
        await of.until(lambda: of.reflector.failing_for > 0.1)
        assert "forbidden" in of.reflector.why
        assert of.reflector.listing_for > 0.0
        api.denied.clear()
        await of.until(of.reflector.complete.is_set)
        assert (of.reflector.failing_for, of.reflector.listing_for) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("message", "lists"),
    [("Timeout: Too large resource version: 100, current: 7", True), ("upstream request timeout", False)],
    ids=["the server is not there yet", "a load balancer's"],
)
async def test_a_watch_that_is_answered_504_is_listed_anew_only_where_its_version_is_the_reason(
    tmp_path: Path, message: str, lists: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "sendInitialEvents" not in request.query:
            return web.json_response({"kind": "Status", "message": message}, status=504)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(LISTED)
        return response

    async with answered(tmp_path, answer) as config, reflected(config) as of:
        await of.until(lambda: of.requests.count("list" if lists else "watch") >= 3)
        assert (of.requests.count("list") >= 2) == lists


async def test_a_proxy_that_answers_something_else_after_silence_ends_nothing(tmp_path: Path) -> None:
    def look() -> web.Response:
        return web.Response(text="<html>down for maintenance</html>", content_type="text/html")

    async with answered(tmp_path, silent_after(LISTED, look)) as config, reflected(config, silence=1.0) as of:
        await of.until(lambda: [trouble for trouble, _ in of.troubles].count("list") >= 2)
