"""Deployments, StatefulSets and Jobs for a real API server, and waiting for what their controllers and a scheduler do.

Owns the builders and the waits, each of them bounded. Assumes kube-controller-manager (``start_controller_manager``)
and kwok; the pods go to the scheduler that the builder is given, so that the same workload runs under any. Pods go at
once when they are deleted unless ``grace`` says otherwise: there is no kubelet, ``finish_terminating`` plays its part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.support.api import Object
from tests.e2e.support.cluster import Cluster, path_of
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.volumes import HOSTNAME
from tests.e2e.support.workload import SMALL, pod

DEFAULT_SCHEDULER = "default-scheduler"
"""kube-scheduler, as pods name it."""


# --- workloads: every pod has the label app=NAME ----------------------------------------------------------------------


def pod_template(
    app: str, *, scheduler: str, grace: int = 0, labels: Mapping[str, str] | None = None, **more: Any
) -> Object:
    """What ``workload.pod`` would make of ``more``, without a name. ``grace`` [s] is how long it stays Terminating."""
    asked = {"cpu": SMALL, "terminationGracePeriodSeconds": grace, **more}
    spec = pod(app, scheduler=scheduler, **asked)["spec"]
    return {"metadata": {"labels": {"app": app, **(labels or {})}}, "spec": spec}


def _workload(api: str, kind: str, app: str, replicas: int, template: Object, **more: Any) -> Object:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template, **more}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": app}, "spec": spec}


def deployment(
    app: str, replicas: int, *, scheduler: str = "Peaks", strategy: Object | None = None, **more: Any
) -> Object:
    """``more`` describes the pods. A rollout makes its surge first unless ``strategy`` says so (see ``in_place``)."""
    rolling = {} if strategy is None else {"strategy": strategy}
    return _workload("apps/v1", "Deployment", app, replicas, pod_template(app, scheduler=scheduler, **more), **rolling)


def stateful_set(
    app: str,
    replicas: int,
    *,
    scheduler: str = "Peaks",
    claims: Sequence[Object] = (),
    parallel: bool = False,
    **more: Any,
) -> Object:
    """``claims`` are ``volumes.claim_template``; pods come one after the other, or all at once if ``parallel``."""
    policy = "Parallel" if parallel else "OrderedReady"
    extra = {"serviceName": app, "podManagementPolicy": policy, "volumeClaimTemplates": list(claims)}
    return _workload("apps/v1", "StatefulSet", app, replicas, pod_template(app, scheduler=scheduler, **more), **extra)


def job(app: str, completions: int, *, scheduler: str = "Peaks", **more: Any) -> Object:
    """All pods at once; kwok lets each of them succeed as soon as it runs."""
    template = pod_template(app, scheduler=scheduler, restartPolicy="Never", **more)
    spec = {"completions": completions, "parallelism": completions, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": app}, "spec": spec}


def in_place() -> Object:
    """A Deployment's strategy: the old pod goes first. The only one that ends when every node has a pod already."""
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def spread(app: str, topology: str = HOSTNAME, *, skew: int = 1, hard: bool = True, **more: Any) -> Object:
    """One of ``topologySpreadConstraints``, over the workload's own pods; ``more``: minDomains, matchLabelKeys."""
    how = {"whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway"}
    return {"maxSkew": skew, "topologyKey": topology, "labelSelector": {"matchLabels": {"app": app}}, **how, **more}


# --- what is done to them ---------------------------------------------------------------------------------------------


def scale(cluster: Cluster, kind: str, app: str, replicas: int) -> None:
    cluster.api.patch(path_of(kind, app), {"spec": {"replicas": replicas}})


def roll_out(cluster: Cluster, kind: str, app: str, revision: str) -> None:
    """A new revision of the pods, told from the old by the annotation ``revision``; see ``wait_rolled_out``."""
    template = {"metadata": {"annotations": {"revision": revision}}}
    cluster.api.patch(path_of(kind, app), {"spec": {"template": template}})


def finish_terminating(cluster: Cluster) -> list[str]:
    """What kubelets do in the end: pods that were deleted with grace are gone. Their names."""
    going = [each["metadata"] for each in cluster.list_pods() if "deletionTimestamp" in each["metadata"]]
    # by uid: the name may by now be that of the pod that came after it
    calls = [
        (
            path_of("Pod", metadata["name"], metadata["namespace"]),
            {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}},
        )
        for metadata in going
    ]
    cluster.api.bulk("DELETE", calls, missing_ok=True)
    return [metadata["name"] for metadata in going]


# --- what became of them ----------------------------------------------------------------------------------------------


def pods_of(cluster: Cluster, app: str) -> list[Object]:
    """The workload's pods that nobody has deleted, on a node or not."""
    found = cluster.list_pods("default", labelSelector=f"app={app}")
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def wait_bound(cluster: Cluster, app: str, count: int, timeout: float = PATIENCE) -> dict[str, str]:
    """Node by pod, once the workload has exactly ``count`` pods and all of them are on nodes."""

    def settled() -> list[dict[str, str]]:
        live = pods_of(cluster, app)
        placed = {each["metadata"]["name"]: each["spec"]["nodeName"] for each in live if "nodeName" in each["spec"]}
        return [placed] if len(placed) == len(live) == count else []

    return wait_until(settled, f"{count} pods of {app}, all bound", timeout, every=0.1)[0]


def wait_rolled_out(cluster: Cluster, kind: str, app: str, timeout: float = PATIENCE) -> Object:
    """The workload, once all its pods are of its newest revision and ready, and none of an older one is left."""

    def done() -> Object | None:
        found = cluster.read(kind, app)
        state, wanted = found["status"], found["spec"]["replicas"]
        counts = {state.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")}
        seen = state.get("observedGeneration") == found["metadata"]["generation"]
        return found if seen and counts == {wanted} else None

    return wait_until(done, f"{kind} {app} rolled out", timeout, every=0.1) or {}


def wait_claims_bound(cluster: Cluster, count: int, timeout: float = PATIENCE) -> dict[str, str]:
    """Volume by claim, once there are exactly ``count`` claims in the cluster and all of them are Bound."""

    def bound() -> dict[str, str] | None:
        found = cluster.list_all("PersistentVolumeClaim")
        volumes = {
            each["metadata"]["name"]: each["spec"]["volumeName"] for each in found if each["status"]["phase"] == "Bound"
        }
        return volumes if len(volumes) == len(found) == count else None

    return wait_until(bound, f"{count} claims bound", timeout, every=0.1) or {}
