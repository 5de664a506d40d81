"""``measure``: what a replay cost, from its placements and the true curves alone.

Owns the sums: energy, work, carbon, and the least that would have been possible. Uses nothing that the scheduler
believed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .bound import Bounds
from .carbon import intensity_of
from .carbon_bound import least_co2
from .case import BASELINE, Case, Placement, Replay
from .delivered import delivered
from .measurement import Kpis, Measurement, NodeSeries, PowerSeries
from .node_series import integral, node_series, spans_of_nodes

JOULES = 3.6e6  # in a kilowatt-hour
HOUR = 3600.0  # [s]


def measure(replay: Replay, price: float | None = None) -> Measurement:
    """Measure a replay. ``price`` is that of a kilowatt-hour, in any currency."""
    case = replay.case
    end = max((placement.end_s for placement in replay.placements), default=0.0)
    nodes = node_series(case.nodes, replay.placements, case.outages, end)
    series = _total(case, nodes, end)
    return Measurement(_kpis(replay, nodes, series, price), series, nodes)


def compared(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The same measurements with the saving against ``BASELINE``, where that is one of them."""
    default = next((each.kpis.energy_kwh for each in measurements if each.kpis.strategy == BASELINE), 0.0)
    if not default:
        return list(measurements)
    return [replace(each, kpis=_with_saving(each.kpis, default)) for each in measurements]


def _with_saving(kpis: Kpis, default: float) -> Kpis:
    return replace(kpis, saving_vs_default_percent=100.0 * (1.0 - kpis.energy_kwh / default))


# --- all nodes together ---------------------------------------------------------------------------------------------


def _total(case: Case, nodes: Mapping[str, NodeSeries], end: float) -> PowerSeries:
    """The sums over all nodes, at every time at which one of them changes."""
    every = list(nodes.values())
    firsts = np.cumsum([0, *(len(each.times) for each in every[:-1])])
    times = np.concatenate([each.times for each in every])
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    last = np.append(np.diff(ordered) > 0.0, True)
    watts, cores = (
        np.cumsum(_steps(np.concatenate(columns), firsts)[order])[last]
        for columns in ([each.watts for each in every], [each.cores for each in every])
    )
    times, cores = ordered[last], np.maximum(cores, 0.0)
    return PowerSeries(times, watts, _least(case, times, cores, 1.0), cores, end)


def _steps(values: Floats, firsts: Ints) -> Floats:
    """(M,) by how much each value differs from the one before; the ``firsts`` of each node from 0."""
    steps = np.diff(values, prepend=0.0)
    steps[firsts] = values[firsts]
    return steps


def _least(case: Case, times: Floats, cores: Floats, ceiling: float) -> Floats:
    """(T,) [W] the bound over time: of the nodes that are there at each time."""
    least, bounds = np.zeros(len(times)), Bounds(case.nodes, ceiling)
    for start, stop, up in spans_of_nodes(case):
        first, last = np.searchsorted(times, [start, stop])
        if first < last and up.any():
            least[first:last] = bounds.of(up).at(cores[first:last])
    return least


# --- the table ------------------------------------------------------------------------------------------------------


def _kpis(replay: Replay, nodes: Mapping[str, NodeSeries], series: PowerSeries, price: float | None) -> Kpis:
    case, end = replay.case, series.end_s
    energy = sum(integral(each.times, each.watts, end) for each in nodes.values()) / JOULES
    least = integral(series.times, series.bound, end) / JOULES
    share = 1.0 if case.ceiling.cpu is None else min(case.ceiling.cpu, 1.0)
    below = series.bound if share == 1.0 else _least(case, series.times, series.cores, share)
    least_below = integral(series.times, below, end) / JOULES
    co2 = _co2(case, nodes, end)
    least_kg = None if co2 is None else least_co2(case, replay.placements, nodes, series)
    worked = sum(integral(each.times, each.cores, end) for each in nodes.values())
    wanted = sum(integral(each.times, each.demand, end) for each in nodes.values())
    lost = sum(delivered(each, nodes[each.node]) for each in replay.placements if not each.completed)
    done = [each for each in replay.placements if each.completed]
    waits, turnarounds = _waits(replay.placements), [each.end_s - each.job.arrival_s for each in done]
    slowdowns = [each / placement.job.duration_s for each, placement in zip(turnarounds, done, strict=True)]
    return Kpis(
        strategy=case.strategy,
        pods=len(case.jobs),
        unscheduled=len(replay.unscheduled),
        core_hours=(worked - lost) / HOUR,
        energy_kwh=energy,
        bound_kwh=least,
        bound_ceiling_kwh=least_below,
        over_bound_percent=100.0 * (energy / least - 1.0) if least else 0.0,
        saving_vs_default_percent=None,
        average_ci=None if co2 is None or not energy else 1000.0 * co2 / energy,
        co2_kg=co2,
        cost=None if price is None else price * energy,
        wait_s=_mean(waits),
        turnaround_s=_mean(turnarounds),
        decision_us=1e6 * replay.decision_s / replay.decisions if replay.decisions else 0.0,
        mean_slowdown=_mean(slowdowns),
        makespan_s=end,
        machine_switches=sum(_switches(nodes[node.name]) for node in case.nodes if node.standby_watts is not None),
        core_hours_lost=(wanted - worked + lost) / HOUR,
        co2_bound_kg=least_kg,
    )


def _co2(case: Case, nodes: Mapping[str, NodeSeries], end: float) -> float | None:
    """[kg]; None: carbon is not counted."""
    if not case.grid:
        return None
    grams = 0.0
    for node in case.nodes:
        each, intensity = nodes[node.name], intensity_of(case.grid, node.region)
        edges = np.unique(np.concatenate([each.times, intensity.times, [end]]))
        edges = edges[(edges >= 0.0) & (edges <= end)]
        watts = each.watts[np.searchsorted(each.times, edges[:-1], side="right") - 1]
        grams += float(np.sum(watts * np.diff(intensity.integral(edges)))) / JOULES
    return grams / 1000.0


def _waits(placements: Sequence[Placement]) -> list[float]:
    """[s] from each job's arrival to its first start."""
    first: dict[str, float] = {}
    for placement in placements:
        first.setdefault(placement.job.name, placement.start_s - placement.job.arrival_s)
    return list(first.values())


def _switches(node: NodeSeries) -> int:
    """Times that the node fell asleep or woke up."""
    return int(np.count_nonzero(np.diff(node.pods > 0.0)))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
