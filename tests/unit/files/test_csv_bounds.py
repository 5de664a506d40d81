"""Tables that are too large, too wide or too long, also when unpacked: refused before they fill the memory."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from peaks_scheduler.commands.import_models.imported_models import Target
from peaks_scheduler.commands.import_models.levels import LevelsRequest, import_levels
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv import bounded_text
from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.header import names_of
from peaks_scheduler.files.csv.rows import plain_table
from peaks_scheduler.files.reading import MOST_CSV

NAMES = names_of(["cpu", "watts"])


def test_a_table_of_ten_gigabytes_is_not_begun(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    with file.open("wb") as made:
        made.truncate(10 * 2**30)
    with pytest.raises(ConfigurationError, match=r"--csv .*m\.csv: .* expected at most 512 MiB"):
        read_csv_text(str(file))


def test_what_is_packed_counts_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "m.csv.gz"
    block = gzip.compress(b"\n" * 2**24, 1)
    file.write_bytes(block * (MOST_CSV // 2**24 + 1))
    assert file.stat().st_size < MOST_CSV // 50
    with pytest.raises(ConfigurationError, match="expected at most 512 MiB"):
        read_csv_text(str(file))


def test_a_line_without_an_end_is_refused() -> None:
    text = "cpu,watts\n1,2\n" + "3," * 2**20
    with pytest.raises(ConfigurationError, match="expected lines of at most 1,048,576 characters; line 3 has more"):
        plain_table("m.csv", text, NAMES)


def test_ten_thousand_columns_are_read_and_more_refused() -> None:
    names = [f"c{i}" for i in range(10_000)]
    assert len(plain_table("m.csv", ",".join(names) + "\n1,2\n", NAMES).header) == 10_000
    with pytest.raises(ConfigurationError, match="expected at most 10,000 columns; it has 10,001: save only those"):
        plain_table("m.csv", ",".join([*names, "more"]) + "\n1,2\n", NAMES)


def test_short_rows_below_a_wide_header_count_as_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_text, "_MOST_CELLS", 5000)
    text = ",".join(["cpu", "watts", *(f"c{i}" for i in range(998))]) + "\n" + "1,2\n" * 7
    with pytest.raises(ConfigurationError, match="expected at most 5,000 cells; it has more"):
        plain_table("m.csv", text, NAMES)
    assert len(plain_table("m.csv", text.replace("1,2\n", "", 2), NAMES).rows) == 5


def test_a_quote_without_an_end_is_refused() -> None:
    for rest in ("1,2\n", "1,2\n" * 100_000):
        with pytest.raises(ConfigurationError, match="expected CSV below line 1; it is none"):
            plain_table("m.csv", 'cpu,watts\n"3,4\n' + rest, NAMES)


def test_only_comments_at_the_top_may_be_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reader = csv.reader

    def noted(lines: object, **form: object) -> object:
        read.append(str(form["delimiter"]))
        return reader(lines, **form)  # type: ignore[arg-type,call-overload]

    monkeypatch.setattr(csv, "reader", noted)
    rows = plain_table("m.csv", "cpu,watts\n" + "# note\n1,2\n" * 20_000, NAMES).rows
    assert len(rows) == 20_000
    assert len(read) < 1000


def test_rows_that_differ_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(list[list[str]]):
        reads = 0

        def __getitem__(self, at: object) -> list[str]:  # type: ignore[override]
            Counted.reads += 1
            return super().__getitem__(at)  # type: ignore[index]

    file, made = tmp_path / "levels.csv", plain_table
    file.write_text("name,watts_idle,watts_100\n" + "".join(f"m{i},{60 + i},240\n" for i in range(500)))
    counting = "peaks_scheduler.commands.import_models.levels.plain_table"
    monkeypatch.setattr(counting, lambda *given: _counting(made(*given), Counted))
    with pytest.raises(ConfigurationError, match="got 500: line 2"):
        import_levels(LevelsRequest(str(file), {}), Target(nodes=("w",)))
    assert Counted.reads < 20 * 500


def _counting(found: CsvTable, kind: type[list[list[str]]]) -> CsvTable:
    return CsvTable(found.origin, found.header, kind(map(list, found.rows)), found.lines, found.notes)
