"""Which kinds of objects, beside pods and nodes, does placing read, and does this API server let us?

Owns the table of these kinds, the question put to the API server for each, and the words for what is therefore refused
or not checked. Assumes that pods and nodes can be read: without them there is nothing to do. Never remembers an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peaks_scheduler.errors import Forbidden, NotFound
from peaks_scheduler.ledger.storage.store import KINDS as STORAGE

from .client import KubeClient


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects that placing reads."""

    kind: str
    path: str
    """Of all its objects: ``/apis/storage.k8s.io/v1/csinodes``."""
    without: str
    """What comes of not reading it."""

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def base(self) -> str:
        """Path of its group and version, where discovery names it."""
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
        """As kubectl and RBAC messages name it: ``csinodes.storage.k8s.io``."""
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
"""In the order in which they are asked about."""


async def unread(client: KubeClient, kinds: Iterable[Kind] = KINDS) -> Mapping[Kind, str]:
    """Those of the kinds that cannot be read, and why, in words.

    Raises:
        KubeError: the API server did not answer; nothing can be said.
    """
    served: dict[str, frozenset[str] | None] = {}
    found: dict[Kind, str] = {}
    # one after the other: tasks of our own would be at the mercy of whoever tidies up the event loop
    for kind in kinds:
        if kind.base not in served:
            served[kind.base] = await _served(client, kind.base)
        why = await _trouble(client, kind, served[kind.base])
        if why:
            found[kind] = why
    return found


async def _served(client: KubeClient, base: str) -> frozenset[str] | None:
    """What discovery names; None where we may not ask it, which says nothing."""
    try:
        return await client.served(base)
    except Forbidden as error:
        if error.status == 401:
            raise
        return None


async def _trouble(client: KubeClient, kind: Kind, served: frozenset[str] | None) -> str:
    absent = f"this API server has no {kind.resource} in {kind.version}"
    if served is not None and kind.plural not in served:
        return absent
    try:
        await client.peek(kind.path)
    except NotFound:
        return absent
    except Forbidden as error:
        if error.status == 401:  # a token in the middle of its renewal says nothing of rights
            raise
        return _missing_right(kind)
    return "" if await client.may("watch", kind.group, kind.plural) else _missing_right(kind)


def _missing_right(kind: Kind) -> str:
    return f"list/watch {kind.resource}: the service account may not; add it to the ClusterRole"
