"""Are the watches telling the truth? Lists of our own against the ledger.

Owns two questions. Every 30 seconds a small list of our pending pods: one that stays unseen means a watch that is
dead while the process looks healthy (kopf#957, kopf#1276); then the watches are started again, and when that does not
help liveness fails. And, at the start, after a watch was broken and every five minutes, the names of all pods and
nodes: what vanished during a gap no watch will ever tell. Assumes that a uid that is gone never comes back. Trouble
of the API server is not ours: a list that fails is tried again later and fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ..errors import KubeError, NotFound
from ..kube.client import KubeClient
from ..ledger import Ledger
from ..telemetry import Telemetry
from .feed import Feed
from .scheduling import Scheduler

logger = logging.getLogger(__name__)

PENDING_EVERY = 30.0  # [s]
UNSEEN_RESTART = 25.0  # [s] unseen this long: the watches are started again
UNSEEN_DEAD = 60.0  # [s] unseen this long: liveness fails
NAMES_EVERY = 300.0  # [s]
SETTLE = 2.0  # [s] after a watch came back before the names are compared
PATIENCE = 30.0  # [s] for the watches to show what a list did

Name = tuple[str, str, str]
"""(pods or nodes, namespace, name)"""


class Audit:
    """See the module. ``changed`` is called when the first lists are in; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        ledger: Ledger,
        client: KubeClient,
        feed: Feed,
        scheduler: Scheduler,
        telemetry: Telemetry,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._client, self._feed, self._scheduler = ledger, client, feed, scheduler
        self._telemetry, self._changed, self._clock = telemetry, changed, clock
        self._unseen: dict[str, float] = {}
        self._missing: dict[str, Name] = {}
        self.complete = asyncio.Event()
        """Set when the ledger holds everything that a list of names showed: the first lists are in."""

    @property
    def oldest_unseen(self) -> float:
        """[s] for how long one of our pending pods has been listed without a watch showing it; 0: none."""
        return max((self._clock() - since for since in self._unseen.values()), default=0.0)

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
            self.note_pending([pod["metadata"]["uid"] for pod in pending])
            if self.oldest_unseen < UNSEEN_RESTART:
                restarted = False
            elif not restarted:
                restarted = True
                logger.error(
                    "pods are listed that no watch shows",
                    extra={"pods": len(self._unseen), "seconds": self.oldest_unseen},
                )
                self._feed.restart()

    def note_pending(self, uids: list[str]) -> None:
        """These are pending by the list; remember since when those are unseen that the ledger does not know."""
        now = self._clock()
        self._unseen = {uid: self._unseen.get(uid, now) for uid in uids if self._ledger.pod(uid) is None}

    # -- names

    async def compare_names(self) -> None:
        """Compare the names of all pods and nodes with the ledger until cancelled."""
        await self._feed.listed.wait()
        while True:
            try:
                await self._compare()
            except KubeError as error:
                logger.debug("names not listed", extra={"error": str(error)})
                await asyncio.sleep(1.0)
                continue
            if not await self._all_seen():
                continue
            if not self.complete.is_set():
                self.complete.set()
                self._changed()
            await self._until_due()

    async def _all_seen(self) -> bool:
        """Wait a moment for what was listed and not seen yet: a watch may be a little behind."""
        until = self._clock() + PATIENCE
        while True:
            # seen once is enough: some end again while the others are waited for
            self._missing = {uid: name for uid, name in self._missing.items() if not self._seen(uid, name)}
            if not self._missing or self._clock() >= until:
                return not self._missing
            await asyncio.sleep(0.1)

    def _seen(self, uid: str, name: Name) -> bool:
        kind, _, node = name
        return self._ledger.pod(uid) is not None if kind == "pods" else self._ledger.node(node) is not None

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(NAMES_EVERY):
                await self._feed.relisted.wait()
        except TimeoutError:
            return
        self._feed.relisted.clear()
        await asyncio.sleep(SETTLE)

    async def _compare(self) -> None:
        nodes = {node.uid: node.name for node in self._ledger.nodes()}
        listed = (await self._client.list_metadata("nodes")).objects
        for uid in nodes.keys() - listed.keys():
            node = self._ledger.node(nodes[uid])
            if node is not None and node.uid == uid:
                self._telemetry.audit_repaired("nodes", "vanished")
                self._scheduler.node_changed(self._ledger.drop_node(node.name))
        missing: dict[str, Name] = {
            uid: ("nodes", *name) for uid, name in listed.items() if self._ledger.node(name[1]) is None
        }

        pods = {pod.uid for pod, _ in self._ledger.pods()}
        listed = (await self._client.list_metadata("pods")).objects
        for uid in pods - listed.keys():
            self._vanished(uid)
        missing |= {uid: ("pods", *name) for uid, name in listed.items() if self._ledger.pod(uid) is None}
        twice = {uid: name for uid, name in missing.items() if uid in self._missing}
        self._missing = missing
        await self._read(twice)

    def _vanished(self, uid: str) -> None:
        before = self._ledger.pod(uid)
        change = self._ledger.drop(uid)
        if change:
            self._telemetry.audit_repaired("pods", "vanished")
            self._scheduler.pod_changed(uid, change, before)

    async def _read(self, lost: dict[str, Name]) -> None:
        """Read what two lists showed and no watch did."""
        for uid, (kind, namespace, name) in lost.items():
            if kind == "nodes":
                await self._read_node(name)
            elif (raw := await self._client.get_pod(namespace, name)) is not None:
                self._feed.pod(None, raw)
                self._telemetry.audit_repaired("pods", "missing")
            self._missing.pop(uid, None)

    async def _read_node(self, name: str) -> None:
        try:
            self._feed.node(None, await self._client.get_node(name))
        except NotFound:
            return
        self._telemetry.audit_repaired("nodes", "missing")
