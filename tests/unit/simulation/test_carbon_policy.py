"""Waiting for a cleaner hour, and what the scheduler is told of the grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.simulation.api_objects import EPOCH, node_object
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.carbon_policy import CarbonSignals, by_region, cleanest_start
from peaks_scheduler.simulation.workload import Job
from tests.support.examples import examples
from tests.support.small_cases import straight

MINUTE, HOUR = 60.0, 3600.0


def grid_of(steps: Mapping[float, float]) -> CarbonIntensity:
    """[g/kWh] by time [s] from which it holds."""
    return CarbonIntensity(np.array(list(steps)), np.array(list(steps.values())))


@st.composite
def intensities(draw: st.DrawFn) -> CarbonIntensity:
    """Changes at whole minutes."""
    times = sorted(draw(st.sets(st.integers(-100, 900), min_size=1, max_size=12)))
    return grid_of({MINUTE * time: float(draw(st.integers(0, 500))) for time in times})


@settings(max_examples=examples(40))
@given(st.lists(intensities(), min_size=1, max_size=3), st.integers(0, 300), st.integers(0, 200), st.integers(1, 100))
def test_the_chosen_start_is_the_earliest_best_of_all_minutes(
    regions: list[CarbonIntensity], arrival: int, slack: int, life: int
) -> None:
    waits = Job("a", MINUTE * arrival, MINUTE * life, 1.0, 1.0, 1.0, slack_s=MINUTE * slack)
    minutes = [MINUTE * minute for minute in range(arrival, arrival + slack + 1)]
    areas = [min(sum(each.at(start + MINUTE * k) for k in range(life)) for each in regions) for start in minutes]
    assert cleanest_start(regions, waits) == minutes[areas.index(min(areas))]


def test_a_job_waits_for_the_hour_in_which_all_of_it_is_clean() -> None:
    waits = Job("a", 600.0, HOUR, 1.0, 1.0, 1.0, slack_s=5 * HOUR)
    assert cleanest_start([grid_of({0.0: 300.0, 2 * HOUR: 50.0, 4 * HOUR: 300.0})], waits) == 2 * HOUR


def test_where_nothing_is_gained_it_starts_at_once() -> None:
    waits = Job("a", 700.1, 333.3, 1.0, 1.0, 1.0, slack_s=5 * HOUR)
    assert cleanest_start([grid_of({0.0: 123.4, HOUR: 123.4, 2 * HOUR: 200.0})], waits) == 700.1


def told(ledger: Ledger, signal: str) -> list[float]:
    values = ledger.snapshot().signals[signal]
    assert values is not None
    return list(values)


def test_the_scheduler_is_told_the_intensity_of_each_nodes_region_now_and_in_the_hours_to_come() -> None:
    both = [replace(straight("a"), region="north"), straight("b")]
    grid = {"north": grid_of({0.0: 100.0, HOUR: 300.0}), "": grid_of({0.0: 50.0})}
    ledger, signals = Ledger(), CarbonSignals(both, grid)
    for node in both:
        ledger.see_node(node_object(node))
    ledger.now = EPOCH + HOUR / 2
    signals.tell(ledger, HOUR / 2)
    assert told(ledger, "carbonIntensity") == [100.0, 50.0]
    # half an hour at 100 and half an hour at 300; then 5.5 of 6 hours at 300
    assert told(ledger, "carbonIntensity/1h") == pytest.approx([200.0, 50.0])
    assert told(ledger, "carbonIntensity/6h") == pytest.approx([(0.5 * 100.0 + 5.5 * 300.0) / 6.0, 50.0])


def test_a_node_that_came_back_is_told_of_again() -> None:
    node = straight("a")
    ledger, signals = Ledger(), CarbonSignals([node], {"": grid_of({0.0: 50.0})})
    ledger.see_node(node_object(node))
    signals.tell(ledger, 1.0)
    ledger.drop_node("a")
    ledger.see_node(node_object(node))
    signals.tell_again()
    signals.tell(ledger, 2.0)
    assert told(ledger, "carbonIntensity") == [50.0]


def test_a_region_without_intensity_is_named() -> None:
    with pytest.raises(SimulationError, match="'south'"):
        by_region([replace(straight(), region="south")], {"north": grid_of({0.0: 1.0})})
