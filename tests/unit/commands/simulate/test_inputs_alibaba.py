"""``--workload alibaba2017:FILE``: batch tasks of many instances."""

from __future__ import annotations

from pathlib import Path

import pytest

from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Workload

# as in the trace, names have blanks before them
HEADER = (
    "task_create_time, task_end_time, job_id, task_id,number_of_instances, status, "
    "number_of_cpus_requested_per_instance_in_the_task,normalized_memory_requested_per_instance_in_the_task"
)
NODES = (SimulatedNode("a", 64.0, 262144.0, Linear(50.0, 100.0)),)


def tasks(folder: Path, *rows: str, parameters: str = "usage=1", seed: int = 1) -> Workload:
    file = folder / "batch_task.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return read_workload(f"alibaba2017:{file}?{parameters}", NODES, seed)


def test_every_instance_is_a_pod(tmp_path: Path) -> None:
    jobs = tasks(
        tmp_path, "100,160,3,4,2,Terminated,50,0.25", "90,95,1,1,1,Failed,100,0.5", parameters="usage=1&memory_mib=1024"
    ).jobs
    assert [(job.name, job.arrival_s, job.duration_s) for job in jobs] == [
        ("job-1-task-1-0", 0.0, 5.0),
        ("job-3-task-4-0", 10.0, 60.0),
        ("job-3-task-4-1", 10.0, 60.0),
    ]
    assert [(job.cpu_cores, job.memory_mib, job.cpu_used_cores) for job in jobs[:2]] == [
        (1.0, 512.0, 1.0),
        (0.5, 256.0, 0.5),
    ]


def test_at_most_ten_instances_of_a_task_are_pods_unless_told(tmp_path: Path) -> None:
    row = "0,60,3,4,15740,Terminated,50,0.01"
    assert [len(tasks(tmp_path, row, parameters=each).jobs) for each in ("usage=1", "instances=25")] == [10, 25]


def test_tasks_are_drawn_until_there_are_enough_pods(tmp_path: Path) -> None:
    rows = [f"{i},{i + 60},{i},1,3,Terminated,50,0.01" for i in range(100)]
    workload = tasks(tmp_path, *rows, parameters="usage=1&pods=31")
    assert len(workload.jobs) == 30
    assert workload.jobs[-1].arrival_s > 29.0  # not only the first ones
    assert workload == tasks(tmp_path, *rows, parameters="usage=1&pods=31")


def test_tasks_without_a_request_or_an_end_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = (
        "0,60,1,1,1,Terminated,50,0.01",
        "0,60,2,1,1,Waiting,,",
        "9,0,3,1,1,Running,50,0.01",
        "9,9,4,1,1,Failed,50,0.01",
    )
    workload = tasks(tmp_path, *rows)
    assert [job.name for job in workload.jobs] == ["job-1-task-1-0"]
    assert workload.notes[:2] == (
        "1 task without a CPU request, left out",
        "2 tasks without an end after their creation, left out",
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,60,1,1,1,Terminated,50,4096", "line 2: .* at most 1 .* a share of a machine's"),
        ("0,60,1,1,x,Terminated,50,0.1", "line 2: .* in column 'number_of_instances'; got 'x'"),
        ("0,60,1,1,1,Terminated,-50,0.1", "line 2: .* got '-50'"),
        (",60,1,1,1,Terminated,50,0.1", "line 2: .* it is empty"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        tasks(tmp_path, row)


def test_twelve_hours_of_the_trace_are_read(test_data: Path) -> None:
    text = f"alibaba2017:{test_data / 'alibaba2017' / 'batch_task.csv.gz'}?instances=1&pods=1000000&usage=1"
    workload = read_workload(text, NODES, 1)
    assert workload.notes[0] == "3191 tasks without a CPU request, left out"
    # 46,587 rows; of those with a request 75 end at 0 or with their creation (counted with awk)
    assert len(workload.jobs) == 46_587 - 3191 - 75
    assert workload.jobs[-1].arrival_s < 43_200 + 1_078
