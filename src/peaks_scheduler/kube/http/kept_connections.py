"""Connections that are kept open for small writes: one request at a time on each, straight on the socket.

A placed pod costs two writes, the Binding and its event. By way of aiohttp's session and asyncio's TLS one costs 0.18
ms of CPU, here 0.10, and an open connection 84 kB instead of 355 (benchmarks/README.md). Owns the open connections, and
when one is closed: after a request that was not answered, when the credentials change that it opened with, after
``KEEPALIVE`` without a request. HTTP is parsed by httptools. Never repeats a request, never follows a redirect, knows
no proxy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import aiohappyeyeballs
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from .outgoing import FENCED_TIMEOUT, Answer, FencedOffError, NoAnswerError, NotSentError, Outgoing
from .response_limits import MOST_BYTES
from .rotating_connector import CONNECT_TIMEOUT, KEEPALIVE

CLOSED = "the connection to the API server is closed"
NEXT_ADDRESS = 0.25  # [s] before the next address of a name is tried beside one that does not answer
UNDELIVERED = int(1000 * FENCED_TIMEOUT)  # [ms] that the system tries to deliver something
AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: a close discards what is not sent yet
PIECE = 65_536  # [bytes] read at once; an answer to a write mostly has some 1,000


class KeptConnections:
    """Connections to one server. ``host`` may be a name or an address; ``clock``: monotonic [s]."""

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._port, self._clock = host, port, clock
        self._where = f"cannot connect to {host}:{port}"
        self._tls: ssl.SSLContext | None = None
        self._idle: deque[_Kept] = deque()  # the last one was in use last: after a burst the others grow old
        self._busy: set[_Kept] = set()
        self._closed = False

    async def send(
        self, request: Outgoing, head: bytes, tls: ssl.SSLContext | None, server_name: str | None = None
    ) -> Answer:
        """Send the request and wait for its answer.

        Args:
            head: encoded header lines that do not depend on the request.
            tls: another context than before opens new connections; None: without TLS.
            server_name: whose certificate the server must show; None: the host's.

        Raises:
            NotSentError, FencedOffError: nothing was sent.
            NoAnswerError: it may have been done.
        """
        if tls is not self._tls:
            self._tls = tls
            self._close_idle()
        data = _encoded(request, head)
        kept = self._take() or await self._open(tls, (server_name or self._host).rstrip("."))
        self._busy.add(kept)
        try:
            async with asyncio.timeout(request.within):
                if self._closed:
                    raise NotSentError(CLOSED)
                if request.fence is not None and not request.fence():
                    raise FencedOffError("the write fence is closed")
                return await kept.exchange(data)
        except TimeoutError:
            kept.close()
            self._close_idle()  # a server that is gone without a word does not answer on the others either
            raise NoAnswerError(f"no answer within {request.within:g} s", kept.status) from None
        except NoAnswerError as error:
            if isinstance(error.__cause__, TimeoutError):  # nothing could be delivered any more
                self._close_idle()
            raise
        except asyncio.CancelledError:
            kept.close()
            raise
        finally:
            self._busy.discard(kept)
            if kept.usable and tls is self._tls and not self._closed:
                self._put_back(kept)
            else:
                kept.close()

    def close(self) -> None:
        """Close all connections; a request that is on its way is not answered any more."""
        self._closed = True
        self._close_idle()
        for kept in self._busy:
            kept.close()

    def _put_back(self, kept: _Kept) -> None:
        kept.since = self._clock()
        self._idle.append(kept)
        while kept.since - self._idle[0].since >= KEEPALIVE:
            self._idle.popleft().close()

    def _take(self) -> _Kept | None:
        while self._idle:
            kept = self._idle.pop()
            if kept.usable and self._clock() - kept.since < KEEPALIVE:
                return kept
            kept.close()
        return None

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _open(self, tls: ssl.SSLContext | None, server_name: str) -> _Kept:
        if self._closed:
            raise NotSentError(CLOSED)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return _Kept(await _connected(self._host, self._port, tls, server_name))
        except TimeoutError as error:
            raise NotSentError(f"{self._where}: not within {CONNECT_TIMEOUT:g} s") from error
        except (OSError, ValueError, TypeError) as error:  # an SSLError too; the latter for names that cannot be any
            raise NotSentError(f"{self._where}: {error}") from error


class _Kept:
    """One open connection. The event loop calls it whenever there is something to read: an end is noticed when it
    comes, not with the next request."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._loop = connected, asyncio.get_running_loop()
        self._unsent, self._waits_to_write = b"", False
        self._answer: asyncio.Future[Answer] | None = None
        self._reading: _Reading | None = None
        self.usable = True
        """May the next request be sent here?"""
        self.since = 0.0
        """When the last request ended [s]."""
        self._loop.add_reader(connected.fileno(), self._readable)

    @property
    def status(self) -> int:
        """HTTP status of the answer that has begun to arrive; 0: none has."""
        return 0 if self._reading is None else self._reading.status

    def exchange(self, data: bytes) -> asyncio.Future[Answer]:
        """Send a request at once; the future has its answer."""
        self._answer, self._reading, self._unsent = self._loop.create_future(), _Reading(), data
        self._write()
        return self._answer

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self.usable = False
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._fail("the connection was closed")

    def _write(self) -> None:
        """Send what the socket takes now; the rest when it takes more."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            self._loop.add_writer(self._socket.fileno(), self._write)
            self._waits_to_write = True
            return
        except ssl.SSLWantReadError:
            pass  # TLS has something to be read first, and then tries again
        except OSError as error:
            self._break(error)
            return
        if self._waits_to_write:
            self._loop.remove_writer(self._socket.fileno())
            self._waits_to_write = False

    def _readable(self) -> None:
        if self._unsent:
            self._write()
        # what TLS has decrypted already does not make the socket readable again: read on until there is nothing
        while self.usable:
            try:
                data = self._socket.recv(PIECE)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            except OSError as error:
                self._break(error)
                return
            reading = self._reading
            if reading is None or self._answer is None:
                self.close()  # the server ends the connection, or speaks unasked
                return
            try:
                whole = reading.feed(data) if data else reading.end()
            except (HttpParserError, HttpParserUpgrade, ValueError) as error:
                self._break(error)
                return
            if whole is not None:
                answer, self._answer, self._reading = self._answer, None, None
                self.usable = reading.keep and bool(data) and not self._unsent
                if not answer.done():
                    answer.set_result(whole)
                return
            if not data:
                self._break(ConnectionResetError("the server closed the connection"))
                return

    def _break(self, error: Exception) -> None:
        self._fail(f"{type(error).__name__}: {error}", error)
        self.close()

    def _fail(self, message: str, cause: Exception | None = None) -> None:
        if self._answer is not None and not self._answer.done():
            error = NoAnswerError(message, self.status)
            error.__cause__ = cause
            self._answer.set_exception(error)


class _Reading:
    """An answer that is arriving. httptools calls the methods ``on_``."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._parts: list[bytes] = []
        self._received = 0
        self._whole = False
        self.status = 0
        self.keep = False

    def feed(self, data: bytes) -> Answer | None:
        """The answer, if it is whole with this piece.

        Raises:
            HttpParserError, HttpParserUpgrade: not HTTP as we speak it.
            ValueError: too long.
        """
        self._received += len(data)
        if self._received > MOST_BYTES:
            raise ValueError(f"expected at most {MOST_BYTES} bytes, got an answer with more")
        self._parser.feed_data(data)
        return self._answer() if self._whole else None

    def end(self) -> Answer | None:
        """The server closed: the answer, if it was to last until then."""
        lasts = "Content-Length" not in self._headers and "Transfer-Encoding" not in self._headers
        return self._answer() if self.status and lasts else None

    def _answer(self) -> Answer:
        return Answer(self.status, self._headers, b"".join(self._parts))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._whole:
            self.keep = False  # another answer, which nobody asked for
            return
        self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # the answer proper follows
            self._headers.clear()
        elif not self._whole:
            self.status = status

    def on_body(self, part: bytes) -> None:
        if not self._whole:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if self.status and not self._whole:
            self._whole, self.keep = True, self._parser.should_keep_alive()


def header_lines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Header fields as they are sent. Raises ValueError for a field that would be more than one line."""
    lines = [f"{name}: {value}" for name, value in fields]
    if any(mark in line for line in lines for mark in "\r\n\0"):
        raise ValueError("expected header fields of one line each, got a line break in one")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _encoded(request: Outgoing, head: bytes) -> bytes:
    if " " in request.path or not request.path.isprintable():
        raise NotSentError(f"expected an encoded path, got {request.path!r}")
    line = f"{request.method} {request.path} HTTP/1.1\r\n".encode()
    about = f"Content-Type: {request.content_type}\r\nContent-Length: {len(request.body)}\r\n\r\n".encode()
    return b"".join((line, head, about, request.body))


async def _connected(host: str, port: int, tls: ssl.SSLContext | None, server_name: str) -> socket.socket:
    """A connected socket, its handshake done. Raises OSError, ValueError (UnicodeError too), TypeError."""
    if tls is not None:
        server_name.encode("idna")  # ssl would leave the socket open over a name that cannot be one
    addresses = await _addresses(host, port)
    plain = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # what is given up, by us or because this process was killed or stands still, must not be delivered later, perhaps
    # when another replica leads
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNDELIVERED)
    if tls is None:
        return plain
    try:
        secured = tls.wrap_socket(plain, server_hostname=server_name, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        await _shake_hands(secured)
    except BaseException:
        secured.close()
        raise
    return secured


async def _addresses(host: str, port: int) -> Sequence[aiohappyeyeballs.AddrInfoType]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # it is a name: that takes a thread
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _shake_hands(secured: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            secured.do_handshake()
            return
        except ssl.SSLWantReadError:
            watch, unwatch = loop.add_reader, loop.remove_reader
        except ssl.SSLWantWriteError:
            watch, unwatch = loop.add_writer, loop.remove_writer
        ready = asyncio.Event()
        watch(secured.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            unwatch(secured.fileno())
