"""``peaks-scheduler fit`` as a user types it: CSV files of all kinds, verdicts, model files, and error messages.

Unless said otherwise the machine is 60 W + 90 W * u with 1 W of Gaussian noise, so that what comes out can be judged by
hand: 60 W idle, 150 W full.
"""

from __future__ import annotations

import builtins
import csv
import gzip
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.arrays import Floats
from peaks_scheduler.cli import fit as command
from peaks_scheduler.cli import main
from peaks_scheduler.fitting import units
from peaks_scheduler.fitting.fit import MODELS
from peaks_scheduler.fitting.shared_families import MODELS as SHARED_MODELS
from peaks_scheduler.power.file import parse_models
from tests.support.builders import node, pod
from tests.support.prometheus_stand_in import PrometheusStandIn

IDLE, SPAN, NOISE = 60.0, 90.0, 1.0  # [W]
START = 1_790_000_000
BASE = ("--csv", "m.csv", "--cpu-column", "cpu", "--power-column", "watts")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODE_POWER_MODEL", raising=False)
    return tmp_path


def run(*args: str, given: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ["fit", *args], input=given)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def learned(*args: str, given: str | bytes | None = None) -> dict[str, Any]:
    """The nodes of the JSON output."""
    result = run(*args, "--output", "json", given=given)
    assert result.exit_code in (0, 1), result.stderr
    nodes: dict[str, Any] = json.loads(result.stdout)["nodes"]
    return nodes


def only(nodes: dict[str, Any]) -> dict[str, Any]:
    (one,) = nodes.values()
    return one  # type: ignore[no-any-return]


def refusal(*args: str) -> str:
    """The error message of a command that cannot begin."""
    result = run(*args)
    assert result.exit_code == 2, result.output
    return result.stderr


def use(count: int = 240, most: float = 1.0) -> Floats:
    """Fractions that vary between 0 and ``most``."""
    return most * (0.5 - 0.5 * np.cos(np.arange(count) / 9.0))


def power(cpu: Floats, seed: int = 1) -> Floats:
    return IDLE + SPAN * cpu + np.random.default_rng(seed).normal(0.0, NOISE, len(cpu))


def write(header: Sequence[str], rows: Iterable[Sequence[object]], path: str = "m.csv", delimiter: str = ",") -> None:
    with Path(path).open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def table(**columns: Sequence[object]) -> None:
    write(list(columns), zip(*columns.values(), strict=True))


def is_the_machine(node: dict[str, Any]) -> None:
    """A line from 60 to 150 W is found despite 1 W of noise."""
    assert node["verdict"] == "good"
    assert node["idle"] == pytest.approx(IDLE, abs=1.0)
    assert node["max"] == pytest.approx(IDLE + SPAN, abs=1.0)


# --- measured data ----------------------------------------------------------------------------------------------------


def test_the_measured_curve_of_a_server_is_learned_from_percent(test_data: Path) -> None:
    """``curve_T1``: nine levels; plain least squares leave 1.66 W with R² 0.992 (the data's README)."""
    file = str(test_data / "peaks" / "curve_T1.csv")
    found = only(
        learned("--csv", file, "--cpu-column", "util_percent", "--power-column", "power_watts", "--cpu-unit", "percent")
    )
    assert found["verdict"] in ("good", "usable")
    assert found["rmseWatts"] <= 1.70
    assert found["r2"] >= 0.99
    assert (found["cpuMin"], found["cpuMax"]) == (0.02, 0.995)


def training_pair(test_data: Path) -> None:
    """The two series of kube-worker-171 as one file; each row has the values of one time. Both are counters."""
    series: dict[str, dict[str, str]] = {}
    for name, column in (("cpu_util_agg_df.csv", "value"), ("node_power_metrics_df.csv", "power")):
        with (test_data / "peaks" / "training" / name).open() as file:
            for row in csv.DictReader(file):
                if row["instance"] == "kube-worker-171":
                    # seconds that were read as nanoseconds: 00:00:01.727094720 is 1727094720 s
                    seconds = row["timestamp"].rpartition(":")[2].replace("01.", "1").ljust(10, "0")
                    series.setdefault(seconds, {})[column] = row[column]
    rows = [(at, "kube-worker-171", each.get("value", ""), each.get("power", "")) for at, each in series.items()]
    write(("time", "instance", "cpu_seconds", "energy"), rows)


def test_the_training_pair_is_refused_for_it_says_nothing_about_load(test_data: Path) -> None:
    """Idle-range data without correlation (the data's README §1): 124 intervals, 0.31-3.30 busy cores, r = -0.13."""
    training_pair(test_data)
    series = ("--csv", "m.csv", "--cpu-column", "cpu_seconds", "--power-column", "energy", "--time-column", "time")
    args = (*series, "--node-column", "instance", "--cpu-unit", "cores", "--cores", "48")
    assert run(*args).exit_code == 1
    found = learned(*args)["kube-worker-171"]
    assert found["verdict"] == "refused"
    assert any("of load only" in reason for reason in found["reasons"])
    assert any("correlation between CPU and power" in reason for reason in found["reasons"])
    assert found["samples"] == 124
    assert found["lagSeconds"] == 0.0
    assert found["cpuMin"] == pytest.approx(0.31 / 48, abs=0.001)
    assert found["cpuMax"] == pytest.approx(3.30 / 48, abs=0.001)


def test_seconds_that_were_read_as_nanoseconds_are_understood(test_data: Path) -> None:
    file = test_data / "peaks" / "training" / "node_power_metrics_df.csv"
    args = ("--csv", str(file), "--cpu-column", "package", "--power-column", "dram", "--time-column", "timestamp")
    # both are energy, which does here: only the steps of time are looked at. 124 steps of 60 s
    result = run(*args, "--cpu-unit", "cores", "--cores", "200", "--output", "json")
    assert "seconds that were read as nanoseconds" in result.stderr
    assert only(json.loads(result.stdout)["nodes"])["samples"] == 124


# --- what goes in -----------------------------------------------------------------------------------------------------


def test_counters_with_a_reset_give_the_curve() -> None:
    cpu = use()
    seconds, joules = np.cumsum(cpu * 8 * 15.0), np.cumsum(power(cpu) * 15.0)
    joules[100:] -= joules[100]  # the exporter was restarted
    table(time=START + 15 * np.arange(240), cpu=seconds.round(3), watts=joules.round(3))
    found = only(learned(*BASE, "--time-column", "time", "--cpu-unit", "cores", "--cores", "8", "--model", "linear"))
    is_the_machine(found)
    assert "power: 1 counter reset, not bridged" in found["notes"]


def test_counters_are_told_from_gauges_and_the_units_are_shown() -> None:
    cpu = use()
    table(
        time=START + 15 * np.arange(240),
        node_cpu_seconds_total=np.cumsum(cpu * 8 * 15.0).round(3),
        kepler_node_platform_joules_total=np.cumsum(power(cpu) * 15.0).round(3),
    )
    columns = ("--cpu-column", "node_cpu_seconds_total", "--power-column", "kepler_node_platform_joules_total")
    result = run("--csv", "m.csv", *columns, "--time-column", "time", "--cores", "8", "--model", "linear")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"CPU: a counter in cores \(found out: its name, it grows by up to 8", result.stderr)
    assert "power: a counter in joules (found out: its name)" in result.stderr


def test_power_that_follows_the_cpu_by_two_rows_is_put_back() -> None:
    cpu = use()
    table(time=START + 30 * np.arange(240), cpu=cpu, watts=np.roll(power(cpu), 2))
    found = only(learned(*BASE, "--time-column", "time", "--model", "linear"))
    assert found["lagSeconds"] == 60.0
    is_the_machine(found)


def comma(value: float) -> str:
    return f"{value:.3f}".replace(".", ",")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_decimal_commas_are_numbers_whatever_the_delimiter(delimiter: str) -> None:
    cpu = use()
    rows = zip(map(comma, 100 * cpu), map(comma, power(cpu)), strict=True)
    write((" cpu  in % ", "watts"), rows, delimiter=delimiter)
    args = ("--csv", "m.csv", "--cpu-column", "CPU in %", "--power-column", "watts", "--model", "linear")
    is_the_machine(only(learned(*args)))
    assert "column 'watts': decimal commas" in run(*args).stderr


@pytest.mark.parametrize("points_and_commas", ["as they are", "the other way round"])
def test_digits_may_be_grouped(points_and_commas: str) -> None:
    """``1,234.5`` or ``1.234,5``."""
    cpu = use()
    swapped = str.maketrans(",.", ".,") if points_and_commas == "the other way round" else {}
    rows = zip(cpu, power(cpu), strict=True)
    write(("cpu", "watts"), [(u, f"{20 * w:,.1f}".translate(swapped)) for u, w in rows], delimiter=";")
    assert only(learned(*BASE, "--model", "linear"))["max"] == pytest.approx(20 * (IDLE + SPAN), rel=0.01)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


def with_mark(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


@pytest.mark.parametrize("changed", [gzipped, with_mark, lambda data: data.replace(b"\n", b"\r\n")])
def test_files_come_in_many_encodings(changed: Callable[[bytes], bytes]) -> None:
    cpu = use()
    table(cpu=cpu, watts=power(cpu))
    data = changed(Path("m.csv").read_bytes().replace(b"\r\n", b"\n"))
    Path("m.csv").write_bytes(data)
    from_file = learned(*BASE, "--model", "linear")
    is_the_machine(only(from_file))
    from_stdin = learned("--csv", "-", *BASE[2:], "--node", "m", "--model", "linear", given=data)
    assert from_stdin == from_file


AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        lambda at: at.timestamp(),
        lambda at: int(at.timestamp() * 1e3),
        lambda at: int(at.timestamp() * 1e6),
        lambda at: int(at.timestamp()) * 10**9,
        lambda at: (at - AT).total_seconds(),
        lambda at: at.isoformat(),
        lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda at: at.strftime("%Y-%m-%d %H:%M:%S.000000000"),
        lambda at: at.astimezone().isoformat(sep=" "),
    ],
    ids=["s", "ms", "us", "ns", "since the start", "iso", "Z", "blank and nanoseconds", "local zone"],
)
def test_times_are_read_as_they_are_written(written: Callable[[datetime], object]) -> None:
    cpu = use()
    times = [written(AT + timedelta(seconds=30 * i)) for i in range(240)]
    # counters: without the right seconds the watts would be wrong
    table(time=times, cpu=np.cumsum(cpu * 30.0), watts=np.cumsum(power(cpu) * 30.0))
    args = (*BASE, "--time-column", "time", "--model", "linear", "--cpu-unit", "ratio")
    is_the_machine(only(learned(*args, "--cpu-kind", "counter", "--power-kind", "counter")))


@pytest.mark.parametrize(
    ("unit", "factor"), [("milliwatts", 1e3), ("microwatts", 1e6), ("kilowatts", 1e-3), ("watts", 1.0)]
)
def test_power_may_be_in_other_units(unit: str, factor: float) -> None:
    cpu = use()
    table(cpu=cpu, watts=power(cpu) * factor)
    is_the_machine(only(learned(*BASE, "--power-unit", unit, "--model", "linear")))


@pytest.mark.parametrize(
    ("column", "factor"),
    [("power_mW", 1e3), ("scaph_host_power_microwatts", 1e6), ("power [kW]", 1e-3), ("anything", 1e3)],
)
def test_the_unit_of_power_is_found_out_by_its_name_or_size(column: str, factor: float) -> None:
    cpu = use()
    table(**{"cpu": cpu, column: power(cpu) * factor})
    is_the_machine(
        only(learned("--csv", "m.csv", "--cpu-column", "cpu", "--power-column", column, "--model", "linear"))
    )


@pytest.mark.parametrize(
    ("column", "factor", "more", "unit"),
    [
        ("cpu", 1.0, (), "ratio"),
        ("cpu", 100.0, (), "percent"),
        ("util_percent", 100.0, (), "percent"),
        ("busy_cores", 8.0, ("--cores", "8"), "cores"),
        ("cpu", 8.0, ("--cores", "8"), "cores"),
        ("cpu", 8.0, ("--cores", "8", "--cpu-unit", "cores"), "cores"),
    ],
)
def test_the_unit_of_cpu_is_found_out_and_told(column: str, factor: float, more: tuple[str, ...], unit: str) -> None:
    cpu = use()
    table(**{column: factor * cpu, "watts": power(cpu)})
    args = ("--csv", "m.csv", "--cpu-column", column, "--power-column", "watts", "--model", "linear", *more)
    found = only(learned(*args))
    assert found["cpuUnit"] == unit
    is_the_machine(found)
    assert f"CPU: a gauge in {unit} (found out" in run(*args).stderr or "--cpu-unit" in more


def test_the_example_shows_a_good_node_and_a_refused_one() -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "measurements.csv"
    columns = (
        "--cpu-column",
        "cpu_percent",
        "--power-column",
        "watts",
        "--node-column",
        "node",
        "--time-column",
        "time",
    )
    nodes = learned("--csv", str(example), *columns)
    assert {name: found["verdict"] for name, found in nodes.items()} == {"worker-1": "good", "worker-2": "refused"}


def test_rows_out_of_order_and_cells_that_are_missing_do_no_harm() -> None:
    cpu = use()
    rows = [[START + 30 * i, u, w] for i, (u, w) in enumerate(zip(cpu, power(cpu), strict=True))]
    rows[7][1], rows[30][2], rows[31][2], rows[90][1] = "", "N/A", "oops", "-"
    np.random.default_rng(4).shuffle(rows)
    write(("time", "cpu", "watts"), rows)
    result = run(*BASE, "--time-column", "time", "--model", "linear", "--output", "json")
    assert re.search(r"column 'watts': 1 of 240 cells cannot be read, left out: 'oops' in line \d+", result.stderr)
    found = only(json.loads(result.stdout)["nodes"])
    is_the_machine(found)
    assert found["samples"] == 236
    assert "CPU: 2 samples without a value, left out" in found["notes"]


# --- out of Prometheus ------------------------------------------------------------------------------------------------


def wave(at: float) -> float:
    """The use of a node as a fraction."""
    return 0.5 - 0.45 * math.cos(at / 1800.0)


def watts(at: float) -> float:
    return IDLE + SPAN * wave(at) + NOISE * math.sin(at)


def test_every_node_that_prometheus_knows_is_learned() -> None:
    series = {
        "kepler_node_cpu_usage_ratio": {"worker-1": wave, "worker-2": lambda at: 0.05 * wave(at), "worker-3": wave},
        "kepler_platform_watts": {"worker-1": watts, "worker-2": lambda at: 100.0},
    }
    with PrometheusStandIn(series) as server:
        args = ("--prometheus", server.url, "--range", "6h", "--step", "60s", "--model", "linear")
        result = run(*args, "--output", "json", "-o", "models.yaml")
    assert result.exit_code == 0, result.stderr
    nodes = json.loads(result.stdout)["nodes"]
    assert {name: found["verdict"] for name, found in nodes.items()} == {
        "worker-1": "good",
        "worker-2": "refused",
        "worker-3": "refused",
    }
    is_the_machine(nodes["worker-1"])
    assert "kepler_platform_watts" in nodes["worker-1"]["notes"][0]
    assert "no series of its power" in nodes["worker-3"]["reasons"][0]
    assert list(parse_models(Path("models.yaml").read_text(), "models.yaml").by_name) == ["worker-1"]


def test_a_query_of_one_s_own_and_a_token_are_sent() -> None:
    Path("token").write_text("abc\n")
    series = {"pdu_watts": {"worker-1": watts}, "busy_percent": {"worker-1": lambda at: 100.0 * wave(at)}}
    with PrometheusStandIn(series) as server:
        queries = ("--power-query", "pdu_watts", "--cpu-query", "busy_percent", "--cpu-unit", "percent")
        access = ("--prometheus-token-file", "token", "--range", "6h", "--model", "linear")
        is_the_machine(only(learned("--prometheus", server.url, *queries, *access)))
        assert server.authorization == {"Bearer abc"}


def test_power_that_no_machine_has_is_refused_with_prometheus_too() -> None:
    """A meter in kilowatts in a column whose name says watts."""
    series = {
        "kepler_node_cpu_usage_ratio": {"worker-1": wave},
        "pdu_watts": {"worker-1": lambda at: watts(at) / 1000.0},
    }
    with PrometheusStandIn(series) as server:
        args = ("--prometheus", server.url, "--range", "6h", "--step", "60s", "--power-query", "pdu_watts")
        (found,) = learned(*args, "--model", "linear").values()
    assert found["verdict"] == "refused"
    assert (
        "0.15 W at full load: expected 1 to 20,000 W of a machine: are these kilowatts (150 W)" in found["reasons"][0]
    )
    assert "multiply by 1000" in found["reasons"][0]


def test_headers_are_sent_and_their_values_are_not_written_into_the_model_file() -> None:
    Path("key").write_text("open-sesame\n")
    series = {"kepler_node_cpu_usage_ratio": {"worker-1": wave}, "kepler_platform_watts": {"worker-1": watts}}
    with PrometheusStandIn(series) as server:
        headers = ("--prometheus-header", "X-Scope-OrgID: team-a", "--prometheus-header-file", "X-Key: key")
        which = ("--prometheus-match", 'cluster="a"', "--node-label", "node_name")
        result = run("--prometheus", server.url, "--range", "6h", *headers, *which, "-o", "models.yaml")
        assert result.exit_code == 0, result.stderr
        assert {(sent["X-Scope-OrgID"], sent["X-Key"]) for sent in server.headers} == {("team-a", "open-sesame")}
    written = Path("models.yaml").read_text()
    assert "--prometheus-header 'X-Scope-OrgID: ***' --prometheus-header-file 'X-Key: key'" in written
    assert "--prometheus-match 'cluster=\"a\"'" in written
    assert "team-a" not in written + result.output


def test_a_prometheus_without_series_that_match_is_told() -> None:
    with PrometheusStandIn({}) as server:
        result = run("--prometheus", server.url, "--range", "6h", "--prometheus-match", 'cluster="b"')
    assert 'in that range that match cluster="b"; found none' in result.stderr


def test_a_prometheus_without_series_is_told() -> None:
    with PrometheusStandIn({}) as server:
        result = run("--prometheus", server.url, "--range", "6h")
    assert result.exit_code == 1
    assert "expected at least one node with series of CPU" in result.stderr


# --- what comes out ---------------------------------------------------------------------------------------------------


def two_nodes() -> None:
    """One node under load, and one idle node."""
    good, idle = use(), use(most=0.04)
    rows = [("worker-10", u, w) for u, w in zip(good, power(good), strict=True)]
    rows += [("worker-9", u, w) for u, w in zip(idle, power(idle, 2), strict=True)]
    write(("node", "cpu", "watts"), [*rows, ("", 0.5, 100.0)])


def test_one_node_good_and_one_refused_is_success() -> None:
    two_nodes()
    args = (*BASE, "--node-column", "node", "--cpu-unit", "ratio")
    result = run(*args)
    assert result.exit_code == 0
    nodes = learned(*args)
    assert list(nodes) == ["worker-9", "worker-10"]
    assert nodes["worker-10"]["verdict"] == "good"
    assert nodes["worker-9"]["verdict"] == "refused"
    assert nodes["worker-9"]["reasons"]
    assert "1 rows without a node's name" in result.stderr
    assert "2 nodes: 1 good, 1 refused (worker-9)" in result.stderr


def test_the_table_tells_verdicts_figures_and_reasons() -> None:
    two_nodes()
    lines = run(*BASE, "--node-column", "node", "--cpu-unit", "ratio", "--model", "linear").stdout.splitlines()
    assert lines[0].split()[:6] == ["node", "verdict", "confidence", "power", "of", "curve"]
    assert re.match(r"worker-9 +refused +low +wall +linear .* 240 +0-4 %", lines[1])
    assert re.match(r"worker-10 +good +high +wall +linear +(60|59)\.\d W +(150|149)\.\d W +(1|0)\.\d\d W", lines[2])
    assert any(line.startswith("  refused: measured between 0.0% and 4.0% of load only") for line in lines)
    assert any(re.match(r"  a line from idle to max: idle = \d+\.\d+ ± 0\.\d+ W, max = 1\d+", line) for line in lines)


PARAMETERS = {
    "exponential": {"k0", "k1", "k2"},
    "idle-exponential": {"idle", "k0", "k1", "k2", "from"},
    "piecewise": {"cpu", "watts"},
    "linear": {"idle", "max"},
}
FIGURES = {"kind", "rmseWatts", "r2", "cvRmseWatts", "samples", "cpuMin", "cpuMax", "verdict", "reasons"}
EXTRAS = {"scope", "confidence", "standardErrors", "noiseWatts", "lagSeconds", "cpuUnit", "temperature", "notes"}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_json_names_the_parameters_as_the_model_file_does(kind: str) -> None:
    cpu = use()
    table(cpu=cpu, watts=power(cpu))
    found = only(learned(*BASE, "--model", kind))
    assert set(found) == PARAMETERS[kind] | FIGURES | EXTRAS
    assert found["kind"] == kind
    assert found["noiseWatts"] == pytest.approx(NOISE, rel=0.2)
    assert set(found["standardErrors"]) == PARAMETERS[kind] - {"from", "cpu"}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_parameters_are_null_where_there_is_nothing_to_fit(kind: str) -> None:
    table(cpu=[0.1, 0.9], watts=["", 100.0])
    result = run(*BASE, "--model", kind, "--output", "json")
    assert result.exit_code == 1
    found = only(json.loads(result.stdout)["nodes"])
    assert found["verdict"] == "refused"
    assert found["reasons"]
    assert found["kind"] == kind
    assert all(found[name] is None for name in PARAMETERS[kind])


def test_the_models_that_can_be_asked_for_are_those_that_there_are() -> None:
    choices = {option.name: option.type for option in command.params}
    assert tuple(choices["model"].choices) == (*MODELS, "sqrt")  # type: ignore[attr-defined]
    assert "sqrt" in SHARED_MODELS
    assert tuple(choices["cpu_unit"].choices) == units.CPU_UNITS  # type: ignore[attr-defined]
    assert tuple(choices["power_unit"].choices) == ("auto", *units.POWER_UNITS)  # type: ignore[attr-defined]
    assert tuple(choices["cpu_kind"].choices) == units.KINDS  # type: ignore[attr-defined]


# --- model file -------------------------------------------------------------------------------------------------------


def test_the_model_file_is_read_back_and_used_by_explain() -> None:
    two_nodes()
    result = run(*BASE, "--node-column", "node", "--cpu-unit", "ratio", "--model", "linear", "-o", "models.yaml")
    assert result.exit_code == 0
    text = Path("models.yaml").read_text()
    assert text.startswith("# peaks-scheduler fit --csv m.csv --cpu-column cpu --power-column watts")
    assert "left out: worker-9" in text
    models = parse_models(text, "models.yaml")
    assert list(models.by_name) == ["worker-10"]
    quality = models.by_name["worker-10"].quality
    assert quality is not None
    assert quality.covariance is not None
    assert quality.samples == 240
    assert quality.fitted is not None
    fitted = datetime.fromisoformat(quality.fitted)
    assert abs((datetime.now(UTC) - fitted).total_seconds()) < 60.0

    Path("c.yaml").write_text(
        yaml.safe_dump_all([node("worker-10", cpu="8", capacity="8"), node("worker-9"), pod(cpu="800m")])
    )
    metrics = {"worker-10": {"metrics": [{"type": "CPU", "operator": "AVG", "value": 20.0}]}}
    window = {"duration": "15m", "start": START - 900, "end": START}
    answer = {"timestamp": START, "window": window, "data": {"NodeMetricsMap": metrics}}
    Path("load.json").write_text(json.dumps(answer))
    args = ["explain", "web-0", "--from", "c.yaml", "--load", "load.json", "--power-models", "models.yaml"]
    explained = CliRunner().invoke(main, [*args, "--output", "json"])
    assert explained.exit_code == 0, explained.output
    found = json.loads(explained.stdout)["default/web-0"]
    assert found["node"] == "worker-10"
    # a tenth of the CPUs on a line that rises by 90 W
    assert found["nodes"]["worker-10"]["jumpWatts"] == pytest.approx(9.0, abs=0.2)
    assert found["nodes"]["worker-9"]["standing"] == "unmodelled"


def test_refused_models_go_into_the_file_only_by_force_and_are_marked() -> None:
    two_nodes()
    args = (*BASE, "--node-column", "node", "--cpu-unit", "ratio", "--model", "linear", "--force", "-o", "models.yaml")
    assert run(*args).exit_code == 0
    models = parse_models(Path("models.yaml").read_text(), "models.yaml").by_name
    assert {name: model.quality and model.quality.confidence for name, model in models.items()} == {
        "worker-9": "low",
        "worker-10": None,
    }


def test_a_file_that_is_there_stays_when_nothing_can_be_trusted() -> None:
    Path("models.yaml").write_text("models: []\n")
    cpu = use(most=0.04)
    table(cpu=cpu, watts=power(cpu))
    result = run(*BASE, "--cpu-unit", "ratio", "-o", "models.yaml")
    assert result.exit_code == 1
    assert Path("models.yaml").read_text() == "models: []\n"
    assert "models.yaml is not written" in result.stderr


def test_a_file_that_is_there_is_replaced_in_one_step_with_its_rights() -> None:
    two_nodes()
    file = Path("real.yaml")
    file.write_text("models: []\n")
    file.chmod(0o640)
    Path("models.yaml").symlink_to(file)
    opened = file.open()
    assert run(*BASE, "--node-column", "node", "--cpu-unit", "ratio", "-o", "models.yaml").exit_code == 0
    with opened:
        assert opened.read() == "models: []\n"  # whoever had it open still reads the whole old one
    assert Path("models.yaml").is_symlink()
    assert list(parse_models(file.read_text(), "real.yaml").by_name) == ["worker-10"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_a_pipe_is_written_to_and_not_replaced() -> None:
    two_nodes()
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(*BASE, "--node-column", "node", "--cpu-unit", "ratio", "-o", "pipe").exit_code == 0
        assert list(parse_models(os.read(reader, 65536).decode(), "pipe").by_name) == ["worker-10"]
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_percent_that_is_said_to_be_a_ratio_is_refused_with_a_hint() -> None:
    cpu = use()
    table(cpu=100 * cpu, watts=power(cpu))
    said = refusal(*BASE, "--cpu-unit", "ratio")
    assert "expected CPU between 0 and 1 in column 'cpu'; got values up to 99.97" in said
    assert "--cpu-unit percent" in said


def test_a_ratio_that_is_said_to_be_percent_is_refused_with_a_hint() -> None:
    table(cpu=use(), watts=power(use()))
    result = run(*BASE, "--cpu-unit", "percent")
    assert result.exit_code == 1
    assert "never above 1 %: is it a ratio? Then say --cpu-unit ratio" in result.stderr
    assert "refused: measured between 0.0% and 1.0% of load only" in result.stdout


@pytest.mark.parametrize(
    ("scale", "more", "expected"),
    [
        (4.0, (), "cannot be found out (values up to 4): pass --cpu-unit ratio"),
        (900.0, ("--cpu-unit", "percent"), "Then say --cpu-unit cores --cores N"),
        (48.0, ("--cpu-unit", "cores", "--cores", "8"), "is --cores right?"),
        (4.0, ("--cpu-unit", "cores"), "expected --cores N as well"),
        (4.0, ("--cpu-unit", "cores", "--cores", "0"), "--cores: expected a number above 0"),
    ],
)
def test_a_unit_that_cannot_be_is_told(scale: float, more: tuple[str, ...], expected: str) -> None:
    cpu = use()
    table(cpu=scale * cpu, watts=power(cpu))
    assert expected in refusal(*BASE, *more)


def test_a_missing_column_is_told_with_those_that_are_there() -> None:
    table(cpu_percent=[1, 2], watts=[100, 110])
    said = refusal("--csv", "m.csv", "--cpu-column", "cpu_precent", "--power-column", "watts")
    assert "--cpu-column 'cpu_precent': expected a column of the file (did you mean 'cpu_percent'?)" in said
    assert "it has 'cpu_percent', 'watts'" in said


def test_a_word_of_a_columns_name_is_no_column() -> None:
    table(**{"cpu use": [1, 2], "watts": [100, 110]})
    said = refusal("--csv", "m.csv", "--cpu-column", "use", "--power-column", "watts")
    assert "(did you mean 'cpu use'?); it has 'cpu use', 'watts'" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("cpu,watts\n", "expected rows below the header"),
        ("cpu,watts\n,\n", "expected rows below the header"),
        ("cpu,watts\n0.1,\n0.2,n/a\n", "column 'watts': expected numbers; got only missing values"),
        ("cpu,watts\n0.1,much\n0.2,more\n", "column 'watts': expected numbers; got 'much' in line 2"),
        ("cpu,watts\n" + "0,5,100,2\n" * 9, "decimal commas in a file whose delimiter is a comma?"),
    ],
)
def test_a_file_without_numbers_is_told(text: str, expected: str) -> None:
    Path("m.csv").write_text(text)
    assert expected in refusal(*BASE)


def test_a_file_that_is_not_there_is_told() -> None:
    assert "--csv m.csv: expected a readable CSV file" in refusal(*BASE)
    Path("m.csv").write_bytes(b"\x1f\x8bbroken")
    assert "--csv m.csv: expected a readable CSV file" in refusal(*BASE)


def test_times_that_are_none_are_told() -> None:
    table(time=["yesterday", "today"], cpu=[0.1, 0.2], watts=[100, 110])
    said = refusal(*BASE, "--time-column", "time")
    assert "column 'time': expected times in ISO 8601" in said
    assert "'yesterday' in line 2" in said


def test_a_counter_without_times_is_told() -> None:
    table(cpu=use(40), watts=np.cumsum(np.full(40, 5000.0)))
    assert "it counts up: say --time-column" in refusal(*BASE)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), "expected --csv FILE or --prometheus URL, one of the two"),
        (("--csv", "a", "--prometheus", "http://b"), "one of the two"),
        (("--csv", "a", "--cpu-column", "cpu"), "expected --power-column NAME as well"),
        ((*BASE, "--range", "7d"), "--range: expected with --prometheus only"),
        ((*BASE, "--prometheus-token-file", "t"), "--prometheus-token-file: expected with --prometheus only"),
        ((*BASE, "--prometheus-match", 'a="b"'), "--prometheus-match: expected with --prometheus only"),
        ((*BASE, "--prometheus-header", "a: b"), "--prometheus-header: expected with --prometheus only"),
        (("--prometheus", "http://b", "--prometheus-match", "a"), "--prometheus-match: expected matchers as PromQL"),
        (("--prometheus", "http://b", "--node-label", "a-b"), "--node-label: expected the name of a label"),
        (("--prometheus", "http://b", "--prometheus-header", "secret"), "expected 'NAME: VALUE', such as"),
        (("--prometheus", "http://b", "--prometheus-header", "a b: c"), "--prometheus-header: expected the name of a"),
        (
            ("--prometheus", "http://b", "--prometheus-header", "Authorization: x", "--prometheus-token-file", "t"),
            "expected one way to authenticate",
        ),
        (("--prometheus", "http://u:p@b", "--prometheus-header", "Authorization: x"), "one way to authenticate"),
        (("--prometheus", "http://b", "--time-column", "t"), "--time-column: expected with --csv only"),
        (("--prometheus", "b"), "--prometheus: expected a URL such as"),
        (("--prometheus", "http://b", "--range", "week"), "--range: expected a duration such as 7d"),
        (("--prometheus", "http://b", "--step", "0s"), "--step: expected a duration"),
        (("--prometheus", "http://b", "--range", "10s"), "--range: expected at least one --step (60 s); got 10 s"),
        (("--prometheus", "http://b", "--username", "u"), "expected --username and --password-file, both or none"),
        ((*BASE, "--node", "a", "--node-column", "b"), "expected --node NAME or --node-column NAME"),
        ((*BASE, "--power-unit", "joules", "--power-kind", "gauge"), "joules count up"),
        ((*BASE, "-o", "no/such/folder/models.yaml"), "expected a folder that is there"),
        ((*BASE, "-o", "."), "expected a file; it is a folder"),
        ((*BASE, "--plot", "picture.bmp"), "expected a file that ends in .png, .svg, .pdf"),
        ((*BASE, "--cpu-unit", "per cent"), "'per cent' is not one of 'ratio', 'percent', 'cores'"),
    ],
)
def test_options_that_do_not_go_together_are_told(args: tuple[str, ...], expected: str) -> None:
    table(cpu=use(), watts=power(use()))
    assert expected in refusal(*args)


def test_a_prometheus_that_is_not_there_is_a_failed_run() -> None:
    result = run("--prometheus", "http://user:secret@127.0.0.1:9", "--range", "1h")
    assert result.exit_code == 1
    assert "no connection" in result.stderr
    assert "secret" not in result.output


def test_plotting_without_matplotlib_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table(cpu=use(), watts=power(use()))
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'peaks-scheduler[plot]'" in refusal(*BASE, "--plot", "picture.png")
    assert run(*BASE).exit_code == 0  # all else works without it


# --- of what the watts are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "options", "scope", "confidence"),
    [
        ("watts", (), "wall", "high"),
        ("PkgWatt", (), "package", "high"),
        ("estimated_watts", (), "estimate", "low"),
        ("watts", ("--scope", "platform"), "platform", "high"),
        ("PkgWatt", ("--scope", "wall"), "wall", "high"),
        ("watts", ("--scope", "estimate"), "estimate", "low"),
    ],
)
def test_a_file_says_of_what_its_watts_are_or_its_column_does(
    column: str, options: tuple[str, ...], scope: str, confidence: str, folder: Path
) -> None:
    cpu = use()
    table(**{"cpu": cpu, column: power(cpu)})
    args = ("--csv", "m.csv", "--cpu-column", "cpu", "--power-column", column, *options)
    found = only(learned(*args, "-o", "models.yaml"))
    assert (found["scope"], found["confidence"]) == (scope, confidence)
    assert (found["verdict"] == "good") is (confidence == "high")
    (written,) = yaml.safe_load((folder / "models.yaml").read_text())["models"]
    assert (written["scope"], written["quality"].get("confidence")) == (scope, None if confidence == "high" else "low")


def test_an_exact_curve_is_usable_and_says_why() -> None:
    cpu = use()
    table(cpu=cpu, watts=IDLE + SPAN * cpu)
    found = only(learned(*BASE))
    assert (found["verdict"], found["confidence"]) == ("usable", "low")
    assert "too good to be measured" in found["reasons"][0]
