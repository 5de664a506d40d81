"""``--workload openb:FILE``: requests of a GPU cluster's pods, and how any trace is shaped."""

from __future__ import annotations

from pathlib import Path

import pytest

from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Workload

HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,qos,creation_time,deletion_time,scheduled_time"
NODES = (SimulatedNode("a", 64.0, 262144.0, Linear(50.0, 100.0)),)
EXACT = "compress=1&usage=1"
"""Parameters that leave times and requests as they are."""
DEFAULT_LIST = "openb/openb_pod_list_default.csv.gz"


def pods(folder: Path, *rows: str, parameters: str = EXACT, seed: int = 1) -> Workload:
    file = folder / "pods.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return read_workload(f"openb:{file}?{parameters}", NODES, seed)


def many(count: int, gap: int, life: int, cpu: int = 2000) -> list[str]:
    """Pods that come ``gap`` seconds apart and live ``life`` seconds."""
    return [f"p{i:03},{cpu},1024,0,0,LS,{i * gap},{i * gap + life},{i * gap}" for i in range(count)]


def test_a_pod_comes_when_created_and_runs_from_schedule_to_deletion(tmp_path: Path) -> None:
    first, second = pods(tmp_path, "x,1500,512,0,0,LS,100,400,150", "y,500,256,0,0,BE,130,200,130").jobs
    assert (first.name, first.arrival_s, first.duration_s, first.cpu_cores, first.memory_mib) == ("x", 0, 250, 1.5, 512)
    assert (second.name, second.arrival_s, second.duration_s, second.cpu_used_cores) == ("y", 30, 70, 0.5)


def test_a_pod_that_never_ran_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = ("x,1000,1,0,0,LS,0,10,0", "y,1000,1,0,0,LS,5,50,")
    workload = pods(tmp_path, *rows)
    assert [job.name for job in workload.jobs] == ["x"]
    assert workload.notes[0].startswith("1 row without scheduled_time")


def test_a_pod_that_never_ran_may_run_from_creation_to_deletion(tmp_path: Path) -> None:
    rows = ("x,1000,1,0,0,LS,0,10,0", "y,1000,1,0,0,LS,5,50,")
    assert pods(tmp_path, *rows, parameters=f"{EXACT}&pending=run").jobs[1].duration_s == 45.0


def test_a_pod_deleted_as_it_began_is_left_out_and_counted(tmp_path: Path) -> None:
    workload = pods(tmp_path, "x,1000,1,0,0,LS,0,10,0", "y,1000,1,0,0,LS,5,5,5")
    assert [job.name for job in workload.jobs] == ["x"]
    assert "1 row deleted before or as it began, left out" in workload.notes


def test_gpus_are_ignored_and_counted_or_their_pods_left_out(tmp_path: Path) -> None:
    rows = ("x,1000,1,0,0,LS,0,10,0", "y,1000,1,2,1000,LS,5,50,5")
    assert "1 row with GPUs, which are ignored" in pods(tmp_path, *rows).notes
    assert [job.name for job in pods(tmp_path, *rows, parameters=f"{EXACT}&gpu=skip").jobs] == ["x"]


def test_a_thin_first_hundredth_is_left_out(tmp_path: Path) -> None:
    early = ["x,2000,1,0,0,LS,0,1000,0", "y,2000,1,0,0,LS,500000,501000,500000"]
    late = [f"p{i:03},2000,1,0,0,LS,{t},{t + 60},{t}" for i, t in enumerate(range(1_000_000, 1_001_980, 10))]
    jobs = pods(tmp_path, *early, *late).jobs
    assert (len(jobs), jobs[0].name, jobs[0].arrival_s) == (198, "p000", 0.0)
    assert len(pods(tmp_path, *early, *late, parameters=f"{EXACT}&tail=keep").jobs) == 200


# --- use --------------------------------------------------------------------------------------------------------------


def test_use_is_a_seeded_share_of_the_request_with_googles_mean(tmp_path: Path) -> None:
    workload = pods(tmp_path, *many(4000, 10, 60), parameters="compress=1")
    shares = [job.cpu_used_cores / job.cpu_cores for job in workload.jobs]
    # a Beta distribution with a + b = 2 and mean m has the variance m(1 - m)/3: four standard errors
    assert sum(shares) / 4000 == pytest.approx(0.49, abs=4 * (0.49 * 0.51 / 3 / 4000) ** 0.5)
    assert 0.0 <= min(shares) < 0.01 < 0.99 < max(shares) <= 1.0


def test_another_seed_draws_another_use_and_the_same_seed_the_same(tmp_path: Path) -> None:
    rows = many(5, 10, 60)
    assert pods(tmp_path, *rows, parameters="compress=1") == pods(
        tmp_path, *rows, parameters="compress=1&seed=1", seed=9
    )
    assert pods(tmp_path, *rows, parameters="compress=1") != pods(tmp_path, *rows, parameters="compress=1", seed=2)


def test_use_may_be_the_same_share_for_all(tmp_path: Path) -> None:
    workload = pods(tmp_path, *many(3, 10, 60), parameters="compress=1&usage=60%&draw=none")
    assert [job.cpu_used_cores for job in workload.jobs] == [1.2, 1.2, 1.2]


# --- shaping ----------------------------------------------------------------------------------------------------------


def requested(workload: Workload) -> float:
    """Mean requested cores until the last pod comes."""
    end = workload.jobs[-1].arrival_s
    return sum(job.cpu_cores * min(job.duration_s, end - job.arrival_s) for job in workload.jobs) / end


@pytest.mark.parametrize(("parameters", "load"), [("usage=1", 0.5), ("usage=1&load=0.1", 0.1), ("load=2%", 0.02)])
def test_times_are_compressed_for_a_load(tmp_path: Path, parameters: str, load: float) -> None:
    # 2 cores, 60 s, one in 1,000 s: 0.12 of 64 cores
    assert requested(pods(tmp_path, *many(400, 1000, 60), parameters=parameters)) == pytest.approx(64 * load, rel=1e-4)


def test_compression_leaves_lives_as_they_are(tmp_path: Path) -> None:
    workload = pods(tmp_path, *many(3, 1000, 60), parameters="usage=1&compress=10")
    assert [(job.arrival_s, job.duration_s) for job in workload.jobs] == [(0, 60), (100, 60), (200, 60)]


def test_in_a_compressed_trace_no_pod_outlives_the_arrivals(tmp_path: Path) -> None:
    rows = [*many(3, 1000, 60), "z,1000,1,0,0,LS,1500,99999,1500"]
    workload = pods(tmp_path, *rows, parameters="usage=1&compress=10")
    assert [job.duration_s for job in workload.jobs] == [60, 60, 200, 60]
    assert "1 pod cut to 200 s (longest)" in workload.notes


def test_longest_sets_the_longest_life(tmp_path: Path) -> None:
    workload = pods(tmp_path, *many(2, 10, 3600), parameters=f"{EXACT}&longest=30m")
    assert [job.duration_s for job in workload.jobs] == [1800, 1800]


def test_a_load_out_of_reach_is_an_error_only_where_it_was_asked_for(tmp_path: Path) -> None:
    rows = many(3, 10, 60)
    # 6 cores, of which 2 come in the middle of the 20 s and 2 at their end: 3 of 64 on average
    assert (
        "times as in the trace: a mean requested load of 0.04688 of 64 CPUs"
        in pods(tmp_path, *rows, parameters="usage=1").notes
    )
    with pytest.raises(ConfigurationError, match=r"got 0\.5, and they reach 0\.0469 before half of them"):
        pods(tmp_path, *rows, parameters="usage=1&load=0.5")


def test_no_trace_is_compressed_until_half_of_the_pods_are_cut(tmp_path: Path) -> None:
    # one in 100 s, which lives 60 s: 399 of them come within 60 s at 665 times the pace
    jobs = pods(tmp_path, *many(400, 100, 60, cpu=100), parameters="usage=1").jobs
    assert jobs[-1].arrival_s == pytest.approx(60.0, rel=1e-4)


def test_scale_makes_every_pod_larger(tmp_path: Path) -> None:
    (job,) = pods(tmp_path, *many(1, 10, 60), parameters=f"{EXACT}&scale=3").jobs
    assert (job.cpu_cores, job.cpu_used_cores, job.memory_mib, job.duration_s) == (6.0, 6.0, 3072.0, 60.0)


def test_limit_takes_the_first_pods(tmp_path: Path) -> None:
    workload = pods(tmp_path, *many(5, 10, 60), parameters=f"{EXACT}&limit=2")
    assert [job.name for job in workload.jobs] == ["p000", "p001"]
    assert "limit=2: 3 later pods left out" in workload.notes


def test_slack_lets_every_pod_wait(tmp_path: Path) -> None:
    assert [job.slack_s for job in pods(tmp_path, *many(2, 10, 60), parameters=f"{EXACT}&slack=6h").jobs] == [21600] * 2


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("compress=2&load=0.5", "expected compress or load"),
        ("compres=2", r"got 'compres' \(did you mean 'compress'\?\)"),
        ("gpu=count", "expected ignore or skip for gpu"),
        ("usage=1.5", "expected a number from 0 to 1 for usage"),
        ("longest=5", "expected a duration such as 7d"),
    ],
)
def test_a_bad_parameter_is_named(tmp_path: Path, parameters: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        pods(tmp_path, *many(2, 10, 60), parameters=parameters)


def test_a_list_without_times_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pods.csv").write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\nx,1,1,0,0\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="missing: creation_time, deletion_time, scheduled_time"):
        read_workload(f"openb:{tmp_path / 'pods.csv'}", NODES, 1)


def test_a_list_in_which_nothing_ran_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected at least one pod that ran; got none"):
        pods(tmp_path, "y,1000,1,0,0,LS,5,50,")


def test_the_default_list_has_897_pods_that_never_ran(test_data: Path) -> None:
    workload = read_workload(f"openb:{test_data / DEFAULT_LIST}?tail=keep&{EXACT}", NODES, 1)
    assert len(workload.jobs) == 8152 - 897
    assert workload.notes[0].startswith("897 rows without scheduled_time")


def test_all_of_the_default_list_may_run_but_one_that_ends_before_it_begins(test_data: Path) -> None:
    text = f"openb:{test_data / DEFAULT_LIST}?tail=keep&pending=run&{EXACT}"
    assert len(read_workload(text, NODES, 1).jobs) == 8152 - 1


def test_the_early_tail_of_the_default_list_is_left_out(test_data: Path) -> None:
    jobs = read_workload(f"openb:{test_data / DEFAULT_LIST}?{EXACT}", NODES, 1).jobs
    assert len(jobs) == 8152 - 897 - 72  # a hundredth of 7,255
    assert jobs[-1].arrival_s < 12_902_960 - 10_000_000


def test_the_default_list_at_its_own_pace_never_asks_for_more_than_778_cores(test_data: Path) -> None:
    jobs = read_workload(f"openb:{test_data / DEFAULT_LIST}?tail=keep&{EXACT}", NODES, 1).jobs
    changes = [(job.arrival_s, job.cpu_cores) for job in jobs]
    changes += [(job.arrival_s + job.duration_s, -job.cpu_cores) for job in jobs]
    now = peak = 0.0
    for _, change in sorted(changes):
        now += change
        peak = max(peak, now)
    assert peak <= 778.5 + 1e-6
