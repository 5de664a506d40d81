"""Models that are wrong: how much of the saving is left?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.drawing import bars
from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import LOADS, Churned, Filled, Run
from benchmarks.evidence.statistics import Mean, mean, percent_over, percent_under

BELIEFS = {
    "true curves": "true",
    "fitted, 2 % noise": "fitted",
    "5 % wrong": "wrong 5",
    "10 % wrong": "wrong 10",
    "20 % wrong": "wrong 20",
    "two models swapped": "swapped",
    "a tenth without a model": "unmodelled",
}
LOAD = 0.3
DRAWN = (0.3, 0.7)


def runs(size: Size) -> Sequence[Run]:
    filled = [Filled(fleet, "envelope") for belief in BELIEFS.values() for fleet in _fleets(size.seeds, belief, size)]
    default = [Filled(fleet, "least-allocated") for fleet in _fleets(size.seeds, "fitted", size)]
    churned = [
        _churn(fleet, "envelope", size) for belief in BELIEFS.values() for fleet in _fleets(size.few, belief, size)
    ]
    return [
        *churned,
        *(_churn(fleet, "least-allocated", size) for fleet in _fleets(size.few, "fitted", size)),
        *filled,
        *default,
    ]


def _fleets(number: int, belief: str, size: Size) -> list[Fleet]:
    return [Fleet(seed, size.servers, belief=belief) for seed in seeds(number)]


def _churn(fleet: Fleet, strategy: str, size: Size) -> Churned:
    return Churned(fleet, strategy, LOAD, size.few_days)


def report(found: Found, size: Size) -> Report:
    filled = {name: _filled(found, belief, size) for name, belief in BELIEFS.items()}
    rows = [[name, *filled[name], *_churned(found, belief, size)] for name, belief in BELIEFS.items()]
    head = [
        "models",
        *(f"{percent(load)} load" for load in LOADS),
        f"pods come and go, {percent(LOAD)} load",
        "that, under `least-allocated`",
    ]
    return Report({"wrong.table": table(head, rows)}, {"wrong": lambda figure: _draw(figure, filled)})


def _filled(found: Found, belief: str, size: Size) -> list[Mean]:
    every = [found[Filled(fleet, "envelope")] for fleet in _fleets(size.seeds, belief, size)]
    return [
        mean(percent_over(each[f"watts {load:.0%}"], each[f"bound {load:.0%}"]) for each in every) for load in LOADS
    ]


def _churned(found: Found, belief: str, size: Size) -> list[Mean]:
    ours = [found[_churn(fleet, "envelope", size)] for fleet in _fleets(size.few, belief, size)]
    default = [found[_churn(fleet, "least-allocated", size)] for fleet in _fleets(size.few, "fitted", size)]
    over = mean(percent_over(each["kwh"], each["bound_kwh"]) for each in ours)
    return [over, mean(percent_under(a["kwh"], b["kwh"]) for a, b in zip(ours, default, strict=True))]


def _draw(figure: Any, filled: dict[str, list[Mean]]) -> None:
    for axes, load in zip(figure.subplots(1, 2, sharey=True), DRAWN, strict=True):
        bars(axes, {name: means[LOADS.index(load)] for name, means in filled.items()}, "power above the bound [%]")
        axes.set_title(f"{percent(load)} load")
