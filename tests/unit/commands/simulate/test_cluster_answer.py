"""What the cluster costs a month: the table, the interval, and why nothing is to be gained.

Expected figures are worked out by hand: a day of 24 h is 730 / 24 of a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from peaks_scheduler.commands.simulate.cluster.answer import answer, estimate
from peaks_scheduler.commands.simulate.cluster.reasons import Facts, facts_of
from peaks_scheduler.power.curves import Curve, Exponential, Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.simulation.workload import Job

DAY = 24.0


def kpis(strategy: str, kwh: float, *, bound: float = 0.0, **more: object) -> Kpis:
    plain = Kpis(
        strategy=strategy,
        pods=10,
        unscheduled=0,
        core_hours=100.0,
        energy_kwh=kwh,
        bound_kwh=bound,
        bound_ceiling_kwh=bound,
        over_bound_percent=0.0,
        saving_vs_default_percent=None,
        average_ci=None,
        co2_kg=None,
        cost=None,
        wait_s=0.0,
        turnaround_s=1.0,
        decision_us=1.0,
        mean_slowdown=1.0,
        makespan_s=86_400.0,
        machine_switches=0,
        core_hours_lost=0.0,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def runs(strategy: str, *kwh: float, bound: float = 0.0, **more: object) -> Sequence[Kpis]:
    return [kpis(strategy, each, bound=bound, **more) for each in kwh]


def cells(text: str, strategy: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(strategy))


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_day_becomes_a_month() -> None:
    """24 kWh a day are 730 kWh a month; 12 kWh less are half."""
    text = answer([runs("least-allocated", 24.0), runs("envelope", 12.0)], DAY)
    assert cells(text, "least-allocated")[:2] == ["least-allocated", "730"]
    assert cells(text, "envelope") == ["envelope", "365", "365", "50.0%"]


def test_todays_scheduler_comes_first() -> None:
    text = answer([runs("envelope", 12.0), runs("least-allocated", 24.0)], DAY)
    assert text.splitlines()[1].startswith("least-allocated")


def test_the_interval_is_that_of_one_more_run() -> None:
    """Three runs 9, 10, 11: mean 10, s = 1, t(2 degrees) = 4.303, sqrt(1 + 1/3) = 1.1547: 10 +- 4.969."""
    found = estimate([9.0, 10.0, 11.0])
    assert (found.mean, found.low, found.high) == pytest.approx((10.0, 5.0314, 14.9686), abs=1e-3)


def test_a_single_run_has_no_interval() -> None:
    text = answer([runs("least-allocated", 24.0), runs("envelope", 12.0)], DAY)
    assert "interval" not in text


def test_what_all_strategies_share_is_not_in_the_interval_of_the_saving() -> None:
    """The runs differ by 10 kWh, the savings not at all: each is 1 kWh a day, 30.4 a month."""
    text = answer([runs("least-allocated", 20.0, 30.0), runs("envelope", 19.0, 29.0)], DAY)
    assert "30.4 .. 30.4" in text


def test_money_and_carbon_stand_there_where_they_were_counted() -> None:
    text = answer([runs("least-allocated", 24.0, cost=6.0, co2_kg=12.0)], DAY)
    assert cells(text, "least-allocated")[-2:] == ["182", "365"]


def test_without_a_price_there_is_no_money() -> None:
    text = answer([runs("least-allocated", 24.0), runs("envelope", 12.0)], DAY)
    assert "money" not in text
    assert "CO2" not in text


def test_less_work_stands_in_the_table_and_is_no_saving() -> None:
    lazy = runs("envelope", 12.0, core_hours=50.0, unscheduled=5)
    text = answer([runs("least-allocated", 24.0), lazy], DAY)
    assert cells(text, "envelope")[-2:] == ["50.0%", "5"]
    assert "Not the same work as least-allocated: envelope." in text
    assert "envelope saves" not in text


# --- what to say ------------------------------------------------------------------------------------------------------

FACTS = Facts(alike=False, sleeps=False, staying=0.1, load=0.4, requested=0.5)


def conclusion(rows: Sequence[Sequence[Kpis]], facts: Facts | None = FACTS) -> str:
    return answer(rows, DAY, facts).splitlines()[-1]


def test_a_saving_is_told_beside_what_any_placement_could_save() -> None:
    """Of 24 kWh any placement could save 12, which is 50 %."""
    told = conclusion([runs("least-allocated", 24.0, bound=12.0), runs("envelope", 18.0, bound=12.0)])
    assert told.startswith("envelope saves 182 kWh a month, 25.0%, against least-allocated")
    assert "no placement could save more than 50.0% (365 kWh a month)" in told


def test_a_saving_within_the_interval_is_none() -> None:
    """+1 and -0.8 kWh: the mean is above 0, the interval is not."""
    told = conclusion([runs("least-allocated", 24.0, 24.0, bound=20.0), runs("envelope", 23.0, 24.8, bound=20.0)])
    assert told.startswith("Nothing is to be gained that is certain: the differences between the strategies are within")


NONE = [runs("least-allocated", 24.0, bound=23.99), runs("envelope", 24.0, bound=23.99)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (replace(FACTS, alike=True), "always on, and a core in use costs the same on every node"),
        (replace(FACTS, staying=0.95), "95% of the CPU time belongs to pods that cannot be moved"),
        (replace(FACTS, load=0.92), "the nodes are full (92%)"),
        (replace(FACTS, load=0.02), "only 2.0% of the CPUs are in use"),
        (FACTS, "almost as good as the best"),
    ],
)
def test_why_nothing_is_to_be_gained(facts: Facts, why: str) -> None:
    assert why in conclusion(NONE, facts)


def test_a_certain_saving_that_is_next_to_nothing_is_called_so() -> None:
    """0.1 kWh of 24 is certain where all runs save it; no placement could save more than 0.5 %."""
    told = conclusion([runs("least-allocated", 24.0, 24.0, bound=23.88), runs("envelope", 23.9, 23.9, bound=23.88)])
    assert told.startswith("Next to nothing is to be gained: today's placement is already almost as good as the best.")


def test_pods_that_stay_are_named_where_a_better_placement_would_exist() -> None:
    rows = [runs("least-allocated", 24.0, bound=12.0), runs("envelope", 24.0, bound=12.0)]
    assert "cannot be moved" in conclusion(rows, replace(FACTS, staying=0.97))


def test_a_strategy_that_saves_carbon_and_no_energy_is_told() -> None:
    """2 kg a day are 60.8 a month."""
    dirty, clean = (
        runs(name, 24.0, bound=20.0, co2_kg=kg) for name, kg in (("least-allocated", 10.0), ("carbon", 8.0))
    )
    assert "carbon saves 60.8 kg of CO2 a month." in conclusion([dirty, clean])


def test_without_todays_scheduler_the_first_strategy_is_compared_with() -> None:
    told = conclusion([runs("most-allocated", 24.0), runs("envelope", 12.0)])
    assert "against most-allocated" in told


# --- facts ------------------------------------------------------------------------------------------------------------


def nodes(*curves: Curve, cores: float = 10.0) -> list[SimulatedNode]:
    return [SimulatedNode(f"worker-{i}", cores, 1024.0, curve) for i, curve in enumerate(curves)]


def job(name: str, cores: float, node: str = "", *, requested: float = 2.0, duration: float = 100.0) -> Job:
    return Job(name, 0.0, duration, requested, 0.0, cores, node=node)


def test_nodes_with_one_slope_are_alike_whatever_they_draw_idle() -> None:
    assert facts_of(nodes(Linear(50.0, 150.0), Linear(80.0, 180.0)), [job("a", 1.0)]).alike


@pytest.mark.parametrize("other", [Linear(50.0, 170.0), Exponential(471.7, -91.5, -7.186)])
def test_nodes_with_another_slope_or_a_bend_are_not(other: Curve) -> None:
    assert not facts_of(nodes(Linear(50.0, 150.0), other), [job("a", 1.0)]).alike


def test_two_equal_nodes_with_a_bend_are_not_alike_for_a_core_costs_less_on_one_that_is_busy() -> None:
    bent = Exponential(471.7, -91.5, -7.186)
    assert not facts_of(nodes(bent, bent), [job("a", 1.0)]).alike


def test_load_and_what_stays_are_shares_of_cpu_time() -> None:
    """20 cores for 100 s; 3 cores of use for all of it and 2 for half of it: 400 of 2000. Staying: 100 of 400."""
    found = facts_of(
        nodes(Linear(1.0, 2.0), Linear(1.0, 2.0)), [job("a", 3.0), job("b", 2.0, "worker-1", duration=50.0)]
    )
    assert (found.load, found.staying) == pytest.approx((0.2, 0.25))
    assert found.requested == pytest.approx((200.0 + 100.0) / 2000.0)
