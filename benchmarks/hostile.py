"""What one pod of a tenant costs everybody else: both schedulers, the worst pod of each kind, on a real API server.

Owns the order of a trial: the largest pod of a kind that the API server takes is created while small pods of others
arrive, and deleted again. What counts is how long the others' pods waited, how long its own verdict took, whether the
probe was answered, and what memory it took while it was there and after it. Nobody is told what the pod is.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import nan
from pathlib import Path
from typing import Self

import httpx

from benchmarks import workload
from benchmarks.arrivals import arrival_times, create
from benchmarks.contenders import Contender, kube_scheduler, peaks
from benchmarks.endtoend import folder_of_logs
from benchmarks.figures import Aim, Better, Figure
from benchmarks.loads import LoadEndpoint
from benchmarks.machine import memory
from benchmarks.plan import Plan
from benchmarks.plane import BenchPlane
from benchmarks.sightings import Sightings
from benchmarks.workload import Object
from tests.adversarial.builders import grown
from tests.adversarial.worst_pods import OF_NODES, OF_PODS
from tests.e2e.support.api import ApiError
from tests.e2e.support.processes import Process

PART = "hostile pods"
OTHERS = "others wait, longest"
OWN = "own verdict"
PROBE = "probe, longest"
WHILE = "memory more while it is there"
AFTER = "memory more after it"
UNITS: dict[str, tuple[str, Better]] = {
    OTHERS: ("ms", "lower"),
    OWN: ("s", "lower"),
    PROBE: ("ms", "lower"),
    WHILE: ("MB", "lower"),
    AFTER: ("MB", "lower"),
}
WAITING = (
    "nodeSelector",
    "node affinity, values",
    "node affinity, a term a key",
    "preferred nodes by key",
    "spread",
    "spread if it can be",
    "anti-affinity over keys that no node has",
    "anti-affinity for pods without a label",
    "preferred affinity over one key",
    "tolerations",
    "host ports",
    "extended resources",
    "labels",
    "claims",
)
RUNNING = (
    "anti-affinity over keys that no node has",
    "anti-affinity over one key",
    "anti-affinity for its own namespace",
    "preferred affinity over keys that no node has",
    "extended resources",
    "labels",
)
"""On a node already, put there by their maker (``nodeName``), whom no scheduler asked."""
KINDS = [*((f"waits: {kind}", kind, False) for kind in WAITING), *((f"runs: {kind}", kind, True) for kind in RUNNING)]
CROWD = "crowd that fits nowhere, flapping label"
RATE = 20.0  # [pods/s] of others
OTHER_PODS = 60
LARGEST = 2_900_000  # [bytes] of JSON: the API server reads 3 MiB, etcd's form of it may be smaller
SMALLER = 0.9  # the next size to be tried where the API server refused one
PATIENCE = 120.0  # [s] for anything
REST = 3.0  # [s] before memory is read
PODS = f"/api/v1/namespaces/{workload.NAMESPACE}/pods"
TOO_LARGE = (413, 422, 500)  # 500 is etcd's


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """One round."""
    figures: list[Figure] = []
    with folder_of_logs(plan.logs) as folder, BenchPlane(folder) as plane:
        plane.add_accounts()
        plane.create_nodes(workload.nodes(plan.nodes, plan.seed))
        with LoadEndpoint(workload.loads(plan.nodes, plan.seed)) as load:
            for contender in (peaks(load.url), kube_scheduler()):
                figures += _all_kinds(plane, plan, contender, say)
    return figures, _aims(figures)


def _all_kinds(plane: BenchPlane, plan: Plan, contender: Contender, say: Callable[[str], None]) -> list[Figure]:
    plane.delete_all_pods()
    trial = Trial(plane, plan, contender)
    try:
        trial.others("warm")
        found: list[Figure] = []
        for kind, of, runs in (*KINDS, (CROWD, "", False)):
            values = trial.run(of, runs) if of else trial.crowd(plan.crowd * 25)
            say(f"{contender.name}, {kind}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items()))
            found += [_figure(kind, name, contender, value) for name, value in values.items()]
            if values[OTHERS] >= 1000 * PATIENCE:
                trial.restart()  # what it is busy with is no concern of the next kind
        return found
    finally:
        trial.stop()


def _figure(kind: str, name: str, contender: Contender, value: float) -> Figure:
    return Figure(PART, f"{kind}: {name}", UNITS[name][0], contender.name, (value,))


class Trial:
    """One scheduler, running."""

    def __init__(self, plane: BenchPlane, plan: Plan, contender: Contender) -> None:
        self._plane, self._plan, self._contender = plane, plan, contender
        self._daemon = contender.start(plane)

    def stop(self) -> None:
        self._daemon.stop()

    def restart(self) -> None:
        """End the scheduler, remove all pods, start it again."""
        self.stop()
        self._plane.delete_all_pods()
        self._daemon = self._contender.start(self._plane)

    def run(self, kind: str, runs: bool) -> dict[str, float]:
        name = re.sub(r"[^a-z]+", "-", f"{'runs' if runs else 'waits'} {kind.lower()}")
        time.sleep(REST)
        before = memory(self._daemon.pid)[0]
        _forget_peak(self._daemon.pid)
        with _Probe(self._daemon) as probe:
            created = self._create(name, kind, runs)
            verdict = _Verdict(self._plane, name, created)
            values = {OTHERS: 1000 * self.others(name), PROBE: 1000 * probe.longest}
            if not runs:
                values[OWN] = verdict.wait()
        values[WHILE] = memory(self._daemon.pid)[1] - before
        self._delete(name)
        time.sleep(REST)
        values[AFTER] = memory(self._daemon.pid)[0] - before
        return values

    def crowd(self, count: int) -> dict[str, float]:
        """So many pods that fit nowhere wait, and one node's label changes ten times a second."""
        waiting = workload.pods("crowd", count, self._plan.seed, self._contender.scheduler_name)
        for pod in waiting:
            pod["spec"]["nodeSelector"] = {"nowhere": pod["metadata"]["name"]}
        self._plane.create_pods(waiting)
        time.sleep(REST)
        with _Probe(self._daemon) as probe, _flapping(self._plane):
            time.sleep(REST)
            return {OTHERS: 1000 * self.others("crowd"), PROBE: 1000 * probe.longest}

    def others(self, name: str) -> float:
        """[s] that the slowest of the small pods took from its creation to its Binding; PATIENCE: it took longer."""
        pods = workload.pods(f"other-{name}", OTHER_PODS, self._plan.seed, self._contender.scheduler_name)
        with Sightings(self._plane, "others", ("created", "bound")) as seen:
            create(self._plane.api, pods, arrival_times(OTHER_PODS, RATE, self._plan.seed))
            wanted = {pod["metadata"]["name"] for pod in pods}
            if not seen.wait(lambda s: wanted <= s.bound.keys(), PATIENCE):
                return PATIENCE
        return max(seen.bound[each] - seen.created[each] for each in wanted)

    def _create(self, name: str, kind: str, runs: bool) -> float:
        """The largest pod of the kind that the API server takes, and when it took it [s, monotonic]."""
        limit = LARGEST
        while not self._accepted(name, grown({**OF_NODES, **OF_PODS}[kind], limit), runs):
            limit = int(limit * SMALLER)
        return time.monotonic()

    def _accepted(self, name: str, made: Object, runs: bool) -> bool:
        asked = {"schedulerName": self._contender.scheduler_name, "terminationGracePeriodSeconds": 0}
        if runs:
            asked |= {"schedulerName": "nobody", "nodeName": workload.node_names(1)[0]}
        metadata = {"name": name, "labels": made["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**_complete(made["spec"]), **asked}}
        try:
            self._plane.api.post(PODS, pod)
        except ApiError as error:
            if error.code not in TOO_LARGE:
                raise
            return False
        except httpx.ReadTimeout:  # the API server itself takes too long to validate it
            self._delete(name)
            return False
        return True

    def _delete(self, name: str) -> None:
        with contextlib.suppress(ApiError):  # it may not have come about
            self._plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")


def _complete(spec: Object) -> Object:
    """With what the API server asks for beside what a scheduler reads: an image, container ports, limits."""
    for container in spec["containers"]:
        container.setdefault("image", "x")
        for port in container.get("ports", ()):
            port.setdefault("containerPort", port["hostPort"])
        resources = container.get("resources") or {}
        if any("/" in name for name in resources.get("requests", ())):
            container["resources"] = {"limits": resources["requests"]}
    return spec


class _Verdict:
    """When a pod was told for the first time what became of it."""

    def __init__(self, plane: BenchPlane, name: str, created: float) -> None:
        self._plane, self._created = plane, created
        self._path = f"/api/v1/namespaces/{workload.NAMESPACE}/events?fieldSelector=involvedObject.name={name}"
        self._found: float | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def wait(self) -> float:
        """[s] after its creation; PATIENCE: none came by then."""
        self._thread.join(PATIENCE)
        return PATIENCE if self._found is None else self._found - self._created

    def _look(self) -> None:
        while time.monotonic() < self._created + PATIENCE:
            if self._plane.api.get(self._path)["items"]:
                self._found = time.monotonic()
                return
            time.sleep(0.05)


@contextmanager
def _flapping(plane: BenchPlane) -> Iterator[None]:
    """A node's label changes all the time."""
    end = threading.Event()

    def flap() -> None:
        path = f"/api/v1/nodes/{workload.node_names(1)[0]}"
        for n in itertools.count():
            if end.wait(0.1):
                return
            plane.api.patch(path, {"metadata": {"labels": {"flapping": str(n % 2)}}})

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(PATIENCE)


class _Probe:
    """Asks /livez all the time, where the process tells its port in its log."""

    def __init__(self, daemon: Process) -> None:
        said = re.search(r'"serving".*"port": ?(\d+)', daemon.output())
        self._url = f"http://127.0.0.1:{said[1]}/livez" if said else ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.longest = 0.0  # [s] an answer took

    def __enter__(self) -> Self:
        if self._url:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._url:
            self._thread.join(PATIENCE)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            while not self._end.wait(0.05):
                begun = time.monotonic()
                client.get(self._url).raise_for_status()
                self.longest = max(self.longest, time.monotonic() - begun)


def _forget_peak(pid: int) -> None:
    """Linux counts the peak of a process's memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _aims(figures: Sequence[Figure]) -> list[Aim]:
    """The worst of all kinds. What must hold for a decision is allowed for the way from creation to Binding as well."""
    ours = [each for each in figures if each.subject == "peaks"]
    theirs = {each.name: each.middle for each in figures if each.subject != "peaks"}

    def worst(name: str, of: Mapping[str, float]) -> float:
        return max((value for each, value in of.items() if each.endswith(name) and CROWD not in each), default=nan)

    found = {each.name: each.middle for each in ours}
    limits = {OTHERS: 100.0, OWN: 1.0, PROBE: 1000.0, WHILE: 50.0, AFTER: 5.0}
    crowd = f"{CROWD}: {OTHERS}"
    aims = [Aim(f"{crowd} [ms] (kube-scheduler: {theirs[crowd]:.3g})", found[crowd], 1000.0, "lower")]
    for name, limit in limits.items():
        text = f"{name} [{UNITS[name][0]}] (kube-scheduler: {worst(name, theirs):.3g})"
        aims.append(Aim(text, worst(name, found), limit, "lower"))
    return aims
