"""The pure core alone: one decision over all nodes, beside the shortest numpy code that answers the same question.

Owns two bare passes. A bare decision compares two resources, computes the jump of the exponential model and takes the
cheapest node, on the arrays of the ledger's snapshot. Bare costs are the exponential formula, on a cluster with nothing
but exponential curves. Pass and decision take turns, so that other work on the machine disturbs both. Times are medians
of many. A decision leaves the ledger as it was; an assumed pod is forgotten again.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import models, workload
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy

PART = "decision"
NOW = 1_750_000_000.0  # [s] since the epoch; any time
BOUND = 10_000  # pods in the ledger
DIFFERENT = 97  # pods of each kind, taken in turn
DEFAULT_CPU = 100  # [mCPU]
PEAKS = STRATEGIES["peaks"]
JUMP = STRATEGIES["jump"]

SPREAD_OUT = {
    "topologySpreadConstraints": [
        {
            "topologyKey": workload.ZONE,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"tier": "backend"}},
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of decision."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Added to every pod's spec."""
    cluster: str = "plain"
    """Name of one of ``_clusters``."""
    new: bool = False
    """Does every pod have a node affinity that no pod before it had?"""
    assume: bool = False
    """Does the time include that the pod is assumed on its node and forgotten?"""
    strategy: Strategy = PEAKS

    @property
    def tail(self) -> str:
        """Name of the 99th percentile's figure."""
        return f"{self.name}, p99"


PLAIN = Kind("plain pod")
SHARED_KNOWN = Kind("fit errors known, a model for each kind of node", cluster="shared, known")
OWN_KNOWN = Kind("fit errors known, a model for each node", cluster="own, known")
KINDS = (
    PLAIN,
    Kind("plain pod, strategy jump", strategy=JUMP),
    Kind("plain pod, assumed and forgotten", assume=True),
    Kind("nodeSelector", {"nodeSelector": {workload.ZONE: "zone-1"}}),
    Kind("node affinity never seen before", new=True),
    Kind("taints, tolerated", {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, "tainted"),
    Kind("taints, not tolerated", cluster="tainted"),
    Kind("four kinds of curves", cluster="mixed, known"),
    SHARED_KNOWN,
    OWN_KNOWN,
    Kind("the former, and the pod has a preference", SPREAD_OUT, "shared, known"),
    Kind("the latter, and the pod has a preference", SPREAD_OUT, "own, known"),
)
UNITS: dict[str, tuple[str, Better]] = {name: ("µs", "lower") for kind in KINDS for name in (kind.name, kind.tail)}

JUMPS = {
    f"{title}, strategy {strategy.name}": (cluster, strategy)
    for title, cluster in (("costs, exponential curves", "own"), ("costs, four kinds of curves", "mixed, known"))
    for strategy in (JUMP, STRATEGIES["envelope"])
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure every kind of decision with a bare pass beside it, then the costs alone."""
    say(f"decision: {plan.nodes} nodes, {BOUND} pods")
    clusters = _clusters(plan)
    ours: dict[str, float] = {}
    bare: dict[str, float] = {}
    for kind in KINDS:
        taken, beside = _timed(kind, clusters[kind.cluster], plan)
        ours |= {kind.name: statistics.median(taken), kind.tail: float(np.percentile(taken, 99))}
        bare[kind.name] = statistics.median(beside)
    costs, plain = _costs(clusters, plan)
    units = UNITS | dict.fromkeys(costs, UNITS[PLAIN.name])
    figures = gather(PART, "peaks", [ours | costs], units)
    figures += gather(PART, "bare numpy", [bare | dict.fromkeys(costs, plain)], units)
    return figures, [*_decision_aims(plan, ours, bare), *_cost_aims(costs, plain)]


def _decision_aims(plan: Plan, ours: Mapping[str, float], bare: Mapping[str, float]) -> list[Aim]:
    kinds = (PLAIN, SHARED_KNOWN, OWN_KNOWN)
    return [
        Aim(
            f"{kind.name}: over the bare numpy pass ({plan.nodes:,} nodes)",
            ours[kind.name] / bare[kind.name],
            5.0,
            "lower",
        )
        for kind in kinds
    ]


def _cost_aims(costs: Mapping[str, float], plain: float) -> list[Aim]:
    jump, envelope, mixed_jump, mixed_envelope = costs.values()
    return [
        Aim("the jump of four kinds of curves over the plain exponential pass", mixed_jump / plain, 3.0, "lower"),
        Aim("the envelope's costs over the jump's, exponential curves", envelope / jump, 1.3, "lower"),
        Aim("the envelope's costs over the jump's, four kinds of curves", mixed_envelope / mixed_jump, 1.3, "lower"),
    ]


def _clusters(plan: Plan) -> dict[str, Ledger]:
    own, mixed = (models.own(makes, plan.nodes, plan.seed) for makes in (models.EXPONENTIAL, models.MIXED))
    return {
        "plain": ledger(plan, tainted=False),
        "tainted": ledger(plan, tainted=True),
        "own": ledger(plan, tainted=False, power=own),
        "shared, known": ledger(plan, tainted=False, power=models.known(models.shared())),
        "own, known": ledger(plan, tainted=False, power=models.known(own)),
        "mixed, known": ledger(plan, tainted=False, power=models.known(mixed)),
    }


def ledger(
    plan: Plan, *, tainted: bool, pods: Iterable[workload.Object] | None = None, power: PowerModels | None = None
) -> Ledger:
    """A ledger with measured, modelled nodes and pods on them (None: the usual pods). ``tainted``: a third of the nodes
    have one of three taints."""
    made = Ledger(models=models.shared() if power is None else power, seed=plan.seed)
    for i, node in enumerate(workload.nodes(plan.nodes, plan.seed)):
        taint = (
            [{"key": "dedicated", "value": f"team-{i % 9}", "effect": "NoSchedule"}] if tainted and i % 3 == 0 else []
        )
        made.observe_node({**node, "spec": {"taints": taint}})
    loads = workload.loads(plan.nodes, plan.seed)
    made.apply_load({name: NodeLoad(load, NOW - 900.0, NOW) for name, load in loads.items()}, NOW)
    for pod in workload.bound_pods(BOUND, plan.seed, plan.nodes) if pods is None else pods:
        made.observe_pod(pod)
    return made


def bare_pass(cpu: int, memory: int, nodes: Snapshot) -> int:
    """Index of the cheapest node that has room for ``cpu`` [mCPU] and ``memory`` [bytes]."""
    room = (nodes.free[0] >= cpu) & (nodes.free[1] >= memory)
    use = nodes.cpu_high / nodes.cpu_capacity
    after = use + cpu / 1000.0 / nodes.cpu_capacity
    k1, k2 = nodes.curves.k1, nodes.curves.k2
    jump = k1 * (np.exp(k2 * after) - np.exp(k2 * use))
    return int(np.argmin(np.where(room, jump, np.inf)))


def plain_pass(cpu: int, nodes: Snapshot) -> Floats:
    """(N,) [W] the exponential jump of a pod of ``cpu`` [mCPU]."""
    use, step = nodes.cpu_high / nodes.cpu_capacity, cpu / 1000.0 / nodes.cpu_capacity
    k1, k2 = nodes.curves.k1, nodes.curves.k2
    jump: Floats = k1 * np.expm1(k2 * step) * np.exp(k2 * use)
    return jump


def _timed(kind: Kind, made: Ledger, plan: Plan) -> tuple[list[float], list[float]]:
    """Times [µs] of the decision and of the bare pass, taken in turn."""
    decide = _assumed if kind.assume else _decided
    pods = itertools.cycle(_pods(kind, plan))
    ours, bare = [], []
    for pod in itertools.islice(pods, plan.repeats):
        made.see(pod)
        cpu, memory = dict(pod.requests)["cpu"], dict(pod.requests)["memory"]
        begun = time.perf_counter_ns()
        decide(pod, made, kind.strategy)
        decided = time.perf_counter_ns()
        bare_pass(cpu, memory, made.snapshot())
        bare.append((time.perf_counter_ns() - decided) / 1000)
        ours.append((decided - begun) / 1000)
        made.drop(pod.uid)
    return ours, bare


def _decided(pod: Pod, made: Ledger, strategy: Strategy) -> None:
    schedule(pod, made.snapshot(), strategy, now=NOW)


def _assumed(pod: Pod, made: Ledger, strategy: Strategy) -> None:
    decision = schedule(pod, made.snapshot(), strategy, now=NOW)
    assert decision.node is not None  # there is room for all of them
    made.assume(pod.uid, decision.node)
    made.forget(pod.uid)


def _costs(clusters: Mapping[str, Ledger], plan: Plan) -> tuple[dict[str, float], float]:
    """Medians [µs] of the costs of each of ``JUMPS``, and of the plain exponential pass, all in turn."""
    pods = itertools.cycle(_pods(PLAIN, plan))
    taken: dict[str, list[int]] = {name: [] for name in ("", *JUMPS)}
    for pod in itertools.islice(pods, plan.repeats):
        begun = time.perf_counter_ns()
        plain_pass(pod.cpu, clusters["own"].snapshot())
        taken[""].append(time.perf_counter_ns() - begun)
        for name, (cluster, strategy) in JUMPS.items():
            nodes = clusters[cluster].snapshot()
            begun = time.perf_counter_ns()
            strategy.cost(pod, nodes)
            taken[name].append(time.perf_counter_ns() - begun)
    medians = {name: statistics.median(each) / 1000 for name, each in taken.items()}
    return {name: medians[name] for name in JUMPS}, medians[""]


def _pods(kind: Kind, plan: Plan) -> list[Pod]:
    """Pending pods of one kind, to be taken in turn; one for each repeat where each must be new."""
    raws = workload.pods("decided", plan.repeats if kind.new else DIFFERENT, plan.seed, "Peaks")
    return [_pod(workload.as_stored(raw), _never_seen(i) if kind.new else kind.spec) for i, raw in enumerate(raws)]


def read(raw: workload.Object) -> Pod:
    return pod_from_api(raw, DEFAULT_CPU)


def _pod(raw: workload.Object, spec: Mapping[str, Any]) -> Pod:
    return read({**raw, "spec": {**raw["spec"], **spec}})


def _never_seen(i: int) -> Mapping[str, Any]:
    term = {"matchExpressions": [{"key": workload.KIND, "operator": "NotIn", "values": [f"retired-{i}"]}]}
    required = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}
