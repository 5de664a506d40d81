"""A CSI external-provisioner without a driver: it makes the volume that a claim wants on the node that was selected.

Follows the real one (sig-storage-lib-external-provisioner) in what a scheduler can see of it: it acts when the volume
controller has put its name on a claim (``storage-provisioner``); for WaitForFirstConsumer it also wants a
``selected-node``, and takes that annotation away where the node cannot have the volume or is gone, which sends the pod
back to its scheduler. It deletes the released volumes that it made. Assumes kube-controller-manager, whose volume
controller binds claim and volume. One thread that polls, and outlives restarts of the API server; it has ended when the
``with`` block has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.support.api import ApiError, Object
from tests.e2e.support.cluster import Cluster, path_of
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.volumes import DRIVER, HOSTNAME, csi_source, reachable_from, volume

SELECTED_NODE = "volume.kubernetes.io/selected-node"
WANTED_FROM = "volume.kubernetes.io/storage-provisioner"
MADE_BY = "pv.kubernetes.io/provisioned-by"
PAUSE = 0.05  # [s] between two looks
LIMIT = 60.0  # [s] for the last look to end


class Provisioner:
    """Provisions for one driver's name while it is entered. The sets and the flag may be changed at any time.

    Attributes:
        refused_claims: names of claims that get no volume on any node.
        refused_nodes: names of nodes that get no volume.
        silent: nothing is done at all, as if the provisioner were down: whoever waits runs into a time limit.
        refusals: (claim, node) of every annotation taken away, in order.
        made: (claim, node) of every volume made, in order; the node is "" for Immediate classes.
    """

    def __init__(
        self,
        plane: ControlPlane,
        name: str = DRIVER,
        *,
        topology: str = HOSTNAME,
        refused_claims: Iterable[str] = (),
        refused_nodes: Iterable[str] = (),
        silent: bool = False,
    ) -> None:
        """``topology``: the node label that says which nodes reach a volume; every node must have it."""
        self.name, self.topology, self.silent = name, topology, silent
        self.refused_claims, self.refused_nodes = set(refused_claims), set(refused_nodes)
        self.refusals: list[tuple[str, str]] = []
        self.made: list[tuple[str, str]] = []
        self._cluster = Cluster()
        self._cluster.api = plane.client(plane.admin_token)  # of its own: another thread uses the plane's
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        self._work = self._thread.submit(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the thread; what it failed with, if it did, is raised here."""
        self._stopping.set()
        try:
            self._work.result(LIMIT)
        finally:
            self._thread.shutdown(wait=False)
            self._cluster.api.close()

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE):
            with _again_later():
                if not self.silent:
                    self._look()

    def _look(self) -> None:
        """Each claim and each volume once; trouble with one does not keep the others waiting."""
        for claim in self._cluster.list_all("PersistentVolumeClaim"):
            if claim["metadata"].get("annotations", {}).get(WANTED_FROM) == self.name and _unbound(claim):
                with _again_later():
                    self._serve(claim)
        for each in self._cluster.list_all("PersistentVolume"):
            if each["metadata"].get("annotations", {}).get(MADE_BY) == self.name and _to_delete(each):
                with _again_later():
                    self._cluster.api.delete(path_of("PersistentVolume", each["metadata"]["name"]))

    def _serve(self, claim: Object) -> None:
        """Makes the claim's volume, or sends its pod back, or waits for a node to be selected."""
        name, annotations = claim["metadata"]["name"], claim["metadata"]["annotations"]
        class_ = self._cluster.read("StorageClass", claim["spec"]["storageClassName"])
        node = annotations.get(SELECTED_NODE, "")
        # a claim that was sent back still names its provisioner, but no node
        if class_["volumeBindingMode"] == "WaitForFirstConsumer" and not node:
            return
        if name in self.refused_claims or node in self.refused_nodes or not self._exists(node):
            self._send_back(claim, node)
        else:
            self._make(claim, class_, node)

    def _exists(self, node: str) -> bool:
        return not node or node in self._cluster.names("/api/v1/nodes")

    def _send_back(self, claim: Object, node: str) -> None:
        """As the real one: without the annotation the scheduler decides anew. An Immediate claim just stays pending."""
        if not node:
            return
        name, version = claim["metadata"]["name"], claim["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "annotations": {SELECTED_NODE: None}}}
        self._cluster.api.patch(path_of("PersistentVolumeClaim", name, claim["metadata"]["namespace"]), patch)
        self.refusals.append((name, node))

    def _make(self, claim: Object, class_: Object, node: str) -> None:
        """The volume, reserved for the claim. 409 where it was made a moment ago and is not bound yet."""
        metadata, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{metadata['uid']}"
        owner = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        wanted: dict[str, Any] = {
            "claimRef": owner | {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")},
            "modes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": class_["reclaimPolicy"],
        }
        if node:
            labels = self._cluster.read("Node", node)["metadata"]["labels"]
            wanted["nodeAffinity"] = reachable_from(self.topology, labels[self.topology])
        size = spec["resources"]["requests"]["storage"]
        made = volume(name, csi_source(name, self.name), class_["metadata"]["name"], size=size, **wanted)
        made["metadata"]["annotations"] = {MADE_BY: self.name}
        self.made.append((metadata["name"], node))  # first: who sees a pod bound to it may ask at once
        try:
            self._cluster.create(made)
        except ApiError:
            self.made.pop()
            raise


@contextmanager
def _again_later() -> Iterator[None]:
    """Lets pass what the next look may find mended; anything else ends the provisioner and fails the test."""
    try:
        yield
    except httpx.TransportError:  # the API server is being restarted
        return
    except ApiError as failure:
        # somebody was faster (404, 409), or the server is starting or stopping
        if failure.code not in (404, 409, 429, 500, 503):
            raise


def _unbound(claim: Object) -> bool:
    return "volumeName" not in claim["spec"] and "deletionTimestamp" not in claim["metadata"]


def _to_delete(volume: Object) -> bool:
    """Whether the claim is gone and the class said that the volume goes with it."""
    released = volume.get("status", {}).get("phase") == "Released"
    policy = volume["spec"]["persistentVolumeReclaimPolicy"]
    return released and policy == "Delete" and "deletionTimestamp" not in volume["metadata"]
