"""How much could be saved at all, by load, and how much of it is: servers that stay on, that sleep, and of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.drawing import STYLES, lines
from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.possible import TENTHS, Possible
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import LOADS, Churned, Filled, Run
from benchmarks.evidence.statistics import Mean, mean, percent_over, percent_under

POSSIBLE = {
    "mixed servers, always on": (0, False),
    "mixed servers that sleep": (0, True),
    "one kind, always on": (1, False),
    "one kind that sleeps": (1, True),
}
SHOWN = (0.1, 0.3, 0.5, 0.7)
STRATEGIES = ("envelope", "jump", "least-allocated")
SLEEP_LOADS = (0.1, 0.3, 0.5)


def runs(size: Size) -> Sequence[Run]:
    bounds: list[Run] = [
        Possible(_fleet(seed, size, *kind)) for kind in POSSIBLE.values() for seed in seeds(size.draws)
    ]
    filled = [
        Filled(_fleet(seed, size, *kind), each)
        for kind in ((1, False), (0, True))
        for each in STRATEGIES
        for seed in seeds(size.seeds)
    ]
    return [*_churns(size), *bounds, *filled]


def _churns(size: Size) -> list[Churned]:
    one = [_churn(_fleet(seed, size, 1), each, 0.3, size) for seed in seeds(size.few) for each in STRATEGIES]
    asleep = [
        _churn(_fleet(seed, size, 0, True), each, load, size)
        for seed in seeds(size.few)
        for each in STRATEGIES
        for load in SLEEP_LOADS
    ]
    return [*asleep, *one]


def _fleet(seed: int, size: Size, kinds: int = 0, sleep: bool = False) -> Fleet:
    return Fleet(seed, size.servers, kinds, sleep)


def _churn(fleet: Fleet, strategy: str, load: float, size: Size) -> Churned:
    return Churned(fleet, strategy, load, size.few_days)


def report(found: Found, size: Size) -> Report:
    possible = {name: _possible(found, size, *kind) for name, kind in POSSIBLE.items()}
    shown = [TENTHS.index(load) for load in SHOWN]
    head = ["", *(f"{percent(load)} load" for load in SHOWN)]
    texts = {
        "possible.table": table(head, [[name, *(means[i] for i in shown)] for name, means in possible.items()]),
        "possible.at-30": _at(possible, 0.3),
        "possible.at-70": _at(possible, 0.7),
        "possible.one": _filled_table(found, size, 1, sleep=False),
        "possible.one-churn": ", ".join(
            f"`{each}` {_over(found, _fleet_of(size, 1), each, 0.3, size)} %" for each in STRATEGIES
        ),
        "possible.sleep": _filled_table(found, size, 0, sleep=True),
        "possible.sleep-churn": _sleep_table(found, size),
    }
    return Report(texts, {"possible": lambda figure: _draw(figure, possible)})


def _at(possible: dict[str, list[Mean]], load: float) -> str:
    on, asleep, *_ = (means[TENTHS.index(load)].value for means in possible.values())
    return f"{on:.0f} % at {percent(load)} load where servers stay on, {asleep:.0f} % where they may sleep"


def _possible(found: Found, size: Size, kinds: int, sleep: bool) -> list[Mean]:
    every = [found[Possible(_fleet(seed, size, kinds, sleep))] for seed in seeds(size.draws)]
    return [mean(each[f"{load:.0%}"] for each in every) for load in TENTHS]


def _fleet_of(size: Size, kinds: int, sleep: bool = False) -> list[Fleet]:
    return [_fleet(seed, size, kinds, sleep) for seed in seeds(size.few)]


def _over(found: Found, fleets: list[Fleet], strategy: str, load: float, size: Size) -> Mean:
    every = [found[_churn(fleet, strategy, load, size)] for fleet in fleets]
    return mean(percent_over(each["kwh"], each["bound_kwh"]) for each in every)


def _filled_table(found: Found, size: Size, kinds: int, *, sleep: bool) -> str:
    fleets = [_fleet(seed, size, kinds, sleep) for seed in seeds(size.seeds)]
    every = {each: [found[Filled(fleet, each)] for fleet in fleets] for each in STRATEGIES}
    rows: list[list[object]] = [
        [
            f"`{each}` over the bound",
            *(mean(percent_over(one[f"watts {load:.0%}"], one[f"bound {load:.0%}"]) for one in some) for load in LOADS),
        ]
        for each, some in every.items()
    ]
    pairs = list(zip(every["envelope"], every["least-allocated"], strict=True))
    saved = [mean(percent_under(a[f"watts {load:.0%}"], b[f"watts {load:.0%}"]) for a, b in pairs) for load in LOADS]
    return table(
        ["", *(f"{percent(load)} load" for load in LOADS)], [*rows, ["**`envelope` under `least-allocated`**", *saved]]
    )


def _sleep_table(found: Found, size: Size) -> str:
    fleets = _fleet_of(size, 0, sleep=True)
    rows: list[list[object]] = [
        [f"`{each}` over the bound", *(_over(found, fleets, each, load, size) for load in SLEEP_LOADS)]
        for each in STRATEGIES
    ]
    saved, turns = [], []
    for load in SLEEP_LOADS:
        ours, default = (
            [found[_churn(fleet, each, load, size)] for fleet in fleets] for each in ("envelope", "least-allocated")
        )
        saved.append(mean(percent_under(a["kwh"], b["kwh"]) for a, b in zip(ours, default, strict=True)))
        turns.append(mean(each["switches"] for each in ours))
    rows.append(["**`envelope` under `least-allocated`**", *saved])
    rows.append(["times a day that a server falls asleep or wakes, `envelope`", *(each.text(2) for each in turns)])
    return table(["", *(f"{percent(load)} load" for load in SLEEP_LOADS)], rows)


def _draw(figure: Any, possible: dict[str, list[Mean]]) -> None:
    axes = figure.subplots()
    lines(axes, [100 * load for load in TENTHS], possible)
    axes.set(xlabel="load [% of all threads]", ylabel="most that can be saved [%]", xlim=(5, 95), ylim=(0, None))
    axes.legend(frameon=False)
    assert len(possible) <= len(STYLES)
