"""Measured figures: their tables, their file, and the comparison of two files.

A figure has a name, a unit, a subject (the scheduler or variant that was measured) and one value for each round. Knows
nothing about what was measured. Pure, apart from ``save`` and ``load``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import BenchmarkError
from peaks_scheduler.text.table import aligned, column_widths

FORMAT = 1
Better = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity."""

    part: str
    name: str
    unit: str
    subject: str
    values: tuple[float, ...]
    """One for each round."""
    better: Better = "lower"

    @property
    def middle(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.part, self.name, self.subject


@dataclass(frozen=True, slots=True)
class Aim:
    """A limit for one value, and the measured value."""

    text: str
    value: float
    limit: float
    better: Better

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.better == "higher" else self.value <= self.limit

    def line(self) -> str:
        verdict, sign = "met   " if self.met else "MISSED", ">=" if self.better == "higher" else "<="
        return f"{verdict}  {self.text}: {_number(self.value)} (aim {sign} {_number(self.limit)})"


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    about: Mapping[str, Any]
    """Time, machine, commit, sizes and seed."""
    figures: tuple[Figure, ...]
    aims: tuple[Aim, ...]

    def figure(self, part: str, name: str, subject: str) -> Figure | None:
        return next((each for each in self.figures if each.key == (part, name, subject)), None)


def gather(
    part: str, subject: str, rounds: Sequence[Mapping[str, float]], units: Mapping[str, tuple[str, Better]]
) -> list[Figure]:
    """Make figures of rounds of named values. ``units``: name -> (unit, which way is better), in order of display."""
    present = [name for name in units if any(name in each for each in rounds)]
    return [
        Figure(
            part, name, units[name][0], subject, tuple(each[name] for each in rounds if name in each), units[name][1]
        )
        for name in present
    ]


# --- the file -------------------------------------------------------------------------------------------------------


def save(results: Results, file: Path) -> None:
    whole = {
        "format": FORMAT,
        "about": results.about,
        "figures": [asdict(each) for each in results.figures],
        "aims": [{**asdict(each), "met": each.met} for each in results.aims],
    }
    file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> Results:
    """The results in a file. Raises BenchmarkError for a file without results."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if whole["format"] != FORMAT:
            raise BenchmarkError(f"{file}: expected results of format {FORMAT}, got {whole['format']}: measure again")
        figures = tuple(Figure(**{**each, "values": tuple(each["values"])}) for each in whole["figures"])
        aims = tuple(Aim(*(each[name] for name in ("text", "value", "limit", "better"))) for each in whole["aims"])
        return Results(whole["about"], figures, aims)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{file}: expected results that --output wrote, got {type(error).__name__}: {error}"
        ) from error


# --- tables ---------------------------------------------------------------------------------------------------------


def table(figures: Iterable[Figure]) -> list[str]:
    """A table: a row for each name, a column for each subject, and the ratio of the first two subjects."""
    figures = list(figures)
    subjects = list(dict.fromkeys(each.subject for each in figures))
    rows = [["", *subjects, *([f"{subjects[0]} / {subjects[1]}"] if len(subjects) > 1 else [])]]
    for name in dict.fromkeys(each.name for each in figures):
        found = {each.subject: each for each in figures if each.name == name}
        unit = next(iter(found.values())).unit
        cells = [_cell(found.get(subject)) for subject in subjects]
        rows.append(
            [
                _with_unit(name, unit),
                *cells,
                *([_ratio(*(found.get(s) for s in subjects[:2]))] if len(subjects) > 1 else []),
            ]
        )
    return _with_rule(rows)


def _with_rule(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns: the first to the left, the others to the right, a rule below the header."""
    widths = column_widths(rows)
    header, *lines = aligned(rows, range(1, len(widths)))
    return [header, "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines]


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if len(figure.values) == 1:
        return _number(figure.middle)
    return f"{_number(figure.middle)} ({_number(min(figure.values))}-{_number(max(figure.values))})"


def _ratio(a: Figure | None, b: Figure | None) -> str:
    return "-" if a is None or b is None or not b.middle else f"{a.middle / b.middle:.2f}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


# --- comparing ------------------------------------------------------------------------------------------------------


def comparison(a: Results, b: Results) -> list[str]:
    """A table of the figures that both runs have: a, b, b / a, and a verdict on the difference."""
    ours = {each.key: each for each in b.figures}
    both = [(each, ours[each.key]) for each in a.figures if each.key in ours]
    if not both:
        raise BenchmarkError("the two runs have no figure in common: were different parts measured?")
    rows = [["", "a", "b", "b / a", ""]]
    rows += [
        [f"{x.part}: {_with_unit(x.name, x.unit)}, {x.subject}", _cell(x), _cell(y), _ratio(y, x), _verdict(x, y)]
        for x, y in both
    ]
    return [*_differences(a, b), *_with_rule(rows)]


def _verdict(a: Figure, b: Figure) -> str:
    """``better`` or ``worse`` only if the rounds of the two runs do not overlap."""
    if not a.better:
        return ""
    if len(a.values) < 2 or len(b.values) < 2:
        return "one round: no verdict"
    rises, falls = min(b.values) > max(a.values), max(b.values) < min(a.values)
    if not rises and not falls:
        return "within the spread"
    return "better" if rises == (a.better == "higher") else "worse"


def _differences(a: Results, b: Results) -> list[str]:
    """Lines on machine, versions and plan where the runs differ: they may explain a difference."""
    lines = [f"a: {_origin(a)}", f"b: {_origin(b)}"]
    for what in ("machine", "versions", "plan"):
        before, after = a.about.get(what, {}), b.about.get(what, {})
        names = [
            name for name in before if before[name] != after.get(name) and name not in ("loadAverageBefore", "logs")
        ]
        lines += [f"   {what} differs in {name}: {before[name]} and {after.get(name)}" for name in names]
    return [*lines, ""]


def _origin(results: Results) -> str:
    about = results.about
    before = about.get("machine", {}).get("loadAverageBefore", ["?"])[0]
    return f"commit {about.get('commit') or 'unknown'}, {about.get('started')}, load average before {before}"
