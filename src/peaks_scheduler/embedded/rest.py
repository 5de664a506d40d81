"""The verbs of the embedded API server: create, list, update, patch, delete, bind.

Owns what kube-apiserver does between a request and its storage: defaults of a new object, preconditions, the part of an
object that a path may write, graceful deletion, pages of a list. Assumes parsed bodies and never reads or writes HTTP,
so it serves both ``http_routes`` and callers in this process. There is no admission, no defaulting of specs and no
validation: every namespace exists, and every object is accepted.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import api_errors
from .api_resources import EVENTS, LEASES, NODES, PODS, Resource
from .object_store import Key, Object, Store, StoredObject
from .query_selectors import Predicate

GRACE_SECONDS = 30
"""``terminationGracePeriodSeconds`` of a pod without one."""
_PAGES = 1000  # continued lists that are kept; older ones are forgotten


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; the whole list without a limit. ``token`` continues the list; empty: the last page."""

    records: list[StoredObject]
    version: int
    token: str = ""
    remaining: int = 0


class RestApi:
    """The verbs. Each method returns the stored object, or raises ApiError."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pages: dict[str, tuple[int, list[StoredObject]]] = {}

    def create(self, resource: Resource, namespace: str, obj: Object) -> StoredObject:
        """POST to a collection. 409 if the name is taken. A uid in the object is kept."""
        metadata = dict(obj.get("metadata") or {})
        name = metadata.get("name") or _generated(metadata)
        if not name:
            raise api_errors.invalid(resource, "", "metadata.name: Required value: name or generateName is required")
        metadata.pop("resourceVersion", None)
        return self.store.create(resource, (namespace, name), _with_defaults(resource, {**obj, "metadata": metadata}))

    def page(self, resource: Resource, namespace: str, selects: Predicate, limit: int = 0, token: str = "") -> Page:
        """GET of a collection. All pages of a list show the same state; 410 if the token is forgotten."""
        if token:
            try:
                version, records = self._pages.pop(token)
            except KeyError:
                raise api_errors.expired(api_errors.CONTINUE_EXPIRED) from None
        else:
            version = self.store.version
            records = [record for record in self.store.records(resource, namespace) if selects(record.object)]
        if not limit or len(records) <= limit:
            return Page(records, version)
        return Page(records[:limit], version, self._continued(version, records[limit:]), len(records) - limit)

    def _continued(self, version: int, rest: list[StoredObject]) -> str:
        token = base64.urlsafe_b64encode(json.dumps({"rv": version, "id": secrets.token_hex(8)}).encode()).decode()
        self._pages[token] = (version, rest)
        while len(self._pages) > _PAGES:
            del self._pages[next(iter(self._pages))]
        return token

    def compact(self) -> None:
        """Forget the history and the continued lists: both get 410 from now on."""
        self.store.compact()
        self._pages.clear()

    def update(self, resource: Resource, key: Key, obj: Object, subresource: str = "") -> StoredObject:
        """PUT. ``metadata.resourceVersion``, if given, must be the current one; a lease must have it."""
        current = self.store.get(resource, key)
        wanted = obj.get("metadata", {}).get("resourceVersion")
        if not wanted and resource is LEASES:
            raise api_errors.invalid(
                resource, key[1], "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            )
        self._check(resource, key, current, obj.get("metadata", {}))
        return self.store.replace(resource, key, _writable(resource, current.object, obj, subresource))

    def patch(
        self, resource: Resource, key: Key, change: Object, how: Callable[[Any, Any], Any], subresource: str = ""
    ) -> StoredObject:
        """PATCH, applied by ``how`` (of ``patching.PATCHES``). ``uid`` and ``resourceVersion`` are preconditions."""
        current = self.store.get(resource, key)
        self._check(resource, key, current, change.get("metadata") or {})
        changed = how(current.object, change)
        return self.store.replace(resource, key, _writable(resource, current.object, changed, subresource))

    def _check(self, resource: Resource, key: Key, current: StoredObject, wanted: Mapping[str, Any]) -> None:
        if wanted.get("resourceVersion", str(current.version)) != str(current.version):
            raise api_errors.conflict(resource, key[1], api_errors.MODIFIED)
        uid = current.object["metadata"]["uid"]
        if wanted.get("uid", uid) != uid:
            raise _failed_precondition(resource, key, "UID", wanted["uid"], uid)

    def delete(
        self, resource: Resource, key: Key, grace: int | None = None, preconditions: Mapping[str, str] | None = None
    ) -> StoredObject:
        """DELETE. A bound pod is only marked, and its kubelet removes it; with ``grace`` 0 it is removed at once."""
        current = self.store.get(resource, key)
        uid = current.object["metadata"]["uid"]
        if preconditions and preconditions.get("uid", uid) != uid:
            raise _failed_precondition(resource, key, "UID", preconditions["uid"], uid)
        if resource is not PODS or grace == 0 or not _held_by_kubelet(current.object):
            return self.store.remove(resource, key)
        if "deletionTimestamp" in current.object["metadata"]:
            return current
        grace = grace or current.object["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS)
        marks = {"deletionTimestamp": self.store.stamp(), "deletionGracePeriodSeconds": grace}
        metadata = {**current.object["metadata"], **marks}
        return self.store.replace(resource, key, {**current.object, "metadata": metadata})

    def bind(self, key: Key, binding: Object) -> StoredObject:
        """POST to ``pods/NAME/binding``: sets node and annotations in one write, if the preconditions hold.

        Checks, their order and messages as in ``BindingREST``, ``pkg/registry/core/pod/storage/storage.go``.
        """
        name, metadata = key[1], binding.get("metadata") or {}
        node = (binding.get("target") or {}).get("name")
        if metadata.get("name", name) != name:
            raise api_errors.bad_request("name in URL does not match name in Binding object")
        if not node:
            raise api_errors.invalid(PODS, name, "target.name: Required value")
        current = self.store.get(PODS, key)
        _check_binding(current, key, metadata)
        pod = copy.deepcopy(current.object)
        pod["spec"]["nodeName"] = node
        pod["metadata"]["annotations"] = {
            **(pod["metadata"].get("annotations") or {}),
            **(metadata.get("annotations") or {}),
        }
        pod["status"].pop("nominatedNodeName", None)
        set_condition(pod, {"type": "PodScheduled", "status": "True"}, self.store.stamp())
        return self.store.replace(PODS, key, pod)


def _check_binding(current: StoredObject, key: Key, wanted: Mapping[str, Any]) -> None:
    name, metadata = key[1], current.object["metadata"]
    if wanted.get("uid") and wanted["uid"] != metadata["uid"]:
        raise _failed_precondition(PODS, key, "UID", wanted["uid"], metadata["uid"])
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != metadata["resourceVersion"]:
        raise _failed_precondition(PODS, key, "ResourceVersion", wanted["resourceVersion"], metadata["resourceVersion"])
    spec = current.object["spec"]
    why = None
    if metadata.get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise api_errors.conflict(PODS, name, why, "/binding")


def _failed_precondition(resource: Resource, key: Key, what: str, wanted: str, found: str) -> api_errors.ApiError:
    return api_errors.precondition(resource, "/".join(filter(None, key)), key[1], what, wanted, found)


def set_condition(obj: Object, condition: Object, now: str) -> None:
    """Set a condition of ``obj`` in place. Its transition time changes only if its status changes."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    old = next((c for c in conditions if c["type"] == condition["type"]), None)
    since = now if old is None or old.get("status") != condition["status"] else old.get("lastTransitionTime", now)
    new = {"lastProbeTime": None, "lastTransitionTime": since, **condition}
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new


def _held_by_kubelet(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName")) and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _generated(metadata: Mapping[str, Any]) -> str:
    prefix = metadata.get("generateName") or ""
    return prefix and prefix + secrets.token_hex(3)[:5]


def _with_defaults(resource: Resource, obj: Object) -> Object:
    """A new object with the defaults of the API server that this project reads."""
    if resource is PODS:
        spec = {"schedulerName": "default-scheduler", "restartPolicy": "Always", **(obj.get("spec") or {})}
        return {**obj, "spec": spec, "status": {"phase": "Pending", **(obj.get("status") or {})}}
    if resource is NODES:
        return {**obj, "spec": obj.get("spec") or {}, "status": obj.get("status") or {}}
    return obj


def _writable(resource: Resource, old: Object, new: Object, subresource: str) -> Object:
    """The object after a write: ``/status`` writes only the status, the object's own path everything else."""
    if "status" not in resource.subresources:
        return new
    if subresource == "status":
        return {**old, "status": new.get("status") or {}}
    return {**new, "status": old.get("status") or {}}


_CORE_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedCount": "count",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
}
"""Field of an event in events.k8s.io/v1, as stored -> its name in core/v1."""


def as_stored(resource: Resource, obj: Object) -> Object:
    """A body in its stored form: events of core/v1 get the names of events.k8s.io/v1."""
    if resource.plural != "events" or resource is EVENTS:
        return obj
    names = {core: new for new, core in _CORE_NAMES.items()}
    return {names.get(name, name): value for name, value in obj.items()}


def as_served(resource: Resource, obj: Object) -> Object:
    """An object in the form of this API group: the inverse of ``as_stored``."""
    if resource.plural != "events" or resource is EVENTS:
        return obj
    return {_CORE_NAMES.get(name, name): value for name, value in obj.items()}
