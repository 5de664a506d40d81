"""Malformed responses: kopf gets their valid part, or a broken connection; KubeClient raises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from peaks_scheduler.errors import KubeError, MalformedResponse, TooLarge
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http import kopf_responses, response_limits
from peaks_scheduler.kube.http.connection import Connection, as_kopf_login, connect
from tests.support.builders import pod
from tests.support.recording_server import Asked, RecordingServer, write_kubeconfig

LIST = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}}
GOOD = {"metadata": {"name": "web-0", "uid": "u-0", "namespace": "default"}}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf_responses, "PAUSE", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    async with RecordingServer() as running:
        yield running


class Heard(list[tuple[str, str]]):
    """(path, what) of everything that was skipped."""

    def __call__(self, path: str, what: str, why: str) -> None:
        self.append((path, what))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def connection(server: RecordingServer, tmp_path: Path, heard: Heard) -> AsyncIterator[Connection]:
    made = await connect(write_kubeconfig(tmp_path, server.url))
    made.on_malformed = heard
    yield made
    await made.close()


def answers_with(server: RecordingServer, body: Any, status: int = 200, **headers: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)

    async def answer(_: Asked) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, headers=named, content_type="application/json")

    server.answer = answer


async def listed(connection: Connection, query: str = "limit=500") -> Any:
    session = as_kopf_login(connection).aiohttp_session
    try:
        async with session.get(f"{connection.server}/api/v1/pods?{query}") as answer:
            return await answer.json()
    finally:
        await session.close()


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("[]", id="a list of nothing"),
        pytest.param("5", id="a number"),
        pytest.param("null", id="nothing"),
        pytest.param("<html>", id="a proxy's page"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param(LIST, id="no items"),
        pytest.param({**LIST, "items": {}}, id="items that are no list"),
        pytest.param({**LIST, "items": [], "metadata": None}, id="no metadata"),
        pytest.param({**LIST, "items": [], "metadata": {"resourceVersion": 7}}, id="a version that is no text"),
        pytest.param({**LIST, "items": [], "metadata": {"continue": ["x"]}}, id="a token that is no text"),
        pytest.param({**LIST, "items": [], "kind": 5}, id="a kind that is no text"),
        pytest.param({"kind": "Status", "code": 200}, id="a status"),
    ],
)
async def test_a_list_that_is_none_is_a_lost_connection(
    server: RecordingServer, connection: Connection, heard: Heard, body: Any
) -> None:
    answers_with(server, body)
    with pytest.raises(aiohttp.ClientPayloadError):
        await listed(connection)
    assert heard == [("/api/v1/pods", "list")]


async def test_an_items_of_null_is_an_empty_list(server: RecordingServer, connection: Connection) -> None:
    answers_with(server, {**LIST, "items": None})
    assert (await listed(connection))["items"] == []


@pytest.mark.parametrize(
    "item",
    [
        5,
        None,
        [],
        {},
        {"metadata": None},
        {"metadata": {"name": "web-1"}},
        {"metadata": {"uid": "u"}},
        {"metadata": {"name": 5, "uid": "u"}},
        {"metadata": {"name": "", "uid": "u"}},
        {"metadata": {"name": "web-1", "uid": "u", "namespace": 7}},
    ],
)
async def test_an_item_without_name_and_uid_is_passed_over_and_the_others_count(
    server: RecordingServer, connection: Connection, heard: Heard, item: Any
) -> None:
    answers_with(server, {**LIST, "items": [item, GOOD]})
    assert (await listed(connection))["items"] == [GOOD]
    assert heard == [("/api/v1/pods", "item")]


async def test_a_page_that_is_to_follow_itself_is_no_list(server: RecordingServer, connection: Connection) -> None:
    answers_with(server, {**LIST, "items": [], "metadata": {"continue": "again"}})
    assert await listed(connection)
    with pytest.raises(aiohttp.ClientPayloadError, match="same page"):
        await listed(connection, "limit=500&continue=again")


async def test_a_list_whose_next_page_is_gone_begins_anew(
    server: RecordingServer, connection: Connection, heard: Heard
) -> None:
    """As kopf takes a lost connection; 410 itself would end its watch for ever."""
    answers_with(server, {"kind": "Status", "code": 410, "reason": "Expired"}, 410)
    with pytest.raises(aiohttp.ClientPayloadError, match="gone"):
        await listed(connection, "limit=500&continue=next")
    assert heard == []


@pytest.mark.parametrize("length", [None, 1 << 30], ids=["without a length", "with its length"])
async def test_no_more_than_so_much_is_read_of_an_answer(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, length: int | None
) -> None:
    monkeypatch.setattr(response_limits.read_body, "__defaults__", (1 << 16,))
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        while sent < 1 << 28:
            await response.write(b" " * 65536)
            sent += 65536
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", endless)
    session = as_kopf_login(connection).aiohttp_session
    async with TestServer(app, host="127.0.0.1") as other:
        with pytest.raises(aiohttp.ClientPayloadError, match="at most 65536 bytes"):
            async with session.get(other.make_url("/api/v1/pods?limit=500")) as answer:
                await answer.json()
    await session.close()
    assert sent < 1 << 24  # what fits into the buffers of the connection


# --- watches ----------------------------------------------------------------------------------------------------------


async def lines(connection: Connection) -> list[Any]:
    session = as_kopf_login(connection).aiohttp_session
    try:
        async with session.get(f"{connection.server}/api/v1/pods?watch=true") as answer:
            got = [data async for data in answer.content.iter_chunked(1 << 20)]
    finally:
        await session.close()
    return [json.loads(line) for line in b"".join(got).splitlines()]


def change(kind: str = "MODIFIED", obj: Any = GOOD) -> str:
    return json.dumps({"type": kind, "object": obj})


MARK = change("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "9"}})


@pytest.mark.parametrize(
    "line",
    [
        "5",
        "null",
        "[]",
        "{}",
        "garbage",
        "[" * 100_000,
        change(obj=5),
        change(obj=None),
        change(obj={"metadata": []}),
        change(obj={"metadata": {"name": "web-0"}}),
        change(obj={"metadata": {"name": "web-0", "uid": 7}}),
        change("EXPLODED"),
        change("BOOKMARK", {"metadata": None}),
        json.dumps({"type": ["ADDED"], "object": GOOD}),
        json.dumps({"object": GOOD}),
    ],
)
async def test_a_line_that_is_no_change_is_passed_over_and_the_others_count(
    server: RecordingServer, connection: Connection, heard: Heard, line: str
) -> None:
    answers_with(server, "\n".join([change(), line, change("ADDED"), MARK, ""]))
    assert [each["type"] for each in await lines(connection)] == ["MODIFIED", "ADDED", "BOOKMARK"]
    assert heard == [("/api/v1/pods", "line")]


async def test_a_deletion_costs_kopf_no_event_and_a_new_watch_begins_after_it(
    server: RecordingServer, connection: Connection, heard: Heard
) -> None:
    gone = {"metadata": {"name": "web-0", "uid": "u", "resourceVersion": "41"}, "spec": {}}
    unnumbered = {"metadata": {"name": "web-1", "uid": "v"}}
    answers_with(server, "\n".join([change(), change("DELETED", gone), change("DELETED", unnumbered), ""]))
    _, *marks = await lines(connection)
    assert marks == [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "41"}}}]
    assert heard == []


@pytest.mark.parametrize(
    "said", [5, None, {}, {"code": "x"}, {"code": 500, "message": "?"}, {"kind": "Status", "code": 410}]
)
async def test_whatever_error_a_watch_has_this_kind_is_listed_again_and_no_other_watch_ends(
    server: RecordingServer, connection: Connection, said: Any
) -> None:
    answers_with(server, f"{change()}\n{change('ERROR', said)}\n")
    first, second = await lines(connection)
    assert first["type"] == "MODIFIED"
    assert (second["type"], second["object"]["code"]) == ("ERROR", 410)


async def test_a_line_without_end_is_a_lost_connection(
    server: RecordingServer, connection: Connection, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kopf_responses, "MOST_LINE", 100_000)
    answers_with(server, change() + "\n" + "x" * 1_000_000)
    with pytest.raises(aiohttp.ClientPayloadError, match="at most 100000 bytes"):
        await lines(connection)
    assert heard == [("/api/v1/pods", "too-large")]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "given"), [("1e300", "10"), ("inf", "10"), ("nan", "1"), ("-1", "0"), ("a while", "1"), ("7", "7")]
)
async def test_kopf_is_asked_to_wait_for_ten_seconds_at_most(
    server: RecordingServer, connection: Connection, told: str, given: str
) -> None:
    answers_with(server, {"kind": "Status", "details": {"retryAfterSeconds": 1e300}}, 429, Retry_After=told)
    session = as_kopf_login(connection).aiohttp_session
    async with session.get(f"{connection.server}/api/v1/pods?limit=500") as answer:
        assert answer.headers["Retry-After"] == given
        assert (await answer.json())["details"]["retryAfterSeconds"] == 10.0
    await session.close()


@pytest.mark.parametrize("body", ["5", "[]", json.dumps({"kind": "Status", "details": 5})])
async def test_a_status_of_any_shape_is_read(server: RecordingServer, connection: Connection, body: str) -> None:
    answers_with(server, body, 429)
    session = as_kopf_login(connection).aiohttp_session
    async with session.get(f"{connection.server}/api/v1/pods?limit=500") as answer:
        assert await answer.json() in (None, {"kind": "Status"})
    await session.close()


# --- our own lists ----------------------------------------------------------------------------------------------------


async def test_a_list_without_items_drops_nothing(server: RecordingServer, connection: Connection) -> None:
    answers_with(server, {"kind": "PartialObjectMetadataList", "metadata": {}})
    with pytest.raises(MalformedResponse, match="items"):
        await KubeClient(connection, "Peaks", "me").list_pending()


@pytest.mark.parametrize("kind", ["Status", "Table", "Pod"])
async def test_a_list_of_another_kind_is_none(server: RecordingServer, connection: Connection, kind: str) -> None:
    answers_with(server, {"kind": kind, "metadata": {}, "items": []})
    with pytest.raises(MalformedResponse, match="expected a list"):
        await KubeClient(connection, "Peaks", "me").list_pending()


async def test_names_without_a_name_are_passed_over(server: RecordingServer, connection: Connection) -> None:
    odd = [5, {}, {"metadata": {"name": "web-1"}}, {"metadata": {"name": 5, "uid": "u"}}]
    answers_with(server, {**LIST, "items": [*odd, GOOD]})
    listing = await KubeClient(connection, "Peaks", "me").list_pending()
    assert listing.objects == {"u-0": ("default", "web-0")}


async def test_pages_that_never_end_are_an_error(server: RecordingServer, connection: Connection) -> None:
    answers_with(server, {**LIST, "items": [], "metadata": {"continue": "again"}})
    with pytest.raises(KubeError, match="page after page"):
        await KubeClient(connection, "Peaks", "me").list_pending()
    assert len(server.asked) == 2


async def test_where_a_page_has_too_many_bytes_smaller_ones_are_asked_for(
    server: RecordingServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [pod(f"web-{number}") for number in range(500)]
    size = len(json.dumps(many[0]))
    monkeypatch.setattr(
        "peaks_scheduler.kube.http.transport.Transport.get.__defaults__", (None, "application/json", 70 * size)
    )

    async def paged(asked: Asked) -> web.StreamResponse:
        start, limit = int(asked.query.get("continue", 0)), int(asked.query["limit"])
        meta = {"continue": str(start + limit)} if start + limit < len(many) else {}
        return web.json_response({**LIST, "metadata": meta, "items": many[start : start + limit]})

    server.answer = paged
    listing = await KubeClient(connection, "Peaks", "me").list_pending()
    assert len(listing.objects) == 500
    assert {asked.query["limit"] for asked in server.asked} == {"500", "62"}


async def test_an_object_that_is_too_large_alone_is_an_error(
    server: RecordingServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "peaks_scheduler.kube.http.transport.Transport.get.__defaults__", (None, "application/json", 10)
    )
    answers_with(server, {**LIST, "items": [GOOD]})
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        await KubeClient(connection, "Peaks", "me").list_pending()


@pytest.mark.parametrize(
    "body",
    [5, [], {}, {"metadata": 5}, {"metadata": {"name": 5}}, {**GOOD, "spec": 5}, {**GOOD, "status": []}],
)
async def test_a_pod_of_another_shape_is_no_answer(server: RecordingServer, connection: Connection, body: Any) -> None:
    answers_with(server, body)
    with pytest.raises(MalformedResponse):
        await KubeClient(connection, "Peaks", "me").get_pod("default", "web-0")


@pytest.mark.parametrize("status", [5, {"allowed": "yes"}, []])
async def test_an_access_review_of_another_shape_is_no_answer(
    server: RecordingServer, connection: Connection, status: Any
) -> None:
    answers_with(server, {"status": status}, 201)
    with pytest.raises(MalformedResponse):
        await KubeClient(connection, "Peaks", "me").may("list", "", "pods")


@pytest.mark.parametrize("resources", [5, [5], [{"name": 5}], {}])
async def test_discovery_of_another_shape_is_no_answer(
    server: RecordingServer, connection: Connection, resources: Any
) -> None:
    answers_with(server, {"resources": resources})
    with pytest.raises(MalformedResponse):
        await KubeClient(connection, "Peaks", "me").served("/api/v1")
