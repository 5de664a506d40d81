"""Two series may measure the same thing twice, or one continues the other, or they are of two machines.

The played series are sampled as Prometheus would: a replica that scrapes 20 s later shows at every instant what was so
20 s before, or a scrape before that.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from peaks_scheduler.sources.power_history.sums import sum_counters, without_small_falls
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.sources.prometheus.replicas import DisagreeError, Likeness, merged, unlike

STEP, SCRAPE = 60.0, 60.0
GRID = Grid(0.0, 8 * 3600.0, STEP)
WATTS, JOULES, CPU = Likeness("gauge", 2.0), Likeness("counter", 2.0), Likeness("counter", 0.0, same_start=True)
Signal = Callable[[float], float]


def busy(phase: float = 0.0) -> Signal:
    return lambda t: 0.485 + 0.435 * math.sin(2 * math.pi * t / 5400.0 + phase)


def watts(idle: float, rise: float, phase: float = 0.0) -> Signal:
    return lambda t: idle + rise * busy(phase)(t)


def total(signal: Signal, begin: float = 0.0) -> Signal:
    """The exact counter of it, by sums over 10 s."""
    fine = np.array([signal(10.0 * i) for i in range(int(GRID.end / 10.0) + 40)])
    sums = np.concatenate([[0.0], np.cumsum(10.0 * fine)])
    return lambda t: begin + float(np.interp(t, 10.0 * np.arange(sums.size), sums))


def seen(signal: Signal, lag: float = 0.0, start: float = 0.0, end: float = GRID.end, **labels: str) -> Series:
    """What a scrape every minute, ``lag`` seconds after the full one, shows at each instant."""
    times = np.array([t for t in GRID.times if start <= t <= end])
    values = [signal(max(0.0, (t - lag) // SCRAPE * SCRAPE + lag)) for t in times]
    return Series(labels, times, np.array(values))


def a(signal: Signal, **how: float) -> Series:
    return seen(signal, prometheus_replica="a", **how)  # type: ignore[arg-type]


def b(signal: Signal, **how: float) -> Series:
    return seen(signal, prometheus_replica="b", **how)  # type: ignore[arg-type]


LAGS = [0.0, 20.0, 45.0]


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize(
    ("signal", "likeness"),
    [(watts(200, 150), WATTS), (total(watts(200, 150), 1e9), JOULES), (total(busy(), 1e6), CPU)],
    ids=["watts", "joules", "CPU seconds"],
)
def test_two_replicas_are_one_however_late_the_second_looks(signal: Signal, likeness: Likeness, lag: float) -> None:
    first = a(signal)
    row = merged([first, b(signal, lag=lag)], GRID, likeness)
    assert row is not None
    # one of them unchanged, not parts of both
    assert any(np.array_equal(row, its.values) for its in (first, b(signal, lag=lag)))


def test_a_sensor_that_is_noisy_is_still_the_same_sensor() -> None:
    noise = np.random.default_rng(1)
    signal = watts(200, 150)
    merged(
        [a(lambda t: signal(t) + noise.normal(0, 3)), b(lambda t: signal(t) + noise.normal(0, 3), lag=20)], GRID, WATTS
    )


OTHERS = {
    "another machine": (watts(200, 150), watts(80, 40, 2.6), WATTS),
    "the same kind of machine with another load": (watts(200, 150), watts(200, 150, 2.6), WATTS),
    "its joules": (total(watts(200, 150)), total(watts(80, 40)), JOULES),
    "joules of the same kind": (total(watts(200, 150)), total(watts(200, 150, 2.6)), JOULES),
    "CPU of another load": (total(busy()), total(busy(2.6)), CPU),
    "CPU of the same load, up for longer": (total(busy(), 1e6), total(busy(), 2e6), CPU),
}


@pytest.mark.parametrize(("mine", "other", "likeness"), OTHERS.values(), ids=list(OTHERS))
def test_two_machines_are_told_apart_and_the_labels_named(mine: Signal, other: Signal, likeness: Likeness) -> None:
    series = [seen(mine, cluster="prod", node="w"), seen(other, cluster="lab", node="w")]
    with pytest.raises(DisagreeError) as caught:
        merged(series, GRID, likeness)
    assert "differ in cluster ('lab', 'prod')" in str(caught.value)
    assert "prometheus.match (--prometheus-match 'cluster=\"lab\"')" in str(caught.value)


def test_two_exporters_that_count_from_their_own_start_agree_by_their_rises() -> None:
    """Kepler counts joules from its own start."""
    signal = watts(200, 150)
    row = merged([seen(total(signal, 5e6), pod="x"), seen(total(signal), pod="y")], GRID, JOULES)
    assert row is not None
    assert np.diff(row).mean() / STEP == pytest.approx(np.mean([signal(t) for t in GRID.times]), rel=0.01)


def test_an_exporter_that_comes_back_as_another_pod_follows_though_its_last_value_lingers() -> None:
    signal = total(watts(200, 150))
    lingering = seen(lambda t: signal(min(t, 4 * 3600.0)), end=4 * 3600.0 + 240.0, pod="old")
    row = merged([lingering, seen(lambda t: signal(t) - signal(4 * 3600.0), start=4 * 3600.0, pod="new")], GRID, JOULES)
    assert row is not None
    assert not np.isnan(row).any()
    assert np.count_nonzero(np.diff(row) < 0.0) == 1


def test_where_one_replica_was_away_the_other_tells() -> None:
    signal = watts(200, 150)
    row = merged([a(signal, end=4 * 3600.0), b(signal, lag=20.0)], GRID, WATTS)
    assert row is not None
    assert not np.isnan(row).any()


def test_a_machine_that_appears_within_the_life_of_another_is_no_successor() -> None:
    other = seen(watts(80, 40, 2.6), start=3600.0, end=3600.0 + 600.0, cluster="lab")
    with pytest.raises(DisagreeError):
        merged([seen(watts(200, 150), cluster="prod"), other], GRID, WATTS)


def test_only_what_a_prometheus_puts_on_all_series_is_told_with_its_values() -> None:
    """Otherwise each of a thousand nodes would have a message of its own."""
    labels = [{"cluster": "a", "instance": "10.0.0.1"}, {"cluster": "b", "instance": "10.1.0.1"}]
    assert unlike(labels) == "cluster ('a', 'b') and instance"


# --- counters that step back ------------------------------------------------------------------------------------------


def test_a_small_step_back_is_no_reset() -> None:
    row = np.array([100.0, 130.0, 129.97, 160.0, 190.0])
    assert without_small_falls(row).tolist() == [100.0, 130.0, 130.0, 160.0, 190.0]


def test_a_reset_stays_one() -> None:
    row = np.array([1000.0, 1030.0, 5.0, 35.0, 34.98, 65.0])
    assert without_small_falls(row).tolist() == [1000.0, 1030.0, 5.0, 35.0, 35.0, 65.0]


def test_a_counter_that_steps_back_every_other_step_loses_nothing_of_its_sum() -> None:
    rises = np.tile([60.0, -0.03], 100)
    row = np.concatenate([[1e6], 1e6 + np.cumsum(rises)])
    whole = sum_counters(np.stack([without_small_falls(row), without_small_falls(row)]))
    assert np.all(np.diff(whole) >= 0.0)
    assert whole[-1] - whole[0] == pytest.approx(2 * (row.max() - row[0]))
