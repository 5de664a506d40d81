"""Stores the objects of the embedded API server, their versions, and the history of changes for watches.

Owns the resourceVersion counter and the history of every kind. A write replaces an object and never changes it in
place. So lists, pages and watches share objects without copies, and the JSON of an object is made once. Assumes one
event loop, or none: nothing here awaits, so no lock is needed. Knows nothing of HTTP.
"""

from __future__ import annotations

import datetime
import json
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import api_errors
from .api_resources import Resource

Object = dict[str, Any]
Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped kinds."""


class StoredObject:
    """One version of one object. The object is shared and must not be changed."""

    __slots__ = ("_encoded", "object", "version")

    def __init__(self, obj: Object, version: int) -> None:
        self.object = obj
        self.version = version
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The object as JSON, without ``kind`` and ``apiVersion``, as in a list."""
        if self._encoded is None:
            self._encoded = encode(self.object)
        return self._encoded

    def at(self, version: int) -> StoredObject:
        """The same object with another resourceVersion, as a watch reports a deleted object."""
        metadata = {**self.object["metadata"], "resourceVersion": str(version)}
        return StoredObject({**self.object, "metadata": metadata}, version)


@dataclass(frozen=True, slots=True)
class StoreChange:
    """One write. ``before`` is None if the object was created, ``after`` if it was removed."""

    version: int
    before: StoredObject | None
    after: StoredObject | None

    def event(self, selects: Callable[[Object], bool]) -> tuple[str, StoredObject] | None:
        """The event in a watch of the selected objects: (type, object); None: no event.

        An object that is no longer selected is reported as DELETED, in its last selected state, as in kube-apiserver.
        """
        was = self.before is not None and selects(self.before.object)
        if self.after is not None and selects(self.after.object):
            return ("MODIFIED" if was else "ADDED"), self.after
        if was and self.before is not None:
            return "DELETED", self.before.at(self.version)
        return None


Subscriber = Callable[[StoreChange], None]


class _Kind:
    """Objects and history of one kind."""

    __slots__ = ("changes", "floor", "records", "subscribers")

    def __init__(self) -> None:
        self.records: dict[Key, StoredObject] = {}
        self.changes: list[StoreChange] = []
        self.floor = 0  # changes up to this version are no longer known
        self.subscribers: list[Subscriber] = []


class Store:
    """All objects. ``clock``: [s] since the epoch. ``remember``: number of changes kept for each kind, at least."""

    def __init__(self, clock: Callable[[], float] = time.time, remember: int = 100_000) -> None:
        self.clock = clock
        self.version = 1
        self._remember = remember
        self._kinds: dict[str, _Kind] = {}

    def _kind(self, resource: Resource) -> _Kind:
        # by plural only: events of both API groups are the same objects, as on the real server
        return self._kinds.setdefault(resource.plural, _Kind())

    def get(self, resource: Resource, key: Key) -> StoredObject:
        """The object. Raises ApiError (404)."""
        try:
            return self._kind(resource).records[key]
        except KeyError:
            raise api_errors.not_found(resource, key[1]) from None

    def records(self, resource: Resource, namespace: str = "") -> list[StoredObject]:
        """Objects sorted by key, of ``namespace`` or of all namespaces."""
        records = self._kind(resource).records
        return [records[key] for key in sorted(records) if not namespace or key[0] == namespace]

    def create(self, resource: Resource, key: Key, obj: Object) -> StoredObject:
        """Store a new object; adds its uid and creation time, if missing. Raises ApiError (409)."""
        if key in self._kind(resource).records:
            raise api_errors.already_exists(resource, key[1])
        metadata = {
            **obj.get("metadata", {}),
            "name": key[1],
            **({"namespace": key[0]} if resource.namespaced else {}),
        }
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", self.stamp())
        return self._write(resource, key, {**obj, "metadata": metadata})

    def replace(self, resource: Resource, key: Key, obj: Object) -> StoredObject:
        """Store a new version of an existing object. Name, uid and creation time are kept. Raises ApiError (404)."""
        old = self.get(resource, key).object["metadata"]
        kept = {name: old[name] for name in ("name", "namespace", "uid", "creationTimestamp") if name in old}
        return self._write(resource, key, {**obj, "metadata": {**obj.get("metadata", {}), **kept}})

    def remove(self, resource: Resource, key: Key) -> StoredObject:
        """Remove an object and return its last version. Raises ApiError (404)."""
        record = self.get(resource, key)
        del self._kind(resource).records[key]
        self.version += 1
        self._tell(resource, StoreChange(self.version, record, None))
        return record

    def _write(self, resource: Resource, key: Key, obj: Object) -> StoredObject:
        self.version += 1
        body = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.version)}
        kind = self._kind(resource)
        before, after = kind.records.get(key), StoredObject(body, self.version)
        kind.records[key] = after
        self._tell(resource, StoreChange(self.version, before, after))
        return after

    def _tell(self, resource: Resource, change: StoreChange) -> None:
        kind = self._kind(resource)
        kind.changes.append(change)
        if len(kind.changes) > 2 * self._remember:  # trim seldom: then it costs little on average
            kind.floor = kind.changes[-self._remember - 1].version
            del kind.changes[: -self._remember]
        for subscriber in tuple(kind.subscribers):
            subscriber(change)

    def since(self, resource: Resource, version: int) -> list[StoreChange]:
        """Changes after ``version``. Raises ApiError (410) if they are no longer known."""
        kind = self._kind(resource)
        if version < kind.floor:
            raise api_errors.expired(f"too old resource version: {version} ({kind.floor})")
        return kind.changes[bisect_right(kind.changes, version, key=lambda change: change.version) :]

    def compact(self) -> None:
        """Forget the history, as an etcd compaction does."""
        for kind in self._kinds.values():
            kind.changes.clear()
            kind.floor = self.version

    def subscribe(self, resource: Resource, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every change from now on, in order. Returns a function that ends this."""
        subscribers = self._kind(resource).subscribers
        subscribers.append(subscriber)
        return lambda: subscribers.remove(subscriber)

    def stamp(self) -> str:
        """The current time as in objects, in whole seconds."""
        return stamp(self.clock())


def encode(obj: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


def stamp(seconds: float) -> str:
    """``metav1.Time`` of ``seconds`` since the epoch."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
