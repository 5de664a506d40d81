"""When a pod that can wait starts: clean hours, as many of them as have room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.carbon_planner import CarbonPlanner
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.workload import Job
from tests.support.examples import examples
from tests.support.small_cases import straight

HOUR = 3600.0


def starts(intensity: CarbonIntensity, jobs: Sequence[Job]) -> list[float]:
    """Planned starts [s] on one node of 8 cores whose power is a straight line, known exactly."""
    node = straight("a", cores=8.0)
    models = PowerModels({"a": PowerModel("a", node.curve)})
    planner = CarbonPlanner(Case([node], jobs, "carbon-delay", models), {"": intensity})
    return [planner.start_of(job) for job in jobs]


def hourly(*grams: float) -> CarbonIntensity:
    return CarbonIntensity(np.arange(len(grams)) * HOUR, np.array(grams))


def waiting(name: str, cores: float = 1.0, arrival: float = 0.0, life: float = HOUR, slack: float = 5 * HOUR) -> Job:
    return Job(name, arrival, life, cores, 1.0, cores, slack_s=slack)


@settings(max_examples=examples(40))
@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=30),
    st.integers(0, 10 * 60),
    st.integers(0, 10 * 60),
    st.integers(1, 300),
)
def test_a_lonely_pod_starts_within_its_slack_at_almost_the_least_carbon(
    grams: list[int], arrival: int, slack: int, life: int
) -> None:
    grid, first, last = hourly(*grams), arrival * 60.0, (arrival + slack) * 60.0
    (start,) = starts(grid, [waiting("a", arrival=first, life=life * 60.0, slack=slack * 60.0)])
    candidates = [first, last, *(hour * HOUR for hour in range(25) if first <= hour * HOUR <= last)]
    least = min(sum(grid.at(each + 60.0 * minute) for minute in range(life)) for each in candidates)
    assert first <= start <= last
    assert sum(grid.at(start + 60.0 * minute) for minute in range(life)) <= 1.01 * least * (1.0 + 1e-9)


def test_pods_do_not_all_start_in_the_cleanest_hour_when_only_eight_of_them_have_room_there() -> None:
    planned = starts(hourly(300.0, 50.0, 100.0, 300.0, 300.0, 300.0), [waiting(f"pod-{i}") for i in range(12)])
    assert Counter(planned) == {HOUR: 8, 2 * HOUR: 4}


def test_no_pod_waits_for_next_to_nothing() -> None:
    assert starts(hourly(100.0, 99.5, 99.4), [waiting("a")]) == [0.0]


def test_an_hour_that_is_only_empty_because_its_pods_have_not_come_yet_is_not_waited_for() -> None:
    come = [waiting(f"pod-{i}", arrival=600.0 * i, life=HOUR) for i in range(30)]
    assert starts(hourly(100.0), come) == [job.arrival_s for job in come]
