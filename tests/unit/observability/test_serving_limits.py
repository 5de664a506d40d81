"""Hostile and slow clients of the daemon's own port: probes and scrapes are still answered."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import aiohttp
import pytest

from peaks_scheduler.observability import inbound_connections, serving
from peaks_scheduler.observability.serving import Check, Health, Server
from peaks_scheduler.settings.values import parse_listen
from tests.support.daemon_stage import until

OK = Check("ping", Health.ok)
ASK = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
Render = Callable[[str], Awaitable[tuple[bytes, str]]]
WITHIN = 15.0  # [s] a test that waits longer fails


async def rendered(_accept: str) -> tuple[bytes, str]:
    return b"# metrics\n", "text/plain; version=0.0.4; charset=utf-8"


def a_server(
    ready: Sequence[Check] | serving.Probe = (OK,), render: Render = rendered, fresh: float = serving.FRESH
) -> Server:
    probe = ready if callable(ready) else found(ready)
    return Server(parse_listen("127.0.0.1:0"), found([OK]), probe, render, dict, fresh)


def found(checks: Sequence[Check]) -> serving.Probe:
    async def findings() -> serving.Findings:
        return serving.run_all(checks)

    return findings


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    port = await server.start()
    try:
        async with asyncio.timeout(WITHIN):
            yield port
    finally:
        await server.stop()


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
        return answer.status, await answer.text()


class Peer:
    """One connection with hand-written HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, data: bytes) -> bytes:
        """Send, and return the head of the response; empty: the connection was closed."""
        await self.send(data)
        return await self.head()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def head(self) -> bytes:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        await self._reader.readexactly(length)
        return head

    async def ended(self) -> bool:
        """Wait for the end."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65_536):
                pass
        return True

    def close(self) -> None:
        self._writer.transport.abort()


Connect = Callable[..., Awaitable[Peer]]


@contextlib.asynccontextmanager
async def peers() -> AsyncIterator[Connect]:
    opened: list[Peer] = []

    async def connect(port: int, source: str = "127.0.0.1") -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        opened.append(Peer(reader, writer))
        return opened[-1]

    try:
        yield connect
    finally:
        for peer in opened:
            peer.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with peers() as found:
        yield found


# --- who does not ask -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"GET /livez HTTP/1.1\r\n", id="says half of it"),
        pytest.param(ASK + b"GET /livez HT", id="says half of the next one"),
    ],
)
async def test_a_request_whose_head_does_not_end_is_given_up(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(inbound_connections, "HEAD", 0.2)
    monkeypatch.setattr(inbound_connections, "IDLE", 0.4)
    async with listening(a_server()) as port:
        peer = await connect(port)
        await peer.send(first)
        assert await peer.ended()


async def test_a_byte_now_and_then_prolongs_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_connections, "HEAD", 0.3)
    async with listening(a_server()) as port:
        peer = await connect(port)

        async def drip() -> None:
            while True:
                await peer.send(b"G")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await peer.ended()
        dripping.cancel()


async def test_a_connection_that_asks_no_more_ends(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_connections, "IDLE", 0.1)
    async with listening(a_server()) as port:
        peer = await connect(port)
        assert (await peer.ask(ASK)).startswith(b"HTTP/1.1 200")
        assert await peer.ended()


async def test_a_connection_is_kept_for_the_next_request(connect: Connect) -> None:
    async with listening(a_server()) as port:
        peer = await connect(port)
        for _ in range(3):
            assert (await peer.ask(ASK)).startswith(b"HTTP/1.1 200")


async def test_idle_connections_keep_nobody_out_whatever_their_number(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = a_server()
    async with listening(server) as port:
        for _ in range(300):
            await connect(port)
        probe = await connect(port)
        assert (await probe.ask(ASK)).startswith(b"HTTP/1.1 200")
        assert server._listener is not None
        assert len(server._listener) <= inbound_connections.MOST_EACH
    assert [record.message for record in caplog.records] == ["connections closed, there were too many"]


async def test_idle_connections_from_many_addresses_keep_nobody_out(connect: Connect) -> None:
    server = a_server()
    async with listening(server) as port:
        for i in range(300):
            await connect(port, f"127.0.1.{i % 100 + 1}")
        probe = await connect(port)
        assert (await probe.ask(ASK)).startswith(b"HTTP/1.1 200")
        assert server._listener is not None
        assert len(server._listener) <= inbound_connections.MOST


async def test_a_connection_that_is_answered_is_not_the_one_that_goes(connect: Connect) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(_accept: str) -> tuple[bytes, str]:
        asked.set()
        await go.wait()
        return b"done", "text/plain"

    async with listening(a_server(render=slow)) as port:
        scrape = await connect(port)
        await scrape.send(ASK.replace(b"livez", b"metrics"))
        await asked.wait()
        for _ in range(2 * inbound_connections.MOST_EACH):
            await connect(port)
        probe = await connect(port)
        await probe.ask(ASK)
        go.set()
        assert (await scrape.head()).startswith(b"HTTP/1.1 200")


async def test_peers_that_do_not_read_their_answers_keep_nobody_out() -> None:
    async def large(_accept: str) -> tuple[bytes, str]:
        return b"x" * 10_000_000, "text/plain"

    loop = asyncio.get_running_loop()
    async with listening(a_server(render=large)) as port, contextlib.AsyncExitStack() as opened:
        for _ in range(2 * inbound_connections.MOST_EACH):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, ASK.replace(b"livez", b"metrics"))
        assert await get(port, "livez") == (200, "ok")


async def test_a_request_that_is_worked_on_is_no_reason_to_refuse_another(connect: Connect) -> None:
    """Every peer has an address of its own, and the first one waits for us, not we for it."""
    asked = asyncio.Event()

    async def slow(_accept: str) -> tuple[bytes, str]:
        asked.set()
        await asyncio.Event().wait()
        return b"", ""

    async with listening(a_server(render=slow)) as port:
        await (await connect(port, "127.0.3.1")).send(ASK.replace(b"livez", b"metrics"))
        await asked.wait()
        for i in range(2 * inbound_connections.MOST):
            await connect(port, f"127.0.4.{i % 250 + 1}")
        assert await get(port, "livez") == (200, "ok")


@pytest.fixture
def no_descriptors() -> Iterator[Callable[[], Callable[[], None]]]:
    """A function that uses up all file descriptors of the process, and returns a function that frees them."""
    before, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []

    def use_up() -> Callable[[], None]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, before[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        return free

    def free() -> None:
        while taken:
            os.close(taken.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    yield use_up
    free()


async def test_without_descriptors_one_line_is_logged_and_what_waits_is_served_later(
    no_descriptors: Callable[[], Callable[[], None]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tries = 0
    loop = asyncio.get_running_loop()
    accept = loop.sock_accept

    async def counted(listener: socket.socket) -> object:
        nonlocal tries
        tries += 1
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", counted)
    monkeypatch.setattr(inbound_connections, "AGAIN", 0.01)
    with socket.socket() as client:
        client.setblocking(False)
        async with listening(a_server()) as port:
            free = no_descriptors()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, ASK)
            await until(lambda: tries >= 20)
            warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
            assert warnings == ["connections not taken"]
            free()
            assert (await loop.sock_recv(client, 1000)).startswith(b"HTTP/1.1 200")


def test_the_limit_leaves_most_descriptors_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_connections.resource, "getrlimit", lambda _: (256, 256))
    assert inbound_connections.Listener(asyncio.Protocol)._most == 32


# --- who asks for too much --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"405", id="another method"),
        pytest.param(b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"405", id="a method that changes things"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", b"413", id="a body"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"413", id="chunks"),
        pytest.param(b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n", b"400", id="a long line"),
        pytest.param(b"GET / HTTP/1.1\r\na: " + b"x" * 9_000 + b"\r\n\r\n", b"400", id="a long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"400", id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3_000, b"431", id="headers without end"),
        pytest.param(b"x" * 20_000, b"431", id="no request"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", id="TLS"),
    ],
)
async def test_what_is_no_small_question_is_refused(
    connect: Connect, caplog: pytest.LogCaptureFixture, request_: bytes, status: bytes
) -> None:
    async with listening(a_server()) as port:
        head = await (await connect(port)).ask(request_)
        assert head.split()[1] == status
        probe = await connect(port)
        assert (await probe.ask(ASK)).startswith(b"HTTP/1.1 200")
    assert not caplog.records


@pytest.mark.parametrize("request_", [ASK * 2_000, ASK.replace(b"livez", b"metrics") * 5_000])
async def test_requests_behind_one_another_are_bounded(connect: Connect, request_: bytes) -> None:
    async with listening(a_server()) as port:
        peer = await connect(port)
        await peer.send(request_)
        assert await peer.ended()


async def test_an_answer_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_connections, "ANSWER", 0.3)
    body = b"x" * 30_000_000

    async def large(_accept: str) -> tuple[bytes, str]:
        return body, "text/plain"

    server = a_server(render=large)
    async with listening(server) as port:
        door = server._listener
        assert door is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, ASK.replace(b"livez", b"metrics"))
            await until(lambda: len(door) == 1)
            await until(lambda: waiting(door) <= 4 * serving.PIECE and not len(door))


def waiting(door: inbound_connections.Listener) -> int:
    """Bytes that wait for their peers to read."""
    sizes = [each._transport.get_write_buffer_size() for each in door._open.values() if each._transport is not None]
    assert sum(sizes) <= 4 * serving.PIECE
    return sum(sizes)


async def test_nothing_is_compressed_unless_it_was_compressed_before() -> None:
    async with (
        listening(a_server()) as port,
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == b"# metrics\n"


@pytest.mark.parametrize("path", ["livez", "readyz", "metrics", "configz"])
async def test_a_head_is_the_answer_without_its_body(connect: Connect, path: str) -> None:
    async with (
        listening(a_server()) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get(f"/{path}") as full,
        session.head(f"/{path}") as head,
    ):
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["Content-Length"] == full.headers["Content-Length"]


# --- a costly response is computed only once --------------------------------------------------------------------------


async def test_fifty_who_ask_at_once_cost_as_much_as_one() -> None:
    worked = Counter[str]()

    def look() -> Health:
        worked["look"] += 1
        return Health.ok()

    async def render(accept: str) -> tuple[bytes, str]:
        worked["render"] += 1
        await asyncio.sleep(0)
        return b"", "text/plain"

    async with (
        listening(a_server(ready=[Check("look", look)], render=render, fresh=600.0)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=20)) as session,
    ):

        async def ask(i: int) -> None:
            for path in ("/readyz", "/metrics"):
                async with session.get(path, headers={"Accept": f"text/plain;version=0.0.{i}"}) as answer:
                    assert answer.status == 200

        await asyncio.gather(*(ask(i) for i in range(50)))
    assert worked == {"look": 1, "render": 1}


async def test_checks_that_are_never_done_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.1)

    async def stuck() -> serving.Findings:
        await asyncio.Event().wait()
        return []

    async with listening(a_server(ready=stuck)) as port:
        status, text = await get(port, "readyz")
        assert (status, text.splitlines()[0]) == (500, "[-]answer failed: the checks were not done within 0.1 s")
        assert await get(port, "livez") == (200, "ok")


async def test_metrics_that_are_never_rendered_are_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.1)

    async def stuck(_accept: str) -> tuple[bytes, str]:
        await asyncio.Event().wait()
        return b"", ""

    async with listening(a_server(render=stuck)) as port:
        assert (await get(port, "metrics"))[0] == 503


async def test_what_fails_is_a_500_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_accept: str) -> tuple[bytes, str]:
        raise ZeroDivisionError

    async with listening(a_server(render=broken)) as port:
        assert (await get(port, "metrics"))[0] == 500
    assert [record.message for record in caplog.records] == ["request not answered"]


async def test_what_a_check_says_is_one_line_that_can_be_seen() -> None:
    said = Check("load", lambda: Health.degraded("names: \x1b]0;owned\x07 \u202eevil\n[+]lease ok"))
    async with listening(a_server(ready=[said])) as port:
        _, text = await get(port, "readyz?verbose")
    assert text == "[!]load: names: \\u001b]0;owned\\u0007 \\u202eevil [+]lease ok\nreadyz check passed\n"


# --- on an event loop of its own --------------------------------------------------------------------------------------


async def test_it_serves_from_a_thread_while_the_loop_that_it_asks_is_held_up() -> None:
    """As in the daemon: /livez shows published results, /readyz asks the main loop."""
    main, answers = asyncio.get_running_loop(), concurrent.futures.Future[tuple[str, str]]()

    async def look() -> serving.Findings:
        return [("loop", Health.degraded("asked"))]

    async def bridge() -> serving.Findings:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(look(), main))

    async def there() -> None:
        server = Server(parse_listen("127.0.0.1:0"), found([OK]), bridge, rendered, dict)
        port = await server.start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/livez") as answer:
                live = await answer.text()
            alive.set()
            async with session.get("/readyz?verbose") as answer:
                answers.set_result((live, await answer.text()))
        await server.stop()

    alive = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(there()))
    thread.start()
    assert alive.wait(WITHIN)  # this loop, held up
    assert await asyncio.wrap_future(answers) == ("ok", "[!]loop: asked\nreadyz check passed\n")
    await asyncio.to_thread(thread.join)
