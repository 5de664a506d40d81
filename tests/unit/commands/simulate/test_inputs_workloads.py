"""``--workload``: a CSV of pods, and what is counted in any workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload

HEADER = "pod,arrival_s,duration_s,cpu_cores,memory_mib,cpu_used_cores"
NODES = (SimulatedNode("a", 8.0, 1024.0, Linear(50.0, 100.0)), SimulatedNode("b", 4.0, 2048.0, Linear(50.0, 100.0)))


def read(folder: Path, *rows: str, header: str = HEADER) -> Workload:
    file = folder / "pods.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_workload(str(file), NODES, 1)


def test_a_row_is_a_pod(tmp_path: Path) -> None:
    workload = read(tmp_path, "web,10.5,3600,2,512,0.25")
    assert workload == Workload((Job("web", 10.5, 3600.0, 2.0, 512.0, 0.25),))


def test_pods_are_in_order_of_arrival_then_of_name(tmp_path: Path) -> None:
    workload = read(tmp_path, "c,5,1,1,1,1", "b,9,1,1,1,1", "a,9,1,1,1,1")
    assert [job.name for job in workload.jobs] == ["c", "a", "b"]


def test_slack_and_node_are_optional_cell_by_cell(tmp_path: Path) -> None:
    workload = read(tmp_path, "x,0,1,1,1,1,60,b", "y,0,1,1,1,1,,", header=f"{HEADER},slack_s,node")
    assert [(job.slack_s, job.node) for job in workload.jobs] == [(60.0, "b"), (0.0, "")]


def test_a_pod_larger_than_every_node_is_counted(tmp_path: Path) -> None:
    workload = read(tmp_path, "x,0,1,8.5,1,1", "y,0,1,1,4096,1", "z,0,1,8,2048,1")
    assert [note.split(":")[0] for note in workload.notes] == [
        "1 pod with a request above the CPUs of every node (8)",
        "1 pod with a request above the memory of every node (2048 MiB)",
    ]


def test_use_far_above_the_request_is_counted(tmp_path: Path) -> None:
    workload = read(tmp_path, "x,0,1,0.1,1,1.01", "y,0,1,0.1,1,1.0", "z,0,1,0,1,1")
    assert [note.split(":")[0] for note in workload.notes] == ["1 pod with a use above 10 times the requested CPU"]


GOOD = "x,0,60,1,128,0.5"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, "y,0,-60,1,128,0.5"], "line 3: expected a number above 0"),
        ([GOOD, "y,0,0,1,128,0.5"], "line 3: expected a number above 0"),
        ([GOOD, "y,-1,60,1,128,0.5"], "line 3: expected a number of at least 0"),
        ([GOOD, "y,1790000000,60,1,128,0.5"], "seconds from the start of the simulation, not since 1970"),
        ([GOOD, "y,0,60,1,1e9,0.5"], "in column 'memory_mib'; got '1e9': is it in KiB or bytes?"),
        ([GOOD, "y,0,60,-1,128,0.5"], "in column 'cpu_cores'; got '-1'"),
        ([GOOD, "y,0,60,1,128,NaN"], "in column 'cpu_used_cores'; got 'NaN'"),
        ([GOOD, "y,0,inf,1,128,1"], "in column 'duration_s'; got 'inf'"),
        ([GOOD, "y,0,60,1,128,"], "in column 'cpu_used_cores'; it is empty"),
        ([GOOD, "x,5,60,1,128,0.5"], "line 3: expected each pod once; 'x' is in line 2 as well"),
        ([GOOD, "y,0,60,1,128"], "line 3: expected 6 cells, as in the header; got 5"),
        ([GOOD, '"y,0,60,1,128,0.5'], "never closed"),
        ([], "expected rows below the header; there is none"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_its_file_and_line(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, *rows)
    assert str(caught.value).startswith(f"--workload {tmp_path}/pods.csv: ")
    assert words in str(caught.value)


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing: arrival_s \(did you mean 'arrival'\?\)"):
        read(tmp_path, GOOD, header=HEADER.replace("arrival_s", "arrival"))


def test_a_pod_is_pinned_to_a_node_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 2: expected one of --nodes in column 'node'; got 'c'"):
        read(tmp_path, "x,0,1,1,1,1,c", header=f"{HEADER},node")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("openbb:pods.csv", r"got 'openbb' \(did you mean 'openb'\?\)"),
        ("pods.csv", "expected a readable CSV file; got: .*No such file"),
        ("bitbrains:nowhere", r"expected a folder with one of tasks\.parquet, tasks\.csv, tasks\.csv\.gz"),
    ],
)
def test_an_input_that_is_not_there_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_workload(text, NODES, 1)


def test_a_dump_of_a_cluster_is_not_taken_for_a_table(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    file.write_text('{"kind": "List", "items": []}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="dump of a cluster"):
        read_workload(str(file), NODES, 1)


def test_parameters_of_a_csv_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "pods.csv").write_text(f"{HEADER}\n{GOOD}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="expected no parameters; got 'load'"):
        read_workload(f"{tmp_path / 'pods.csv'}?load=0.5", NODES, 1)
