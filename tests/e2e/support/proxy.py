"""A TCP proxy on loopback that can break: the way to the API server is lost while the server itself stays up.

Owns one thread with an event loop. Knows nothing of what passes through (TLS ends at the server, whose certificate is
for 127.0.0.1 and so for the proxy's address too). Not for load: it copies every byte in Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tests.e2e.support.processes import PATIENCE, free_port

T = TypeVar("T")


class Proxy:
    """Forwards a port of its own to ``url``. A context manager.

    Attributes:
        url: what a client uses instead.
        accepted: how many connections were ever taken.
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (str(target.hostname), int(target.port or 443))
        self._port = free_port()
        self.url = f"{target.scheme}://127.0.0.1:{self._port}"
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._open = asyncio.Event()  # clear while frozen

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._pairs)

    def cut(self) -> None:
        """Breaks every connection; new ones are served."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Breaks every connection and listens no more."""
        self._do(self._refuse())

    def freeze(self) -> None:
        """Connections stay, and new ones are taken, but nothing passes: what a dead network path looks like."""
        self._do(self._set(frozen=True))

    def heal(self) -> None:
        """Serves again, after whatever was done to it."""
        self._do(self._set(frozen=False))
        self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _set(self, *, frozen: bool) -> None:
        (self._open.clear if frozen else self._open.set)()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = (writer,)
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection(*self._target)
                self._pairs[task] = (writer, back)
                await self._join(self._copy(reader, back), self._copy(there, writer))
        except asyncio.CancelledError:
            pass  # cut: ending quietly is the point
        finally:
            for end in self._pairs.pop(task):
                end.transport.abort()

    @staticmethod
    async def _join(*copies: Coroutine[Any, Any, None]) -> None:
        """Until one direction ends: the other has nobody to talk to any more."""
        tasks = [asyncio.ensure_future(copy) for copy in copies]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._open.wait()
            target.write(data)
            await target.drain()
