"""``--workload opendc:FOLDER``, ``bitbrains:`` and ``surf:``: tasks and fragments in OpenDC's form."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Workload

NODES = (SimulatedNode("a", 64.0, 262144.0, Linear(50.0, 100.0)),)
TASKS = "id,submission_time_ms,duration_ms,cpu_count,cpu_capacity_mhz,mem_capacity"
FRAGMENTS = "id,duration_ms,cpu_usage_mhz"
ONE = ("7,1376314546000,600000,2,4000,4194304",)
ITS = ("7,300000,1000", "7,100000,1000", "7,200000,4000")


def folder(at: Path, tasks: tuple[str, ...] = ONE, fragments: tuple[str, ...] = ITS) -> Path:
    (at / "tasks.csv").write_text("\n".join([TASKS, *tasks]) + "\n", encoding="utf-8")
    (at / "fragments.csv").write_text("\n".join([FRAGMENTS, *fragments]) + "\n", encoding="utf-8")
    return at


def read(at: Path, parameters: str = "", prefix: str = "bitbrains") -> Workload:
    return read_workload(f"{prefix}:{at}{parameters and '?'}{parameters}", NODES, 1)


def test_a_task_uses_the_mean_of_its_fragments_in_cores(tmp_path: Path) -> None:
    (job,) = read(folder(tmp_path)).jobs
    assert (job.name, job.arrival_s, job.duration_s, job.cpu_cores, job.memory_mib) == ("7", 0.0, 600.0, 2.0, 4096.0)
    # 2,000 MHz are a core: 0.5 for 400 s and 2 for 200 s
    assert (job.cpu_used_cores, job.usage) == (pytest.approx(1.0), ())


def test_steps_follow_one_another_and_equal_ones_are_joined(tmp_path: Path) -> None:
    (job,) = read(folder(tmp_path), "usage=steps").jobs
    assert job.usage == ((0.0, 0.5), (400.0, 2.0))
    assert job.cpu_used_cores == pytest.approx(1.0)


def test_fragments_of_several_tasks_may_be_mixed(tmp_path: Path) -> None:
    tasks = ("b,2000,20000,1,1000,0", "a,1000,20000,1,1000,0")
    fragments = ("a,10000,100", "b,10000,300", "a,10000,200", "b,10000,400")
    first, second = read(folder(tmp_path, tasks, fragments), "usage=steps").jobs
    assert (first.name, first.arrival_s, first.usage) == ("a", 0.0, ((0.0, 0.1), (10.0, 0.2)))
    assert (second.name, second.arrival_s, second.usage) == ("b", 1.0, ((0.0, 0.3), (10.0, 0.4)))


def test_a_life_that_is_cut_keeps_the_steps_before(tmp_path: Path) -> None:
    (job,) = read(folder(tmp_path), "usage=steps&longest=500s").jobs
    assert (job.duration_s, job.usage) == (500.0, ((0.0, 0.5), (400.0, 2.0)))
    assert job.cpu_used_cores == pytest.approx((400 * 0.5 + 100 * 2.0) / 500)


def test_memory_may_be_mebibytes(tmp_path: Path) -> None:
    tasks = ("7,0,600000,2,4000,2048",)
    assert [read(folder(tmp_path, tasks), each).jobs[0].memory_mib for each in ("memory=mib", "memory=kib")] == [
        2048,
        2,
    ]


def test_a_task_without_fragments_is_left_out_and_counted(tmp_path: Path) -> None:
    workload = read(folder(tmp_path, (*ONE, "8,1376314546000,600000,2,4000,0")))
    assert [job.name for job in workload.jobs] == ["7"]
    assert "1 task without fragments, left out as in OpenDC" in workload.notes


def test_fragments_of_unknown_tasks_are_counted(tmp_path: Path) -> None:
    assert (
        "1 fragment of tasks that are not in the list, left out" in read(folder(tmp_path, ONE, (*ITS, "8,1,1"))).notes
    )


def test_a_duration_that_is_not_the_fragments_is_counted(tmp_path: Path) -> None:
    workload = read(folder(tmp_path, ("7,0,900000,2,4000,0",)))
    assert workload.jobs[0].duration_s == 600.0
    assert any(note.startswith("1 task whose duration is not that") for note in workload.notes)


def test_use_above_the_cpus_is_kept_and_counted(tmp_path: Path) -> None:
    workload = read(folder(tmp_path, ONE, ("7,600000,5000",)))
    assert workload.jobs[0].cpu_used_cores == 2.5
    assert "1 fragment above the task's CPUs, by up to 1.25 times, kept" in workload.notes


@pytest.mark.parametrize(
    ("tasks", "fragments", "words"),
    [
        (ONE, (*ITS, "7,300000,x"), "fragments.csv: line 5: expected a number in column 'cpu_usage_mhz'; got 'x'"),
        (ONE, (*ITS, "7,300000,"), "line 5: expected a number in column 'cpu_usage_mhz'; it is empty"),
        (ONE, (*ITS, "7,300000,nan"), "line 5: expected a number as cpu_usage; got nan"),
        (
            ONE,
            (*ITS, "7,-5,1"),
            "line 5: expected a number of at least 0 and at most 3,153,600,000,000 as duration; got -5",
        ),
        (ONE, (*ITS, "7,300000"), "line 5: expected 3 cells, as in the header; got 2"),
        (ONE, (), "expected rows; there is none"),
        ((*ONE, "7,0,1,1,2000,0"), ITS, "tasks.csv: line 3: expected each id once; '7' comes again"),
        ((*ONE, "8,0,1,0,2000,0"), ITS, "line 3: expected a number above 0 and at most 1e+06 as cpu_count; got 0"),
        ((*ONE, "8,0,-1,1,2000,0"), ITS, "line 3: expected a number of at least 0 as duration; got -1"),
        ((*ONE, "8,0,1,1,2.1,0"), ITS, "line 3: expected MHz of all CPUs together"),
        ((*ONE, "8,0,1,1,2000,1e12"), ITS, "line 3: expected at most 67,108,864 MiB"),
        (ONE, ("9,300000,1",), "expected at least one pod that ran; got none"),
    ],
)
def test_a_bad_row_is_named_with_its_line(
    tmp_path: Path, tasks: tuple[str, ...], fragments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder(tmp_path, tasks, fragments))
    assert words in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "fragments.csv").write_text("id,duration,usage\n7,1,1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="expected a column cpu_usage or cpu_usage_mhz"):
        read(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (folder(tmp_path) / "fragments.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"expected a file with one of fragments\.parquet, fragments\.csv"):
        read(tmp_path)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def parquet(at: Path, ids: list[Any], more: dict[str, Any], of_fragments: dict[str, Any]) -> Path:
    """A folder with one task for each id, of 2 CPUs at 2,000 MHz each, and one fragment of 1,000 MHz for 600 s."""
    arrow, file = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    times = arrow.array(
        [datetime(2022, 10, 6, 22, k, tzinfo=UTC) for k in range(len(ids))], arrow.timestamp("ms", "UTC")
    )
    tasks = {"id": ids, "submission_time": times, "duration": [600_000] * len(ids), "cpu_count": [2] * len(ids)}
    tasks |= {"cpu_capacity": [4000.0] * len(ids), "mem_capacity": [1_048_576] * len(ids)} | more
    fragments = {"id": ids, "duration": [600_000] * len(ids), "cpu_usage": [1000.0] * len(ids)} | of_fragments
    file.write_table(arrow.table(tasks), at / "tasks.parquet")
    file.write_table(arrow.table(fragments), at / "fragments.parquet")
    return at


def test_the_first_version_has_text_ids_and_more_columns_of_fragments(tmp_path: Path) -> None:
    at = parquet(tmp_path, ["x", "y"], {}, {"timestamp": [600_000, 660_000], "cpu_count": [2, 2]})
    jobs = read(at, prefix="opendc").jobs
    assert [(job.name, job.arrival_s, job.duration_s) for job in jobs] == [("x", 0.0, 600.0), ("y", 60.0, 600.0)]
    assert [(job.cpu_cores, job.cpu_used_cores, job.memory_mib) for job in jobs] == [(2.0, 0.5, 1024.0)] * 2


def test_the_second_version_has_numbers_as_ids(tmp_path: Path) -> None:
    assert [job.name for job in read(parquet(tmp_path, [3, 4], {}, {}), prefix="opendc").jobs] == ["3", "4"]


SUBMITTED = 1_665_093_600_000  # 2022-10-06 22:00 UTC [ms]


@pytest.mark.parametrize(
    "which", [{"deferrable": [True, False, True]}, {"nature": ["deferrable", "interactive", "deferrable"]}]
)
def test_a_deferrable_task_may_wait_so_long_that_it_ends_by_its_deadline(tmp_path: Path, which: dict[str, Any]) -> None:
    deadlines = [SUBMITTED + 3 * 600_000, SUBMITTED + 3 * 600_000, SUBMITTED]
    at = parquet(tmp_path, [1, 2, 3], {**which, "deadline": deadlines}, {})
    assert [job.slack_s for job in read(at, prefix="opendc").jobs] == [1200.0, 0.0, 0.0]


def test_gpus_and_parents_are_counted(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parents = arrow.array([[], [1], [1, 2]], arrow.list_(arrow.int32()))
    notes = read(parquet(tmp_path, [1, 2, 3], {"gpu_count": [0, 0, 4], "parents": parents}, {}), prefix="opendc").notes
    assert "1 task with GPUs, which are ignored" in notes
    assert "2 tasks with parents, which are not waited for" in notes


def test_empty_columns_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    none = {"nature": arrow.nulls(1, arrow.string()), "deadline": arrow.nulls(1, arrow.int64())}
    none |= {"gpu_count": arrow.nulls(1, arrow.int32()), "parents": arrow.nulls(1, arrow.list_(arrow.int32()))}
    workload = read(parquet(tmp_path, [1], none, {}), prefix="opendc")
    assert workload.jobs[0].slack_s == 0.0
    assert not any("GPUs" in note or "parents" in note for note in workload.notes)


def test_a_bad_row_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    at = parquet(tmp_path, [1, 2], {}, {"cpu_usage": [1.0, None]})
    with pytest.raises(ConfigurationError, match=r"fragments\.parquet: row 2: expected a number as cpu_usage; got nan"):
        read(at, prefix="opendc")


def test_a_broken_parquet_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tasks.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(ConfigurationError, match=r"tasks\.parquet: expected a readable Parquet file"):
        read(tmp_path, prefix="opendc")


# --- measured traces --------------------------------------------------------------------------------------------------


def mean_use(workload: Workload) -> float:
    """Share of their CPUs that the pods use, each weighted by its life."""
    used = sum(job.duration_s * job.cpu_used_cores / job.cpu_cores for job in workload.jobs)
    return used / sum(job.duration_s for job in workload.jobs)


def test_the_machines_of_bitbrains_use_a_thirteenth_of_their_cpus(test_data: Path) -> None:
    workload = read(test_data / "bitbrains")
    assert len(workload.jobs) == 43
    assert mean_use(workload) == pytest.approx(0.078, abs=0.0005)
    assert any("by up to 1.06 times" in note for note in workload.notes)


def test_a_week_of_surf_is_read(test_data: Path) -> None:
    workload = read(test_data / "surf", prefix="surf")
    assert len(workload.jobs) == 4386
    assert mean_use(workload) == pytest.approx(0.659, abs=0.0005)
    lives = sorted(job.duration_s for job in workload.jobs)
    assert (lives[0], lives[-1]) == (30.0, 432_030.0)


def test_steps_of_bitbrains_have_the_mean_of_their_pod(test_data: Path) -> None:
    for job in read(test_data / "bitbrains", "usage=steps").jobs:
        starts = [since for since, _ in job.usage]
        used = sum(
            (end - since) * cores for (since, cores), end in zip(job.usage, [*starts[1:], job.duration_s], strict=True)
        )
        assert used / job.duration_s == pytest.approx(job.cpu_used_cores, rel=1e-9)


def test_opendts_week_is_read_from_parquet(test_data: Path) -> None:
    pytest.importorskip("pyarrow")
    jobs = read(test_data / "surf_power", prefix="opendc").jobs
    assert {job.cpu_cores for job in jobs} == {16.0}
    # every fragment lasts 30 s
    assert sum(job.duration_s for job in jobs) == 1_627_523 * 30.0


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'peaks-scheduler\[simulate\]'"):
        read(tmp_path, prefix="opendc")
