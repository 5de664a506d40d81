"""The feed: lists and watches of everything that scheduling reads, and kopf as the controller of our waiting pods.

Owns a reflector (``kube.reflector``) for pods, for nodes and for each other kind that can be read, side by side; they
fill the ledger (``sinks``). From the end of the first lists on kopf watches our waiting pods alone (``waiting_pods``).
Both tell the same observer, in any order. A reflector never ends by itself; kopf is started again when it fails.
Assumes one event loop.

When kopf ends it cancels every task that is younger than itself: the daemon's own tasks must exist before ``run`` is
called, and a reflector that was cancelled by it is started again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.kube.client import UNFINISHED_PODS
from peaks_scheduler.kube.http.connection import Connection
from peaks_scheduler.kube.http.kopf_responses import Malformed
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.reflector import Reflector, Sink, Trouble, Watched
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry, WatchTrouble

from .observer import NODES, PODS, Observer, nobody
from .sinks import KindSink, NodeSink, PodSink

if TYPE_CHECKING:  # importing kopf takes a tenth of a second
    from .waiting_pods import WaitingPods

logger = logging.getLogger(__name__)

WAITING_PODS = f"{__package__}.waiting_pods"
RESTART_PAUSE = 1.0  # [s] before kopf runs again after it failed
FAILING, FAILING_AT_START = 60.0, 30.0  # [s] for which a kind cannot be followed before that is said
LOOK_EVERY = 0.5  # [s] between two looks at what is to be watched, and whether it is
_REASONS: Mapping[Trouble, WatchTrouble] = {"gone": "gone", "silent": "inactive", "lost": "error", "refused": "error"}


async def no_more_kinds() -> Sequence[Kind]:
    """No kinds beside pods and nodes."""
    return ()


class Feed(Keeper):
    """See the module.

    Args:
        ours: the scheduler name of our pods.
        kinds: asked at the start, and after ``restart``, what to watch beside pods and nodes.
        completed: called with a kind beside pods and nodes after each whole list of it.
        refused: called when the API server refuses to list or watch such a kind.
        changed: called when the first lists are in the ledger.
        on_start: called when kopf has started, and has replaced the signal handlers by its own.
    """

    def __init__(
        self,
        observer: Observer,
        connection: Connection,
        telemetry: Telemetry,
        ours: str,
        kinds: Callable[[], Awaitable[Sequence[Kind]]] = no_more_kinds,
        completed: Callable[[Kind], None] = nobody,
        changed: Callable[[], None] = nobody,
        refused: Callable[[], None] = nobody,
        on_start: Callable[[], None] = nobody,
    ) -> None:
        self._observer, self._connection, self._telemetry, self._ours = observer, connection, telemetry, ours
        self._kinds, self._kind_completed, self._changed, self._on_start = kinds, completed, changed, on_start
        self._refused = refused
        self._waiting: WaitingPods | None = None
        self._pods = PodSink(observer, telemetry, ours)
        self._reflectors: dict[str, tuple[Reflector, asyncio.Task[None]]] = {}
        self._known = False  # have the kinds been asked for?
        self._told: frozenset[str] = frozenset()  # the kinds of which it was logged that they are not followed
        self._renew, self._ask = asyncio.Event(), asyncio.Event()
        self.complete = asyncio.Event()
        """Set once every object of the first lists is in the ledger."""

    def tasks(self) -> Tasks:
        return {"watches": self.watch(), "watched kinds": self.follow_kinds()}

    def checks(self) -> Sequence[Check]:
        return (Check("watches", self.health),)

    def health(self) -> Health:
        """For ``/readyz?verbose``: which kinds cannot be followed, and why. It never makes us unready."""
        words = "; ".join(f"{name}: {why}" for name, why in self._not_followed().items())
        return Health.degraded(f"not followed: {words}") if words else Health.ok()

    @property
    def listing_for(self) -> float:
        """[s] for which a list of the pods has been read, or tried; 0 while they are being watched."""
        return self._reflectors[PODS][0].listing_for if PODS in self._reflectors else 0.0

    def _not_followed(self) -> dict[str, str]:
        patience = FAILING if self.complete.is_set() else FAILING_AT_START
        return {
            name: f"{reflector.why} (for {reflector.failing_for:.0f} s)"
            for name, (reflector, _) in self._reflectors.items()
            if reflector.failing_for >= patience
        }

    # -- reflectors

    async def watch(self) -> None:
        """Keep a reflector for each kind running until cancelled."""
        self._start(PODS, Watched("/api/v1/pods", {"fieldSelector": UNFINISHED_PODS}), self._pods)
        self._start(NODES, Watched("/api/v1/nodes"), NodeSink(self._observer, self._telemetry))
        try:
            while True:
                self._revive()
                self._tell()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            await self._end(*self._reflectors)

    async def follow_kinds(self) -> None:
        """Keep the reflectors to the kinds that can be read, until cancelled. The answer may take long."""
        while True:
            self._ask.clear()
            wanted = {kind.plural: kind for kind in await self._kinds()}
            await self._end(*(name for name in self._reflectors if name not in (PODS, NODES, *wanted)))
            for name, kind in wanted.items():
                if name not in self._reflectors:
                    sink = KindSink(kind, self._observer, self._telemetry, self._kind_completed)
                    self._start(name, Watched(kind.path), sink)
                elif self._reflectors[name][0].complete.is_set():
                    self._kind_completed(kind)  # it could not be read for a moment: there is no new list
            self._known = True
            self._look_complete()
            await self._ask.wait()

    def _tell(self) -> None:
        """Log which kinds are not followed, when one is new among them, and when there is none any more."""
        names = self._not_followed().keys()
        if names - self._told:
            errors = "; ".join(f"{name}: {self._reflectors[name][0].why}" for name in names)
            logger.warning("kinds not followed", extra={"kinds": ", ".join(names), "error": errors})
        elif self._told and not names:
            logger.info("all kinds are followed again")
        self._told = self._told | names if names else frozenset()

    def _start(self, name: str, watched: Watched, sink: Sink) -> None:
        def troubled(trouble: Trouble, why: str) -> None:
            self._troubled(name, trouble, why)

        def requested(what: str) -> None:
            self._telemetry.watch_requested(name, "watch" if what == "watch" else "list")

        reflector = Reflector(self._connection, watched, sink, troubled, requested, on_complete=self._look_complete)
        self._reflectors[name] = reflector, asyncio.create_task(reflector.run(), name=f"reflector {name}")

    def _revive(self) -> None:
        """Start the reflectors again that ended: kopf, ending, may have cancelled them."""
        for name, (reflector, task) in list(self._reflectors.items()):
            if task.done():
                error = None if task.cancelled() else task.exception()
                if error is not None:
                    logger.error("watching failed, starting again", extra={"kind": name}, exc_info=error)
                    self._telemetry.watch_restarted(name, "error")
                again = asyncio.create_task(reflector.run(), name=f"reflector {name}")
                self._reflectors[name] = reflector, again

    async def _end(self, *names: str) -> None:
        tasks = [self._reflectors.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _troubled(self, name: str, trouble: Trouble, why: str) -> None:
        if (reason := _REASONS.get(trouble)) is None:
            self._observer.passed_over.note(name, trouble, why)
            return
        self._telemetry.watch_restarted(name, reason)
        if trouble == "refused" and name not in (PODS, NODES):
            self._refused()
        logger.debug("watch ended", extra={"kind": name, "reason": trouble, "error": why})

    def _look_complete(self) -> None:
        """A list has come whole, or there are fewer kinds."""
        reflectors = [reflector for reflector, _ in self._reflectors.values()]
        whole = bool(reflectors) and all(each.complete.is_set() for each in reflectors)
        if whole and self._known and not self.complete.is_set():
            self.complete.set()
            self._changed()

    def restart(self, reason: WatchTrouble = "inactive") -> None:
        """List anew: the watches look dead, or the kinds to be watched have changed."""
        self._telemetry.watch_restarted("all", reason)
        self._ask.set()
        if reason == "kinds":
            return
        for _, task in self._reflectors.values():
            task.cancel()  # and started again at the next look
        for reflector, _ in self._reflectors.values():
            reflector.renew()
        self._renew.set()

    # -- kopf

    def odd(self, path: str, what: Malformed, why: str) -> None:
        """Count something that was left out before kopf saw it; after a list that was too large, ask for smaller
        pages."""
        self._observer.passed_over.note(path, what, why)
        if what == "too-large" and self._waiting is not None:
            self._waiting.ask_for_less()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep kopf running from the end of the first lists until ``stop``."""
        await _first_of(self.complete, stop)
        while not stop.is_set():
            self._renew.clear()
            try:
                await self._operate(stop)
            except Exception:
                self._telemetry.watch_restarted("all", "error")
                logger.exception("watching failed, starting again")
            if not stop.is_set():
                await asyncio.sleep(RESTART_PAUSE)

    async def _operate(self, stop: asyncio.Event) -> None:
        end = asyncio.Event()
        ends = [asyncio.create_task(_when(event, end)) for event in (stop, self._renew)]
        try:
            await (await self._waiting_pods()).run(end)
            if not self._renew.is_set():
                stop.set()  # a signal that kopf got before our handlers were in place
        finally:
            for task in ends:
                task.cancel()

    async def _waiting_pods(self) -> WaitingPods:
        if self._waiting is None:
            if WAITING_PODS not in sys.modules:
                await asyncio.to_thread(import_module, WAITING_PODS)  # the first decisions are made meanwhile
            from .waiting_pods import WaitingPods

            self._waiting = WaitingPods(self._connection, self._ours, self._pods.waits, self._on_start)
        return self._waiting


async def _when(event: asyncio.Event, end: asyncio.Event) -> None:
    await event.wait()
    end.set()


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
