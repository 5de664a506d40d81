"""Traces in OpenDC's form: ``opendc:FOLDER``, ``bitbrains:FOLDER``, ``surf:FOLDER``, ``?usage=mean|steps``.

The folder has ``tasks`` and ``fragments`` as Parquet (``v1`` and ``v2``) or as CSV, gzipped or not. Units are those of
OpenDC: times in ms, and MHz of all CPUs of a task together, so a task uses ``cpu_usage / (cpu_capacity / cpu_count)``
cores. Fragments have no time: those of a task follow one another from its start, in the file's order. As in OpenDC a
task lives as long as its fragments, and one without fragments is left out. Memory is taken as KiB, as OpenDC reads it;
``memory=mib`` says otherwise. A task that is ``deferrable`` may wait so long that it still ends by its ``deadline``.

``usage=mean``, the default, gives a pod the mean of its use all its life, so that ``workload.csv`` has all that is
needed to recompute the energy. ``usage=steps`` gives it the fragments.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload
from peaks_scheduler.text.words import plural

from . import shaping
from .node_table import LONGEST, MOST_MIB, MOST_POD_CORES
from .shaping import shaped
from .source import Source
from .trace_columns import TraceColumns, trace_columns

PARAMETERS = (*shaping.PARAMETERS, "usage", "memory")
ENDINGS = (".parquet", ".csv", ".csv.gz")
_TASKS = {
    "submission_time": ("submission_time", "submission_time_ms"),
    "cpu_count": ("cpu_count",),
    "cpu_capacity": ("cpu_capacity", "cpu_capacity_mhz"),
    "mem_capacity": ("mem_capacity",),
}
_MAY = {
    "duration": ("duration", "duration_ms"),
    "deferrable": ("deferrable", "nature"),
    "deadline": ("deadline",),
    "gpu_count": ("gpu_count",),
    "parents": ("parents",),
}
_FRAGMENTS = {"duration": ("duration", "duration_ms"), "cpu_usage": ("cpu_usage", "cpu_usage_mhz")}
_LEAST_MHZ = 10.0  # of one CPU; less is GHz by mistake
_MOST_MS = 1e15  # in year 33658
_MOST_MHZ = 1e10
_MEMORY = {"kib": 1024.0, "mib": 1.0}


@dataclass(frozen=True, slots=True)
class _Fragments:
    """F fragments in the tasks' order, those of a task in the file's. T tasks."""

    starts: Ints  # (T + 1,) first fragment of each task, and F
    seconds: Floats  # (F,) [s] how long each lasts
    cores: Floats  # (F,) in use


def opendc_jobs(source: Source, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """The tasks of the folder, as pods. Nothing is drawn: the seed has no effect. Raises ConfigurationError."""
    source.allow(*PARAMETERS)
    tasks = _tasks(source)
    fragments, notes = _fragments(source, tasks)
    steps = source.word("usage", ("mean", "steps")) == "steps"
    memory = _memory(source, tasks)
    slack = _slack(tasks)
    jobs = []
    for task in np.flatnonzero(np.diff(fragments.starts)):
        which = slice(fragments.starts[task], fragments.starts[task + 1])
        seconds, cores = fragments.seconds[which], fragments.cores[which]
        jobs.append(
            Job(
                tasks.ids[tasks.codes[task]],
                float(tasks.values["submission_time"][task]) / 1000.0,
                float(seconds.sum()),
                float(tasks.values["cpu_count"][task]),
                float(memory[task]),
                float((seconds * cores).sum() / seconds.sum()),
                _steps(seconds, cores) if steps else (),
                float(slack[task]),
            )
        )
    ordered, more = shaped(jobs, source, nodes)
    return Workload(ordered, (*notes, *_told(source, tasks, fragments, steps), *more))


def file_of(source: Source, name: str) -> str:
    """The file of a table in the folder. Raises ConfigurationError where there is none."""
    for ending in ENDINGS:
        if os.path.isfile(path := os.path.join(source.place, f"{name}{ending}")):
            return path
    what = "a file" if os.path.isdir(source.place) else "a folder"
    named = ", ".join(f"{name}{ending}" for ending in ENDINGS)
    raise source.error(f"expected {what} with one of {named}; there is none")


# --- tasks ------------------------------------------------------------------------------------------------------------


def _tasks(source: Source) -> TraceColumns:
    tasks = trace_columns(source, file_of(source, "tasks"), _TASKS, _MAY)
    if len(tasks.ids) < len(tasks):
        seen: set[int] = set()
        for row, code in enumerate(tasks.codes.tolist()):
            if code in seen:
                raise tasks.error(row, f"expected each id once; {tasks.ids[code]!r} comes again")
            seen.add(code)
    values = tasks.values
    tasks.check("submission_time", np.abs(values["submission_time"]) <= _MOST_MS, "milliseconds since 1970")
    cpus, mhz = values["cpu_count"], values["cpu_capacity"]
    tasks.check(
        "cpu_count", (cpus > 0.0) & (cpus <= MOST_POD_CORES), f"a number above 0 and at most {MOST_POD_CORES:g}"
    )
    good = (mhz / cpus >= _LEAST_MHZ) & (mhz <= _MOST_MHZ)
    tasks.check("cpu_capacity", good, f"MHz of all CPUs together, at least {_LEAST_MHZ:g} for each,")
    tasks.check("mem_capacity", values["mem_capacity"] >= 0.0, "a number of at least 0")
    if "duration" in values:
        tasks.check("duration", ~(values["duration"] < 0.0), "a number of at least 0")
    return tasks


def _memory(source: Source, tasks: TraceColumns) -> Floats:
    """(T,) [MiB] requested."""
    memory: Floats = tasks.values["mem_capacity"] / _MEMORY[source.word("memory", tuple(_MEMORY))]
    tasks.check("mem_capacity", memory <= MOST_MIB, f"at most {MOST_MIB:,.0f} MiB (memory=kib or memory=mib)")
    return memory


def _slack(tasks: TraceColumns) -> Floats:
    """(T,) [s] how long each task may wait and still end by its deadline; 0 where it is not deferrable."""
    values = tasks.values
    if "deadline" not in values or "duration" not in values:
        return np.zeros(len(tasks))
    slack = (values["deadline"] - values["submission_time"] - values["duration"]) / 1000.0
    may = values["deferrable"] > 0.0 if "deferrable" in values else np.ones(len(tasks), bool)
    found: Floats = np.where(may & (slack > 0.0), slack, 0.0)
    return found


# --- fragments --------------------------------------------------------------------------------------------------------


def _fragments(source: Source, tasks: TraceColumns) -> tuple[_Fragments, list[str]]:
    read = trace_columns(source, file_of(source, "fragments"), _FRAGMENTS, {})
    for name, most in (("duration", 1000.0 * LONGEST), ("cpu_usage", _MOST_MHZ)):
        good = (read.values[name] >= 0.0) & (read.values[name] <= most)
        read.check(name, good, f"a number of at least 0 and at most {most:,.15g}")
    place = {tasks.ids[code]: task for task, code in enumerate(tasks.codes.tolist())}
    owner = np.array([place.get(each, -1) for each in read.ids], np.int64)[read.codes]
    notes = []
    if strange := int((owner < 0).sum()):
        notes.append(f"{plural(strange, 'fragment')} of tasks that are not in the list, left out")
    used = (owner >= 0) & (read.values["duration"] > 0.0)
    order = np.flatnonzero(used)[np.argsort(owner[used], kind="stable")]
    owner = owner[order]
    starts = np.searchsorted(owner, np.arange(len(tasks) + 1))
    mhz = (tasks.values["cpu_capacity"] / tasks.values["cpu_count"])[owner]
    fragments = _Fragments(starts, read.values["duration"][order] / 1000.0, read.values["cpu_usage"][order] / mhz)
    return fragments, [*notes, *_missing(tasks, fragments)]


def _missing(tasks: TraceColumns, fragments: _Fragments) -> list[str]:
    """Notes on tasks without fragments, and on those that their fragments make longer or shorter."""
    notes = []
    counts = np.diff(fragments.starts)
    if without := int((counts == 0).sum()):
        notes.append(f"{plural(without, 'task')} without fragments, left out as in OpenDC")
    if "duration" in tasks.values:
        total = np.concatenate([[0.0], np.cumsum(fragments.seconds)])
        lives = np.diff(total[fragments.starts])
        apart = int((np.abs(lives - tasks.values["duration"] / 1000.0)[counts > 0] > 1.0).sum())
        if apart:
            notes.append(f"{plural(apart, 'task')} whose duration is not that of the fragments: the fragments count")
    return notes


def _steps(seconds: Floats, cores: Floats) -> tuple[tuple[float, float], ...]:
    """(s from the start, cores used from then on), equal neighbours as one."""
    since = np.concatenate([[0.0], np.cumsum(seconds)[:-1]])
    changes = np.concatenate([[True], cores[1:] != cores[:-1]])
    return tuple(zip(since[changes].tolist(), cores[changes].tolist(), strict=True))


def _told(source: Source, tasks: TraceColumns, fragments: _Fragments, steps: bool) -> list[str]:
    """Notes on what was assumed."""
    counts = np.repeat(tasks.values["cpu_count"], np.diff(fragments.starts))
    over = fragments.cores > counts * (1.0 + 1e-9)
    notes = [
        "the use follows the fragments" if steps else "each pod uses its mean all its life (usage=steps: fragments)"
    ]
    if over.any():
        most = float((fragments.cores / counts).max())
        notes.append(f"{plural(int(over.sum()), 'fragment')} above the task's CPUs, by up to {most:.3g} times, kept")
    notes.append(f"memory is taken as {'MiB' if source.given.get('memory') == 'mib' else 'KiB'} (memory)")
    for name, words in (
        ("gpu_count", "with GPUs, which are ignored"),
        ("parents", "with parents, which are not waited for"),
    ):
        if name in tasks.values and (count := int((tasks.values[name] > 0.0).sum())):
            notes.append(f"{plural(count, 'task')} {words}")
    return notes
