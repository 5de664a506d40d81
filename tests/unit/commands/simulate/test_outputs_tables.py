"""The tables of a simulation and their CSV: exact headers, every number read back as it was, nothing where unknown."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from peaks_scheduler.commands.simulate.outputs.csv_files import as_csv, write_tables
from peaks_scheduler.commands.simulate.outputs.tables import (
    Table,
    all_tables,
    bent_nodes,
    decisions_table,
    kpis_table,
    nodes_table,
    outages_table,
    power_table,
    usage_table,
    workload_table,
)
from peaks_scheduler.power.curves import Exponential, Piecewise
from peaks_scheduler.simulation.case import Placement, Replay
from peaks_scheduler.simulation.cluster import Outage
from peaks_scheduler.simulation.workload import Job
from tests.support.simulation import GRID, LATE, LONG, SHORT, A, B, default, two_strategies, with_energy

NODES = (
    "name,cpu_cores,memory_mib,watts_0,watts_10,watts_20,watts_30,watts_40,watts_50,watts_60,watts_70,watts_80,"
    "watts_90,watts_100"
)
KPIS = (
    "strategy,pods,unscheduled,core_hours,energy_kwh,bound_kwh,over_bound_percent,saving_vs_default_percent,average_ci,"
    "co2_kg,wait_s,turnaround_s,decision_us"
)


def header(table: Table) -> str:
    return ",".join(table.header)


def rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(table).decode(), newline="")))


def joules(folder: Path, strategy: str) -> float:
    """Energy of a strategy, computed from three files and nothing else."""

    def read(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))

    used = {job["pod"]: float(job["cpu_used_cores"]) for job in read("workload")}
    placed = [row for row in read("decisions") if row["strategy"] == strategy]
    edges = sorted({0.0, *(float(row[time]) for row in placed for time in ("start_s", "end_s"))})
    total = 0.0
    for node in read("nodes"):
        watts = [float(node[f"watts_{level}"]) for level in range(0, 101, 10)]
        for start, end in pairwise(edges):
            here = [r for r in placed if r["assigned_node"] == node["name"]]
            cores = sum(used[r["job_id"]] for r in here if float(r["start_s"]) <= start < float(r["end_s"]))
            total += (end - start) * float(np.interp(cores / float(node["cpu_cores"]), np.arange(11) / 10, watts))
    return total


# --- what was simulated ---------------------------------------------------------------------------------------------


def test_nodes_have_the_columns_that_the_simulator_reads() -> None:
    assert header(nodes_table([A, B])) == NODES


def test_power_stands_at_every_tenth_of_the_cpus() -> None:
    row = rows(nodes_table([A]))[0]
    assert [float(row[f"watts_{level}"]) for level in (0, 30, 100)] == [100.0, 130.0, 200.0]


def test_standby_and_region_are_columns_where_some_node_has_one() -> None:
    nodes = [A, replace(B, standby_watts=5.0, region="north")]
    assert header(nodes_table(nodes)) == f"{NODES},standby_watts,region"
    assert [row["standby_watts"] for row in rows(nodes_table(nodes))] == ["", "5.0"]


def test_a_curve_that_bends_between_levels_is_named() -> None:
    straight = replace(A, curve=Piecewise((0.0, 0.1, 1.0), (100.0, 150.0, 200.0)))
    between = replace(B, curve=Piecewise((0.0, 0.25, 1.0), (100.0, 150.0, 200.0)))
    assert bent_nodes([straight, between, replace(B, name="c", curve=Exponential(100.0, 20.0, 2.0))]) == ["b", "c"]


def test_workload_has_the_columns_that_the_simulator_reads() -> None:
    assert header(workload_table([LONG])) == "pod,arrival_s,duration_s,cpu_cores,memory_mib,cpu_used_cores"


def test_slack_and_node_are_columns_where_some_job_has_one() -> None:
    table = workload_table([LONG, replace(SHORT, slack_s=60.0, node="b")])
    assert table.header[-2:] == ("slack_s", "node")
    assert rows(table)[0]["node"] == ""


def test_usage_has_a_row_for_each_step() -> None:
    table = usage_table([LONG, replace(SHORT, usage=((0.0, 0.5), (900.0, 1.5)))])
    assert as_csv(table).decode() == "pod,offset_s,cpu_used_cores\nshort,0.0,0.5\nshort,900.0,1.5\n"


def test_outages_are_a_table_where_a_node_fails() -> None:
    names = [table.name for table in all_tables([default(outages=(Outage("a", 60.0, 90.0),))])]
    assert names == ["nodes", "workload", "outages", "decisions", "power", "kpis"]


def test_outages_of_each_seed_are_told_apart() -> None:
    results = [default(seed=seed, outages=(Outage("a", 60.0 * seed, 90.0),)) for seed in (1, 2)]
    assert as_csv(outages_table(results)).decode() == "node,start_s,end_s,seed\na,60.0,90.0,1\na,120.0,90.0,2\n"


# --- what came of it ------------------------------------------------------------------------------------------------


def test_decisions_have_the_columns_agreed() -> None:
    names = "job_id,assigned_node,strategy,ci_score,timestamp,start_s,end_s,cpu_used_cores"
    assert header(decisions_table(two_strategies())) == names


def test_decisions_stand_by_strategy_then_start() -> None:
    replay, measurement = default()
    backwards = replace(replay, placements=list(reversed(replay.placements)))
    assert [row["job_id"] for row in rows(decisions_table([(backwards, measurement)]))] == ["long", "short", "late"]


def test_a_start_is_told_in_utc_from_the_given_time() -> None:
    row = rows(decisions_table([default()], start=1_800_000_000.5))[1]
    assert row["timestamp"] == "2027-01-15T08:10:00.500000Z"  # 2027-01-15T08:00:00.5 and 600 s


def test_without_another_start_2020_begins() -> None:
    assert rows(decisions_table([default()]))[0]["timestamp"] == "2020-01-01T00:00:00Z"


def test_ci_score_is_the_intensity_at_the_start() -> None:
    scores = [row["ci_score"] for row in rows(decisions_table([default(grid=GRID)]))]
    assert scores == ["200.0", "200.0", "400.0"]


def test_ci_score_is_empty_where_carbon_is_not_counted() -> None:
    assert {row["ci_score"] for row in rows(decisions_table([default()]))} == {""}


def test_completed_is_a_column_where_a_node_failed_under_a_pod() -> None:
    replay, measurement = default()
    failed = [Placement(LONG, "a", 0.0, 60.0, completed=False), *replay.placements]
    table = decisions_table([(replace(replay, placements=failed), measurement)])
    assert [row["completed"] for row in rows(table)] == ["false", "true", "true", "true"]


def test_power_integrates_to_the_energy() -> None:
    table = rows(power_table([default()]))
    times, watts = ([float(row[name]) for row in table] for name in ("time", "watts"))
    assert header(power_table([default()])) == "strategy,time,watts,bound_watts"
    assert float(np.sum(np.diff(times) * watts[:-1])) == pytest.approx(1_116_000.0, rel=1e-12)


def test_kpis_begin_with_the_columns_agreed() -> None:
    assert header(kpis_table(two_strategies())).startswith(f"{KPIS},")


def test_kpis_have_batsims_names_beside_ours() -> None:
    row = rows(kpis_table([default()]))[0]
    assert float(row["consumed_joules"]) == pytest.approx(1_116_000.0)
    assert (row["mean_turnaround_time"], row["mean_slowdown"], row["makespan"]) == ("3000.0", "1.0", "5400.0")
    assert row["nb_machine_switches"] == "0"


def test_what_was_not_counted_is_an_empty_cell() -> None:
    row = rows(kpis_table([default()]))[0]
    assert (row["co2_kg"], row["cost"], row["average_ci"]) == ("", "", "")


def test_several_seeds_stand_in_a_last_column() -> None:
    results = [with_energy(default(), 0.31, 1), with_energy(default(), 0.32, 2)]
    assert [row["seed"] for row in rows(kpis_table(results))] == ["1", "2"]
    assert decisions_table(results).header[-1] == power_table(results).header[-1] == "seed"


def test_nodes_that_differ_by_seed_stand_there_for_each() -> None:
    other = default(seed=2, nodes=(replace(A, curve=B.curve), B))
    table = all_tables([default(seed=1), other])[0]
    assert [(row["name"], row["watts_0"], row["seed"]) for row in rows(table)] == [
        ("a", "100.0", "1"),
        ("b", "50.0", "1"),
        ("a", "50.0", "2"),
        ("b", "50.0", "2"),
    ]


def test_nodes_that_are_the_same_for_every_seed_stand_there_once() -> None:
    assert header(all_tables([default(seed=1), default(seed=2)])[0]) == NODES


# --- the files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "expected"), [("least-allocated", 1_116_000.0), ("envelope", 1_089_000.0)])
def test_energy_computed_from_the_files_is_that_of_the_hand(tmp_path: Path, strategy: str, expected: float) -> None:
    write_tables(tmp_path, all_tables(two_strategies()))
    assert joules(tmp_path, strategy) == pytest.approx(expected, rel=1e-12)


def test_a_float_is_read_back_as_it_was() -> None:
    job = Job("x", 1.0 / 3.0, 1e-7 + 1.0, 0.1 + 0.2, 512.0, 2.0 / 3.0)
    row = rows(workload_table([job]))[0]
    assert (float(row["arrival_s"]), float(row["duration_s"])) == (job.arrival_s, job.duration_s)
    assert float(row["cpu_used_cores"]) == job.cpu_used_cores


def test_a_name_of_any_characters_is_read_back_as_it_was() -> None:
    assert rows(workload_table([replace(LONG, name='a,"b"\nc')]))[0]["pod"] == 'a,"b"\nc'


def test_kubenergys_log_has_its_five_columns(tmp_path: Path) -> None:
    write_tables(tmp_path, all_tables([default(grid=GRID)]))
    lines = (tmp_path / "kubenergy_decisions.csv").read_text().splitlines()
    assert lines[0] == "JobID,AssignedNode,Strategy,CIscore,Timestamp"
    assert lines[3] == "late,a,least-allocated,400.0,2020-01-01T00:30:00Z"


def test_usage_is_a_file_only_where_some_job_has_steps(tmp_path: Path) -> None:
    write_tables(tmp_path, all_tables([default()]))
    assert not (tmp_path / "usage.csv").exists()
    write_tables(tmp_path, all_tables([default(jobs=(replace(LONG, usage=((0.0, 2.0),)), SHORT, LATE))]))
    assert (tmp_path / "usage.csv").exists()


def test_nothing_placed_gives_headers_alone() -> None:
    replay, measurement = default()
    nothing = Replay(replay.case, (), replay.case.jobs, 3, 0.0)
    assert rows(decisions_table([(nothing, measurement)])) == []
