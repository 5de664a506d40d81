"""Accepts connections to our own port, and limits their number, their duration and what they send.

Owns three deadlines: for the head of a request, for writing its response, and for the pause between two requests. If
there are too many connections, the one that waits longest for its client is closed: of the new connection's address if
that has too many, else of the address that has most. So a probe always finds room. Limits what a connection sends
before it is answered. Assumes protocols that serve one request after the other and say when
(``InboundConnection.answering``). Uses a small part of the process's file descriptors: connections to the API server
need them. Its state belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger(__name__)

MOST = 128
"""Connections in total; at most an eighth of the files that the process may open."""
MOST_EACH = 32
"""Connections from one address."""
HEAD = 5.0  # [s] from the first byte of a request, or from the opening of the connection, to the end of its head
ANSWER = 15.0  # [s] from there until the response is written and received
IDLE = 65.0  # [s] between two requests: clients that ask every minute keep their connection
REQUEST_BYTES = 16_384
"""That a connection may send before it is answered."""
AGAIN = 0.5  # [s] before accepting again, after the system refused
MINUTE = 60.0  # [s] between two log lines about the same

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class InboundConnection(asyncio.Protocol):
    """One connection, served by ``inner``; closed when it takes too long or sends too much.

    Args:
        host: the client's address.
        lost: called when the connection is closed.
    """

    def __init__(self, inner: asyncio.Protocol, host: str, lost: Callable[[InboundConnection], None]) -> None:
        self.inner, self.host, self._lost = inner, host, lost
        self.busy = False
        """A request is being answered."""
        self.since = 0.0
        """When its current state began; the loop's time [s]."""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._started = False  # receiving the head of a request
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._started = transport, True
        self._end_in(HEAD)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > REQUEST_BYTES:
            self._too_large()
            return
        if not self._started and not self.busy:
            self._started = True
            self._end_in(HEAD)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self._writable.clear()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        self._lost(self)
        self.inner.connection_lost(exc)

    # -- for the server

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Context in which a request is answered; the next one may begin afterwards."""
        self.busy = True
        self._end_in(ANSWER)
        try:
            yield
        finally:
            self.busy = self._started = False
            self._received = 0
            self._end_in(IDLE)

    @property
    def waits(self) -> bool:
        """Does it wait for its client to send a request, or to read a response?"""
        return not self.busy or not self._writable.is_set()

    async def taken(self) -> None:
        """Wait until the write buffer is empty: the client, or a system between, has received what was written."""
        await self._writable.wait()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self.since = loop.time()
        self._timer = loop.call_later(seconds, self.abort) if self._transport is not None else None

    def _too_large(self) -> None:
        if self._transport is not None and not self.busy:
            self._transport.write(_TOO_LARGE)
            self._transport.close()
        else:
            self.abort()


class Listener:
    """Accepts connections from listening sockets until ``close``.

    Args:
        protocol: makes the protocol of one connection.
        most, most_each: connections in total, and from one address.
    """

    def __init__(self, protocol: Callable[[], asyncio.Protocol], most: int = MOST, most_each: int = MOST_EACH) -> None:
        self._protocol = protocol
        self._most, self._most_each = min(most, _most_files() // 8), most_each
        self._open: dict[asyncio.BaseProtocol, InboundConnection] = {}
        self._listeners: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = _RateLimitedWarning("connections closed, there were too many")
        self._refused = _RateLimitedWarning("connections not taken")

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Start to accept connections from these sockets. ``close`` closes the sockets."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._tasks.append(asyncio.create_task(self._accept(listener), name="accept"))

    async def close(self) -> None:
        """Stop accepting; open connections stay open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self._tasks.clear()
        self._listeners.clear()

    def __len__(self) -> int:
        """Number of open connections."""
        return len(self._open)

    def of(self, inner: asyncio.BaseProtocol | None) -> InboundConnection | None:
        """The connection that this protocol serves; None: it is closed."""
        return None if inner is None else self._open.get(inner)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:  # mostly: no file descriptor left; the socket stays readable, so wait
                self._refused.again(error=str(error))
                await asyncio.sleep(AGAIN)
                continue
            await self._open_connection(accepted, str(address[0]).removeprefix("::ffff:"))
            await asyncio.sleep(0)  # let other tasks run, even if this socket is always readable

    async def _open_connection(self, accepted: socket.socket, host: str) -> None:
        if not self._make_room(host):
            accepted.close()
            return
        connection = InboundConnection(self._protocol(), host, self._gone)
        self._open[connection.inner] = connection
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()
            self._gone(connection)

    def _gone(self, connection: InboundConnection) -> None:
        self._open.pop(connection.inner, None)

    def _make_room(self, host: str) -> bool:
        """Is there room for one more connection from ``host``? Closes another one if that makes room."""
        counts = Counter(connection.host for connection in self._open.values())
        crowded = counts[host] >= self._most_each
        if not crowded and len(self._open) < self._most:
            return True
        self._closed.again(address=host)
        waiting = [each for each in self._open.values() if each.waits and (each.host == host or not crowded)]
        if not waiting:
            return False
        closing = min(waiting, key=lambda each: (-counts[each.host], each.since))
        self._gone(closing)
        closing.abort()
        return True


class _RateLimitedWarning:
    """A warning that is logged at most once a minute, with the number of occurrences since the last line."""

    def __init__(self, message: str) -> None:
        self._message, self._count, self._next = message, 0, 0.0

    def again(self, **fields: object) -> None:
        self._count += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + MINUTE
            logger.warning(self._message, extra={"connections": self._count, **fields})
            self._count = 0


def _most_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
