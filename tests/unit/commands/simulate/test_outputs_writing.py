"""Everything into one folder: what is there afterwards, what is left out without its package, and clear errors."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peaks_scheduler.commands.simulate.outputs.writing import check_folder, write_all
from peaks_scheduler.errors import ConfigurationError
from tests.support.simulation import LATE, LONG, SHORT, default, two_strategies

CSVS = ["decisions.csv", "kpis.csv", "kubenergy_decisions.csv", "nodes.csv", "power.csv", "workload.csv"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder, and the lines that say what is in it."""
    place = tmp_path_factory.mktemp("out") / "deep" / "result"
    return place, write_all(place, two_strategies(), notes=["a note"], seed=1, sqlite=place / "runs.db")


@pytest.fixture
def folder(written: tuple[Path, list[str]]) -> Path:
    return written[0]


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_folder_has_every_form(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([*CSVS, "figures", "opendc", "parquet", "report.html", "runs.db"])


def test_each_figure_is_there_as_svg_and_as_png(folder: Path) -> None:
    names = {f"{name}.{form}" for name in ("power", "energy", "use") for form in ("svg", "png")}
    assert {path.name for path in (folder / "figures").iterdir()} == names


def test_two_runs_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_all(tmp_path, two_strategies(), notes=["a note"], seed=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if path.read_bytes() != (folder / path.relative_to(tmp_path)).read_bytes()] == []


def test_it_says_what_it_wrote(written: tuple[Path, list[str]]) -> None:
    place, lines = written
    assert "decisions.csv" in lines[0]
    assert lines[-2:] == [
        f"{place / 'report.html'}: with 3 figures, also in figures as SVG and PNG",
        f"{place / 'runs.db'}: all tables, as run 1",
    ]


def test_without_pyarrow_the_csvs_come_and_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    without_matplotlib(monkeypatch)
    lines = write_all(tmp_path, two_strategies(), notes=[], seed=1)
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == CSVS
    assert not (tmp_path / "parquet").exists()
    told = next(line for line in lines if line.startswith("no Parquet"))
    assert told.endswith("pip install 'peaks-scheduler[simulate]'")


def test_without_matplotlib_the_report_has_its_table_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_matplotlib(monkeypatch)
    write_all(tmp_path, two_strategies(), notes=[], seed=1)
    page = (tmp_path / "report.html").read_text()
    assert "<table>" in page
    assert "they need matplotlib" in page
    assert "peaks-scheduler[simulate]" in page


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigurationError, match=r"--out .*taken: expected a folder that can be made"):
        check_folder(tmp_path / "taken")


def test_a_folder_in_the_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").mkdir()
    with pytest.raises(ConfigurationError, match=r"--out .*nodes.csv"):
        write_all(tmp_path, [default()], notes=[], seed=1)


def test_a_run_without_steps_takes_away_the_steps_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_matplotlib(monkeypatch)
    stepped = default(jobs=(replace(LONG, usage=((0.0, 2.0),)), SHORT, LATE))
    write_all(tmp_path, [stepped], notes=[], seed=1)
    assert (tmp_path / "usage.csv").exists()
    write_all(tmp_path, [default()], notes=[], seed=1)
    assert not (tmp_path / "usage.csv").exists()
