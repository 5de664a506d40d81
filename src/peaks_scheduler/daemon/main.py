"""The life of the process: connect, serve, compete for the Lease, watch, schedule, and end well.

On SIGTERM it takes no more pods, finishes the binds in flight, releases the Lease, posts the last events and exits
within ten seconds. All tasks exist before kopf runs (``_tasks``). The server, the Lease and the watchdog run in a
thread of their own (``background``), so that no decision delays them. The parts are built in ``wiring``. Never decides
anything itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any

from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.settings.settings import Settings

from .background import BackgroundLoop
from .daemon_threads import DaemonThreads
from .heartbeat import Heartbeat
from .keeper import every
from .watching.kopf_log import pass_over_open_streams
from .wiring import Outside, Parts, build, build_core

logger = logging.getLogger(__name__)

GC_THRESHOLDS = (20_000, 20, 50)
"""With Python's own (700, 10, 10), looking for garbage took a fifth of the CPU, 0.2 s at a time, at 5,000 nodes."""

WATCHED = frozenset({"/api/v1/pods", "/api/v1/nodes", *(kind.path for kind in KINDS)})
"""Paths of the watches."""

FINISH_BINDS = 3.0  # [s] of the ten that SIGTERM leaves us
RELEASE = 1.5
DRAIN_EVENTS = 2.0
STOP_KOPF = 1.0  # beyond it kopf is cancelled; with the server's own second for open requests all this stays below nine
END_KOPF = 0.5


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the process's exit code. Raises ConfigurationError and PowerModelError."""
    return await Daemon(settings).run()


class Daemon:
    """See the module."""

    parts: Parts

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stop = asyncio.Event()
        self._core = build_core(settings)

    async def run(self) -> int:
        """See ``run`` of the module."""
        gc.set_threshold(*GC_THRESHOLDS)
        asyncio.get_running_loop().set_default_executor(DaemonThreads())
        self._heartbeat = Heartbeat()
        with self._signals():
            async with self._outside() as outside:
                self.parts = build(self._core, outside)
                return await self._serve()

    # -- what is opened first and closed last

    @contextlib.asynccontextmanager
    async def _outside(self) -> AsyncIterator[Outside]:
        async with self._background_loop() as background, self._connections(background) as (ours, lease):
            yield Outside(ours, lease, background, self._heartbeat, on_kopf_start=self._take_signals)

    @contextlib.asynccontextmanager
    async def _background_loop(self) -> AsyncIterator[BackgroundLoop]:
        background = BackgroundLoop()
        background.start()
        try:
            yield background
        finally:
            await background.stop()

    @contextlib.asynccontextmanager
    async def _connections(self, background: BackgroundLoop) -> AsyncIterator[tuple[Connection, Connection]]:
        """The connection of this loop, and one for the Lease in the background loop."""
        settings = self.settings
        ours = await connect(settings.kubeconfig, settings.context, on_request=self._on_request)
        try:
            lease = await background.run(connect(settings.kubeconfig, settings.context))
            try:
                yield ours, lease
            finally:
                await background.run(lease.close())
        finally:
            await ours.close()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        self._take_signals()
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)

    def _take_signals(self) -> None:
        """Replace kopf's signal handlers: they would end every task at once, before the binds in flight."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
            # the loop's handler runs between two decisions; this one interrupts the decision under way
            signal.signal(number, lambda *_: self._heartbeat.interrupt())

    def _on_request(self, method: str, path: str, is_watch: bool, status: int) -> None:
        if method == "GET" and status == 200 and path in WATCHED:
            # the answer's Date header is read next, and the objects in the answer are dated by that clock
            asyncio.get_running_loop().call_soon(self.parts.clock.look)

    # -- life

    async def _serve(self) -> int:
        parts, background = self.parts, self.parts.outside.background
        try:
            port = await background.run(parts.server.start())
            logger.info("serving", extra={"address": str(self.settings.listen), "port": port})
            return await self._live()
        finally:
            for keeper in parts.keepers:
                await keeper.aclose()
            await background.run(parts.server.stop())

    def _tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Every task of the process but kopf's own, by name."""
        parts, outside = self.parts, self.parts.outside
        tasks: dict[str, Coroutine[Any, Any, None]] = {
            "events": parts.events.run(),
            "second": every(1.0, self._every_second),
            "watchdog": outside.background.run(outside.heartbeat.watch(threading.get_ident())),
        }
        for keeper in parts.keepers:
            tasks |= keeper.tasks()
        return tasks

    def _every_second(self) -> None:
        self.parts.outside.heartbeat.beat()
        self.parts.status.publish()

    async def _live(self) -> int:
        """Until SIGTERM; the exit code."""
        tasks = {name: asyncio.create_task(work, name=name) for name, work in self._tasks().items()}
        stop = asyncio.create_task(self.stop.wait(), name="stop")
        await asyncio.sleep(0)  # let them start theirs: kopf spares only tasks that are older than itself
        kopf = asyncio.create_task(self.parts.feed.run(self.stop), name="kopf")
        await asyncio.wait((stop, kopf, *tasks.values()), return_when=asyncio.FIRST_COMPLETED)
        code = 0 if self.stop.is_set() else self._fail((kopf, *tasks.values()))
        logger.info("stopping")
        asyncio.get_running_loop().set_exception_handler(pass_over_open_streams)
        await self._finish([task for name, task in tasks.items() if name.startswith("bind-")])
        await _end((stop, *tasks.values()))
        await asyncio.wait((kopf,), timeout=STOP_KOPF)
        await _end((kopf,), within=END_KOPF)
        logger.info("stopped")
        return code

    def _fail(self, tasks: Iterable[asyncio.Task[None]]) -> int:
        """A task of ours that ends is a bug: better a restart than a scheduler that is half alive."""
        for task in tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                logger.critical("task ended", extra={"task": task.get_name()}, exc_info=error)
        self.stop.set()
        return 1

    async def _finish(self, binders: list[asyncio.Task[None]]) -> None:
        if not await self.parts.scheduler.finish(FINISH_BINDS):
            logger.warning("binds left in flight")
            await _end(binders)  # none of them may be sent when another holds the Lease
        await self.parts.lease.release(RELEASE)
        await self.parts.events.drain(DRAIN_EVENTS)


async def _end(tasks: Iterable[asyncio.Task[Any]], within: float = 2.0) -> None:
    """Cancel tasks and wait until they have ended, at most ``within`` [s]: one that will not end must not keep us."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=within)
