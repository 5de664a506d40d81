"""The least CO2: never above what any placement causes, and reached where the best one is known by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.simulation import carbon_bound
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.case import Case, Placement, Replay
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.simulation.replay import replay
from tests.support.examples import examples
from tests.support.small_cases import case, cases, job, moments, straight, watts_at

HOUR = 3600.0


def grid_of(*grams: float) -> CarbonIntensity:
    """[g/kWh] hour by hour."""
    return CarbonIntensity(HOUR * np.arange(len(grams)), np.array(grams))


@st.composite
def greener_cases(draw: st.DrawFn) -> Case:
    """Cases whose nodes are in up to three regions; their intensity changes every minute or so."""
    made_up = draw(cases())
    grid = {}
    for region in ("", "north", "south"):
        times = sorted(draw(st.sets(st.integers(0, 900), min_size=1, max_size=6)))
        grid[region] = CarbonIntensity(
            np.array(times, np.float64), np.array([float(draw(st.integers(0, 900))) for _ in times])
        )
    cluster = [replace(node, region=draw(st.sampled_from(tuple(grid)))) for node in made_up.nodes]
    return replace(made_up, nodes=cluster, grid=grid)


def thrown(given_: Case, shares: list[float], where: list[int]) -> Replay:
    """Each job somewhere and at any time that its deadline allows, whatever room there is."""
    placements = []
    for each, share, i in zip(given_.jobs, shares, where, strict=True):
        start = each.arrival_s + share * (0.0 if each.node else each.slack_s)
        node = each.node or given_.nodes[i % len(given_.nodes)].name
        placements.append(Placement(each, node, start, start + each.duration_s))
    return Replay(replace(given_, outages=()), sorted(placements, key=lambda each: each.start_s), (), 0, 0.0)


def kilograms(done: Replay) -> float:
    """CO2 counted moment by moment."""
    grid = done.case.grid
    changes = [time for each in grid.values() for time in each.times.tolist()]
    return sum(
        watts_at(node, done.placements, done.case.outages, middle)
        * (end - start)
        * grid[node.region].at(middle)
        / 3.6e9
        for start, end in pairwise(moments(done.case, done.placements, changes))
        for middle in [(start + end) / 2]
        for node in done.case.nodes
    )


@settings(max_examples=examples(30))
@given(greener_cases())
def test_co2_is_what_a_script_counts_and_the_bound_is_not_above_it(made_up: Case) -> None:
    done = replay(made_up)
    counted = measure(done).kpis
    assert counted.co2_kg == pytest.approx(kilograms(done), rel=1e-9, abs=1e-15)
    assert counted.co2_bound_kg is not None
    assert counted.co2_bound_kg <= kilograms(done) * (1.0 + 1e-9) + 1e-15


@settings(max_examples=examples(40))
@given(greener_cases(), st.data())
def test_work_that_waits_anyhow_within_its_deadlines_is_never_cleaner_than_the_bound(
    made_up: Case, data: st.DataObject
) -> None:
    count = len(made_up.jobs)
    shares = data.draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))
    where = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    done = thrown(replace(made_up, strategy="carbon-delay"), shares, where)
    least = measure(done).kpis.co2_bound_kg
    assert least is not None
    assert least <= kilograms(done) * (1.0 + 1e-9) + 1e-15


@settings(max_examples=examples(20))
@given(greener_cases(), st.data())
def test_neither_where_slots_and_lines_are_put_together(made_up: Case, data: st.DataObject) -> None:
    count = len(made_up.jobs)
    shares = data.draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))
    done = thrown(replace(made_up, strategy="carbon-delay"), shares, list(range(count)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carbon_bound, "MOST_SLOTS", 3)
        patch.setattr(carbon_bound, "MOST_LINES", 3)
        least = measure(done).kpis.co2_bound_kg
    assert least is not None
    assert least <= kilograms(done) * (1.0 + 1e-9) + 1e-15


# --- by hand --------------------------------------------------------------------------------------------------------


def counted(start: float, *grams: float, slack: float = 0.0) -> Kpis:
    """An hour of 5 of 10 cores from ``start``, which came at 0; the node draws 100 to 200 W."""
    waits = replace(job("a", 0.0, HOUR, 5.0), slack_s=slack)
    given_ = replace(case([straight()], [waits]), grid={"": grid_of(*grams)}, strategy="carbon-delay")
    return measure(Replay(given_, [Placement(waits, "one", start, start + HOUR)], (), 1, 0.0)).kpis


def test_an_hours_work_is_best_done_in_the_clean_hour() -> None:
    # idle in the dirty hour, 0.1 kW at 400; 0.15 kW at 100 in the clean one
    best, worse = counted(HOUR, 400.0, 100.0, slack=HOUR), counted(HOUR, 400.0, 100.0, 900.0, slack=2 * HOUR)
    assert best.co2_kg == pytest.approx(0.055)
    assert [each.co2_bound_kg for each in (best, worse)] == pytest.approx([0.055, 0.055], rel=1e-6)


def test_late_work_could_have_been_done_in_the_hour_that_was_clean() -> None:
    # as it was 0.1 kW at 100 and 0.15 kW at 400; at best 0.15 kW at 100 and 0.1 kW at 400
    late = counted(HOUR, 100.0, 400.0, slack=HOUR)
    assert (late.co2_kg, late.co2_bound_kg) == pytest.approx((0.070, 0.055), rel=1e-6)


def test_work_without_slack_could_only_have_been_elsewhere() -> None:
    # 0.1 kW at 100 and 0.15 kW at 400; on the clean node 0.15 kW at 100 and 0.1 kW at 400
    both = [replace(straight("clean"), region="green"), straight("dirty")]
    work = replace(job("a", 0.0, HOUR, 5.0), node="dirty")
    given_ = replace(case(both, [work]), grid={"": grid_of(400.0), "green": grid_of(100.0)})
    found = measure(replay(given_)).kpis
    assert (found.co2_kg, found.co2_bound_kg) == pytest.approx((0.070, 0.055))
