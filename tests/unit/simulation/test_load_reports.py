"""What the scheduler is told of the load: averages of the true use, late and with gaps as the source tells them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.simulation.api_objects import EPOCH
from peaks_scheduler.simulation.case import PERFECT, LoadView
from peaks_scheduler.simulation.load_reports import LoadReports
from peaks_scheduler.simulation.true_use import TrueUse

CAPACITY = (4.0, 16.0)
WINDOWS = (
    LoadView(),
    LoadView(60.0, 15.0),
    LoadView(900.0, 15.0, 40.0),
    LoadView(300.0, 60.0, 7.0, ((200.0, 1000.0), (900.0, 1500.0), (2000.0, 2030.0))),
    LoadView(15.0, 30.0, 0.0, ((0.0, 500.0),)),
    LoadView(70.0, 45.0),
)


@dataclass
class Listener(Ledger):
    """Remembers what it is told."""

    loads: dict[str, NodeLoad] = field(default_factory=dict)
    passed: list[float] = field(default_factory=list)

    def apply_load(self, loads: Mapping[str, NodeLoad], now: float) -> None:
        self.loads |= loads
        self.passed.append(now - EPOCH)

    def set_load(self, loads: Mapping[str, NodeLoad], now: float) -> None:
        self.apply_load(loads, now)

    def refresh(self, now: float) -> None:
        self.passed.append(now - EPOCH)


@dataclass
class Course:
    """Two nodes whose use changes by chance; ``changes`` (time, cores wanted from then on) of each."""

    view: LoadView
    changes: tuple[list[tuple[float, float]], ...] = field(default_factory=lambda: ([(0.0, 0.0)], [(0.0, 0.0)]))

    def __post_init__(self) -> None:
        self.use, self.listener, self.now = TrueUse(CAPACITY, self.view), Listener(), 0.0
        self.reports = LoadReports(("small", "large"), self.use, self.view)

    def change(self, now: float, i: int, cores: float) -> None:
        self.use.advance(now)
        self.use.add(i, cores - self.changes[i][-1][1], now)
        self.reports.changed(i)
        self.changes[i].append((now, cores))

    def tell(self, now: float) -> dict[str, NodeLoad]:
        self.use.advance(now)
        self.reports.tell(self.listener, now)
        return self.listener.loads

    def mean(self, i: int, start: float, end: float) -> float:
        """Mean use of node i as a fraction, summed change by change."""
        ends = [time for time, _ in self.changes[i][1:]] + [math.inf]
        area = sum(
            min(cores, CAPACITY[i]) * max(0.0, min(stop, end) - max(begin, start))
            for (begin, cores), stop in zip(self.changes[i], ends, strict=True)
        )
        return area / (end - start) / CAPACITY[i]


def newest(view: LoadView, now: float) -> float | None:
    """End of the newest window whose report has arrived by ``now``; None: none has."""
    number = 0
    arrived = None
    while (time := number * view.interval_s + view.delay_s) <= now:
        if not any(start <= time < end for start, end in view.gaps):
            arrived = number * view.interval_s
        number += 1
    return arrived


@pytest.mark.parametrize("view", WINDOWS)
@pytest.mark.parametrize("seed", range(3))
def test_a_report_is_the_mean_of_the_true_use_over_its_window(view: LoadView, seed: int) -> None:
    rng, course, now = random.Random(seed), Course(view), 0.0
    compared = 0
    for _ in range(200):
        now += rng.choice((0.0, 1.0, 3.5, rng.uniform(0.0, 40.0)))
        if rng.random() < 0.6:
            course.change(now, rng.randrange(2), rng.choice((0.0, 1.0, 3.0, 20.0)))
            continue
        told, end = course.tell(now), newest(view, now)
        assert bool(told) == (end is not None)
        for i, load in enumerate(told[name] for name in ("small", "large") if end is not None):
            assert (load.window_start - EPOCH, load.window_end - EPOCH) == pytest.approx((end - view.window_s, end))
            assert load.cpu == pytest.approx(course.mean(i, end - view.window_s, end), abs=1e-9)
            compared += 1
    assert compared > 50


def test_the_perfect_view_is_the_use_of_the_moment() -> None:
    course = Course(PERFECT)
    course.change(10.0, 1, 8.0)
    assert {name: load.cpu for name, load in course.tell(10.0).items()} == {"small": 0.0, "large": 0.5}
    course.change(11.0, 0, 5.0)
    assert course.tell(11.0)["small"].cpu == 1.0


def test_an_instant_told_every_quarter_of_a_minute_is_the_use_of_that_instant() -> None:
    course = Course(LoadView(0.0, 15.0))
    course.change(14.0, 0, 1.0)
    course.change(16.0, 0, 4.0)
    assert course.tell(17.0)["small"].cpu == 0.25


def test_in_a_gap_nothing_is_told_and_time_passes_all_the_same() -> None:
    course = Course(LoadView(60.0, 15.0, gaps=((20.0, 500.0),)))
    ends = [course.tell(now)["small"].window_end - EPOCH for now in (16.0, 20.0, 31.0, 40.0, 499.0, 515.0)]
    assert ends == [15.0, 15.0, 15.0, 15.0, 15.0, 510.0]
    # once for every report that is due: so the ledger notices that its loads are old
    assert course.listener.passed == [16.0, 31.0, 499.0, 515.0]
