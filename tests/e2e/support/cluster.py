"""What a test puts into a cluster and reads back: nodes, pods, bindings, events, in bulk where there may be many.

Assumes an API server that answers ``api``; knows nothing of how it was started. Objects are plain JSON, given as a test
writes them (apiVersion and kind are filled in) and returned as the server sent them.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from tests.e2e.support.api import Api, Object
from tests.e2e.support.processes import wait_until

COLLECTIONS = {
    # owners before what they own: this is also the order in which a cluster is emptied
    "Deployment": "/apis/apps/v1/deployments",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "ControllerRevision": "/apis/apps/v1/controllerrevisions",
    "Job": "/apis/batch/v1/jobs",
    "Pod": "/api/v1/pods",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CSIStorageCapacity": "/apis/storage.k8s.io/v1/csistoragecapacities",
    "CSINode": "/apis/storage.k8s.io/v1/csinodes",
    "CSIDriver": "/apis/storage.k8s.io/v1/csidrivers",
    "Node": "/api/v1/nodes",
}
"""Path by kind: of all objects of the cluster, whatever namespace they are in."""
CLUSTER_WIDE = {"PersistentVolume", "StorageClass", "CSINode", "CSIDriver", "Node"}


def path_of(kind: str, name: str | None = None, namespace: str = "default") -> str:
    """Path of one object, or of the collection that it would be created in."""
    base, plural = COLLECTIONS[kind].rsplit("/", 1)
    where = base if kind in CLUSTER_WIDE else f"{base}/namespaces/{namespace}"
    return f"{where}/{plural}/{quote(name)}" if name else f"{where}/{plural}"


class Cluster:
    """The objects of one API server.

    Attributes:
        api: JSON client with the rights to do all this.
    """

    api: Api

    def names(self, collection: str) -> set[str]:
        """Names of the objects in a collection (``/api/v1/nodes``)."""
        return {item["metadata"]["name"] for item in self.api.get(collection)["items"]}

    def create_nodes(self, nodes: Sequence[Object]) -> list[Object]:
        """Many nodes at once, each with the status it is given."""
        typed = ({"apiVersion": "v1", "kind": "Node", **node} for node in nodes)
        return self.api.bulk("POST", [("/api/v1/nodes", node) for node in typed])

    def create_pods(self, pods: Sequence[Object]) -> list[Object]:
        """Many pods at once, each in the namespace it names, else in ``default``."""
        typed = [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in pods]
        paths = (f"/api/v1/namespaces/{pod['metadata'].get('namespace', 'default')}/pods" for pod in typed)
        return self.api.bulk("POST", list(zip(paths, typed, strict=True)))

    def create(self, *objects: Object) -> list[Object]:
        """Objects of any kind in COLLECTIONS at once, each in the namespace that it names, else in ``default``."""
        paths = (path_of(each["kind"], namespace=each["metadata"].get("namespace", "default")) for each in objects)
        return self.api.bulk("POST", list(zip(paths, objects, strict=True)))

    def read(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object as it is now; ApiError 404 where there is none."""
        found: Object = self.api.get(path_of(kind, name, namespace))
        return found

    def list_all(self, kind: str) -> list[Object]:
        """All objects of a kind, of every namespace."""
        return list(self.api.get(COLLECTIONS[kind])["items"])

    def bind(self, pod: str, node: str, namespace: str = "default") -> None:
        """Binds a pod by hand, as another scheduler would."""
        body = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
        self.api.post(f"/api/v1/namespaces/{namespace}/pods/{pod}/binding", body)

    def list_pods(self, namespace: str | None = None, **selectors: str) -> list[Object]:
        """Pods, of every namespace where none is given; ``labelSelector="a=b"``, ``fieldSelector="spec.nodeName="``."""
        where = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        return list(self.api.get(f"{where}?{urlencode(selectors)}")["items"])

    def list_events(self, namespace: str = "default", **selectors: str) -> list[Object]:
        """Events (events.k8s.io/v1); ``fieldSelector="reason=Scheduled"``."""
        query = urlencode(selectors)
        return list(self.api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?{query}")["items"])

    def delete_all(self, collection: str) -> int:
        """Deletes every object of a collection (``/api/v1/nodes``) at once, without grace; how many there were."""
        there = self.api.get(collection)["items"]
        body = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        for each in {self._collection_of(collection, item["metadata"]) for item in there}:
            self.api.delete(each, body)
        return len(there)

    def delete_all_pods(self) -> int:
        return self.delete_all("/api/v1/pods")

    def reset(self) -> None:
        """No pods, no nodes, no events: what a test that shares this control plane begins with."""
        for collection in ("/api/v1/pods", "/api/v1/nodes", "/api/v1/events"):
            self.delete_all(collection)

    def reset_workloads(self) -> None:
        """As ``reset``, and nothing that controllers made or would make again, no volumes and what belongs to them.

        Works with the controllers and without, and whatever they are doing: it goes on until nothing is left.
        """
        wait_until(self._emptied, "an empty cluster", every=0.1)
        self.reset()

    def _emptied(self) -> bool:
        """One attempt to delete everything; whether there was nothing to delete."""
        found = sum(self.delete_all(collection) for collection in COLLECTIONS.values())
        # nobody but the protection controllers lifts these, and they may not run
        for kind in ("PersistentVolumeClaim", "PersistentVolume", "Pod", "Job"):
            held = [each["metadata"] for each in self.list_all(kind) if each["metadata"].get("finalizers")]
            paths = [self._own_path(COLLECTIONS[kind], metadata) for metadata in held]
            self.api.bulk("PATCH", [(path, {"metadata": {"finalizers": None}}) for path in paths], missing_ok=True)
        return found == 0

    def _own_path(self, collection: str, metadata: Object) -> str:
        return f"{self._collection_of(collection, metadata)}/{quote(metadata['name'])}"

    @staticmethod
    def _collection_of(collection: str, metadata: Object) -> str:
        """The collection of the object's own namespace, where ``collection`` is over all namespaces."""
        base, plural = collection.rsplit("/", 1)
        if "namespace" in metadata and "/namespaces/" not in collection:
            base += f"/namespaces/{metadata['namespace']}"
        return f"{base}/{plural}"
