"""The pure core by itself: one decision over all nodes, beside the least numpy that could answer the same question.

Owns the bare pass (two resources compared, the jump of the exponential model, the cheapest node) on the very arrays of
the ledger's snapshot. Decision and pass take turns, so that whatever else the machine does hits both. Times are medians
of many. Assumes that a decision leaves the ledger as it was; what is assumed is forgotten again.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from benchmarks import workload
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from peaks_scheduler.cycle import schedule
from peaks_scheduler.ledger import Ledger
from peaks_scheduler.load import NodeLoad
from peaks_scheduler.objects import Pod, pod_from_api
from peaks_scheduler.power import parse_models
from peaks_scheduler.scoring import STRATEGIES
from peaks_scheduler.snapshot import Snapshot

PART = "decision"
NOW = 1_750_000_000.0  # [s] any time will do
BOUND = 10_000  # pods in the ledger
DIFFERENT = 97  # pods of each kind, taken in turn
DEFAULT_CPU = 100  # [mCPU]
PEAKS = STRATEGIES["peaks"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of decision."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What is added to a pod's."""
    tainted: bool = False
    """Does a third of the nodes keep pods away?"""
    new: bool = False
    """Does each pod come with a node affinity that nobody has asked for before?"""
    assume: bool = False
    """Is the pod assumed on its node, and forgotten, within the time?"""


PLAIN = Kind("plain pod")
KINDS = (
    PLAIN,
    Kind("plain pod, assumed and forgotten", assume=True),
    Kind("nodeSelector", {"nodeSelector": {workload.ZONE: "zone-1"}}),
    Kind("node affinity never seen before", new=True),
    Kind("taints, tolerated", {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, tainted=True),
    Kind("taints, not tolerated", tainted=True),
)
UNITS: dict[str, tuple[str, Better]] = {kind.name: ("µs", "lower") for kind in KINDS}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Every kind of decision, and the bare pass beside each."""
    say(f"decision: {plan.nodes} nodes, {BOUND} pods")
    free, tainted = ledger(plan, tainted=False), ledger(plan, tainted=True)
    ours, bare = {}, {}
    for kind in KINDS:
        ours[kind.name], bare[kind.name] = _timed(kind, tainted if kind.tainted else free, plan)
    figures = gather(PART, "peaks", [ours], UNITS) + gather(PART, "bare numpy", [bare], UNITS)
    text = f"a plain decision over the bare numpy pass ({plan.nodes:,} nodes)"
    return figures, [Aim(text, ours[PLAIN.name] / bare[PLAIN.name], 5.0, "lower")]


def ledger(plan: Plan, *, tainted: bool, pods: Iterable[workload.Object] | None = None) -> Ledger:
    """A ledger with measured, modelled nodes and pods on them (None: the usual ones); ``tainted``: a third of the
    nodes, in three ways."""
    made = Ledger(models=parse_models(yaml.safe_dump(workload.power_models()), "models"), seed=plan.seed)
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
    jump = nodes.k1 * (np.exp(nodes.k2 * after) - np.exp(nodes.k2 * use))
    return int(np.argmin(np.where(room, jump, np.inf)))


def _timed(kind: Kind, made: Ledger, plan: Plan) -> tuple[float, float]:
    """Medians [µs] of the decision and of the bare pass, taken in turn."""
    decide = _assumed if kind.assume else _decided
    pods = itertools.cycle(_pods(kind, plan))
    ours, bare = [], []
    for pod in itertools.islice(pods, plan.repeats):
        made.see(pod)
        cpu, memory = dict(pod.requests)["cpu"], dict(pod.requests)["memory"]
        begun = time.perf_counter_ns()
        decide(pod, made)
        decided = time.perf_counter_ns()
        bare_pass(cpu, memory, made.snapshot())
        bare.append(time.perf_counter_ns() - decided)
        ours.append(decided - begun)
        made.drop(pod.uid)
    return statistics.median(ours) / 1000, statistics.median(bare) / 1000


def _decided(pod: Pod, made: Ledger) -> None:
    schedule(pod, made.snapshot(), PEAKS, now=NOW)


def _assumed(pod: Pod, made: Ledger) -> None:
    decision = schedule(pod, made.snapshot(), PEAKS, now=NOW)
    assert decision.node is not None  # there is room for all of them
    made.assume(pod.uid, decision.node)
    made.forget(pod.uid)


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
