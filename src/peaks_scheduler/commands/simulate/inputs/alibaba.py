"""Batch tasks of Alibaba's cluster trace of 2017: ``alibaba2017:FILE?instances=10&pods=10000&memory_mib=98304``.

A row is a task of several equal instances; each instance is a pod that runs from the task's creation to its end, as the
trace has no times of instances. A task has up to 64,486 of them, so at most ``instances`` of each are taken, and tasks
are drawn (seeded) until there are ``pods`` of them: the trace keeps its length. Two units are assumed, since the trace
does not state them: a CPU request of 100 is one core, and memory is a share of a machine's, of ``memory_mib``. Requests
only: ``use_model`` says what is used.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload
from peaks_scheduler.text.words import plural

from . import shaping, use_model
from .node_table import LONGEST, MOST_MIB, MOST_POD_CORES
from .shaping import shaped
from .source import Source
from .table import Table, read_table
from .use_model import use_shares

PARAMETERS = (*shaping.PARAMETERS, *use_model.PARAMETERS, "instances", "pods", "memory_mib")
MEMORY_MIB = 98_304.0
_CPU = "number_of_cpus_requested_per_instance_in_the_task"
_MEMORY = "normalized_memory_requested_per_instance_in_the_task"
_TIMES = ("task_create_time", "task_end_time")
_REQUIRED = (*_TIMES, "job_id", "task_id", "number_of_instances", _CPU, _MEMORY)
_CPU_UNIT = 100.0


def alibaba_jobs(source: Source, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """The instances of the tasks, as pods. Raises ConfigurationError."""
    source.allow(*PARAMETERS)
    table = read_table(source.option, source.place, _REQUIRED)
    tasks = _tasks(table, source)
    rows, notes = _complete(table)
    instances = _instances(table, source)
    chosen = _drawn(rows, instances, source, seed, notes)
    pods = [(tasks[row], k) for row in chosen for k in range(instances[row])]
    shares, use_note = use_shares(source, len(pods), seed)
    jobs = [
        replace(task, name=f"{task.name}-{k}", cpu_used_cores=task.cpu_cores * share)
        for (task, k), share in zip(pods, shares, strict=True)
    ]
    ordered, more = shaped(jobs, source, nodes)
    return Workload(ordered, (*notes, *_assumed(source), use_note, *more))


def _tasks(table: Table, source: Source) -> list[Job]:
    """One instance of each task, as if it used what it requests; without a request or an end it has 0 of it."""
    machine = source.number("memory_mib", MEMORY_MIB, 1.0, MOST_MIB)
    pairs = zip(table.texts("job_id"), table.texts("task_id"), strict=True)
    names = [f"job-{job}-task-{task}" for job, task in pairs]
    if len(set(names)) < len(names):
        names = [f"{name}-row-{line}" for name, line in zip(names, table.lines, strict=True)]
    start, end = (table.numbers(name, least=-LONGEST, most=LONGEST) for name in _TIMES)
    cpus = table.numbers(_CPU, most=_CPU_UNIT * MOST_POD_CORES, blank=0.0)
    memory = table.numbers(_MEMORY, most=1.0, blank=0.0, hint="a share of a machine's")
    return [
        Job(names[i], start[i], end[i] - start[i], cpus[i] / _CPU_UNIT, memory[i] * machine, cpus[i] / _CPU_UNIT)
        for i in range(len(names))
    ]


def _complete(table: Table) -> tuple[list[int], list[str]]:
    """(rows with a request and an end after their creation, notes on the others)."""
    asks = np.array([bool(cell) for cell in table.texts(_CPU, "")])
    start, end = (np.array(table.numbers(name, least=-LONGEST, most=LONGEST)) for name in _TIMES)
    ends = end > start
    notes = []
    if without := int((~asks).sum()):
        notes.append(f"{plural(without, 'task')} without a CPU request, left out")
    if endless := int((asks & ~ends).sum()):
        notes.append(f"{plural(endless, 'task')} without an end after their creation, left out")
    return np.flatnonzero(asks & ends).tolist(), notes


def _instances(table: Table, source: Source) -> list[int]:
    """How many pods each task is."""
    most = source.whole("instances", 10, 1)
    return [min(int(value), most) for value in table.numbers("number_of_instances", most=1e9)]


def _drawn(rows: Sequence[int], instances: Sequence[int], source: Source, seed: int, notes: list[str]) -> list[int]:
    """Rows at random, as long as their pods are at most ``pods``; in the file's order."""
    most = source.whole("pods", 10_000, 1)
    order = list(rows)
    random.Random(f"tasks {source.whole('seed', seed)}").shuffle(order)
    ends = np.cumsum([instances[row] for row in order])
    count = int(np.searchsorted(ends, most, side="right"))
    if count < len(order):
        notes.append(
            f"{count:,} of {plural(len(order), 'task')} drawn at random, for at most {most:,} pods (pods={most})"
        )
    return sorted(order[:count])


def _assumed(source: Source) -> list[str]:
    machine, most = source.number("memory_mib", MEMORY_MIB), source.whole("instances", 10)
    return [
        f"at most {most} instances of each task are pods (instances={most})",
        "a CPU request of 100 is taken as one core, which the trace does not state",
        f"memory is a share of a machine's, taken as {machine:g} MiB (memory_mib), which the trace does not state",
    ]
