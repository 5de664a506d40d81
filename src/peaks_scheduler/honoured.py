"""Which fields of a pod are honoured when it is placed, which need not be, and which refuse it.

Owns the three lists. A field that stands in none of them is refused like one that is known not to be honoured: a pod is
never placed wrongly because a newer API server knows more than this version.
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
"""Fields that no filter of kube-scheduler reads."""

HARMLESS_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "gitRepo", "hostPath", "image", "nfs", "projected", "secret"}
)
"""Volume sources that no filter of kube-scheduler reads; all others bind a pod to places or count against limits."""

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def unsupported_fields(spec: Json) -> tuple[str, ...]:
    """Paths of the fields that constrain placement and are not honoured by this version, fields unknown to it
    included."""
    return tuple(_unsupported(spec))


def _unsupported(spec: Json) -> Iterable[str]:
    yield from (f"spec.{key}" for key in spec if key not in HONOURED and key not in HARMLESS)
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        yield "spec.hostUsers"  # wants a feature that nodes declare
    affinity = spec.get("affinity")
    if affinity:
        yield from (
            f"spec.affinity.{kind}"
            for kind in ("podAffinity", "podAntiAffinity")
            if (affinity.get(kind) or {}).get(_REQUIRED)
        )
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule":
            yield f"spec.topologySpreadConstraints[{i}]"
    for i, volume in enumerate(spec.get("volumes") or ()):
        yield from (
            f"spec.volumes[{i}].{source}" for source in volume if source != "name" and source not in HARMLESS_VOLUMES
        )
    for kind in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(kind) or ()):
            if any(rule.get("action") == "RestartAllContainers" for rule in container.get("restartPolicyRules") or ()):
                yield f"spec.{kind}[{i}].restartPolicyRules"
            if (container.get("resources") or {}).get("claims"):
                yield f"spec.{kind}[{i}].resources.claims"
