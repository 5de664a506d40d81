"""Storage classes, volumes, claims and what CSI drivers say of nodes, as small as a real API server takes them.

Owns the builders alone; who binds and provisions are kube-controller-manager and ``provisioner.py``. Assumes that a
test's claims are all of one size unless it says otherwise, so that any volume of a class satisfies any claim of it.
Never looks at a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.support.api import Object
from tests.support.builders import expression

DRIVER = "test.csi.example.com"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
HOSTNAME = "kubernetes.io/hostname"
LOCAL, DYNAMIC = "local", "dynamic"
"""Names of the two classes that most tests use."""
SIZE = "1Gi"
ONE_NODE = ("ReadWriteOnce",)
ONE_POD = ("ReadWriteOncePod",)


# --- classes and claims -----------------------------------------------------------------------------------------------


def storage_class(name: str, provisioner: str, *, immediate: bool = False, **more: Any) -> Object:
    """WaitForFirstConsumer unless ``immediate``; a volume of it goes with its claim unless ``reclaimPolicy`` says so.

    ``more`` are further fields: ``allowedTopologies``, ``reclaimPolicy``.
    """
    mode = "Immediate" if immediate else "WaitForFirstConsumer"
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}
    return {**kind, "metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, **more}


def local_class(name: str = LOCAL, **more: Any) -> Object:
    """For static volumes: nobody provisions."""
    return storage_class(name, NO_PROVISIONER, **more)


def dynamic_class(name: str = DYNAMIC, **more: Any) -> Object:
    """For volumes that the provisioner of the tests makes."""
    return storage_class(name, DRIVER, **more)


def claim(
    name: str, class_: str = LOCAL, *, size: str = SIZE, modes: Sequence[str] = ONE_NODE, namespace: str = "default"
) -> Object:
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return {**kind, "metadata": {"name": name, "namespace": namespace}, "spec": _claim_spec(class_, size, modes)}


def claim_template(
    name: str = "data", class_: str = LOCAL, *, size: str = SIZE, modes: Sequence[str] = ONE_NODE
) -> Object:
    """For ``volumeClaimTemplates``: pod ``db-0`` then has the claim ``data-db-0``."""
    return {"metadata": {"name": name}, "spec": _claim_spec(class_, size, modes)}


def _claim_spec(class_: str, size: str, modes: Sequence[str]) -> Object:
    return {"storageClassName": class_, "accessModes": list(modes), "resources": {"requests": {"storage": size}}}


# --- a pod's volumes --------------------------------------------------------------------------------------------------


def uses(*claims: str) -> list[Object]:
    """``spec.volumes`` of a pod with these claims."""
    return [{"name": f"claim-{name}", "persistentVolumeClaim": {"claimName": name}} for name in claims]


def ephemeral(name: str = "scratch", class_: str = DYNAMIC, *, size: str = SIZE) -> Object:
    """An entry of ``spec.volumes`` whose claim (``POD-NAME``) a controller makes for the pod."""
    return {"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": _claim_spec(class_, size, ONE_NODE)}}}


# --- volumes ----------------------------------------------------------------------------------------------------------


def volume(
    name: str, source: Object, class_: str, *, size: str = SIZE, modes: Sequence[str] = ONE_NODE, **more: Any
) -> Object:
    """A static volume that outlives its claim. ``source`` as in ``{"local": {...}}``; ``more`` goes into spec."""
    spec = {
        "capacity": {"storage": size},
        "accessModes": list(modes),
        "storageClassName": class_,
        "persistentVolumeReclaimPolicy": "Retain",
        **source,
        **more,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def local_volume(name: str, node: str, class_: str = LOCAL, **more: Any) -> Object:
    """A disk of one node; ``more`` as for ``volume``."""
    source = {"local": {"path": f"/disks/{name}"}}
    return volume(name, source, class_, nodeAffinity=reachable_from(HOSTNAME, node), **more)


def csi_source(name: str, driver: str = DRIVER) -> Object:
    """``spec`` of a CSI volume, in part: the handle is the volume's name."""
    return {"csi": {"driver": driver, "volumeHandle": name}}


def reachable_from(key: str, *values: str) -> Object:
    """A volume's ``nodeAffinity``: nodes that have one of these values of a label."""
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression(key, "In", *values)]}]}}


# --- drivers ----------------------------------------------------------------------------------------------------------


def csi_node(
    node: str, limits: Mapping[str, int | None] | None = None, topology: Sequence[str] = (HOSTNAME,)
) -> Object:
    """What kubelet says of a node's drivers. ``limits``: how many volumes of each it attaches, None for any number."""
    drivers = [
        {"name": name, "nodeID": node, "topologyKeys": list(topology)}
        | ({} if count is None else {"allocatable": {"count": count}})
        for name, count in (limits or {DRIVER: None}).items()
    ]
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode"}
    return {**kind, "metadata": {"name": node}, "spec": {"drivers": drivers}}


def csi_driver(name: str = DRIVER, *, capacity: bool = False, **more: Any) -> Object:
    """With ``capacity`` a scheduler must ask the CSIStorageCapacity objects before it lets the driver provision."""
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver"}
    return {**kind, "metadata": {"name": name}, "spec": {"storageCapacity": capacity, **more}}


def capacity(name: str, size: str, class_: str = DYNAMIC, **labels: str) -> Object:
    """Room for new volumes of a class on nodes with these labels (``zone="a"``), on all without any."""
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity"}
    where = {"nodeTopology": {"matchLabels": labels}, "storageClassName": class_, "capacity": size}
    return {**kind, "metadata": {"name": name, "namespace": "default"}, **where}
