"""scheduler_perf's cases: where they lie, what they say, and which of them can be run here.

Owns the reasons why a case is left out. The files are those of the Go module ``k8s.io/kubernetes`` that the control
plane is built from; ``find`` fetches the module where the Go module cache lacks it. Whether a case needs a feature gate
is read from the defaults in the same module: a gate set to its default needs nothing. Nothing is copied or changed.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf import operations
from benchmarks.scheduler_perf.steps import CreateNodes, Step
from tools import control_plane

CONFIGURATION = "performance-config.yaml"
CASES, GATES = Path("test/integration/scheduler_perf"), Path("pkg/features/kube_features.go")
SIZES = (5_000, 6_000)  # nodes, from and to
THROUGHPUT = "SchedulingThroughput"
DRA_OPCODES = frozenset(("allocResourceClaims", "createResourceClaims", "createResourceDriver"))

_GATE = re.compile(r"^\t(\w+): \{\n(.*?)^\t\},", re.MULTILINE | re.DOTALL)
_DEFAULT = re.compile(r"Default:\s*(true|false)")


@dataclass(frozen=True, slots=True)
class Case:
    """One workload of one test case."""

    name: str
    """``FOLDER/TEST CASE/WORKLOAD``."""
    folder: Path
    steps: tuple[Mapping[str, Any], ...]
    """As they are written."""
    params: Mapping[str, Any]
    labels: frozenset[str]
    gates: Mapping[str, bool]
    threshold: float | None
    """Published least throughput [pods/s]; None: there is none, or it is for another figure."""
    pod: Path | None
    """The template of pods that name none."""
    scheduler_config: str = ""

    def parse(self, scale: float = 1.0) -> tuple[tuple[Step, ...], frozenset[str]]:
        """The steps, and the parameters that they use; whole numbers among these are multiplied by ``scale``."""
        params = {name: scaled(value, scale) for name, value in self.params.items()}
        return operations.parse(self.steps, params, self.folder, self.pod)


def scaled(value: Any, scale: float) -> Any:
    """A parameter for a smaller run: a count of at least one, where it was one."""
    counts = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return max(1, round(value * scale)) if counts else value


def find() -> Path:
    """The folder of the Go module, which is fetched into the module cache if it is not there.

    Raises:
        BenchmarkError: there is no Go, or the module cannot be fetched.
    """
    module = f"k8s.io/kubernetes@{control_plane.KUBERNETES}"
    try:
        with tempfile.TemporaryDirectory() as out:
            argv = [str(control_plane.find_go()), "mod", "download", "-json", module]
            told = json.loads(control_plane.run_go(argv, Path(out)))
    except control_plane.BuildError as error:
        raise BenchmarkError(f"scheduler_perf's cases are in the Go module {module}: {error}") from error
    return Path(told["Dir"])


def read(module: Path) -> list[Case]:
    """All cases of the module, in the order of their files."""
    root = module / CASES
    files = sorted(root.rglob(CONFIGURATION))
    if not files:
        raise BenchmarkError(f"expected files named {CONFIGURATION} below {root}, found none")
    return [case for file in files for case in read_file(file, file.parent.relative_to(root).as_posix())]


def read_file(file: Path, topic: str) -> list[Case]:
    """The cases of one file; ``topic`` chooses among thresholds of several topics and begins each name."""
    tests = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [_case(test, workload, file.parent, topic) for test in tests for workload in test["workloads"]]


def _case(test: Mapping[str, Any], workload: Mapping[str, Any], folder: Path, topic: str) -> Case:
    pod = test.get("defaultPodTemplatePath")
    return Case(
        name=f"{topic}/{test['name']}/{workload['name']}",
        folder=folder,
        steps=tuple(test["workloadTemplate"]),
        params=workload.get("params") or {},
        labels=frozenset((*test.get("labels", ()), *workload.get("labels", ()))),
        gates={**test.get("featureGates", {}), **workload.get("featureGates", {})},
        threshold=_threshold(test, workload, topic),
        pod=(folder / pod).resolve() if pod else None,
        scheduler_config=test.get("schedulerConfigPath", ""),
    )


def _threshold(test: Mapping[str, Any], workload: Mapping[str, Any], topic: str) -> float | None:
    selector = workload.get("thresholdMetricSelector") or test.get("defaultThresholdMetricSelector") or {}
    if selector.get("name", THROUGHPUT) != THROUGHPUT or selector.get("dataBucket", "Average") != "Average":
        return None
    value = workload.get("threshold", 0)
    if isinstance(value, Mapping):
        value = value.get(topic.partition("/")[0], 0)
    return float(value) or None


def gate_defaults(module: Path) -> dict[str, bool]:
    """Feature gate -> is it on in this version if nobody says otherwise?"""
    source = (module / GATES).read_text(encoding="utf-8")
    found = {name: _DEFAULT.findall(body) for name, body in _GATE.findall(source)}
    return {name: values[-1] == "true" for name, values in found.items() if values}


# --- selection --------------------------------------------------------------------------------------------------------


def nodes(steps: Iterable[Step]) -> int:
    """How many nodes the steps create."""
    return sum(step.count for step in steps if isinstance(step, CreateNodes))


def why_not(case: Case, defaults: Mapping[str, bool]) -> str:
    """The reason why a case is left out, in a few words; empty if it can be run."""
    if case.name.startswith("dra/") or any(step.get("opcode") in DRA_OPCODES for step in case.steps):
        return "needs dynamic resource allocation"
    if "Preemption" in case.name:
        return "needs preemption"
    if other := [name for name, on in case.gates.items() if defaults.get(name) is not on]:
        return "needs a feature gate: " + ", ".join(f"{name}={str(case.gates[name]).lower()}" for name in sorted(other))
    if case.scheduler_config:
        return "needs another configuration of kube-scheduler"
    return _why_not_steps(case)


def _why_not_steps(case: Case) -> str:
    try:
        steps, used = case.parse()
    except BenchmarkError as error:
        return str(error)
    if unused := sorted(set(case.params) - used):
        return f"its Go program changes nodes or scheduler by {', '.join(unused)}"
    if not SIZES[0] <= nodes(steps) <= SIZES[1]:
        return f"has {nodes(steps):,} nodes"
    return ""


def select(
    cases: Sequence[Case], defaults: Mapping[str, bool], wanted: Sequence[str] = ()
) -> tuple[list[Case], dict[str, str]]:
    """(cases to run, name -> reason of those left out) of all that are labelled ``performance``.

    ``wanted``: names or parts of names; empty: all.

    Raises:
        BenchmarkError: a wanted name is in none that can be run.
    """
    performance = [case for case in cases if "performance" in case.labels]
    reasons = {case.name: why_not(case, defaults) for case in performance}
    possible = [case for case in performance if not reasons[case.name]]
    left_out = {name: reason for name, reason in reasons.items() if reason}
    for part in wanted:
        if not any(part in case.name for case in possible):
            raise BenchmarkError(_no_such(part, possible, left_out))
    chosen = [case for case in possible if not wanted or any(part in case.name for part in wanted)]
    return chosen, left_out


def _no_such(part: str, possible: Sequence[Case], left_out: Mapping[str, str]) -> str:
    known = [f"{name} ({reason})" for name, reason in left_out.items() if part in name]
    if known:
        return f"--case {part}: left out: {'; '.join(known)}"
    return f"--case {part}: expected a part of one of:\n" + "\n".join(case.name for case in possible)
