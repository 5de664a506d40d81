"""When a server that fails is asked again. The times follow from 30 s, doubled, up to 10 minutes."""

import pytest

from peaks_scheduler.sources.predictors.circuit import Circuit


def failing(times: int, now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(times):
        circuit.failed(now)
    return circuit


def test_two_failures_in_a_row_change_nothing() -> None:
    assert failing(2).admits(0.0)


@pytest.mark.parametrize(("now", "admitted"), [(0.0, False), (29.9, False), (30.0, True)])
def test_after_three_a_server_rests_for_half_a_minute(now: float, admitted: bool) -> None:
    assert failing(3).admits(now) is admitted


def test_only_one_request_tries_whether_it_is_back() -> None:
    circuit = failing(3)
    assert [circuit.admits(30.0) for _ in range(3)] == [True, False, False]


def test_a_request_that_nobody_hears_of_again_does_not_block_for_ever() -> None:
    circuit = failing(3)
    circuit.admits(30.0)
    assert circuit.admits(60.0)


def test_each_further_pause_is_twice_as_long_up_to_ten_minutes() -> None:
    circuit, now, pauses = failing(3), 0.0, []
    for _ in range(7):
        begun = now
        while not circuit.admits(now):
            now += 1.0
        pauses.append(now - begun)
        circuit.failed(now)
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_requests_that_were_under_way_when_it_opened_make_no_longer_pause() -> None:
    assert failing(50).admits(30.0)


def test_a_success_closes_it() -> None:
    circuit = failing(3)
    circuit.succeeded()
    circuit.failed(1.0)
    assert circuit.admits(1.0)


def test_after_a_success_the_first_pause_is_short_again() -> None:
    circuit = failing(3)
    circuit.admits(30.0)
    circuit.failed(30.0)
    circuit.succeeded()
    for _ in range(3):
        circuit.failed(100.0)
    assert circuit.admits(130.0)


def test_one_part_that_fails_many_times_counts_once() -> None:
    circuit = Circuit()
    for _ in range(10):
        circuit.failed(0.0, "a")
    assert circuit.admits(0.0)


def test_three_parts_that_fail_open_it() -> None:
    circuit = Circuit()
    for part in "abc":
        circuit.failed(0.0, part)
    assert not circuit.admits(0.0)


def test_the_part_that_failed_before_may_be_the_one_that_tries() -> None:
    circuit = Circuit()
    for part in "abc":
        circuit.failed(0.0, part)
    circuit.admits(30.0)
    circuit.failed(35.0, "a")
    assert not circuit.admits(94.9)
    assert circuit.admits(95.0)
