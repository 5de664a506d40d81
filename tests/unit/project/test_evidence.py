"""The evidence: its cases run, its tables have a figure in every cell, and its arithmetic is that of the documents."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import BenchmarkError
from benchmarks.evidence import fleets
from benchmarks.evidence.__main__ import main
from benchmarks.evidence.cases import proposal, requests
from benchmarks.evidence.document import draw, filled
from benchmarks.evidence.measuring import kept, measured, save
from benchmarks.evidence.possible import Possible
from benchmarks.evidence.report import SMALL, table
from benchmarks.evidence.small import TWO_LINES, packed, spread
from benchmarks.evidence.statistics import mean
from benchmarks.evidence.window import between
from benchmarks.evidence.workloads import burst, churn, filling
from benchmarks.study import servers
from peaks_scheduler.simulation.measurement import PowerSeries

DOCUMENT = Path(__file__).parents[3] / "docs" / "evidence.md"


@pytest.fixture
def made_up_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Twelve servers of 32 to 43 threads in a file like the measured ones, their power a line with a first step."""
    file = tmp_path / servers.FILE
    file.parent.mkdir()
    with gzip.open(file, "wt", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["hw_available", "hardware_threads", *servers.COLUMNS])
        for i in range(12):
            watts = [50 + 7 * i, *(90 + 5 * i + (12 + i) * level for level in range(1, 11))]
            rows.writerow(["Jan-2015", f"{32 + i} (2 / core)", *watts])
    monkeypatch.setenv("PEAKS_TEST_DATA", str(tmp_path))
    fleets.measured_servers.cache_clear()
    yield
    fleets.measured_servers.cache_clear()


def cells(text: str) -> list[str]:
    """All cells of a table's rows but the first of each row."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    return [cell for row in rows for cell in row[1:]]


NUMBER = re.compile(r"-?\d+(\.\d+)?( ± \d+(\.\d+)?)?$")


@pytest.mark.usefixtures("made_up_servers")
def test_a_small_version_of_the_case_about_requests_fills_its_table() -> None:
    found = cells(requests.report(measured(requests.runs(SMALL), str, 1), SMALL).texts["requests.table"])
    assert len(found) == 12
    assert all(NUMBER.match(cell) for cell in found)


@pytest.mark.usefixtures("made_up_servers")
def test_a_small_version_of_the_case_about_the_proposal_fills_its_tables_and_draws(tmp_path: Path) -> None:
    report = proposal.report(measured(proposal.runs(SMALL), str, 1), SMALL)
    assert all(NUMBER.match(cell) for cell in cells(report.texts["proposal.ten"]))
    draw(report.drawings["proposal"], tmp_path / "one.svg")
    draw(report.drawings["proposal"], tmp_path / "other.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_ten_nodes_on_two_lines_save_twelve_percent_where_the_lines_meet() -> None:
    """6 nodes at 100 W and 4 at 40 W are 760 W; ten at the knee are 760 W / 0.88."""
    assert packed(TWO_LINES, 0.6) == pytest.approx(760.0)
    assert spread(TWO_LINES, 0.6) == pytest.approx(760.0 / 0.88)


def test_an_interval_is_student_s() -> None:
    """t of two degrees of freedom is 4.303 in every table; the deviation of 1, 2, 3 is 1."""
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.half) == (2.0, pytest.approx(4.303 / 3**0.5, abs=1e-3))


def test_only_what_lies_between_two_moments_counts() -> None:
    """100 W for an hour, then 300 W for two: from half an hour on until 2 h are 50 Wh and 300 Wh."""
    hours = np.array([0.0, 3600.0])
    series = PowerSeries(hours, np.array([100.0, 300.0]), np.array([80.0, 200.0]), np.array([2.0, 4.0]), 3 * 3600.0)
    found = between(series, 1800.0, 7200.0)
    assert [found[name] for name in ("kwh", "bound_kwh", "core_hours")] == pytest.approx([0.35, 0.24, 5.0])


def test_pods_fill_what_they_are_to_fill_and_stay_until_one_end() -> None:
    jobs = filling(1000.0, 0.5, seed=1)
    assert 500 <= sum(job.cpu_cores for job in jobs) < 512
    assert len({round(job.arrival_s + job.duration_s, 6) for job in jobs}) == 1


def test_pods_that_come_and_go_have_the_load_that_was_asked_for() -> None:
    """Core seconds over the span; the half width of 95 % is some 5 % with so many pods."""
    end = 10 * 86_400.0
    jobs = churn(2000.0, 0.3, end, seed=1, life=6 * 3600.0)
    used = sum(job.cpu_cores * max(min(job.arrival_s + job.duration_s, end) - job.arrival_s, 0.0) for job in jobs)
    assert used / end / 2000.0 == pytest.approx(0.3, rel=0.1)


def test_the_pods_of_a_burst_come_within_the_time_given() -> None:
    arrivals = [
        job.arrival_s for job in burst(100.0, 0.1, 50, 1000.0, 300.0, 60.0, seed=1) if job.name.startswith("pod")
    ]
    assert len(arrivals) == 50
    assert min(arrivals) == 1000.0
    assert max(arrivals) < 1300.0


def test_a_place_without_a_text_is_an_error() -> None:
    assert filled("a {{b.c}} d", {"b.c": "x"}) == "a x d"
    with pytest.raises(BenchmarkError, match="e"):
        filled("a {{b.c}} d", {"b.c": "x", "e": "y"})


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    run = Possible(fleets.Fleet(1))
    save({run: {"10%": 30.0}}, tmp_path / "results.json")
    assert kept([run], tmp_path / "results.json") == {run: {"10%": 30.0}}
    with pytest.raises(BenchmarkError, match="not every case"):
        kept([Possible(fleets.Fleet(2))], tmp_path / "results.json")


def test_without_measured_data_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PEAKS_TEST_DATA", raising=False)
    assert main([]) == 0
    assert re.fullmatch(r".*PEAKS_TEST_DATA.*\n", capsys.readouterr().err)


def test_every_table_of_the_document_has_rows_and_no_place_is_left() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "{{" not in text
    heads = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(heads) > 10
    assert all(len(block.strip().splitlines()) > 2 for block in heads)


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["x", 1.5]]) == "| a | b |\n| --- | --- |\n| x | 1.5 |"
