"""The columns of OpenDC's table ``task``: each task at every sample of its life. Imports pyarrow only to write.

A task is PROVISIONING until its first attempt, RUNNING on its node, FAILED once its node has failed, and COMPLETED at
the first sample after its end, its last row. Times of its own are ms from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.simulation.case import Placement, Replay
from peaks_scheduler.simulation.workload import Job

from .series import before, integral

_MHZ = 1000.0
_MB = 1.048576
_WAITS, _RUNS, _FAILED, _DONE = range(4)
_STATES = ("PROVISIONING", "RUNNING", "FAILED", "COMPLETED")


def task_rows(replay: Replay, at: Floats) -> int:
    """Number of rows with samples at these times."""
    return int(_Rows(replay, np.append(0.0, at)).counts.sum())


def task_columns(replay: Replay, edges: Floats) -> tuple[Floats, dict[str, tuple[str, Any]]]:
    """((R,) [s] the sample of each row, columns by name). ``edges``: (S + 1,) [s] samples and their start."""
    import pyarrow as pa

    rows, jobs = _Rows(replay, edges), replay.case.jobs
    task, state = rows.task, rows.state
    demand, active = rows.use
    uptime = rows.overlap
    counts = np.array([max(1, math.ceil(job.cpu_cores)) for job in jobs])
    limit = np.array([max(job.cpu_cores, 1e-3) for job in jobs])[task]
    memory = np.array([round(job.memory_mib * _MB) for job in jobs])
    names = pa.array([job.name for job in jobs], pa.string())
    hosts = pa.array([*(placement.node for placement in rows.attempts), ""], pa.string())
    where = np.where((rows.attempt >= 0) & (state != _FAILED), rows.attempt, len(rows.attempts))
    submitted = np.array([job.arrival_s for job in jobs])
    first = rows.first[task]
    scheduled = np.where(rows.at >= first, first, np.nan)
    finished = np.where(state == _DONE, rows.end[task], np.nan)
    none = np.zeros(len(task), np.int64)
    columns: dict[str, tuple[str, Any]] = {
        "task_id": ("int32", task.astype(np.int32)),
        "task_name": ("string", names.take(pa.array(task))),
        "host_name": ("string", hosts.take(pa.array(where))),
        "mem_capacity": ("int64", memory[task]),
        "cpu_count": ("int32", counts.astype(np.int32)[task]),
        "cpu_limit": ("float32", (_MHZ * limit).astype(np.float32)),
        "cpu_usage": ("float32", (_MHZ * demand).astype(np.float32)),
        "cpu_demand": ("float32", (_MHZ * demand).astype(np.float32)),
        "cpu_time_active": ("int64", _ms(active / counts[task])),
        "cpu_time_idle": ("int64", _ms(np.maximum(uptime - active / counts[task], 0.0))),
        "cpu_time_steal": ("int64", none),
        "cpu_time_lost": ("int64", none),
        "uptime": ("int64", _ms(uptime)),
        "downtime": ("int64", none),
        "num_failures": ("int64", rows.failures),
        "num_pauses": ("int64", none),
        "schedule_time": ("int64", _optional(scheduled)),
        "submission_time": ("int64", _ms(submitted[task])),
        "finish_time": ("int64", _optional(finished)),
        "scheduling_delay": ("int64", _ms(np.fmin(first, rows.at) - submitted[task])),
        "failure_delay": ("int64", none),
        "checkpoint_delay": ("int64", none),
        "task_state": ("string", pa.array(_STATES, pa.string()).take(pa.array(state))),
    }
    return rows.at, columns


@dataclass(eq=False)
class _Rows:
    """R rows, by task, then sample. J tasks, A attempts."""

    replay: Replay
    edges: Floats

    @cached_property
    def index(self) -> dict[str, int]:
        return {job.name: i for i, job in enumerate(self.replay.case.jobs)}

    @cached_property
    def attempts(self) -> list[Placement]:
        """(A,) by task, then start."""
        return sorted(self.replay.placements, key=lambda placed: (self.index[placed.job.name], placed.start_s))

    @cached_property
    def owner(self) -> Ints:
        """(A,) the task of each attempt."""
        return np.array([self.index[placed.job.name] for placed in self.attempts], np.int64)

    @cached_property
    def offset(self) -> Ints:
        """(J + 1,) where the attempts of each task begin."""
        return np.searchsorted(self.owner, np.arange(len(self.index) + 1))

    @cached_property
    def starts(self) -> Floats:
        """(A,) [s]"""
        return np.array([placed.start_s for placed in self.attempts], float)

    @cached_property
    def ends(self) -> Floats:
        """(A,) [s]"""
        return np.array([placed.end_s for placed in self.attempts], float)

    @cached_property
    def well(self) -> Mask:
        """(A,) did it complete?"""
        return np.array([placed.completed for placed in self.attempts], bool)

    @cached_property
    def first(self) -> Floats:
        """(J,) [s] start of the first attempt; NaN: none."""
        found = self.offset[:-1] < self.offset[1:]
        first = np.full(len(self.index), np.nan)
        first[found] = self.starts[self.offset[:-1][found]]
        return first

    @cached_property
    def end(self) -> Floats:
        """(J,) [s] when it completed; inf: never."""
        end = np.full(len(self.index), np.inf)
        end[self.owner[self.well]] = self.ends[self.well]
        return end

    @cached_property
    def first_sample(self) -> Ints:
        """(J,) number of the first sample at or after its arrival."""
        arrivals = np.array([job.arrival_s for job in self.replay.case.jobs], float)
        return np.searchsorted(self.edges[1:], arrivals)

    @cached_property
    def counts(self) -> Ints:
        """(J,) number of rows."""
        samples = self.edges[1:]
        last = np.minimum(np.searchsorted(samples, self.end), len(samples) - 1)
        counts: Ints = np.maximum(last - self.first_sample + 1, 0)
        return counts

    @cached_property
    def task(self) -> Ints:
        """(R,) number of the task."""
        return np.repeat(np.arange(len(self.index)), self.counts)

    @cached_property
    def begins(self) -> Ints:
        """(J + 1,) where the rows of each task begin."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    @cached_property
    def sample(self) -> Ints:
        """(R,) number of the sample."""
        sample: Ints = np.arange(len(self.task)) - self.begins[self.task] + self.first_sample[self.task]
        return sample

    @cached_property
    def at(self) -> Floats:
        """(R,) [s] the sample."""
        at: Floats = self.edges[1:][self.sample]
        return at

    @cached_property
    def begun(self) -> Ints:
        """(R,) attempts that have begun by then."""
        return self._so_far(lambda k, at: self.starts[k] <= at)

    @cached_property
    def failures(self) -> Ints:
        """(R,) attempts that have failed by then."""
        return self._so_far(lambda k, at: (self.ends[k] <= at) & ~self.well[k])

    @cached_property
    def attempt(self) -> Ints:
        """(R,) the last attempt that has begun; -1 where there is none."""
        last: Ints = np.where(self.begun > 0, self.offset[self.task] + self.begun - 1, -1)
        return last

    @cached_property
    def state(self) -> Ints:
        """(R,) place in ``_STATES``."""
        ended = (self.attempt >= 0) & (self.at >= np.append(self.ends, np.inf)[self.attempt])
        well = np.append(self.well, False)[self.attempt]
        state: Ints = np.where(self.attempt < 0, _WAITS, np.where(~ended, _RUNS, np.where(well, _DONE, _FAILED)))
        return state

    @cached_property
    def overlap(self) -> Floats:
        """(R,) [s] that it ran since the sample before."""
        total = np.zeros(len(self.task))
        for rows, k in self._turns():
            since, until = self.edges[self.sample[rows]], self.at[rows]
            total[rows] += np.maximum(np.minimum(until, self.ends[k]) - np.maximum(since, self.starts[k]), 0.0)
        return total

    @cached_property
    def use(self) -> tuple[Floats, Floats]:
        """((R,) [cores] at the sample, (R,) [core s] since the sample before)."""
        mean = np.array([job.cpu_used_cores for job in self.replay.case.jobs], float)[self.task]
        now, done = np.where(self.state == _RUNS, mean, 0.0), mean * self.overlap
        for i, job in enumerate(self.replay.case.jobs):
            if job.usage:
                self._stepped(i, job, now, done)
        return now, done

    def _stepped(self, i: int, job: Job, now: Floats, done: Floats) -> None:
        """Write the use of a job that changes into its rows."""
        rows = slice(self.begins[i], self.begins[i + 1])
        offsets, cores = (np.array(column, float) for column in zip(*job.usage, strict=True))
        done[rows] = 0.0
        for k in range(self.offset[i], self.offset[i + 1]):
            since, until = self.edges[self.sample[rows]] - self.starts[k], self.at[rows] - self.starts[k]
            life = self.ends[k] - self.starts[k]
            spans = [integral(offsets, cores, life, np.minimum(times, life)) for times in (until, since)]
            done[rows] += spans[0] - spans[1]
            runs = (self.attempt[rows] == k) & (self.state[rows] == _RUNS)
            now[rows] = np.where(runs, before(offsets, cores, until), now[rows])

    def _so_far(self, has: Callable[[Ints, Floats], Mask]) -> Ints:
        count = np.zeros(len(self.task), np.int64)
        for rows, k in self._turns():
            count[rows] += has(k, self.at[rows])
        return count

    def _turns(self) -> Iterator[tuple[Ints, Ints]]:
        """(rows, the n-th attempt of their tasks), for each n."""
        tries = np.diff(self.offset)
        for n in range(int(tries.max(initial=0))):
            rows = np.flatnonzero(tries[self.task] > n)
            yield rows, self.offset[self.task[rows]] + n


def _ms(times: Floats) -> Ints:
    rounded: Ints = np.round(times * 1000.0).astype(np.int64)
    return rounded


def _optional(times: Floats) -> Any:
    """[s] -> [ms] as an Arrow array; NaN becomes null."""
    import pyarrow as pa

    return pa.array(_ms(np.nan_to_num(times)), pa.int64(), mask=np.isnan(times))
