"""Pods of Alibaba's GPU cluster trace of 2023: ``openb:FILE?load=50%&usage=0.49&limit=..&gpu=ignore``.

A row is a pod with its request; a pod comes at ``creation_time`` and runs as long as from ``scheduled_time`` to
``deletion_time``. The trace is thin for its first months: a first hundredth of the pods that takes most of the time is
left out (``tail=keep`` keeps it). Requests only: ``use_model`` says what is used. Compressed to a load of 50 % unless
``compress`` or ``load`` says otherwise: at its own pace the trace fills less than a hundredth of its cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload
from peaks_scheduler.text.words import plural

from . import shaping, use_model
from .node_table import LONGEST, MOST_MIB, MOST_POD_CORES
from .shaping import shaped
from .source import Source
from .table import Table, once, read_table
from .use_model import use_shares

PARAMETERS = (*shaping.PARAMETERS, *use_model.PARAMETERS, "gpu", "tail", "pending")
LOAD = 0.5
_REQUIRED = ("name", "cpu_milli", "memory_mib", "num_gpu", "creation_time", "deletion_time", "scheduled_time")
_TAIL = 100  # one pod in so many may be left out at the start


def openb_jobs(source: Source, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """The pods of the list. Raises ConfigurationError."""
    source.allow(*PARAMETERS)
    table = read_table(source.option, source.place, _REQUIRED)
    names = once(table, "name", "pod")
    cores = [milli / 1000.0 for milli in table.numbers("cpu_milli", most=1000.0 * MOST_POD_CORES)]
    memory = table.numbers("memory_mib", most=MOST_MIB, hint="is it in KiB or bytes?")
    shares, use_note = use_shares(source, len(names), seed)
    arrival, life, kept, notes = _times(table, source)
    gpus, gpu_note = _gpus(table, source)
    jobs = [
        Job(names[i], float(arrival[i]), float(life[i]), cores[i], memory[i], cores[i] * shares[i])
        for i in np.flatnonzero(kept & gpus)
    ]
    ordered, more = shaped(jobs, source, nodes, LOAD)
    return Workload(ordered, (*notes, *gpu_note, use_note, *more))


def _times(table: Table, source: Source) -> tuple[Floats, Floats, Mask, list[str]]:
    """((R,) [s] arrival, (R,) [s] life, (R,) rows to keep, notes)."""
    created, deleted = (np.array(table.numbers(name, most=LONGEST)) for name in ("creation_time", "deletion_time"))
    scheduled = np.array(table.numbers("scheduled_time", least=-1.0, most=LONGEST, blank=-1.0))
    pending = scheduled < 0.0
    run_pending = source.word("pending", ("skip", "run")) == "run"
    life = deleted - np.where(pending, created, scheduled)
    notes = []
    if pending.any():
        what = "run from creation to deletion" if run_pending else "left out, for how long they would run is unknown"
        notes.append(f"{plural(int(pending.sum()), 'row')} without scheduled_time (pods that never ran): {what}")
    kept = np.ones(len(life), bool) if run_pending else ~pending
    backwards = kept & (life <= 0.0)
    if backwards.any():
        notes.append(f"{plural(int(backwards.sum()), 'row')} deleted before or as it began, left out")
    kept &= ~backwards
    if source.word("tail", ("drop", "keep")) == "drop":
        _drop_tail(created, kept, notes)
    return created, life, kept, notes


def _drop_tail(created: Floats, kept: Mask, notes: list[str]) -> None:
    """Leaves out the first hundredth of the pods in ``kept`` if most of the time passes until it is over."""
    times = np.sort(created[kept])
    few = len(times) // _TAIL
    if few and times[few] - times[0] > (times[-1] - times[0]) / 2.0:
        early = kept & (created < times[few])
        kept &= ~early
        days = (times[few] - times[0]) / 86400.0
        notes.append(
            f"{plural(int(early.sum()), 'pod')} of the first {days:.0f} days left out: the trace is thin there"
        )


def _gpus(table: Table, source: Source) -> tuple[Mask, tuple[str, ...]]:
    """((R,) rows that ``gpu`` allows, notes)."""
    asks = np.array(table.numbers("num_gpu")) > 0.0
    count = int(asks.sum())
    if source.word("gpu", ("ignore", "skip")) == "skip":
        return ~asks, (f"{plural(count, 'row')} with GPUs, left out",)
    return np.ones(len(asks), bool), ((f"{plural(count, 'row')} with GPUs, which are ignored",) if count else ())
