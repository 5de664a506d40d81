"""Measures both schedulers on the chosen cases, each with an API server of its own, and makes the table.

Owns the order: for each case both schedulers, one after the other, the first one in turn. As in scheduler_perf the
scheduler runs before the first step, admission by priority is off (pods carry a bare priority) and every case begins
with an empty cluster. Ours has a power model and a fresh load for every node, so it decides as it does in earnest.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks import BenchmarkError, workload
from benchmarks.contenders import Contender, kube_scheduler
from benchmarks.endtoend import folder_of_logs
from benchmarks.figures import Aim, Better, Figure
from benchmarks.loads import LoadEndpoint
from benchmarks.machine import cpu_seconds
from benchmarks.plan import Plan
from benchmarks.plane import OURS, BenchPlane
from benchmarks.scheduler_perf import objects, reading, run
from benchmarks.scheduler_perf.reading import Case
from benchmarks.scheduler_perf.run import Measured
from benchmarks.scheduler_perf.steps import Step
from tests.e2e.support.processes import Process, free_port

PART = "scheduler_perf"
FULL = 5_000  # nodes of the cases: another number makes all counts smaller or larger with it
FLAGS = ("--disable-admission-plugins=Priority", "--request-timeout=10m")
AVERAGE, RATE, CPU, THRESHOLD = "pods/s", "first to last", "CPU of a pod", "published"
UNITS: Mapping[str, tuple[str, Better]] = {AVERAGE: ("", "higher"), RATE: ("pods/s", "higher"), CPU: ("ms", "lower")}
CONSTRAINED = ("Affinity", "Spreading", "InclusionPolicy")  # cases in which the aim is twice


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure the cases that ``plan.cases`` names, or all. Raises BenchmarkError for a run without a valid result."""
    module = reading.find()
    cases, left_out = reading.select(reading.read(module), reading.gate_defaults(module), plan.cases)
    if not plan.cases:
        for name, reason in left_out.items():
            say(f"scheduler_perf: left out {name}: {reason}")
    found: dict[str, dict[str, Measured]] = {}
    failed: dict[str, BenchmarkError] = {}
    with folder_of_logs(plan.logs) as folder:
        for number, case in enumerate(cases):
            try:
                found[case.name] = _both(folder / f"case-{number}", case, plan, number, say)
            except BenchmarkError as error:  # the cases before and after it took long, and count
                failed[case.name] = error
                say(f"scheduler_perf: {case.name} has no result: {error}")
    if not found:
        raise BenchmarkError("no case has a result")
    whole = [case for case in cases if case.name in found]
    return _figures(whole, found), [*_aims(whole, found), *(Aim(f"{name}: results", 0, 1, "higher") for name in failed)]


def _both(folder: Path, case: Case, plan: Plan, number: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """What each scheduler reached in a case."""
    steps, _ = case.parse(plan.nodes / FULL)
    names = objects.node_names(steps, plan.seed)
    both = [("peaks", _peaks), ("kube-scheduler", _kube_scheduler)]
    found: dict[str, Measured] = {}
    for name, contender in both if number % 2 == 0 else reversed(both):
        found[name] = _one(folder / name, steps, contender, names, plan.seed)
        say(f"scheduler_perf: {case.name}, {name}: {_in_words(found[name])}")
    return found


def _in_words(measured: Measured) -> str:
    average = "too short for a sample" if measured.average is None else f"{measured.average:.0f} pods/s"
    rate = "" if measured.rate is None else f", {measured.rate:.0f} from first to last Binding"
    return f"{measured.pods} pods, {average}{rate}, {measured.cpu:.2f} ms CPU a pod"


def _one(
    folder: Path,
    steps: Sequence[Step],
    contender: Callable[[LoadEndpoint, Sequence[str]], Contender],
    names: Sequence[str],
    seed: int,
) -> Measured:
    rng = random.Random(f"loads {seed}")
    loads = {name: rng.uniform(0.05, 0.60) for name in names}
    with BenchPlane(folder, apiserver_flags=FLAGS) as plane, LoadEndpoint(loads) as load:
        plane.add_accounts()
        chosen = contender(load, names)
        daemon = chosen.start(plane)
        try:
            measured = run.run(plane.api, steps, chosen.scheduler_name, seed, lambda: cpu_seconds(daemon.pid))
        except BenchmarkError as error:
            raise BenchmarkError(f"{chosen.name}: {error}; the end of its log:\n{daemon.output()[-3000:]}") from error
        finally:
            daemon.stop()
    if len(measured) != 1:
        raise BenchmarkError(f"expected a case to collect once, it did {len(measured)} times")
    return measured[0]


# --- the schedulers ---------------------------------------------------------------------------------------------------


def _kube_scheduler(load: LoadEndpoint, names: Sequence[str]) -> Contender:
    return kube_scheduler()


def _peaks(load: LoadEndpoint, names: Sequence[str]) -> Contender:
    return Contender("peaks", "Peaks", True, lambda plane: _start_peaks(plane, load.url, names))


def _start_peaks(plane: BenchPlane, load_address: str, names: Sequence[str]) -> Process:
    """Ours as the manifests configure it, with models for nodes that are not there yet."""
    models, config = plane.folder / "models.yaml", plane.folder / "config.yaml"
    models.write_text(yaml.safe_dump(power_models(names)), encoding="utf-8")
    settings = {
        "schedulerName": "Peaks",
        "load": {"source": "load-watcher", "address": load_address},
        "powerModels": str(models),
        "logFormat": "json",
        "leaderElection": {"enabled": True, "name": "peaks-scheduler-peaks"},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    listen = f"127.0.0.1:{free_port()}"
    argv = (sys.executable, "-m", "peaks_scheduler", "run", "--config", config)
    daemon = plane.run("peaks-scheduler", *argv, "--kubeconfig", plane.kubeconfig_of(OURS), "--listen", listen)
    plane.wait_ready(daemon, f"http://{listen}/readyz")
    return daemon


def power_models(names: Sequence[str]) -> workload.Object:
    """The power model file: the nodes have the curves of ``workload`` in turn."""
    kinds = list(workload.KINDS.values())
    turns = [names[i :: len(kinds)] for i in range(len(kinds))]
    entries = [
        {"nodes": list(nodes), "cpu": "ratio", "curve": {"kind": "exponential", "k0": k0, "k1": k1, "k2": k2}}
        for nodes, (_, _, k0, k1, k2) in zip(turns, kinds, strict=True)
        if nodes
    ]
    return {"models": entries}


# --- the table --------------------------------------------------------------------------------------------------------


def _figures(cases: Sequence[Case], found: Mapping[str, Mapping[str, Measured]]) -> list[Figure]:
    """A row for each case with the published threshold, and rows with rate and CPU below; ours in the first column."""
    columns = ("peaks", "kube-scheduler", THRESHOLD)
    figures = [figure for case in cases for figure in _rows(case, found[case.name])]
    return sorted(figures, key=lambda figure: columns.index(figure.subject))


def _rows(case: Case, found: Mapping[str, Measured]) -> Iterator[Figure]:
    for (what, (unit, better)), (name, each) in itertools.product(UNITS.items(), found.items()):
        value = {AVERAGE: each.average, RATE: each.rate, CPU: each.cpu}[what]
        if value is not None:
            yield Figure(PART, f"{case.name}: {what}", unit, name, (value,), better)
    if case.threshold is not None:
        yield Figure(PART, f"{case.name}: {AVERAGE}", "", THRESHOLD, (case.threshold,), "")


def _aims(cases: Sequence[Case], found: Mapping[str, Mapping[str, Measured]]) -> list[Aim]:
    return [aim for case in cases for aim in _aims_of(case, found[case.name])]


def _aims_of(case: Case, found: Mapping[str, Measured]) -> Iterator[Aim]:
    ours, theirs = (comparable(found[name]) for name in ("peaks", "kube-scheduler"))
    if ours is not None and theirs:
        least = 2.0 if any(word in case.name for word in CONSTRAINED) else 1.0
        yield Aim(f"{case.name}: over kube-scheduler's", ours / theirs, least, "higher")
    if ours is not None and case.threshold is not None:
        yield Aim(f"{case.name}: pods/s over the published threshold", ours, case.threshold, "higher")


def comparable(measured: Measured) -> float | None:
    """scheduler_perf's average, or the rate from first to last Binding of a case that was over too soon for it."""
    return measured.rate if measured.average is None else measured.average
