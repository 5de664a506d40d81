"""Are the watches telling the truth? Lists of our own against the ledger.

Owns two questions. Every 30 seconds a small list of our pending pods: one that stays unseen means a watch that is
dead while the process looks healthy (kopf#957, kopf#1276); then the watches are started again, and when that does not
help liveness fails. And, at the start, after a watch was broken and every five minutes, the names of all pods, nodes
and other objects that are fed: what vanished during a gap no watch will ever tell. Assumes that a uid that is gone
never comes back. Trouble of the API server is not ours: a list that fails is tried again later and fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from peaks_scheduler.daemon.scheduler.loop import Scheduler
from peaks_scheduler.errors import Forbidden, KubeError, MalformedResponse, NotFound
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.observability.telemetry import Telemetry

from .feed import NODES, Feed
from .kinds import KindKeeper

logger = logging.getLogger(__name__)

PENDING_EVERY = 30.0  # [s]
UNSEEN_RESTART = 25.0  # [s] unseen this long: the watches are started again
UNSEEN_DEAD = 60.0  # [s] unseen this long: liveness fails
NAMES_EVERY = 300.0  # [s]
UNSEEN_READ = 10.0  # [s] unseen this long: it is read
MOST_READ = 50  # pods read at one look
SETTLE = 2.0  # [s] after a watch came back before the names are compared
PATIENCE = 30.0  # [s] for the watches to show what a list did

Name = tuple[Kind | str, str, str]
"""(pods, nodes or another kind, namespace, name); of another kind the name is all of its key"""


class Audit:
    """See the module. ``changed`` is called when the first lists are in; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        ledger: Ledger,
        client: KubeClient,
        feed: Feed,
        scheduler: Scheduler,
        telemetry: Telemetry,
        kinds: KindKeeper,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        unseen: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._ledger, self._client, self._feed, self._scheduler = ledger, client, feed, scheduler
        self._kinds = kinds
        self._telemetry, self._changed, self._clock = telemetry, changed, clock
        self._tell_unseen = unseen
        self._unseen: dict[str, float] = {}
        self._unclear: set[str] = set()  # uids of pods that nobody can make sense of: no watch is to blame
        self._odd: set[str] = set()  # nodes and other objects likewise: what is missing of them never comes
        self._missing: dict[str, Name] = {}
        self.complete = asyncio.Event()
        """Set when the ledger holds everything that a list of names showed: the first lists are in."""

    @property
    def oldest_unseen(self) -> float:
        """[s] for how long one of our pending pods has been listed without a watch showing it; 0: none."""
        # a list of them first: the probes ask from another thread
        return max((self._clock() - since for since in list(self._unseen.values())), default=0.0)

    # -- pending pods

    async def watch_pending(self) -> None:
        """Look at our pending pods until cancelled."""
        restarted = False
        while True:
            await asyncio.sleep(PENDING_EVERY if not self._unseen else PENDING_EVERY / 3)
            try:
                pending = await self._client.list_pending()
            except KubeError as error:
                logger.debug("pending pods not listed", extra={"error": str(error)})
                self._unseen.clear()  # the API server's trouble, not a dead watch
                continue
            self.note_pending(pending.objects)
            try:
                await self._read_unseen(pending.objects)
            except KubeError as error:
                logger.debug("unseen pods not read", extra={"error": str(error)})
            if self.oldest_unseen < UNSEEN_RESTART:
                restarted = False
            elif not restarted:
                restarted = True
                logger.error(
                    "pods are listed that no watch shows",
                    extra={"pods": len(self._unseen), "seconds": self.oldest_unseen},
                )
                self._feed.restart()

    def note_pending(self, uids: Iterable[str]) -> None:
        """These are pending by the list; remember since when those are unseen that no watch has shown. One that was
        read here and has been bound since counts until a watch shows it: else a dead watch would stay unnoticed."""
        now, unheard = self._clock(), self._feed.unheard
        unheard &= {uid for uid in unheard if self._ledger.pod(uid) is not None}
        unseen = [uid for uid in uids if self._ledger.pod(uid) is None and uid not in self._unclear]
        self._unseen = {uid: self._unseen.get(uid, now) for uid in (*unseen, *unheard)}

    async def _read_unseen(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Read pods that wait unseen for a while: they need not wait until the watches are mended."""
        now = self._clock()
        late = [uid for uid, since in self._unseen.items() if now - since >= UNSEEN_READ and uid in names]
        for uid in [uid for uid in late if self._ledger.pod(uid) is None][:MOST_READ]:
            namespace, name = names[uid]
            await self._read_pod(uid, namespace, name)
            if self._ledger.pod(uid) is not None:
                self._feed.unheard.add(uid)
                self._tell_unseen(f"{namespace}/{name}", now - self._unseen[uid])

    # -- names

    async def compare_names(self) -> None:
        """Compare the names of all that is fed with the ledger until cancelled."""
        await self._feed.listed.wait()
        while True:
            try:
                kinds = await self._compare()
            except KubeError as error:
                logger.debug("names not listed", extra={"error": str(error)})
                await asyncio.sleep(1.0)
                continue
            if not await self._all_seen():
                continue
            self._kinds.completed(kinds)
            if not self.complete.is_set():
                self.complete.set()
                self._changed()
            await self._until_due()

    async def _all_seen(self) -> bool:
        """Wait a moment for what was listed and not seen yet: a watch may be a little behind."""
        until = self._clock() + PATIENCE
        while True:
            # seen once is enough: some end again while the others are waited for
            self._missing = self._unseen_of(self._missing)
            if not self._missing or self._clock() >= until:
                return not self._missing
            await asyncio.sleep(0.1)

    def _unseen_of(self, missing: dict[str, Name]) -> dict[str, Name]:
        known = {
            kind: self._known(kind) for kind in {kind for kind, _, _ in missing.values()} if isinstance(kind, Kind)
        }

        def seen(uid: str, kind: Kind | str, name: str) -> bool:
            if isinstance(kind, Kind):
                return name in known[kind]
            if kind == "pods":
                return self._ledger.pod(uid) is not None or uid in self._unclear
            return self._ledger.node(name) is not None

        return {uid: each for uid, each in missing.items() if not seen(uid, each[0], each[2])}

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(NAMES_EVERY):
                await self._feed.relisted.wait()
        except TimeoutError:
            return
        self._feed.relisted.clear()
        await asyncio.sleep(SETTLE)

    async def _compare(self) -> list[Kind]:
        """Drop what vanished and note what is missing; the kinds, beside pods and nodes, that were compared."""
        missing = await self._compare_nodes() | await self._compare_pods()
        compared = []
        for kind in self._kinds.fed:
            try:
                missing |= await self._compare_kind(kind)
                compared.append(kind)
            except (Forbidden, NotFound):
                self._kinds.doubt()
        self._odd &= missing.keys()
        missing = {uid: name for uid, name in missing.items() if uid not in self._odd}
        twice = {uid: name for uid, name in missing.items() if uid in self._missing}
        self._missing = missing
        await self._read(twice)
        return compared

    async def _compare_nodes(self) -> dict[str, Name]:
        nodes = {node.uid: node.name for node in self._ledger.nodes()}
        listing = await self._client.list_metadata("nodes")
        listed, version = listing.objects, listing.resource_version
        for uid in nodes.keys() - listed.keys():
            node = self._ledger.node(nodes[uid])
            if node is not None and node.uid == uid:
                self._telemetry.audit_repaired("nodes", "vanished")
                self._ledger.departed.passes(NODES, node.name, uid, version, gone=True)
                self._scheduler.node_changed(self._ledger.drop_node(node.name))
        return {uid: ("nodes", *name) for uid, name in listed.items() if self._ledger.node(name[1]) is None}

    async def _compare_pods(self) -> dict[str, Name]:
        pods = {pod.uid for pod, _ in self._ledger.pods()}
        listing = await self._client.list_metadata("pods")
        listed = listing.objects
        for uid in pods - listed.keys():
            self._vanished(uid, listing.resource_version)
        self._unclear &= listed.keys()
        missing = (uid for uid in listed if self._ledger.pod(uid) is None and uid not in self._unclear)
        return {uid: ("pods", *listed[uid]) for uid in missing}

    async def _compare_kind(self, kind: Kind) -> dict[str, Name]:
        before, holders = self._known(kind), self._ledger.departed.holders(kind.plural)
        listed = await self._client.list_keys(kind.path)
        now = self._ledger.departed.holders(kind.plural)
        for key in (key for key in before - listed if holders.get(key) == now.get(key)):
            self._telemetry.audit_repaired(kind.plural, "vanished")
            self._feed.other(kind, "DELETED", named(kind, key))
        return {f"{kind.plural} {key}": (kind, "", key) for key in listed - self._known(kind)}

    def _known(self, kind: Kind) -> frozenset[str]:
        return self._ledger.namespaces() if kind.kind == "Namespace" else self._ledger.storage.keys(kind.kind)

    def _vanished(self, uid: str, version: str) -> None:
        self._ledger.departed.add(uid, version)  # a watch may still hand on what it was
        before = self._ledger.pod(uid)
        change = self._ledger.drop(uid)
        if change:
            self._telemetry.audit_repaired("pods", "vanished")
            self._scheduler.pod_changed(uid, change, before)

    async def _read(self, lost: dict[str, Name]) -> None:
        """Read what two lists showed and no watch did."""
        for other in {kind for kind, _, _ in lost.values() if isinstance(kind, Kind)}:
            await self._read_kind(other, {name for kind, _, name in lost.values() if kind == other})
        for uid, (kind, namespace, name) in lost.items():
            if isinstance(kind, Kind):
                pass
            elif kind == "nodes":
                await self._read_node(uid, name)
            else:
                await self._read_pod(uid, namespace, name)
            self._missing.pop(uid, None)

    async def _read_pod(self, uid: str, namespace: str, name: str) -> None:
        doubtful = uid in self._ledger.departed  # before we ask: it may go while the answer is on its way
        try:
            raw = await self._client.get_pod(namespace, name)
        except MalformedResponse:
            self._unclear.add(uid)
            return
        if raw is None:
            return
        self._trust(raw, uid if doubtful else "")
        if not isinstance(raw["metadata"].get("uid"), str) or not self._feed.pod(None, raw):
            self._unclear.add(uid)
        else:
            self._telemetry.audit_repaired("pods", "missing")

    def _trust(self, raw: Json, doubtful: str) -> None:
        """Read after it was taken for gone, the object of this uid is there after all."""
        if raw["metadata"].get("uid") == doubtful:
            self._ledger.departed.discard(doubtful)

    async def _read_node(self, uid: str, name: str) -> None:
        doubtful = uid in self._ledger.departed
        try:
            raw = await self._client.get_node(name)
        except NotFound:
            return
        except MalformedResponse:
            self._odd.add(uid)
            return
        self._trust(raw, uid if doubtful else "")
        if self._feed.node(None, raw) is False:
            self._odd.add(uid)
        else:
            self._telemetry.audit_repaired("nodes", "missing")

    async def _read_kind(self, kind: Kind, lost: set[str]) -> None:
        """All of them by one list: there is no right to get one."""
        odd = set(lost)  # unless it is found, and understood
        for raw in await self._client.list_objects(kind.path):
            meta = raw["metadata"]
            key = next((key for key in (meta["name"], f"{meta.get('namespace')}/{meta['name']}") if key in lost), None)
            if key is not None and self._feed.other(kind, None, raw) is not False:
                odd.discard(key)
                self._telemetry.audit_repaired(kind.plural, "missing")
        self._odd |= {f"{kind.plural} {key}" for key in odd}


def named(kind: Kind, key: str) -> dict[str, Any]:
    """An object of which only the name is known; ``key``: ``namespace/name``, or the name alone."""
    namespace, _, name = key.rpartition("/")
    return {"kind": kind.kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}
