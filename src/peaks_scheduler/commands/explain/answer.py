"""Where would a pod go, and why? The question for the core, and the answer as JSON.

Every verdict comes from ``cycle``, as the daemon's do. Each pending pod is judged alone: no pod is assumed to be placed
before another. Assumes a Cluster that has been read. Never does I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peaks_scheduler.errors import NotFound, PeaksError
from peaks_scheduler.files.kubernetes_objects import shaped
from peaks_scheduler.ledger.records import State
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.batching import BatchStrategy, any_strategy, plan_for_one
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import Decision, NodeVerdict
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from peaks_scheduler.scheduling.verdicts import judge
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.carbon_file import read_carbon, tell_intensity
from peaks_scheduler.text.words import few

from .cluster import Cluster
from .templates import Template

DAEMON_SET = (
    "its controller makes one pod for each node and binds it to that node; the answer is for one pod that may go "
    "anywhere, and the line of each node says whether that node would take its own pod"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Where one pod would go, and why."""

    pod: Pod
    key: str
    """``namespace/name`` of the pod, or a name of the workload that would make it."""
    template: Template | None = None
    decision: Decision | None = None
    """None: the pod is gated, no node is considered yet."""
    nodes: Mapping[str, NodeVerdict] = field(default_factory=dict)
    other_models: str = ""
    """Why a running scheduler may use other power models and decide differently; empty: it uses these."""

    @property
    def message(self) -> str | None:
        """Why no node is feasible; None if one is, or if the pod is gated."""
        diagnosis = self.decision.diagnosis if self.decision else None
        return diagnosis.message if diagnosis else None

    @property
    def notes(self) -> list[str]:
        """Fields of the pod that could not be read and are not used, and a hint on DaemonSets."""
        notes = [f"{self.key}: {oddity}" for oddity in self.pod.oddities]
        if self.template is not None and self.template.kind == "DaemonSet":
            notes.append(f"{self.key}: {DAEMON_SET}")
        return notes

    def as_json(self) -> dict[str, Any]:
        answer = {
            "node": self.decision.node if self.decision else None,
            "message": self.message,
            "gated": self.pod.gated,
            "unsupported": list(self.pod.unsupported),
            "podCpu": self.pod.cpu / 1000.0,
            "podCpuFrom": self.pod.cpu_from,
            "nodes": {name: verdict.as_json() for name, verdict in self.nodes.items()},
            **({"notes": [self.other_models]} if self.other_models else {}),
        }
        if self.template is None:
            return answer
        return answer | {"template": {"kind": self.template.kind, "replicas": self.template.replicas}}


def explain(cluster: Cluster, settings: Settings, key: str | None) -> list[Answer]:
    """The answer for ``key``: ``namespace/name`` of a pod, or of a workload in files; None: every pending pod of ours.

    Raises NotFound for an unknown pod, PeaksError for a pod that is not pending.
    """
    strategy, ours = any_strategy(settings.strategy), settings.scheduler_name
    if settings.carbon.path is not None:
        tell_intensity(cluster.ledger, read_carbon(settings.carbon.path), cluster.now)
    pods = _pending(cluster, ours) if key is None else _wanted(cluster, key, ours)
    keys = _keys(cluster)
    with shaped("the cluster's objects"):
        found = [_answer(pod, keys, cluster, strategy, settings.tolerance_watts) for pod in pods]
    return sorted(found, key=lambda answer: answer.key)


def passed_over(cluster: Cluster, ours: str) -> list[str]:
    """Notes on pod templates that ``--all-pending`` leaves out, and why."""
    pods = {pod.uid: pod for pod, _ in cluster.ledger.pods()}
    theirs, none = [], []
    for uid, template in cluster.templates.items():
        if (name := pods[uid].scheduler_name) != ours:
            theirs.append(f"{template.name} ({name})")
        elif not template.waits and not template.running:
            none.append(template.name)
    others = f"pod templates of other schedulers, not explained: {few(theirs)}; for {ours} write schedulerName: {ours}"
    empty = f"workloads of 0 replicas, explained only when asked for by name: {few(none)}"
    return [note for note, names in ((others, theirs), (empty, none)) if names]


def _keys(cluster: Cluster) -> dict[str, str]:
    """Uid of a pod -> its name in answers: of a template the shortest name that no other pod or template has."""
    pods = [pod for pod, _ in cluster.ledger.pods()]
    keys = {pod.uid: pod.key for pod in pods if pod.uid not in cluster.templates}
    names = Counter(keys.values())
    for template in cluster.templates.values():
        names.update(template.keys)
    for uid, template in cluster.templates.items():
        keys[uid] = next((name for name in template.keys if names[name] == 1), template.keys[-1])
    return keys


def _answer(
    pod: Pod, keys: Mapping[str, str], cluster: Cluster, strategy: Strategy | BatchStrategy, tolerance: float
) -> Answer:
    key, template = keys[pod.uid], cluster.templates.get(pod.uid)
    if pod.gated:
        return Answer(pod, key, template, other_models=cluster.other_models)
    nodes = cluster.ledger.snapshot()
    how = plan_for_one(strategy, pod, nodes)
    decision = schedule(pod, nodes, how, now=cluster.now, tolerance=tolerance)
    return Answer(pod, key, template, decision, judge(pod, nodes, how), cluster.other_models)


def _pending(cluster: Cluster, ours: str) -> list[Pod]:
    waiting = (pod for pod, state in cluster.ledger.pods() if state is State.PENDING and pod.scheduler_name == ours)
    return [pod for pod in waiting if not pod.deleting and _waits(cluster, pod)]


def _waits(cluster: Cluster, pod: Pod) -> bool:
    template = cluster.templates.get(pod.uid)
    return template is None or template.waits


def _wanted(cluster: Cluster, key: str, ours: str) -> list[Pod]:
    """The pod of that name, else the pods that templates of that name would make."""
    key = key if "/" in key else f"default/{key}"
    pods = [pod for pod, _ in cluster.ledger.pods()]
    found = [pod for pod in pods if pod.key == key and pod.uid not in cluster.templates]
    if not found and key in cluster.finished:
        raise PeaksError(f"pod {key}: expected a pending pod; it has finished ({cluster.finished[key]})")
    made = [pod for pod in pods if pod.uid in cluster.templates and cluster.templates[pod.uid].is_meant_by(key)]
    if not found and not made:
        raise NotFound(f"pod {key}: not found{_instead(cluster, key, ours)}", 404)
    for pod in found or made:
        _refuse_unless_pending(pod, cluster.templates.get(pod.uid), ours)
    return found or made


def _refuse_unless_pending(pod: Pod, template: Template | None, ours: str) -> None:
    """Raises PeaksError for a pod that is not pending, or that another scheduler places."""
    what = template.name if template else f"pod {pod.key}"
    if pod.node_name:
        raise PeaksError(f"{what}: expected a pending pod; it is on {pod.node_name} already")
    if pod.scheduler_name != ours:
        theirs = pod.scheduler_name
        remedy = f"say --scheduler-name {theirs}" if template is None else _rename_remedy(ours, theirs)
        raise PeaksError(f"{what}: expected a pod of {ours}; it is {theirs}'s: {remedy}")
    if pod.deleting:
        raise PeaksError(f"{what}: expected a pending pod; it is being deleted")


def _rename_remedy(ours: str, theirs: str) -> str:
    return f"write schedulerName: {ours} into its pod template, or say --scheduler-name {theirs}"


def _instead(cluster: Cluster, key: str, ours: str) -> str:
    """A hint for a pod that is not found: pods of a workload of that name, else the pending pods."""
    its = sorted(pod.key for pod, _ in cluster.ledger.pods() if pod.key.startswith(f"{key}-"))
    if its:
        return f"; pods that are named after it: {few(its)}. Is it a workload? Ask for one of its pods"
    keys = _keys(cluster)
    waiting = sorted(keys[pod.uid] for pod in _pending(cluster, ours))
    return f"; pending are {few(waiting)}" if waiting else "; no pod is pending"
