"""The kinds of objects beside pods and nodes that scheduling reads, and which of them this API server lets us read.

Owns the table of these kinds, the requests that test whether a kind can be read, and the messages about what is refused
or not checked without it. Assumes that pods and nodes can be read. Caches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peaks_scheduler.errors import Forbidden, NotFound
from peaks_scheduler.ledger.storage.store import KINDS as STORAGE

from .client import KubeClient


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects that scheduling reads."""

    kind: str
    path: str
    """Path of the list of all objects: ``/apis/storage.k8s.io/v1/csinodes``."""
    without: str
    """The consequence if it cannot be read."""

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def base(self) -> str:
        """Path of its group and version: ``/apis/storage.k8s.io/v1``."""
        return self.path.rpartition("/")[0]

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.path.split("/")[2] if self.path.startswith("/apis/") else ""

    @property
    def version(self) -> str:
        return self.base.rpartition("/")[2]

    @property
    def resource(self) -> str:
        """Name in kubectl and RBAC messages: ``csinodes.storage.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_CLAIMS = "pods with persistent volume claims are refused"

# fmt: off
KINDS: tuple[Kind, ...] = (
    Kind("Namespace", "/api/v1/namespaces",
         "pods whose pod affinity selects namespaces by label are refused, and so are nodes where such a term may "
         "mean a pod"),
    *(Kind(kind, STORAGE[kind], without) for kind, without in (
        ("PersistentVolume", _CLAIMS),
        ("PersistentVolumeClaim", _CLAIMS),
        ("StorageClass", _CLAIMS),
        ("CSINode", "limits of volumes per node are not checked"),
        ("CSIDriver", "free space for volumes yet to be made is not checked"),
        ("CSIStorageCapacity", "nodes are refused to pods with volumes yet to be made by drivers that track their "
                               "free space"),
        ("VolumeAttachment", "volumes that are still attached after their pods have gone are not counted"),
    )),
)
# fmt: on
"""In the order in which they are tested."""


async def unread(client: KubeClient, kinds: Iterable[Kind] = KINDS) -> Mapping[Kind, str]:
    """Kinds that cannot be read -> the reason, as a message.

    Raises:
        KubeError: the API server did not answer, so nothing is known.
    """
    served: dict[str, frozenset[str] | None] = {}
    found: dict[Kind, str] = {}
    # one after the other and not in tasks of our own: kopf cancels every task when it stops
    for kind in kinds:
        if kind.base not in served:
            served[kind.base] = await _served(client, kind.base)
        why = await _why_unread(client, kind, served[kind.base])
        if why:
            found[kind] = why
    return found


async def _served(client: KubeClient, base: str) -> frozenset[str] | None:
    """The resources of a group and version; None if we have no right to ask."""
    try:
        return await client.served(base)
    except Forbidden as error:
        if error.status == 401:
            raise
        return None


async def _why_unread(client: KubeClient, kind: Kind, served: frozenset[str] | None) -> str:
    """Why objects of this kind cannot be read; empty if they can."""
    absent = f"this API server has no {kind.resource} in {kind.version}"
    if served is not None and kind.plural not in served:
        return absent
    try:
        await client.peek(kind.path)
    except NotFound:
        return absent
    except Forbidden as error:
        if error.status == 401:  # the token is being renewed; this says nothing about rights
            raise
        return _missing_right(kind)
    return "" if await client.may("watch", kind.group, kind.plural) else _missing_right(kind)


def _missing_right(kind: Kind) -> str:
    return f"list/watch {kind.resource}: the service account may not; add it to the ClusterRole"
