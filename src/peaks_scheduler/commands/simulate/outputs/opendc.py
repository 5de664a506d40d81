"""Writes OpenDC's tables ``host``, ``task``, ``powerSource`` and ``service`` as Parquet, for its analysis scripts.

Names, types and units are OpenDC's: ``raw-output/<scenario>/seed=<n>/<table>.parquet`` with the strategy as scenario,
times in ms (``timestamp`` from the start, ``timestamp_absolute`` since the epoch), CPU in MHz, memory in MB, power in
W, energy in J since the sample before, carbon in g. A core counts as 1,000 MHz, so a MHz is a millicore. Values of an
instant are those just before the sample; times of CPUs and energies are exact integrals. A task's use is what it asks
for: where a node is full, the lack stands in ``host`` alone. Assumes an export interval of 300 s, as OpenDC does;
where a table would pass ``MOST_ROWS`` the interval is doubled until it does not. Needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.files.writing import write_whole
from peaks_scheduler.simulation.api_objects import EPOCH
from peaks_scheduler.simulation.carbon import Grid, intensity_of
from peaks_scheduler.simulation.case import Replay
from peaks_scheduler.simulation.measurement import Measurement, NodeSeries

from .opendc_tasks import task_columns, task_rows
from .parquet import arrow_table, parquet_bytes
from .series import before, integral
from .tables import Results

if TYPE_CHECKING:
    import pyarrow as pa

INTERVAL = 300.0
"""[s] between two samples: OpenDC's default."""
MOST_ROWS = 500_000
MHZ = 1000.0
"""What a core counts as."""
OPTIONAL = frozenset(("boot_time", "schedule_time", "finish_time"))
"""Columns that OpenDC declares so."""
_MB = 1.048576  # a MiB in MB
_SOURCE = "PowerSource"
_CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """When samples are taken."""

    edges: Floats
    """(S + 1,) [s] from 0 to the end."""
    start: float
    """[s since the epoch] of time 0."""

    @property
    def at(self) -> Floats:
        """(S,) [s] each sample, at the end of its span."""
        times: Floats = self.edges[1:]
        return times

    def stamps(self, at: Floats) -> dict[str, tuple[str, Any]]:
        """The two columns of time of rows at these times."""
        relative = milliseconds(at)
        return {
            "timestamp": ("int64", relative),
            "timestamp_absolute": ("int64", relative + round(self.start * 1000.0)),
        }


def milliseconds(times: Floats) -> Ints:
    """[s] -> [ms], rounded."""
    rounded: Ints = np.round(times * 1000.0).astype(np.int64)
    return rounded


def write_opendc(folder: Path, results: Results, start: float = EPOCH) -> float:
    """Write the tables of every result below ``folder`` / raw-output. The longest interval [s] between two samples."""
    longest = 0.0
    for replay, measurement in results:
        place = folder / "raw-output" / replay.case.strategy / f"seed={replay.case.seed}"
        place.mkdir(parents=True, exist_ok=True)
        interval = export_interval(replay, measurement)
        samples = Samples(_edges(measurement.series.end_s, interval), start)
        for name, table in TABLES.items():
            write_whole("--out", str(place / f"{name}.parquet"), parquet_bytes(table(replay, measurement, samples)))
        longest = max(longest, interval)
    return longest


def export_interval(replay: Replay, measurement: Measurement) -> float:
    """[s] ``INTERVAL``, doubled until no table has more than ``MOST_ROWS`` rows."""
    interval = INTERVAL
    while interval < measurement.series.end_s:
        at = _edges(measurement.series.end_s, interval)[1:]
        if len(at) * len(replay.case.nodes) <= MOST_ROWS and task_rows(replay, at) <= MOST_ROWS:
            break
        interval *= 2.0
    return interval


def host_table(replay: Replay, measurement: Measurement, samples: Samples) -> pa.Table:
    """A row for each sample and node, by time."""
    import pyarrow as pa

    nodes, at = replay.case.nodes, samples.at
    series = [measurement.nodes[node.name] for node in nodes]
    each = np.tile(np.arange(len(nodes)), len(at))
    span = np.diff(samples.edges)[:, None]  # (S, 1)
    cpus = np.array([node.cpu_cores for node in nodes])
    memory = np.array([round(node.memory_mib * _MB) for node in nodes])
    watts, cores, demand, pods, _ = _instants(series, at)
    energy, used, asked, _, up = _totals(series, samples.edges)
    active, stolen = used / cpus, (asked - used) / cpus
    none = np.zeros(len(each))
    columns: dict[str, tuple[str, Any]] = {
        **samples.stamps(np.repeat(at, len(nodes))),
        "host_name": ("string", pa.array([node.name for node in nodes], pa.string()).take(pa.array(each))),
        "cluster_name": ("string", pa.array([n.region or _CLUSTER for n in nodes], pa.string()).take(pa.array(each))),
        "core_count": ("int32", np.round(cpus).astype(np.int32)[each]),
        "mem_capacity": ("int64", memory[each]),
        "tasks_terminated": ("int32", none.astype(np.int32)),
        "tasks_running": ("int32", pods.ravel().astype(np.int32)),
        "tasks_error": ("int32", none.astype(np.int32)),
        "tasks_invalid": ("int32", none.astype(np.int32)),
        "cpu_capacity": ("float32", _single(MHZ * cpus[each])),
        "cpu_usage": ("float32", _single(MHZ * cores)),
        "cpu_demand": ("float32", _single(MHZ * demand)),
        "cpu_utilization": ("float32", _single(cores / cpus)),
        "cpu_time_active": ("int64", milliseconds(active).ravel()),
        "cpu_time_idle": ("int64", milliseconds(span - active).ravel()),
        "cpu_time_steal": ("int64", milliseconds(stolen).ravel()),
        "cpu_time_lost": ("int64", none.astype(np.int64)),
        "power_draw": ("float32", _single(watts)),
        "energy_usage": ("float32", _single(energy)),
        "embodied_carbon": ("float32", _single(none)),
        "uptime": ("int64", milliseconds(up).ravel()),
        "downtime": ("int64", milliseconds(span - up).ravel()),
        "boot_time": ("int64", np.full(len(each), round(samples.start * 1000.0))),
    }
    return arrow_table(columns, OPTIONAL)


def source_table(replay: Replay, measurement: Measurement, samples: Samples) -> pa.Table:
    """A row for each sample and region: power, energy and, where carbon is counted, intensity and emission."""
    regions = sorted({node.region for node in replay.case.nodes})
    parts = [_source(region, replay, measurement, samples) for region in regions]
    order = np.argsort(np.concatenate([part["timestamp"][1] for part in parts]), kind="stable")
    columns = {
        name: (kind, np.concatenate([np.asarray(part[name][1]) for part in parts])[order])
        for name, (kind, _) in parts[0].items()
    }
    return arrow_table(columns)


def service_table(replay: Replay, measurement: Measurement, samples: Samples) -> pa.Table:
    """A row for each sample: how many nodes are up, and how many tasks wait, run and have ended by then."""
    at, jobs = samples.at, replay.case.jobs
    up = np.round(_instants([measurement.nodes[node.name] for node in replay.case.nodes], at)[-1].sum(axis=1))
    arrived = _by(at, [job.arrival_s for job in jobs])
    started = _by(at, [placement.start_s for placement in replay.placements])
    completed = _by(at, [placement.end_s for placement in replay.placements if placement.completed])
    failed = _by(at, [placement.end_s for placement in replay.placements if not placement.completed])
    active = started - completed - failed
    columns: dict[str, tuple[str, Any]] = {
        **samples.stamps(at),
        "hosts_up": ("int32", up.astype(np.int32)),
        "hosts_down": ("int32", len(replay.case.nodes) - up.astype(np.int32)),
        "tasks_total": ("int32", np.full(len(at), len(jobs), np.int32)),
        "tasks_pending": ("int32", (arrived - completed - active).astype(np.int32)),
        "tasks_active": ("int32", active.astype(np.int32)),
        "tasks_completed": ("int32", completed.astype(np.int32)),
        "tasks_terminated": ("int32", failed.astype(np.int32)),
    }
    return arrow_table(columns)


def task_table(replay: Replay, measurement: Measurement, samples: Samples) -> pa.Table:
    """A row for each sample and task, from its arrival to the sample after its end."""
    at, columns = task_columns(replay, samples.edges)
    table = arrow_table(samples.stamps(at) | columns, OPTIONAL)
    return table.take(np.argsort(at, kind="stable"))  # by time, as OpenDC writes them


TABLES: dict[str, Callable[[Replay, Measurement, Samples], Any]] = {
    "host": host_table,
    "task": task_table,
    "powerSource": source_table,
    "service": service_table,
}


def _source(region: str, replay: Replay, measurement: Measurement, samples: Samples) -> dict[str, tuple[str, Any]]:
    names = [node.name for node in replay.case.nodes if node.region == region]
    alone = len(names) == len(replay.case.nodes)
    series = [_whole(measurement)] if alone else [measurement.nodes[name] for name in names]
    knots = _knots(replay.case.grid, region, samples.edges)
    joules = sum((np.diff(integral(one.times, one.watts, samples.edges[-1], knots)) for one in series), np.zeros(1))
    intensity, grams = _carbon(replay.case.grid, region, samples, knots, joules)
    at, n = samples.at, len(samples.at)
    power = sum((before(one.times, one.watts, at) for one in series), np.zeros(1))
    return {
        **samples.stamps(at),
        "source_name": ("string", np.full(n, _SOURCE, object)),
        "cluster_name": ("string", np.full(n, region or _CLUSTER, object)),
        "power_draw": ("float32", _single(power)),
        "energy_usage": ("float32", _single(_in_spans(joules, knots, samples.edges))),
        "carbon_intensity": ("float32", _single(intensity)),
        "carbon_emission": ("float32", _single(grams)),
    }


def _whole(measurement: Measurement) -> NodeSeries:
    """All nodes as one."""
    series = measurement.series
    rest = np.zeros(len(series.times))
    return NodeSeries(series.times, series.cores, series.cores, series.watts, rest, rest)


def _knots(grid: Grid, region: str, edges: Floats) -> Floats:
    """(K + 1,) [s] the samples, and between them each time at which the intensity changes."""
    if not grid:
        return edges
    changes = intensity_of(grid, region).times
    return np.unique(np.concatenate([edges, changes[(changes > 0.0) & (changes < edges[-1])]]))


def _carbon(grid: Grid, region: str, samples: Samples, knots: Floats, joules: Floats) -> tuple[Floats, Floats]:
    """(S,) [gCO2/kWh] just before each sample, and (S,) [g] since the sample before. ``joules``: (K,) between knots."""
    if not grid:
        return np.zeros(len(samples.at)), np.zeros(len(samples.at))
    intensity = intensity_of(grid, region)
    grams = joules / 3.6e6 * before(intensity.times, intensity.grams, knots[1:])
    return before(intensity.times, intensity.grams, samples.at), _in_spans(grams, knots, samples.edges)


def _in_spans(amounts: Floats, knots: Floats, edges: Floats) -> Floats:
    """(S,) sums of the amounts between knots, in each span between two samples."""
    sums: Floats = np.add.reduceat(amounts, np.searchsorted(knots, edges[:-1]))
    return sums


def _edges(end_s: float, interval: float) -> Floats:
    """(S + 1,) [s] from 0 in steps of the interval, and the end."""
    steps = np.arange(0.0, end_s, interval)
    return np.append(steps, end_s) if len(steps) else np.array([0.0, interval])


def _instants(series: list[NodeSeries], at: Floats) -> Floats:
    """(5, S, N) watts, cores, demand, pods and up just before the samples."""
    values: Floats = np.stack([before(one.times, _rows(one), at) for one in series], axis=-1)
    return values


def _totals(series: list[NodeSeries], edges: Floats) -> Floats:
    """(5, S, N) integrals of the same between the samples."""
    reached = np.stack([integral(one.times, _rows(one), float(edges[-1]), edges) for one in series], axis=-1)
    values: Floats = np.diff(reached, axis=1)
    return values


def _rows(series: NodeSeries) -> Floats:
    return np.array([series.watts, series.cores, series.demand, series.pods, series.up])


def _by(at: Floats, times: list[float]) -> Ints:
    """(S,) how many of these times have come by each sample."""
    counts: Ints = np.searchsorted(np.sort(np.array(times, float)), at, side="right")
    return counts


def _single(values: Floats) -> Any:
    return values.ravel().astype(np.float32)
