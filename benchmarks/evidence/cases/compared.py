"""All strategies on the same pods and servers, with pods that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.drawing import bars
from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import Churned, Run
from benchmarks.evidence.statistics import Mean, mean, percent_over, percent_under

STRATEGIES = (
    "envelope",
    "jump",
    "jump-upstream",
    "least-allocated",
    "most-allocated",
    "round-robin",
    "random",
    "first-come",
    "min-min",
    "max-min",
    "ecsched",
)
LOADS = (0.3, 0.5)


def runs(size: Size) -> Sequence[Run]:
    return [_run(seed, each, load, size) for each in STRATEGIES for load in LOADS for seed in seeds(size.few)]


def _run(seed: int, strategy: str, load: float, size: Size) -> Churned:
    return Churned(Fleet(seed, size.servers), strategy, load, size.few_days)


def report(found: Found, size: Size) -> Report:
    over = {load: {each: _over(found, each, load, size) for each in STRATEGIES} for load in LOADS}
    head = ["strategy"]
    for load in LOADS:
        head += [f"{percent(load)} load: over the bound [%]", "under `least-allocated` [%]", "kWh a day"]
    rows = [[f"`{each}`", *(cell for load in LOADS for cell in _cells(found, each, load, size))] for each in STRATEGIES]
    texts = {"compared.table": table(head, rows), "compared.work": _work(found, size)}
    return Report(texts, {"compared": lambda figure: _draw(figure, over)})


def _over(found: Found, strategy: str, load: float, size: Size) -> Mean:
    every = [found[_run(seed, strategy, load, size)] for seed in seeds(size.few)]
    return mean(percent_over(each["kwh"], each["bound_kwh"]) for each in every)


def _cells(found: Found, strategy: str, load: float, size: Size) -> list[str]:
    pairs = [
        (found[_run(seed, strategy, load, size)], found[_run(seed, "least-allocated", load, size)])
        for seed in seeds(size.few)
    ]
    saved = mean(percent_under(ours["kwh"], default["kwh"]) for ours, default in pairs)
    energy = mean(ours["kwh"] / size.few_days for ours, _ in pairs)
    return [
        str(_over(found, strategy, load, size)),
        "" if strategy == "least-allocated" else str(saved),
        energy.text(0),
    ]


def _work(found: Found, size: Size) -> str:
    """How far the core-hours of a strategy are from those of the first one [%], at most, and pods left over."""
    apart, left = 0.0, 0.0
    for load in LOADS:
        for seed in seeds(size.few):
            first = found[_run(seed, STRATEGIES[0], load, size)]["core_hours"]
            every = [found[_run(seed, each, load, size)] for each in STRATEGIES]
            apart = max(apart, *(abs(100.0 * (each["core_hours"] / first - 1.0)) for each in every))
            left += sum(each["unscheduled"] for each in every)
    return f"differ by at most {apart:.2f} %; {left:.0f} pods were left over"


def _draw(figure: Any, over: dict[float, dict[str, Mean]]) -> None:
    for axes, (load, found) in zip(figure.subplots(1, 2, sharey=True), over.items(), strict=True):
        bars(axes, found, "energy above the bound [%]")
        axes.set_title(f"{percent(load)} load")
