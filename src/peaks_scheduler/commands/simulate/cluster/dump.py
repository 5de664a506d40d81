"""A cluster at one instant, from ``kubectl get nodes,pods,pv,pvc -A -o json``.

The pods that run or wait become jobs that arrive at the start, those that stay before the others, each in the order in
which they were created, and run to the end of the horizon. Assumes that a file may have any content: what cannot be
read is a ConfigurationError that names the file and the object, what is left out is counted. The metrics API's answer
may stand in the same file:

    kubectl get nodes,pods,pv,pvc -A -o json > cluster.json
    kubectl get --raw /apis/metrics.k8s.io/v1beta1/pods >> cluster.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.kubernetes_objects import (
    Json,
    Object,
    defaulted,
    identity,
    items_of,
    mapping,
    read_objects,
    shaped,
)
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.objects.pod import FINISHED, Pod, pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload, in_order

from .jobs import (
    USE_OF_REQUEST,
    Stay,
    at_the_start,
    count_staying,
    in_turn,
    job_of,
    placed_anew,
    supposed_note,
    supposed_use,
)
from .nodes import Assumed, simulated
from .notes import Counts
from .staying import tied
from .volumes import Storage, storage_of

_READ = frozenset({"Node", "Pod", "PodMetrics", "PersistentVolume", "PersistentVolumeClaim"})


@dataclass(frozen=True, slots=True)
class Dump:
    """The objects of a file, of the kinds that are read."""

    path: str
    objects: Sequence[Object]
    """An object that is there twice counts as it came last."""

    def of_kind(self, kind: str) -> list[Json]:
        return [raw for _, raw in self.objects if raw["kind"] == kind]


def read_dump(path: str, option: str = "--nodes") -> Dump:
    """The objects of a file. ``option``: what names the file, for errors. Raises ConfigurationError."""
    every = [(origin, raw) for origin, raw in read_objects(path, option) if raw["kind"] in _READ]
    for origin, raw in every:
        _refuse_odd_names(origin, raw)
    found = (defaulted(origin, raw) for origin, raw in every)
    return Dump(path, tuple({identity(raw): (origin, raw) for origin, raw in found}.values()))


def _refuse_odd_names(origin: str, raw: Json) -> None:
    """Raises ConfigurationError for a name or labels that are no text, as YAML makes them of ``1`` and ``yes``."""
    meta = mapping(raw.get("metadata"))
    labels = meta.get("labels") or {}
    texts = [meta.get("name") or "", meta.get("namespace") or "", mapping(raw.get("spec")).get("nodeName") or ""]
    if isinstance(labels, dict):
        texts += [*labels, *labels.values()]
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in texts):
        what = f"{origin}: {raw['kind']} {meta.get('name')}"
        shown = str(texts)[:80]
        raise ConfigurationError(f"{what}: expected text as name, namespace, labels and nodeName; got {shown}")


def nodes_of_dump(
    path: str, models: PowerModels, assumed: Assumed | None = None
) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """The nodes of a dump, and notes. Arguments and errors as of ``nodes.simulated``, and for a file that cannot be
    read."""
    return nodes_in(read_dump(path), models, assumed)


def nodes_in(
    dump: Dump, models: PowerModels, assumed: Assumed | None = None
) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """As ``nodes_of_dump``, of a dump that has been read."""
    nodes, counts = [], Counts()
    for raw in dump.of_kind("Node"):
        with shaped(dump.path, raw):
            node = node_from_api(raw)
        nodes.append(node)
        counts.passes(_ready(raw), "node not ready, counted as on: taints keep pods away", node.name)
        counts.passes(not node.unschedulable, "node cordoned, counted as on: only pods that stay are there", node.name)
    found, notes = simulated(nodes, models, f"--nodes {dump.path}", assumed)
    return found, (*notes, *counts.notes())


def _ready(raw: Json) -> bool:
    conditions = (mapping(each) for each in items_of(mapping(raw.get("status")).get("conditions")))
    return all(each.get("status") == "True" for each in conditions if each.get("type") == "Ready")


def workload_of_dump(
    path: str, horizon_s: float, settings: Settings, use_of_request: float = USE_OF_REQUEST
) -> Workload:
    """The pods of a dump as jobs that run for ``horizon_s`` [s].

    ``settings``: how pods are read. ``use_of_request``: share of its request that a pod is taken to use if the dump has
    no measurement of it. Raises ConfigurationError for a file that cannot be read or has no pod to run.
    """
    return workload_in(read_dump(path, "--workload"), horizon_s, settings, use_of_request)


def workload_in(dump: Dump, horizon_s: float, settings: Settings, use_of_request: float = USE_OF_REQUEST) -> Workload:
    """As ``workload_of_dump``, of a dump that has been read."""
    counts = Counts()
    pods = _pods(dump, settings, counts)
    stays = _kept_on_nodes(pods, dump, counts)
    if not stays:
        raise ConfigurationError(
            f"--workload {dump.path}: expected pods that run or wait, got none: kubectl get nodes,pods -A -o json"
        )
    count_staying(stays, counts)
    jobs = _jobs(stays, horizon_s, _measured(dump), use_of_request, counts)
    return Workload(in_order(jobs), counts.notes())


def _pods(dump: Dump, settings: Settings, counts: Counts) -> list[tuple[Pod, Stay]]:
    """The pods that run or wait, in order of arrival, as they were before they were placed."""
    storage = _storage(dump)
    found = []
    for raw in dump.of_kind("Pod"):
        with shaped(dump.path, raw):
            pod = pod_from_api(
                raw, settings.default_pod_cpu, ignored=settings.pod_fields.ignore, rules=settings.annotation_rules
            )
            if _counts_in(pod, counts):
                found.append(placed_anew(pod, Stay(pod.node_name, tied(raw)), storage))
    return sorted(found, key=lambda each: in_turn(*each))


def _storage(dump: Dump) -> Storage:
    with shaped(dump.path):
        return storage_of(raw for _, raw in dump.objects)


def _counts_in(pod: Pod, counts: Counts) -> bool:
    return (
        counts.passes(pod.phase not in FINISHED, "pod left out, finished", pod.key)
        and counts.passes(not pod.deleting, "pod left out, being deleted", pod.key)
        and counts.passes(not pod.gated, "pod left out, held back by a scheduling gate", pod.key)
    )


def _kept_on_nodes(pods: list[tuple[Pod, Stay]], dump: Dump, counts: Counts) -> list[tuple[Pod, Stay]]:
    """The pods without those that must stay on a node that is gone."""
    names = {str(mapping(raw.get("metadata")).get("name")) for raw in dump.of_kind("Node")}
    if not names:
        return pods
    return [
        (pod, stay)
        for pod, stay in pods
        if counts.passes(
            not stay.why or stay.node in names, "pod left out, kept on a node that is not in the dump", pod.key
        )
    ]


def _jobs(
    pods: Sequence[tuple[Pod, Stay]],
    horizon_s: float,
    measured: Mapping[str, float],
    use_of_request: float,
    counts: Counts,
) -> list[Job]:
    jobs = []
    for arrival, (pod, stay) in zip(at_the_start(len(pods)), pods, strict=True):
        cores = measured.get(pod.key)
        if cores is None:
            counts.add(supposed_note(use_of_request), pod.key)
            cores = supposed_use(pod, use_of_request)
        jobs.append(job_of(pod, stay, arrival, max(horizon_s - arrival, 1.0), cores))
    return jobs


def _measured(dump: Dump) -> Mapping[str, float]:
    """[cores] by ``namespace/name``, of the pods whose use the metrics API has told."""
    metrics = dump.of_kind("PodMetrics")
    if not metrics:
        return {}
    from peaks_scheduler.sources.pod_usage import read_pods  # with httpx, which a dump alone does not need

    return {f"{each.namespace}/{each.name}": each.cores for each in read_pods(metrics)}
