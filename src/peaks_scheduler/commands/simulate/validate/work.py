"""Measured work in OpenDC's form: ``tasks.parquet`` and ``fragments.parquet`` of a folder, and ``topology.json``.

Units as there: durations in ms, capacities and use in MHz of all CPUs of a task together. Fragments have no time: those
of a task follow one another from its submission on, in the order of the file. Times here are seconds from the first
submission. Refuses units that cannot be right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import read_input_text
from peaks_scheduler.text.words import plural

from .parquet import floats, milliseconds, read_columns

OPTION = "--opendc"
_TASKS = ("id", "submission_time", "cpu_count", "cpu_capacity")
_FRAGMENTS = ("id", "duration", "cpu_usage")
_LEAST_FRAGMENT, _MOST_FRAGMENT = 1.0, 86_400.0  # [s] median duration of a fragment
_MOST_USE = 1.5  # of a task's capacity; a little above 1 is a measurement error
_LEAST_USE = 0.005  # of a task's capacity, at the busiest moments: less is another unit


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredWork:
    """J jobs, and F fragments of their CPU use, ordered by job and time."""

    names: tuple[str, ...]
    start: Floats
    """(J,) [s] submission."""
    cores: Floats
    """(J,) [cores] requested."""
    capacity: Floats
    """(J,) [MHz] of all its cores."""
    job: Ints
    """(F,) index of the fragment's job."""
    offset: Floats
    """(F,) [s] from the job's start."""
    duration: Floats
    """(F,) [s]"""
    mhz: Floats
    """(F,) [MHz] used."""
    epoch_ms: float
    """[ms since 1970] the first submission."""
    notes: tuple[str, ...] = ()

    @property
    def length(self) -> Floats:
        """(J,) [s] each job's fragments together."""
        lengths = np.bincount(self.job, self.duration, minlength=len(self.names))
        return np.asarray(lengths, np.float64)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that the work ran on, all alike."""

    count: int | None
    """None: not known."""
    cores: float
    mhz: float
    """[MHz] of all cores together."""


def read_work(folder: str) -> MeasuredWork:
    """The work of a folder. Raises ConfigurationError."""
    of_tasks = Path(folder) / "tasks.parquet"
    tasks = read_columns(OPTION, of_tasks, _TASKS)
    where = Path(folder) / "fragments.parquet"
    fragments = read_columns(OPTION, where, _FRAGMENTS)
    names = [str(each) for each in tasks["id"].to_pylist()]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"{OPTION} {folder}: expected tasks of different ids; {twice!r} comes twice")
    task, lost = _task_of_fragments(fragments["id"], names)
    duration, mhz = (floats(str(where), fragments, name)[task >= 0] for name in ("duration", "cpu_usage"))
    _check_duration(where, duration)
    task = task[task >= 0]
    order = np.argsort(task, kind="stable")
    kept, places = np.unique(task[order], return_inverse=True)
    job: Ints = places.astype(np.int64)
    seconds, submitted = duration[order] / 1000.0, _submitted(of_tasks, tasks)
    if not len(kept):
        raise ConfigurationError(f"{where}: expected fragments of the tasks in tasks.parquet; no id is in both")
    cores, capacity = (_above_zero(of_tasks, tasks, name)[kept] for name in ("cpu_count", "cpu_capacity"))
    _check_use(where, mhz[order] / capacity[job])
    first = float(submitted.min())
    return MeasuredWork(
        tuple(names[i] for i in kept.tolist()),
        (submitted[kept] - first) / 1000.0,
        cores,
        capacity,
        job,
        _offsets(job, seconds),
        seconds,
        mhz[order],
        first,
        _notes(len(names) - len(kept), lost),
    )


def _task_of_fragments(ids: Any, names: list[str]) -> tuple[Ints, int]:
    """((F,) index of each fragment's task, -1 without one; number of fragments without one)."""
    encoded = ids.combine_chunks().dictionary_encode()
    place = {name: i for i, name in enumerate(names)}
    known = np.array([place.get(str(each), -1) for each in encoded.dictionary.to_pylist()], np.int64)
    task: Ints = known[encoded.indices.to_numpy(zero_copy_only=False)]
    return task, int((task < 0).sum())


def _offsets(job: Ints, seconds: Floats) -> Floats:
    """(F,) [s] from the start of its job to the start of each fragment."""
    ends = np.cumsum(seconds)
    starts = ends - seconds
    first = np.searchsorted(job, np.arange(int(job[-1]) + 1))
    offsets: Floats = starts - starts[first][job]
    return offsets


def _notes(idle: int, lost: int) -> tuple[str, ...]:
    notes = []
    if idle:
        notes.append(f"{plural(idle, 'task')} without fragments, left out: their use was not measured")
    if lost:
        notes.append(f"{plural(lost, 'fragment')} of tasks that tasks.parquet does not have, left out")
    return tuple(notes)


def _submitted(where: Path, tasks: Any) -> Floats:
    """(R,) [ms since 1970] when each task was submitted. Raises ConfigurationError."""
    times = milliseconds(str(where), tasks, "submission_time")
    if not np.all(np.isfinite(times)):
        raise ConfigurationError(
            f"{where}: expected a submission_time in every row; row {_first(np.isnan(times))} has none"
        )
    return times


def _above_zero(where: Path, tasks: Any, name: str) -> Floats:
    """(R,) the numbers of a column. Raises ConfigurationError where one is not above 0."""
    values = floats(str(where), tasks, name)
    if not np.all(values > 0.0):
        row = _first(~(values > 0.0))
        raise ConfigurationError(f"{where}: expected a {name} above 0; got {values[row - 1]:g} in row {row}")
    return values


def _first(mask: Mask) -> int:
    """Number of the first row, from 1, where the mask holds."""
    return int(np.argmax(mask)) + 1


def _check_duration(where: Path, duration: Floats) -> None:
    if not len(duration):
        raise ConfigurationError(f"{where}: expected fragments of the tasks in tasks.parquet; no id is in both")
    if not np.all(duration >= 0.0):
        row = _first(~(duration >= 0.0))
        raise ConfigurationError(f"{where}: expected durations of 0 ms or more; got {duration[row - 1]:g} in row {row}")
    usual = float(np.median(duration)) / 1000.0
    if not _LEAST_FRAGMENT <= usual <= _MOST_FRAGMENT:
        hint = "seconds" if _LEAST_FRAGMENT <= usual * 1000.0 <= _MOST_FRAGMENT else "another unit"
        raise ConfigurationError(
            f"{where}: expected durations in ms, of a fragment between 1 s and a day; got {usual * 1000.0:g} as the "
            "usual "
            f"one: are these {hint}? Convert them to ms"
        )


def _check_use(where: Path, share: Floats) -> None:
    """share (F,) of the task's capacity."""
    if not np.all(np.isfinite(share)) or float(share.min()) < 0.0:
        raise ConfigurationError(
            f"{where}: expected a cpu_usage of 0 MHz or more in every row; got none or less in some"
        )
    most = float(np.quantile(share, 0.999))
    if not _LEAST_USE <= most <= _MOST_USE:
        hint = "GHz, or a share of the CPUs" if most < _LEAST_USE else "Hz or kHz, or is cpu_capacity that of one core"
        raise ConfigurationError(
            f"{where}: expected cpu_usage in MHz, up to the task's cpu_capacity; the largest is {most:.3g} times "
            "that: is "
            f"it {hint}?"
        )


# --- the hosts --------------------------------------------------------------------------------------------------------


def read_hosts(folder: str, work: MeasuredWork) -> Hosts:
    """The hosts of ``topology.json``; without one, hosts as large as the largest task. Raises ConfigurationError."""
    path = Path(folder) / "topology.json"
    if not path.is_file():
        return Hosts(None, float(work.cores.max()), float(work.capacity.max()))
    try:
        document = json.loads(read_input_text(OPTION, str(path)))
        hosts = [
            (
                float(cluster.get("count", 1)) * float(host.get("count", 1)),
                float(cpu["coreCount"]),
                _mhz(cpu["coreSpeed"]),
            )
            for cluster in document["clusters"]
            for host in cluster["hosts"]
            for cpu in [host["cpu"]]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path}: expected clusters with hosts, each with count, cpu.coreCount and cpu.coreSpeed; got: {error!r}"
        ) from error
    if len({host[1:] for host in hosts}) != 1:
        raise ConfigurationError(f"{path}: expected hosts that are all alike: one meter tells one curve; got {hosts}")
    return Hosts(round(sum(host[0] for host in hosts)), hosts[0][1], hosts[0][1] * hosts[0][2])


def _mhz(speed: float | str) -> float:
    """[MHz] of ``2100``, ``"2.1 GHz"`` or ``"2100 MHz"``."""
    if not isinstance(speed, str):
        return float(speed)
    number, _, unit = speed.strip().partition(" ")
    return float(number) * {"ghz": 1000.0, "mhz": 1.0, "": 1.0}[unit.strip().lower()]
