"""From scheduler_perf's opcodes to the steps of a case, with the workload's parameters put in.

Owns the names of opcodes and fields. A step with an unknown opcode, an unknown field or a missing parameter is
an error that says which. Sets of pods become one step for each namespace, as scheduler_perf does it: the numbers of the
steps, and the names of namespaces that follow from them, are the same. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf.steps import (
    Barrier,
    Churn,
    CreateAny,
    CreateNamespaces,
    CreateNodes,
    CreatePods,
    CreatePodSets,
    DeletePods,
    Sleep,
    StartCollecting,
    Step,
    StopCollecting,
    UpdateAny,
)

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h))")


class Fields:
    """One step as it is written; remembers which fields and which parameters were read."""

    def __init__(self, written: Mapping[str, Any], params: Mapping[str, Any], folder: Path, used: set[str]) -> None:
        self._written, self._params, self._folder, self.used = written, params, folder, used
        self._read = {"opcode"}

    def get(self, name: str, default: Any) -> Any:
        """The field, or the parameter that its ``...Param`` names, or ``default``."""
        self._read |= {name, f"{name}Param"}
        parameter = self._written.get(f"{name}Param", "")
        if not parameter:
            return self._written.get(name, default)
        self.used.add(parameter[1:])
        if parameter[1:] not in self._params:
            raise BenchmarkError(f"{self.opcode}: parameter {parameter} is not defined")
        return self._params[parameter[1:]]

    @property
    def opcode(self) -> str:
        return str(self._written.get("opcode", ""))

    def path(self, name: str) -> Path | None:
        written = self.get(name, None)
        return None if written is None else (self._folder / written).resolve()

    def need_path(self, name: str) -> Path:
        found = self.path(name)
        if found is None:
            raise BenchmarkError(f"{self.opcode}: expected {name}")
        return found

    def inner(self, name: str) -> Fields:
        return Fields(self.get(name, None) or {}, self._params, self._folder, self.used)

    def paths(self, name: str) -> tuple[Path, ...]:
        return tuple((self._folder / each).resolve() for each in self.get(name, ()))

    def finish(self) -> None:
        """Raise BenchmarkError for a field that nobody read."""
        unknown = sorted(set(self._written) - self._read)
        if unknown:
            raise BenchmarkError(f"{self.opcode}: unknown field {', '.join(unknown)}")


def _nodes(fields: Fields) -> CreateNodes:
    labels, room = fields.inner("labelNodePrepareStrategy"), fields.inner("nodeAllocatableStrategy")
    return CreateNodes(
        int(fields.get("count", 0)),
        fields.path("nodeTemplatePath"),
        labels.get("labelKey", ""),
        tuple(labels.get("labelValues", ())),
        room.get("nodeAllocatable", {}),
        room.get("csiNodeAllocatable", {}),
        tuple(room.get("migratedPlugins", ())),
    )


def _namespaces(fields: Fields) -> CreateNamespaces:
    return CreateNamespaces(int(fields.get("count", 0)), fields.get("prefix", ""), fields.path("namespaceTemplatePath"))


def _pods(fields: Fields) -> CreatePods:
    return CreatePods(
        int(fields.get("count", 0)),
        fields.get("namespace", ""),
        fields.path("podTemplatePath"),
        bool(fields.get("collectMetrics", False)),
        not fields.get("skipWaitToCompletion", False),
        fields.path("persistentVolumeTemplatePath"),
        fields.path("persistentVolumeClaimTemplatePath"),
        bool(fields.get("steadyState", False)),
        seconds(fields.get("duration", "0s")),
    )


def _pod_sets(fields: Fields) -> CreatePodSets:
    inner = fields.inner("createPodsOp")
    made = CreatePodSets(int(fields.get("count", 0)), fields.get("namespacePrefix", ""), _pods(inner))
    inner.finish()
    return made


def _create_any(fields: Fields) -> CreateAny:
    return CreateAny(fields.need_path("templatePath"), int(fields.get("count", 1)), fields.get("namespace", ""))


def _update_any(fields: Fields) -> UpdateAny:
    return UpdateAny(
        fields.need_path("templatePath"),
        int(fields.get("count", 1)),
        fields.get("namespace", ""),
        int(fields.get("updatePerSecond", 0)),
        tuple(fields.get("subresources", ())),
    )


def _delete_pods(fields: Fields) -> DeletePods:
    return DeletePods(
        fields.get("namespace", ""),
        fields.get("labelSelector", {}),
        not fields.get("skipWaitToCompletion", False),
        int(fields.get("deletePodsPerSecond", 0)),
    )


def _churn(fields: Fields) -> Churn:
    return Churn(
        fields.get("mode", ""),
        fields.paths("templatePaths"),
        int(fields.get("number", 0)),
        (fields.get("intervalMilliseconds", 0) or 500) / 1000,
        fields.get("namespace", ""),
    )


def _barrier(fields: Fields) -> Barrier:
    stage = fields.get("stageRequirement", "")
    return Barrier(tuple(fields.get("namespaces", ())), fields.get("labelSelector", {}), stage == "Attempted")


def _sleep(fields: Fields) -> Sleep:
    return Sleep(seconds(fields.get("duration", "0s")))


def _start(fields: Fields) -> StartCollecting:
    namespaces = tuple(fields.get("namespaces", ()))
    return StartCollecting(namespaces, fields.get("name", ""), fields.get("labelSelector", {}))


OPCODES: Mapping[str, Callable[[Fields], Step]] = {
    "createNodes": _nodes,
    "createNamespaces": _namespaces,
    "createPods": _pods,
    "createPodSets": _pod_sets,
    "createAny": _create_any,
    "updateAny": _update_any,
    "deletePods": _delete_pods,
    "churn": _churn,
    "barrier": _barrier,
    "sleep": _sleep,
    "startCollectingMetrics": _start,
    "stopCollectingMetrics": lambda _: StopCollecting(),
}


def parse(
    written: Sequence[Mapping[str, Any]], params: Mapping[str, Any], folder: Path, default_pod: Path | None
) -> tuple[tuple[Step, ...], frozenset[str]]:
    """The steps of a case, and the names of the parameters that they use.

    ``folder`` is that of the configuration file: paths are relative to it. ``default_pod`` is for steps without one.

    Raises:
        BenchmarkError: an unknown opcode or field, or a parameter without a value.
    """
    used: set[str] = set()
    steps = [_step(Fields(each, params, folder, used)) for each in written]
    plain = [_with_template(step, default_pod) for step in unrolled(steps)]
    return tuple(plain), frozenset(used)


def _step(fields: Fields) -> Step:
    if fields.opcode not in OPCODES:
        raise BenchmarkError(f"expected one of {', '.join(OPCODES)}, got the opcode {fields.opcode!r}")
    step = OPCODES[fields.opcode](fields)
    fields.finish()
    return step


def unrolled(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps with sets of pods taken apart, one step for each namespace."""
    for step in steps:
        if isinstance(step, CreatePodSets):
            yield from (replace(step.pods, namespace=f"{step.prefix}-{i}") for i in range(step.count))
        else:
            yield step


def _with_template(step: Step, default: Path | None) -> Step:
    return replace(step, template=default) if isinstance(step, CreatePods) and step.template is None else step


def seconds(written: str) -> float:
    """A Go duration such as ``1m30s`` in seconds. Raises BenchmarkError if it is none."""
    found = _DURATION.findall(written)
    if not found or "".join(number + unit for number, unit in found) != written:
        raise BenchmarkError(f"expected a duration such as 10s or 1m30s, got {written!r}")
    return sum(float(number) * UNITS[unit] for number, unit in found)
