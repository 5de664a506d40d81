"""Claims, volumes, classes, CSI nodes and drivers, capacities, attachments: which exist, and which pods use them.

Owns all that filters read about storage. Objects of the API server come in through ``observe`` alone; their source (a
watch, a list, a file) and their order make no difference. The ledger tells of pods on nodes (``pod_added``,
``pod_removed``). An assumed pod takes the volumes and claims of its plan (``assume``) until the API server shows newer
versions or the pod is forgotten (``forget``). Filters cache their results here (``remember``), each with a stamp of
what it depends on. No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.requests import Json

from .assume_cache import AssumeCache
from .attachments import Attachments
from .from_api import READERS, key_of
from .plan import VolumePlan
from .pool import VolumePool
from .records import Attachment, Capacity, Claim, ClaimRef, CsiDriver, CsiNode, StorageClass, Volume
from .users import Users

T = TypeVar("T")

KINDS: Mapping[str, str] = {
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CSINode": "/apis/storage.k8s.io/v1/csinodes",
    "CSIDriver": "/apis/storage.k8s.io/v1/csidrivers",
    "CSIStorageCapacity": "/apis/storage.k8s.io/v1/csistoragecapacities",
    "VolumeAttachment": "/apis/storage.k8s.io/v1/volumeattachments",
}
"""Kind -> path of its list on the API server."""

REMEMBERED = 1024
"""Cached results of filters; when there are so many, all are dropped."""


class Storage:
    """See the module. ``changes`` counts by kind the observations and assumptions that changed something."""

    def __init__(self) -> None:
        self.changes: Counter[str] = Counter()
        self.pool = VolumePool()
        self.users = Users()
        self.attachments = Attachments(self)
        self._volumes: AssumeCache[Volume] = AssumeCache()
        self._claims: AssumeCache[Claim] = AssumeCache()
        self._others: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._claims_on: defaultdict[str, set[str]] = defaultdict(set)  # volume -> claims bound to it
        self._attachments_of: defaultdict[str, set[str]] = defaultdict(set)  # volume -> attachments
        self._attachments_to: defaultdict[str, set[str]] = defaultdict(set)  # node -> attachments
        self._assumed: dict[str, dict[tuple[str, str], str]] = {}  # pod -> (kind, key) -> version
        self._remembered: dict[Hashable, tuple[Hashable, Any]] = {}

    def copy(self) -> Storage:
        """An independent copy without the pods on nodes: tell it of them with ``pod_added``."""
        other = Storage()
        for name in self._volumes:
            other._set("PersistentVolume", name, self._volumes.observed(name))
        for key in self._claims:
            other._set("PersistentVolumeClaim", key, self._claims.observed(key))
        for kind, records in self._others.items():
            for key, record in records.items():
                other._set(kind, key, record)
        for name, volume in self._volumes.assumptions().items():
            other._change_volume(name, partial(other._volumes.assume, name, volume))
        for key, claim in self._claims.assumptions().items():
            other._change_claim(key, partial(other._claims.assume, key, claim))
        other._assumed = {uid: dict(taken) for uid, taken in self._assumed.items()}
        other.changes = self.changes.copy()
        return other

    # -- observing

    def observe(self, raw: Json, *, gone: bool = False, kind: str | None = None) -> bool:
        """Observe an object as the API server has it; True if a decision may come out differently.

        ``kind`` is for items of a list, which do not have theirs. Raises ObjectError, QuantityError.
        """
        kind = kind or raw.get("kind") or ""
        if kind not in KINDS:
            raise ObjectError(f"expected one of the kinds {', '.join(KINDS)}; got {kind or str(raw)[:200]!r}")
        key = key_of(raw, kind)
        return self._set(kind, key, None if gone else READERS[kind](raw))

    def drop(self, kind: str, key: str) -> bool:
        """The object is deleted. ``key`` is one of ``keys``."""
        return self._set(kind, key, None)

    def keys(self, kind: str) -> frozenset[str]:
        """Names, or ``namespace/name``, of the objects of a kind."""
        if kind == "PersistentVolume":
            return frozenset(self._volumes)
        return frozenset(self._claims if kind == "PersistentVolumeClaim" else self._others[kind])

    def _set(self, kind: str, key: str, record: Any) -> bool:
        if kind == "PersistentVolume":
            return self._change_volume(key, lambda: self._volumes.observe(key, record))
        if kind == "PersistentVolumeClaim":
            return self._change_claim(key, lambda: self._claims.observe(key, record))
        return self._change_other(kind, key, record)

    def _change_volume(self, name: str, change: Callable[[], None]) -> bool:
        before = self._volumes.get(name)
        change()
        after = self._volumes.get(name)
        if before == after:
            return False
        self.pool.change(before, after)
        for claim in self._claims_on.get(name, ()):
            self.attachments.touch(self.users.nodes_using(claim))
        known = self._others["VolumeAttachment"]
        self.attachments.touch(known[each].node for each in self._attachments_of.get(name, ()))
        self.changes["PersistentVolume"] += 1
        return True

    def _change_claim(self, key: str, change: Callable[[], None]) -> bool:
        before = self._claims.get(key)
        change()
        after = self._claims.get(key)
        if before == after:
            return False
        _move(self._claims_on, key, before.volume_name if before else "", after.volume_name if after else "")
        self.attachments.touch(self.users.nodes_using(key))
        self.changes["PersistentVolumeClaim"] += 1
        return True

    def _change_other(self, kind: str, key: str, record: Any) -> bool:
        known = self._others[kind]
        before = known.get(key)
        if before == record:
            return False
        if record is None:
            del known[key]
        else:
            known[key] = record
        if kind == "VolumeAttachment":
            self._attachment_changed(key, before, record)
        elif kind == "CSINode":
            self.attachments.touch((key,))
        elif kind == "StorageClass":
            self.attachments.touch_all()  # an unbound claim counts for the driver of its class
        self.changes[kind] += 1
        return True

    def _attachment_changed(self, name: str, before: Attachment | None, after: Attachment | None) -> None:
        _move(self._attachments_of, name, before.volume_name if before else "", after.volume_name if after else "")
        _move(self._attachments_to, name, before.node if before else "", after.node if after else "")
        self.attachments.touch(each.node for each in (before, after) if each is not None)

    # -- reading

    def volume(self, name: str) -> Volume | None:
        """As assumed, else as the API server has it."""
        return self._volumes.get(name)

    def observed_volume(self, name: str) -> Volume | None:
        return self._volumes.observed(name)

    def claim(self, namespace: str, name: str) -> Claim | None:
        """As assumed, else as the API server has it."""
        return self._claims.get(f"{namespace}/{name}")

    def observed_claim(self, key: str) -> Claim | None:
        """``key``: ``namespace/name``."""
        return self._claims.observed(key)

    def storage_class(self, name: str) -> StorageClass | None:
        found: StorageClass | None = self._others["StorageClass"].get(name)
        return found

    def csi_node(self, name: str) -> CsiNode | None:
        found: CsiNode | None = self._others["CSINode"].get(name)
        return found

    def csi_nodes(self) -> Iterable[CsiNode]:
        return self._others["CSINode"].values()

    def csi_driver(self, name: str) -> CsiDriver | None:
        found: CsiDriver | None = self._others["CSIDriver"].get(name)
        return found

    def capacities(self) -> Iterable[Capacity]:
        return self._others["CSIStorageCapacity"].values()

    # -- pods

    def pod_added(self, node: str, pod: Pod, *, nominated: bool = False) -> None:
        """The pod is on the node, bound or assumed, or ``nominated``; the node need not be known."""
        if pod.volumes:
            self.users.add(node, pod, nominated=nominated)
            self.attachments.touch((node,))

    def pod_removed(self, node: str, pod: Pod) -> None:
        """The pod is not on the node any more."""
        if pod.volumes:
            self.users.remove(node, pod)
            self.attachments.touch((node,))

    # -- for attachments

    def pods_on(self, node: str) -> Iterable[Pod]:
        """See ``attachments.Lookup``."""
        return self.users.on(node)

    def attached_to(self, node: str) -> Iterator[Attachment]:
        """See ``attachments.Lookup``."""
        return (self._others["VolumeAttachment"][name] for name in self._attachments_to.get(node, ()))

    # -- assuming

    def assume(self, uid: str, plan: VolumePlan) -> None:
        """Assume that pod ``uid`` takes the volumes and claims of the plan.

        Raises KeyError, and takes nothing, if one of them has changed since the plan was made.
        """
        self.forget(uid)
        bindings = [each for each in plan.bindings if each.needed]
        taken = {("PersistentVolume", each.volume): each.volume_version for each in bindings}
        taken |= {("PersistentVolumeClaim", each.claim_key): each.claim_version for each in plan.provisions}
        for (kind, key), version in taken.items():
            cache: AssumeCache[Any] = self._volumes if kind == "PersistentVolume" else self._claims
            if not cache.in_step(key, version):
                raise KeyError(f"cannot take {kind} {key} in version {version}: it has changed or is gone")
        for binding in bindings:
            self._assume_volume(binding.volume, ClaimRef(binding.namespace, binding.claim, binding.claim_uid))
        for provision in plan.provisions:
            self._assume_claim(provision.claim_key, provision.node)
        self._assumed[uid] = taken

    def _assume_volume(self, name: str, claim: ClaimRef) -> None:
        observed = self._volumes.observed(name)
        assert observed is not None, "it is in step"
        kept = replace(observed, claim=claim, by_controller=True)
        self._change_volume(name, lambda: self._volumes.assume(name, kept))

    def _assume_claim(self, key: str, node: str) -> None:
        observed = self._claims.observed(key)
        assert observed is not None, "it is in step"
        selected = replace(observed, selected_node=node)
        self._change_claim(key, lambda: self._claims.assume(key, selected))

    def written(self, uid: str, kind: str, key: str) -> None:
        """The API server has accepted this part of the pod's plan: it stays assumed until the newer object is
        observed, even if the pod is forgotten."""
        self._assumed.get(uid, {}).pop((kind, key), None)

    def forget(self, uid: str) -> None:
        """The pod is bound or not assumed any more: what it took is again as the API server has it."""
        for (kind, key), version in self._assumed.pop(uid, {}).items():
            if kind == "PersistentVolume":
                self._change_volume(key, partial(self._volumes.restore, key, version))
            else:
                self._change_claim(key, partial(self._claims.restore, key, version))

    # -- cached results of filters

    def remember(self, question: Hashable, stamp: Hashable, answer: Callable[[], T]) -> T:
        """The cached answer, computed again if the stamp has changed since."""
        known = self._remembered.get(question)
        if known is not None and known[0] == stamp:
            found: T = known[1]
            return found
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        computed = answer()
        self._remembered[question] = (stamp, computed)
        return computed


def _move(index: defaultdict[str, set[str]], key: str, before: str, after: str) -> None:
    """Move ``key`` from the set of ``before`` to that of ``after``; an empty name has no set."""
    if before and before != after:
        index[before].discard(key)
        if not index[before]:
            del index[before]
    if after and before != after:
        index[after].add(key)
