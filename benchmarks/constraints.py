"""Decisions under constraints in a crowded cluster, beside kube-scheduler's own algorithm on the same pods.

Owns the comparison: 5,000 nodes, 50,000 bound pods in 2,000 groups, and pods with spread constraints, affinity or
anti-affinity. kube-scheduler's PreFilter, Filter over all nodes and Score run on all cores, in the program that judges
the parity tests; ours is one decision on one core. Each pod is decided a few times, in turn with the others. Its median
counts; the results are the 50th and 99th percentile over all pods of a kind. Nothing is placed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import crowd, decision, workload
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.cycle import schedule
from tests.parity import oracle

PART = "constraints"
KINDS = ("plain", "spread", "anti-affinity", "affinity", "soft")
PERCENTILES = (50, 99)
ROUNDS = 3
UNITS: dict[str, tuple[str, Better]] = {
    f"{kind}, p{percent}": ("ms", "lower") for kind in KINDS for percent in PERCENTILES
}
BARE = "plain pod, all groups there"

Times = dict[str, list[float]]
"""Kind -> time of each pod [s]."""


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure both on the same cluster and pods."""
    groups = min(crowd.GROUPS, plan.nodes)
    say(f"constraints: {plan.nodes} nodes, {plan.nodes * crowd.PODS_PER_NODE} pods in {groups} groups")
    waiting = {kind: crowd.pending(kind, plan.crowd, groups) for kind in KINDS}
    made = _ledger(plan, groups)
    ours, bare = _ours(made, waiting)
    say("constraints: kube-scheduler's algorithm on the same pods")
    theirs = _theirs(plan, groups, waiting)
    figures = gather(PART, "peaks", [_percentiles(ours)], UNITS)
    figures += gather(PART, "kube-scheduler", [_percentiles(theirs)], UNITS)
    plain = {BARE: statistics.median(ours["plain"]) * 1e6}
    unit: dict[str, tuple[str, Better]] = {BARE: ("µs", "lower")}
    figures += gather(PART, "peaks", [plain], unit) + gather(PART, "bare numpy", [{BARE: bare * 1e6}], unit)
    return figures, [*_aims(ours, theirs), _plain_aim(plain[BARE], bare * 1e6)]


def _aims(ours: Times, theirs: Times) -> list[Aim]:
    ratios = {
        kind: float(np.percentile(ours[kind], 99) / np.percentile(theirs[kind], 99))
        for kind in ("spread", "anti-affinity")
    }
    return [Aim(f"{kind}, p99, over kube-scheduler's", ratio, 1.0, "lower") for kind, ratio in ratios.items()]


def _plain_aim(ours: float, bare: float) -> Aim:
    return Aim("a plain decision in the crowd over the bare numpy pass", ours / bare, 5.0, "lower")


def _percentiles(times: Times) -> dict[str, float]:
    return {
        f"{kind}, p{percent}": float(np.percentile(found, percent)) * 1e3
        for kind, found in times.items()
        for percent in PERCENTILES
    }


# --- ours -----------------------------------------------------------------------------------------------------------


def _ledger(plan: Plan, groups: int) -> Ledger:
    made = decision.ledger(plan, tainted=False, pods=())
    for raw in crowd.bound(plan.nodes, groups, plan.seed):
        made.observe_pod(raw)
    return made


def _ours(made: Ledger, waiting: Mapping[str, list[workload.Object]]) -> tuple[Times, float]:
    """([s] median time of each pod by kind, [s] median time of the bare numpy pass)."""
    pods = {kind: [decision.read(raw) for raw in raws] for kind, raws in waiting.items()}
    taken: dict[str, list[float]] = {}
    bare: list[float] = []
    for _ in range(ROUNDS):
        for pod in (pod for of_kind in pods.values() for pod in of_kind):
            taken.setdefault(pod.uid, []).append(_timed(pod, made))
            begun = time.perf_counter()
            decision.bare_pass(100, 128 << 20, made.snapshot())
            bare.append(time.perf_counter() - begun)
    times = {kind: [statistics.median(taken[pod.uid]) for pod in of_kind] for kind, of_kind in pods.items()}
    return times, statistics.median(bare)


def _timed(pod: Pod, made: Ledger) -> float:
    made.see(pod)
    begun = time.perf_counter()
    schedule(pod, made.snapshot(), decision.PEAKS, now=decision.NOW)
    took = time.perf_counter() - begun
    made.drop(pod.uid)
    return took


# --- kube-scheduler's -----------------------------------------------------------------------------------------------


def _theirs(plan: Plan, groups: int, waiting: Mapping[str, list[workload.Object]]) -> Times:
    nodes = [{"kind": "Node", "apiVersion": "v1", **node} for node in workload.nodes(plan.nodes, plan.seed)]
    pods = [*crowd.bound(plan.nodes, groups, plan.seed), *(raw for raws in waiting.values() for raw in raws)]
    objects = [*nodes, *({"kind": "Pod", "apiVersion": "v1", **pod} for pod in pods)]
    with tempfile.TemporaryDirectory(prefix="peaks-constraints-") as folder:
        file = Path(folder) / "cluster.json"
        file.write_text(oracle.request(objects, "Peaks"), encoding="utf-8")
        found = oracle.time(file, rounds=ROUNDS)
    return {
        kind: [found[f"{workload.NAMESPACE}/{raw['metadata']['name']}"]["seconds"] for raw in raws]
        for kind, raws in waiting.items()
    }
