"""Which readings count. The numbers of medians are worked out by hand, or by the statistics module."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.sources.sensors.plausible import Judge, Judged, _without_each
from peaks_scheduler.sources.sensors.source import Reading
from tests.support.builders import NOW

HOUR = 3600.0


def readings(signal: str, values: Mapping[str, float], time: float = NOW) -> dict[str, dict[str, Reading]]:
    return {node: {signal: Reading(value, time, "a sensor")} for node, value in values.items()}


def reasons(judged: Judged, signal: str = "inlet") -> dict[str, str]:
    return {node: marks[signal].reason for node, marks in judged.marks.items() if signal in marks}


def judged(signal: str, racks: Mapping[str, str] | None = None, **values: float) -> dict[str, str]:
    return reasons(Judge().judge(readings(signal, values), racks), signal)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not-a-number"),
        (float("inf"), "not-a-number"),
        (-128.0, "no-reading"),
        (255.0, "no-reading"),
        (0.0, "no-reading"),
        (-41.0, "out-of-range"),
        (126.0, "out-of-range"),
    ],
)
def test_what_no_working_thermometer_says_is_marked(value: float, reason: str) -> None:
    assert judged("inlet", a=value, b=21.0, c=22.0) == {"a": reason}


@pytest.mark.parametrize("value", [-40.0, 0.5, 21.0, 45.0])
def test_what_a_room_can_have_counts(value: float) -> None:
    assert judged("inlet", a=value) == {}


def test_zero_counts_in_a_cold_room() -> None:
    assert judged("inlet", a=0.0, b=1.0, c=-2.0) == {}


def test_zero_everywhere_is_a_failure_of_all_sensors() -> None:
    assert set(judged("cpu1", a=0.0, b=0.0)) == {"a", "b"}


def test_several_zeros_are_seen_beside_others() -> None:
    assert set(judged("inlet", a=0.0, b=0.0, c=0.0, d=22.0)) == {"a", "b", "c"}


def test_a_pressure_may_be_zero_or_255_and_not_that_of_the_atmosphere() -> None:
    assert judged("deltaP", a=0.0, b=255.0, c=101_325.0) == {"c": "out-of-range"}


def test_of_a_signal_without_a_unit_only_numbers_are_asked() -> None:
    assert judged("price", a=-500.0, b=float("nan")) == {"b": "not-a-number"}


def test_an_inlet_far_from_its_neighbours_is_marked() -> None:
    assert judged("inlet", a=22.0, b=23.0, c=24.0, d=54.0) == {"d": "disagrees"}


def test_an_inlet_just_30_kelvin_away_counts() -> None:
    assert judged("inlet", a=22.0, b=23.0, c=24.0, d=53.0) == {}


def test_two_neighbours_are_too_few_to_disagree_with() -> None:
    assert judged("inlet", a=22.0, b=23.0, d=54.0) == {}


def test_only_nodes_that_share_their_air_are_neighbours() -> None:
    racks = {"a": "r1", "b": "r1", "c": "r1", "d": "r1", "e": "r2", "f": "r2", "g": "r2", "h": "r2"}
    warm_aisle = {"e": 56.0, "f": 56.0, "g": 57.0, "h": 24.0}
    assert judged("inlet", racks, a=22.0, b=23.0, c=24.0, d=22.0, **warm_aisle) == {"h": "disagrees"}


def test_a_node_without_the_label_is_compared_with_all_nodes() -> None:
    racks = {"a": "r1", "b": "r1", "c": "r1", "d": ""}
    assert judged("inlet", racks, a=22.0, b=23.0, c=24.0, d=60.0) == {"d": "disagrees"}


def test_a_hot_cpu_disagrees_with_nobody() -> None:
    assert judged("cpu1", a=30.0, b=31.0, c=32.0, d=90.0) == {}


def test_a_nonsensical_neighbour_is_nobodys_neighbour() -> None:
    # three others of d would be needed; two have values that count
    assert set(judged("inlet", a=22.0, b=23.0, c=255.0, d=54.0)) == {"c"}


def test_what_does_not_count_is_left_out_and_the_rest_of_the_node_stays() -> None:
    its = {"a": {"inlet": Reading(255.0, NOW, "x"), "cpu1": Reading(40.0, NOW, "y")}}
    assert Judge().judge(its).values == {"a": {"cpu1": Reading(40.0, NOW, "y")}}


# -- a value that never moves


def after(hours: float, inlet: float = 22.0, rise: float = 2.0, judge: Judge | None = None) -> dict[str, str]:
    """The reasons after so many hours in which ``a`` gave 22 again and again, while the room rose by ``rise`` [K]."""
    judge = judge or Judge()
    judge.judge(readings("inlet", {"a": 22.0, "b": 22.0, "c": 23.0, "d": 24.0}))
    late = {"a": inlet, "b": 22.0 + rise, "c": 23.0 + rise, "d": 24.0 + rise}
    return reasons(judge.judge(readings("inlet", late, NOW + hours * HOUR)))


def test_an_inlet_that_stood_still_for_six_hours_while_the_room_warmed_is_frozen() -> None:
    assert after(6.0) == {"a": "frozen"}


def test_five_hours_are_not_enough() -> None:
    assert after(5.0) == {}


def test_a_room_that_stood_still_freezes_nobody() -> None:
    assert after(24.0, rise=1.9) == {}


def test_an_inlet_that_moved_a_little_is_alive() -> None:
    assert after(6.0, inlet=22.1) == {}


def test_a_frozen_inlet_that_moves_again_counts_again() -> None:
    judge = Judge()
    assert after(6.0, judge=judge) == {"a": "frozen"}
    thawed = judge.judge(readings("inlet", {"a": 24.0, "b": 24.0, "c": 25.0, "d": 26.0}, NOW + 6.1 * HOUR))
    assert thawed.marks == {}


def test_one_reading_that_is_missed_does_not_count_the_hours_anew() -> None:
    judge, racks = Judge(), dict.fromkeys("abcd", "r1")
    judge.judge(readings("inlet", {"a": 22.0, "b": 22.0, "c": 23.0, "d": 24.0}), racks)
    judge.judge(readings("inlet", {"b": 22.0, "c": 23.0, "d": 24.0}, NOW + 3 * HOUR), racks)
    late = readings("inlet", {"a": 22.0, "b": 24.0, "c": 25.0, "d": 26.0}, NOW + 6 * HOUR)
    assert reasons(judge.judge(late, racks)) == {"a": "frozen"}


def test_a_node_that_was_gone_begins_its_hours_anew() -> None:
    judge, racks = Judge(), dict.fromkeys("abcd", "r1")
    judge.judge(readings("inlet", {"a": 22.0, "b": 22.0, "c": 23.0, "d": 24.0}), racks)
    judge.judge(readings("inlet", {"b": 22.0, "c": 23.0, "d": 24.0}, NOW + 3 * HOUR), dict.fromkeys("bcd", "r1"))
    late = readings("inlet", {"a": 22.0, "b": 24.0, "c": 25.0, "d": 26.0}, NOW + 6 * HOUR)
    assert reasons(judge.judge(late, racks)) == {}


def test_the_room_need_not_be_warm_at_the_end() -> None:
    judge = Judge()
    for hours, rise in ((0.0, 0.0), (3.0, 4.0), (6.0, 0.0)):
        room = {"a": 22.0, "b": 22.0 + rise, "c": 23.0 + rise, "d": 24.0 + rise}
        found = judge.judge(readings("inlet", room, NOW + hours * HOUR))
    assert reasons(found)["a"] == "frozen"


def test_a_constant_is_never_frozen_and_disagrees_with_nobody() -> None:
    judge = Judge()
    for hours, rise in ((0.0, 0.0), (7.0, 4.0)):
        room = readings("inlet", {"b": 62.0 + rise, "c": 63.0 + rise, "d": 64.0 + rise}, NOW + hours * HOUR)
        said = {"a": {"inlet": Reading(22.0, NOW + hours * HOUR, "sensors.values", constant=True)}}
        found = judge.judge({**room, **said})
    assert found.marks == {}


@given(st.lists(st.integers(-40, 125).map(float), min_size=4, max_size=9))
def test_the_median_without_oneself_is_the_median_of_the_others(values: list[float]) -> None:
    expected = [statistics.median(values[:i] + values[i + 1 :]) for i in range(len(values))]
    assert _without_each(np.array(values)).tolist() == expected
