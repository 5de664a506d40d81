"""``--workload synthetic:``: made-up pods."""

from __future__ import annotations

import pytest

from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Workload

NODES = tuple(SimulatedNode(f"n{i}", 32.0, 65536.0, Linear(50.0, 100.0)) for i in range(5))
CPUS = 160.0


def made(parameters: str, seed: int = 1) -> Workload:
    return read_workload(f"synthetic:{parameters}", NODES, seed)


def requested(workload: Workload) -> float:
    """Requested core-seconds of all pods."""
    return sum(job.cpu_cores * job.duration_s for job in workload.jobs)


@pytest.mark.parametrize("pattern", ["constant", "daily"])
def test_the_requested_load_is_exactly_as_asked(pattern: str) -> None:
    workload = made(f"load=0.3&span=1d&pattern={pattern}")
    assert requested(workload) == pytest.approx(0.3 * CPUS * 86400.0, rel=1e-9)


def test_pods_that_are_still_there_end_with_the_span() -> None:
    workload = made("load=0.3&span=1d")
    ends = [job.arrival_s + job.duration_s for job in workload.jobs]
    assert max(ends) == pytest.approx(86400.0)
    assert max(job.arrival_s for job in workload.jobs) < 86400.0


def test_load_life_and_span_say_how_many_pods_come() -> None:
    # 0.5 of 160 cores for a day, by pods of 7/3 cores that live 1,800 s
    assert len(made("load=0.5&life=30m&span=1d").jobs) == round(80 * 86400 / (7 / 3 * 1800))


def test_pods_and_load_say_how_long_they_come() -> None:
    # 10,000 pods of 2 cores and an hour are 80 cores for 900,000 s
    workload = made("pods=10000&load=0.5&sizes=2")
    assert len(workload.jobs) == 10_000
    assert max(job.arrival_s + job.duration_s for job in workload.jobs) == pytest.approx(900_000.0)


def test_pods_load_and_span_say_how_long_they_live() -> None:
    workload = made("pods=10000&load=0.5&sizes=2&span=1d")
    assert sum(job.duration_s for job in workload.jobs) / 10_000 == pytest.approx(80 * 86400 / 20_000, rel=1e-9)


def test_pods_life_and_span_say_the_load() -> None:
    workload = made("pods=5000&life=10m&span=10d&sizes=1")
    # the lives of the few that are still there at the end are cut
    assert requested(workload) == pytest.approx(5000 * 600.0, rel=0.01)


def test_too_few_pods_for_a_load_run_to_their_end() -> None:
    workload = made("pods=20&load=0.5&span=1d&sizes=1")
    assert requested(workload) == pytest.approx(0.5 * CPUS * 86400.0, rel=1e-9)
    assert "they run to their end" in workload.notes[0]


def test_sizes_memory_use_and_slack_are_as_asked() -> None:
    jobs = made("pods=300&sizes=1,3&memory_mib=512&usage=0.25&slack=2h").jobs
    assert {(job.cpu_cores, job.memory_mib, job.cpu_used_cores, job.slack_s) for job in jobs} == {
        (1.0, 512.0, 0.25, 7200.0),
        (3.0, 1536.0, 0.75, 7200.0),
    }


def test_arrivals_of_a_constant_rate_are_spread_evenly() -> None:
    jobs = made("pods=4000&span=1d&life=5m").jobs
    first_half = sum(job.arrival_s < 43200.0 for job in jobs)
    assert abs(first_half - 2000) < 5 * (4000 * 0.25) ** 0.5  # five standard deviations of a binomial count


def test_by_day_more_pods_come() -> None:
    jobs = made("pods=4000&span=2d&life=5m&pattern=daily").jobs
    midday = sum(21600.0 <= job.arrival_s % 86400.0 < 64800.0 for job in jobs)
    share = 0.5 + 0.6 / 3.141592653589793  # integral of 1 - 0.6 cos over the middle half of a day
    assert abs(midday - 4000 * share) < 5 * (4000 * share * (1.0 - share)) ** 0.5


def test_a_cluster_is_filled_once() -> None:
    jobs = made("load=0.5&span=10h&pattern=once&sizes=2").jobs
    assert len(jobs) == 40  # 80 cores
    assert {job.arrival_s + job.duration_s for job in jobs} == {36000.0}
    assert [job.arrival_s for job in jobs[:3]] == [0.0, 90.0, 180.0]


def test_one_seed_makes_one_workload() -> None:
    assert made("pods=50&seed=4", seed=1) == made("?pods=50", seed=4)
    assert made("pods=50", seed=1) != made("pods=50", seed=2)


def test_names_are_in_order_of_arrival() -> None:
    names = [job.name for job in made("pods=120").jobs]
    assert names == sorted(names)
    assert len(set(names)) == 120


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("pods=10&load=0.5&life=1h&span=1d", "expected at most three of pods, load, life and span"),
        ("pod=10", r"got 'pod' \(did you mean 'pods'\?\)"),
        ("sizes=1,x", "expected numbers above 0 with commas"),
        ("sizes=0", "expected numbers above 0 with commas"),
        ("pattern=weekly", "expected constant or daily or once for pattern"),
        ("pattern=once&pods=5&load=1", "expected pods or load, and span, with pattern=once"),
        ("load=100&span=99y", "expected at most 10,000,000 pods"),
        ("pods=1.5", "expected a whole number"),
        ("life=soon", "expected a duration"),
        ("usage=-1", "expected a number from 0 to 10 for usage; got '-1'"),
    ],
)
def test_a_bad_parameter_is_named(parameters: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        made(parameters)
