"""The KPIs as a table for the terminal: a line for each strategy, means over the runs with 95 % intervals. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peaks_scheduler.simulation.case import BASELINE
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.text.table import aligned

from .outputs.seeds import Mean, mean_of

Runs = Sequence[Kpis]
"""The KPIs of one strategy, one for each run."""

_COLUMNS: tuple[tuple[str, Callable[[Kpis], float | None], int], ...] = (  # header, figure, digits
    ("energy kWh", lambda kpis: kpis.energy_kwh, 3),
    ("least kWh", lambda kpis: kpis.bound_kwh, 3),
    ("above least %", lambda kpis: kpis.over_bound_percent, 2),
    (f"saved % of {BASELINE}", lambda kpis: kpis.saving_vs_default_percent, 2),
    ("CO2 kg", lambda kpis: kpis.co2_kg, 3),
    ("cost", lambda kpis: kpis.cost, 2),
    ("core-hours", lambda kpis: kpis.core_hours, 2),
    ("lost core-hours", lambda kpis: kpis.core_hours_lost, 2),
    ("wait s", lambda kpis: kpis.wait_s, 1),
    ("unplaced", lambda kpis: kpis.unscheduled, 0),
)
_SELDOM = ("lost core-hours", "unplaced")
"""Columns that are left out where they are 0 for all."""


def as_table(strategies: Sequence[Runs]) -> str:
    """The table, without columns that are empty for all, and what is to be said below it."""
    columns = [column for column in _COLUMNS if _tells(column[0], [mean_of(runs, column[1]) for runs in strategies])]
    rows = [("strategy", *(header for header, _, _ in columns))]
    rows += [(runs[0].strategy, *(_cell(runs, figure, digits) for _, figure, digits in columns)) for runs in strategies]
    return "\n".join([*aligned(rows, range(1, len(columns) + 1)), *_remarks(strategies)])


def _tells(header: str, means: Sequence[Mean | None]) -> bool:
    """Is there anything in the column?"""
    known = [mean.value for mean in means if mean is not None]
    return any(known) if header in _SELDOM else bool(known)


def _cell(runs: Runs, figure: Callable[[Kpis], float | None], digits: int) -> str:
    mean = mean_of(runs, figure)
    if mean is None:
        return "-"
    margin = f"{mean.margin or 0.0:.{digits}f}"
    return f"{mean.value:.{digits}f}" + (f" ± {margin}" if float(margin) else "")


def _remarks(strategies: Sequence[Runs]) -> list[str]:
    remarks = []
    if all(runs[0].strategy != BASELINE for runs in strategies):
        remarks.append(f"Savings are counted from today's scheduler: add --strategy {BASELINE}.")
    work = [sum(kpis.core_hours for kpis in runs) / len(runs) for runs in strategies]
    if max(work) - min(work) > 1e-6 * max(work):
        remarks.append(f"The strategies did not do equal work: {min(work):.2f} to {max(work):.2f} core-hours.")
    if any(kpis.unscheduled for runs in strategies for kpis in runs):
        remarks.append("Unplaced pods found no node with room until the end, or were still waiting when it came.")
    return remarks
