"""The result of ``simulate validate`` as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.power.file_curves import curve_fields
from peaks_scheduler.text.table import aligned

from .comparison import Comparison, hours


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """A comparison, and what it was made of."""

    comparison: Comparison
    jobs: int
    hosts: int
    notes: Sequence[str]


def as_json(found: Validation) -> dict[str, Any]:
    """Figures first, then the curve, then the circumstances."""
    comparison = found.comparison
    return {
        **comparison.figures,
        "jobs": found.jobs,
        "hosts": found.hosts,
        "frozen": {**_curve(comparison.frozen), "halfLifeHours": hours(comparison.rolling.frozen_half_life)},
        "last": {**_curve(comparison.last), "halfLifeHours": hours(comparison.rolling.half_lives[-1])},
        "notes": list(found.notes),
    }


def _curve(fit: Fit) -> dict[str, Any]:
    curve = {} if fit.curve is None else {"kind": fit.curve.kind, **curve_fields(fit.curve)}
    return {"curve": curve, "verdict": fit.verdict, "reasons": list(fit.reasons)}


def as_table(found: Validation) -> str:
    """A line for each figure, and the curves below."""
    figures = found.comparison.figures
    rows = [
        ("", "frozen", "refitted", "5-minute means", "persistence"),
        (
            "MAPE [%]",
            *(f"{figures[name]:.2f}" for name in ("mape_frozen", "mape_refitted", "mape_5min", "mape_persistence")),
        ),
        ("energy [%]", f"{figures['energy_error_frozen']:+.2f}", f"{figures['energy_error_refitted']:+.2f}", "", ""),
        ("NAD [%]", "", f"{figures['nad']:.2f}", "", ""),
        ("RMSLE", "", f"{figures['rmsle']:.4f}", "", ""),
        ("error below 10 %", "", f"{figures['under10']:.1%}", "", ""),
        ("in the 95 % interval", "", f"{figures['coverage95']:.1%}", "", ""),
    ]
    about = (
        f"{figures['samples']} samples over {figures['hours']:.1f} h, {figures['refits']} refits; "
        f"{found.jobs} jobs on {found.hosts} hosts; the interval is ±{figures['interval_half_width_watts']:,.0f} W"
    )
    curves = [_line("frozen", found.comparison.frozen), _line("last refit", found.comparison.last)]
    return "\n".join([*aligned(rows, range(1, 5)), "", about, *curves])


def _line(name: str, fit: Fit) -> str:
    """``frozen: good, a host draws 32.1 W at 0 %, ...``."""
    if fit.curve is None:
        return f"{name}: {fit.verdict}"
    points = ", ".join(f"{fit.curve.watts(u):.1f} W at {u:.0%}" for u in (0.0, 0.05, 0.2, 0.5, 0.9, 1.0))
    reasons = f" ({'; '.join(fit.reasons)})" if fit.reasons else ""
    return f"{name}: {fit.verdict}, a host draws {points}{reasons}"
