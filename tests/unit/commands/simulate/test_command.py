"""``peaks-scheduler simulate`` as a user calls it: files and their columns, sums that anybody can make again, the same
bytes twice, and errors in words."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from peaks_scheduler.commands.simulate.kpi_table import as_table
from peaks_scheduler.simulation.measurement import Kpis

Rows = list[dict[str, str]]

NODES = """name,cpu_cores,memory_mib,watts_0,watts_50,watts_100,standby_watts
old,8,16384,90,130,200,
mid,8,16384,60,75,140,
new,16,32768,50,110,230,5
tiny,4,8192,20,45,80,
"""
STRATEGIES = ("envelope", "least-allocated", "min-min")
KPIS = (
    "strategy,pods,unscheduled,core_hours,energy_kwh,bound_kwh,over_bound_percent,saving_vs_default_percent,average_ci,"
    "co2_kg,wait_s,turnaround_s,decision_us"
)
"""The columns that come first."""
DECISIONS = "job_id,assigned_node,strategy,ci_score,timestamp,start_s,end_s,cpu_used_cores"
HEAD = "pod,arrival_s,duration_s,cpu_cores,memory_mib,cpu_used_cores\n"
TOO_LARGE = 1
FEW = HEAD + "a,0,3600,2,512,1\nb,60,1800,2,512,2\n"


def many_pods() -> str:
    """60 pods that fill the cluster, so that some wait, some that use more than they request, and one that fits
    nowhere."""
    rows = [
        f"pod-{i:02},{37 * i % 1800},{600 + 211 * i % 3000},{1 + i % 3},{256 * (1 + i % 4)},{0.4 + 0.7 * (i % 4):g}"
        for i in range(60)
    ]
    return HEAD + "\n".join([*rows, "giant,100,60,64,512,1"]) + "\n"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the extra: the CSV files come all the same, and sooner."""
    for name in ("pyarrow", "matplotlib", "matplotlib.style", "joblib"):
        monkeypatch.setitem(sys.modules, name, None)


def simulate(place: Path, *more: str, nodes: str = NODES, workload: str = FEW, out: str = "out") -> Result:
    """Run the command on files with these texts."""
    (place / "nodes.csv").write_text(nodes)
    (place / "workload.csv").write_text(workload)
    given = ["--nodes", str(place / "nodes.csv"), "--workload", str(place / "workload.csv"), "--out", str(place / out)]
    strategy = () if "--strategy" in more else ("--strategy", "envelope")
    return CliRunner().invoke(main, ["simulate", *given, *strategy, *more])


def each(strategies: Iterable[str]) -> list[str]:
    return [word for name in strategies for word in ("--strategy", name)]


def rows_of(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def of(rows: Rows, strategy: str) -> Rows:
    return [row for row in rows if row["strategy"] == strategy]


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strategies, two seeds, in this process, with everything that can be written."""
    place = tmp_path_factory.mktemp("first")
    result = simulate(place, *each(STRATEGIES), "--runs", "2", "--jobs", "1", workload=many_pods())
    assert result.exit_code == 0, result.output
    return place / "out"


@pytest.fixture(scope="module")
def decisions(folder: Path) -> Rows:
    """Of the first seed."""
    return [row for row in rows_of(folder / "decisions.csv") if row["seed"] == "0"]


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of every file; of the KPIs without the one column that is this machine's time."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    from pyarrow import parquet

    kpis = [{**row, "decision_us": ""} for row in rows_of(folder / "kpis.csv")]
    same = parquet.read_table(folder / "parquet" / "kpis.parquet").drop_columns(["decision_us"]).to_pylist()
    return {**found, "kpis.csv": json.dumps(kpis).encode(), "parquet/kpis.parquet": json.dumps(same).encode()}


def test_two_runs_give_the_same_bytes_whatever_the_number_of_processes(folder: Path, tmp_path: Path) -> None:
    simulate(tmp_path, *each(STRATEGIES), "--runs", "2", "--jobs", "2", workload=many_pods())
    first, second = contents(folder), contents(tmp_path / "out")
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.parametrize(
    "name", ["report.html", "figures/power.png", "figures/energy.svg", "parquet/decisions.parquet", "power.csv"]
)
def test_the_folder_has_the_file(folder: Path, name: str) -> None:
    assert (folder / name).stat().st_size > 0


def test_decisions_have_the_documented_columns(folder: Path) -> None:
    assert (folder / "decisions.csv").read_text().splitlines()[0].startswith(DECISIONS)


def test_kpis_begin_with_the_documented_columns(folder: Path) -> None:
    assert (folder / "kpis.csv").read_text().splitlines()[0].startswith(f"{KPIS},")


def test_what_was_simulated_can_be_simulated_again(folder: Path, tmp_path: Path, bare: None) -> None:
    nodes, workload = ((folder / name).read_text() for name in ("nodes.csv", "workload.csv"))
    simulate(tmp_path, nodes=nodes, workload=workload)
    one, again = (of(rows_of(each / "kpis.csv"), "envelope")[0] for each in (folder, tmp_path / "out"))
    assert one["energy_kwh"] == again["energy_kwh"]


# --- what anybody can compute again -----------------------------------------------------------------------------------


def node_watts(node: dict[str, str], used: float, pods: int) -> float:
    """Power of a node: straight between its levels, and what it draws asleep without a pod."""
    if not pods and node["standby_watts"]:
        return float(node["standby_watts"])
    level = 10.0 * min(used / float(node["cpu_cores"]), 1.0)
    low = min(int(level), 9)
    below, above = float(node[f"watts_{10 * low}"]), float(node[f"watts_{10 * low + 10}"])
    return below + (above - below) * (level - low)


def node_joules(node: dict[str, str], placed: Rows, end: float) -> float:
    times = sorted({0.0, end, *(float(row[edge]) for row in placed for edge in ("start_s", "end_s"))})
    joules = 0.0
    for start, stop in pairwise(times):
        there = [row for row in placed if float(row["start_s"]) <= start < float(row["end_s"])]
        used = sum(float(row["cpu_used_cores"]) for row in there)
        joules += (stop - start) * node_watts(node, used, len(there))
    return joules


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_energy_follows_from_nodes_and_decisions(folder: Path, decisions: Rows, strategy: str) -> None:
    placed = of(decisions, strategy)
    end = max(float(row["end_s"]) for row in placed)
    joules = sum(
        node_joules(node, [row for row in placed if row["assigned_node"] == node["name"]], end)
        for node in rows_of(folder / "nodes.csv")
    )
    told = float(of(rows_of(folder / "kpis.csv"), strategy)[0]["energy_kwh"])
    assert joules / 3.6e6 == pytest.approx(told, rel=1e-9)


def test_every_pod_runs_as_long_as_the_workload_says(folder: Path, decisions: Rows) -> None:
    life = {row["pod"]: float(row["duration_s"]) for row in rows_of(folder / "workload.csv")}
    ran = [float(row["end_s"]) - float(row["start_s"]) for row in decisions]
    assert ran == pytest.approx([life[row["job_id"]] for row in decisions])


def test_no_pod_starts_before_it_comes_and_some_had_to_wait(folder: Path, decisions: Rows) -> None:
    arrival = {row["pod"]: float(row["arrival_s"]) for row in rows_of(folder / "workload.csv")}
    waits = [float(row["start_s"]) - arrival[row["job_id"]] for row in decisions]
    assert min(waits) >= 0.0
    assert max(waits) > 60.0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("what", ["cpu_cores", "memory_mib"])
def test_requests_never_exceed_a_node(folder: Path, decisions: Rows, strategy: str, what: str) -> None:
    request = {row["pod"]: float(row[what]) for row in rows_of(folder / "workload.csv")}
    room = {row["name"]: float(row[what]) for row in rows_of(folder / "nodes.csv")}
    changes = defaultdict(list)
    for row in of(decisions, strategy):
        asked = request[row["job_id"]]
        changes[row["assigned_node"]] += [(float(row["start_s"]), asked), (float(row["end_s"]), -asked)]
    for node, steps in changes.items():
        held = 0.0
        for _, step in sorted(steps):  # what ends at a time comes before what starts then
            held += step
            assert held <= room[node] + 1e-9


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_pod_is_placed_once_or_counted(folder: Path, decisions: Rows, strategy: str) -> None:
    placed = [row["job_id"] for row in of(decisions, strategy)]
    kpis = of(rows_of(folder / "kpis.csv"), strategy)[0]
    assert len(placed) == len(set(placed)) == 60
    assert (int(kpis["pods"]), int(kpis["unscheduled"])) == (61, TOO_LARGE)


def test_a_saving_is_counted_from_todays_scheduler(folder: Path) -> None:
    kpis = rows_of(folder / "kpis.csv")
    ours, today = (of(kpis, name)[0] for name in ("envelope", "least-allocated"))
    saved = 100.0 * (1.0 - float(ours["energy_kwh"]) / float(today["energy_kwh"]))
    assert float(ours["saving_vs_default_percent"]) == pytest.approx(saved)


# --- options ----------------------------------------------------------------------------------------------------------


def kpis_with(place: Path, *more: str, workload: str = FEW) -> dict[str, str]:
    """The only row of the KPIs."""
    result = simulate(place, *more, workload=workload)
    assert result.exit_code == 0, result.output
    return rows_of(place / "out" / "kpis.csv")[0]


def test_round_robin_takes_turns(tmp_path: Path, bare: None) -> None:
    workload = HEAD + "".join(f"p{i},{i},3600,1,64,1\n" for i in range(8))
    simulate(tmp_path, "--strategy", "round-robin", workload=workload)
    nodes = [row["assigned_node"] for row in rows_of(tmp_path / "out" / "decisions.csv")]
    assert set(nodes[:4]) == {"old", "mid", "new", "tiny"}
    assert nodes[4:] == nodes[:4]


def test_runs_give_an_interval(tmp_path: Path, bare: None) -> None:
    result = simulate(tmp_path, "--strategy", "random", "--runs", "3", workload=many_pods())
    assert " ± " in result.output
    assert [row["seed"] for row in rows_of(tmp_path / "out" / "kpis.csv")] == ["0", "1", "2"]


def test_the_price_of_the_energy(tmp_path: Path, bare: None) -> None:
    kpis = kpis_with(tmp_path, "--price", "0.25")
    assert float(kpis["cost"]) == pytest.approx(0.25 * float(kpis["energy_kwh"]))


def test_the_co2_of_the_energy(tmp_path: Path, bare: None) -> None:
    (tmp_path / "grid.csv").write_text("time_s,gco2_per_kwh\n0,300\n7200,300\n")
    kpis = kpis_with(tmp_path, "--carbon", str(tmp_path / "grid.csv"))
    assert float(kpis["average_ci"]) == pytest.approx(300.0)
    assert float(kpis["co2_kg"]) == pytest.approx(0.3 * float(kpis["energy_kwh"]))


@pytest.mark.parametrize("words", ["true", "wrong:10%", "true+wrong:10%+unmodelled:25%", "swapped:old,mid"])
def test_words_for_what_is_believed(tmp_path: Path, bare: None, words: str) -> None:
    assert simulate(tmp_path, "--models", words).exit_code == 0


def test_swapped_models_mislead(tmp_path: Path, bare: None) -> None:
    words = ("true", "true+swapped:old,mid")
    true, swapped = (float(kpis_with(tmp_path, "--models", each)["energy_kwh"]) for each in words)
    assert swapped > true


@pytest.mark.parametrize(
    "words", ["perfect", "load-watcher:window=5m", "metrics-server", "prometheus:window=5m&delay=30s"]
)
def test_words_for_the_view_of_the_load(tmp_path: Path, bare: None, words: str) -> None:
    assert simulate(tmp_path, "--load-view", words).exit_code == 0


@pytest.mark.parametrize("source", ["prometheus", "metrics-server"])
def test_the_configured_load_source_counts(tmp_path: Path, bare: None, source: str) -> None:
    (tmp_path / "config.yaml").write_text(f"load: {{source: {source}, address: 'http://prometheus:9090'}}\n")
    assert simulate(tmp_path, "--config", str(tmp_path / "config.yaml")).exit_code == 0


def test_faults_are_listed_and_their_work_is_counted(tmp_path: Path, bare: None) -> None:
    kpis = kpis_with(tmp_path, "--faults", "nodes:mtbf=20m&mttr=5m", workload=many_pods())
    assert float(kpis["core_hours_lost"]) > 0.0
    assert {row["node"] for row in rows_of(tmp_path / "out" / "outages.csv")} <= {"old", "mid", "new", "tiny"}


def test_sqlite_keeps_every_run(tmp_path: Path, bare: None) -> None:
    database = tmp_path / "all.db"
    for _ in range(2):
        simulate(tmp_path, "--sqlite", str(database))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT run, COUNT(*) FROM decisions GROUP BY run").fetchall() == [(1, 2), (2, 2)]


def test_json_is_all_that_comes_on_standard_output(tmp_path: Path, bare: None) -> None:
    result = simulate(tmp_path, "--output", "json")
    assert [row["strategy"] for row in json.loads(result.stdout)["kpis"]] == ["envelope"]


def test_a_strategy_given_twice_is_replayed_once(tmp_path: Path, bare: None) -> None:
    simulate(tmp_path, *each(["envelope", "envelope"]))
    assert len(rows_of(tmp_path / "out" / "kpis.csv")) == 1


def test_without_the_extra_the_csvs_come_and_each_missing_package_is_named(tmp_path: Path, bare: None) -> None:
    result = simulate(tmp_path, *each(STRATEGIES), "--jobs", "2")
    assert (tmp_path / "out" / "decisions.csv").is_file()
    said = [line for line in result.stderr.splitlines() if "pip install 'peaks-scheduler[simulate]'" in line]
    for package in ("pyarrow", "matplotlib", "joblib"):
        assert sum(package in line for line in said) == 1


def test_names_may_have_any_letters(tmp_path: Path, bare: None) -> None:
    result = simulate(tmp_path, nodes=NODES.replace("new,", '"größer <b>, 新",'), workload=FEW.replace("a,", "ä&b,"))
    assert result.exit_code == 0
    assert "größer <b>, 新" in {row["name"] for row in rows_of(tmp_path / "out" / "nodes.csv")}


def test_a_workload_without_a_pod_that_fits_is_counted(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    result = simulate(tmp_path, workload=HEAD + "giant,0,60,64,512,1\n")
    assert rows_of(tmp_path / "out" / "kpis.csv")[0]["unscheduled"] == "1"
    assert "1 pod with a request above the CPUs of every node" in result.output
    assert [str(each.message) for each in recwarn if "lims" in str(each.message)] == []


# --- experiments and clusters -----------------------------------------------------------------------------------------


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "n.csv").write_text(NODES)
    (tmp_path / "w.csv").write_text(FEW)
    words = f"nodes: {tmp_path}/n.csv\nworkloads: {tmp_path}/w.csv\nstrategies: [envelope, least-allocated]\nseeds: 2\n"
    (tmp_path / "e.yaml").write_text(f"name: small\n{words}")
    return tmp_path / "e.yaml"


def run_experiment(file: Path, *more: str) -> Result:
    given = ["--experiment", str(file), "--out", str(file.parent / "out"), "--jobs", "1"]
    return CliRunner().invoke(main, ["simulate", *given, *more])


def test_an_experiment(experiment: Path) -> None:
    result = run_experiment(experiment)
    assert result.exit_code == 0, result.output
    assert len(rows_of(experiment.parent / "out" / "results.csv")) == 4


@pytest.mark.parametrize(
    "option",
    [
        *(("--strategy", "jump"), ("--runs", "3"), ("--seed", "1"), ("--faults", "load:for=1h"), ("--sqlite", "x.db")),
        *(("--output", "json"), ("--power-models", "models.yaml"), ("--models", "true"), ("--load-view", "perfect")),
    ],
)
def test_an_option_that_an_experiment_would_not_heed_is_an_error(experiment: Path, option: tuple[str, str]) -> None:
    result = run_experiment(experiment, *option)
    assert result.exit_code == 2
    assert f"{option[0]} does not go with --experiment" in result.output


def dump(pods: Sequence[tuple[str, str]]) -> str:
    """Two nodes, and pods (name, CPU request) that run on the first."""
    nodes = [
        {
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"allocatable": (room := {"cpu": "8", "memory": "16Gi", "pods": "110"}), "capacity": room},
        }
        for name in ("worker-1", "worker-2")
    ]
    running = [
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"nodeName": "worker-1", "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
            "status": {"phase": "Running"},
        }
        for name, cpu in pods
    ]
    return json.dumps({"kind": "List", "items": nodes + running})


def on_dump(place: Path, text: str, *more: str) -> Result:
    (place / "cluster.json").write_text(text)
    file = str(place / "cluster.json")
    given = ["--nodes", file, "--workload", file, "--strategy", "envelope", "--out", str(place / "out")]
    return CliRunner().invoke(main, ["simulate", *given, *more])


def test_on_a_cluster_of_ones_own_todays_scheduler_is_added_and_a_month_is_told(tmp_path: Path, bare: None) -> None:
    result = on_dump(tmp_path, dump([("a", "2"), ("b", "2")]), "--assume-watts", "2:6")
    assert result.exit_code == 0, result.output
    assert [row["strategy"] for row in rows_of(tmp_path / "out" / "kpis.csv")] == ["least-allocated", "envelope"]
    assert "a month" in result.stdout


def test_power_models_stand_for_the_curves_of_ones_own_cluster(tmp_path: Path, bare: None) -> None:
    models = "models:\n- {nodes: [worker-1, worker-2], cpu: ratio, curve: {kind: linear, idle: 50, max: 100}}\n"
    (tmp_path / "models.yaml").write_text(models)
    on_dump(tmp_path, dump([("a", "4")]), "--power-models", str(tmp_path / "models.yaml"))
    # 24 h of 2 * 50 W and of 2 of 8 CPUs, half of the request: 50 * 2 / 8 W
    energy = float(rows_of(tmp_path / "out" / "kpis.csv")[0]["energy_kwh"])
    assert energy == pytest.approx(24 * (100.0 + 12.5) / 1000.0)


def test_nodes_of_a_cluster_without_power_are_an_error(tmp_path: Path, bare: None) -> None:
    result = on_dump(tmp_path, dump([("a", "2")]))
    assert result.exit_code == 2
    assert "worker-1" in result.output


def test_a_cluster_on_which_nothing_can_run_is_told_so(tmp_path: Path, bare: None) -> None:
    result = on_dump(tmp_path, dump([("a", "64")]).replace('"nodeName": "worker-1", ', ""), "--assume-watts", "2:6")
    assert result.exit_code == 0
    assert "No pod found a node with room" in result.stdout


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "workload", "words"),
    [
        (NODES.replace("mid,8", "old,8"), FEW, "nodes.csv: line 3: expected each node once; 'old' is in line 2"),
        (NODES.replace("90,130,200", "90,80,200"), FEW, "nodes.csv: line 2: expected a curve that never falls"),
        (NODES.replace("old,8", "old,8e6"), FEW, "nodes.csv: line 2: expected a number above 0 and at most 10,000"),
        (NODES.replace("old,8", "old,0"), FEW, "nodes.csv: line 2: expected a number above 0"),
        (NODES.replace("watts_100", "watts"), FEW, "missing: watts_100"),
        (NODES, HEAD, "workload.csv: expected rows below the header"),
        (NODES, "", "workload.csv: expected a header line and rows; the file is empty"),
        (NODES, FEW.replace("duration_s", "seconds"), "missing: duration_s"),
        (NODES, FEW.replace("a,0,3600", "a,0,-3600"), "workload.csv: line 2: expected a number above 0"),
        (NODES, FEW.replace("b,60", "a,60"), "workload.csv: line 3: expected each pod once; 'a' is in line 2"),
        (NODES, FEW.replace("a,0", "a,1700000000"), "line 2: expected a number of at least 0 and at most 315,360,000"),
        (NODES, FEW.replace("b,60,1800,2", "b,60,1800,many"), "workload.csv: line 3: expected a number"),
    ],
)
def test_bad_input_is_one_error_with_its_place(tmp_path: Path, nodes: str, workload: str, words: str) -> None:
    result = simulate(tmp_path, nodes=nodes, workload=workload)
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert words in result.output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--strategy", "envelop"), "did you mean 'envelope'?"),
        (("--models", "wrongg:10%"), "did you mean 'wrong'?"),
        (("--load-view", "promtheus"), "did you mean 'prometheus'?"),
        (("--faults", "node:mtbf=1d&mttr=1h"), "did you mean 'nodes'?"),
        (("--price", "-1"), "--price: expected the price of a kWh"),
        (("--carbon", "nowhere.csv"), "nowhere.csv"),
        (("--strategy", "carbon"), "give --carbon FILE"),
        (("--assume-watts", "1:5"), "--assume-watts is for the nodes of a cluster dump"),
        (("--dask", "tcp://x"), "--dask goes with --experiment"),
        (("--nodes", "nowhere.csv"), "nowhere.csv"),
        (("--nodes", "specpwer:x"), "did you mean 'specpower'?"),
        (("--runs", "1001"), "1<=x<=1000"),
    ],
)
def test_a_wrong_option_is_an_error_in_words(tmp_path: Path, option: tuple[str, str], words: str) -> None:
    result = simulate(tmp_path, *option)
    assert result.exit_code == 2
    assert words in result.output


def test_a_folder_that_is_a_file_is_an_error_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = simulate(tmp_path)
    assert result.exit_code == 2
    assert "expected a folder that can be made" in result.output


def test_a_prometheus_that_does_not_answer_is_named(tmp_path: Path) -> None:
    result = simulate(tmp_path, "--nodes", "prometheus:http://127.0.0.1:1?range=1h")
    assert result.exit_code == 1
    assert "Prometheus at http://127.0.0.1:1: no connection" in result.output


# --- the printed table ------------------------------------------------------------------------------------------------


def kpis(strategy: str, energy: float, **more: float | None) -> Kpis:
    figures: dict[str, Any] = {
        name: None if name in ("saving_vs_default_percent", "average_ci", "co2_kg", "cost") else 0.0
        for name in Kpis.__slots__
    }
    figures.update({"strategy": strategy, "energy_kwh": energy, "core_hours": 50.0, "co2_bound_kg": None, **more})
    return Kpis(**figures)


def test_a_small_energy_is_shown_with_enough_digits() -> None:
    assert "0.003549" in as_table([[kpis("jump", 0.0035486)]])


def test_the_table_prints_no_digit_that_the_interval_makes_doubtful() -> None:
    # mean 20, standard deviation 1: 95 % of Student's t with 2 degrees of freedom, 4.303 / sqrt(3) = 2.48
    table = as_table([[kpis("jump", energy) for energy in (19.0, 20.0, 21.0)]])
    assert "20.0 ± 2.5" in table


def test_unequal_work_is_said_below_the_table() -> None:
    table = as_table([[kpis("jump", 10.0)], [kpis("least-allocated", 10.0, core_hours=40.0)]])
    assert "The strategies did not do equal work: 40.00 to 50.00 core-hours." in table


def test_the_table_says_what_savings_are_counted_from() -> None:
    assert "add --strategy least-allocated" in as_table([[kpis("jump", 10.0)]])


def test_the_table_fits_a_terminal_with_everything_in_it() -> None:
    full = {"saving_vs_default_percent": 12.3, "co2_kg": 12.3, "cost": 45.6, "core_hours_lost": 97.0, "wait_s": 5.0}
    spread = (150.0, 200.0, 250.0)
    table = as_table([[kpis("least-allocated", energy, unscheduled=3, **full) for energy in spread]])
    assert max(map(len, table.splitlines())) <= 120
