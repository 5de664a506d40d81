"""``simulate validate``: measured work is replayed, and its predicted power compared with measured power.

The work that is made here runs on three hosts of 4 cores at 1,000 MHz each. A host draws 50 W + 100 W * use, and the
meter of all three has 2 W of noise. Two days are measured every minute.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as arrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from peaks_scheduler.arrays import Floats
from peaks_scheduler.commands.simulate.validate.command import ValidateRequest, request_of, validate_command, validation
from peaks_scheduler.commands.simulate.validate.hosts import most_at_once, place, use_of_hosts
from peaks_scheduler.commands.simulate.validate.power import MeasuredPower, read_power
from peaks_scheduler.commands.simulate.validate.report import as_json
from peaks_scheduler.commands.simulate.validate.work import Hosts, MeasuredWork, read_hosts, read_work
from peaks_scheduler.errors import ConfigurationError

HOSTS, CORES, MHZ = 3, 4, 4000.0
MINUTES = 2 * 24 * 60
JOB = 60  # minutes that a job lasts
EPOCH_MS = 1_700_000_000_000
KEYS = ("mape_frozen", "mape_refitted", "mape_5min", "coverage95", "under10")


def uses() -> Floats:
    """(MINUTES, HOSTS) use of each host; a new job every hour on each, with its own level and some change within."""
    rng = np.random.default_rng(2)
    levels = np.repeat(rng.random((MINUTES // JOB, HOSTS)), JOB, axis=0)
    return np.clip(levels + 0.05 * rng.normal(size=levels.shape), 0.0, 1.0)


def table(path: Path, **columns: Any) -> None:
    parquet.write_table(arrow.table(columns), path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the work and the meter."""
    folder, use = tmp_path_factory.mktemp("opendc"), uses()
    jobs = [(start, host) for start in range(0, MINUTES, JOB) for host in range(HOSTS)]
    ids = [f"{start}-{host}" for start, host in jobs]
    table(
        folder / "tasks.parquet",
        id=[*ids, "idle"],
        submission_time=arrow.array(
            [EPOCH_MS + 60_000 * start for start, _ in jobs] + [EPOCH_MS], arrow.timestamp("ms")
        ),
        duration=[60_000 * JOB] * (len(jobs) + 1),
        cpu_count=[CORES] * (len(jobs) + 1),
        cpu_capacity=[MHZ] * (len(jobs) + 1),
    )
    table(
        folder / "fragments.parquet",
        id=np.repeat(ids, JOB),
        duration=[60_000] * (len(ids) * JOB),
        cpu_usage=np.concatenate([MHZ * use[start : start + JOB, host] for start, host in jobs]),
    )
    watts = (50.0 + 100.0 * use).sum(axis=1) + 2.0 * np.random.default_rng(3).normal(size=MINUTES)
    table(folder / "power.parquet", timestamp=60_000 * np.arange(1, MINUTES + 1), power_draw=watts)
    return folder


def copy(made: Path, to: Path, **changed: Any) -> Path:
    """The folder with some files made anew: name -> function of the columns (a dict of lists)."""
    for name in ("tasks", "fragments", "power"):
        columns = parquet.read_table(made / f"{name}.parquet").to_pydict()
        table(to / f"{name}.parquet", **(changed[name](columns) if name in changed else columns))
    return to


def result(folder: Path, **options: Any) -> dict[str, Any]:
    return as_json(validation(ValidateRequest(str(folder), str(folder / "power.parquet"), **options)))


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        result(folder, **options)
    return str(error.value)


@pytest.fixture(scope="module")
def found(made: Path) -> dict[str, Any]:
    return result(made)


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", ["mape_frozen", "mape_refitted"])
def test_a_true_curve_predicts_to_within_the_noise(found: dict[str, Any], figure: str) -> None:
    # 2 W of normal noise are 1.6 W in the mean, of some 300 W
    assert found[figure] == pytest.approx(100.0 * 1.6 / 300.0, rel=0.25)


def test_means_of_five_minutes_have_less_noise(found: dict[str, Any]) -> None:
    assert found["mape_5min"] == pytest.approx(found["mape_refitted"] / np.sqrt(5.0), rel=0.25)


def test_the_interval_holds_95_of_100_samples(found: dict[str, Any]) -> None:
    assert 0.93 <= found["coverage95"] <= 0.97
    assert found["samples"] == 1440


def test_the_curve_is_that_of_one_host(found: dict[str, Any]) -> None:
    curve = found["frozen"]["curve"]
    assert (curve["kind"], found["hosts"]) == ("linear", HOSTS)
    assert (curve["idle"], curve["max"]) == pytest.approx((50.0, 150.0), rel=0.02)


def test_what_was_left_out_is_told(found: dict[str, Any]) -> None:
    assert any("1 task without fragments" in note for note in found["notes"])
    assert any("say --hosts N" in note for note in found["notes"])


def test_more_hosts_change_the_idle_power_of_a_host_and_no_figure(made: Path, found: dict[str, Any]) -> None:
    more = result(made, hosts=6)
    assert more["mape_refitted"] == pytest.approx(found["mape_refitted"], rel=1e-3)
    assert more["frozen"]["curve"]["idle"] == pytest.approx(25.0, rel=0.05)


def test_two_runs_give_the_same_numbers(made: Path, found: dict[str, Any]) -> None:
    assert result(made) == found


def test_timestamps_of_the_calendar_are_brought_to_the_first_submission(made: Path, tmp_path: Path) -> None:
    def dated(columns: dict[str, Any]) -> dict[str, Any]:
        stamps = [EPOCH_MS + each for each in columns["timestamp"]]
        return columns | {"timestamp": arrow.array(stamps, arrow.timestamp("ms"))}

    copy(made, tmp_path, power=dated)
    assert read_power(str(tmp_path / "power.parquet"), float(EPOCH_MS)).time[0] == 60.0


# --- the hosts ------------------------------------------------------------------------------------------------------


def work(start: Sequence[float], minutes: Sequence[int]) -> MeasuredWork:
    """Jobs of one host each, whose use is 1,000, 2,000, ... MHz in minute after minute."""
    job = np.repeat(np.arange(len(start)), minutes)
    offset = np.concatenate([60.0 * np.arange(each) for each in minutes])
    return MeasuredWork(
        tuple(f"t{i}" for i in range(len(start))),
        np.array(start),
        np.full(len(start), float(CORES)),
        np.full(len(start), MHZ),
        job,
        offset,
        np.full(len(job), 60.0),
        1000.0 * (1.0 + offset / 60.0),
        0.0,
    )


def test_the_hosts_needed_are_the_most_jobs_at_a_time() -> None:
    # the second ends when the third begins
    assert most_at_once(work([0.0, 30.0, 90.0], [3, 1, 1]), CORES) == 2


def test_use_is_averaged_over_the_time_since_the_last_sample() -> None:
    measured, power = work([30.0], [2]), MeasuredPower(np.array([60.0, 120.0, 180.0]), np.ones(3), 60.0)
    use = use_of_hosts(measured, np.array([0]), measured.start, 1, MHZ, power)
    # half a minute at 1,000 MHz; half at 1,000 and half at 2,000; half a minute at 2,000; of 4,000 MHz
    assert use[:, 0].tolist() == pytest.approx([0.125, 0.375, 0.25])


def test_every_job_has_a_host_of_its_own_while_it_runs() -> None:
    host, start, notes = place(
        work([0.0, 60.0, 120.0], [3, 3, 3]), Hosts(None, CORES, MHZ), 3, lambda done, total: None
    )
    assert (sorted(host.tolist()), start.tolist(), notes) == ([0, 1, 2], [0.0, 60.0, 120.0], ())


def test_without_room_a_job_waits_and_it_is_told() -> None:
    _, start, notes = place(work([0.0, 60.0], [3, 3]), Hosts(None, CORES, MHZ), 1, lambda done, total: None)
    assert start.tolist() == [0.0, 180.0]
    assert "1 jobs had to wait" in notes[0]


def test_the_topology_says_how_many_hosts_there_are(made: Path, tmp_path: Path) -> None:
    host = {"count": 7, "cpu": {"coreCount": 4, "coreSpeed": "1 GHz"}}
    copy(made, tmp_path)
    (tmp_path / "topology.json").write_text(json.dumps({"clusters": [{"count": 2, "hosts": [host]}]}))
    assert read_hosts(str(tmp_path), read_work(str(tmp_path))) == Hosts(14, 4.0, 4000.0)


# --- bad input ------------------------------------------------------------------------------------------------------


def scaled(name: str, factor: float) -> Any:
    return lambda columns: columns | {name: [type(each)(each * factor) for each in columns[name]]}


def texts(name: str) -> Any:
    return lambda columns: columns | {name: ["many"] * len(columns[name])}


def without(name: str) -> Any:
    return lambda columns: {key: value for key, value in columns.items() if key != name}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"power": scaled("power_draw", 1e-3)}, "are these kilowatts? Convert them to watts"),
        ({"power": scaled("timestamp", 1e-3)}, "are these seconds? Convert them to ms"),
        ({"fragments": scaled("duration", 1e-3)}, "are these seconds? Convert them to ms"),
        ({"fragments": scaled("cpu_usage", 1e-3)}, "is it GHz, or a share of the CPUs?"),
        ({"fragments": scaled("cpu_usage", 1e3)}, "is it Hz or kHz"),
        ({"fragments": scaled("duration", -1.0)}, "expected durations of 0 ms or more; got -60000 in row 1"),
        ({"fragments": texts("cpu_usage")}, "expected numbers in column 'cpu_usage'; got string"),
        ({"power": texts("power_draw")}, "expected numbers in column 'power_draw'; got string"),
        ({"tasks": scaled("cpu_capacity", 0.0)}, "expected a cpu_capacity above 0; got 0 in row 1"),
        ({"tasks": lambda columns: {key: value[:0] for key, value in columns.items()}}, "no id is in both"),
        ({"fragments": without("cpu_usage")}, "fragments.parquet: expected the column 'cpu_usage'"),
        ({"power": without("power_draw")}, "power.parquet: expected the column 'power_draw'"),
        ({"tasks": lambda columns: {key: value * 2 for key, value in columns.items()}}, "'0-0' comes twice"),
        ({"fragments": lambda columns: columns | {"id": ["x"] * len(columns["id"])}}, "no id is in both"),
    ],
)
def test_what_cannot_be_right_is_named(made: Path, tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    assert words in refusal(copy(made, tmp_path, **changed))


def test_times_that_do_not_overlap_are_told_in_hours(made: Path, tmp_path: Path) -> None:
    def later(columns: dict[str, Any]) -> dict[str, Any]:
        return columns | {"timestamp": [each + 100 * 3_600_000 for each in columns["timestamp"]]}

    assert "0 to 48.0 h after the first submission; got 100.0 to 148.0 h" in refusal(copy(made, tmp_path, power=later))


def test_a_folder_without_tasks_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "task.parquet").touch()
    assert "tasks.parquet; there is none; the folder has task.parquet" in refusal(tmp_path)


def test_a_file_that_is_no_parquet_is_an_error(made: Path, tmp_path: Path) -> None:
    copy(made, tmp_path)
    (tmp_path / "power.parquet").write_text("timestamp,power_draw\n")
    assert "expected a Parquet file that can be read" in refusal(tmp_path)


def test_a_span_longer_than_the_measurement_is_an_error(made: Path) -> None:
    assert "expected at least 100 samples before and after it" in refusal(made, freeze=3 * 86_400.0)


def test_more_hosts_than_memory_holds_are_refused(made: Path, tmp_path: Path) -> None:
    copy(made, tmp_path, power=scaled("power_draw", 1e3))
    assert "expected at most 34,722 for 2,880 samples of the meter" in refusal(tmp_path, hosts=50_000)


@pytest.mark.parametrize(("freeze", "refit"), [("1d", "12h"), ("1d", "1s"), ("soon", "1h")])
def test_spans_that_cannot_be_are_usage_errors(freeze: str, refit: str) -> None:
    flags = {"opendc": "f", "power": "p", "freeze": freeze, "refit": refit, "hosts": None, "output": "json"}
    with pytest.raises(ConfigurationError, match="expected"):
        request_of(flags)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_figures_as_json(made: Path) -> None:
    args = ["--opendc", str(made), "--power", str(made / "power.parquet"), "--output", "json"]
    done = CliRunner().invoke(validate_command(click.Command), args)
    assert done.exit_code == 0, done.output
    assert set(KEYS) <= set(json.loads(done.stdout))


def test_the_table_names_every_figure(made: Path) -> None:
    done = CliRunner().invoke(
        validate_command(click.Command), ["--opendc", str(made), "--power", str(made / "power.parquet")]
    )
    assert all(word in done.stdout for word in ("MAPE", "NAD", "RMSLE", "95 % interval", "1440 samples over 24.0 h"))


# --- measured -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Four days of a cluster of 277 hosts, if the data are there."""
    folder = Path(os.environ.get("PEAKS_TEST_DATA", "")) / "surf_power"
    if not os.environ.get("PEAKS_TEST_DATA") or not folder.is_dir():
        pytest.skip("PEAKS_TEST_DATA has no surf_power: no measured power to compare with")
    return as_json(validation(ValidateRequest(str(folder), str(folder / "consumption.parquet"), hosts=277)))


@pytest.mark.parametrize(("figure", "low", "high"), [
    ("mape_frozen", 0.0, 2.8),
    ("mape_5min", 0.0, 1.6),
    ("coverage95", 0.93, 0.97),
    ("under10", 0.92, 1.0),  # a published twin that calibrates itself
])  # fmt: skip
def test_the_power_of_a_measured_cluster_is_predicted(
    measured: dict[str, Any], figure: str, low: float, high: float
) -> None:
    assert low <= measured[figure] <= high


def test_the_measured_curve_is_judged_and_can_be_a_server_s(measured: dict[str, Any]) -> None:
    # the cluster's published model has 25 W idle and 174 W full
    watts = measured["last"]["curve"]["watts"]
    assert measured["last"]["verdict"] != "refused"
    assert 15.0 < watts[0] < 50.0 < 130.0 < watts[-1] < 250.0
