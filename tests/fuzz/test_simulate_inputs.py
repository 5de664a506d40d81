"""What ``simulate`` reads: nodes, workloads, carbon intensity, and the parameters behind a question mark."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from peaks_scheduler.commands.simulate.inputs.carbon import read_grid
from peaks_scheduler.commands.simulate.inputs.nodes import read_nodes
from peaks_scheduler.commands.simulate.inputs.workloads import read_workload
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, in_order
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import mutated_bytes, mutated_text, odd_texts

NODES_CSV = """name,cpu_cores,memory_mib,watts_0,watts_50,watts_100,standby_watts,region,kind
a,8,16384,60,100,120,5,north,
b,8,16384,60,100,120,,south,big
c,4,8192,30.5,31,80,0,,
"""
RESULTS = "".join(
    [f"hardware_threads,memory_gb,hw_available,watts_idle,{','.join(f'watts_{k}' for k in range(10, 101, 10))}\n"]
    + [f"{8 * k} (2 / core),{16 * k},Jun-201{k},{','.join(str(40 + k + i) for i in range(11))}\n" for k in range(1, 5)]
)
PREDICTIONS = "model,cpu,inlet,watts\n" + "".join(
    f"{model},{u},{celsius},{base + 100 * u + celsius}\n"
    for model, base in (("a", 60), ("a-2", 80))
    for u in (0, 0.5, 1)
    for celsius in (20, 30)
)
PODS = """pod,arrival_s,duration_s,cpu_cores,memory_mib,cpu_used_cores,slack_s,node
x,0,60,1,128,0.5,0,
y,10.5,3600,2,512,2,60,a
"""
OPENB = """name,cpu_milli,memory_mib,num_gpu,creation_time,deletion_time,scheduled_time
x,1000,512,0,0,100,5
y,500,256,1,50,70,50
z,500,256,1,60,70,
"""
ALIBABA = """task_create_time, task_end_time, job_id, task_id,number_of_instances, status, \
number_of_cpus_requested_per_instance_in_the_task,normalized_memory_requested_per_instance_in_the_task
6459,6524,3,4,15740,Terminated,50,0.008
6457,6533,3,5,1,Terminated,50,0.004
6036,6046,4,7,393,Waiting,,
"""
TASKS = """id,submission_time_ms,duration_ms,cpu_count,cpu_capacity_mhz,mem_capacity,deferrable,deadline
7,1376314546000,600000,2,4000,4194304,true,1376315546000
8,1376314547000,300000,1,2000,4194304,,
"""
FRAGMENTS = "id,duration_ms,cpu_usage_mhz\n7,300000,1000\n8,300000,500\n7,300000,1500.5\n"
CARBON = "time,region,gco2_per_kwh\n2026-01-01 00:00,north,100\n2026-01-01 01:00,north,120\n2026-01-01 00:00,south,50\n"
NODES = (SimulatedNode("a", 8.0, 16384.0, Linear(60.0, 120.0)),)
WORDS = st.sampled_from(
    ("load", "compress", "longest", "limit", "scale", "slack", "usage", "seed", "pods", "span", "x")
)
VALUES = st.sampled_from(("0.5", "50%", "1", "2h", "7d", "steps", "1,2", "0", "1e9", "-1", "", "=")) | odd_texts
PARAMETERS = st.lists(st.builds("{}={}".format, WORDS, VALUES), max_size=3).map("&".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def written(file: Path, text: str) -> Path:
    file.write_bytes(text.encode(errors="surrogatepass"))
    return file


def are_possible(jobs: tuple[Job, ...]) -> bool:
    """Are these pods that a simulation can run?"""
    numbers = [(job.duration_s, job.cpu_cores, job.memory_mib, job.cpu_used_cores, job.slack_s) for job in jobs]
    return (
        jobs == in_order(jobs)
        and len({job.name for job in jobs}) == len(jobs) > 0
        and bool(np.isfinite(numbers).all() and (np.array(numbers) >= 0.0).all())
        and all(job.arrival_s >= 0.0 < job.duration_s for job in jobs)
    )


@fuzzed(text=mutated_text(NODES_CSV), examples=150)
def test_any_table_of_nodes_is_read_or_refused(folder: Path, text: str) -> None:
    with suppress(ConfigurationError):
        nodes = read_nodes(str(written(folder / "nodes.csv", text)), 1)
        assert nodes
        assert all(node.cpu_cores > 0.0 < node.memory_mib and not flaw(node.curve) for node in nodes)


@fuzzed(text=mutated_text(RESULTS), parameters=st.sampled_from(("", "?count=9", "?kinds=2&since=2012&regions=a,b")))
def test_any_table_of_results_is_read_or_refused(folder: Path, text: str, parameters: str) -> None:
    with suppress(ConfigurationError):
        nodes = read_nodes(f"specpower:{written(folder / 'results.csv', text)}{parameters}", 1)
        assert len({node.name for node in nodes}) == len(nodes) > 0


@fuzzed(
    text=mutated_text(PREDICTIONS),
    parameters=st.sampled_from(("", "?inlet=25", "?inlet=20&count=9", "?inlet=30&without=a")),
)
def test_any_table_of_predictions_is_read_or_refused(folder: Path, text: str, parameters: str) -> None:
    with suppress(ConfigurationError):
        nodes = read_nodes(f"table:{written(folder / 'predictions.csv', text)}{parameters}", 1)
        assert len({node.name for node in nodes}) == len(nodes) > 0
        assert [flaw(node.curve) for node in nodes] == [""] * len(nodes)


@fuzzed(
    form=st.sampled_from((("", PODS), ("openb:", OPENB), ("alibaba2017:", ALIBABA))).flatmap(
        lambda form: st.tuples(st.just(form[0]), mutated_text(form[1]))
    ),
    parameters=PARAMETERS,
    examples=300,
)
def test_any_list_of_pods_is_read_or_refused(folder: Path, form: tuple[str, str], parameters: str) -> None:
    file = written(folder / "pods.csv", form[1])
    for text in (f"{form[0]}{file}", f"{form[0]}{file}?{parameters}"):
        with suppress(ConfigurationError):
            assert are_possible(read_workload(text, NODES, 1).jobs)


@fuzzed(tasks=mutated_text(TASKS), fragments=mutated_text(FRAGMENTS), parameters=PARAMETERS, examples=150)
def test_any_trace_is_read_or_refused(folder: Path, tasks: str, fragments: str, parameters: str) -> None:
    for texts in ((tasks, FRAGMENTS), (TASKS, fragments)):
        for name, text in zip(("tasks", "fragments"), texts, strict=True):
            written(folder / f"{name}.csv", text)
        for way in ("?usage=steps", f"?{parameters}"):
            with suppress(ConfigurationError):
                assert are_possible(read_workload(f"opendc:{folder}{way}", NODES, 1).jobs)


@pytest.fixture(scope="module")
def parquet_bytes() -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    columns: dict[str, Any] = {"id": ["7"], "submission_time": [1], "duration": [600_000], "cpu_count": [2]}
    parquet.write_table(arrow.table({**columns, "cpu_capacity": [4000.0], "mem_capacity": [1]}), file)
    return file.getvalue()


@fuzzed(data=st.data(), examples=60)
def test_any_parquet_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, parquet_bytes: bytes, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "tasks.parquet").write_bytes(data.draw(mutated_bytes(parquet_bytes)))
    written(folder / "fragments.csv", FRAGMENTS)
    with suppress(ConfigurationError):
        assert are_possible(read_workload(f"opendc:{folder}", NODES, 1).jobs)


@fuzzed(parameters=PARAMETERS, examples=150)
def test_any_parameters_make_pods_or_are_refused(parameters: str) -> None:
    with suppress(ConfigurationError):
        assert are_possible(read_workload(f"synthetic:{parameters}&life=10h", NODES, 1).jobs)


@fuzzed(text=mutated_text(CARBON), examples=150)
def test_any_carbon_file_is_read_or_refused(folder: Path, text: str) -> None:
    with suppress(ConfigurationError):
        grid = read_grid([str(written(folder / "carbon.csv", text))])
        assert grid
        assert all((np.diff(each.times) > 0.0).all() and (each.grams >= 0.0).all() for each in grid.values())
