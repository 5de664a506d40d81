"""Pods that use half of what they request, as most do: requests fill a cluster before use does."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import Churned, Run
from benchmarks.evidence.statistics import mean, percent_over, percent_under

STRATEGIES = ("envelope", "jump", "least-allocated")
LOADS = (0.1, 0.2, 0.3)
USED = 0.5


def runs(size: Size) -> Sequence[Run]:
    return [_run(seed, each, load, size) for load in LOADS for each in STRATEGIES for seed in seeds(size.few)]


def _run(seed: int, strategy: str, load: float, size: Size) -> Churned:
    return Churned(Fleet(seed, size.servers), strategy, load, size.few_days, USED)


def report(found: Found, size: Size) -> Report:
    rows: list[list[object]] = [
        [
            f"`{each}` over the bound",
            *(mean(percent_over(f["kwh"], f["bound_kwh"]) for f in _each(found, each, load, size)) for load in LOADS),
        ]
        for each in STRATEGIES
    ]
    saved = [
        mean(
            percent_under(a["kwh"], b["kwh"])
            for a, b in zip(
                _each(found, "envelope", load, size), _each(found, "least-allocated", load, size), strict=True
            )
        )
        for load in LOADS
    ]
    head = ["", *(f"{percent(load)} used, {percent(load / USED)} requested" for load in LOADS)]
    return Report({"requests.table": table(head, [*rows, ["**`envelope` under `least-allocated`**", *saved]])})


def _each(found: Found, strategy: str, load: float, size: Size) -> list[dict[str, float]]:
    return [found[_run(seed, strategy, load, size)] for seed in seeds(size.few)]
