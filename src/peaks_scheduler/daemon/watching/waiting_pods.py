"""Our waiting pods, as kopf shows them: the controller's part of the feed.

Owns everything that knows kopf: its settings, its handlers, its run. Only ``on.event`` handlers are used: all others
write finalizers and annotations onto the pods. Imported when the first lists are in the ledger: importing kopf takes a
tenth of a second, and until then it has nothing to tell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from peaks_scheduler.kube.client import UNFINISHED_PODS
from peaks_scheduler.kube.http.connection import Connection, as_kopf_login
from peaks_scheduler.kube.paging import SMALLER
from peaks_scheduler.kube.reflector import Event

from .kopf_log import EndTogether

logger = logging.getLogger(__name__)

IDENTITY: Any = "peaks-scheduler"
"""Our name for kopf. Without one kopf asks the machine for the user's name, which a container's user often lacks, and
a name server for the host's. It has no effect: there are no peers."""


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


class WaitingPods:
    """See the module.

    Args:
        ours: the scheduler name of our pods.
        take: called with each event and the pod that it is about.
        on_start: called when kopf has started, and has replaced the signal handlers by its own.
    """

    def __init__(
        self,
        connection: Connection,
        ours: str,
        take: Callable[[Event | None, dict[str, Any]], None],
        on_start: Callable[[], None],
    ) -> None:
        self._connection, self._take, self._on_start = connection, take, on_start
        self._settings = settings_of(ours)

    def ask_for_less(self) -> None:
        """A list was too large: ask for smaller pages from now on."""
        size = self._settings.watching.chunk_size or 1
        if size > 1:
            self._settings.watching.chunk_size = max(1, size // SMALLER)
            logger.warning("lists in smaller pages", extra={"objects": self._settings.watching.chunk_size})

    async def run(self, end: asyncio.Event) -> None:
        """Run kopf until ``end``, or until it fails."""
        with EndTogether().listening():
            await kopf.operator(
                registry=self._registry(),
                settings=self._settings,
                memories=NoMemories(),
                identity=IDENTITY,
                standalone=True,
                clusterwide=True,
                stop_flag=end,
            )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> Any:
            asyncio.get_running_loop().call_soon(self._on_start)  # after kopf has set its signal handlers
            return as_kopf_login(self._connection)

        # The pods are taken in the handler's filter. kopf calls it for every event, in the same order, before it
        # creates the handler's task and logger: 0.25 ms instead of 0.36 ms an event. The handler never runs.
        def take_pod(event: Any, **_: Any) -> bool:
            self._take(event["type"], event["object"])
            return False

        @kopf.on.event("", "v1", "pods", registry=registry, when=take_pod)
        async def on_pod(**_: Any) -> None: ...

        return registry


def settings_of(ours: str) -> kopf.OperatorSettings:
    """kopf's settings for the pods of this scheduler."""
    settings = kopf.OperatorSettings()
    settings.watching.field_selectors["pods"] = f"spec.schedulerName={ours},spec.nodeName=,{UNFINISHED_PODS}"
    settings.watching.chunk_size = 500  # in pages: no peak of memory at the first list
    settings.watching.reconnect_backoff = 0.1
    settings.scanning.disabled = True  # otherwise it lists CRDs and namespaces
    settings.posting.enabled = False
    settings.networking.error_backoffs = Endless()  # a watch is retried for ever
    settings.persistence.diffbase_storage = NoStorage()
    settings.persistence.progress_storage = NoStorage()
    settings.queueing.idle_timeout = 0.1  # an object's worker, queue and timer take 10 kB, and mostly see one event
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None
    return settings
