"""The start of both schedulers in a full cluster: 150,000 pods on 5,000 nodes, and one more that waits.

Owns the order of events: the pods are there before any scheduler starts (``--bound 10000`` for another number), the
schedulers take turns in beginning. Time counts from the start of the process (exec), by the kernel, to the first
Binding that the observer sees. The memory of both is read a few seconds later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks import BenchmarkError, workload
from benchmarks.contenders import Contender, kube_scheduler, peaks
from benchmarks.endtoend import IDLE, START_LIMIT, Values, folder_of_logs
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.filling import fill
from benchmarks.loads import LoadEndpoint
from benchmarks.machine import cpu_seconds, memory, started
from benchmarks.plan import Plan
from benchmarks.plane import BenchPlane
from benchmarks.sightings import Sightings

PART = "start in a full cluster"
FIRST, CPU, PEAK, RSS = "exec to first Binding", "CPU before the first Binding", "memory, peak", "memory"
UNITS: dict[str, tuple[str, Better]] = {
    FIRST: ("s", "lower"),
    CPU: ("s", "lower"),
    PEAK: ("MB", "lower"),
    RSS: ("MB", "lower"),
}
FEW = 10_000
"""Pods on the nodes up to which the shorter time and the smaller memory are asked for."""
SECONDS = {True: 2.0, False: 15.0}
MEGABYTES = {True: 160.0, False: 600.0}
TIMES, SHARE = 2.5, 0.5


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """All rounds. Raises BenchmarkError if a pod stays unbound."""
    with folder_of_logs(plan.logs) as folder, BenchPlane(folder) as plane:
        say(f"start: control plane up; creating {plan.nodes} nodes and {plan.bound} pods")
        plane.add_accounts()
        plane.create_nodes(workload.nodes(plan.nodes, plan.seed))
        fill(plane, plan.bound, plan.nodes, plan.seed)
        with LoadEndpoint(workload.loads(plan.nodes, plan.seed)) as load:
            rounds = _rounds(plane, plan, [peaks(load.url), kube_scheduler()], say)
    figures = [figure for name, values in rounds.items() for figure in gather(PART, name, values, UNITS)]
    return figures, _aims(figures, plan)


def _rounds(
    plane: BenchPlane, plan: Plan, both: Sequence[Contender], say: Callable[[str], None]
) -> dict[str, list[Values]]:
    found: dict[str, list[Values]] = {each.name: [] for each in both}
    for i in range(plan.rounds):
        for contender in both if i % 2 == 0 else reversed(both):
            values = start(plane, contender, f"probe-{i}-{contender.name}")
            said = ", ".join(f"{name} {value:.3g} {UNITS[name][0]}" for name, value in values.items())
            say(f"start: round {i + 1} of {plan.rounds}, {contender.name}: {said}")
            found[contender.name].append(values)
    return found


def start(plane: BenchPlane, contender: Contender, name: str) -> Values:
    """Start a scheduler while a pod of its waits; end it when the pod is bound and its figures are read."""
    plane.create_pods([workload.pod(name, 100, 128, contender.scheduler_name)])
    with Sightings(plane, "start", ("bound",)) as seen:
        daemon = contender.start(plane)
        try:
            if not seen.wait(lambda s: len(s.bound) > 0, START_LIMIT):
                raise BenchmarkError(f"{contender.name}: no pod was bound; its log ends:\n{daemon.output()[-3000:]}")
            values = {FIRST: min(seen.bound.values()) - started(daemon.pid), CPU: cpu_seconds(daemon.pid)}
            time.sleep(IDLE)
            values[RSS], values[PEAK] = memory(daemon.pid)
        finally:
            daemon.stop()
    return values


def _aims(figures: Sequence[Figure], plan: Plan) -> list[Aim]:
    found = {(each.name, each.subject): each.middle for each in figures}
    ours, theirs = ({name: found[name, of] for name in UNITS} for of in ("peaks", "kube-scheduler"))
    few = plan.bound <= FEW
    size = f"{plan.nodes:,} nodes, {plan.bound:,} pods; kube-scheduler: "
    return [
        Aim(f"{FIRST} [s] ({size}{theirs[FIRST]:.3g})", ours[FIRST], SECONDS[few], "lower"),
        *([Aim(f"{FIRST}, over kube-scheduler's", ours[FIRST] / theirs[FIRST], TIMES, "lower")] if few else []),
        Aim(f"{PEAK} [MB] ({size}{theirs[PEAK]:.0f})", ours[PEAK], MEGABYTES[few], "lower"),
        *([] if few else [Aim(f"{PEAK}, over kube-scheduler's", ours[PEAK] / theirs[PEAK], SHARE, "lower")]),
    ]
