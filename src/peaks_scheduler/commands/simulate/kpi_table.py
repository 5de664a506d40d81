"""The KPIs as a table for the terminal: a line for each strategy, means over the runs with 95 % intervals. Pure.

As narrow as it can be, for a terminal: columns that say nothing are left out, and what an interval makes doubtful is
not printed. Everything stands in ``kpis.csv``.
"""

from __future__ import annotations

import math
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
    ("saved %", lambda kpis: kpis.saving_vs_default_percent, 2),
    ("CO2 kg", lambda kpis: kpis.co2_kg, 3),
    ("cost", lambda kpis: kpis.cost, 2),
    ("core-hours", lambda kpis: kpis.core_hours, 2),
    ("lost", lambda kpis: kpis.core_hours_lost, 2),
    ("wait s", lambda kpis: kpis.wait_s, 1),
    ("unplaced", lambda kpis: kpis.unscheduled, 0),
)
_SELDOM = ("lost", "wait s", "unplaced")
"""Columns that are left out where they are 0 for all."""
_ENERGY, _MOST_DIGITS = 3, 6  # digits of energies and of CO2, which may be small


def as_table(strategies: Sequence[Runs]) -> str:
    """The table, without columns that are empty for all, and what is to be said below it."""
    columns = [(header, [mean_of(runs, figure) for runs in strategies], digits) for header, figure, digits in _COLUMNS]
    shown = [column for column in columns if _tells(column[0], column[1])]
    texts = [(header, *_cells(means, digits)) for header, means, digits in shown]
    names = ("strategy", *(runs[0].strategy for runs in strategies))
    rows = list(zip(names, *texts, strict=True))
    return "\n".join(
        [*aligned(rows, range(1, len(texts) + 1)), *_remarks(strategies, [header for header, *_ in texts])]
    )


def _tells(header: str, means: Sequence[Mean | None]) -> bool:
    """Is there anything in the column?"""
    known = [mean.value for mean in means if mean is not None]
    return any(known) if header in _SELDOM else bool(known)


def _cells(means: Sequence[Mean | None], digits: int) -> list[str]:
    """The column's cells, all with as many digits as the smallest interval deserves: two of its own."""
    margins = [mean.margin for mean in means if mean is not None and mean.margin]
    largest = max((abs(mean.value) for mean in means if mean is not None), default=0.0)
    if margins:
        digits = min(digits, max(_digits(min(margins), 2), 0))
    elif 0.0 < largest < 1.0 and digits == _ENERGY:
        digits = min(max(_digits(largest, digits + 1), digits), _MOST_DIGITS)
    return [_cell(mean, digits) for mean in means]


def _digits(value: float, significant: int) -> int:
    """Digits behind the point that show so many of the value's digits."""
    return significant - 1 - math.floor(math.log10(value))


def _cell(mean: Mean | None, digits: int) -> str:
    if mean is None:
        return "-"
    margin = f"{mean.margin or 0.0:.{digits}f}"
    return f"{mean.value:.{digits}f}" + (f" ± {margin}" if float(margin) else "")


def _remarks(strategies: Sequence[Runs], headers: Sequence[str]) -> list[str]:
    remarks = []
    if "saved %" in headers:
        remarks.append(f"saved: against {BASELINE}, which is today's scheduler.")
    elif all(runs[0].strategy != BASELINE for runs in strategies):
        remarks.append(f"Savings are counted from today's scheduler: add --strategy {BASELINE}.")
    if "lost" in headers:
        remarks.append("lost: core-hours that failed nodes lost, and that pods wanted beyond the CPUs of their node.")
    work = [sum(kpis.core_hours for kpis in runs) / len(runs) for runs in strategies]
    if max(work) - min(work) > 1e-6 * max(work):
        remarks.append(f"The strategies did not do equal work: {min(work):.2f} to {max(work):.2f} core-hours.")
    if "unplaced" in headers:
        remarks.append("unplaced: pods that found no node with room until the end, or were still waiting when it came.")
    return remarks
