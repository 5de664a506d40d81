"""The embedded API server in a thread of its own, for tests of what runs kopf.

kopf, ending, waits for every task of its loop that is younger than itself and then cancels it: connections of a server
on the same loop would be among them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer

T = TypeVar("T")


class ServerThread:
    """``with ServerThread() as api: api(lambda server: server.add_node(...))``: whatever is called runs on its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.server = self.call(self._new())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    @staticmethod
    async def _new() -> EmbeddedApiServer:
        server = EmbeddedApiServer()
        await server.start()
        return server

    def __call__(self, act: Callable[[EmbeddedApiServer], T]) -> T:
        async def on_the_loop() -> T:
            return act(self.server)

        return self.call(on_the_loop())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    def start(self) -> None:
        """Serve again after ``stop``, on the same port."""
        self.call(self.server.start())

    def stop(self) -> None:
        """As a server that is down: connections end, new ones are refused."""
        self.call(self.server.stop())
