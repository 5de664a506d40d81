"""Which fields of a pod are supported, which do not matter for placement, and which make the pod unsupported.

Owns the three lists. A field in none of them makes the pod unsupported too, unless the configuration ignores it: a pod
is never placed wrongly because a newer API server knows more fields than this version.
"""

from __future__ import annotations

from collections.abc import Iterable

from .requests import Json

SUPPORTED = frozenset(
    {
        "containers",
        "initContainers",
        "nodeName",
        "nodeSelector",
        "affinity",
        "overhead",
        "priority",
        "resources",
        "schedulerName",
    }
    | {"schedulingGates", "tolerations", "topologySpreadConstraints", "volumes"}
)
"""Fields of a pod's spec that a decision reads; some of their parts are refused below."""

HARMLESS = frozenset(
    {
        "activeDeadlineSeconds",
        "automountServiceAccountToken",
        "dnsConfig",
        "dnsPolicy",
        "enableServiceLinks",
        "ephemeralContainers",
    }
    | {
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostUsers",
        "hostname",
        "hostnameOverride",
        "imagePullSecrets",
        "os",
    }
    | {
        "preemptionPolicy",
        "priorityClassName",
        "readinessGates",
        "restartPolicy",
        "runtimeClassName",
        "securityContext",
    }
    | {"serviceAccount", "serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "subdomain"}
    | {"terminationGracePeriodSeconds"}
)
"""Fields that no filter of kube-scheduler reads, except ``hostNetwork`` and ``hostUsers``: see ``constraints``."""

REFUSED = frozenset({"resourceClaims", "schedulingGroup", "workloadRef"})
"""Fields that constrain placement and are not supported; neither are claims in a container's resources."""

SUPPORTED_VOLUMES = frozenset(
    {
        "awsElasticBlockStore",
        "azureDisk",
        "cinder",
        "ephemeral",
        "gcePersistentDisk",
        "iscsi",
        "persistentVolumeClaim",
        "portworxVolume",
        "rbd",
    }
)
"""Volume sources that bind a pod to nodes, exclude other pods, or count against limits."""

HARMLESS_VOLUMES = frozenset(
    {
        "azureFile",
        "cephfs",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "flocker",
        "gitRepo",
        "glusterfs",
        "hostPath",
        "image",
        "nfs",
        "photonPersistentDisk",
        "projected",
        "quobyte",
        "scaleIO",
        "secret",
        "storageos",
        "vsphereVolume",
    }
)
"""Volume sources that no filter of kube-scheduler reads."""


def unsupported_fields(spec: Json, ignored: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Paths of the fields that make a pod unsupported, unknown fields included, except those ``ignored``."""
    return tuple(path for path in _unsupported(spec) if path not in ignored or not is_unknown(path))


def is_unknown(path: str) -> bool:
    """Is the path of an unsupported field unknown to this version?"""
    field = path.removeprefix("spec.")
    return field not in REFUSED and not field.endswith(".resources.claims")


def _unsupported(spec: Json) -> Iterable[str]:
    yield from (f"spec.{key}" for key in spec if key not in SUPPORTED and key not in HARMLESS)
    for i, volume in enumerate(spec.get("volumes") or ()):
        yield from (
            f"spec.volumes[{i}].{source}"
            for source in volume
            if source != "name" and source not in HARMLESS_VOLUMES and source not in SUPPORTED_VOLUMES
        )
    for kind in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(kind) or ()):
            if (container.get("resources") or {}).get("claims"):
                yield f"spec.{kind}[{i}].resources.claims"
