"""Many pods within one window of the loads' averages: what does it cost that loads are late?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evidence.fleets import Fleet
from benchmarks.evidence.report import Found, Report, Size, seeds, table
from benchmarks.evidence.runs import Burst, Run
from benchmarks.evidence.statistics import Mean, mean, percent_over

STRATEGIES = ("envelope", "jump", "jump-upstream")
USES = {"pods use what they request": 1.0, "pods use half of it on average": 0.5}
MOST = 1.1


def runs(size: Size) -> Sequence[Run]:
    return [
        Burst(Fleet(seed, size.servers), each, perfect, used)
        for used in USES.values()
        for each in STRATEGIES
        for perfect in (False, True)
        for seed in seeds(size.seeds)
    ]


def report(found: Found, size: Size) -> Report:
    head = [
        "",
        "over the bound, loads as reported [%]",
        "over the bound, perfect knowledge [%]",
        "energy over perfect knowledge",
    ]
    rows = [
        [
            f"`{each}`, {name}",
            *(_over(found, size, each, perfect, used) for perfect in (False, True)),
            _ratio(found, size, each, used).text(3),
        ]
        for name, used in USES.items()
        for each in STRATEGIES
    ]
    worst = max((_ratio(found, size, "envelope", used) for used in USES.values()), key=lambda each: each.value)
    verdict = "reached" if worst.value <= MOST else "**missed**"
    return Report({"burst.table": table(head, rows), "burst.aim": f"{worst.text(3)} times, {verdict}"})


def _over(found: Found, size: Size, strategy: str, perfect: bool, used: float) -> Mean:
    every = [found[Burst(Fleet(seed, size.servers), strategy, perfect, used)] for seed in seeds(size.seeds)]
    return mean(percent_over(each["kwh"], each["bound_kwh"]) for each in every)


def _ratio(found: Found, size: Size, strategy: str, used: float) -> Mean:
    fleets = [Fleet(seed, size.servers) for seed in seeds(size.seeds)]
    late, known = (
        [found[Burst(fleet, strategy, perfect, used)]["kwh"] for fleet in fleets] for perfect in (False, True)
    )
    return mean(a / b for a, b in zip(late, known, strict=True))
