"""The kinds that the embedded API server serves: a table, and the discovery documents made from it.

Owns names, paths and verbs. A new kind is one row in ``RESOURCES``. The objects are in ``object_store``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

_ALL = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One served kind."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL

    @property
    def api_version(self) -> str:
        """``apiVersion`` of the objects: ``v1``, ``coordination.k8s.io/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        """Path of the group and version: ``/api/v1``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def qualified(self) -> str:
        """Name in messages: ``pods``, ``leases.coordination.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def details(self, name: str) -> dict[str, Any]:
        """``details`` in a Status about the object ``name``."""
        return {"name": name, **({"group": self.group} if self.group else {}), "kind": self.plural}

    def discovery(self) -> list[dict[str, Any]]:
        """Entries of the APIResourceList: the kind and its subresources."""
        main = {
            "name": self.plural,
            "singularName": self.singular,
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(self.verbs),
            **({"shortNames": list(self.short_names)} if self.short_names else {}),
        }
        return [main, *(self._subresource(name) for name in self.subresources)]

    def _subresource(self, name: str) -> dict[str, Any]:
        binding = name == "binding"
        return {
            "name": f"{self.plural}/{name}",
            "singularName": "",
            "namespaced": self.namespaced,
            "kind": "Binding" if binding else self.kind,
            "verbs": ["create"] if binding else ["get", "patch", "update"],
        }


PODS = Resource("", "v1", "pods", "pod", "Pod", True, ("binding", "status"), ("po",))
NODES = Resource("", "v1", "nodes", "node", "Node", False, ("status",), ("no",))
NAMESPACES = Resource("", "v1", "namespaces", "namespace", "Namespace", False, ("status",), ("ns",))
CORE_EVENTS = Resource("", "v1", "events", "event", "Event", True, (), ("ev",))
EVENTS = Resource("events.k8s.io", "v1", "events", "event", "Event", True, (), ("ev",))
LEASES = Resource("coordination.k8s.io", "v1", "leases", "lease", "Lease", True)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    "SelfSubjectAccessReview",
    False,
    verbs=("create",),
)


def _storage(plural: str, kind: str, namespaced: bool = False) -> Resource:
    return Resource("storage.k8s.io", "v1", plural, kind.lower(), kind, namespaced)


VOLUMES = Resource("", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", False, ("status",), ("pv",))
CLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", True, ("status",), ("pvc",)
)
STORAGE = (
    VOLUMES,
    CLAIMS,
    _storage("storageclasses", "StorageClass"),
    _storage("csinodes", "CSINode"),
    _storage("csidrivers", "CSIDriver"),
    _storage("csistoragecapacities", "CSIStorageCapacity", namespaced=True),
    _storage("volumeattachments", "VolumeAttachment"),
)

RESOURCES = (PODS, NODES, NAMESPACES, CORE_EVENTS, EVENTS, LEASES, ACCESS_REVIEWS, *STORAGE)

BY_NAME = {each.plural: each for each in (PODS, NODES, NAMESPACES, EVENTS, LEASES, *STORAGE)}
"""Plural name -> stored kind. Events of both API groups are stored once, in the newer form."""


def discovery_documents(absent: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Path -> document, for every discovery path. ``absent``: kinds (``pods``) that the server does not have."""
    groups = [_group(name) for name in sorted({r.group for r in RESOURCES if r.group and r.plural not in absent})]
    documents: dict[str, dict[str, Any]] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.3", "platform": "embedded"},
    }
    documents.update({f"/apis/{g['name']}": {"kind": "APIGroup", "apiVersion": "v1", **g} for g in groups})
    documents.update({r.base: _resource_list(r.base, absent) for r in RESOURCES if r.plural not in absent})
    return documents


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource_list(base: str, absent: Collection[str]) -> dict[str, Any]:
    served = [r for r in RESOURCES if r.base == base and r.plural not in absent]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].api_version,
        "resources": [entry for r in served for entry in r.discovery()],
    }
