"""Groups on what may be used or attached only so often: disks that pods name, single-pod claims, limits of nodes."""

from __future__ import annotations

from .dice import Dice, Group, Json, node_names, sometimes
from .storage import (
    DRIVER,
    MIGRATED,
    add_volumes,
    bind,
    claims_for,
    classes,
    csi,
    csi_nodes,
    in_tree,
    of_class,
    scratch_claims,
    troubled,
    using_claims,
    using_one_claim,
    using_scratch,
    volume,
)

# --- restrictions ---------------------------------------------------------------------------------------------------


def _disk(dice: Dice) -> Json:
    """A disk out of few, shared only where all who mount it read."""
    read_only = {"readOnly": True} if dice.chance(0.45) else {}
    match dice.pick("gce", "ebs", "iscsi", "rbd"):
        case "gce":
            return {"gcePersistentDisk": {"pdName": dice.pick("d1", "d2"), **read_only}}
        case "ebs":
            return {"awsElasticBlockStore": {"volumeID": dice.pick("vol-1", "vol-2"), **read_only}}
        case "iscsi":
            target = {"targetPortal": "10.0.0.1:3260", "iqn": dice.pick("iqn.1", "iqn.2"), "lun": 0}
            return {"iscsi": {**target, "iscsiInterface": "default", **read_only}}
    image = {
        "monitors": dice.some(("m1", "m2", "m3"), 1, 2),
        "image": dice.pick("i1", "i2"),
        "pool": dice.pick("rbd", "p"),
    }
    return {"rbd": {**image, "user": "admin", "keyring": "/etc/ceph/keyring", **read_only}}


def with_disks(dice: Dice, raw: Json) -> None:
    add_volumes(raw, *(_disk(dice) for _ in range(dice.pick(1, 1, 2))))


def _single_pod_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Bound claims, half of which only one pod of the whole cluster may use."""
    found: list[Json] = []
    for raw in claims_for(dice, objects, likely=0.97):
        name = f"pv-{raw['metadata']['namespace']}-{raw['metadata']['name']}"
        of_class(raw, "fast")
        bind(raw, name)
        if dice.chance(0.5):
            raw["spec"]["accessModes"] = dice.pick(["ReadWriteOncePod"], ["ReadWriteOncePod"], ["ReadWriteMany"])
        found += [raw, volume(name, storageClassName="fast")]
    return found


# --- limits ---------------------------------------------------------------------------------------------------------


def _inline_migrated(dice: Dice, raw: Json) -> None:
    add_volumes(raw, in_tree(dice, dice.pick("d1", "d2", "d3")))


def _attachable_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Claims of several drivers, bound or waiting; two may share a volume's handle."""
    found: list[Json] = []
    for raw in claims_for(dice, objects, likely=0.98):
        name = f"pv-{raw['metadata']['namespace']}-{raw['metadata']['name']}"
        of_class(raw, dice.pick("fast", "fast", "fast", "ebs"))
        if dice.chance(0.75):
            bind(raw, name)
            found.append(volume(name, source=_attachable(dice, name), storageClassName="fast"))
        troubled(dice, raw)
        found.append(raw)
    return found


def _attachable(dice: Dice, name: str) -> Json:
    kind = dice.choices(("csi", "shared", "migrated", "in tree", "plain"), (50, 15, 10, 20, 5))[0]
    if kind == "plain":
        return {"nfs": {"server": "10.0.0.9", "path": "/"}}
    if kind == "in tree":
        return in_tree(dice, dice.pick("d1", "d2", "d3"))
    driver = dice.pick(*MIGRATED.values()) if kind == "migrated" else DRIVER
    return csi("shared" if kind == "shared" else name, driver)


def attachments(dice: Dice, objects: list[Json]) -> list[Json]:
    """What is attached already: for pods here, for pods long gone, for volumes nobody knows."""
    volumes = [raw["metadata"]["name"] for raw in objects if raw["kind"] == "PersistentVolume"]
    nodes = node_names(objects)
    return [_attachment(dice, i, nodes, [*volumes, "pv-unknown"]) for i in range(dice.randint(0, 6))]


def _attachment(dice: Dice, i: int, nodes: list[str], volumes: list[str]) -> Json:
    source: Json = {"persistentVolumeName": dice.pick(*volumes)} if dice.chance(0.95) else {"inlineVolumeSpec": {}}
    attacher = dice.pick(DRIVER, DRIVER, DRIVER, *MIGRATED.values())
    spec = {"attacher": attacher, "nodeName": dice.pick(*nodes), "source": source}
    meta = {"name": f"attached-{i}", "uid": f"uid-attached-{i}"}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": meta}
    return {**kind, "spec": spec, "status": {"attached": True}}


VOLUME_RESTRICTIONS = Group(
    bound=[*sometimes(0.8, with_disks), *sometimes(0.15, using_one_claim)],
    pending=[*sometimes(0.85, with_disks), *sometimes(0.45, using_one_claim)],
    more=[_single_pod_claims, classes],
    namespaces=("default", "default", "team-a"),
)
VOLUME_LIMITS = Group(
    bound=[*sometimes(0.35, using_claims, _inline_migrated), *sometimes(0.15, using_scratch)],
    pending=[*sometimes(0.7, using_claims), *sometimes(0.25, _inline_migrated, using_scratch)],
    more=[_attachable_claims, scratch_claims, attachments, csi_nodes, classes],
    namespaces=("default", "default", "default", "team-a"),
    most_bound=14,
)
