"""The two claims of the Peaks proposal: about 10 % on two nodes, about 12 % on ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.drawing import STYLES, lines
from benchmarks.evidence.fleets import measured_servers
from benchmarks.evidence.report import Found, Report, Size, percent, seeds, table
from benchmarks.evidence.runs import Run
from benchmarks.evidence.small import TENTHS, TWO_LINES, Pair, Ten, packed, spread
from benchmarks.evidence.statistics import Mean, mean, number, percent_over, percent_under

STRATEGIES = ("envelope", "jump", "jump-upstream", "least-allocated")
CLAIMED_TWO, CLAIMED_TEN = 10.0, 12.0
SHOWN = (0.2, 0.4, 0.6, 0.8, 0.9)
AT = 0.6


def runs(size: Size) -> Sequence[Run]:
    pairs = [Pair(seed, each) for seed in [None, *seeds(size.draws)] for each in STRATEGIES]
    return [*pairs, *(Ten(TWO_LINES, each) for each in STRATEGIES)]


def report(found: Found, size: Size) -> Report:
    head = [
        "",
        "saved, models of the proposal's nodes [%]",
        f"saved, {size.draws} pairs of measured servers [%]",
        "pairs with at least 10 %",
        "over the bound, pairs [%]",
    ]
    rows = [[f"`{each}`", *_two(found, size, each)] for each in STRATEGIES[:-1]]
    ten = {each: [_saved(found, each, load) for load in TENTHS] for each in STRATEGIES}
    real = [percent_under(packed(server.curve, AT), spread(server.curve, AT)) for server in measured_servers()]
    texts = {
        "proposal.two": table(head, [*rows, ["the bound", *_bound(found, size), ""]]),
        "proposal.ten": _ten_table(ten),
        "proposal.real": _real(real),
        "proposal.convex": f"{sum(each < 0.0 for each in real)} of {len(real)}",
    }
    return Report(texts, {"proposal": lambda figure: _draw(figure, ten, real)})


def _two(found: Found, size: Size, strategy: str) -> list[object]:
    saved = [_saving(found, seed, strategy) for seed in seeds(size.draws)]
    over = mean(_over(found, seed, strategy) for seed in seeds(size.draws))
    return [f"{_saving(found, None, strategy):.1f}", mean(saved), _count(saved, CLAIMED_TWO), over]


def _bound(found: Found, size: Size) -> list[object]:
    published, *saved = (
        percent_under(found[Pair(seed, "envelope")]["bound_kwh"], found[Pair(seed, "least-allocated")]["kwh"])
        for seed in [None, *seeds(size.draws)]
    )
    return [f"{published:.1f}", mean(saved), _count(saved, CLAIMED_TWO)]


def _count(saved: Sequence[float], least: float) -> str:
    return f"{sum(each >= least for each in saved)} of {len(saved)}"


def _saving(found: Found, seed: int | None, strategy: str) -> float:
    return percent_under(found[Pair(seed, strategy)]["kwh"], found[Pair(seed, "least-allocated")]["kwh"])


def _over(found: Found, seed: int, strategy: str) -> float:
    ours = found[Pair(seed, strategy)]
    return percent_over(ours["kwh"], ours["bound_kwh"])


def _saved(found: Found, strategy: str, load: float) -> float:
    return percent_under(found[Ten(TWO_LINES, strategy)][f"watts {load:.0%}"], spread(TWO_LINES, load))


def _ten_table(ten: dict[str, list[float]]) -> str:
    shown = [TENTHS.index(load) for load in SHOWN]
    claim: list[object] = ["packed, by arithmetic"]
    claim += [f"{percent_under(packed(TWO_LINES, load), spread(TWO_LINES, load)):.1f}" for load in SHOWN]
    rows = [[f"`{each}`", *(number(saved[i]) for i in shown)] for each, saved in ten.items()]
    return table(["", *(f"{percent(load)} load" for load in SHOWN)], [claim, *rows])


def _real(real: Sequence[float]) -> str:
    reaching, losing = sum(each >= CLAIMED_TEN for each in real), sum(each < 0.0 for each in real)
    middle = sorted(real)[len(real) // 2]
    return (
        f"on {reaching} of {len(real)} this saves at least {CLAIMED_TEN:.0f} %, in the median {middle:.1f} %, "
        f"and on {losing} it costs power"
    )


def _draw(figure: Any, ten: dict[str, list[float]], real: Sequence[float]) -> None:
    left, right = figure.subplots(1, 2)
    loads = [100 * load for load in TENTHS]
    arithmetic = [percent_under(packed(TWO_LINES, load), spread(TWO_LINES, load)) for load in TENTHS]
    left.plot(loads, arithmetic, color="0.8", linewidth=6, label="packed, by arithmetic")
    lines(left, loads, {each: [Mean(value) for value in saved] for each, saved in ten.items()})
    left.set(title="ten equal nodes, two lines", xlabel="load [%]", ylabel="power saved [%]", ylim=(-1, 17))
    left.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    right.hist(real, bins=24, color="0.8", edgecolor="black", linewidth=0.8)
    right.axvline(CLAIMED_TEN, linewidth=1.2, **{key: STYLES[0][key] for key in ("color",)}, linestyle="--")
    right.annotate(
        "claimed", (CLAIMED_TEN, 0.93), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points"
    )
    right.set(
        title=f"ten equal measured servers at {percent(AT)} load", xlabel="saved by packing [%]", ylabel="servers"
    )
