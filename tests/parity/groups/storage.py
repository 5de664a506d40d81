"""Storage objects and what pods make of them: classes, claims, volumes, drivers, attachments.

Things are tied by name alone: pods name claims out of four, claims are made for the namespaces that pods are in, and
name volumes that may be there. Sizes within a class differ in value, for kube-scheduler takes the smallest volume that
fits and, where two are equal, the one that a Go map happens to give first.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dice import HOSTNAME, OURS, ZONE, ZONES, Dice, Json, Source, node_names, pods_of

CLAIMS = ("data", "logs", "cache", "media")
DRIVER = "csi.example.com"
EBS = "kubernetes.io/aws-ebs"
MIGRATED = {
    EBS: "ebs.csi.aws.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}
"""Plugins of old that a node may have handed over to a CSI driver, and that driver."""
CSI_ZONES = ("topology.gke.io/zone", "topology.ebs.csi.aws.com/zone", "topology.cinder.csi.openstack.org/zone")
"""Under which keys those drivers want the zone on nodes."""
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"

SIZES = ("1Gi", "1e3", "0.5", "1500m", "100k", "2G", "12e6", "1.5Gi", "10Gi", "3e9", "5Gi", "700M", "1Ti", "0")
"""All of different value, also when rounded up to bytes."""
ASKED_SIZES = ("1Gi", "1e3", "0.4", "100k", "1G", "12e6", "1.5Gi", "0", "3Gi", "1000M")

# --- classes --------------------------------------------------------------------------------------------------------

WAITING = ("local", "fast", "zonal", "ebs")
"""Classes that wait for the first consumer."""


def storage_class(name: str, provisioner: str, mode: str, **more: object) -> Json:
    meta = {"name": name, "uid": f"uid-{name}"}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta}
    return {**kind, "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": mode, **more}


def classes(dice: Dice, _: list[Json]) -> list[Json]:
    """``now`` binds at once, the others wait; ``zonal`` provisions only in some places. One may be missing."""
    wait = "WaitForFirstConsumer"
    found = [
        storage_class("now", DRIVER, "Immediate"),
        storage_class("local", "kubernetes.io/no-provisioner", wait),
        storage_class("fast", DRIVER, wait),
        storage_class("ebs", EBS, wait),
        storage_class("zonal", DRIVER, wait, allowedTopologies=_topologies(dice)),
    ]
    return [each for each in found if dice.chance(0.97)]


def _topologies(dice: Dice) -> list[Json]:
    def expression() -> Json:
        return dice.pick(
            {"key": ZONE, "values": dice.some(ZONES, 1, 2)}, {"key": "disk", "values": dice.some(("ssd", "hdd"), 1, 2)}
        )

    return [{"matchLabelExpressions": [expression()]} for _ in range(dice.randint(1, 2))]


# --- claims ---------------------------------------------------------------------------------------------------------


def claim(name: str, namespace: str, **spec: object) -> Json:
    """A claim that waits, as the API server leaves it."""
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
    plain = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeMode": "Filesystem",
    }
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    return {**kind, "spec": {**plain, **spec}, "status": {"phase": "Pending"}}


def claims_for(dice: Dice, objects: Sequence[Json], likely: float = 0.93) -> list[Json]:
    """The four claims in every namespace that has pods to be judged, few missing."""
    spaces = sorted({raw["metadata"]["namespace"] for raw in pods_of(objects)})
    return [claim(name, space) for space in spaces for name in CLAIMS if dice.chance(likely)]


def bind(raw: Json, volume: str, *, completed: bool = True) -> None:
    """Name the volume in the claim; ``completed``: the controller says that both sides agree."""
    raw["spec"]["volumeName"] = volume
    if completed:
        raw["metadata"].setdefault("annotations", {})["pv.kubernetes.io/bind-completed"] = "yes"
        raw["status"]["phase"] = "Bound"


def of_class(raw: Json, name: str, *, beta: bool = False) -> None:
    """The class, in the field or in the annotation of old, which wins."""
    if beta:
        raw["metadata"].setdefault("annotations", {})["volume.beta.kubernetes.io/storage-class"] = name
    else:
        raw["spec"]["storageClassName"] = name


def troubled(dice: Dice, raw: Json) -> None:
    """A claim that lost its volume, is going, or may be used by a single pod."""
    match dice.choices(("lost", "going", "once", "fine"), (2, 2, 4, 92))[0]:
        case "lost":
            raw["status"]["phase"] = "Lost"
            raw["spec"].setdefault("volumeName", "pv-lost")
        case "going":
            raw["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
        case "once":
            raw["spec"]["accessModes"] = ["ReadWriteOncePod"]


# --- volumes --------------------------------------------------------------------------------------------------------


def volume(name: str, size: str = "10Gi", source: Json | None = None, **spec: object) -> Json:
    """A volume that anybody may have."""
    meta = {"name": name, "uid": f"uid-{name}", "labels": {}}
    plain = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "volumeMode": "Filesystem"}
    whole = {**plain, **(source or csi(name)), **spec}
    kind = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta}
    return {**kind, "spec": whole, "status": {"phase": "Available"}}


def csi(handle: str, driver: str = DRIVER) -> Json:
    return {"csi": {"driver": driver, "volumeHandle": handle}}


def in_tree(dice: Dice, name: str) -> Json:
    """A disk of a cloud in the form of old; few of the ids are malformed, few kinds cannot be handed over."""
    match dice.choices(("gce", "ebs", "azure", "cinder", "portworx", "vsphere"), (30, 30, 14, 14, 7, 5))[0]:
        case "gce":
            return {"gcePersistentDisk": {"pdName": name}}
        case "ebs":
            zone = ZONES[0]
            ids = (f"aws://{zone}/vol-{name}", f"aws:///vol-{name}", f"vol-{name}", f"aws://{zone}/{name}")
            return {"awsElasticBlockStore": {"volumeID": dice.choices(ids, (30, 18, 50, 2))[0]}}
        case "azure":
            plain = {"diskName": name, "diskURI": f"/disks/{name}", "cachingMode": "ReadWrite", "fsType": "ext4"}
            kind = dice.choices(("Managed", "Shared"), (97, 3))[0]
            return {"azureDisk": {**plain, "readOnly": False, "kind": kind}}
        case "cinder":
            return {"cinder": {"volumeID": name}}
        case "portworx":
            return {"portworxVolume": {"volumeID": name}}
    return {"vsphereVolume": {"volumePath": f"[store] {name}"}}


def reserve(raw: Json, claim_raw: Json, *, with_uid: bool = True) -> None:
    """The volume names the claim it is for."""
    meta = claim_raw["metadata"]
    ref = {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"]}
    raw["spec"]["claimRef"] = {**ref, "uid": meta["uid"]} if with_uid else ref


def reachable(dice: Dice, nodes: Sequence[str]) -> Json:
    """Required node affinity of a volume: a node, a zone, a label, or a term that says nothing and matches nothing."""
    kind = dice.choices(("host", "zone", "disk", "either", "empty", "name"), (30, 40, 12, 10, 4, 4))[0]
    host = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": dice.some(nodes, 1, 3)}]}
    zone = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": dice.some(ZONES, 1, 2)}]}
    disk = {"matchExpressions": [{"key": "disk", "operator": dice.pick("Exists", "DoesNotExist")}]}
    # a volume is asked about labels only: fields find no name
    name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [dice.pick(*nodes)]}]}
    terms = {"host": [host], "zone": [zone], "disk": [disk], "either": [host, disk], "empty": [{}], "name": [name]}
    return {"required": {"nodeSelectorTerms": terms[kind]}}


# --- pods -----------------------------------------------------------------------------------------------------------


def using_claims(dice: Dice, raw: Json) -> None:
    """One to three claims, few of which nobody made; the same one may be used twice."""
    names = [
        dice.pick(*CLAIMS) if dice.chance(0.99) else "unmade" for _ in range(dice.choices((1, 2, 3), (65, 25, 10))[0])
    ]
    add_volumes(raw, *({"persistentVolumeClaim": {"claimName": name}} for name in names))


def using_one_claim(dice: Dice, raw: Json) -> None:
    add_volumes(raw, {"persistentVolumeClaim": {"claimName": dice.pick(*CLAIMS)}})


def using_scratch(dice: Dice, raw: Json) -> None:
    """A volume that comes and goes with the pod, by a claim named after both."""
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {}}}
    add_volumes(raw, {"ephemeral": {"volumeClaimTemplate": template}})


def add_volumes(raw: Json, *sources: Json) -> None:
    volumes = raw["spec"].setdefault("volumes", [])
    for source in sources:
        volumes.append({"name": f"v{len(volumes)}", **source})


def scratch_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """The claims of such volumes; few are not made yet, or are somebody else's."""
    return [
        _scratch_claim(dice, raw, each["name"])
        for raw in pods_of(objects)
        for each in raw["spec"].get("volumes", ())
        if "ephemeral" in each and dice.chance(0.95)
    ]


def _scratch_claim(dice: Dice, pod: Json, volume_name: str) -> Json:
    meta = pod["metadata"]
    found = claim(f"{meta['name']}-{volume_name}", meta["namespace"], storageClassName="fast")
    # a bound pod with a foreign claim is an error of the whole cycle: leave those be
    stranger = "nodeName" not in pod["spec"] and pod["spec"]["schedulerName"] == OURS and dice.chance(0.05)
    uid = "uid-of-another" if stranger else meta["uid"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": uid, "controller": True}
    found["metadata"]["ownerReferences"] = [owner]
    return found


# --- nodes ----------------------------------------------------------------------------------------------------------


def zoned_for_drivers(dice: Dice, raw: Json) -> None:
    """The zone under the drivers' own keys too, as their node plugins write it."""
    labels = raw["metadata"].get("labels", {})
    if ZONE in labels:
        labels |= {key: labels[ZONE] for key in CSI_ZONES if dice.chance(0.8)}


def csi_nodes(dice: Dice, objects: list[Json]) -> list[Json]:
    """What each node can attach, of which drivers, and which plugins of old it has handed over."""
    return [_csi_node(dice, name) for name in node_names(objects) if dice.chance(0.9)]


def _csi_node(dice: Dice, name: str) -> Json:
    meta: Json = {"name": name, "uid": f"uid-csi-{name}"}
    if dice.chance(0.7):
        handed_over = ",".join(dice.some(tuple(MIGRATED), 0, len(MIGRATED)))
        meta["annotations"] = {"storage.alpha.kubernetes.io/migrated-plugins": handed_over}
    drivers = [_csi_driver_on(dice, driver, name) for driver in (DRIVER, *MIGRATED.values()) if dice.chance(0.9)]
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": meta}
    return {**kind, "spec": {"drivers": drivers}}


def _csi_driver_on(dice: Dice, driver: str, node: str) -> Json:
    found: Json = {"name": driver, "nodeID": node, "topologyKeys": [ZONE]}
    match dice.choices(("count", "unlimited", "empty"), (80, 12, 8))[0]:
        case "count":
            found["allocatable"] = {"count": dice.pick(0, 1, 2, 2, 3, 4)}
        case "empty":
            found["allocatable"] = {}
    return found


AROUND_CLAIMS: tuple[Source, ...] = (scratch_claims, classes, csi_nodes)
"""What claims refer to; they themselves come first, by the group's own rules."""
