"""Which fields of a pod are honoured when it is placed, which need not be, and which refuse it.

Owns the three lists. A field that stands in none of them is refused like one that is known not to be honoured, unless
the configuration says to ignore it: a pod is never placed wrongly because a newer API server knows more than this
version.
"""

from __future__ import annotations

from collections.abc import Iterable

from .requests import Json

HONOURED = frozenset(
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
"""Fields of a pod's spec that placing reads; some of their parts are refused below."""

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
"""Fields that no filter of kube-scheduler reads, but for ``hostNetwork`` and ``hostUsers``, which ``objects`` reads."""

REFUSED = frozenset({"resourceClaims", "schedulingGroup", "workloadRef"})
"""Fields that constrain placement and are known not to be honoured; so are claims in a container's resources."""

HONOURED_VOLUMES = frozenset(
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
"""Volume sources that bind a pod to places, keep others out or count against limits."""

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
    """Paths of the fields that constrain placement and are not honoured by this version, fields unknown to it
    included but for those ``ignored``."""
    return tuple(path for path in _unsupported(spec) if path not in ignored or not is_unknown(path))


def is_unknown(path: str) -> bool:
    """Is the path of an unsupported field one that this version does not know at all?"""
    field = path.removeprefix("spec.")
    return field not in REFUSED and not field.endswith(".resources.claims")


def _unsupported(spec: Json) -> Iterable[str]:
    yield from (f"spec.{key}" for key in spec if key not in HONOURED and key not in HARMLESS)
    for i, volume in enumerate(spec.get("volumes") or ()):
        yield from (
            f"spec.volumes[{i}].{source}"
            for source in volume
            if source != "name" and source not in HARMLESS_VOLUMES and source not in HONOURED_VOLUMES
        )
    for kind in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(kind) or ()):
            if (container.get("resources") or {}).get("claims"):
                yield f"spec.{kind}[{i}].resources.claims"
