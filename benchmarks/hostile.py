"""The cost of one tenant's worst pod for all others: both schedulers, each kind of pod, on a real API server.

Owns the order of a trial: the largest pod of a kind that the API server accepts is created while small pods of others
arrive, and is deleted again. Measured are the waiting time of the others' pods, the time to the pod's own verdict, the
longest answer of the probe, and the memory while the pod exists and after it. No scheduler knows which pod it is.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from math import nan

import httpx

from benchmarks import workload
from benchmarks.arrivals import arrival_times, create
from benchmarks.contenders import Contender, kube_scheduler, peaks
from benchmarks.endtoend import folder_of_logs
from benchmarks.figures import Aim, Better, Figure
from benchmarks.hostile_watchers import PATIENCE, FirstEvent, LivezProbe, flapping_label, reset_peak
from benchmarks.loads import LoadEndpoint
from benchmarks.machine import memory
from benchmarks.plan import Plan
from benchmarks.plane import BenchPlane
from benchmarks.sightings import Sightings
from benchmarks.workload import Object
from tests.adversarial.builders import grown
from tests.adversarial.worst_pods import OF_NODES, OF_PODS
from tests.e2e.support.api import ApiError

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
"""Kinds of pods that are on a node already: their creator set ``nodeName``, and no scheduler placed them."""
KINDS = [*((f"waits: {kind}", kind, False) for kind in WAITING), *((f"runs: {kind}", kind, True) for kind in RUNNING)]
CROWD = "crowd that fits nowhere, flapping label"
RATE = 20.0  # [pods/s] of others
OTHER_PODS = 60
LARGEST = 2_900_000  # [bytes] of JSON: the API server reads 3 MiB, and etcd's encoding may be smaller
SMALLER = 0.9  # ratio of the next size to one that the API server refused
REST = 3.0  # [s] before memory is read
PODS = f"/api/v1/namespaces/{workload.NAMESPACE}/pods"
TOO_LARGE = (413, 422, 500)  # 500 is etcd's


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure one round."""
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
                trial.restart()  # so that this kind does not affect the next one
        return found
    finally:
        trial.stop()


def _figure(kind: str, name: str, contender: Contender, value: float) -> Figure:
    return Figure(PART, f"{kind}: {name}", UNITS[name][0], contender.name, (value,))


class Trial:
    """A running scheduler, and the trials of it."""

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
        """The figures of one kind of pod; ``runs``: on a node already."""
        name = re.sub(r"[^a-z]+", "-", f"{'runs' if runs else 'waits'} {kind.lower()}")
        time.sleep(REST)
        before = memory(self._daemon.pid)[0]
        reset_peak(self._daemon.pid)
        with LivezProbe(self._daemon) as probe:
            created = self._create(name, kind, runs)
            verdict = FirstEvent(self._plane, name, created)
            values = {OTHERS: 1000 * self.others(name), PROBE: 1000 * probe.longest}
            if not runs:
                values[OWN] = verdict.wait()
        values[WHILE] = memory(self._daemon.pid)[1] - before
        self._delete(name)
        time.sleep(REST)
        values[AFTER] = memory(self._daemon.pid)[0] - before
        return values

    def crowd(self, count: int) -> dict[str, float]:
        """The figures while ``count`` pods that fit nowhere wait and a label of one node keeps changing."""
        waiting = workload.pods("crowd", count, self._plan.seed, self._contender.scheduler_name)
        for pod in waiting:
            pod["spec"]["nodeSelector"] = {"nowhere": pod["metadata"]["name"]}
        self._plane.create_pods(waiting)
        time.sleep(REST)
        with LivezProbe(self._daemon) as probe, flapping_label(self._plane):
            time.sleep(REST)
            return {OTHERS: 1000 * self.others("crowd"), PROBE: 1000 * probe.longest}

    def others(self, name: str) -> float:
        """Longest time from creation to Binding of the small pods [s]; at most PATIENCE."""
        pods = workload.pods(f"other-{name}", OTHER_PODS, self._plan.seed, self._contender.scheduler_name)
        with Sightings(self._plane, "others", ("created", "bound")) as seen:
            create(self._plane.api, pods, arrival_times(OTHER_PODS, RATE, self._plan.seed))
            wanted = {pod["metadata"]["name"] for pod in pods}
            if not seen.wait(lambda s: wanted <= s.bound.keys(), PATIENCE):
                return PATIENCE
        return max(seen.bound[each] - seen.created[each] for each in wanted)

    def _create(self, name: str, kind: str, runs: bool) -> float:
        """Create the largest pod of the kind that the API server accepts; the time when it did [s, monotonic]."""
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
        except httpx.ReadTimeout:  # the API server takes too long to validate it
            self._delete(name)
            return False
        return True

    def _delete(self, name: str) -> None:
        with contextlib.suppress(ApiError):  # it may not exist
            self._plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")


def _complete(spec: Object) -> Object:
    """The spec with the fields that only the API server requires: image, container ports, limits."""
    for container in spec["containers"]:
        container.setdefault("image", "x")
        for port in container.get("ports", ()):
            port.setdefault("containerPort", port["hostPort"])
        resources = container.get("resources") or {}
        if any("/" in name for name in resources.get("requests", ())):
            container["resources"] = {"limits": resources["requests"]}
    return spec


def _aims(figures: Sequence[Figure]) -> list[Aim]:
    """Aims for the worst of all kinds. The limit of a decision applies to the time from creation to Binding, too."""
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
