"""What a replay cost: against arithmetic by hand, and against a script that looks at every moment by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.case import Case, Placement, Replay
from peaks_scheduler.simulation.cluster import Outage
from peaks_scheduler.simulation.energy import compared, measure
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.simulation.replay import replay
from tests.support.examples import examples
from tests.support.small_cases import case, cases, job, joules, moments, straight, use_at

HOUR = 3600.0
CEILING = Ceiling(cpu=0.5)


def kpis(given_: Case) -> Kpis:
    return measure(replay(given_)).kpis


# --- whatever the case ----------------------------------------------------------------------------------------------


@settings(max_examples=examples(40))
@given(cases())
def test_energy_is_what_a_script_counts_from_the_placements(made_up: Case) -> None:
    done = replay(made_up)
    assert measure(done).kpis.energy_kwh == pytest.approx(joules(made_up, done.placements) / 3.6e6, rel=1e-9)


@settings(max_examples=examples(40))
@given(cases())
def test_the_bound_is_never_above_it_and_with_a_ceiling_never_below_that_without(made_up: Case) -> None:
    counted = kpis(replace(made_up, ceiling=CEILING))
    assert counted.bound_kwh <= counted.energy_kwh * (1.0 + 1e-9)
    assert counted.bound_kwh <= counted.bound_ceiling_kwh * (1.0 + 1e-9)


@settings(max_examples=examples(40))
@given(cases())
def test_work_delivered_and_work_lost_are_all_the_work_that_was_wanted(made_up: Case) -> None:
    done = replay(made_up)
    wanted = sum(
        use_at(each, (start + end) / 2) * (end - start)
        for start, end in pairwise(moments(made_up, done.placements))
        for each in done.placements
    )
    counted = measure(done).kpis
    assert counted.core_hours + counted.core_hours_lost == pytest.approx(wanted / HOUR, abs=1e-9)
    assert min(counted.core_hours, counted.core_hours_lost) >= -1e-12


# --- by hand --------------------------------------------------------------------------------------------------------


def test_half_a_node_for_an_hour_at_half_its_way_from_100_to_200_watts_is_0_15_kilowatt_hours() -> None:
    counted = kpis(case([straight()], [job("a", 0.0, HOUR, 5.0)]))
    assert (counted.energy_kwh, counted.core_hours, counted.makespan_s) == pytest.approx((0.15, 5.0, HOUR))


def test_a_node_that_may_sleep_draws_its_standby_power_before_and_after_its_pods() -> None:
    # 10 W for the first half hour, 120 W with two of ten cores in use for the second
    sleepy = replace(straight(), standby_watts=10.0)
    counted = kpis(case([sleepy], [job("a", HOUR / 2, HOUR / 2, 2.0)]))
    assert counted.energy_kwh == pytest.approx(0.005 + 0.060)
    assert counted.machine_switches == 1


def test_a_node_that_failed_draws_nothing() -> None:
    both = [straight(), straight("other", idle=500.0, full=900.0)]
    # the other one is idle at 500 W for half of the hour
    counted = kpis(replace(case(both, [job("a", 0.0, HOUR, 5.0)]), outages=[Outage("other", 0.0, HOUR / 2)]))
    assert counted.energy_kwh == pytest.approx(0.15 + 0.25)


def test_use_in_steps_counts_as_it_changes() -> None:
    # 10 cores for a quarter of an hour, then 2: 200 W and 120 W
    steps = replace(job("a", 0.0, HOUR, 1.0), usage=((0.0, 10.0), (HOUR / 4, 2.0)))
    assert kpis(case([straight()], [steps])).energy_kwh == pytest.approx(0.050 + 0.090)


def test_pods_that_want_more_than_the_node_has_share_it_and_the_rest_is_lost() -> None:
    # each requests 1 and wants 10 of 10 cores: each gets half of what it wants
    counted = kpis(case([straight()], [job("a", 0.0, HOUR, 1.0, 10.0), job("b", 0.0, HOUR, 1.0, 10.0)]))
    assert (counted.energy_kwh, counted.core_hours, counted.core_hours_lost) == pytest.approx((0.2, 10.0, 10.0))


def test_the_part_of_a_job_that_ran_on_a_node_that_failed_is_lost() -> None:
    given_ = replace(case([straight()], [job("a", 0.0, HOUR, 4.0)]), outages=[Outage("one", HOUR / 2, HOUR)])
    counted = kpis(given_)
    assert (counted.core_hours, counted.core_hours_lost) == pytest.approx((4.0, 2.0))
    assert (counted.turnaround_s, counted.mean_slowdown, counted.wait_s) == pytest.approx((2 * HOUR, 2.0, 0.0))


def test_carbon_is_power_times_the_intensity_of_the_moment_in_the_nodes_region() -> None:
    # 0.15 kW: half an hour at 100 g/kWh and half an hour at 300; 0.1 kW for an hour at 50 elsewhere
    grid = {
        "": CarbonIntensity(np.array([-500.0, HOUR / 2]), np.array([100.0, 300.0])),
        "north": CarbonIntensity(np.array([0.0]), np.array([50.0])),
    }
    both = [straight(), replace(straight("idle", 11.0), region="north")]
    pinned = replace(job("a", 0.0, HOUR, 5.0), node="one")
    counted = kpis(replace(case(both, [pinned]), grid=grid))
    assert counted.co2_kg == pytest.approx(0.0075 + 0.0225 + 0.005)
    assert counted.average_ci == pytest.approx(1000.0 * 0.035 / 0.25)


def test_without_a_grid_carbon_is_not_counted() -> None:
    counted = kpis(case([straight()], [job("a", 0.0, HOUR)]))
    assert (counted.co2_kg, counted.co2_bound_kg, counted.average_ci) == (None, None, None)


def test_the_price_of_a_kilowatt_hour_makes_the_cost() -> None:
    done = replay(case([straight()], [job("a", 0.0, HOUR, 5.0)]))
    assert measure(done, 0.4).kpis.cost == pytest.approx(0.06)


def test_savings_are_counted_from_todays_scheduler() -> None:
    one = measure(replay(case([straight()], [job("a", 0.0, HOUR, 5.0)])))
    usual = replace(one, kpis=replace(one.kpis, strategy="least-allocated", energy_kwh=0.20))
    assert [each.kpis.saving_vs_default_percent for each in compared([one, usual])] == pytest.approx([25.0, 0.0])
    assert compared([one])[0].kpis.saving_vs_default_percent is None


def test_a_replay_in_which_nothing_ran_cost_nothing() -> None:
    counted = measure(Replay(case([straight()], []), [], [], 0, 0.0)).kpis
    assert (counted.energy_kwh, counted.bound_kwh, counted.over_bound_percent) == (0.0, 0.0, 0.0)


def test_a_pod_that_stands_idle_keeps_its_node_awake() -> None:
    sleepy = replace(straight(), standby_watts=10.0)
    given_ = case([sleepy], [job("a", 0.0, HOUR, 1.0, 0.0)])
    placed = [Placement(given_.jobs[0], "one", 0.0, HOUR)]
    counted = measure(Replay(given_, placed, [], 1, 0.0)).kpis
    assert (counted.energy_kwh, counted.bound_kwh) == pytest.approx((0.1, 0.01))
