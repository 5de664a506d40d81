"""One cluster beyond Kubernetes' limit of 5,000 nodes: what a decision and a pod cost, and how that grows.

Each size is measured in a process of its own (``scale_probe``) that observes simulated objects as the feed does. A size
that the machine's free memory cannot hold is left out, with a line that says so. Takes about ten minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from benchmarks.probes import ask

PART = "scale"
PODS_PER_NODE = 20
DECISIONS = 400
LIMIT = 1800.0  # [s] for one size
A_POD = 0.004  # [MB] twice what a pod takes
SLOWEST = 5.0  # [ms] of a plain decision at the largest size
MOST = 4096.0  # [MB] at the largest size
P50, P99, RESIDENT = "plain [ms], p50", "plain [ms], p99", "resident [MB]"


def sizes(nodes: int) -> tuple[int, ...]:
    """Numbers of nodes for a cluster of ``nodes``: itself, four and thirteen times."""
    return nodes, 4 * nodes, 13 * nodes


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """All sizes that fit, the smallest first."""
    found: dict[int, dict[str, float]] = {}
    for nodes in sizes(plan.nodes):
        need, free = nodes * PODS_PER_NODE * A_POD, free_memory()
        if need > free:
            say(f"scale: {nodes} nodes left out: they need {need:.0f} MB of memory, {free:.0f} are free")
            continue
        say(f"scale: {nodes} nodes, {nodes * PODS_PER_NODE} pods")
        found[nodes] = ask("scale_probe", nodes, PODS_PER_NODE, DECISIONS, plan.seed, limit=LIMIT)
    figures = [
        figure for nodes, values in found.items() for figure in gather(PART, f"{nodes} nodes", [values], units(values))
    ]
    return figures, aims(found)


def units(values: dict[str, float]) -> dict[str, tuple[str, Better]]:
    """Units and directions: a name has its unit in brackets, and of everything less is better."""
    found = {name: re.search(r"\[(\w+)\]", name) for name in values}
    return {name: (unit[1] if unit else "", "lower") for name, unit in found.items()}


def aims(found: dict[int, dict[str, float]]) -> list[Aim]:
    """What the largest size must keep, and its growth over the smallest one as a share of the growth in nodes."""
    if not found:
        return []
    least, most = min(found), max(found)
    where, last = f"at {most} nodes", found[most]
    fixed = [
        Aim(f"plain decision {where}, p50 [ms]", last[P50], SLOWEST, "lower"),
        Aim(f"plain decision {where}, p99 [ms]", last[P99], SLOWEST, "lower"),
        Aim(f"memory {where} [MB]", last[RESIDENT], MOST, "lower"),
    ]
    if least == most:
        return fixed
    growth = last[P50] / found[least][P50] / (most / least)
    return [*fixed, Aim(f"growth of a plain decision from {least} nodes, by that of the nodes", growth, 1.0, "lower")]


def free_memory() -> float:
    """[MB] that processes may take without swapping."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))
