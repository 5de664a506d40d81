"""Groups on claims and volumes: bound, to be bound at once or on first use, and the zones that they are in."""

from __future__ import annotations

from .dice import ZONE, ZONES, Dice, Group, Json, node_names, sometimes
from .storage import (
    ASKED_SIZES,
    BETA_ZONE,
    DRIVER,
    REGION,
    SIZES,
    WAITING,
    bind,
    claims_for,
    classes,
    csi,
    csi_nodes,
    in_tree,
    of_class,
    reachable,
    reserve,
    scratch_claims,
    troubled,
    using_claims,
    using_scratch,
    volume,
    zoned_for_drivers,
)

_MANY_ZONES = (f"{ZONES[0]}__{ZONES[1]}", f"{ZONES[1]}__{ZONES[2]}", f"{ZONES[0]}__", "__".join(ZONES))
"""In a label: a volume that is in several."""
_ONE_NAMESPACE = ("default",)
_TWO_NAMESPACES = ("default", "default", "default", "team-a")

# --- bound ----------------------------------------------------------------------------------------------------------


def _bound_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Claims with volumes that some nodes reach; few of the volumes are not there."""
    found: list[Json] = []
    for raw in claims_for(dice, objects, likely=0.98):
        name = f"pv-{raw['metadata']['namespace']}-{raw['metadata']['name']}"
        source = csi(name) if dice.chance(0.7) else in_tree(dice, name)
        of_class(raw, "fast")
        bind(raw, name)
        troubled(dice, raw)
        found.append(raw)
        if dice.chance(0.98):
            found.append(_bound_volume(dice, name, source, raw, node_names(objects)))
    return found


def _bound_volume(dice: Dice, name: str, source: Json, claim_raw: Json, nodes: list[str]) -> Json:
    found = volume(name, source=source, storageClassName="fast")
    if dice.chance(0.7):
        found["spec"]["nodeAffinity"] = reachable(dice, nodes)
    if dice.chance(0.15):
        found["metadata"]["labels"][dice.pick(ZONE, BETA_ZONE)] = dice.pick(*ZONES, *_MANY_ZONES)
    reserve(found, claim_raw)
    found["status"]["phase"] = "Bound"
    return found


# --- at once --------------------------------------------------------------------------------------------------------


def _immediate_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Claims that a controller should have bound by now, before any pod is looked at; half of them it has."""
    found: list[Json] = []
    for raw in claims_for(dice, objects, likely=0.98):
        name = f"pv-{raw['metadata']['namespace']}-{raw['metadata']['name']}"
        _immediate_class(dice, raw)
        kind = dice.choices(("bound", "unbound", "named", "by class"), (65, 15, 12, 8))[0]
        if kind in ("bound", "named"):
            # what is only named waits for the controller, whatever the class says
            bind(raw, name, completed=kind == "bound")
            found.append(_bound_volume(dice, name, csi(name), raw, node_names(objects)))
        elif kind == "by class":
            of_class(raw, "fast")
        troubled(dice, raw)
        found.append(raw)
    return found


def _immediate_class(dice: Dice, raw: Json) -> None:
    match dice.choices(("now", "none", "empty", "missing", "fast", "beta"), (50, 10, 10, 10, 15, 5))[0]:
        case "now" | "fast" | "missing" as name:
            of_class(raw, name)
        case "empty":
            of_class(raw, "")
        case "beta":
            of_class(raw, "fast")
            of_class(raw, "now", beta=True)


# --- on first use ---------------------------------------------------------------------------------------------------


def _waiting_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Claims that wait for their first consumer, a pool of volumes, and what a provisioner has room for."""
    claims = claims_for(dice, objects, likely=0.98)
    for raw in claims:
        _waiting_claim(dice, raw, node_names(objects))
    sizes = dice.sample(SIZES, len(SIZES))
    pool = [_free_volume(dice, f"pv-{i}", size, objects) for i, size in enumerate(sizes[: dice.randint(3, len(sizes))])]
    for raw, each in zip(dice.sample(claims, len(claims)), dice.sample(pool, len(pool)), strict=False):
        if dice.chance(0.25):
            _prebound(dice, each, raw)
    return [*claims, *pool, *_capacities(dice)]


def _waiting_claim(dice: Dice, raw: Json, nodes: list[str]) -> None:
    spec = raw["spec"]
    of_class(raw, dice.choices((*WAITING, "now"), (48, 25, 14, 8, 5))[0])
    if dice.chance(0.05):
        of_class(raw, "fast", beta=True)
    spec["resources"] = {"requests": {"storage": dice.pick(*ASKED_SIZES)}}
    if dice.chance(0.15):
        spec["selector"] = dice.pick({"matchLabels": {"grade": "gold"}}, {}, {"matchLabels": {"grade": "silver"}})
    if dice.chance(0.15):
        spec["accessModes"] = dice.pick(["ReadWriteMany"], ["ReadWriteOnce", "ReadOnlyMany"], ["ReadWriteOncePod"])
    if dice.chance(0.08):
        spec["volumeMode"] = "Block"
    if dice.chance(0.08):
        spec["volumeAttributesClassName"] = dice.pick("quick", "slow")
    if dice.chance(0.08):
        annotations = raw["metadata"].setdefault("annotations", {})
        annotations["volume.kubernetes.io/selected-node"] = dice.pick(*nodes)


def _free_volume(dice: Dice, name: str, size: str, objects: list[Json]) -> Json:
    found = volume(name, size, storageClassName=dice.choices(("local", "fast", "zonal"), (75, 15, 10))[0])
    spec = found["spec"]
    if dice.chance(0.05):
        found["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": "local"}
    if dice.chance(0.85):
        spec["nodeAffinity"] = reachable(dice, node_names(objects))
    found["metadata"]["labels"] = {"grade": dice.pick("gold", "gold", "silver", "")}
    spec["accessModes"] = dice.pick(
        ["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany"], ["ReadOnlyMany", "ReadWriteOnce"]
    )
    if dice.chance(0.06):
        spec["volumeMode"] = "Block"
    if dice.chance(0.06):
        spec["volumeAttributesClassName"] = dice.pick("quick", "")
    found["status"]["phase"] = dice.choices(("Available", "Pending", "Released"), (92, 4, 4))[0]
    if dice.chance(0.03):
        found["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
    return found


def _prebound(dice: Dice, raw: Json, claim_raw: Json) -> None:
    """One volume is for one claim at most: of two, kube-scheduler would take the one that comes first in a map."""
    reserve(raw, claim_raw, with_uid=dice.chance(0.5))
    if dice.chance(0.1):
        raw["spec"]["claimRef"]["uid"] = "uid-of-another"
    if dice.chance(0.7) and (name := claim_raw["spec"].get("storageClassName")):
        raw["spec"]["storageClassName"] = name


def _capacities(dice: Dice) -> list[Json]:
    """Whether the driver tells of its room, and where it has how much; a driver that does not is never short."""
    spec: Json = {"attachRequired": True}
    if dice.chance(0.8):
        spec["storageCapacity"] = dice.chance(0.75)
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": spec}
    found = [_capacity(dice, i) for i in range(dice.randint(0, 6))]
    return [driver, *found] if dice.chance(0.85) else found


def _capacity(dice: Dice, i: int) -> Json:
    meta = {"name": f"room-{i}", "namespace": "kube-system", "uid": f"uid-room-{i}"}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity", "metadata": meta}
    found: Json = {**kind, "storageClassName": dice.pick("fast", "fast", "zonal")}
    topology = dice.pick(
        {"matchLabels": {ZONE: dice.pick(*ZONES)}}, {"matchLabels": {ZONE: dice.pick(*ZONES)}}, {}, None
    )
    if topology is not None:
        found["nodeTopology"] = topology
    if dice.chance(0.9):
        found["capacity"] = dice.pick("100Gi", "1e3", "2G", "0", "1.5Gi")
    if dice.chance(0.2):
        found["maximumVolumeSize"] = dice.pick("1Gi", "50Gi", "0.5")
    return found


# --- zones ----------------------------------------------------------------------------------------------------------


def _zoned_node(dice: Dice, raw: Json) -> None:
    """Labels of today, of old, both - which may differ - or none."""
    labels = raw["metadata"].setdefault("labels", {})
    if dice.chance(0.35):
        labels[BETA_ZONE] = dice.pick(*ZONES)
        if dice.chance(0.5):
            labels.pop(ZONE, None)
    if dice.chance(0.3):
        labels[REGION] = dice.pick("north", "south")


def _zoned_claims(dice: Dice, objects: list[Json]) -> list[Json]:
    """Bound volumes that carry their zone as a label; one may be in several."""
    found: list[Json] = []
    for raw in claims_for(dice, objects, likely=0.99):
        name = f"pv-{raw['metadata']['namespace']}-{raw['metadata']['name']}"
        of_class(raw, "fast")
        bind(raw, name)
        found.append(raw)
        if dice.chance(0.98):
            found.append(_zoned_volume(dice, name, raw))
    return found


def _zoned_volume(dice: Dice, name: str, claim_raw: Json) -> Json:
    source = csi(name) if dice.chance(0.5) else in_tree(dice, name)
    found = volume(name, source=source, storageClassName="fast")
    labels = found["metadata"]["labels"]
    if dice.chance(0.7):
        labels[dice.pick(ZONE, ZONE, BETA_ZONE)] = dice.pick(*ZONES, *_MANY_ZONES, "")
    if dice.chance(0.15):
        labels[REGION] = dice.pick("north", "south", "north__south")
    reserve(found, claim_raw)
    found["status"]["phase"] = "Bound"
    return found


VOLUMES_BOUND = Group(
    nodes=[*sometimes(0.7, zoned_for_drivers)],
    bound=[*sometimes(0.2, using_claims)],
    pending=[using_claims],
    more=[_bound_claims, classes, csi_nodes],
    namespaces=_TWO_NAMESPACES,
    most_bound=8,
)
VOLUMES_IMMEDIATE = Group(
    pending=[using_claims], more=[_immediate_claims, classes], namespaces=_TWO_NAMESPACES, most_bound=5
)
VOLUMES_WAIT = Group(
    pending=[*sometimes(0.9, using_claims), *sometimes(0.1, using_scratch)],
    more=[_waiting_claims, scratch_claims, classes],
    namespaces=_ONE_NAMESPACE,
    most_bound=5,
)
VOLUME_ZONE = Group(
    nodes=[_zoned_node], pending=[using_claims], more=[_zoned_claims, classes], namespaces=_TWO_NAMESPACES, most_bound=5
)
