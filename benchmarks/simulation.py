"""The simulator's speed: a trace on a small cluster, every one of very many hosts looked at, and growth with the nodes.

Owns three cases. Each runs in a process of its own (``python -m benchmarks.simulation NAME SIZE SEED``), which prints
what it took: so memory is that of one case, start included. Times are CPU times of that process, because it computes on
one core and what else the machine does should not count. Fleets and pods are made up, but for the trace.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import BenchmarkError, machine
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.energy import measure as measured
from peaks_scheduler.simulation.levels import LEVELS
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job, in_order

PART = "simulation"
TRACE, HOSTS, FEW, MANY = "trace on 200 nodes", "all of many hosts", "100 nodes", "2,000 nodes"
FILE = "openb/openb_pod_list_default.csv.gz"
KINDS = 50
HALF = 0.5
"""Mean share of the trace's cluster that its pods request."""
TIMEOUT = 1800.0  # [s]

UNITS: dict[str, tuple[str, Better]] = {
    name: unit
    for case in (TRACE, HOSTS, FEW, MANY)
    for name, unit in (
        (f"{case}: CPU", ("s", "lower")),
        (f"{case}: memory", ("MB", "lower")),
        (f"{case}: a decision", ("µs", "lower")),
    )
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Run every case once. The trace is left out where ``PEAKS_TEST_DATA`` names no folder with it."""
    sizes = {TRACE: 8 * plan.nodes, HOSTS: 4 * plan.nodes, FEW: plan.nodes, MANY: plan.nodes}
    if _trace_file() is None:
        say(f"simulation: no trace: PEAKS_TEST_DATA names no folder of measured data with {FILE} in it")
        del sizes[TRACE]
    found: dict[str, float] = {}
    for name, size in sizes.items():
        say(f"simulation: {name}")
        found |= {f"{name}: {what}": value for what, value in _in_a_process(name, size, plan.seed).items()}
    return gather(PART, "peaks", [found], UNITS), _aims(found)


def _aims(found: dict[str, float]) -> list[Aim]:
    growth = found[f"{MANY}: a decision"] / found[f"{FEW}: a decision"]
    limits = {f"{TRACE}: CPU": 15.0, f"{TRACE}: memory": 500.0, f"{HOSTS}: CPU": 60.0}
    aims = [
        Aim(f"{name} [{UNITS[name][0]}]", found[name], limit, "lower")
        for name, limit in limits.items()
        if name in found
    ]
    return [*aims, Aim("a decision among 2,000 nodes over one among 100", growth, 3.0, "lower")]


def _in_a_process(name: str, size: int, seed: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.simulation", name, str(size), str(seed)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if ran.returncode:
        raise BenchmarkError(f"simulation, {name}: {ran.stderr.strip()[-2000:]}")
    took: dict[str, float] = json.loads(ran.stdout)
    return took


# --- in that process ------------------------------------------------------------------------------------------------


def run(case: Case) -> dict[str, float]:
    """What it took to replay and measure the case, this process's start included. Raises BenchmarkError where a pod was
    not placed."""
    done = replay(case)
    kpis = measured(done).kpis
    if kpis.unscheduled:
        raise BenchmarkError(f"{kpis.unscheduled} of {kpis.pods} pods were not placed")
    _, memory = machine.memory("self")
    return {"CPU": time.process_time(), "memory": memory, "a decision": kpis.decision_us}


def _case(name: str, size: int, seed: int) -> Case:
    rng = random.Random(f"simulation {name} {seed}")
    if name == TRACE:
        fleet = _fleet(200, rng)
        jobs = _trace(size, sum(node.cpu_cores for node in fleet))
    elif name == HOSTS:
        fleet, jobs = _fleet(size, rng), _pods(2 * size, 0.0, rng)
    else:
        count = 100 if name == FEW else 2_000
        # as busy in both: as many pods on twenty times as many nodes come twenty times as fast
        fleet, jobs = _fleet(count, rng), _pods(size, 60.0 * size / count, rng)
    kinds = {node.kind: PowerModel(node.kind, node.curve) for node in fleet}
    return Case(fleet, in_order(jobs), "envelope", PowerModels({node.name: kinds[node.kind] for node in fleet}))


def _fleet(count: int, rng: random.Random) -> list[SimulatedNode]:
    """Nodes of ``KINDS`` kinds in turn; the first step of their power is the steepest, as it is on most servers."""
    kinds = [(rng.choice((64, 96, 128)), _curve(rng)) for _ in range(KINDS)]
    return [
        SimulatedNode(f"node-{i:05}", cores, 8192.0 * cores, curve, kind=f"kind-{i % KINDS}")
        for i in range(count)
        for cores, curve in [kinds[i % KINDS]]
    ]


def _curve(rng: random.Random) -> Piecewise:
    watts = [rng.uniform(40.0, 120.0)]
    for steepest in (120.0, *[40.0] * 9):
        watts.append(watts[-1] + rng.uniform(0.1, 1.0) * steepest)
    return Piecewise(LEVELS, tuple(watts))


def _pods(count: int, within: float, rng: random.Random) -> list[Job]:
    """Pods that come within so many seconds and use a part of what they request."""
    return [
        Job(f"pod-{i:06}", rng.uniform(0.0, within), rng.uniform(300.0, 3000.0), cores, 2048.0 * cores, used)
        for i in range(count)
        for cores in [rng.choice((1, 2, 4, 8))]
        for used in [cores * rng.uniform(0.2, 1.0)]
    ]


def _trace_file() -> Path | None:
    folder = os.environ.get("PEAKS_TEST_DATA", "")
    file = Path(folder) / FILE
    return file if folder and file.is_file() else None


def _trace(most: int, cores: float) -> list[Job]:
    """Up to ``most`` pods of the trace, which arrive in its order and evenly in time, so that they request ``HALF`` of
    the ``cores`` on average. They use what they request."""
    file = _trace_file()
    assert file is not None
    with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: (float(row["creation_time"]), row["name"]))[:most]
    wanted = [(float(row["cpu_milli"]) / 1000.0, float(row["memory_mib"]), _life(row)) for row in rows]
    gap = sum(cpu * life for cpu, _, life in wanted) / (HALF * cores * len(wanted))
    return [
        Job(row["name"], i * gap, life, cpu, memory, cpu)
        for i, (row, (cpu, memory, life)) in enumerate(zip(rows, wanted, strict=True))
    ]


def _life(row: dict[str, str]) -> float:
    """[s]; at most a day, for the few that live for months."""
    return min(max(float(row["deletion_time"]) - float(row["creation_time"]), 1.0), 86_400.0)


def main(argv: Sequence[str]) -> None:
    name, size, seed = argv
    print(json.dumps(run(_case(name, int(size), int(seed)))))


if __name__ == "__main__":
    main(sys.argv[1:])
