"""Pauses between tries: growing, bounded, and short again after a while of calm."""

from __future__ import annotations

import pytest

from peaks_scheduler.kube.backoff import Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def steady(clock: Clock) -> Backoff:
    """Without jitter: half of it is the middle."""
    return Backoff(first=1.0, longest=5.0, calm=60.0, clock=clock, jitter=lambda: 0.5)


def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    backoff = steady(clock)
    assert [backoff.pause() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_after_a_while_of_calm_the_first_pause_is_short_again(clock: Clock) -> None:
    backoff = steady(clock)
    assert [backoff.pause(), backoff.pause()] == [1.0, 2.0]
    clock.now += 2.0 + 60.5
    assert backoff.pause() == 1.0


def test_a_success_for_a_moment_is_no_calm(clock: Clock) -> None:
    backoff = steady(clock)
    assert backoff.pause() == 1.0
    clock.now += 30.0
    assert backoff.pause() == 2.0


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.5), (1.0, 1.5)])
def test_pauses_differ_by_half_either_way(jitter: float, pause: float) -> None:
    assert Backoff(first=1.0, jitter=lambda: jitter).pause() == pause


def test_a_server_may_ask_for_more(clock: Clock) -> None:
    assert steady(clock).pause(least=7.0) == 7.0
    assert steady(clock).pause(least=0.1) == 1.0
