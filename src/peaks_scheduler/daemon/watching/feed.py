"""The feed: kopf's watches of pods, nodes and other kinds, written into the ledger.

Owns the kopf operator: its settings, its handlers (three lines each, O(1)), and its restart after a failure. The kinds
to be watched beside pods and nodes are asked for at every start (``kube.kinds`` has the table, ``kinds`` knows which of
them can be read): kopf would retry a forbidden kind every two seconds, and end at a kind that does not exist. Only
``on.event`` handlers are used: all others write finalizers and annotations onto the pods. kopf keeps watches alive
through lost connections and 410 Gone; objects that vanished meanwhile are found by the audit. kopf keeps the order of
one object's events, but not between objects, and may deliver events late: out-of-date ones are dropped
(``tombstones``). Assumes one event loop.

When kopf ends it cancels every task that is younger than itself: the daemon's own tasks must exist before ``run`` is
called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.kube.client import UNFINISHED_PODS
from peaks_scheduler.kube.connection import Connection, as_kopf_login
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.kopf_responses import Malformed
from peaks_scheduler.kube.paging import SMALLER
from peaks_scheduler.kube.schemas.validation import check_schema
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry, WatchTrouble

from .kopf_log import EndTogether
from .passed_over import PassedOver

logger = logging.getLogger(__name__)

IDENTITY: Any = "peaks-scheduler"
"""Our name for kopf. Without one kopf asks the machine for the user's name, which a container's user often lacks, and
a name server for the host's. It has no effect: there are no peers."""

RESTART_PAUSE = 1.0  # [s] before kopf runs again after it failed

PodObserver = Callable[[str, Change, Pod | None], None]
NodeObserver = Callable[[Change], None]
KindObserver = Callable[[Kind, dict[str, Any]], None]

PODS, NODES = "pods", "nodes"


async def no_more_kinds() -> Sequence[Kind]:
    """No kinds beside pods and nodes."""
    return ()


def _nobody(*_: object) -> None:
    pass


class NoStorage(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Stores and compares nothing: with ``on.event`` alone kopf needs neither, and they cost most of its time."""

    def fetch(self, **_: Any) -> None:
        return None

    def build(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence

    def flush(self) -> None:
        return None


class NoMemories(ResourceMemories):
    """Remembers no objects: kopf needs a record of each only for other handlers than ours, and keeps it for ever if it
    misses the object's deletion."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class Endless:
    """Pauses between the tries of a watch [s]: short ones, then two seconds without end."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0)
        while True:
            yield 2.0


class Feed:
    """See the module.

    Args:
        pod_changed, node_changed, kind_changed: called after the ledger observed an object (of another kind).
        kinds: asked at every start what to watch beside pods and nodes.
        on_start: called when kopf has started, and has replaced the signal handlers by its own.
    """

    def __init__(
        self,
        ledger: Ledger,
        connection: Connection,
        telemetry: Telemetry,
        wall: Callable[[], float],
        pod_changed: PodObserver,
        node_changed: NodeObserver,
        kind_changed: KindObserver = _nobody,
        kinds: Callable[[], Awaitable[Sequence[Kind]]] = no_more_kinds,
        on_start: Callable[[], None] = _nobody,
    ) -> None:
        self._ledger, self._connection, self._telemetry, self._wall = ledger, connection, telemetry, wall
        self._pod_changed, self._node_changed, self._kind_changed = pod_changed, node_changed, kind_changed
        self._kinds, self._on_start = kinds, on_start
        self._passed_over = PassedOver(telemetry)
        self._settings = _settings()
        self._renew = asyncio.Event()
        self._wanted = {PODS, NODES}
        self._watching: set[str] = set()
        self.unheard: set[str] = set()
        """uids of pods that the audit read and no watch has shown yet."""
        self.listed = asyncio.Event()
        """Set when all kinds are watched: kopf has read its first lists, but may not have delivered all of them."""
        self.relisted = asyncio.Event()
        """Set after a new list: objects may have vanished before it."""

    # -- into the ledger

    def pod(self, kind: str | None, raw: dict[str, Any]) -> bool:
        """Observe a pod from a watch or list; ``kind`` None: from a list. False: it cannot be parsed."""
        ledger = self._ledger
        ledger.now = self._wall()
        uid, version, gone = raw["metadata"]["uid"], raw["metadata"].get("resourceVersion") or "", kind == "DELETED"
        self.unheard.discard(uid)
        if gone:
            ledger.tombstones.add(uid, version)
        elif ledger.tombstones.is_late(uid, version):
            return True
        before = ledger.pod(uid)
        try:
            check_schema(PODS, raw)
            change = ledger.observe_pod(raw, gone=gone)
        except PeaksError as error:
            self._passed_over.note(PODS, "object", str(error), "pod not understood")
            return False
        except Exception as error:  # an unforeseen error must cost only this pod
            text = f"pod {raw['metadata'].get('namespace')}/{raw['metadata'].get('name')}: {error!r}"
            logger.exception("pod not understood", extra={"error": text})
            return False
        if change:
            self._pod_changed(uid, change, before)
        return True

    def node(self, kind: str | None, raw: dict[str, Any]) -> bool:
        """Observe a node likewise."""
        if not self._passes(NODES, kind, raw):
            return True
        try:
            check_schema(NODES, raw)
            change = self._ledger.observe_node(raw, gone=kind == "DELETED")
        except Exception as error:  # likewise only this node
            self._not_understood(NODES, "node not understood", error)
            return False
        if change:
            self._node_changed(change)
        return True

    def other(self, kind: Kind, event: str | None, raw: dict[str, Any]) -> bool:
        """Observe an object of another kind likewise."""
        if not self._passes(kind.plural, event, raw):
            return True
        observe = self._ledger.observe_namespace if kind.kind == "Namespace" else self._ledger.observe_storage
        try:
            if event != "DELETED":  # of a vanished object the audit knows the name alone
                check_schema(kind.plural, raw)
            changed = observe(raw, gone=event == "DELETED")
        except Exception as error:
            self._not_understood(kind.plural, "object not understood", error)
            return False
        if changed:
            self._kind_changed(kind, raw)
        return True

    def _not_understood(self, plural: str, message: str, error: Exception) -> None:
        why = str(error) if isinstance(error, PeaksError) else repr(error)
        self._passed_over.note(plural, "object", why, message)

    def _passes(self, plural: str, event: str | None, raw: dict[str, Any]) -> bool:
        meta = raw["metadata"]
        key = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
        uid, version = meta.get("uid") or "", meta.get("resourceVersion") or ""
        return self._ledger.tombstones.passes(plural, key, uid, version, gone=event == "DELETED")

    def asked(self, resource: str, *, watch: bool) -> None:
        """Count a list or watch that kopf asked for."""
        self._telemetry.watch_requested(resource, "watch" if watch else "list")
        if watch:
            self._watching.add(resource)
            if self._watching >= self._wanted:
                self.listed.set()

    def odd(self, path: str, what: Malformed, why: str) -> None:
        """Count something that was left out before kopf saw it; after a list that was too large, ask for smaller
        pages."""
        self._passed_over.note(path, what, why)
        size = self._settings.watching.chunk_size or 1
        if what == "too-large" and size > 1:
            self._settings.watching.chunk_size = max(1, size // SMALLER)
            logger.warning("lists in smaller pages", extra={"objects": self._settings.watching.chunk_size})

    # -- kopf

    async def run(self, stop: asyncio.Event) -> None:
        """Keep kopf running until ``stop``."""
        while not stop.is_set():
            self._renew.clear()
            try:
                await self._operate(stop)
            except Exception:
                self._telemetry.watch_restarted("all", "error")
                logger.exception("watching failed, starting again")
            if not stop.is_set():
                self.relisted.set()
                await asyncio.sleep(RESTART_PAUSE)

    def restart(self, reason: WatchTrouble = "inactive") -> None:
        """List and watch anew: the watches look dead, or the kinds to be watched have changed."""
        self._telemetry.watch_restarted("all", reason)
        self._renew.set()

    async def _operate(self, stop: asyncio.Event) -> None:
        kinds = await self._kinds()
        self._wanted = {PODS, NODES, *(kind.plural for kind in kinds)}
        end = asyncio.Event()
        ends = [asyncio.create_task(_when(event, end)) for event in (stop, self._renew)]
        try:
            with EndTogether().listening():
                await kopf.operator(
                    registry=self._registry(kinds),
                    settings=self._settings,
                    memories=NoMemories(),
                    identity=IDENTITY,
                    standalone=True,
                    clusterwide=True,
                    stop_flag=end,
                )
            if not self._renew.is_set():
                stop.set()  # a signal that kopf got before our handlers were in place
        finally:
            for task in ends:
                task.cancel()

    def _registry(self, kinds: Sequence[Kind] = ()) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> Any:
            asyncio.get_running_loop().call_soon(self._on_start)  # after kopf has set its signal handlers
            return as_kopf_login(self._connection)

        # The ledger is fed in the handlers' filters. kopf calls them for every event, in the same order, before it
        # creates the handler's task and logger: 0.25 ms instead of 0.36 ms an event. The handlers never run.
        def take_pod(event: Any, **_: Any) -> bool:
            self.pod(event["type"], event["object"])
            return False

        def take_node(event: Any, **_: Any) -> bool:
            self.node(event["type"], event["object"])
            return False

        @kopf.on.event("", "v1", "pods", registry=registry, when=take_pod)
        async def on_pod(**_: Any) -> None: ...

        @kopf.on.event("", "v1", "nodes", registry=registry, when=take_node)
        async def on_node(**_: Any) -> None: ...

        for kind in kinds:
            self._register(kind, registry)
        return registry

    def _register(self, kind: Kind, registry: kopf.OperatorRegistry) -> None:
        def take(event: Any, **_: Any) -> bool:
            self.other(kind, event["type"], event["object"])
            return False

        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural, when=take)
        async def on_other(**_: Any) -> None: ...


async def _when(event: asyncio.Event, end: asyncio.Event) -> None:
    await event.wait()
    end.set()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.watching.field_selectors["pods"] = UNFINISHED_PODS
    settings.watching.chunk_size = 500  # in pages: no peak of memory at the first list
    settings.watching.reconnect_backoff = 0.1
    settings.scanning.disabled = True  # otherwise it lists CRDs and namespaces
    settings.posting.enabled = False
    settings.networking.error_backoffs = Endless()  # a watch is retried for ever
    settings.persistence.diffbase_storage = NoStorage()
    settings.persistence.progress_storage = NoStorage()
    settings.queueing.idle_timeout = 1.0  # an object's worker, queue and timer take 10 kB
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None
    return settings
