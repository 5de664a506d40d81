"""``--carbon``: carbon intensity of the grid from several kinds of file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from peaks_scheduler.commands.simulate.inputs.carbon import read_grid
from peaks_scheduler.errors import ConfigurationError

MAPS = "Datetime (UTC),Zone Id,Carbon Intensity gCO2eq/kWh (direct),Carbon Intensity gCO2eq/kWh (LCA)"


def written(folder: Path, name: str, *rows: str) -> str:
    file = folder / name
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(file)


def maps(folder: Path, zone: str, first: str = "2022-01-01") -> str:
    """An hour's steps of one zone as Electricity Maps writes them: direct 100, 110, 120; LCA 50 more."""
    rows = [f"{first} 0{k}:00:00,{zone},{100 + 10 * k},{150 + 10 * k}" for k in range(3)]
    return written(folder, f"{zone}.csv", MAPS, *rows)


def test_a_table_of_seconds_holds_for_all_regions(tmp_path: Path) -> None:
    grid = read_grid([written(tmp_path, "c.csv", "time_s,gco2_per_kwh", "0,100", "3600,200")])
    assert list(grid) == [""]
    assert [grid[""].at(time) for time in (0.0, 3599.0, 3600.0, 1e9)] == [100.0, 100.0, 200.0, 200.0]


def test_a_column_of_regions_makes_a_series_for_each(tmp_path: Path) -> None:
    rows = ("0,north,100", "0,south,300", "3600,north,50", "3600,south,400")
    grid = read_grid([written(tmp_path, "c.csv", "time_s,region,gco2_per_kwh", *rows)])
    assert {region: each.grams.tolist() for region, each in grid.items()} == {"north": [100, 50], "south": [300, 400]}


def test_dates_become_seconds_from_the_first(tmp_path: Path) -> None:
    rows = ("time,gco2_per_kwh", "2026-01-01T00:00:00Z,100", "2026-01-01T02:00:00+01:00,200")
    assert read_grid([written(tmp_path, "c.csv", *rows)])[""].times.tolist() == [0.0, 3600.0]


def test_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    grid = read_grid([written(tmp_path, "c.csv", "time_s,gco2_per_kwh", "3600,200", "0,100")])
    assert (grid[""].times.tolist(), grid[""].grams.tolist()) == ([0.0, 3600.0], [100.0, 200.0])


def test_the_simulation_may_start_within_the_dates(tmp_path: Path) -> None:
    start = datetime(2022, 1, 1, 1, tzinfo=UTC).timestamp()
    grid = read_grid([maps(tmp_path, "ES")], start)
    assert grid[""].times.tolist() == [-3600.0, 0.0, 3600.0]
    assert grid[""].at(0.0) == 110.0


def test_direct_emissions_count_unless_the_whole_life_is_asked_for(tmp_path: Path) -> None:
    file = maps(tmp_path, "ES")
    assert read_grid([file])[""].grams.tolist() == [100, 110, 120]
    assert read_grid([f"{file}?column=lca"])[""].grams.tolist() == [150, 160, 170]


def test_several_zones_keep_their_names_and_a_region_may_be_given(tmp_path: Path) -> None:
    grid = read_grid([maps(tmp_path, "ES"), f"north={maps(tmp_path, 'BR')}?column=lca"])
    assert {region: each.grams[0] for region, each in grid.items()} == {"ES": 100.0, "north": 150.0}


def test_files_of_different_dates_share_one_clock(tmp_path: Path) -> None:
    early = written(tmp_path, "a.csv", "time,gco2_per_kwh", "2022-01-01T00:00:00Z,1", "2022-01-02T00:00:00Z,2")
    late = written(tmp_path, "b.csv", "time,gco2_per_kwh", "2022-01-01T06:00:00Z,3", "2022-01-02T00:00:00Z,4")
    grid = read_grid([f"a={early}", f"b={late}"])
    assert (grid["a"].times.tolist(), grid["b"].times.tolist()) == ([-21600.0, 64800.0], [0.0, 64800.0])


def test_lets_wait_awhile_is_read(tmp_path: Path) -> None:
    rows = ("Time,Carbon Intensity", "2019-12-20 00:00:00,42.341", "2019-12-20 00:30:00,42.102")
    grid = read_grid([written(tmp_path, "fr.csv", *rows)])
    assert (grid[""].times.tolist(), grid[""].grams.tolist()) == ([0.0, 1800.0], [42.341, 42.102])


def test_any_column_may_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, "c.csv", "oootime,Caiso_North", "2023-06-08 00:00:00,425", "2023-06-08 00:05:00,432")
    assert read_grid([f"{file}?column=Caiso_North&time=oootime"])[""].grams.tolist() == [425.0, 432.0]


def test_opendcs_parquet_is_read(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    times = [datetime(2022, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    stamps = arrow.array(times, arrow.timestamp("ms", "UTC"))
    parquet.write_table(arrow.table({"timestamp": stamps, "carbon_intensity": [300.0, 250.5]}), tmp_path / "c.parquet")
    grid = read_grid([f"NL={tmp_path / 'c.parquet'}"])
    assert (grid["NL"].times.tolist(), grid["NL"].grams.tolist()) == ([0.0, 3600.0], [300.0, 250.5])


def test_without_files_there_is_no_grid() -> None:
    assert read_grid([]) == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("time_s,gco2_per_kwh", "0,100", "60,-1"), "line 3: expected a number of at least 0"),
        (("time_s,gco2_per_kwh", "0,100", "60,"), "line 3: .* it is empty"),
        (("time_s,gco2_per_kwh", "0,100", "60,NaN"), "line 3: .* got 'NaN'"),
        (("time_s,gco2_per_kwh", "0,100", "60,250000"), "line 3: .* at most 5,000 .* expected gCO2/kWh"),
        (("time_s,gco2_per_kwh", "0,100", "0,200"), "line 3: expected each time once"),
        (("time_s,gco2_per_kwh", "x,100"), "line 2: .* got 'x'"),
        (("time,gco2_per_kwh", "2022-01-01,100", ",200"), "line 3: expected a time in column 'time'; got ''"),
        (("time_s,grams", "0,100"), "expected a column gco2_per_kwh .* it has 'time_s', 'grams'"),
        (("hour,gco2_per_kwh", "0,100"), "expected a column time_s or time"),
        (("time_s,gco2_per_kwh",), "expected rows below the header"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, rows: tuple[str, ...], words: str) -> None:
    file = written(tmp_path, "c.csv", *rows)
    with pytest.raises(ConfigurationError, match=f"^--carbon {file}: (.*)?{words}"):
        read_grid([file])


def test_two_files_for_one_region_are_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, "c.csv", "time_s,gco2_per_kwh", "0,100")
    with pytest.raises(ConfigurationError, match="expected one series for all regions; got two: say REGION=FILE"):
        read_grid([file, file])


def test_a_start_outside_the_dates_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"at 2026-01-01T00:00:00, .* it has 2022-01-01T00:00:00 to"):
        read_grid([maps(tmp_path, "ES")], datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def test_one_region_cannot_stand_for_several(tmp_path: Path) -> None:
    file = written(tmp_path, "c.csv", "time_s,region,gco2_per_kwh", "0,north,1", "0,south,2")
    with pytest.raises(ConfigurationError, match="expected one region in the file; it has 'north', 'south'"):
        read_grid([f"x={file}"])


@pytest.mark.parametrize("text", ["nowhere.csv", "north=nowhere.csv", "nowhere.parquet"])
def test_a_file_that_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--carbon nowhere.*expected a readable"):
        read_grid([text])


@pytest.mark.parametrize(
    ("name", "rows", "low", "mean", "high"),
    [
        ("electricitymaps_US-CAL-CISO_2022_hourly", 8760, 53, 195, 342),
        ("electricitymaps_ES_2022_hourly", 8760, 40, 167, 318),
        ("electricitymaps_BR_2022_hourly", 8760, 27, 60, 105),
    ],
)
def test_a_year_of_electricity_maps_is_read(
    test_data: Path, name: str, rows: int, low: int, mean: int, high: int
) -> None:
    grams = read_grid([str(test_data / "carbon" / f"{name}.csv.gz")])[""].grams
    assert len(grams) == rows
    assert [round(each) for each in (grams.min(), grams.mean(), grams.max())] == [low, mean, high]


@pytest.mark.parametrize(("name", "rows", "mean"), [("fr", 18_574, 57), ("gb", 21_980, 218)])
def test_a_year_of_lets_wait_awhile_is_read(test_data: Path, name: str, rows: int, mean: int) -> None:
    grams = read_grid([str(test_data / "carbon" / f"letswaitawhile_{name}_ci_2020.csv.gz")])[""].grams
    assert (len(grams), round(grams.mean())) == (rows, mean)
