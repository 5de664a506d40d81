"""Connections to our own port: how many, from whom, and for how long.

Owns the accepting and three deadlines: for the head of a request, for its answer to be written and taken, and between
two requests. Where there are too many connections, the one that has waited longest for its peer goes, one of the
address that asks if that has too many, else one of the address that has most: a probe always finds room. What a
connection may send before it is answered is bounded, and so is what may wait for it to be read. Assumes protocols that
serve one request after the other and tell when (``InboundConnection.answering``). Never uses more than a part of the
descriptors of the process: connections to the API server need them. Its state belongs to one event loop.
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
"""Connections in total; never more than an eighth of the files that the process may open."""
MOST_EACH = 32
"""Connections from one address."""
HEAD = 5.0  # [s] from the first byte of a request, or from the connection's beginning, to the end of its head
ANSWER = 15.0  # [s] from there until the answer is written and taken
IDLE = 65.0  # [s] between two requests: those who ask every minute keep their connection
REQUEST_BYTES = 16_384
"""That a connection may send until it is answered."""
AGAIN = 0.5  # [s] after the system refused a connection
MINUTE = 60.0  # [s] between two lines in the log about the same

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class InboundConnection(asyncio.Protocol):
    """One connection: passes everything on to ``inner``, and ends when it takes too long or sends too much."""

    def __init__(self, inner: asyncio.Protocol, host: str, lost: Callable[[InboundConnection], None]) -> None:
        self.inner, self.host, self._lost = inner, host, lost
        self.busy = False
        """A request is being answered."""
        self.since = 0.0
        """The beginning of what it does now; the loop's time."""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._started = False  # a request's head
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio

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

    # -- ours

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is answered; the next one may come afterwards."""
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
        """Is it the peer's turn, to ask or to read?"""
        return not self.busy or not self._writable.is_set()

    async def taken(self) -> None:
        """Wait until the peer has taken what was written, but for what its system keeps for it."""
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
    """Takes connections from listening sockets until ``close``.

    Args:
        protocol: makes the protocol of one connection.
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
        """Take connections from these sockets from now on; they are ours to close."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._tasks.append(asyncio.create_task(self._take(listener), name="accept"))

    async def close(self) -> None:
        """Take no more; those that are open stay so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self._tasks.clear()
        self._listeners.clear()

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def of(self, inner: asyncio.BaseProtocol | None) -> InboundConnection | None:
        """The connection that this protocol serves; None: it is gone."""
        return None if inner is None else self._open.get(inner)

    async def _take(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, address = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor left, mostly: the socket would stay readable
                self._refused.again(error=str(error))
                await asyncio.sleep(AGAIN)
                continue
            await self._begin(taken, str(address[0]).removeprefix("::ffff:"))
            await asyncio.sleep(0)  # a socket that is always readable must not keep others from their turn

    async def _begin(self, taken: socket.socket, host: str) -> None:
        if not self._make_room(host):
            taken.close()
            return
        connection = InboundConnection(self._protocol(), host, self._gone)
        self._open[connection.inner] = connection
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, taken)
        except OSError:
            taken.close()
            self._gone(connection)

    def _gone(self, connection: InboundConnection) -> None:
        self._open.pop(connection.inner, None)

    def _make_room(self, host: str) -> bool:
        """Is there room for one more from ``host``? Ends another one where that makes some."""
        counts = Counter(connection.host for connection in self._open.values())
        crowded = counts[host] >= self._most_each
        if not crowded and len(self._open) < self._most:
            return True
        self._closed.again(address=host)
        waiting = [each for each in self._open.values() if each.waits and (each.host == host or not crowded)]
        if not waiting:
            return False
        goes = min(waiting, key=lambda each: (-counts[each.host], each.since))
        self._gone(goes)
        goes.abort()
        return True


class _RateLimitedWarning:
    """A line in the log, once a minute at most, with how often it came to it since the last one."""

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
