"""``fit --temperature-column`` and ``--temperature-query`` as a user types them.

The machine, by arithmetic: 60 W + 90 W * u at 18 celsius, and (0.5 + 1.5*u) W more for each kelvin above. Two
days of five minutes, warm at noon and cool at midnight; the load has a period of its own, and the noise is 1 W.
"""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from peaks_scheduler.arrays import Floats
from peaks_scheduler.cli import main
from peaks_scheduler.power.file import parse_models
from tests.support.prometheus_stand_in import PrometheusStandIn

START = 1_790_000_000
COUNT = 576  # samples: two days of five minutes
TIMES = START + 300 * np.arange(COUNT)
USE = 0.5 - 0.5 * np.cos(np.arange(COUNT) / 9.0)
CELSIUS = 22.0 - 4.0 * np.cos(2.0 * math.pi * np.arange(COUNT) / 288.0)  # 18 at midnight, 26 at noon
WATTS = 60.0 + 90.0 * USE + (0.5 + 1.5 * USE) * (CELSIUS - 18.0)
NOISE = np.random.default_rng(1).standard_normal(COUNT)
BASE = ("--csv", "m.csv", "--cpu-column", "cpu", "--power-column", "watts", "--model", "linear")
TIMED = (*BASE, "--time-column", "time", "--temperature-column", "inlet")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(inlet: Sequence[object] | Floats = CELSIUS, name: str = "inlet") -> None:
    with Path("m.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "cpu", "watts", name])
        writer.writerows(zip(TIMES, USE, WATTS + NOISE, inlet, strict=True))


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, ["fit", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def learned(*args: str) -> dict[str, Any]:
    """The only node of the JSON output."""
    result = run(*args, "--output", "json")
    assert result.exit_code == 0, result.stderr
    (node,) = json.loads(result.stdout)["nodes"].values()
    return node  # type: ignore[no-any-return]


def is_the_machine(node: dict[str, Any]) -> None:
    """Half a watt a kelvin at no load and two at full load, within 95 % and a bit, and the curve at 18 celsius."""
    heat = node["temperature"]
    assert heat["verdict"] == "good"
    for load, true in (("idle", 0.5), ("full", 2.0)):
        assert abs(heat["wattsPerKelvin"][load] - true) < 3.0 * heat["standardErrors"][load] < 0.3
    assert (node["idle"], node["max"]) == (pytest.approx(60.0, abs=1.0), pytest.approx(150.0, abs=1.0))


def test_the_installed_command_learns_the_term_and_writes_it() -> None:
    table()
    command = [sys.executable, "-m", "peaks_scheduler", "fit", *TIMED, "--output", "json", "-o", "models.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    is_the_machine(json.loads(done.stdout)["nodes"]["m"])
    term = parse_models(Path("models.yaml").read_text(), "models.yaml").by_name["m"].temperature
    assert term is not None
    assert (term.signal, term.coolest, term.hottest) == ("inlet", pytest.approx(18.0), pytest.approx(26.0))
    assert term.reference == pytest.approx(18.0)


def test_without_the_option_nothing_is_said_about_temperatures() -> None:
    table()
    assert learned(*BASE, "--time-column", "time")["temperature"] is None
    assert "kelvin" not in run(*BASE, "--time-column", "time").stdout


def test_the_curve_alone_mixes_warm_and_cool_hours() -> None:
    """At the mean of 22 celsius the machine draws 62 W idle and 158 W at full load."""
    table()
    plain = learned(*BASE, "--time-column", "time")
    assert (plain["idle"], plain["max"]) == (pytest.approx(62.0, abs=1.0), pytest.approx(158.0, abs=1.0))


def test_rows_without_times_are_samples() -> None:
    table()
    is_the_machine(learned(*BASE, "--temperature-column", "inlet"))


def test_long_tables_have_temperatures_as_series() -> None:
    rows = [["Series", "Time", "Value"]]
    for name, values in (("cpu", USE), ("watts", WATTS + NOISE), ("inlet", CELSIUS)):
        rows += [[name, str(int(at)), str(value)] for at, value in zip(TIMES, values, strict=True)]
    with Path("m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    is_the_machine(learned(*BASE, "--time-column", "Time", "--temperature-column", "inlet"))


def test_degrees_in_the_cells_are_read() -> None:
    table([f"{each} °C" for each in CELSIUS])
    is_the_machine(learned(*TIMED))


def test_a_sensor_that_says_nothing_for_a_while_costs_these_samples_alone() -> None:
    broken = CELSIUS.copy()
    broken[10:30], broken[100:110], broken[300] = -128.0, 255.0, math.nan
    table(broken)
    node = learned(*TIMED)
    is_the_machine(node)
    assert node["temperature"]["samples"] < COUNT
    assert any("without a plausible temperature: not used for the term" in note for note in node["notes"])


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        (CELSIUS + 273.15, "inlet", "all values are above 100 (about 295.1), which looks like kelvin (22 celsius)"),
        (10.0 * CELSIUS, "inlet", "looks like Fahrenheit or tenths of a degree"),
        (1000.0 * CELSIUS, "inlet", "looks like thousandths of a degree"),
        (CELSIUS * 1.8 + 32.0, "inlet_f", "its name says Fahrenheit: convert it"),
        ([f"{each} F" for each in CELSIUS], "inlet", "its cells are in Fahrenheit"),
    ],
)
def test_another_unit_is_refused_in_words(values: Sequence[object], name: str, expected: str) -> None:
    table(values, name)
    result = run(*BASE, "--time-column", "time", "--temperature-column", name)
    assert result.exit_code == 2
    assert f"--temperature-column: expected celsius in column '{name}'" in result.stderr
    assert expected in result.stderr


def test_too_small_a_range_is_refused_and_the_curve_stays() -> None:
    table(22.0 + (CELSIUS - 22.0) / 8.0)
    node = learned(*TIMED)
    assert (node["verdict"], node["temperature"]["verdict"]) == ("good", "refused")
    assert (
        "the temperature varies by 1.0 K only (21.5 to 22.5 celsius, 5th to 95th" in node["temperature"]["reasons"][0]
    )
    assert node["temperature"]["wattsPerKelvin"] is None


def test_the_table_has_a_column_and_the_term_in_words() -> None:
    table()
    said = run(*TIMED, "--temperature-signal", "cpu1").stdout
    assert "a kelvin warmer" in said.splitlines()[0]
    assert "each kelvin of cpu1 above 18 celsius (18.0 to 26.0 measured): + 0." in said


def test_the_table_tells_why_there_is_no_term() -> None:
    table(22.0 + (CELSIUS - 22.0) / 8.0)
    said = run(*TIMED).stdout
    assert "temperature refused: the temperature varies by 1.0 K only" in said
    assert said.splitlines()[1].endswith("refused")


def test_the_signal_is_named_in_the_file() -> None:
    table()
    run(*TIMED, "--temperature-signal", "cpu1", "-o", "models.yaml")
    term = parse_models(Path("models.yaml").read_text(), "models.yaml").by_name["m"].temperature
    assert term is not None
    assert term.signal == "cpu1"


def test_a_picture_has_the_colours_of_cold_and_warm() -> None:
    table()
    assert run(*TIMED, "--plot", "m.svg").exit_code == 0
    drawn = Path("m.svg").read_text()
    assert "curve at the coolest, middle and hottest temperature" in drawn
    assert "stroke: #2166ac" in drawn  # lines at the coolest and the hottest temperature
    assert "stroke: #b2182b" in drawn


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((*BASE, "--temperature-query", "a"), "--temperature-query: expected with --prometheus only"),
        (("--prometheus", "http://b", "--temperature-column", "a"), "--temperature-column: expected with --csv only"),
        ((*BASE, "--temperature-signal", "inlet"), "expected --temperature-column or --temperature-query as well"),
        ((*TIMED, "--temperature-signal", " "), "expected the name of a signal, such as inlet; got nothing"),
        ((*TIMED, "--shared", "--node-column", "node"), "the sum of nodes whose air differs"),
        ((*BASE, "--temperature-column", "outlet"), "outlet"),
    ],
)
def test_options_that_do_not_go_together_are_told(args: tuple[str, ...], expected: str) -> None:
    table()
    result = run(*args)
    assert result.exit_code == 2
    assert expected in result.stderr


# --- Prometheus -------------------------------------------------------------------------------------------------------


def wave(at: float) -> float:
    """Use between 0 and 1, with a period of 57 minutes."""
    return 0.5 - 0.5 * math.cos(2.0 * math.pi * at / 3400.0)


def inlet(at: float) -> float:
    """18 to 26 celsius, with a period of 5 hours."""
    return 22.0 - 4.0 * math.cos(2.0 * math.pi * at / 18_000.0)


def watts(at: float) -> float:
    return 60.0 + 90.0 * wave(at) + (0.5 + 1.5 * wave(at)) * (inlet(at) - 18.0) + math.sin(at)


def test_the_temperature_of_every_node_is_asked_of_prometheus() -> None:
    series = {
        "kepler_node_cpu_usage_ratio": {"worker-1": wave, "worker-2": wave},
        "kepler_platform_watts": {"worker-1": watts, "worker-2": watts},
        "inlet_celsius": {"worker-1": inlet, "rack-9": inlet},
    }
    with PrometheusStandIn(series) as server:
        args = ("--prometheus", server.url, "--range", "12h", "--step", "60s", "--model", "linear")
        result = run(*args, "--temperature-query", "inlet_celsius", "--output", "json")
    nodes = json.loads(result.stdout)["nodes"]
    is_the_machine(nodes["worker-1"])
    assert "temperature: the query has no series of this node" in nodes["worker-2"]["notes"]
    assert nodes["worker-2"]["temperature"]["reasons"][0].startswith("0 of ")
    assert nodes.keys() == {"worker-1", "worker-2"}
    assert "temperature of rack-9" in result.stderr


def test_kelvins_of_prometheus_are_refused() -> None:
    series = {
        "kepler_node_cpu_usage_ratio": {"worker-1": wave},
        "kepler_platform_watts": {"worker-1": watts},
        "inlet_kelvin": {"worker-1": lambda at: inlet(at) + 273.15},
    }
    with PrometheusStandIn(series) as server:
        result = run("--prometheus", server.url, "--range", "6h", "--temperature-query", "inlet_kelvin")
    assert result.exit_code == 2
    assert "--temperature-query: expected celsius; all values are above 100" in result.stderr
