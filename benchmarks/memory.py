"""The scheduler's memory for a node, a pod and a byte of a pod, and whether memory is freed again.

Each measurement runs in a process of its own (``memory_probe``). It has the daemon's modules loaded and decodes the
text of objects one by one into a ledger, as a watch delivers them. The bound in ``docs/operations.md`` and the memory
limit of the manifests are computed from the results.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from benchmarks.probes import ask

PART = "memory"
LIMIT = 300.0  # [s] for one measurement
LARGEST = 600.0  # [MB] with 5,000 nodes and 150,000 pods
LEFT = 5.0  # [MB] most memory kept after the cluster was filled and emptied a hundred times
UNITS: dict[str, tuple[str, Better]] = {
    "process, nothing in it": ("MB", "lower"),
    "each node": ("kB", "lower"),
    "each plain pod": ("kB", "lower"),
    "each of fifteen times the pods, as real ones are": ("kB", "lower"),
    "process with fifteen times the pods": ("MB", "lower"),
    "a large pod of ours that waits, for each byte": ("bytes", "lower"),
    "a large pod on a node, for each byte": ("bytes", "lower"),
    "a large pod that waits for another scheduler, for each byte": ("bytes", "lower"),
    "while a large pod is read, for each byte": ("bytes", "lower"),
    "left after the first time filled and emptied": ("MB", "lower"),
    "left after the last time": ("MB", "lower"),
    "a fork of the ledger, five times the pods": ("MB", "lower"),
    "a fork of the ledger, five times the pods, time": ("s", "lower"),
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """All measurements, one after the other."""
    found: dict[str, float] = {}
    for question in ("plain", "placed", "large", "churn", "fork"):
        say(f"memory: {question}")
        found |= ask("memory_probe", question, plan.nodes, plan.pods, limit=LIMIT)
    grown = found["left after the last time"] - found["left after the first time filled and emptied"]
    aim = Aim("memory kept of a cluster that was filled and emptied a hundred times [MB]", grown, LEFT, "lower")
    largest = found["process with fifteen times the pods"]
    whole = Aim("memory of a process whose ledger has 5,000 nodes and 150,000 pods [MB]", largest, LARGEST, "lower")
    return gather(PART, "peaks", [found], UNITS), [aim, whole]
