"""What can happen to a ledger: small objects of every kind that collide, spread and attract each other in many ways."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.builders import (
    PREFERRED,
    Json,
    anti_affinity,
    expression,
    pod_affinity,
    pod_term,
    spread,
    taint,
)

NAMES = [f"n{i}" for i in range(3)]
UIDS = [f"p{i}" for i in range(4)]
NAMESPACES = ["default", "team"]
DRIVER = "disks.example.com"
OWNERS = ["db", "web"]
SIBLINGS = [f"{namespace}/StatefulSet.apps/{owner} web:1" for namespace in NAMESPACES for owner in OWNERS]
CPUS = ["0", "100m", "333m", "2"]
WEB, DB = {"app": "web"}, {"app": "db"}
LABELS: list[dict[str, str]] = [{}, WEB, DB, WEB | {"tier": "front"}]
PROD = {"matchLabels": {"env": "prod"}}
PLACES: list[dict[str, str]] = [
    {},
    {"zone": "a"},
    {"zone": "b"},
    {"zone": "b", "rack": "1"},
    {"zone": "", "cores": "8"},
]
TAINTS = [[], [taint("a")], [taint("a"), taint("b", "x", "NoExecute"), taint("c", effect="PreferNoSchedule")]]
FEATURES: list[list[str]] = [[], ["A"], ["A", "UserNamespacesHostNetworkSupport"]]


def preferring(kind: str, weight: int, term: Json) -> Json:
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term}]}}


SPECS: list[dict[str, Any]] = [
    {},
    {"requests": {"example.com/gpu": "1"}},
    {"ports": [{"hostPort": 80}]},
    {"ports": [{"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 443}], "memory": "1Gi"},
    {"affinity": anti_affinity(WEB)},
    {"affinity": anti_affinity(WEB, "zone", namespaceSelector=PROD)},
    {"affinity": anti_affinity({}, "zone", ["team"]) | pod_affinity(pod_term(WEB, "zone"), pod_term(WEB))},
    {"affinity": preferring("podAffinity", 7, pod_term(WEB, "zone", namespaceSelector=PROD))},
    {"affinity": preferring("podAntiAffinity", 7, pod_term(DB)), "topologySpreadConstraints": [spread(WEB)]},
    {"volumes": [{"name": "disk", "gcePersistentDisk": {"pdName": "shared"}}]},
    *2 * [{"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-of-UID"}}]}],
    {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-of-p0"}}]},
]


def claim(name: str, volume: str = "", *, mode: str = "ReadWriteOnce", size: str = "1Gi", **annotations: str) -> Json:
    """It waits for a pod, or is bound to ``volume``."""
    spec = {"accessModes": [mode], "storageClassName": "late", "resources": {"requests": {"storage": size}}}
    annotations |= {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations}
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": spec | ({"volumeName": volume} if volume else {}),
    }


def volume(name: str, zone: str, owner: str = "", size: str = "1Gi") -> Json:
    """Reached from one zone; ``owner``: the claim that it is for."""
    terms = [{"matchExpressions": [expression("zone", "In", zone)]}]
    spec: Json = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "late"}
    spec |= {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    spec |= {"csi": {"driver": DRIVER, "volumeHandle": name}}
    if owner:
        spec["claimRef"] = {"namespace": "default", "name": owner, "uid": f"uid-{owner}"}
    phase = "Bound" if owner else "Available"
    return {"kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def storage_class(provisioner: str, mode: str = "WaitForFirstConsumer") -> Json:
    return {"kind": "StorageClass", "metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": mode}


def csi_node(name: str, count: int) -> Json:
    driver = {"name": DRIVER, "nodeID": name, "allocatable": {"count": count}}
    return {"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": [driver]}}


USUAL: list[Json] = [
    storage_class(DRIVER),
    *(claim(f"data-of-{owner}") for owner in (*UIDS, "probe")),
    *(volume(f"v{i}", zone) for i, zone in enumerate("ab")),
    *(csi_node(name, 1) for name in NAMES),
]
STORED: list[Json] = [
    *USUAL,
    storage_class("kubernetes.io/no-provisioner"),
    storage_class(DRIVER, "Immediate"),
    claim("data-of-p0", mode="ReadWriteOncePod"),
    claim("data-of-p0", "v0"),
    claim("data-of-p1", "v1"),
    *(volume(f"v{i}", zone) for i, zone in enumerate("ba")),
    volume("v0", "a", owner="data-of-p0"),
    volume("v1", "b", owner="data-of-p1", size="5Gi"),
    *(csi_node(name, 2) for name in NAMES),
]


def key_of(raw: Json) -> tuple[str, str]:
    return raw["kind"], raw["metadata"]["name"]


NEW_PODS = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from(CPUS),
        "labels": st.sampled_from(LABELS),
        "spec": st.sampled_from(SPECS),
        "where": st.sampled_from(["", "", "", *NAMES]),
        "nominated": st.sampled_from(["", "", "", *NAMES]),
        "namespace": st.sampled_from(["default", "default", "default", "team"]),
        "owner": st.sampled_from(["", *2 * OWNERS]),
        "priority": st.sampled_from([0, 0, 5]),
    }
)
