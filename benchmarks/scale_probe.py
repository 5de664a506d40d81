"""A process that prints what a cluster of any size costs: time of observing and of deciding, memory.

    python -m benchmarks.scale_probe NODES PODS_PER_NODE DECISIONS SEED

Pods on nodes are decoded as the feed decodes them. After each decision the pod is assumed and seen bound, so the next
one has another snapshot. Times of decisions are by the clock and in CPU time of this process. Prints one JSON line.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Sequence

import msgspec
import numpy as np

from benchmarks import models, scale_objects, workload
from benchmarks.machine import memory
from peaks_scheduler.daemon.main import GC_THRESHOLDS
from peaks_scheduler.kube.schemas.placed_pods import placed_pod
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES

NOW = 1_800_000_000.0  # [s] since the epoch; after all pods began
WINDOW = 900.0  # [s]
KINDS = ("plain", "spread", "anti-affinity", "affinity", "soft")
PEAKS = STRATEGIES["peaks"]


def probe(nodes: int, per_node: int, decisions: int, seed: int) -> dict[str, float]:
    """All measurements, by name."""
    gc.set_threshold(*GC_THRESHOLDS)
    known = Ledger(models=models.shared(), ours=scale_objects.OURS, seed=seed)
    known.now = NOW
    empty = memory("self")[0]
    found = {"observe a node [us]": 1e6 * _observe_nodes(known, nodes, seed) / nodes}
    with_nodes = memory("self")[0]
    pods = nodes * per_node
    found["observe a pod [us]"] = 1e6 * _observe_pods(known, nodes, per_node, seed) / pods
    resident = memory("self")[0]
    found |= {
        "each node [kB]": 1000.0 * (with_nodes - empty) / nodes,
        "each pod [kB]": 1000.0 * (resident - with_nodes) / pods,
        "a whole garbage collection [s]": _collect(),
        "a report of all loads [s]": _report(known, nodes, seed),
    }
    for kind in KINDS:
        found |= _decisions(known, kind, decisions, max(1, pods // scale_objects.PER_GROUP), seed)
    found["resident [MB]"], found["peak [MB]"] = memory("self")
    return found


def _observe_nodes(known: Ledger, nodes: int, seed: int) -> float:
    """[s], the making of the texts excluded."""
    taken = 0.0
    for text in scale_objects.node_texts(nodes, seed):
        begun = time.perf_counter()
        known.observe_node(msgspec.json.decode(text))
        taken += time.perf_counter() - begun
    _report(known, nodes, seed)
    known.snapshot()
    return taken


def _observe_pods(known: Ledger, nodes: int, per_node: int, seed: int) -> float:
    """[s] likewise."""
    taken = 0.0
    for text in scale_objects.placed_texts(nodes, per_node, seed):
        begun = time.perf_counter()
        _see_placed(known, text)
        taken += time.perf_counter() - begun
    return taken


def _see_placed(known: Ledger, text: bytes) -> None:
    placed = placed_pod(msgspec.Raw(text), scale_objects.OURS)
    assert placed is not None, "it is on a node"
    known.observe_pod(placed.fields())


def _collect() -> float:
    """[s] of the collection that the daemon makes once after the first lists."""
    begun = time.perf_counter()
    gc.collect()
    taken = time.perf_counter() - begun
    gc.freeze()
    return taken


def _report(known: Ledger, nodes: int, seed: int) -> float:
    loads = {name: NodeLoad(load, NOW - WINDOW, NOW) for name, load in workload.loads(nodes, seed).items()}
    begun = time.perf_counter()
    known.apply_load(loads, NOW)
    return time.perf_counter() - begun


def _decisions(known: Ledger, kind: str, count: int, groups: int, seed: int) -> dict[str, float]:
    """Percentiles [ms] of decisions about pods of this kind; the first one is not counted."""
    taken = [_decide(known, raw) for raw in scale_objects.waiting(kind, count + 1, groups, seed)][1:]
    clock, cpu = zip(*taken, strict=True)
    return {f"{kind} [ms]" + name: value for name, value in (*_percentiles(clock, ""), *_percentiles(cpu, ", CPU"))}


def _percentiles(seconds: Sequence[float], what: str) -> list[tuple[str, float]]:
    return [(f", p{percent}{what}", 1e3 * float(np.percentile(seconds, percent))) for percent in (50, 99)]


def _decide(known: Ledger, raw: workload.Object) -> tuple[float, float]:
    """([s] by the clock, [s] of CPU) of one decision; then the pod is on its node."""
    known.observe_pod(raw)
    uid = raw["metadata"]["uid"]
    pod = known.pod(uid)
    assert pod is not None, "it was just seen"
    begun, used = time.perf_counter(), time.process_time()
    node = schedule(pod, known.snapshot(), PEAKS, now=NOW).node
    taken = time.perf_counter() - begun, time.process_time() - used
    assert node is not None, "there is room for all of them"
    known.assume(uid, node)
    _see_placed(known, json.dumps(scale_objects.bound(raw, node)).encode())
    return taken


if __name__ == "__main__":
    print(json.dumps(probe(*(int(each) for each in sys.argv[1:5]))))
