"""Mixed servers, filled once and with pods that come and go: how far above the bound, how far under the default?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.evidence.drawing import lines
from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import LOADS, Churned, Filled, Run
from benchmarks.evidence.statistics import Mean, mean, percent_over, percent_under

STRATEGIES = ("envelope", "jump", "least-allocated")
LONG = ("envelope", "least-allocated")
"""Those of a whole week and of many servers."""
HEAD = ["", *(f"{percent(load)} load" for load in LOADS)]


def runs(size: Size) -> Sequence[Run]:
    filled = [Filled(Fleet(seed, size.servers), each) for seed in seeds(size.seeds) for each in STRATEGIES]
    many = [Filled(Fleet(seed, size.many), each) for seed in seeds(size.few) for each in LONG]
    exact = [Filled(Fleet(seed, size.servers, belief="true"), "envelope") for seed in seeds(size.seeds)]
    churned = [churn(seed, each, load, size) for seed in seeds(size.seeds) for each in LONG for load in LOADS]
    return [*many, *churned, *filled, *exact]


def churn(seed: int, strategy: str, load: float, size: Size) -> Churned:
    """A week of pods that come and go."""
    return Churned(Fleet(seed, size.servers), strategy, load, size.days)


def report(found: Found, size: Size) -> Report:
    filled = {each: _filled(found, each, size.servers, size.seeds) for each in STRATEGIES}
    exact = _filled(found, "envelope", size.servers, size.seeds, "true")
    many = {each: _filled(found, each, size.many, size.few) for each in LONG}
    churned = {each: [_churned(found, each, load, size) for load in LOADS] for each in LONG}
    saved = [_saved(found, load, size) for load in LOADS]
    possible = [_saved(found, load, size, "bound_kwh") for load in LOADS]
    rows = [["`envelope`, true curves", *exact], *([f"`{each}`", *filled[each]] for each in STRATEGIES)]
    texts = {
        "placed.filled": table(HEAD, [_bound_watts(found, size), *rows]),
        "placed.many": table(HEAD, [[f"`{each}`", *many[each]] for each in LONG]),
        "placed.churned": table(
            HEAD,
            [
                *([f"`{each}`", *churned[each]] for each in LONG),
                ["**`envelope` under `least-allocated`**", *saved],
                ["the bound under `least-allocated`", *possible],
                ["saved by `envelope` [W]", *(_watts(found, load, size).text(0) for load in LOADS)],
            ],
        ),
        "placed.aims": _aims(exact, filled["envelope"], churned["envelope"], saved, possible),
        "placed.work": _work(found, size),
        "placed.worst": f"{max(each.value for each in churned['envelope']):.1f} %",
        "placed.saved": _by_load(saved),
    }
    panels = (("filled once", filled), ("a week of pods that come and go", churned))
    return Report(texts, {"placed": lambda figure: _draw(figure, panels)})


def _by_load(means: list[Mean]) -> str:
    return ", ".join(f"{each.value:.0f} % at {percent(load)} load" for load, each in zip(LOADS, means, strict=True))


def _filled(found: Found, strategy: str, count: int, number: int, belief: str = "fitted") -> list[Mean]:
    every = [found[Filled(Fleet(seed, count, belief=belief), strategy)] for seed in seeds(number)]
    return [
        mean(percent_over(each[f"watts {load:.0%}"], each[f"bound {load:.0%}"]) for each in every) for load in LOADS
    ]


def _bound_watts(found: Found, size: Size) -> list[str]:
    every = [found[Filled(Fleet(seed, size.servers), "envelope")] for seed in seeds(size.seeds)]
    return ["the bound [W]", *(mean(each[f"bound {load:.0%}"] for each in every).text(0) for load in LOADS)]


def _churned(found: Found, strategy: str, load: float, size: Size) -> Mean:
    every = [found[churn(seed, strategy, load, size)] for seed in seeds(size.seeds)]
    return mean(percent_over(each["kwh"], each["bound_kwh"]) for each in every)


def _saved(found: Found, load: float, size: Size, what: str = "kwh") -> Mean:
    return _paired(found, load, size, lambda ours, default: percent_under(ours[what], default["kwh"]))


def _watts(found: Found, load: float, size: Size) -> Mean:
    hours = 24.0 * size.days
    return _paired(found, load, size, lambda ours, default: 1000.0 * (default["kwh"] - ours["kwh"]) / hours)


def _paired(found: Found, load: float, size: Size, compare: Callable[[Any, Any], float]) -> Mean:
    """Over seeds: the same servers and pods with ``envelope`` and with the default."""
    pairs = [[found[churn(seed, each, load, size)] for each in LONG] for seed in seeds(size.seeds)]
    return mean(compare(pair[0], pair[-1]) for pair in pairs)


def _work(found: Found, size: Size) -> str:
    """The largest difference in core-hours between strategies [%], and the pods that were left over."""
    each = [[found[churn(seed, s, load, size)] for s in LONG] for seed in seeds(size.seeds) for load in LOADS]
    hours = [[one["core_hours"] for one in some] for some in each]
    apart = max(100.0 * (max(some) / min(some) - 1.0) for some in hours)
    left = sum(one["unscheduled"] for some in each for one in some)
    return f"differ by at most {apart:.2f} %, and {left:.0f} pods were left over"


def _aims(exact: list[Mean], filled: list[Mean], churned: list[Mean], saved: list[Mean], possible: list[Mean]) -> str:
    def row(aim: str, got: Mean, limit: float, *, most: bool) -> list[object]:
        return [aim, f"{got} %", "yes" if (got.value <= limit if most else got.value >= limit) else "**no**"]

    def worst(means: list[Mean]) -> Mean:
        return max(means, key=lambda each: each.value)

    saving = [
        row(f"a week: at least 22 % under `least-allocated` at {percent(load)} load", saved[i], 22.0, most=False)
        for i, load in enumerate(LOADS)
        if load in (0.3, 0.5)
    ]
    within = [
        row("filled once: at most 1.5 % over the bound at every load, true curves", worst(exact), 1.5, most=True),
        row("the same with fitted models", worst(filled), 1.5, most=True),
        row("a week: at most 2.5 % over the bound at every load", worst(churned), 2.5, most=True),
    ]
    most = [
        [f"the most that any placement could have saved at {percent(LOADS[i])} load", f"{possible[i]} %", ""]
        for i in (1, 2)
    ]
    return table(["aim", "measured (the worst load)", "reached"], [*within, *saving, *most])


def _draw(figure: Any, panels: Sequence[tuple[str, dict[str, list[Mean]]]]) -> None:
    for axes, (title, found) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        lines(axes, [100 * load for load in LOADS], found)
        axes.set(title=title, xlabel="load [% of all threads]", ylim=(0, None))
    figure.axes[0].set_ylabel("power above the bound [%]")
    figure.axes[0].legend(frameon=False)
