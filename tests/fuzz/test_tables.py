"""Tables of measurements: CSV of any kind, their numbers, times and units."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from peaks_scheduler.commands.fit.from_csv import CsvColumns, GivenUnits, from_csv
from peaks_scheduler.commands.import_models.imported_models import Target
from peaks_scheduler.commands.import_models.levels import LevelsRequest, import_levels
from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.time_columns import times
from peaks_scheduler.files.csv.written_numbers import told, value, written
from peaks_scheduler.sources.carbon_file import parse_carbon
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import mutated_bytes, mutated_text, odd_texts

PLAIN = "".join(
    ["time,node,cpu,watts\n"]
    + [f"2026-11-20T10:{i:02d}:00Z,w{i % 2},{5 + 7 * i % 90},{100 + 13 * i % 200}.{i}\n" for i in range(40)]
)
GERMAN = "Datum;cpu;watts\n" + "".join(f"{i + 1}.11.2026 10:00;{i},5 %;1.{i:03d},25 W\n" for i in range(28))
INFLUX = """#group,false,false,true,true,false,false
#datatype,string,long,dateTime:RFC3339,string,string,double
#default,_result,,,,,
,result,table,_time,host,_field,_value
,,0,2026-11-20T10:00:00Z,w,cpu,12.5
,,1,2026-11-20T10:00:00Z,w,watts,180.5
,,0,2026-11-20T10:01:00Z,w,cpu,20
,,1,2026-11-20T10:01:00Z,w,watts,200
"""
LONG = "time,series,value\n" + "".join(f"{1_800_000_000 + i},{'cpu' if i % 2 else 'watts'},{i}\n" for i in range(20))
LEVELS = "name,watts_idle,watts_10,watts_50,watts_100\nm5,60.5,80,150,240\nm6,50,70,120,200\n"

tables = st.sampled_from((PLAIN, GERMAN, INFLUX, LONG)).flatmap(mutated_text)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "m.csv"


GRID = "time,region,gco2_per_kwh\n" + "".join(f"{1_800_000_000 + 3600 * i},r{i % 2},{20 * i}\n" for i in range(12))


@fuzzed(text=mutated_text(GRID) | tables)
def test_any_file_of_carbon_intensity_is_read_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        for region in parse_carbon(text, "carbon.csv").values():
            assert np.isfinite(region.intensity.grams).all()
            assert region.end > region.start


@fuzzed(
    data=tables.map(lambda text: text.encode(errors="surrogatepass")) | mutated_bytes(PLAIN.encode()),
    node=st.sampled_from((None, "node", "host")),
    timed=st.sampled_from((None, "time", "Datum", "_time")),
    examples=200,
)
def test_any_table_is_read_or_refused(file: Path, data: bytes, node: str | None, timed: str | None) -> None:
    file.write_bytes(data)
    with suppress(ConfigurationError):
        nodes, notes = from_csv(CsvColumns(str(file), "cpu", "watts", node, timed), GivenUnits())
        assert nodes
        assert all(isinstance(note, str) for note in notes)


@fuzzed(text=mutated_text(LEVELS), named=st.booleans(), median=st.booleans())
def test_any_table_of_levels_is_taken_over_or_refused(file: Path, text: str, named: bool, median: bool) -> None:
    file.write_bytes(text.encode(errors="surrogatepass"))
    target = None if named else Target(nodes=("w",))
    with suppress(PeaksError):
        import_levels(LevelsRequest(str(file), {}, name_column="name" if named else None, median=median), target)


@fuzzed(odd_texts | mutated_text("-1.541,25e+3 kW") | st.text("0123456789.,' -+eE%W", max_size=12))
def test_any_cell_is_a_number_or_none(cell: str) -> None:
    with suppress(ValueError):
        number = written(cell)
        for mark in (*filter(None, told(number.body)), "."):
            with suppress(ValueError):
                assert isinstance(value(number, mark), float)


DATES = (
    "2026-11-20T10:00:00.5+01:00",
    "Fri, 20 Nov 2026 10:00 PM GMT",
    "20.11.2026 10:00:00",
    "3/14/2026",
    "20261120T101010",
)


@fuzzed(st.lists(st.sampled_from(DATES).flatmap(mutated_text) | odd_texts, min_size=1, max_size=4))
def test_any_column_is_times_or_refused(cells: list[str]) -> None:
    column = [cell.strip() for cell in cells]
    table = CsvTable("f", ("time",), [(cell,) for cell in column], range(2, 2 + len(column)))
    with suppress(ConfigurationError):
        found, _ = times(table, "--time-column", "time")
        assert found.shape == (len(cells),)
        assert np.isfinite(found).any()
