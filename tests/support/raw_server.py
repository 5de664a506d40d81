"""A loopback server that answers every request with bytes that the test chooses, right or wrong, on several addresses.

``async with raw_server(answer) as port``: ``answer(address, request)`` gives the bytes, or None to say nothing and keep
the connection open. ``address`` is the one that was asked: 127.0.0.1, 127.0.0.2 and so on are different nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Answering = Callable[[str, bytes], bytes | None]


class _Protocol(asyncio.Protocol):
    def __init__(self, answer: Answering, opened: list[str]) -> None:
        self._answer, self._opened = answer, opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened.append(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        given = self._answer(self._transport.get_extra_info("sockname")[0], data)
        if given is not None:
            self._transport.write(given)


@asynccontextmanager
async def raw_server(answer: Answering, opened: list[str] | None = None) -> AsyncIterator[int]:
    """The port of a server on all IPv4 addresses of this machine. ``opened`` gets the address of each connection."""
    seen = [] if opened is None else opened
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(answer, seen), "0.0.0.0", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes) -> bytes:
    """An HTTP answer in chunks, as Go's servers send it."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
