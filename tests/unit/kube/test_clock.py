"""The offset of the API server's clock, from Date headers; the two Kubernetes time formats."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from peaks_scheduler.kube.clock import ServerClock, micro_time, whole_time


def watched(offset: float, moments: list[float], latency: float = 0.02) -> ServerClock:
    """A clock that saw an answer at each of ``moments`` [s, ours] from a server that is ``offset`` [s] ahead."""
    clock = ServerClock()
    for moment in moments:
        # Date is cut to whole seconds of the server's clock, half the latency after the request was sent
        date = formatdate(int(moment + latency / 2 + offset), usegmt=True)
        clock.note(date, moment, moment + latency)
    return clock


def test_before_the_first_answer_nothing_is_known() -> None:
    assert ServerClock().offset is None


@pytest.mark.parametrize("offset", [0.0, 0.4, -0.7, 42.3, -3600.0])
def test_one_answer_is_good_to_a_second(offset: float) -> None:
    assert watched(offset, [1_800_000_000.37]).offset == pytest.approx(offset, abs=0.6)


@pytest.mark.parametrize("offset", [0.0, 0.4, -0.7, 42.3])
def test_many_answers_are_good_to_the_latency(offset: float) -> None:
    clock = watched(offset, [1_800_000_000 + 0.137 * i for i in range(100)])
    assert clock.offset == pytest.approx(offset, abs=0.1)
    assert clock.uncertainty < 0.1


def test_a_clock_that_was_set_is_noticed() -> None:
    clock = watched(0.0, [1_800_000_000 + 0.1 * i for i in range(50)])
    clock.note(formatdate(1_800_000_100 + 30, usegmt=True), 1_800_000_100, 1_800_000_100.02)
    assert clock.offset == pytest.approx(30, abs=0.6)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_an_answer_without_a_usable_date_teaches_nothing(date: str | None) -> None:
    clock = ServerClock()
    clock.note(date, 0.0, 1.0)
    assert clock.offset is None


def test_times_are_written_as_kubernetes_reads_them() -> None:
    assert micro_time(1_800_000_000.25) == "2027-01-15T08:00:00.250000Z"
    assert whole_time(1_800_000_000.25) == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Wed, 99 Foo 99999 99:99:99 GMT",
        "Wed, 21 Oct 2026 07:28:00 +999999999999",
        "1e300",
        "\x00",
    ],
)
def test_a_date_that_no_clock_shows_is_rejected_and_reported(date: str) -> None:
    clock = watched(0.4, [1_800_000_000.37])
    before = clock.offset
    clock.note(date, 1_800_000_001.0, 1_800_000_001.02)
    assert clock.offset == before
    assert clock.rejected_date == date
    clock.note(formatdate(1_800_000_002, usegmt=True), 1_800_000_002.0, 1_800_000_002.02)
    assert clock.rejected_date == ""
