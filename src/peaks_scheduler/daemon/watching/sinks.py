"""What the reflectors tell goes to the observer: one sink for each kind of objects.

Owns which objects vanished: those in the ledger that a whole list does not have. A pod that kopf has shown since the
list began stays: the list may be older. What a list has exists, whatever was believed before: a list is read after all
that was told before it. Pods on nodes are read in their typed form (``kube.schemas``), which has only
the fields that scheduling reads, and an update that changes none of them ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.decoding import DECODING_ERRORS
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.reflector import Event, Head
from peaks_scheduler.kube.schemas.placed_pods import PlacedPod, placed_pod
from peaks_scheduler.observability.telemetry import Telemetry

from .observer import NODES, PODS, Observer

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Sink:
    """What all sinks share."""

    def __init__(self, observer: Observer, telemetry: Telemetry) -> None:
        self._observer, self._telemetry = observer, telemetry
        self._listing = False

    def begins(self) -> None:
        self._listing = True

    def _exists(self, event: Event | None, uid: str) -> None:
        """Forget that the object was believed gone, where a list has it."""
        if self._listing and event != "DELETED":
            self._observer.ledger.tombstones.discard(uid)


class PodSink(_Sink):
    """Pods. ``ours``: the scheduler name whose waiting pods are read whole."""

    def __init__(self, observer: Observer, telemetry: Telemetry, ours: str) -> None:
        super().__init__(observer, telemetry)
        self._ours = ours
        self._digests: dict[str, int] = {}  # uid -> hash of what was last observed of a pod on a node
        self.shown: set[str] = set()
        """uids of pods that kopf has shown since the last list began."""

    def begins(self) -> None:
        super().begins()
        self.shown.clear()

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        self._exists(event, head.uid)
        try:
            placed = None if event == "DELETED" else placed_pod(raw, self._ours)
        except ObjectError as error:
            self._observer.passed_over.note(PODS, "object", str(error), "pod not understood")
            return
        if placed is None:
            self._digests.pop(head.uid, None)
            self._whole(event, raw)
        elif self._digests.get(head.uid) == placed.digest and self._observer.ledger.node_of(head.uid):
            self._observer.unheard.discard(head.uid)
        else:
            self._take_placed(event, head.uid, placed)

    def _take_placed(self, event: Event | None, uid: str, placed: PlacedPod) -> None:
        if self._observer.pod(event, placed.raw, checked=True):
            self._digests[uid] = placed.digest

    def _whole(self, event: Event | None, raw: msgspec.Raw) -> None:
        try:
            self._observer.pod(event, _decode(raw))
        except DECODING_ERRORS as error:
            self._observer.passed_over.note(PODS, "object", str(error), "pod not understood")

    def listed(self, uids: frozenset[str], version: str) -> None:
        self._listing = False
        known = [pod.uid for pod, _ in self._observer.ledger.pods()]
        for uid in known:
            if uid not in uids and uid not in self.shown and self._observer.pod_vanished(uid, version):
                self._telemetry.audit_repaired(PODS, "vanished")
        self._digests = {uid: digest for uid, digest in self._digests.items() if uid in uids}


class NodeSink(_Sink):
    """Nodes."""

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        self._exists(event, head.uid)
        try:
            self._observer.node(event, _decode(raw))
        except DECODING_ERRORS as error:
            self._observer.passed_over.note(NODES, "object", str(error), "node not understood")

    def listed(self, uids: frozenset[str], version: str) -> None:
        self._listing = False
        gone = [(node.uid, node.name) for node in self._observer.ledger.nodes() if node.uid not in uids]
        for uid, name in gone:
            if self._observer.node_vanished(uid, name, version):
                self._telemetry.audit_repaired(NODES, "vanished")


class KindSink(_Sink):
    """Objects of another kind. ``complete`` is called after every whole list."""

    def __init__(self, kind: Kind, observer: Observer, telemetry: Telemetry, complete: Callable[[Kind], None]) -> None:
        super().__init__(observer, telemetry)
        self._kind, self._complete = kind, complete

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        self._exists(event, head.uid)
        try:
            self._observer.other(self._kind, event, _decode(raw))
        except DECODING_ERRORS as error:
            self._observer.passed_over.note(self._kind.plural, "object", str(error), "object not understood")

    def listed(self, uids: frozenset[str], version: str) -> None:
        self._listing = False
        for key, uid in self._observer.ledger.tombstones.holders(self._kind.plural).items():
            if uid not in uids:
                self._observer.other_vanished(self._kind, key)
                self._telemetry.audit_repaired(self._kind.plural, "vanished")
        self._complete(self._kind)
