"""The tables of a simulation: what was simulated, decisions, power, KPIs. Each is defined once, for all formats.

Owns names, order, types and units of the columns. Assumes that all results are of one workload, one for each strategy
and seed; a node may have another curve with another seed. A value that is not known is None (NaN in an array of floats
is the same). Pure: writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.simulation.api_objects import EPOCH
from peaks_scheduler.simulation.carbon import intensity_of
from peaks_scheduler.simulation.case import Placement, Replay
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.levels import LEVELS, level_watts
from peaks_scheduler.simulation.measurement import Kpis, Measurement
from peaks_scheduler.simulation.workload import Job

Results = Sequence[tuple[Replay, Measurement]]
"""One for each strategy and seed, in the order in which the tables have them."""

Kind = Literal["text", "float", "int", "bool", "time"]
"""``time``: seconds since the epoch inside, ISO 8601 in UTC in text."""

PERCENT = tuple(range(0, 101, 10))
"""``levels.LEVELS`` in the names of columns."""

FIRST_KPIS = (
    *("strategy", "pods", "unscheduled", "core_hours", "energy_kwh", "bound_kwh", "over_bound_percent"),
    *("saving_vs_default_percent", "average_ci", "co2_kg", "wait_s", "turnaround_s", "decision_us"),
)
OTHER_KPIS = (
    *("bound_ceiling_kwh", "cost", "mean_slowdown", "makespan_s", "machine_switches", "core_hours_lost"),
    "co2_bound_kg",
)
WHOLE_KPIS = frozenset(("pods", "unscheduled", "machine_switches", "nb_machine_switches"))
BATSIM_KPIS: dict[str, Callable[[Kpis], float]] = {
    "consumed_joules": lambda kpis: kpis.energy_kwh * 3.6e6,
    "mean_waiting_time": lambda kpis: kpis.wait_s,
    "mean_turnaround_time": lambda kpis: kpis.turnaround_s,
    "makespan": lambda kpis: kpis.makespan_s,
    "nb_machine_switches": lambda kpis: kpis.machine_switches,
}
"""Batsim's names of these figures; ``mean_slowdown`` is its name too. Its energy runs from the first arrival."""

_CLOSE = 1e-9  # of a power: a curve so close to its chord is a line


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    kind: Kind
    values: Sequence[Any]
    """(rows,) Python values, None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Table:
    """A name, and columns of one length."""

    name: str
    columns: tuple[Column, ...]

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns[0].values)


def all_tables(results: Results, start: float = EPOCH) -> list[Table]:
    """Every table; ``usage`` only where the use of some job changes, ``outages`` only where a node fails.

    ``start`` [s since the epoch]: time 0.
    """
    case = results[0][0].case
    usage = [usage_table(case.jobs)] if any(job.usage for job in case.jobs) else []
    measured = [decisions_table(results, start), power_table(results), kpis_table(results)]
    outages = [outages_table(results)] if any(replay.case.outages for replay, _ in results) else []
    return [_nodes_by_seed(results), workload_table(case.jobs), *usage, *outages, *measured]


def nodes_table(nodes: Sequence[SimulatedNode]) -> Table:
    """A row for each node; ``standby_watts`` and ``region`` only where some node has one."""
    watts = zip(*map(level_watts, nodes), strict=True)
    columns = [
        _text("name", (node.name for node in nodes)),
        _floats("cpu_cores", (node.cpu_cores for node in nodes)),
        _floats("memory_mib", (node.memory_mib for node in nodes)),
        *(_floats(f"watts_{level}", column) for level, column in zip(PERCENT, watts, strict=True)),
    ]
    if any(node.standby_watts is not None for node in nodes):
        columns.append(_floats("standby_watts", (node.standby_watts for node in nodes)))
    if any(node.region for node in nodes):
        columns.append(_text("region", (node.region for node in nodes)))
    return Table("nodes", tuple(columns))


def _nodes_by_seed(results: Results) -> Table:
    """``nodes_table``; where another seed has other nodes, those of every seed, with a last column ``seed``."""
    by_seed = {replay.case.seed: tuple(replay.case.nodes) for replay, _ in results}
    first = tuple(results[0][0].case.nodes)
    if all(nodes == first for nodes in by_seed.values()):
        return nodes_table(first)
    table = nodes_table([node for nodes in by_seed.values() for node in nodes])
    seeds = list(_repeated(list(by_seed), [len(nodes) for nodes in by_seed.values()]))
    return Table(table.name, (*table.columns, Column("seed", "int", seeds)))


def bent_nodes(nodes: Sequence[SimulatedNode]) -> list[str]:
    """Names of the nodes whose given curve is not straight between two levels, as it is simulated."""
    bent = {curve: _is_bent(curve) for curve in {node.curve for node in nodes}}
    return [node.name for node in nodes if bent[node.curve]]


def workload_table(jobs: Sequence[Job]) -> Table:
    """A row for each job; ``slack_s`` and ``node`` only where some job has one."""
    columns = [
        _text("pod", (job.name for job in jobs)),
        *(
            Column(name, "float", [float(getattr(job, name)) for job in jobs])
            for name in ("arrival_s", "duration_s", "cpu_cores", "memory_mib", "cpu_used_cores")
        ),
    ]
    if any(job.slack_s for job in jobs):
        columns.append(_floats("slack_s", (job.slack_s for job in jobs)))
    if any(job.node for job in jobs):
        columns.append(_text("node", (job.node for job in jobs)))
    return Table("workload", tuple(columns))


def usage_table(jobs: Sequence[Job]) -> Table:
    """A row for each step of a job whose use changes: from ``offset_s`` after its start on it uses so many cores."""
    steps = [(job.name, offset, cores) for job in jobs for offset, cores in job.usage]
    columns = (
        _text("pod", (name for name, _, _ in steps)),
        _floats("offset_s", (offset for _, offset, _ in steps)),
        _floats("cpu_used_cores", (cores for _, _, cores in steps)),
    )
    return Table("usage", columns)


def outages_table(results: Results) -> Table:
    """A row for each time that a node fails: it draws nothing from ``start_s`` to ``end_s``."""
    by_seed = {replay.case.seed: replay.case.outages for replay, _ in results}
    outages = [outage for of in by_seed.values() for outage in of]
    columns = [
        _text("node", (outage.node for outage in outages)),
        _floats("start_s", (outage.start_s for outage in outages)),
        _floats("end_s", (outage.end_s for outage in outages)),
    ]
    if len(by_seed) > 1:
        columns.append(Column("seed", "int", list(_repeated(list(by_seed), [len(of) for of in by_seed.values()]))))
    return Table("outages", tuple(columns))


def decisions_table(results: Results, start: float = EPOCH) -> Table:
    """A row for each placement, by strategy, then start. ``completed`` only where some placement did not end well.

    ``ci_score``: carbon intensity [gCO2/kWh] of the node's region at the start; None where carbon is not counted.
    """
    placed = [(replay.case, placement) for replay, _ in results for placement in _by_start(replay.placements)]
    scores = list(chain.from_iterable(_intensities(replay) for replay, _ in results))
    columns = [
        _text("job_id", (placement.job.name for _, placement in placed)),
        _text("assigned_node", (placement.node for _, placement in placed)),
        _text("strategy", (case.strategy for case, _ in placed)),
        _floats("ci_score", scores),
        Column("timestamp", "time", [start + placement.start_s for _, placement in placed]),
        _floats("start_s", (placement.start_s for _, placement in placed)),
        _floats("end_s", (placement.end_s for _, placement in placed)),
        _floats("cpu_used_cores", (placement.job.cpu_used_cores for _, placement in placed)),
    ]
    if not all(placement.completed for _, placement in placed):
        columns.append(Column("completed", "bool", [placement.completed for _, placement in placed]))
    return Table("decisions", (*columns, *_seeds(results, [len(replay.placements) for replay, _ in results])))


def power_table(results: Results) -> Table:
    """Power of all nodes and its bound. Each value holds to the next row; the last row of a strategy is its end."""
    series = [measurement.series for _, measurement in results]
    ended = [np.append(one.times, one.end_s) if _open(one.times, one.end_s) else one.times for one in series]
    lengths = [len(times) for times in ended]
    columns = (
        _text("strategy", _repeated([replay.case.strategy for replay, _ in results], lengths)),
        Column("time", "float", _listed(ended)),
        Column("watts", "float", _listed([_extended(one.watts, n) for one, n in zip(series, lengths, strict=True)])),
        Column(
            "bound_watts", "float", _listed([_extended(one.bound, n) for one, n in zip(series, lengths, strict=True)])
        ),
    )
    return Table("power", (*columns, *_seeds(results, lengths)))


def kpis_table(results: Results) -> Table:
    """A row for each result: our figures, then the further ones, then Batsim's names for them."""
    rows = [measurement.kpis for _, measurement in results]
    columns = [_kpi(name, [getattr(row, name) for row in rows]) for name in (*FIRST_KPIS, *OTHER_KPIS)]
    columns += [_kpi(name, [figure(row) for row in rows]) for name, figure in BATSIM_KPIS.items()]
    return Table("kpis", (*columns, *_seeds(results, [1] * len(rows))))


def kubenergy_table(decisions: Table) -> Table:
    """KubEnergy's decision log: five columns of ours under its names."""
    names = {
        "job_id": "JobID",
        "assigned_node": "AssignedNode",
        "strategy": "Strategy",
        "ci_score": "CIscore",
        "timestamp": "Timestamp",
    }
    columns = [Column(names[column.name], column.kind, column.values) for column in decisions.columns[:5]]
    return Table("kubenergy_decisions", tuple(columns))


def iso(time: float) -> str:
    """``2020-01-01T00:15:00Z``, with microseconds where there are any. ``time`` in seconds since the epoch."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


def _is_bent(curve: Curve) -> bool:
    for low, high in pairwise(LEVELS):
        for share in (0.25, 0.5, 0.75):
            line = (1.0 - share) * curve.watts(low) + share * curve.watts(high)
            if abs(curve.watts((1.0 - share) * low + share * high) - line) > _CLOSE * max(abs(line), 1.0):
                return True
    return False


def _text(name: str, values: Iterable[str]) -> Column:
    return Column(name, "text", list(values))


def _floats(name: str, values: Iterable[float | None]) -> Column:
    return Column(name, "float", [None if value is None else float(value) for value in values])


def _kpi(name: str, values: Sequence[Any]) -> Column:
    if name == "strategy":
        return _text(name, values)
    if name in WHOLE_KPIS:
        return Column(name, "int", [int(value) for value in values])
    return _floats(name, (None if value is None or np.isnan(value) else value for value in values))


def _by_start(placements: Iterable[Placement]) -> list[Placement]:
    return sorted(placements, key=lambda placement: placement.start_s)  # stable: ties stay as they are


def _intensities(replay: Replay) -> list[float | None]:
    """Intensity at the start of each placement, by start."""
    case = replay.case
    if not case.grid:
        return [None] * len(replay.placements)
    intensity = {node.name: intensity_of(case.grid, node.region) for node in case.nodes}
    return [intensity[placement.node].at(placement.start_s) for placement in _by_start(replay.placements)]


def _seeds(results: Results, rows: Sequence[int]) -> list[Column]:
    """The column ``seed``, only where the results have several. ``rows``: number of rows of each result."""
    seeds = [replay.case.seed for replay, _ in results]
    return [Column("seed", "int", list(_repeated(seeds, rows)))] if len(set(seeds)) > 1 else []


def _repeated(values: Sequence[Any], times: Sequence[int]) -> Iterable[Any]:
    return chain.from_iterable([value] * n for value, n in zip(values, times, strict=True))


def _open(times: Floats, end_s: float) -> bool:
    return len(times) > 0 and end_s > float(times[-1])


def _extended(values: Floats, length: int) -> Floats:
    return np.append(values, values[-1:]) if len(values) < length else values


def _listed(arrays: Sequence[Floats]) -> list[float]:
    listed: list[float] = np.concatenate(arrays).tolist() if arrays else []
    return listed
