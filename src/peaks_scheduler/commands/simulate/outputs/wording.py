"""What a report says in words: what was simulated, what its columns mean, and what follows from the figures. Pure.

Says as much about what cannot be concluded: a saving is called one only where several seeds tell it from chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.simulation.case import BASELINE, Case, LoadView, Replay
from peaks_scheduler.simulation.levels import level_watts
from peaks_scheduler.simulation.measurement import Kpis, Measurement
from peaks_scheduler.text.words import few, plural

from .seeds import Mean, by_strategy, mean, mean_of, saving
from .series import integral
from .tables import Results, bent_nodes

_SAME = 0.1  # [%] of the energy: strategies so close are called equal


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of the report's table."""

    label: str
    figure: Callable[[Kpis], float | None]
    meaning: str


COLUMNS = (
    Shown("pods", lambda row: row.pods, "pods of the workload"),
    Shown("unscheduled", lambda row: row.unscheduled, "pods that never ran to their end"),
    Shown("core-hours", lambda row: row.core_hours, "work done for pods that completed"),
    Shown("energy [kWh]", lambda row: row.energy_kwh, "from the start until the strategy's last pod ends, all nodes"),
    Shown("bound [kWh]", lambda row: row.bound_kwh, "the least that any placement of the same use could have needed"),
    Shown(
        "bound below ceiling [kWh]",
        lambda row: row.bound_ceiling_kwh,
        "the same while no node goes above its ceiling, as long as the use fits below",
    ),
    Shown("over bound [%]", lambda row: row.over_bound_percent, "energy above the bound"),
    Shown(
        "saved [%]", lambda row: row.saving_vs_default_percent, f"energy saved against {BASELINE}, today's scheduler"
    ),
    Shown("mean CI [g/kWh]", lambda row: row.average_ci, "carbon intensity of the energy used"),
    Shown("CO2 [kg]", lambda row: row.co2_kg, "carbon dioxide of the energy"),
    Shown("CO2 bound [kg]", lambda row: row.co2_bound_kg, "the least with perfect foresight and the same deadlines"),
    Shown("cost", lambda row: row.cost, "of the energy at the given price"),
    Shown("wait [s]", lambda row: row.wait_s, "mean time from arrival to start, of the pods that started"),
    Shown("turnaround [s]", lambda row: row.turnaround_s, "mean time from arrival to end, of the pods that completed"),
    Shown("slowdown", lambda row: row.mean_slowdown, "mean of turnaround over duration"),
    Shown("makespan [s]", lambda row: row.makespan_s, "from the start until the last pod ends"),
    Shown("switches", lambda row: row.machine_switches, "times that a node went to sleep or woke up"),
    Shown(
        "lost core-hours",
        lambda row: row.core_hours_lost,
        "run by attempts that a failed node ended, and asked for beyond the CPUs of full nodes",
    ),
)
"""Without ``decision_us``: it depends on the machine, and a report of one seed is always the same."""


def simulated(results: Results, seed: int, notes: Sequence[str]) -> list[str]:
    """What was simulated, in sentences."""
    case = results[0][0].case
    cores = math.fsum(node.cpu_cores for node in case.nodes)
    seeds = sorted({replay.case.seed for replay, _ in results})
    said = [
        f"{len(case.nodes):,} nodes with {cores:,.6g} cores, and {len(case.jobs):,} pods.",
        f"Seed {seed}." if len(seeds) < 2 else f"{len(seeds)} seeds: {few([str(one) for one in seeds], 10)}.",
        load_sentence(case.load),
        *_failures(results),
        *_circumstances(case),
    ]
    if bent := bent_nodes(case.nodes):
        said.append(
            f"The given curve of {plural(len(bent), 'node')} ({few(bent)}) bends between the levels 0, 10, .., 100 %. "
            "It is taken as straight lines from level to level, as nodes.csv has it."
        )
    return [*said, *notes]


def load_sentence(load: LoadView) -> str:
    """How the scheduler sees the load of nodes."""
    span = f"an average over {load.window_s:g} s" if load.window_s > 0.0 else "the use at one instant"
    every = f"reported every {load.interval_s:g} s" if load.interval_s > 0.0 else "reported before every decision"
    late = f", {load.delay_s:g} s late" if load.delay_s > 0.0 else ""
    gaps = f"; {plural(len(load.gaps), 'time')} no report came for a while" if load.gaps else ""
    return f"The scheduler sees a node's load as {span}, {every}{late}{gaps}. It never sees the true power curves."


def conclusions(results: Results) -> list[str]:
    """What follows from the figures, and what does not."""
    rows = by_strategy(results)
    return [*_possible(results), *_gained(rows), *_unequal_work(rows), *_unequal_time(results)]


def _failures(results: Results) -> list[str]:
    counts = sorted({len(replay.case.outages) for replay, _ in results})
    if not counts[-1]:
        return []
    times = plural(counts[0], "time") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} times, by seed,"
    return [f"Nodes fail {times} and come back; the pods on them begin anew."]


def _circumstances(case: Case) -> list[str]:
    said = []
    limits = {"CPUs": case.ceiling.cpu, "memory": case.ceiling.memory}
    if known := [f"{100.0 * share:g} % of its {what}" for what, share in limits.items() if share and share < math.inf]:
        said.append(
            f"For decisions a node has a ceiling of {' and '.join(known)}; the bound is given without it, and below it."
        )
    if (asleep := sum(node.standby_watts is not None for node in case.nodes)) > 0:
        said.append(f"{plural(asleep, 'node')} may sleep while no pod runs there.")
    return said


def _possible(results: Results) -> list[str]:
    """How much any placement could have saved, and what no placement changes."""
    name = BASELINE if any(replay.case.strategy == BASELINE for replay, _ in results) else results[0][0].case.strategy
    of = [(replay, measurement) for replay, measurement in results if replay.case.strategy == name]
    if any(measurement.kpis.energy_kwh <= 0.0 for _, measurement in of):
        return []
    above = mean_of([measurement.kpis for _, measurement in of], lambda row: 1.0 - row.bound_kwh / row.energy_kwh)
    idle = mean([idle_kwh(replay, measurement) / measurement.kpis.energy_kwh for replay, measurement in of])
    share = max(0.0, above.value if above is not None else 0.0)
    return [
        f"No placement of the same use could have saved more than {100.0 * share:.1f} % of the energy of {name}.",
        f"{100.0 * idle.value:.0f} % of that energy is what nodes draw that are on and idle: placement does not change "
        "it while they stay on.",
        *_one_kind(of[0][0].case),
    ]


def idle_kwh(replay: Replay, measurement: Measurement) -> float:
    """Energy [kWh] that the nodes which never sleep would have drawn without any pod."""
    end = measurement.series.end_s
    joules = 0.0
    for node in replay.case.nodes:
        if node.standby_watts is None:
            series = measurement.nodes[node.name]
            up = float(integral(series.times, series.up, end, np.array([end]))[0]) if replay.case.outages else end
            joules += level_watts(node)[0] * up
    return joules / 3.6e6


def _one_kind(case: Case) -> list[str]:
    if len({(node.curve, node.cpu_cores) for node in case.nodes}) > 1 or len(case.nodes) < 2:
        return []
    return [
        "All nodes are of one kind. Where their curve is a line, every placement draws the same; where it bends, "
        "spreading or packing is all that placement can do."
    ]


def _gained(rows: dict[str, list[Kpis]]) -> list[str]:
    others = [name for name in rows if name != BASELINE]
    if BASELINE not in rows or not others:
        return [f"Savings are counted against {BASELINE}, which was not simulated."] if BASELINE not in rows else []
    if len(rows[BASELINE]) < 2:
        return [*_nothing_gained(rows, others), _ONE_SEED]
    savings = {name: saving(rows[name], rows[BASELINE]) for name in others}
    told = {name: one for name, one in savings.items() if one is not None and _shows(one)}
    more, less = ([name for name, one in told.items() if (one.value > 0.0) is sign] for sign in (False, True))
    said = [
        f"{words} {BASELINE}, mean and 95 % interval over the seeds: {_listed(names, told)}."
        for words, names in (("Saved against", less), ("Needed more than", more))
        if names
    ]
    if chance := [name for name in others if name not in told]:
        said.append(
            f"Not told from chance: {', '.join(chance)}. The 95 % interval of the difference from {BASELINE} over the "
            "seeds has zero in it, so nothing is gained that these runs could show."
        )
    return said


def _shows(saved: Mean) -> bool:
    """Is zero outside the interval?"""
    return saved.margin is not None and abs(saved.value) > saved.margin


def _listed(names: Sequence[str], savings: Mapping[str, Mean]) -> str:
    return "; ".join(f"{name} {abs(savings[name].value):.2f} ± {savings[name].margin or 0.0:.2f} %" for name in names)


_ONE_SEED = (
    "This is one seed. Another seed gives other fits, failures or ties, and so other energies; how far they differ is "
    "not known from one run, only from several (--runs). A difference between strategies that is smaller than the "
    "interval over several seeds is chance, and nothing is gained by it."
)


def _nothing_gained(rows: dict[str, list[Kpis]], others: Sequence[str]) -> list[str]:
    base = rows[BASELINE][0].energy_kwh
    best = min((rows[name][0].energy_kwh for name in others), default=base)
    if base <= 0.0 or 100.0 * (1.0 - best / base) > _SAME:
        return []
    return [f"No strategy needs {_SAME} % less energy than {BASELINE}: in this case nothing is gained by placement."]


def _unequal_work(rows: dict[str, list[Kpis]]) -> list[str]:
    work = {name: mean.value for name, of in rows.items() if (mean := mean_of(of, lambda row: row.core_hours))}
    most = max(work.values(), default=0.0)
    less = [name for name, hours in work.items() if hours < most * (1.0 - 1e-9)]
    if not less:
        return ["All strategies did the same work."] if len(rows) > 1 else []
    return [
        f"The work is not equal: {', '.join(less)} completed fewer core-hours than the others. Compare energy by "
        "core-hour."
    ]


def _unequal_time(results: Results) -> list[str]:
    """Energies until each strategy's own end do not compare where the ends differ: those up to the first end do."""
    ends = [measurement.series.end_s for _, measurement in results]
    first = min(ends)
    if max(ends) - first <= 1e-3 * max(ends):
        return []
    until: dict[str, list[float]] = {}
    for replay, measurement in results:
        series = measurement.series
        joules = integral(series.times, series.watts, series.end_s, np.array([first]))
        until.setdefault(replay.case.strategy, []).append(float(joules[0]) / 3.6e6)
    listed = ", ".join(f"{name} {mean(values).value:,.4g} kWh" for name, values in until.items())
    return [
        f"The strategies end at different times, from {first / 3600.0:,.4g} h to {max(ends) / 3600.0:,.4g} h, and each "
        "one's energy has the idle power of all nodes until its own end: a difference is not of placement alone, and "
        f"may be more than placement could save. Up to {first / 3600.0:,.4g} h, where all of them still run: {listed}."
    ]
