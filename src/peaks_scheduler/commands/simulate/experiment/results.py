"""The tables of an experiment: a row for each run, a row for each combination over its seeds, and one to look at.

The same runs give the same bytes, in whatever order they were finished. Savings are counted within a seed: against the
run of ``case.BASELINE`` that has the same words on all other axes. Pure.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from peaks_scheduler.commands.simulate.statistics import Interval, interval
from peaks_scheduler.simulation.case import BASELINE
from peaks_scheduler.simulation.measurement import Kpis as MeasuredKpis
from peaks_scheduler.text.table import aligned

from .finished import Kpis
from .scenarios import Axes, labels

SAVING = "saving_vs_default_percent"
KPIS = tuple(field.name for field in fields(MeasuredKpis) if field.name not in ("strategy", "decision_us"))
"""Columns of the results behind the axes: all but the time of a decision, which differs whenever it is measured."""
AXES = tuple(field.name for field in fields(Axes))
_SHOWN = {
    "energy_kwh": "kWh",
    "bound_kwh": "bound kWh",
    "over_bound_percent": "over bound %",
    SAVING: "saved %",
    "co2_kg": "CO2 kg",
    "cost": "cost",
    "core_hours": "core hours",
    "unscheduled": "unscheduled",
}
_FAR_FROM_TWO = 1e-4  # share: core-hours of strategies that differ by more are no equal work


@dataclass(frozen=True, slots=True)
class Row:
    """A finished run."""

    axes: Axes
    kpis: Kpis


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that differ in their seed alone."""

    axes: Axes
    """Of the first seed."""
    seeds: int
    kpis: Mapping[str, Interval]
    """The KPIs that all its runs have."""


def with_savings(rows: Sequence[Row]) -> list[Row]:
    """The rows with their saving [%] against the baseline of the same seed; None where that was not run."""
    default = {_without_strategy(row.axes): row.kpis.get("energy_kwh") for row in rows if row.axes.strategy == BASELINE}
    return [
        replace(row, kpis={**row.kpis, SAVING: _saving(row, default.get(_without_strategy(row.axes)))}) for row in rows
    ]


def _without_strategy(axes: Axes) -> Axes:
    return replace(axes, strategy="")


def _saving(row: Row, default: float | int | None) -> float | None:
    energy = row.kpis.get("energy_kwh")
    return None if not default or energy is None else 100.0 * (1.0 - energy / default)


def groups(rows: Iterable[Row]) -> list[Group]:
    """The rows over their seeds, in order of their first one."""
    found: dict[Axes, list[Row]] = {}
    for row in rows:
        found.setdefault(replace(row.axes, seed=0), []).append(row)
    return [_group(each) for each in found.values()]


def _group(rows: Sequence[Row]) -> Group:
    values = {name: [row.kpis.get(name) for row in rows] for name in KPIS}
    known = {name: [each for each in column if each is not None] for name, column in values.items()}
    whole = {name: interval(column) for name, column in known.items() if len(column) == len(rows)}
    return Group(rows[0].axes, len(rows), whole)


# --- CSV --------------------------------------------------------------------------------------------------------------


def results_csv(rows: Iterable[Row]) -> str:
    """One row for each run: its words and seed, then its KPIs; an empty cell was not counted."""
    body = ([*labels(row.axes).values(), *(_cell(row.kpis.get(name)) for name in KPIS)] for row in rows)
    return _csv([*AXES, *KPIS], body)


def summary_csv(found: Iterable[Group]) -> str:
    """One row for each combination: the number of its seeds, and mean and 95 % interval of each KPI."""
    header = [*AXES[:-1], "seeds", *(f"{name}{end}" for name in KPIS for end in ("", "_low95", "_high95"))]
    body = ([*list(labels(each.axes).values())[:-1], str(each.seeds), *_summary_cells(each)] for each in found)
    return _csv(header, body)


def _summary_cells(group: Group) -> list[str]:
    found = [group.kpis.get(name) for name in KPIS]
    return [_cell(value) for each in found for value in ((each.mean, each.low, each.high) if each else (None,) * 3)]


def _cell(value: float | int | None) -> str:
    return "" if value is None else repr(value)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


# --- to look at -------------------------------------------------------------------------------------------------------


def table(found: Sequence[Group]) -> str:
    """Mean ± half of the 95 % interval for each combination; axes with one value alone are left out."""
    if not found:
        return "no run is finished"
    words = [labels(each.axes) for each in found]
    axes = [name for name in AXES[:-1] if name == "strategy" or len({each[name] for each in words}) > 1]
    kpis = [name for name in _SHOWN if any(name in each.kpis for each in found)]
    header = [*axes, "seeds", *(_SHOWN[name] for name in kpis)]
    body = [
        [*(row[name] or "-" for name in axes), str(each.seeds), *(shown(each.kpis.get(name)) for name in kpis)]
        for row, each in zip(words, found, strict=True)
    ]
    return "\n".join(aligned([header, *body], right=range(len(axes), len(header))))


def shown(value: Interval | None) -> str:
    """``1234.5 ± 0.6``: two digits of the half, and the mean to the same place."""
    if value is None:
        return "-"
    if not value.half:
        return f"{value.mean:,.2f}" if value.mean % 1 else f"{value.mean:,.0f}"
    places = min(max(1 - math.floor(math.log10(value.half)), 0), 6)
    return f"{value.mean:,.{places}f} ± {value.half:,.{places}f}"


def unequal_work(found: Sequence[Group]) -> list[str]:
    """Where strategies completed different numbers of core-hours, in words: there their energies do not compare."""
    alike: dict[Axes, list[Group]] = {}
    for each in found:
        if "core_hours" in each.kpis:
            alike.setdefault(replace(each.axes, strategy="", seed=0), []).append(each)
    return [text for each in alike.values() if (text := _difference(each))]


def _difference(group: Sequence[Group]) -> str:
    least, most = (end(group, key=lambda each: each.kpis["core_hours"].mean) for end in (min, max))
    low, high = least.kpis["core_hours"].mean, most.kpis["core_hours"].mean
    if high - low <= _FAR_FROM_TWO * high:
        return ""
    words = {name: value for name, value in labels(least.axes).items() if name not in ("strategy", "seed") and value}
    where = ", ".join(f"{name} {value}" for name, value in words.items())
    return (
        f"not the same work ({where}): {least.axes.strategy} completed {low:,.1f} core-hours, "
        f"{most.axes.strategy} {high:,.1f}"
    )
