"""What watches and lists show, written into the ledger.

Owns the checks before an object reaches the ledger: its types, and whether it is out of date (``tombstones``). An
object that cannot be understood is passed over, counted and logged; it costs no other object. Tells the scheduler what
changed. Assumes one event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.schemas.validation import check_schema
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry

from .passed_over import PassedOver

logger = logging.getLogger(__name__)

PodObserver = Callable[[str, Change, Pod | None], None]
NodeObserver = Callable[[Change], None]
KindObserver = Callable[[Kind, dict[str, Any]], None]

PODS, NODES = "pods", "nodes"


def nobody(*_: object) -> None:
    """Ignore it."""


class Observer:
    """See the module.

    Args:
        wall: [s] since the epoch.
        pod_changed, node_changed, kind_changed: called after the ledger observed an object (of another kind).
    """

    def __init__(
        self,
        ledger: Ledger,
        telemetry: Telemetry,
        wall: Callable[[], float],
        pod_changed: PodObserver,
        node_changed: NodeObserver,
        kind_changed: KindObserver = nobody,
    ) -> None:
        self.ledger, self._wall = ledger, wall
        self._pod_changed, self._node_changed, self._kind_changed = pod_changed, node_changed, kind_changed
        self.passed_over = PassedOver(telemetry)
        self.unheard: set[str] = set()
        """uids of pods that the audit read and no watch has shown yet."""

    def pod(self, kind: str | None, raw: dict[str, Any], *, checked: bool = False) -> bool:
        """Observe a pod from a watch or list; ``kind`` None: from a list. False: it cannot be parsed.

        ``checked``: the types of its fields were checked.
        """
        ledger = self.ledger
        ledger.now = self._wall()
        uid, version, gone = raw["metadata"]["uid"], raw["metadata"].get("resourceVersion") or "", kind == "DELETED"
        self.unheard.discard(uid)
        if gone:
            ledger.tombstones.add(uid, version)
        elif ledger.tombstones.is_late(uid, version):
            return True
        before = ledger.pod(uid)
        try:
            if not checked:
                check_schema(PODS, raw)
            change = ledger.observe_pod(raw, gone=gone)
        except PeaksError as error:
            self.passed_over.note(PODS, "object", str(error), "pod not understood")
            return False
        except Exception as error:  # an unforeseen error must cost only this pod
            text = f"pod {raw['metadata'].get('namespace')}/{raw['metadata'].get('name')}: {error!r}"
            logger.exception("pod not understood", extra={"error": text})
            return False
        if change:
            self._pod_changed(uid, change, before)
        return True

    def node(self, kind: str | None, raw: dict[str, Any], *, checked: bool = False) -> bool:
        """Observe a node likewise."""
        if not self._passes(NODES, kind, raw):
            return True
        try:
            if kind == "DELETED":
                change = self.ledger.drop_node(raw["metadata"]["name"])  # whatever it was
            else:
                if not checked:
                    check_schema(NODES, raw)
                change = self.ledger.observe_node(raw)
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
        gone = event == "DELETED"
        try:
            if not gone:  # of a vanished object the audit knows the name alone
                check_schema(kind.plural, raw)
            if kind.kind == "Namespace":
                changed = self.ledger.observe_namespace(raw, gone=gone)
            else:
                changed = self.ledger.observe_storage(raw, kind.kind, gone=gone)
        except Exception as error:
            self._not_understood(kind.plural, "object not understood", error)
            return False
        if changed:
            self._kind_changed(kind, raw)
        return True

    def _not_understood(self, plural: str, message: str, error: Exception) -> None:
        why = str(error) if isinstance(error, PeaksError) else repr(error)
        self.passed_over.note(plural, "object", why, message)

    def _passes(self, plural: str, event: str | None, raw: dict[str, Any]) -> bool:
        meta = raw["metadata"]
        key = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
        uid, version = meta.get("uid") or "", meta.get("resourceVersion") or ""
        return self.ledger.tombstones.passes(plural, key, uid, version, gone=event == "DELETED")

    # -- what a list no longer has

    def pod_vanished(self, uid: str, version: str) -> bool:
        """A list of this version of the cluster has no such pod. True: the ledger had it."""
        self.ledger.tombstones.add(uid, version)  # an older event of it may come late
        before = self.ledger.pod(uid)
        change = self.ledger.drop(uid)
        if change:
            self._pod_changed(uid, change, before)
        return bool(change)

    def node_vanished(self, uid: str, name: str, version: str) -> bool:
        """Likewise of a node; one that was made anew under the name stays."""
        node = self.ledger.node(name)
        if node is None or node.uid != uid:
            return False
        self.ledger.tombstones.passes(NODES, name, uid, version, gone=True)
        self._node_changed(self.ledger.drop_node(name))
        return True

    def other_vanished(self, kind: Kind, key: str) -> None:
        """Likewise of another kind; ``key``: ``namespace/name``, or the name alone."""
        namespace, _, name = key.rpartition("/")
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.other(kind, "DELETED", {"metadata": meta})
