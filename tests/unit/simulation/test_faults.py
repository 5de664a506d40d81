"""Faults of a simulated cluster: nodes that fail and come back, load that does not arrive, and the words for them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.case import LOAD_WATCHER, PERFECT, LoadView
from peaks_scheduler.simulation.cluster import Outage, SimulatedNode
from peaks_scheduler.simulation.faults import Faults, joined, outages, parse_faults, span_of
from peaks_scheduler.simulation.load_views import parse_load_view
from peaks_scheduler.simulation.words import seconds
from peaks_scheduler.simulation.workload import Job

HOUR, DAY = 3600.0, 86400.0


def nodes(count: int) -> list[SimulatedNode]:
    return [SimulatedNode(f"n{i}", 8.0, 1024.0, Linear(50.0, 100.0)) for i in range(count)]


def drawn(count: int, seed: int = 1) -> tuple[Outage, ...]:
    return outages(nodes(count), mtbf_s=10.0 * DAY, mttr_s=HOUR, span_s=365.0 * DAY, seed=seed)


def of(node: str, found: tuple[Outage, ...]) -> list[Outage]:
    return [outage for outage in found if outage.node == node]


# --- outages ----------------------------------------------------------------------------------------------------------


def test_nodes_fail_as_often_and_as_long_as_was_asked() -> None:
    found = drawn(200)
    # a renewal process: about span / (mtbf + mttr) each, with a variance of at most that many
    expected = 200 * 365.0 / (10.0 + 1.0 / 24.0)
    assert len(found) == pytest.approx(expected, abs=5.0 * math.sqrt(expected))
    mean = sum(outage.end_s - outage.start_s for outage in found) / len(found)
    assert mean == pytest.approx(HOUR, rel=5.0 / math.sqrt(len(found)))


def test_times_to_repair_are_exponential() -> None:
    lengths = [outage.end_s - outage.start_s for outage in drawn(200)]
    longer = sum(length > HOUR for length in lengths) / len(lengths)
    # exp(-1) of them are longer than the mean, to five standard errors
    assert longer == pytest.approx(math.exp(-1.0), abs=5.0 * 0.5 / math.sqrt(len(lengths)))


def test_a_node_fails_only_while_it_is_up() -> None:
    found = outages(nodes(3), mtbf_s=HOUR, mttr_s=HOUR, span_s=30.0 * DAY, seed=1)
    pairs = [pair for each in nodes(3) for pair in pairwise(of(each.name, found))]
    assert len(pairs) > 500
    assert all(before.end_s < after.start_s for before, after in pairs)


def test_outages_come_in_order_and_begin_within_the_span() -> None:
    found = drawn(20)
    assert list(found) == sorted(found, key=lambda outage: (outage.start_s, outage.node))
    assert 0.0 < found[0].start_s < found[-1].start_s < 365.0 * DAY


def test_the_outages_of_a_node_do_not_depend_on_the_others() -> None:
    assert of("n1", drawn(2)) == of("n1", drawn(20))


def test_the_seed_decides_what_fails() -> None:
    assert drawn(2) == drawn(2)
    assert drawn(2) != drawn(2, seed=2)


def test_the_span_reaches_to_the_end_of_the_last_job() -> None:
    jobs = [Job("long", 0.0, 500.0, 1.0, 1.0, 1.0), Job("late", 300.0, 100.0, 1.0, 1.0, 1.0)]
    assert span_of(jobs) == 500.0
    assert span_of([]) == 0.0


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_words_say_what_fails() -> None:
    found = parse_faults("nodes:mtbf=30d&mttr=1h + load:from=2d&for=1h")
    assert found == Faults(30.0 * DAY, HOUR, ((2.0 * DAY, 2.0 * DAY + HOUR),))


def test_no_word_is_no_fault() -> None:
    assert parse_faults("").outages(nodes(3), 1e9, 1) == ()
    assert parse_faults("").view(PERFECT) == PERFECT


def test_a_gap_counts_in_the_view_of_the_load() -> None:
    view = parse_faults("load:for=1h").view(LoadView(gaps=((1800.0, 7200.0),)))
    assert view == LoadView(gaps=((0.0, 7200.0),))


def test_gaps_that_touch_are_one() -> None:
    assert joined([(5.0, 6.0), (0.0, 2.0), (2.0, 3.0), (1.0, 1.5)]) == ((0.0, 3.0), (5.0, 6.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node:mtbf=30d&mttr=1h", "did you mean 'nodes'"),
        ("nodes:mtbf=30d", "`mttr="),
        ("nodes:mtbf=30&mttr=1h", "a duration with its unit"),
        ("nodes:mtbf=1s&mttr=1h", "at least 60 s"),
        ("nodes:mtbf=1h&mttr=0s", "at least"),
        ("nodes:mtbf=-1h&mttr=1h", "a duration with its unit"),
        ("nodes:mtbf=1h&mttr=1h+nodes:mtbf=1h&mttr=1h", "once"),
        ("load:from=2d", "`for="),
        ("load:form=2d&for=1h", "did you mean 'for'"),
    ],
)
def test_a_fault_that_is_none_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_faults(text)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("perfect", PERFECT),
        ("load-watcher", LOAD_WATCHER),
        ("load-watcher:window=5m&interval=30s&delay=10s", LoadView(300.0, 30.0, 10.0)),
        ("load-watcher:delay=1m30s", LoadView(delay_s=90.0)),
        ("metrics-server", LoadView(30.0)),
        ("prometheus:interval=1m", LoadView(300.0, 60.0)),
    ],
)
def test_a_word_stands_for_a_view_of_the_load(text: str, view: LoadView) -> None:
    assert parse_load_view(text) == view


@pytest.mark.parametrize("text", ["", "perfekt", "perfect:window=1s", "load-watcher:windw=5m", "load-watcher:window=5"])
def test_a_view_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"`perfect`|window|a duration"):
        parse_load_view(text)


@pytest.mark.parametrize(("text", "value"), [("90s", 90.0), ("1h30m", 5400.0), ("30d", 30.0 * DAY), ("1.5h", 5400.0)])
def test_a_duration_has_its_unit(text: str, value: float) -> None:
    assert seconds(text) == value
