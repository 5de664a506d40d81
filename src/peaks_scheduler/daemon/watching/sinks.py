"""What the reflectors tell goes to the observer: one sink for each kind of objects.

Owns which objects vanished: those in the ledger that a whole list does not have. What a list has exists, whatever was
believed before: a list is read after all that was told before it. Nodes, and pods on nodes, are read in their typed
form (``kube.schemas``), which has only the fields that scheduling reads: most of a node's JSON is a list of images. An
update of a pod that changes none of them ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.decoding import DECODING_ERRORS
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.reflector import Event, Head
from peaks_scheduler.kube.schemas.placed_pods import node_fields, placed_pod
from peaks_scheduler.observability.telemetry import Telemetry

from .ahead import PodsAhead, number
from .observer import NODES, PODS, Observer

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Sink:
    """What all sinks share."""

    def __init__(self, observer: Observer, telemetry: Telemetry) -> None:
        self._observer, self._telemetry = observer, telemetry
        self._listing = False

    def begins(self) -> None:
        self._listing = True

    def reached(self, version: str) -> None:
        """Nothing waits for it."""

    def _exists(self, event: Event | None, uid: str) -> None:
        """Forget that the object was believed gone, where a list has it."""
        if self._listing and event != "DELETED":
            self._observer.ledger.tombstones.discard(uid)


class PodSink(_Sink):
    """Pods. ``ours``: the scheduler name whose waiting pods are read whole."""

    def __init__(self, observer: Observer, telemetry: Telemetry, ours: str) -> None:
        super().__init__(observer, telemetry)
        self._ours = ours
        self._digests: dict[str, int] = {}  # uid -> hash of what a watch showed last of a pod on a node
        self._ahead = PodsAhead()

    def begins(self) -> None:
        super().begins()
        self._ahead.begins()

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        self._exists(event, head.uid)
        self._ahead.heard(head.uid)
        if event == "DELETED":
            self._end(head, raw)
        else:
            self._take(event, head.uid, raw)
        if not self._listing:
            self.reached(head.resource_version)

    def _take(self, event: Event | None, uid: str, raw: msgspec.Raw) -> None:
        digest = 0
        try:
            placed = placed_pod(raw, self._ours)
            if placed is not None and (uid in self._digests or not self._listing):
                digest = placed.digest()
                if self._digests.get(uid) == digest and self._observer.ledger.node_of(uid):
                    self._observer.unheard.discard(uid)
                    return
            fields = _decode(raw) if placed is None else placed.fields()
        except (ObjectError, *DECODING_ERRORS) as error:
            self._observer.passed_over.note(PODS, "object", str(error), "pod not understood")
            return
        self._digests.pop(uid, None)
        fields["metadata"]["uid"] = uid  # the ledger and we keep the same text
        if self._observer.pod(event, fields, checked=placed is not None) and digest:
            self._digests[uid] = digest

    def _end(self, head: Head, raw: msgspec.Raw) -> None:
        self._digests.pop(head.uid, None)
        try:
            understood = self._observer.pod("DELETED", _decode(raw))
        except DECODING_ERRORS:
            understood = False
        if not understood:
            self._observer.pod_vanished(head.uid, head.resource_version)  # whatever it was

    def listed(self, uids: AbstractSet[str], version: str) -> None:
        self._listing = False
        self._ahead.listed(uids, version)
        for uid in [pod.uid for pod, _ in self._observer.ledger.pods() if pod.uid not in uids]:
            if uid not in self._ahead:
                self._vanished(uid, version)
        self._digests = {uid: digest for uid, digest in self._digests.items() if uid in uids}

    def reached(self, version: str) -> None:
        for uid, seen in self._ahead.reached(version):
            self._vanished(uid, seen)

    def _vanished(self, uid: str, version: str) -> None:
        if self._observer.pod_vanished(uid, version):
            self._telemetry.audit_repaired(PODS, "vanished")

    def waits(self, event: Event | None, raw: dict[str, Any]) -> None:
        """kopf shows a waiting pod of ours; never that it waits no more (``kube.kopf_responses``)."""
        uid, version = raw["metadata"]["uid"], number(raw["metadata"].get("resourceVersion"))
        if not self._ahead.is_news(version):
            return
        known = self._observer.ledger.pod(uid) is not None
        self._observer.pod(event, raw)
        if not known and self._observer.ledger.pod(uid) is not None:
            self._ahead.add(uid, version)


class NodeSink(_Sink):
    """Nodes."""

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        self._exists(event, head.uid)
        fields = node_fields(raw)
        try:
            # a field of a wrong type is found again by the check of the whole object, which names node and field
            self._observer.node(event, _decode(raw) if fields is None else fields, checked=fields is not None)
        except DECODING_ERRORS as error:
            self._observer.passed_over.note(NODES, "object", str(error), "node not understood")

    def listed(self, uids: AbstractSet[str], version: str) -> None:
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

    def listed(self, uids: AbstractSet[str], version: str) -> None:
        self._listing = False
        for key, uid in self._observer.ledger.tombstones.holders(self._kind.plural).items():
            if uid not in uids:
                self._observer.other_vanished(self._kind, key)
                self._telemetry.audit_repaired(self._kind.plural, "vanished")
        self._complete(self._kind)
