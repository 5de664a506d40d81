"""Small pods, nodes, loads and ledgers: what a test does not mention is plain and the same everywhere.

Pods, nodes and namespaces are API objects as the API server writes them, so that every test goes through the same door
as the daemon does. Times are seconds since the epoch; ``NOW`` is the present of every test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.ledger.storage.store import KINDS
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.curves import Curve, Exponential
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy
from peaks_scheduler.scheduling.verdicts import judge

Json = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOSTNAME = "kubernetes.io/hostname"

NOW = 1_800_000_000.0
WINDOW = 900.0  # [s] load-watcher's longest
PEAKS = STRATEGIES["peaks"]
ENVELOPE, JUMP = STRATEGIES["envelope"], STRATEGIES["jump"]

BENT_DOWN = (471.7, -91.5, -7.186)
"""(k0, k1, k2) of the original plugin's documentation, for a ratio: concave, the first steps are the dearest."""
BENT_UP = (100.0, 20.0, 2.0)
"""Convex: the last steps are the dearest."""


def when(time: float) -> str:
    """RFC 3339, as the API server writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- objects --------------------------------------------------------------------------------------------------------


def container(name: str = "main", requests: Json | None = None, limits: Json | None = None, **more: Any) -> Json:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}
    return {"name": name, "resources": resources, **more}


def pod(
    name: str = "web-0",
    *,
    cpu: str | None = None,
    memory: str | None = None,
    requests: Json | None = None,
    limits: Json | None = None,
    ports: Sequence[Json] = (),
    namespace: str = "default",
    uid: str | None = None,
    labels: Mapping[str, str] | None = None,
    node: str | None = None,
    started: float | None = None,
    phase: str | None = None,
    scheduler: str = "Peaks",
    deleting: bool = False,
    annotations: Json | None = None,
    status: Json | None = None,
    **spec: Any,
) -> Json:
    """A pod of one container unless ``containers`` says otherwise; it runs where ``started`` is given."""
    asked = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value is not None} | (requests or {})
    whole: Json = {"schedulerName": scheduler, "containers": [container("main", asked, limits, ports=list(ports))]}
    if node is not None:
        whole["nodeName"] = node
    state: Json = {"phase": phase or ("Pending" if started is None else "Running")}
    if started is not None:
        state["containerStatuses"] = [{"name": "main", "state": {"running": {"startedAt": when(started)}}}]
    meta: Json = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{namespace}-{name}",
        "labels": dict(labels or {}),
    }
    if deleting:
        meta["deletionTimestamp"] = when(NOW)
    if annotations is not None:
        meta["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": whole | spec, "status": state | (status or {})}


def owned(raw: Json, owner: str, *, kind: str = "StatefulSet", image: str = "web:1", revision: str = "") -> Json:
    """The pod as a controller made it; ``revision``: as a Deployment's ReplicaSet of that hash did."""
    name, kind = (f"{owner}-{revision}", "ReplicaSet") if revision else (owner, kind)
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}
    labels = raw["metadata"]["labels"] | ({"pod-template-hash": revision} if revision else {})
    meta = raw["metadata"] | {"ownerReferences": [reference], "labels": labels}
    containers = [each | {"image": image} for each in raw["spec"]["containers"]]
    return raw | {"metadata": meta, "spec": raw["spec"] | {"containers": containers}}


def node(
    name: str = "worker-1",
    *,
    cpu: str = "8",
    memory: str = "32Gi",
    pods: str = "110",
    capacity: str | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Json] = (),
    unschedulable: bool = False,
    more: Mapping[str, str] | None = None,
    features: Sequence[str] = (),
    annotations: Json | None = None,
) -> Json:
    """A node of ``cpu`` allocatable cores; ``more`` are further resources, ``capacity`` its CPUs where they are not
    the same, ``features`` what it declares."""
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods} | dict(more or {})
    spec: Json = {"taints": list(taints)} | ({"unschedulable": True} if unschedulable else {})
    status: Json = {"allocatable": allocatable, "capacity": allocatable | {"cpu": capacity or cpu}}
    if features:
        status["declaredFeatures"] = list(features)
    meta: Json = {"name": name, "uid": f"uid-{name}", "labels": {HOSTNAME: name} | dict(labels or {})}
    if annotations is not None:
        meta["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}


def namespace(name: str = "default", labels: Mapping[str, str] | None = None) -> Json:
    """A namespace with the label that the API server gives each."""
    meta = {"name": name, "labels": {"kubernetes.io/metadata.name": name} | dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def taint(key: str = "dedicated", value: str = "", effect: str = "NoSchedule") -> Json:
    return {"key": key, "value": value, "effect": effect}


def pod_term(
    match: Mapping[str, str] | None, topology: str = HOSTNAME, namespaces: Sequence[str] = (), **more: Any
) -> Json:
    """A term of pod affinity or anti-affinity; ``match`` None: it has no selector, which selects nothing."""
    term: Json = {"topologyKey": topology}
    if match is not None:
        term["labelSelector"] = {"matchLabels": dict(match)}
    if namespaces:
        term["namespaces"] = list(namespaces)
    return term | more


def anti_affinity(
    match: Mapping[str, str] | None, topology: str = HOSTNAME, namespaces: Sequence[str] = (), **more: Any
) -> Json:
    """``spec.affinity`` with one required anti-affinity term."""
    return {"podAntiAffinity": {REQUIRED: [pod_term(match, topology, namespaces, **more)]}}


def pod_affinity(*terms: Json) -> Json:
    """``spec.affinity`` with required pod affinity of these terms."""
    return {"podAffinity": {REQUIRED: list(terms)}}


def spread(match: Mapping[str, str] | None, topology: str = "zone", skew: int = 1, **more: Any) -> Json:
    """A constraint of ``spec.topologySpreadConstraints``, as the API server defaults it; ``match`` None: no
    selector."""
    constraint: Json = {"topologyKey": topology, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule"}
    if match is not None:
        constraint["labelSelector"] = {"matchLabels": dict(match)}
    return constraint | more


def node_affinity(*terms: Json) -> Json:
    """``spec.affinity`` with required node affinity of these terms."""
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


def node_liking(key: str, *values: str) -> Json:
    """``spec.affinity`` that prefers nodes with one of the values of a label."""
    term = {"weight": 100, "preference": {"matchExpressions": [expression(key, "In", *values)]}}
    return {"nodeAffinity": {PREFERRED: [term]}}


def expression(key: str, operator: str, *values: str) -> Json:
    return {"key": key, "operator": operator, "values": list(values)}


# --- power and load -------------------------------------------------------------------------------------------------


Power = tuple[float, float, float] | Curve | PowerModel
"""k0, k1, k2 of an exponential curve per fraction, a curve, or a whole model."""


def models(everywhere: Power | None = None, **named: Power) -> PowerModels:
    """Models by node name (``worker_1`` is worker-1), and one for all the others."""
    by_name = {name: model(name, power) for name, power in ((n.replace("_", "-"), p) for n, p in named.items())}
    by_selector: Any = () if everywhere is None else (({}, model("*", everywhere)),)
    return PowerModels(by_name, by_selector)


def model(name: str, power: Power) -> PowerModel:
    """The model of that name."""
    if isinstance(power, PowerModel):
        return replace(power, name=name)
    return PowerModel(name, Exponential(*power) if isinstance(power, tuple) else power)


def load(
    cpu: float, *, memory: float | None = None, age: float = 0.0, window: float = WINDOW, now: float = NOW
) -> NodeLoad:
    """A load of ``cpu`` and ``memory`` (fractions) whose window ended ``age`` seconds ago."""
    return NodeLoad(cpu, now - age - window, now - age, memory_share=memory)


# --- ledger ---------------------------------------------------------------------------------------------------------


def observed_all(ledger: Ledger, nodes: Iterable[Json], pods: Iterable[Json]) -> None:
    """Fill a ledger from lists, nodes first."""
    for node in nodes:
        ledger.observe_node(node)
    for pod in pods:
        ledger.observe_pod(pod)


def ledger(
    *objects: Json,
    power: PowerModels | Power | None = None,
    loads: Mapping[str, float | NodeLoad] | None = None,
    now: float = NOW,
    seed: int = 0,
    default_cpu: int = 100,
    expiry: float = 300.0,
    clock_offset: float = 0.0,
    ceiling: Ceiling = NO_CEILING,
) -> Ledger:
    """A ledger of these nodes, pods and namespaces. ``power``: models, or one curve for all; ``loads``: fractions are
    fresh ones; no ceiling unless given."""
    known = power if isinstance(power, PowerModels) else models(power)
    filled = Ledger(default_cpu=default_cpu, expiry=expiry, seed=seed, models=known, ceiling=ceiling)
    filled.clock_offset = clock_offset
    filled.now = now
    for each in objects:
        if each["kind"] == "Namespace":
            filled.observe_namespace(each)
        elif each["kind"] in KINDS:
            filled.observe_storage(each)
    nodes = [o for o in objects if o["kind"] == "Node"]
    observed_all(filled, nodes, [o for o in objects if o["kind"] == "Pod"])
    fresh = {
        name: given if isinstance(given, NodeLoad) else load(given, now=now) for name, given in (loads or {}).items()
    }
    filled.apply_load(fresh, now)
    return filled


def workers(count: int, **more: Any) -> list[Json]:
    """``count`` equal nodes: worker-0, worker-1, ..."""
    return [node(f"worker-{i}", **more) for i in range(count)]


def read(raw: Json, default_cpu: int = 100) -> Pod:
    """The pod as the core sees it."""
    return pod_from_api(raw, default_cpu)


def feasible(raw: Json, known: Ledger) -> set[str]:
    """Names of the nodes that the pod may go to."""
    judged = judge(read(raw, known.default_cpu), known.snapshot(), PEAKS)
    return {name for name, verdict in judged.items() if verdict.feasible}


def decide(
    raw: Json, known: Ledger, *, tolerance: float = 0.0, now: float = NOW, strategy: Strategy = PEAKS
) -> Decision:
    """Where the pod goes; nothing is assumed."""
    return schedule(read(raw, known.default_cpu), known.snapshot(), strategy, now=now, tolerance=tolerance)


def place(raw: Json, known: Ledger, *, now: float = NOW, strategy: Strategy = PEAKS) -> str | None:
    """Observe the pod, decide, and assume what was decided: the name of its node."""
    known.observe_pod(raw)
    chosen = decide(raw, known, now=now, strategy=strategy).node
    if chosen is not None:
        known.assume(raw["metadata"]["uid"], chosen)
    return chosen


def message(raw: Json, known: Ledger) -> str:
    """Why the pod goes nowhere."""
    diagnosis = decide(raw, known).diagnosis
    assert diagnosis is not None, "the pod was placed"
    return diagnosis.message
