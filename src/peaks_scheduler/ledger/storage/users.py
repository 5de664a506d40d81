"""Which pods on which nodes use which claims and disks.

Owns pods with volumes by node, and the lookups by claim and by disk. Assumes that it is told of every pod that comes to
a node or leaves it, bound or assumed; telling twice changes nothing. Never reads a claim.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable
from typing import TypeVar

from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.pod_volumes import Disk

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_NOBODY: dict[str, Pod] = {}
_UNUSED: dict[tuple[str, str], bool] = {}


class Users:
    """See the module. Claims go by ``namespace/name``."""

    def __init__(self) -> None:
        self._pods: defaultdict[str, dict[str, Pod]] = defaultdict(dict)  # by node, by uid
        self._claims: defaultdict[str, dict[tuple[str, str], bool]] = defaultdict(
            dict
        )  # (node, uid) -> does it name the claim?
        self._disks: defaultdict[tuple[str, str, str], dict[tuple[str, str], list[Disk]]] = defaultdict(dict)
        self._nominated: dict[tuple[str, str], Pod] = {}

    def add(self, node: str, pod: Pod, *, nominated: bool = False) -> None:
        """The pod is on the node; ``nominated``: it is only counted there."""
        self.remove(node, pod)
        self._pods[node][pod.uid] = pod
        user = (node, pod.uid)
        if nominated:
            self._nominated[user] = pod
        for volume in pod.volumes:
            if volume.claim is not None:
                uses = self._claims[f"{pod.namespace}/{volume.claim}"]
                uses[user] = uses.get(user, False) or not volume.ephemeral
            elif volume.disk is not None:
                self._disks[volume.disk.identity].setdefault(user, []).append(volume.disk)

    def remove(self, node: str, pod: Pod) -> None:
        """The pod is not on the node any more."""
        known = self._pods[node].pop(pod.uid, None)
        if not self._pods[node]:
            del self._pods[node]
        self._nominated.pop((node, pod.uid), None)
        if known is None:
            return
        for volume in known.volumes:
            if volume.claim is not None:
                _drop(self._claims, f"{pod.namespace}/{volume.claim}", (node, pod.uid))
            elif volume.disk is not None:
                _drop(self._disks, volume.disk.identity, (node, pod.uid))

    def on(self, node: str) -> Iterable[Pod]:
        """The pods with volumes on a node."""
        return self._pods.get(node, _NOBODY).values()

    def nodes_using(self, claim: str) -> set[str]:
        """Nodes of the pods that use the claim, by name or for an ephemeral volume."""
        return {node for node, _ in self._claims.get(claim, ())}

    def nodes_naming(self, claim: str) -> set[str]:
        """Nodes of the pods that name the claim; a claim of an ephemeral volume is not named."""
        return {node for (node, _), named in self._claims.get(claim, _UNUSED).items() if named}

    def nominations_naming(self, names: Container[str]) -> set[str]:
        """Nodes of the nominated pods that name one of these claims, in any namespace."""
        return {
            node
            for (node, _), pod in self._nominated.items()
            if any(volume.claim in names for volume in pod.volumes if volume.claim is not None and not volume.ephemeral)
        }

    def nodes_conflicting(self, disk: Disk) -> set[str]:
        """Nodes with a pod whose disk conflicts with this one."""
        users = self._disks.get(disk.identity, {})
        return {node for (node, _), disks in users.items() if any(disk.conflicts(each) for each in disks)}


def _drop(users: defaultdict[K, dict[tuple[str, str], V]], key: K, user: tuple[str, str]) -> None:
    users[key].pop(user, None)
    if not users[key]:
        del users[key]
