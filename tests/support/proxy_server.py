"""A proxy on loopback, HTTP, HTTPS or SOCKS 5: it writes down where it was asked to go and always goes to one port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from typing import Self


class ProxyServer:
    """``async with ProxyServer(port) as proxy``: read ``proxy.asked``. ``login`` is the user:password that it wants."""

    def __init__(self, target: int, *, socks: bool = False, tls: ssl.SSLContext | None = None, login: str = "") -> None:
        self.asked: list[str] = []
        self._target, self._socks, self._tls, self._login = target, socks, tls, login
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError), contextlib.closing(writer):
            begun = await (self._as_socks(reader, writer) if self._socks else self._as_http(reader, writer))
            if begun is not None:
                await self._connect(begun, reader, writer)
        self._tasks.discard(task)

    async def _as_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, where, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {where}")
        login = base64.b64encode(self._login.encode())
        if self._login and b"proxy-authorization: basic " + login.lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return None
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return b""
        return head

    async def _as_socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """RFC 1928, and RFC 1929 for the login."""
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self._login else 0
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if self._login:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = f"{user.decode()}:{password.decode()}" == self._login
            writer.write(bytes([1, 0 if right else 1]))
            if not right:
                return None
        kind = (await reader.readexactly(4))[3]
        size = 4 if kind == 1 else 16 if kind == 4 else (await reader.readexactly(1))[0]
        host = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host.decode() if kind == 3 else '.'.join(map(str, host))}:{port}")
        writer.write(b"\5\0\0\1" + bytes(6))
        return b""

    async def _connect(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        back.write(begun)
        with contextlib.closing(back):
            ways = [asyncio.create_task(_pour(reader, back)), asyncio.create_task(_pour(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
