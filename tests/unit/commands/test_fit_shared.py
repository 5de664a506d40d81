"""``peaks-scheduler fit --shared`` as a user types it: one meter for many nodes, in CSV files.

Eight nodes of 60 W + 90 W * use behind one meter with 4 W of noise, read every minute for six hours: 60 W idle and
150 W full a node.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.arrays import Floats
from peaks_scheduler.cli import main
from peaks_scheduler.power.file import parse_models

START, NODES, SAMPLES = 1_790_000_000, 8, 360
COLUMNS = ("--time-column", "time", "--node-column", "node", "--cpu-column", "cpu", "--power-column", "watts")
ONE = ("--shared", "--csv", "all.csv", *COLUMNS)
TWO = ("--shared", "--csv", "cpu.csv", "--power-csv", "meter.csv", *COLUMNS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs, with the measurements in one file and in two."""
    monkeypatch.chdir(tmp_path)
    use = uses()
    write(tmp_path, use, meter(use))
    return tmp_path


def uses(most: float = 1.0) -> Floats:
    """(SAMPLES, NODES) use that changes every ten minutes, each node's at another minute."""
    rng = np.random.default_rng(4)
    steps = most * rng.random((SAMPLES // 10 + 2, NODES))
    return np.column_stack([np.repeat(steps[:, i], 10)[i : i + SAMPLES] for i in range(NODES)])


def meter(use: Floats, big: int = 0) -> Floats:
    """(SAMPLES,) [W] of all nodes; the last ``big`` ones draw 120 W + 200 W * use."""
    small = NODES - big
    watts = (60.0 + 90.0 * use[:, :small]).sum(axis=1) + (120.0 + 200.0 * use[:, small:]).sum(axis=1)
    return np.asarray(watts + 4.0 * np.random.default_rng(5).normal(size=SAMPLES))


def write(folder: Path, use: Floats, watts: Floats, big: int = 0, late: int = 0) -> None:
    """``all.csv`` has everything; ``cpu.csv`` the nodes, ``meter.csv`` the meter, read ``late`` seconds after them."""
    rows = [
        (START + 60 * t, f"n-{i}", "big" if i >= NODES - big else "small", round(use[t, i], 4), round(watts[t], 2))
        for t in range(SAMPLES)
        for i in range(NODES)
    ]
    lines(folder / "all.csv", "time,node,kind,cpu,watts", rows)
    lines(folder / "cpu.csv", "time,node,kind,cpu", [row[:4] for row in rows])
    lines(folder / "meter.csv", "time,watts", [(START + 60 * t + late, round(watts[t], 2)) for t in range(SAMPLES)])


def lines(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, ["fit", *args])
    assert "Traceback" not in result.output
    return result


def learned(*args: str) -> dict[str, Any]:
    result = run(*args, "--output", "json")
    assert result.exit_code in (0, 1), result.stderr
    nodes: dict[str, Any] = json.loads(result.stdout)["nodes"]
    return nodes


def refusal(*args: str) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    return result.stderr


# --- what is learned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [ONE, TWO], ids=["one file", "two files"])
def test_idle_and_full_power_of_a_node_come_from_the_sum(files: tuple[str, ...]) -> None:
    fit = learned(*files)["all"]
    assert (fit["kind"], fit["verdict"]) == ("linear", "good")
    assert (fit["idle"], fit["max"]) == pytest.approx((60.0, 150.0), rel=0.02)


def test_a_meter_read_at_other_times_is_joined_over_intervals(folder: Path) -> None:
    use = uses()
    write(folder, use, meter(use), late=20)
    fit = learned(*TWO)["all"]
    # between two readings the use changes at an unknown moment, so the curve is somewhat flatter
    assert (fit["idle"], fit["max"]) == pytest.approx((60.0, 150.0), rel=0.1)


def test_power_in_kilowatts_is_recognised_by_the_column_s_name(folder: Path) -> None:
    text = (folder / "meter.csv").read_text().splitlines()
    rows = [(time, float(watts) / 1000.0) for time, watts in (line.split(",") for line in text[1:])]
    lines(folder / "meter.csv", "time,power_kw", rows)
    fit = learned(*TWO[:-1], "power_kw")["all"]
    assert (fit["idle"], fit["max"]) == pytest.approx((60.0, 150.0), rel=0.02)


def test_every_kind_has_its_own_rise(folder: Path) -> None:
    use = uses()
    write(folder, use, meter(use, big=3), big=3)
    fits = learned(*ONE, "--kind-column", "kind", "--model", "linear")
    rises = {kind: fit["max"] - fit["idle"] for kind, fit in fits.items()}
    assert rises == pytest.approx({"small": 90.0, "big": 200.0}, rel=0.03)
    assert fits["big"]["nodes"] == ["n-5", "n-6", "n-7"]


# --- the model file -------------------------------------------------------------------------------------------------


def test_the_model_file_has_one_entry_for_all_nodes_of_a_kind(folder: Path) -> None:
    assert run(*ONE, "-o", "models.yaml").exit_code == 0
    (entry,) = yaml.safe_load((folder / "models.yaml").read_text())["models"]
    assert entry["nodes"] == [f"n-{i}" for i in range(NODES)]


def test_with_a_label_the_model_file_selects_the_kind(folder: Path) -> None:
    assert run(*ONE, "--kind-column", "kind", "--kind-label", "example.com/kind", "-o", "models.yaml").exit_code == 0
    models = parse_models((folder / "models.yaml").read_text(), "models.yaml")
    model = models.for_node("new", {"example.com/kind": "small"})
    assert model is not None
    assert model.curve.watts(1.0) == pytest.approx(150.0, rel=0.02)


def test_the_covariance_in_the_file_is_that_of_the_curve(folder: Path) -> None:
    assert run(*ONE, "--model", "sqrt", "-o", "models.yaml").exit_code == 0
    models = parse_models((folder / "models.yaml").read_text(), "models.yaml")
    model = models.by_name["n-0"]
    assert model.quality is not None
    assert model.quality.covariance is not None
    assert len(model.quality.covariance) == len(model.curve.parameters)


def test_the_table_tells_of_the_sum_and_counts_kinds() -> None:
    result = run(*ONE)
    assert "from the sum of the power of 8 nodes" in result.stdout
    assert "1 kind: 1 good" in result.stderr


# --- refused --------------------------------------------------------------------------------------------------------


def test_nodes_that_were_hardly_used_are_refused_with_the_range(folder: Path) -> None:
    use = uses(most=0.2)
    write(folder, use, meter(use))
    result = run(*ONE, "--cpu-unit", "ratio", "-o", "models.yaml")
    assert result.exit_code == 1
    assert "a curve beyond is a guess" in result.stdout
    assert not (folder / "models.yaml").exists()


def test_times_without_the_use_of_some_node_are_left_out_and_told(folder: Path) -> None:
    text = (folder / "all.csv").read_text().splitlines()
    kept = [line for line in text if not (",n-3," in line and int(line[:10]) < START + 600)]
    (folder / "all.csv").write_text("\n".join(kept))
    fit = learned(*ONE)["all"]
    assert fit["samples"] == SAMPLES - 10
    assert any("10 of 360 times" in note and "mostly n-3" in note for note in fit["notes"])


def test_a_node_whose_use_stands_still_for_a_while_loses_no_time(folder: Path) -> None:
    use = np.clip(uses() + 0.05 * np.random.default_rng(6).normal(size=(SAMPLES, NODES)), 0.0, 1.0)
    use[100:160, 2] = 0.4  # an hour; otherwise no sample repeats the one before
    write(folder, use, meter(use))
    assert learned(*ONE)["all"]["samples"] == SAMPLES


# --- wrong usage ----------------------------------------------------------------------------------------------------


def test_each_node_s_own_power_is_not_taken_for_the_sum(folder: Path) -> None:
    rows = [(START + 60 * t, f"n-{i}", 0.5, 100 + i) for t in range(20) for i in range(3)]
    lines(folder / "all.csv", "time,node,cpu,watts", rows)
    error = refusal(*ONE)
    assert "the same in all rows of one time; got 100 in line 2 and 101 in line 3" in error
    assert "leave --shared out" in error


def test_a_node_of_two_kinds_is_an_error(folder: Path) -> None:
    text = (folder / "all.csv").read_text()
    (folder / "all.csv").write_text(text.replace("n-2,small", "n-2,large", 1))
    assert "expected one kind for node 'n-2'; got 'large', 'small'" in refusal(*ONE, "--kind-column", "kind")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--csv", "all.csv", *COLUMNS, "--power-csv", "meter.csv"), "--power-csv: expected with --shared only"),
        (("--csv", "all.csv", *COLUMNS, "--half-life", "6h"), "--half-life: expected with --shared only"),
        (("--csv", "all.csv", *COLUMNS, "--model", "sqrt"), "--model sqrt: expected with --shared only"),
        ((*ONE, "--model", "exponential"), "expected one of auto, linear, sqrt, piecewise with --shared"),
        ((*ONE, "--kind-label", "kind"), "expected --kind-column as well"),
        ((*ONE, "--half-life", "long"), "--half-life: expected a duration such as 7d"),
        (("--shared", "--prometheus", "http://localhost:1"), "--shared: expected --csv FILE"),
        (("--shared", "--csv", "all.csv", *COLUMNS[2:]), "expected --time-column NAME as well"),
        ((*TWO[:-1], "power"), "'power': expected a column of the file"),
    ],
)
def test_options_that_do_not_go_together_are_named(args: tuple[str, ...], words: str) -> None:
    assert words in refusal(*args)
