"""OpenDC's tables: its names, types and units, and sums that are those of the simulation.

Names and types are those of OpenDC's export columns (``host``, ``task``, ``powerSource``, ``service``).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peaks_scheduler.commands.simulate.outputs import opendc
from peaks_scheduler.commands.simulate.outputs.opendc import export_interval, write_opendc
from peaks_scheduler.simulation.case import Placement, Replay
from peaks_scheduler.simulation.measurement import Measurement
from tests.support.simulation import GRID, LATE, LONG, SHORT, A, B, Result, default, node_series, two_strategies

HOST = (
    "timestamp timestamp_absolute host_name cluster_name core_count mem_capacity tasks_terminated tasks_running "
    "tasks_error tasks_invalid cpu_capacity cpu_usage cpu_demand cpu_utilization cpu_time_active cpu_time_idle "
    "cpu_time_steal cpu_time_lost power_draw energy_usage embodied_carbon uptime downtime boot_time"
)
SOURCE = (
    "timestamp timestamp_absolute source_name cluster_name power_draw energy_usage carbon_intensity carbon_emission"
)
SERVICE = (
    "timestamp timestamp_absolute hosts_up hosts_down tasks_total tasks_pending tasks_active tasks_completed "
    "tasks_terminated"
)
TASK = (
    "timestamp timestamp_absolute task_id task_name host_name mem_capacity cpu_count cpu_limit cpu_usage cpu_demand "
    "cpu_time_active cpu_time_idle cpu_time_steal cpu_time_lost uptime downtime num_failures num_pauses schedule_time "
    "submission_time finish_time scheduling_delay failure_delay checkpoint_delay task_state"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_opendc(tmp_path, two_strategies())
    return tmp_path


def table(folder: Path, name: str, strategy: str = "least-allocated") -> pa.Table:
    # one file: with the folder's seed=0 in its path pyarrow would read that as a column
    return pq.ParquetFile(folder / "raw-output" / strategy / "seed=0" / f"{name}.parquet").read()


def written(tmp_path: Path, result: Result, name: str) -> pa.Table:
    write_opendc(tmp_path, [result])
    return table(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "columns"), [("host", HOST), ("powerSource", SOURCE), ("service", SERVICE), ("task", TASK)]
)
def test_columns_are_those_of_opendc(folder: Path, name: str, columns: str) -> None:
    assert table(folder, name).column_names == columns.split()


def test_every_strategy_is_a_scenario(folder: Path) -> None:
    assert {path.name for path in (folder / "raw-output").iterdir()} == {"least-allocated", "envelope"}


def test_samples_are_five_minutes_apart_and_one_is_at_the_end(folder: Path) -> None:
    assert table(folder, "service")["timestamp"].to_pylist() == [300_000 * k for k in range(1, 19)]


def test_energy_of_the_hosts_is_that_of_the_simulation(folder: Path) -> None:
    assert math.fsum(table(folder, "host")["energy_usage"].to_pylist()) == pytest.approx(1_116_000.0)


def test_energy_of_the_source_is_that_of_the_simulation(folder: Path) -> None:
    assert math.fsum(table(folder, "powerSource", "envelope")["energy_usage"].to_pylist()) == pytest.approx(1_089_000.0)


def test_power_is_that_just_before_the_sample(folder: Path) -> None:
    hosts = table(folder, "host").to_pylist()
    drawn = [row["power_draw"] for row in hosts if row["timestamp"] == 600_000]
    assert drawn == [150.0, 50.0]  # ``short`` comes to b at 600 s


def test_a_core_is_a_thousand_mhz(folder: Path) -> None:
    first = table(folder, "host").to_pylist()[0]
    assert (first["cpu_capacity"], first["cpu_usage"], first["cpu_utilization"]) == (4000.0, 2000.0, 0.5)
    assert (first["cpu_time_active"], first["cpu_time_idle"]) == (150_000, 150_000)


def test_carbon_is_the_power_by_the_intensity_of_its_time(tmp_path: Path) -> None:
    source = written(tmp_path, default(grid=GRID), "powerSource")
    # 600 s of 200 W and 1,200 s of 220 W at 200 g/kWh; 600 s of 245, 1,200 s of 225, 1,800 s of 175 W at 400
    grams = (384_000.0 * 200.0 + 732_000.0 * 400.0) / 3.6e6
    assert math.fsum(source["carbon_emission"].to_pylist()) == pytest.approx(grams)
    assert source["carbon_intensity"].to_pylist()[5:7] == [200.0, 400.0]  # just before 1,800 s, and after


def test_each_region_is_a_source(tmp_path: Path) -> None:
    nodes = (replace(A, region="north"), replace(B, region="south"))
    source = written(tmp_path, default(nodes=nodes), "powerSource").to_pylist()
    joules = {
        name: sum(row["energy_usage"] for row in source if row["cluster_name"] == name) for name in ("north", "south")
    }
    # a: 1,800 s each of 150, 175, 125 W; b: 600 s of 50, 1,800 of 70, 3,000 of 50 W
    assert joules == pytest.approx({"north": 810_000.0, "south": 306_000.0})


def test_service_counts_what_waits_runs_and_has_ended(folder: Path) -> None:
    rows = {row["timestamp"]: row for row in table(folder, "service").to_pylist()}
    half, last = rows[1_800_000], rows[5_400_000]
    assert (half["tasks_active"], half["tasks_completed"], half["tasks_total"]) == (3, 0, 3)
    assert (last["tasks_active"], last["tasks_completed"], last["hosts_up"]) == (0, 3, 2)


def test_a_task_is_followed_from_its_arrival_to_its_end(folder: Path) -> None:
    short = [row for row in table(folder, "task").to_pylist() if row["task_name"] == "short"]
    assert [row["timestamp"] for row in short] == [600_000 + 300_000 * k for k in range(7)]
    assert [row["task_state"] for row in short] == ["RUNNING"] * 6 + ["COMPLETED"]
    assert (short[-1]["schedule_time"], short[-1]["finish_time"]) == (600_000, 2_400_000)


def test_a_task_uses_its_cores_for_as_long_as_it_runs(folder: Path) -> None:
    rows = [row for row in table(folder, "task").to_pylist() if row["task_name"] == "long"]
    assert sum(row["uptime"] for row in rows) == 3_600_000
    assert sum(row["cpu_time_active"] * row["cpu_count"] for row in rows) == 7_200_000  # 2 cores for an hour


def test_a_task_that_changes_its_use_is_followed(tmp_path: Path) -> None:
    stepped = replace(LONG, usage=((0.0, 1.0), (450.0, 2.0)))
    replay, measurement = default(jobs=(stepped, SHORT, LATE))
    placed = [replace(one, job=stepped) if one.job is LONG else one for one in replay.placements]
    rows = written(tmp_path, (replace(replay, placements=placed), measurement), "task").to_pylist()
    long = [row for row in rows if row["task_name"] == "long"]
    assert [row["cpu_usage"] for row in long[:3]] == [1000.0, 2000.0, 2000.0]
    assert long[1]["cpu_time_active"] * 2 == 150_000 * 1 + 150_000 * 2  # 150 s with one core, 150 s with two


def failed_once() -> Result:
    """``long`` starts on a, which fails at 450 s, waits, and runs on b from 900 s on."""
    replay, measurement = default()
    placed = [
        Placement(LONG, "a", 0.0, 450.0, completed=False),
        Placement(LONG, "b", 900.0, 4500.0),
        *replay.placements[1:],
    ]
    up = replace(node_series((0.0, 450.0, 900.0), (0.0,) * 3, (100.0,) * 3), up=np.array([1.0, 0.0, 1.0]))
    return replace(replay, placements=placed), replace(measurement, nodes={**measurement.nodes, "a": up})


def test_a_task_whose_node_failed_is_failed_until_it_runs_again(tmp_path: Path) -> None:
    rows = [row for row in written(tmp_path, failed_once(), "task").to_pylist() if row["task_name"] == "long"]
    assert [row["task_state"] for row in rows[:4]] == ["RUNNING", "FAILED", "RUNNING", "RUNNING"]
    assert [row["host_name"] for row in rows[:4]] == ["a", "", "b", "b"]
    assert rows[-1]["num_failures"] == 1
    assert sum(row["uptime"] for row in rows) == 450_000 + 3_600_000


def test_a_host_that_failed_is_down_so_long(tmp_path: Path) -> None:
    rows = [row for row in written(tmp_path, failed_once(), "host").to_pylist() if row["host_name"] == "a"]
    assert sum(row["downtime"] for row in rows) == 450_000


def test_a_task_that_never_runs_waits_to_the_end(tmp_path: Path) -> None:
    replay, measurement = default()
    lost = replace(replay, placements=replay.placements[:2], unscheduled=(LATE,))
    rows = [row for row in written(tmp_path, (lost, measurement), "task").to_pylist() if row["task_name"] == "late"]
    assert {row["task_state"] for row in rows} == {"PROVISIONING"}
    assert (rows[-1]["schedule_time"], rows[-1]["scheduling_delay"]) == (None, 3_600_000)


def test_too_many_rows_make_the_samples_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opendc, "MOST_ROWS", 20)  # 18 samples of two hosts would be 36 rows
    assert export_interval(*default()) == 600.0


def test_nothing_that_runs_gives_one_sample(tmp_path: Path) -> None:
    replay, measurement = default()
    nothing = Replay(replay.case, (), replay.case.jobs, 0, 0.0)
    still = Measurement(measurement.kpis, replace(measurement.series, end_s=0.0), measurement.nodes)
    assert len(written(tmp_path, (nothing, still), "host")) == 2


def test_the_same_results_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_opendc(other, two_strategies())
    for path in (other / "raw-output").rglob("*.parquet"):
        assert path.read_bytes() == (folder / path.relative_to(other)).read_bytes()
