"""Both schedulers on the same API server, in turn: a backlog, a steady stream, a restart with everything in place.

Owns the order of events of a turn, and the figures computed from its sightings. The nodes stay from turn to turn; pods
and events are deleted in between. The schedulers take turns in beginning. If a pod stays unbound, or one of ours has no
event or record, the run has no valid result and ends. Nothing is measured during preparation and checks.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import BenchmarkError, workload
from benchmarks.arrivals import arrival_times, create
from benchmarks.contenders import Contender, kube_scheduler, peaks
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.loads import LoadEndpoint
from benchmarks.machine import cpu_seconds, memory, started
from benchmarks.observer import DECISION
from benchmarks.plan import Plan
from benchmarks.plane import BenchPlane
from benchmarks.requests import requests
from benchmarks.sightings import Sightings
from peaks_scheduler.objects.quantity import parse_quantity
from tests.e2e.support.processes import Process

PART = "end to end"
START_LIMIT = 120.0  # [s] from a start to the first Binding
SLOWEST = 25.0  # [pods/s] a slower scheduler is given up
QUIET = 3.0  # [s] without another event, after which no more are expected
IDLE = 3.0  # [s] before the steady memory is read

BACKLOG_RATE = "backlog: rate until the last Binding and event"
BACKLOG_CPU = "backlog: CPU per pod"
BACKLOG_SERVER_CPU = "backlog: CPU of the API server per pod"
BACKLOG_REQUESTS = "backlog: requests to the API server per pod"
STREAM_P50, STREAM_P99 = "stream: create to bound, p50", "stream: create to bound, p99"
STREAM_SERVER_CPU = "stream: CPU of the API server per pod"
RESTART_FIRST = "restart: start to first Binding"
UNITS: dict[str, tuple[str, Better]] = {
    BACKLOG_RATE: ("pods/s", "higher"),
    "backlog: rate until the last Binding": ("pods/s", "higher"),
    "backlog: start to first Binding": ("s", "lower"),
    "backlog: CPU before the first Binding": ("s", "lower"),
    BACKLOG_CPU: ("ms", "lower"),
    BACKLOG_SERVER_CPU: ("ms", "lower"),
    BACKLOG_REQUESTS: ("", "lower"),
    "stream: arrivals": ("pods/s", ""),
    STREAM_P50: ("ms", "lower"),
    STREAM_P99: ("ms", "lower"),
    "stream: CPU per pod": ("ms", "lower"),
    STREAM_SERVER_CPU: ("ms", "lower"),
    "stream: requests to the API server per pod": ("", "lower"),
    "memory: peak, backlog and stream": ("MB", "lower"),
    "memory: all pods bound": ("MB", "lower"),
    RESTART_FIRST: ("s", "lower"),
    "restart: CPU before the first Binding": ("s", "lower"),
    "restart: memory, peak": ("MB", "lower"),
    "restart: memory": ("MB", "lower"),
    "Scheduled events per pod": ("", ""),
    "decision records per pod": ("", ""),
    "watches of the observer that the server ended": ("", ""),
}
Values = dict[str, float]


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure all rounds. Raises BenchmarkError for a run without a valid result."""
    with folder_of_logs(plan.logs) as folder, BenchPlane(folder) as plane:
        say(f"end to end: control plane up; creating {plan.nodes} nodes")
        plane.add_accounts()
        plane.create_nodes(workload.nodes(plan.nodes, plan.seed))
        with LoadEndpoint(workload.loads(plan.nodes, plan.seed)) as load:
            rounds = _rounds(plane, plan, [peaks(load.url), kube_scheduler()], say)
    figures = [figure for name, values in rounds.items() for figure in gather(PART, name, values, UNITS)]
    return figures, _aims(figures, plan)


@contextmanager
def folder_of_logs(logs: str) -> Iterator[Path]:
    """The folder for logs: ``logs``, which is kept, or a temporary one if it is empty."""
    if logs:
        yield Path(logs).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="peaks-bench-") as folder:
        yield Path(folder)


def _rounds(
    plane: BenchPlane, plan: Plan, both: Sequence[Contender], say: Callable[[str], None]
) -> dict[str, list[Values]]:
    found: dict[str, list[Values]] = {each.name: [] for each in both}
    for i in range(plan.rounds):
        for contender in both if i % 2 == 0 else reversed(both):
            say(f"end to end: round {i + 1} of {plan.rounds}, {contender.name}")
            values = Turn(plane, plan, contender).run()
            say(f"end to end: {contender.name}: {values[BACKLOG_RATE]:.0f} pods/s")
            found[contender.name].append(values)
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one scheduler."""

    plane: BenchPlane
    plan: Plan
    contender: Contender

    def run(self) -> Values:
        plane = self.plane
        plane.empty()
        plane.create_pods(self._pods("backlog", self.plan.backlog))
        with self._backlog() as (daemon, values):
            values |= self._stream(daemon)
            time.sleep(IDLE)
            values["memory: all pods bound"], values["memory: peak, backlog and stream"] = memory(daemon.pid)
        values |= self._restart()
        self._check()
        return values

    def _pods(self, prefix: str, count: int) -> list[workload.Object]:
        return workload.pods(prefix, count, self.plan.seed, self.contender.scheduler_name)

    @contextmanager
    def _backlog(self) -> Iterator[tuple[Process, Values]]:
        """Start the scheduler on the backlog; give it, with its figures, when it is done. It runs during the block."""
        with Sightings(self.plane, "backlog") as seen:
            asked = requests(self.plane.api).total()
            daemon = self.contender.start(self.plane)
            values = self._work_off(seen, daemon) | rates(seen, started(daemon.pid))
            values[BACKLOG_REQUESTS] = (requests(self.plane.api).total() - asked) / self.plan.backlog
        try:
            yield daemon, values
        finally:
            daemon.stop()

    def _work_off(self, seen: Sightings, daemon: Process) -> Values:
        """Wait until the backlog is bound: CPU before and after the first Binding, events, records."""
        count = self.plan.backlog
        self._need(seen.wait(lambda s: len(s.bound) > 0, START_LIMIT), "no pod was bound", daemon)
        already, before = len(seen.bound), self._cpu(daemon)
        self._finish(seen, count, count / SLOWEST, daemon)
        after = self._cpu(daemon)
        return {
            **self._complete(seen, count),
            "backlog: CPU before the first Binding": before[0],
            BACKLOG_CPU: 1000 * (after[0] - before[0]) / (count - already),
            BACKLOG_SERVER_CPU: 1000 * (after[1] - before[1]) / (count - already),
        }

    def _stream(self, daemon: Process) -> Values:
        count, plan = self.plan.stream, self.plan
        with Sightings(self.plane, "stream", ("created", "bound", "event")) as seen:
            asked, before = requests(self.plane.api).total(), self._cpu(daemon)
            create(self.plane.api, self._pods("stream", count), arrival_times(count, plan.rate, plan.seed))
            self._finish(seen, count, count / SLOWEST, daemon)
            after = self._cpu(daemon)
            made = count + seen.resumed  # requests of others: each pod was created, each watch that ended counts
            asked = requests(self.plane.api).total() - asked - made
            self._complete(seen, count)
        return {
            **latencies(seen),
            "stream: CPU per pod": 1000 * (after[0] - before[0]) / count,
            STREAM_SERVER_CPU: 1000 * (after[1] - before[1]) / count,
            "stream: requests to the API server per pod": asked / count,
            "watches of the observer that the server ended": float(seen.resumed),
        }

    def _restart(self) -> Values:
        """Start the scheduler again, with every pod bound and one more pending."""
        values = Values()
        self.plane.create_pods(self._pods("probe", 1))
        with Sightings(self.plane, "restart", ("bound",)) as seen:
            daemon = self.contender.start(self.plane)
            try:
                self._need(
                    seen.wait(lambda s: len(s.bound) > 0, START_LIMIT), "no pod was bound after a restart", daemon
                )
                values["restart: CPU before the first Binding"] = cpu_seconds(daemon.pid)
                values[RESTART_FIRST] = min(seen.bound.values()) - started(daemon.pid)
                time.sleep(IDLE)
                values["restart: memory"], values["restart: memory, peak"] = memory(daemon.pid)
            finally:
                daemon.stop()
        return values

    def _cpu(self, daemon: Process) -> tuple[float, float]:
        """CPU time [s] of the scheduler and of the API server."""
        return cpu_seconds(daemon.pid), cpu_seconds(self.plane.pid("kube-apiserver"))

    # --- what must be true -------------------------------------------------------------------------------------------

    def _finish(self, seen: Sightings, count: int, seconds: float, daemon: Process) -> None:
        """Wait until every pod is bound and no more events come."""
        bound = seen.wait(lambda s: len(s.bound) >= count, START_LIMIT + seconds)
        self._need(bound, f"{count - len(seen.bound)} of {count} pods were not bound", daemon)
        seen.settle(count, QUIET, START_LIMIT + seconds)

    def _complete(self, seen: Sightings, count: int) -> Values:
        """Events and records per pod. Ours must write all of them; kube-scheduler drops events under load."""
        if self.contender.records and not len(seen.event) == len(seen.recorded) == count:
            raise BenchmarkError(f"{count} pods bound, {len(seen.event)} events, {len(seen.recorded)} decision records")
        return {
            "Scheduled events per pod": len(seen.event) / count,
            "decision records per pod": len(seen.recorded) / count,
        }

    def _need(self, true: bool, what: str, daemon: Process) -> None:
        if not true:
            raise BenchmarkError(f"{self.contender.name}: {what}; the end of its log:\n{daemon.output()[-3000:]}")

    def _check(self) -> None:
        """Check that no node is overbooked, and that ours judged every node and knew its load."""
        pods = self.plane.list_pods(workload.NAMESPACE)
        check_room(pods, workload.nodes(self.plan.nodes, self.plan.seed))
        if self.contender.records:
            check_records(pods, self.plan.nodes)


def check_room(pods: Sequence[workload.Object], nodes: Sequence[workload.Object]) -> None:
    """Raise BenchmarkError if the pods of a node request more than it has."""
    left = {node["metadata"]["name"]: Counter(_amounts(node["status"]["allocatable"])) for node in nodes}
    for pod in pods:
        asked = Counter(_amounts(pod["spec"]["containers"][0]["resources"]["requests"]))
        left[pod["spec"]["nodeName"]].subtract({**asked, "pods": 1})
    over = [name for name, amounts in left.items() if min(amounts.values()) < 0]
    if over:
        raise BenchmarkError(f"{len(over)} nodes hold more than they have: {', '.join(over[:5])}")


def _amounts(quantities: dict[str, str]) -> dict[str, int]:
    return {name: math.floor(parse_quantity(text) * 1000) for name, text in quantities.items() if name != "pods"} | (
        {"pods": int(quantities["pods"])} if "pods" in quantities else {}
    )


def check_records(pods: Sequence[workload.Object], nodes: int) -> None:
    """Raise BenchmarkError for a record that names another node, or was made without all nodes or without load."""
    standings: Counter[str] = Counter()
    for pod in pods:
        record = json.loads(pod["metadata"]["annotations"][DECISION])
        if record["node"] != pod["spec"]["nodeName"] or record["total"] != nodes:
            raise BenchmarkError(f"{pod['metadata']['name']}: on {pod['spec']['nodeName']}, its record says {record}")
        standings[record["standing"]] += 1
    if standings["measured"] != len(pods):
        raise BenchmarkError(f"expected every decision on a node with measured load, got {dict(standings)}")


# --- what is computed -----------------------------------------------------------------------------------------------


def rates(seen: Sightings, begun: float) -> Values:
    """Pods per second from the first Binding to the last one, and to the last event if that is later."""
    first, last = min(seen.bound.values()), max(seen.bound.values())
    done = max([last, *seen.event.values()])
    count = len(seen.bound)
    return {
        BACKLOG_RATE: count / (done - first),
        "backlog: rate until the last Binding": count / (last - first),
        "backlog: start to first Binding": first - begun,
    }


def latencies(seen: Sightings) -> Values:
    """Times from a pod's creation to its Binding [ms], both as the observer saw them."""
    waits = [1000 * max(0.0, seen.bound[name] - created) for name, created in seen.created.items()]
    percentiles = statistics.quantiles(waits, n=100, method="inclusive")
    lasted = max(seen.created.values()) - min(seen.created.values())
    return {
        "stream: arrivals": (len(waits) - 1) / lasted,
        STREAM_P50: percentiles[49],
        STREAM_P99: percentiles[98],
    }


# figure -> the most (or least) that it may be over kube-scheduler's, in the same run
RATIOS: dict[str, tuple[float, Better]] = {
    BACKLOG_RATE: (2.2, "higher"),
    RESTART_FIRST: (2.5, "lower"),
    STREAM_P50: (1.0, "lower"),
    STREAM_P99: (1.0, "lower"),
    BACKLOG_SERVER_CPU: (1.0, "lower"),
    STREAM_SERVER_CPU: (1.0, "lower"),
    BACKLOG_REQUESTS: (1.0, "lower"),
}
LIMITS = {RESTART_FIRST: 2.0, BACKLOG_CPU: 0.9, "memory: all pods bound": 160.0, "restart: memory, peak": 160.0}


def _aims(figures: Sequence[Figure], plan: Plan) -> list[Aim]:
    found = {(each.name, each.subject): each.middle for each in figures}
    ours, theirs = ({name: found[name, of] for name in UNITS} for of in ("peaks", "kube-scheduler"))
    size = f"{plan.nodes:,} nodes, {plan.pods:,} pods"
    limits = [Aim(f"{name} [{UNITS[name][0]}] ({size})", ours[name], most, "lower") for name, most in LIMITS.items()]
    return [
        *limits,
        *(
            Aim(f"{name}, {ours[name]:.3g} over {theirs[name]:.3g}", ours[name] / theirs[name], limit, better)
            for name, (limit, better) in RATIOS.items()
        ),
    ]
