"""What a small write costs us, on a kept connection and by aiohttp, which carries it where there is a proxy.

Each way posts events to a real API server, from a process of its own (``writes_probe``): its CPU is the client's alone.
The ways take turns.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.endtoend import folder_of_logs
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from benchmarks.plane import OURS, BenchPlane
from benchmarks.probes import ask

PART = "writes"
LIMIT = 300.0  # [s] for one measurement
WAYS = {"kept": "kept connection", "proxied": "aiohttp"}
UNITS: dict[str, tuple[str, Better]] = {
    "CPU of a write": ("ms", "lower"),
    "memory of an open connection": ("kB", "lower"),
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """All rounds of both ways. There is no aim: the end-to-end figures have them."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with folder_of_logs(plan.logs) as folder, BenchPlane(folder) as plane:
        plane.add_accounts()
        kubeconfig = plane.kubeconfig_of(OURS)
        for i in range(plan.rounds):
            for way in WAYS if i % 2 == 0 else reversed(WAYS):
                say(f"writes: round {i + 1} of {plan.rounds}, {WAYS[way]}")
                found[way].append(ask("writes_probe", way, kubeconfig, plan.backlog, limit=LIMIT))
    return [each for way, values in found.items() for each in gather(PART, WAYS[way], values, UNITS)], []
