"""The answer: what the cluster would cost a month under each strategy, and what that saves against today's scheduler.

Each strategy was run several times, with other seeds and other true curves within the errors of the power models: run i
of every strategy has the same curves and the same pods. A cluster has one true curve, not the mean of many, so an
interval is that of one more run: mean +- t * s * sqrt(1 + 1/n), Student's t with n - 1 degrees of freedom. Savings are
differences within a run, in which the errors that two strategies share cancel. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peaks_scheduler.simulation.case import BASELINE
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.text.table import aligned

from .reasons import LITTLE, Facts, why_nothing

MONTH_H = 730.0
"""[h] a twelfth of a year."""
_SAME_WORK = 0.001
"""Core-hours of two strategies that differ by a smaller share are the same work."""

# fmt: off
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
         2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
# fmt: on
"""Student's t, 97.5 %, for 1 to 30 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval. ``low`` and ``high`` are None for a single run."""

    mean: float
    low: float | None
    high: float | None

    @property
    def certain(self) -> bool:
        """Is it above 0, as far as can be known?"""
        return self.mean > 0.0 if self.low is None else self.low > 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One strategy, a month."""

    strategy: str
    kwh: Estimate
    saved: Estimate
    """[kWh] against the baseline in the same run."""
    share: Estimate
    """[1] of the baseline's energy."""
    cost: Estimate | None
    co2: Estimate | None
    """[kg]"""
    co2_saved: Estimate | None
    """[kg] against the baseline in the same run."""
    core_hours: float
    """Delivered, mean of the runs, not scaled to a month."""
    unscheduled: float


def answer(rows: Sequence[Sequence[Kpis]], hours: float, facts: Facts | None = None) -> str:
    """The table and a sentence on what is to be gained, or why nothing is.

    Args:
        rows: for each strategy the KPIs of its runs; run i of every strategy has the same curves and seed. Savings are
            counted from ``case.BASELINE``, or from the first strategy if that was not run.
        hours: length of the simulated time.
        facts: what is known of the cluster (``reasons.facts_of``), to say why nothing is to be gained.
    """
    base = next((row for row in rows if row[0].strategy == BASELINE), rows[0])
    found = [line(row, base, MONTH_H / hours) for row in sorted(rows, key=lambda row: row is not base)]
    return "\n".join([*_table(found, len(base)), "", _conclusion(found, base, MONTH_H / hours, facts)])


def line(row: Sequence[Kpis], base: Sequence[Kpis], scale: float) -> Line:
    """One strategy against the baseline. ``scale``: from the simulated time to a month."""
    pairs = list(zip(row, base, strict=True))
    return Line(
        row[0].strategy,
        estimate([scale * run.energy_kwh for run in row]),
        estimate([scale * (other.energy_kwh - run.energy_kwh) for run, other in pairs]),
        estimate([_share(other.energy_kwh - run.energy_kwh, other.energy_kwh) for run, other in pairs]),
        _if_all([run.cost for run in row], scale),
        _if_all([run.co2_kg for run in row], scale),
        _if_all([_difference(other.co2_kg, run.co2_kg) for run, other in pairs], scale),
        sum(run.core_hours for run in row) / len(row),
        sum(run.unscheduled for run in row) / len(row),
    )


def estimate(values: Sequence[float]) -> Estimate:
    """The mean, and the interval that holds one more value with 95 %."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean, None, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    far = (_T975[count - 2] if count - 2 < len(_T975) else 2.0) * deviation * math.sqrt(1.0 + 1.0 / count)
    return Estimate(mean, mean - far, mean + far)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _if_all(values: Sequence[float | None], scale: float) -> Estimate | None:
    known = [scale * value for value in values if value is not None]
    return estimate(known) if len(known) == len(values) else None


# --- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cell: Callable[[Line], str]


def _table(lines: Sequence[Line], runs: int) -> list[str]:
    base = lines[0]
    columns = [
        _Column("a month", lambda each: each.strategy),
        _Column("kWh", lambda each: _number(each.kwh.mean)),
        _Column("95 % interval", lambda each: _interval(each.kwh)),
        _Column("saved kWh", lambda each: _unless_base(each, base, _number(each.saved.mean))),
        _Column("95 % interval", lambda each: _unless_base(each, base, _interval(each.saved))),
        _Column("saved", lambda each: _unless_base(each, base, f"{each.share.mean:.1%}")),
    ]
    if base.cost is not None:
        columns += [
            _Column("money", lambda each: _of(each.cost)),
            _Column("95 % interval", lambda each: _in(each.cost)),
        ]
    if base.co2 is not None:
        columns += [_Column("CO2 kg", lambda each: _of(each.co2)), _Column("95 % interval", lambda each: _in(each.co2))]
    if any(not _same_work(each, base) for each in lines):
        columns.append(_Column("work", lambda each: f"{_share(each.core_hours, base.core_hours):.1%}"))
        columns.append(_Column("unscheduled", lambda each: f"{each.unscheduled:g}"))
    if runs < 2:
        columns = [column for column in columns if column.head != "95 % interval"]
    cells = [[column.cell(each) for column in columns] for each in lines]
    return aligned([[column.head for column in columns], *cells], range(1, len(columns)))


def _same_work(one: Line, other: Line) -> bool:
    return (
        abs(one.core_hours - other.core_hours) <= _SAME_WORK * other.core_hours and one.unscheduled == other.unscheduled
    )


def _unless_base(each: Line, base: Line, text: str) -> str:
    return "-" if each is base else text


def _of(value: Estimate | None) -> str:
    return "" if value is None else _number(value.mean)


def _in(value: Estimate | None) -> str:
    return "" if value is None else _interval(value)


def _interval(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return ""
    return f"{_number(value.low)} .. {_number(value.high)}"


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100.0 else 1 if abs(value) >= 10.0 else 2
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _conclusion(lines: Sequence[Line], base: Sequence[Kpis], scale: float, facts: Facts | None) -> str:
    others, name = lines[1:], lines[0].strategy
    possible = estimate([max(_share(run.energy_kwh - run.bound_kwh, run.energy_kwh), 0.0) for run in base])
    most = (
        f"no placement could save more than {possible.mean:.1%} "
        f"({_number(possible.mean * lines[0].kwh.mean)} kWh a month)"
    )
    unequal = [each.strategy for each in others if not _same_work(each, lines[0])]
    work = f" Not the same work as {name}: {', '.join(unequal)}." if unequal else ""
    equal = [each for each in others if each.strategy not in unequal]
    carbon = _less_carbon(equal)
    best = max(equal, key=lambda each: each.saved.mean, default=None)
    if best is None:
        return f"Nothing to compare with {name}; {most}.{work}"
    if not best.saved.certain:
        return f"Nothing is to be gained that is certain: {why_nothing(possible.mean, facts)}; {most}.{carbon}{work}"
    saves = (
        f"{best.strategy} saves {_number(best.saved.mean)} kWh a month{_bracketed(best.saved)}, {best.share.mean:.1%}, "
        f"against {name}"
    )
    if possible.mean <= LITTLE:
        return f"Next to nothing is to be gained: {why_nothing(possible.mean, facts)}. {saves}; {most}.{carbon}{work}"
    return f"{saves}; {most}.{carbon}{work}"


def _less_carbon(lines: Sequence[Line]) -> str:
    """A sentence on the strategy with the least CO2, if it saves some for certain."""
    known = [(each, each.co2_saved) for each in lines if each.co2_saved is not None]
    best, saved = max(known, key=lambda pair: pair[1].mean, default=(None, None))
    if best is None or saved is None or not saved.certain:
        return ""
    return f" {best.strategy} saves {_number(saved.mean)} kg of CO2 a month{_bracketed(saved)}."


def _bracketed(value: Estimate) -> str:
    return f" (95 % interval {_interval(value)})" if value.low is not None else ""
