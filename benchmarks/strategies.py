"""The study of strategies: excess of the total power over the least of any placement, on servers that were measured.

Owns which cases are run and how the results are named. Either the true curves are known exactly, or models are fitted
to a few noisy samples, errors of the fit included, as ``peaks-scheduler fit`` would write them. Strategies that use no
power model are run once. ``benchmarks.study`` has the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks import BenchmarkError
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from benchmarks.study import rules, runs, servers
from benchmarks.study.runs import Case, churned, filled
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.scheduling.scoring.strategies import Strategy

PART = "strategies"
COUNT = 50  # servers in each cluster
TRUE, FITTED, WISHES = "true curves", "fitted curves", "fitted curves and pods that like even zones"
CEILINGS = {f"true curves, ceiling {share:.0%}": Ceiling(cpu=share) for share in (0.7, 0.8, 0.9)}
FLEETS = {"one kind of server": 1, "three kinds of servers": 3}
FILLED, CHURNED = "filled", "pods come and go"
UNITS: dict[str, tuple[str, Better]] = {
    f"{how}, {known}, {load:.0%} load": ("% over the bound", "lower")
    for how in (FILLED, CHURNED)
    for known in (TRUE, FITTED, WISHES, *CEILINGS, *FLEETS)
    for load in runs.LOADS
}
LIMITS = {TRUE: 1.5, FITTED: 3.0, **dict.fromkeys(FLEETS, 1.5)}  # [%]

Over = dict[str, dict[str, float]]
"""[%] by strategy and name of the figure."""


def missing() -> str:
    """What the study lacks; empty: it can be run."""
    return "" if servers.data_file() else f"PEAKS_TEST_DATA names no folder of measured data with {servers.FILE} in it"


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Run every strategy on every cluster, one round a cluster. Raises BenchmarkError where there is no data."""
    file = servers.data_file()
    if file is None:
        raise BenchmarkError(f"strategies: {missing()}")
    every = servers.read(file)
    rounds = []
    for seed in range(plan.seed, plan.seed + plan.clusters):
        say(f"strategies: cluster {seed}, {COUNT} of {len(every)} servers")
        churn = seed < plan.seed + plan.churns
        over = study(_cases(servers.drawn(every, COUNT, seed), seed), churn=churn)
        for known, kinds in FLEETS.items():
            fleet = servers.fleet(every, kinds, COUNT, seed)
            for name, found in study(_fleet_cases(known, fleet, seed), churn=churn).items():
                over[name] |= found
        rounds.append(over)
    names = [each.name for each in (*rules.BY_POWER, *rules.BY_SHARE)]
    figures = [figure for name in names for figure in gather(PART, name, [each[name] for each in rounds], UNITS)]
    return figures, _aims(figures)


def study(cases: Iterable[tuple[str, Case]], *, churn: bool = False) -> Over:
    """Run every strategy on one cluster."""
    over: Over = {}
    for known, case in cases:
        found = over.setdefault(case.strategy.name, {})
        found |= _told(FILLED, known, filled(case))
        if churn and known != WISHES:
            found |= _told(CHURNED, known, (churned(case, load) for load in runs.LOADS))
    return over


def _cases(drawn: Sequence[servers.Server], seed: int) -> Iterator[tuple[str, Case]]:
    exact, fitted = servers.known_exactly(drawn), servers.fitted(drawn, seed)
    by_power: tuple[Strategy, ...] = rules.BY_POWER
    for strategy in by_power:
        yield TRUE, Case(drawn, exact, strategy, seed)
        yield FITTED, Case(drawn, fitted, strategy, seed)
        yield WISHES, Case(drawn, fitted, strategy, seed, runs.EVEN_ZONES)
    for known, ceiling in CEILINGS.items():
        yield known, Case(drawn, exact, rules.BY_POWER[0], seed, ceiling=ceiling)
    for strategy in rules.BY_SHARE:
        yield TRUE, Case(drawn, EMPTY, strategy, seed)


def _fleet_cases(known: str, fleet: Sequence[servers.Server], seed: int) -> Iterator[tuple[str, Case]]:
    models = servers.by_kind(fleet)
    for strategy in (*rules.BY_POWER, *rules.BY_SHARE):
        yield known, Case(fleet, models, strategy, seed)


def _told(how: str, known: str, over: Iterable[float]) -> dict[str, float]:
    return {f"{how}, {known}, {load:.0%} load": 100 * each for load, each in zip(runs.LOADS, over, strict=True)}


def _aims(figures: Sequence[Figure]) -> list[Aim]:
    """The largest excess of all loads and clusters, against its limit."""
    return [
        Aim(
            f"envelope, {FILLED}, {known}: most over the bound [%]",
            _most(figures, f"{FILLED}, {known},"),
            limit,
            "lower",
        )
        for known, limit in LIMITS.items()
    ]


def _most(figures: Iterable[Figure], name: str) -> float:
    envelope = rules.BY_POWER[0].name
    return max(max(each.values) for each in figures if each.subject == envelope and each.name.startswith(name))
