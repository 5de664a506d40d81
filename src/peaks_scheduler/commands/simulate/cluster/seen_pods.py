"""Pods as kube-state-metrics told of them over a range of time, as API objects.

Names of metrics and labels are those of kube-state-metrics' code (v2.15, internal/store/pod.go, persistentvolume.go and
persistentvolumeclaim.go). It tells neither affinity nor, as it is mostly set up, tolerations: a pod is taken to
tolerate the taints of the nodes that it and its siblings were seen on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from peaks_scheduler.files.kubernetes_objects import Json
from peaks_scheduler.sources.prometheus.answers import Sample

from .history import History, own
from .seen_nodes import SeenNode, quantities

Uid = tuple[str, str, str]
"""Namespace, name and uid: a StatefulSet makes pods of one name again and again."""
TaintText = tuple[str, str, str]
"""Key, value and effect."""
Family = tuple[str, ...]
Containers = dict[str, dict[str, float]]
"""Container -> resource -> amount requested."""


@dataclass(slots=True)
class SeenPod:
    """One pod. Times are [s since the epoch]."""

    namespace: str
    name: str
    uid: str
    last: float
    """When it was last told of."""
    node: str = ""
    owner: tuple[str, str] = ("", "")
    """Kind and name of its controller."""
    created: float | None = None
    started: float | None = None
    completed: float | None = None
    """When its last container ended."""
    finished: bool = False
    """Has it succeeded or failed?"""
    containers: Containers = field(default_factory=dict)
    init_containers: Containers = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)

    def raw(self, name: str, tolerations: Iterable[TaintText]) -> Json:
        """As the API server would have it, under another ``name``; it tolerates these taints (key, value, effect)."""
        tolerated = [
            {"key": key, "operator": "Equal", "value": value, "effect": effect} for key, value, effect in tolerations
        ]
        return {
            "kind": "Pod",
            "metadata": {
                "namespace": self.namespace,
                "name": name,
                "uid": self.uid or f"{self.namespace}/{name}",
                "creationTimestamp": None if self.created is None else _written(self.created),
            },
            "spec": {
                "containers": _listed(self.containers),
                "initContainers": _listed(self.init_containers),
                "tolerations": tolerated,
            },
        }


def _written(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _listed(containers: Containers) -> list[Json]:
    return [{"name": name, "resources": {"requests": quantities(asked)}} for name, asked in sorted(containers.items())]


async def seen_pods(history: History) -> list[SeenPod]:
    """Every pod of the span, in order of namespace, name and uid. Raises LoadError."""
    pods: dict[Uid, SeenPod] = {}
    for each in await history.latest("kube_pod_info"):
        pod = pods.setdefault(_uid(each), SeenPod(*_uid(each), each.time))
        pod.node = own(each.labels, "node") or pod.node
        pod.owner = own(each.labels, "created_by_kind"), own(each.labels, "created_by_name")
    for each in await history.last_seen("kube_pod_info"):
        if (known := pods.get(_uid(each))) is not None:
            known.last = each.value
    await _add_times(history, pods)
    await _add_requests(history, pods)
    for each in await history.latest("kube_pod_spec_volumes_persistentvolumeclaims_info"):
        if (known := pods.get(_uid(each))) is not None:
            known.claims.add(own(each.labels, "persistentvolumeclaim"))
    return [pods[uid] for uid in sorted(pods)]


async def _add_times(history: History, pods: Mapping[Uid, SeenPod]) -> None:
    for metric, attribute in (
        ("kube_pod_created", "created"),
        ("kube_pod_start_time", "started"),
        ("kube_pod_completion_time", "completed"),
    ):
        for each in await history.latest(metric):
            if (pod := pods.get(_uid(each))) is not None:
                setattr(pod, attribute, each.value)
    for each in await history.latest("kube_pod_status_phase", 'phase=~"Succeeded|Failed"'):
        if each.value > 0.0 and (pod := pods.get(_uid(each))) is not None:
            pod.finished = True


async def _add_requests(history: History, pods: Mapping[Uid, SeenPod]) -> None:
    for metric, attribute in (
        ("kube_pod_container_resource_requests", "containers"),
        ("kube_pod_init_container_resource_requests", "init_containers"),
    ):
        for each in await history.latest(metric):
            if (pod := pods.get(_uid(each))) is not None:
                containers: Containers = getattr(pod, attribute)
                asked = containers.setdefault(own(each.labels, "container"), {})
                asked[own(each.labels, "resource")] = each.value


def _uid(sample: Sample) -> Uid:
    labels = dict(sample.labels.items())
    return own(labels, "namespace"), own(labels, "pod"), own(labels, "uid")


@dataclass(frozen=True, slots=True)
class SeenVolumes:
    """Which claims are bound to which volumes, and which volumes are on one node."""

    volume_of: Mapping[tuple[str, str], str]
    """(namespace, claim) -> volume; empty: not bound yet."""
    local: Mapping[str, bool]
    """Volume -> is its data on one node?"""


async def seen_volumes(history: History) -> SeenVolumes:
    """The claims and volumes of the span. Raises LoadError."""
    claims = {
        (own(each.labels, "namespace"), own(each.labels, "persistentvolumeclaim")): own(each.labels, "volumename")
        for each in await history.latest("kube_persistentvolumeclaim_info")
    }
    volumes = {
        own(each.labels, "persistentvolume"): bool(own(each.labels, "local_path") or own(each.labels, "host_path"))
        for each in await history.latest("kube_persistentvolume_info")
    }
    return SeenVolumes(claims, volumes)


def tolerated(pods: Iterable[SeenPod], nodes: Mapping[str, SeenNode]) -> dict[Family, set[TaintText]]:
    """The taints of the nodes that the pods of each family were on: those of one controller, else the pod alone."""
    found: dict[Family, set[TaintText]] = {}
    for pod in pods:
        if (node := nodes.get(pod.node)) is not None and node.taints:
            found.setdefault(family(pod), set()).update(node.taints)
    return found


def family(pod: SeenPod) -> Family:
    """Pods with one controller are one family."""
    kind, name = pod.owner
    return (pod.namespace, kind, name) if kind else (pod.namespace, pod.name, pod.uid, "")
