"""The HTTP server over loopback sockets: responses for kubelets, scrapers and people."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.observability.serving import Check, Findings, Health, Server, run_all
from peaks_scheduler.settings.values import Listen, parse_listen

OK = Check("ping", Health.ok)
STALE = Check("load", lambda: Health.degraded("load is 400 s old"))
PLAIN, OPENMETRICS = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
BLIND = Check("watch", lambda: Health.failed("a pod is unseen for 70 s"))


async def rendered(accept: str) -> tuple[bytes, str]:
    return f"# asked for {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"


def a_server(
    listen: str | Listen = "127.0.0.1:0", live: Sequence[Check] = (OK,), ready: Sequence[Check] = (OK,)
) -> Server:
    address = listen if isinstance(listen, Listen) else parse_listen(listen)
    return Server(address, found(live), found(ready), rendered, lambda: {"schedulerName": "Peaks"})


def found(checks: Sequence[Check]) -> Callable[[], Awaitable[Findings]]:
    async def findings() -> Findings:
        return run_all(checks)

    return findings


@asynccontextmanager
async def running(server: Server, host: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientSession]:
    port = await server.start()
    async with aiohttp.ClientSession(
        base_url=f"http://{host}:{port}", timeout=aiohttp.ClientTimeout(total=5)
    ) as session:
        try:
            yield session
        finally:
            await server.stop()


async def get(opened: AbstractAsyncContextManager[aiohttp.ClientSession], path: str, **headers: str) -> tuple[int, str]:
    async with opened as session, session.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_healthy_is_ok_and_no_more_than_that(path: str) -> None:
    assert await get(running(a_server()), path) == (200, "ok")


@pytest.mark.parametrize("path", ["livez", "readyz"])
async def test_verbose_lists_every_check_as_kube_apiserver_does(path: str) -> None:
    answer = await get(running(a_server(live=[OK, STALE], ready=[OK, STALE])), f"/{path}?verbose")
    assert answer == (200, f"[+]ping ok\n[!]load: load is 400 s old\n{path} check passed\n")


async def test_degraded_is_still_a_200() -> None:
    assert await get(running(a_server(ready=[STALE])), "/readyz") == (200, "ok")


@pytest.mark.parametrize("query", ["", "?verbose"])
async def test_a_failure_is_a_500_that_always_says_why(query: str) -> None:
    answer = await get(running(a_server(ready=[OK, BLIND])), f"/readyz{query}")
    assert answer == (500, "[+]ping ok\n[-]watch failed: a pod is unseen for 70 s\nreadyz check failed\n")


async def test_being_alive_and_being_ready_are_asked_apart() -> None:
    assert (await get(running(a_server(ready=[BLIND])), "/livez"))[0] == 200


async def test_a_check_that_raises_has_failed_in_one_line() -> None:
    def broken() -> Health:
        raise RuntimeError("first line\nsecond line")

    status, text = await get(running(a_server(live=[Check("odd", broken)])), "/livez")
    assert status == 500
    assert "[-]odd failed: RuntimeError: first line second line\n" in text


async def test_checks_are_asked_anew_when_their_answer_is_no_longer_fresh() -> None:
    answers = iter([Health.failed("not yet"), Health.ok()])
    server = Server(
        parse_listen("127.0.0.1:0"), found([OK]), found([Check("lists", lambda: next(answers))]), rendered, dict, 0.0
    )
    async with running(server) as session:
        statuses = [(await session.get("/readyz")).status for _ in range(2)]
    assert statuses == [500, 200]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        pytest.param("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", OPENMETRICS, id="Prometheus"),
        pytest.param("text/plain;version=0.0.4;q=0.5,application/openmetrics-text", PLAIN, id="plain before"),
        pytest.param("application/openmetrics-text;version=99;escaping=x", OPENMETRICS, id="a version of its own"),
        pytest.param("text/odd", PLAIN, id="another one"),
        pytest.param("*/*", PLAIN, id="any"),
    ],
)
async def test_metrics_are_what_telemetry_renders_in_the_form_asked_for(accept: str, form: str) -> None:
    async with running(a_server()) as session, session.get("/metrics", headers={"Accept": accept}) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert await answer.text() == f"# asked for {form}\n"


async def test_configz_shows_the_configuration_as_json() -> None:
    async with running(a_server()) as session, session.get("/configz") as answer:
        assert await answer.json() == {"schedulerName": "Peaks"}


async def test_any_other_path_is_not_found() -> None:
    assert (await get(running(a_server()), "/debug/pprof"))[0] == 404


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_is_listened_on() -> None:
    assert await get(running(a_server("[::1]:0"), host="[::1]"), "/livez") == (200, "ok")


async def test_a_name_is_listened_on_at_one_port_for_all_its_addresses() -> None:
    port = await (server := a_server("localhost:0")).start()
    found = await asyncio.get_running_loop().getaddrinfo("localhost", port, type=socket.SOCK_STREAM)
    try:
        for _, _, _, _, where in found:
            _, writer = await asyncio.open_connection(str(where[0]), port)
            writer.close()
            await writer.wait_closed()
    finally:
        await server.stop()


async def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    port = await (first := a_server()).start()
    try:
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: the port is taken") as caught:
            await a_server(f"127.0.0.1:{port}").start()
    finally:
        await first.stop()
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        # TEST-NET-1, RFC 5737
        pytest.param(Listen("192.0.2.1", 0), "does not have this address", id="an address of somebody else"),
        pytest.param(Listen("::g", 0), "cannot be resolved", id="no address at all"),
        pytest.param(Listen("a..b", 0), "cannot be resolved", id="a name with an empty label"),
    ],
)
async def test_an_address_that_is_not_ours_is_an_error(listen: Listen, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        await a_server(listen).start()


async def test_the_port_is_free_again_after_stop() -> None:
    port = await (first := a_server()).start()
    await first.stop()
    second = a_server(f"127.0.0.1:{port}")
    assert await second.start() == port
    await second.stop()


async def test_stop_does_no_harm_without_start_and_twice() -> None:
    await a_server().stop()
    await (server := a_server()).start()
    await server.stop()
    await server.stop()


async def test_a_request_that_never_ends_does_not_hold_up_the_end() -> None:
    asked = asyncio.Event()

    async def stuck(_accept: str) -> tuple[bytes, str]:
        asked.set()
        await asyncio.Event().wait()
        return b"", "text/plain"

    server = Server(parse_listen("127.0.0.1:0"), found([]), found([]), stuck, dict)
    async with running(server) as session:
        scrape = asyncio.ensure_future(session.get("/metrics"))
        await asked.wait()
        async with asyncio.timeout(8):  # the process has ten seconds after SIGTERM
            await server.stop()
        with pytest.raises(aiohttp.ClientError):
            await scrape


async def tag_of(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        return answer.headers["ETag"]


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/readyz?verbose"])
async def test_answers_of_one_computation_have_one_tag(path: str) -> None:
    server = Server(parse_listen("127.0.0.1:0"), found([OK]), found([OK]), rendered, dict, fresh=600.0)
    async with running(server) as session:
        assert await tag_of(session, path) == await tag_of(session, path)


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/readyz?verbose"])
async def test_an_answer_that_is_computed_anew_has_another_tag(path: str) -> None:
    server = Server(parse_listen("127.0.0.1:0"), found([OK]), found([OK]), rendered, dict, fresh=0.0)
    async with running(server) as session, asyncio.timeout(10):
        tags = {await tag_of(session, path)}
        while len(tags) < 2:
            tags.add(await tag_of(session, path))
