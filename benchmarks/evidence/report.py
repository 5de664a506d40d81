"""What a case is, and how it is told: runs before, tables and drawings after. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .runs import Figures, Run

Found = Mapping[Run, Figures]
"""What every run has measured."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run. Seeds count from 1."""

    seeds: int = 5
    few: int = 3
    """Seeds of the longest runs."""
    draws: int = 30
    """Of clusters that take next to no time."""
    servers: int = 50
    many: int = 500
    days: float = 7.0
    few_days: float = 2.0
    """Of runs whose pods come and go, where there are many of them."""


FULL = Size()
SMALL = Size(seeds=2, few=1, draws=1, servers=6, many=8, days=0.1, few_days=0.1)
"""To see that it works."""


@dataclass(frozen=True, slots=True)
class Report:
    """``texts`` take the places of the same names in the template; ``drawings`` are files, each a function that draws
    on a matplotlib figure."""

    texts: Mapping[str, str]
    drawings: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One section of the document."""

    name: str
    runs: Callable[[Size], Sequence[Run]]
    report: Callable[[Found, Size], Report]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(share: float) -> str:
    return f"{100.0 * share:.0f} %"


def seeds(count: int) -> range:
    return range(1, count + 1)


def seed_of(run: Run) -> int:
    """The seed of a run; 0: it has none."""
    seed: int | None = getattr(run, "seed", None) or getattr(getattr(run, "fleet", None), "seed", None)
    return seed or 0
