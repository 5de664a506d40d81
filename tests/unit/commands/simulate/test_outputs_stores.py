"""Parquet and SQLite: the same rows as the CSV, with types, read back by other programs."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peaks_scheduler.commands.simulate.outputs.parquet import as_parquet, write_parquet
from peaks_scheduler.commands.simulate.outputs.sqlite import append
from peaks_scheduler.commands.simulate.outputs.tables import all_tables, decisions_table, kpis_table, nodes_table
from peaks_scheduler.errors import ConfigurationError
from tests.support.simulation import GRID, A, B, default, two_strategies


def read(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data))


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


# --- Parquet --------------------------------------------------------------------------------------------------------


def test_parquet_has_a_type_for_each_column() -> None:
    types = {field.name: str(field.type) for field in read(as_parquet(decisions_table([default()]))).schema}
    assert types == {
        "job_id": "string",
        "assigned_node": "string",
        "strategy": "string",
        "ci_score": "double",
        "timestamp": "timestamp[us, tz=UTC]",
        "start_s": "double",
        "end_s": "double",
        "cpu_used_cores": "double",
    }


def test_parquet_has_the_rows_of_the_table() -> None:
    table = read(as_parquet(decisions_table(two_strategies())))
    assert table["job_id"].to_pylist() == ["long", "short", "late"] * 2
    assert table["start_s"].to_pylist() == [0.0, 600.0, 1800.0] * 2


def test_unknown_is_null_in_parquet() -> None:
    assert read(as_parquet(kpis_table([default()])))["co2_kg"].to_pylist() == [None]


def test_pods_are_whole_numbers_in_parquet() -> None:
    assert str(read(as_parquet(kpis_table([default()]))).schema.field("pods").type) == "int64"


def test_the_same_tables_give_the_same_bytes() -> None:
    assert as_parquet(nodes_table([A, B])) == as_parquet(nodes_table([A, B]))


def test_every_table_is_a_parquet_file(tmp_path: Path) -> None:
    write_parquet(tmp_path, all_tables([default()]))
    assert {path.stem for path in tmp_path.iterdir()} == {"nodes", "workload", "decisions", "power", "kpis"}


# --- SQLite ---------------------------------------------------------------------------------------------------------


def test_a_query_finds_what_a_strategy_needed(tmp_path: Path) -> None:
    append(tmp_path / "runs.db", all_tables(two_strategies()), seed=7)
    found = ask(tmp_path / "runs.db", "SELECT seed, energy_kwh FROM kpis WHERE strategy = 'envelope'")
    assert found == [(7, 0.3025)]


def test_another_run_is_added_and_the_first_one_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    runs = [append(path, all_tables(two_strategies()), seed=seed) for seed in (1, 2)]
    assert runs == [1, 2]
    assert ask(path, "SELECT run, seed, count(*) FROM decisions GROUP BY run") == [(1, 1, 6), (2, 2, 6)]


def test_a_run_with_more_columns_leaves_null_in_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    append(path, all_tables([default()]), seed=1)
    append(path, all_tables([default(nodes=(A, replace(B, standby_watts=5.0)))]), seed=1)
    assert ask(path, "SELECT run, standby_watts FROM nodes WHERE name = 'b'") == [(1, None), (2, 5.0)]


def test_the_notes_of_a_run_are_kept(tmp_path: Path) -> None:
    append(tmp_path / "runs.db", all_tables([default()]), seed=3, notes=["2 pods left out", "usage assumed"])
    assert ask(tmp_path / "runs.db", "SELECT * FROM runs") == [(1, 3, "2 pods left out\nusage assumed")]


def test_a_time_can_be_asked_for_in_sqlite(tmp_path: Path) -> None:
    append(tmp_path / "runs.db", all_tables([default(grid=GRID)]), seed=1)
    found = ask(tmp_path / "runs.db", "SELECT job_id FROM decisions WHERE datetime(timestamp) > '2020-01-01 00:20:00'")
    assert found == [("late",)]


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is no database" * 100)
    with pytest.raises(ConfigurationError, match=r"--sqlite .*notes.txt: expected a SQLite database"):
        append(tmp_path / "notes.txt", all_tables([default()]), seed=1)


def test_a_run_that_cannot_be_stored_whole_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIEW kpis AS SELECT 1 AS run")
    with pytest.raises(ConfigurationError):
        append(path, all_tables([default()]), seed=1)
    assert ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'") == []
