"""Small writes on connections that stay open: how often one opens, and what an odd or missing answer means."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import trustme

from peaks_scheduler.kube.http import kept_connections, response_limits
from peaks_scheduler.kube.http.kept_connections import KeptConnections, header_lines
from peaks_scheduler.kube.http.outgoing import Answer, FencedOffError, NoAnswerError, NotSentError, Outgoing
from tests.support.raw_server import chunked, http

CREATED = http(b"{}", "201 Created")
HEAD = b"Host: api\r\n"
Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """``serve`` says what happens to a connection once its first request has arrived whole."""

    port: int = 0
    opened: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        self.requests.append(head + await reader.readexactly(length))
        return self.requests[-1]


@contextlib.asynccontextmanager
async def serving(serve: Serving, server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.opened += 1
        tasks.add(asyncio.create_task(serve_one(reader, writer)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def connections(server: Server) -> Iterator[KeptConnections]:
    made = KeptConnections("127.0.0.1", server.port)
    try:
        yield made
    finally:
        made.close()


def post(body: bytes = b"{}", within: float = 30.0, fence: Callable[[], bool] | None = None) -> Outgoing:
    return Outgoing("POST", "/pods/web-0/binding", "application/json", body, within, fence)


def answering(server: Server, *answers: bytes, last: bool = False) -> Serving:
    """Answers the requests of each connection with these, one after another; the last one again and again, unless
    the server closes after it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        given = list(answers)
        while True:
            await server.request(reader)
            writer.write(given.pop(0) if len(given) > 1 else given[0])
            await writer.drain()
            if last:
                return

    return serve


async def one(answer: bytes, last: bool = False, within: float = 30.0) -> Answer:
    """The answer to one request, as it was understood."""
    server = Server()
    async with serving(answering(server, answer, last=last), server):
        with connections(server) as kept:
            return await kept.send(post(within=within), HEAD, None)


# --- how often a connection opens -------------------------------------------------------------------------------------


async def test_writes_one_after_another_share_a_connection_and_arrive_whole() -> None:
    server = Server()
    async with serving(answering(server, CREATED), server):
        with connections(server) as kept:
            for i in range(5):
                assert (await kept.send(post(b"%d" % i), HEAD, None)).status == 201
    assert server.opened == 1
    assert [asked.rpartition(b"\r\n")[2] for asked in server.requests] == [b"0", b"1", b"2", b"3", b"4"]
    first = b"POST /pods/web-0/binding HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\nContent-Length: 1\r\n"
    assert server.requests[0] == first + b"\r\n0"


async def test_writes_at_the_same_time_do_not_wait_for_each_other_and_their_connections_stay() -> None:
    server, all_there = Server(), asyncio.Barrier(8)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            await all_there.wait()
            writer.write(CREATED)

    async with serving(serve, server), asyncio.timeout(60):
        with connections(server) as kept:
            for _ in range(3):
                await asyncio.gather(*(kept.send(post(), HEAD, None) for _ in range(8)))
    assert server.opened == 8


async def test_a_connection_that_the_server_ended_while_idle_is_not_used_again() -> None:
    server = Server()
    async with serving(answering(server, CREATED, last=True), server):
        with connections(server) as kept:
            for _ in range(3):
                assert (await kept.send(post(), HEAD, None)).status == 201
                await asyncio.sleep(0.2)  # its end arrives
    assert server.opened == 3


async def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    now = 0.0
    server = Server()
    async with serving(answering(server, CREATED), server):
        kept = KeptConnections("127.0.0.1", server.port, lambda: now)
        for now in (0.0, 59.0, 118.0, 178.0):  # noqa: B007 - the clock reads it
            await kept.send(post(), HEAD, None)
        kept.close()
    assert server.opened == 2


async def test_after_a_burst_connections_that_are_not_needed_are_closed() -> None:
    now, ended = 0.0, 0
    server, all_there = Server(), asyncio.Barrier(4)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        try:
            while True:
                await server.request(reader)
                if now == 0.0:
                    await all_there.wait()
                writer.write(CREATED)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            ended += 1

    async with serving(serve, server), asyncio.timeout(60):
        kept = KeptConnections("127.0.0.1", server.port, lambda: now)
        await asyncio.gather(*(kept.send(post(), HEAD, None) for _ in range(4)))
        for now in (40.0, 80.0):  # noqa: B007 - the clock reads it
            await kept.send(post(), HEAD, None)
        while ended < 3:  # noqa: ASYNC110 - the ends arrive
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert (ended, server.opened) == (3, 4)
        kept.close()


async def test_what_the_server_says_unasked_ends_the_connection_and_answers_no_other_request() -> None:
    server = Server()
    twice = CREATED + http(b"the wrong one", "200 OK")
    async with serving(answering(server, twice), server):
        with connections(server) as kept:
            assert (await kept.send(post(), HEAD, None)).body == b"{}"
            assert (await kept.send(post(), HEAD, None)).body == b"{}"
    assert server.opened == 2


@pytest.mark.parametrize("answer", [http(b"", "201 Created", "Connection: close"), b"HTTP/1.0 201 Created\r\n\r\n"])
async def test_a_connection_that_the_server_wants_to_close_is_not_kept(answer: bytes) -> None:
    server = Server()
    async with serving(answering(server, answer, last=True), server):
        with connections(server) as kept:
            assert (await kept.send(post(), HEAD, None)).status == 201
            assert (await kept.send(post(), HEAD, None)).status == 201
    assert server.opened == 2


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(http(b"{}", "201 Created", "Date: Sun, 29 Nov 2026 12:00:00 GMT"), b"{}", id="with a length"),
        pytest.param(chunked(b"half and ", b"half"), b"half and half", id="in chunks"),
        pytest.param(b"HTTP/1.1 100 Continue\r\nLink: x\r\n\r\n" + CREATED, b"{}", id="after a 100"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="without a body"),
        pytest.param(http(b"x" * 300_000), b"x" * 300_000, id="of many packets"),
    ],
)
async def test_an_answer_is_read_whole(answer: bytes, body: bytes) -> None:
    assert (await one(answer)).body == body


async def test_an_answer_without_a_length_lasts_until_the_server_closes() -> None:
    got = await one(b"HTTP/1.1 200 OK\r\nDate: now\r\n\r\nto the end", last=True)
    assert (got.status, got.body, got.headers.get("date")) == (200, b"to the end", "now")


async def test_an_answer_may_arrive_byte_by_byte() -> None:
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        for i in range(len(CREATED)):
            writer.write(CREATED[i : i + 1])
            await asyncio.sleep(0.001)

    async with serving(serve, server):
        with connections(server) as kept:
            assert (await kept.send(post(), HEAD, None)).body == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n", id="an impossible length"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", id="an upgrade"),
        pytest.param(b"\x00" * 100, id="zeros"),
    ],
)
async def test_what_is_no_answer_leaves_it_open_whether_the_write_was_done(answer: bytes) -> None:
    with pytest.raises(NoAnswerError) as caught:
        await one(answer)
    assert caught.value.status == 0


@pytest.mark.parametrize(("sent", "status"), [(b"", 0), (b"HTTP/1.1 201", 0), (CREATED[:-1], 201)])
async def test_an_answer_that_breaks_off_tells_the_status_that_had_arrived(sent: bytes, status: int) -> None:
    with pytest.raises(NoAnswerError, match="closed the connection") as caught:
        await one(sent, last=True)
    assert caught.value.status == status


async def test_an_answer_without_end_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_connections, "MOST_BYTES", 1 << 20)
    assert response_limits.MOST_BYTES > 1 << 20
    with pytest.raises(NoAnswerError, match="expected at most 1048576 bytes"):
        await one(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (2 << 20))


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_body_larger_than_the_socket_takes_at_once_arrives_whole() -> None:
    server, body = Server(), bytes(range(256)) * 40_000
    async with serving(answering(server, CREATED), server):
        with connections(server) as kept:
            await asyncio.gather(*(kept.send(post(body), HEAD, None) for _ in range(2)))
    assert [asked.endswith(b"\r\n\r\n" + body) for asked in server.requests] == [True, True]


async def test_a_closed_fence_sends_nothing_and_leaves_the_connection_for_others() -> None:
    server, may = Server(), True
    async with serving(answering(server, CREATED), server):
        with connections(server) as kept:
            await kept.send(post(fence=lambda: may), HEAD, None)
            may = False
            with pytest.raises(FencedOffError):
                await kept.send(post(b"late", fence=lambda: may), HEAD, None)
            may = True
            await kept.send(post(fence=lambda: may), HEAD, None)
    assert (len(server.requests), server.opened) == (2, 1)


async def test_a_server_is_found_by_its_name_too() -> None:
    server = Server()
    async with serving(answering(server, CREATED), server):
        kept = KeptConnections("localhost", server.port)
        assert (await kept.send(post(), HEAD, None)).status == 201
        kept.close()
        with pytest.raises(NotSentError, match=r"cannot connect to nowhere\.invalid:1"):
            await KeptConnections("nowhere.invalid", 1).send(post(), HEAD, None)


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NotSentError, match=f"cannot connect to 127.0.0.1:{port}"):
        await KeptConnections("127.0.0.1", port).send(post(), HEAD, None)


async def test_a_server_that_does_not_speak_tls_or_is_not_trusted_was_sent_nothing() -> None:
    server, tls = Server(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)

    async def at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"", "400 Bad Request"))

    for serve, context in ((at_once, None), (answering(server, CREATED), tls)):
        async with serving(serve, server, context):
            with connections(server) as kept, pytest.raises(NotSentError) as caught:
                await kept.send(post(), HEAD, ssl.create_default_context())
        assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert server.requests == []


async def test_a_server_that_accepts_and_is_silent_in_the_handshake_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_connections, "CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        kept = KeptConnections("127.0.0.1", mute.getsockname()[1])
        with pytest.raises(NotSentError, match=r"not within 0\.1 s"):
            await kept.send(post(), HEAD, ssl.create_default_context())


def test_a_line_break_in_a_header_is_refused() -> None:
    assert header_lines([("Impersonate-User", "jane"), ("X", "ü")]) == "Impersonate-User: jane\r\nX: ü\r\n".encode()
    for value in ("a\r\nb: c", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="line break"):
            header_lines([("Impersonate-User", value)])


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/a\n", "/\x7f"])
async def test_a_path_that_would_be_more_than_a_path_is_not_sent(path: str) -> None:
    server = Server()
    async with serving(answering(server, CREATED), server):
        with connections(server) as kept, pytest.raises(NotSentError, match="encoded path"):
            await kept.send(Outgoing("POST", path, "application/json", b"{}", 30.0), HEAD, None)
    assert server.opened == 0


# --- encrypted --------------------------------------------------------------------------------------------------------


async def test_over_tls_every_byte_arrives_and_another_context_opens_another_connection() -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "api.example").configure_cert(tls)
    server, body = Server(), bytes(range(256)) * 8_000
    ours = [ssl.create_default_context() for _ in range(2)]
    for context in ours:
        authority.configure_trust(context)
    async with serving(answering(server, http(body)), server, tls):
        with connections(server) as kept:
            for context in (ours[0], ours[0], ours[1]):
                assert (await kept.send(post(body), HEAD, context)).body == body
            opened = server.opened
            assert (await kept.send(post(body), HEAD, ours[1], "api.example")).body == body
    assert opened == 2
    assert [asked.endswith(body) for asked in server.requests] == [True] * 4


async def test_the_certificate_must_be_for_the_name_that_was_asked_for() -> None:
    authority, tls, ours = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("api.example").configure_cert(tls)
    authority.configure_trust(ours)
    server = Server()
    async with serving(answering(server, CREATED), server, tls):
        with connections(server) as kept:
            with pytest.raises(NotSentError):
                await kept.send(post(), HEAD, ours)
            assert (await kept.send(post(), HEAD, ours, "api.example.")).status == 201  # as it is written in DNS


# --- no answer, and the end -------------------------------------------------------------------------------------------


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def test_a_write_that_is_not_answered_in_time_may_have_been_done_and_its_connection_ends() -> None:
    server = Server()
    async with serving(mute, server):
        with connections(server) as kept:
            for _ in range(2):
                with pytest.raises(NoAnswerError, match=r"no answer within 0\.05 s"):
                    await kept.send(post(within=0.05), HEAD, None)
    assert server.opened == 2


async def test_after_one_write_without_an_answer_idle_connections_are_not_trusted_either() -> None:
    """As when a load balancer has forgotten them: they time out one after another."""
    server, both, silent = Server(), asyncio.Barrier(2), False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        old = server.opened <= 2
        while True:
            await server.request(reader)
            if old and not silent:
                await both.wait()
            if not old or not silent:
                writer.write(CREATED)

    async with serving(serve, server), asyncio.timeout(60):
        with connections(server) as kept:
            await asyncio.gather(*(kept.send(post(), HEAD, None) for _ in range(2)))
            silent = True
            with pytest.raises(NoAnswerError):
                await kept.send(post(within=0.1), HEAD, None)
            assert (await kept.send(post(), HEAD, None)).status == 201
    assert server.opened == 3


def leaving_the_first_alone(server: Server, got: asyncio.Event) -> Serving:
    """Does not answer what comes on its first connection; ``got`` is set when it is there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        got.set()
        if server.opened > 1:
            writer.write(CREATED)
        await reader.read(-1)

    return serve


async def test_a_cancelled_write_takes_its_connection_along() -> None:
    server, got = Server(), asyncio.Event()
    async with serving(leaving_the_first_alone(server, got), server), asyncio.timeout(60):
        with connections(server) as kept:
            under_way = asyncio.create_task(kept.send(post(), HEAD, None))
            await got.wait()
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            assert (await kept.send(post(), HEAD, None)).status == 201  # not the answer to the first
    assert server.opened == 2


async def test_closing_ends_what_is_under_way_and_nothing_is_sent_afterwards() -> None:
    server, got = Server(), asyncio.Event()
    async with serving(leaving_the_first_alone(server, got), server), asyncio.timeout(60):
        with connections(server) as kept:
            under_way = asyncio.create_task(kept.send(post(), HEAD, None))
            await got.wait()
            kept.close()
            with pytest.raises(NoAnswerError, match="closed"):
                await under_way
            with pytest.raises(NotSentError, match="closed"):
                await kept.send(post(), HEAD, None)


async def test_what_was_given_up_does_not_arrive_later() -> None:
    """By then another replica may lead: what the system has not delivered yet is discarded."""
    listening = socket.create_server(("127.0.0.1", 0))
    body = b"x" * (8 << 20)  # more than the buffers of both sides hold
    kept = KeptConnections("127.0.0.1", listening.getsockname()[1])
    with pytest.raises(NoAnswerError):
        await kept.send(post(body, within=0.2), HEAD, None)
    connection, _ = listening.accept()
    received = []
    with connection, listening, pytest.raises(ConnectionResetError):
        received.extend(iter(lambda: len(connection.recv(1 << 20)), 0))
    assert sum(received) < len(body)


async def test_a_connection_that_opens_while_all_are_closed_sends_nothing() -> None:
    server, ended = Server(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            server.requests.append(await reader.read(1))
        ended.set()

    async with serving(serve, server), asyncio.timeout(60):
        with connections(server) as kept:
            under_way = asyncio.create_task(kept.send(post(), HEAD, None))
            await asyncio.sleep(0)
            kept.close()
            with pytest.raises(NotSentError, match="closed"):
                await under_way
            await ended.wait()
    assert b"".join(server.requests) == b""


async def test_an_answer_before_the_body_has_gone_ends_the_connection() -> None:
    """Else the rest of the body would be read as the next request, or the next request as the body."""
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"{}", "413 Request Entity Too Large"))
        await asyncio.sleep(30.0)

    async with serving(serve, server), asyncio.timeout(60):
        with connections(server) as kept:
            for _ in range(2):
                assert (await kept.send(post(b"x" * (8 << 20)), HEAD, None)).status == 413
    assert server.opened == 2


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".api"])
async def test_a_name_that_cannot_be_one_was_sent_nothing(name: str) -> None:
    server = Server()
    with pytest.raises(NotSentError):
        await KeptConnections(name, 443).send(post(), HEAD, None)
    async with serving(answering(server, CREATED), server):
        with connections(server) as kept, pytest.raises(NotSentError):
            await kept.send(post(), HEAD, ssl.create_default_context(), name)


KILLED = """
import asyncio, os, sys
from peaks_scheduler.kube.http.kept_connections import KeptConnections
from peaks_scheduler.kube.http.outgoing import Outgoing

async def main():
    kept = KeptConnections("127.0.0.1", int(sys.argv[1]))
    body = b"x" * (8 << 20)
    asyncio.create_task(kept.send(Outgoing("POST", "/", "application/json", body, 600.0), b"", None))
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_what_a_killed_process_had_sent_does_not_arrive_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60.0)
        subprocess.run([sys.executable, "-c", KILLED, str(listening.getsockname()[1])], timeout=300, check=False)
        connection, _ = listening.accept()
        received: list[int] = []
        with connection, pytest.raises(ConnectionResetError):
            received.extend(iter(lambda: len(connection.recv(1 << 20)), 0))
    assert sum(received) < 8 << 20
