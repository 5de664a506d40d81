"""Three grid regions, a year, and one region alone: grams instead of watts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.drawing import bars
from benchmarks.evidence.regions import FILES, Year
from benchmarks.evidence.report import Found, Report, Size, seeds, table
from benchmarks.evidence.runs import Run
from benchmarks.evidence.statistics import Mean, mean, percent_over, percent_under

BASELINE = "least-allocated"
STRATEGIES = ("carbon", "carbon-delay", "envelope", BASELINE)
ALONE = ("California",)
FLEETS = {
    "three regions, always on": (False, tuple(FILES)),
    "three regions, may sleep": (True, tuple(FILES)),
    "California alone, may sleep": (True, ALONE),
}


def runs(size: Size) -> Sequence[Run]:
    return [
        Year(seed, each, *FLEETS[name]) for seed in seeds(size.few) for name in FLEETS for each in _strategies(name)
    ]


def _strategies(name: str) -> Sequence[str]:
    """With one region, the cost of ``carbon`` is that of ``envelope`` times one number."""
    return STRATEGIES[1:] if FLEETS[name][1] == ALONE else STRATEGIES


def report(found: Found, size: Size) -> Report:
    rows = [[name, f"`{each}`", *_cells(found, size, each, name)] for name in FLEETS for each in _strategies(name)]
    head = ["servers", "strategy", "t CO2 a year", "under the default [%]", "over the bound [%]"]
    head += ["MWh a year", "under the default [%]", "mean wait [h]"]
    tons = {name: {each: _mean(found, size, each, name, "kg", 1e3) for each in _strategies(name)} for name in FLEETS}
    load = _mean(found, size, BASELINE, "three regions, always on", "load", 0.01).text(0)
    return Report(
        {"carbon.table": table(head, rows), "carbon.load": load}, {"carbon": lambda figure: _draw(figure, tons)}
    )


def _cells(found: Found, size: Size, strategy: str, name: str) -> list[str]:
    def under(what: str) -> str:
        if strategy == BASELINE:
            return ""
        years = ((Year(seed, strategy, *FLEETS[name]), Year(seed, BASELINE, *FLEETS[name])) for seed in seeds(size.few))
        return str(mean(percent_under(found[ours][what], found[default][what]) for ours, default in years))

    tons, energy = (_mean(found, size, strategy, name, what, 1e3) for what in ("kg", "kwh"))
    wait = _mean(found, size, strategy, name, "wait_h")
    return [
        tons.text(2),
        under("kg"),
        str(_over(found, size, strategy, name)),
        energy.text(1),
        under("kwh"),
        f"{wait.value:.1f}",
    ]


def _over(found: Found, size: Size, strategy: str, name: str) -> Mean:
    every = [found[Year(seed, strategy, *FLEETS[name])] for seed in seeds(size.few)]
    return mean(percent_over(each["kg"], each["bound_kg"]) for each in every)


def _mean(found: Found, size: Size, strategy: str, name: str, what: str, unit: float = 1.0) -> Mean:
    return mean(found[Year(seed, strategy, *FLEETS[name])][what] / unit for seed in seeds(size.few))


def _draw(figure: Any, tons: dict[str, dict[str, Mean]]) -> None:
    for axes, (name, found) in zip(figure.subplots(1, len(tons)), tons.items(), strict=True):
        bars(axes, found, "t CO2 a year", 2)
        axes.set_title(name)
