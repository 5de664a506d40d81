"""Experiments: every combination for every seed, made once, the same bytes wherever it is made."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.commands.simulate.experiment.files import path_in, resolved
from peaks_scheduler.commands.simulate.experiment.one_run import Run, case_of, run_one
from peaks_scheduler.commands.simulate.experiment.progress import RunProgress, estimate
from peaks_scheduler.commands.simulate.experiment.results import Row, groups, shown, table, unequal_work, with_savings
from peaks_scheduler.commands.simulate.experiment.running import Report, run_experiment
from peaks_scheduler.commands.simulate.experiment.scenarios import Axes, Experiment, Fixed, read_experiment
from peaks_scheduler.commands.simulate.experiment.spreading import Work
from peaks_scheduler.commands.simulate.statistics import Interval, interval
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from tests.support.tiny_experiment import READERS, counting, failing, stopping

NODES = "a 50 200\nb 60 150\nc 100 300\n"
LEAST: dict[str, Any] = {"nodes": "n.csv", "workloads": ["w.csv"], "strategies": ["envelope"]}


def read(**more: Any) -> Experiment:
    return read_experiment({**LEAST, **more}, "e.yaml", ("envelope", "jump", "least-allocated"), Fixed())


def axes(strategy: str = "envelope", seed: int = 1, **more: str) -> Axes:
    return Axes(
        **{"nodes": "n", "workload": "w", "models": "m", "load_view": "v", "faults": "", **more},
        strategy=strategy,
        seed=seed,
    )  # type: ignore[arg-type]


class Folder:
    """A folder with an experiment that has two strategies and three seeds."""

    def __init__(self, place: Path) -> None:
        self.place, self.out = place, place / "out"
        self.nodes(NODES)
        self.write()

    def nodes(self, text: str) -> None:
        (self.place / "nodes.txt").write_text(text, "utf-8")

    def write(self, **more: Any) -> None:
        data = {
            "nodes": str(self.place / "nodes.txt"),
            "workloads": "synthetic:10",
            "strategies": ["least-allocated", "jump"],
            "seeds": 3,
            **more,
        }
        (self.place / "e.yaml").write_text(json.dumps(data), "utf-8")

    def run(self, work: Work = counting, out: str = "out", jobs: int = 1, **more: Any) -> Report:
        file, folder = str(self.place / "e.yaml"), str(self.place / out)
        return run_experiment(file, folder, READERS, jobs=jobs, work=work, **more)

    def made(self) -> list[str]:
        """The runs made since the last look, ``strategy seed`` each."""
        file = self.place / "made"
        found = file.read_text("utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def rows(self, name: str = "results.csv") -> list[dict[str, str]]:
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- axes -------------------------------------------------------------------------------------------------------------


def test_every_combination_comes_once_for_each_seed() -> None:
    runs = list(read(strategies=["envelope", "jump"], models=["fitted", "true"], seeds=[7, 9]).runs())
    assert [(run.models, run.strategy, run.seed) for run in runs] == [
        ("fitted", "envelope", 7),
        ("fitted", "envelope", 9),
        ("fitted", "jump", 7),
        ("fitted", "jump", 9),
        ("true", "envelope", 7),
        ("true", "envelope", 9),
        ("true", "jump", 7),
        ("true", "jump", 9),
    ]


def test_what_is_not_said_has_a_default() -> None:
    experiment = read()
    assert list(experiment.runs()) == [Axes("n.csv", "w.csv", "fitted", "load-watcher", "", "envelope", 1)]
    assert experiment.fixed == Fixed()


def test_the_load_is_seen_as_it_is_configured_where_the_file_is_silent() -> None:
    configured = Fixed(load_view="prometheus:window=60s")
    assert read_experiment(LEAST, "e.yaml", None, configured).load_views == ("prometheus:window=60s",)


def test_the_word_true_needs_no_quotes() -> None:
    data = parse_document("nodes: n\nworkloads: w\nstrategies: jump\nmodels: [fitted, true]\n", "e.yaml")
    assert read_experiment(data, "e.yaml", None, Fixed()).models == ("fitted", "true")


def test_a_number_of_seeds_counts_from_one() -> None:
    assert read(seeds=3).seeds == (1, 2, 3)


def test_the_ceiling_of_the_file_counts_before_the_configuration() -> None:
    configured = Fixed(ceiling=Ceiling(0.8, 0.9))
    ceilings = [
        read_experiment({**LEAST, **more}, "e.yaml", None, configured).fixed.ceiling
        for more in ({}, {"ceiling": "70%"}, {"ceiling": {"cpu": "70%", "memory": "60%"}}, {"ceiling": "none"})
    ]
    assert ceilings == [Ceiling(0.8, 0.9), Ceiling(0.7, 0.9), Ceiling(0.7, 0.6), NO_CEILING]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"strategy": "jump"}, r"e\.yaml: expected keys among .*; got 'strategy' \(did you mean 'strategies'\?\)"),
        ({"strategies": ["envelop"]}, r"strategies\[0\]: expected the name of a strategy.*did you mean 'envelope'"),
        ({"models": ["fitted", "wrnog:5%"]}, r"models\[1\]: expected .*did you mean 'wrong'.*got 'wrnog:5%'"),
        ({"loadViews": ["perfekt"]}, r"loadViews\[0\]: expected .*did you mean 'perfect'"),
        ({"faults": ["nodes:mtbf=30d"]}, r"faults\[0\]: expected `mttr=\.\.\.` as well; got 'nodes:mtbf=30d'"),
        ({"models": ["true", "true"]}, r"models\[1\]: expected every value once; got 'true'"),
        ({"nodes": []}, "nodes: expected a list of at least one value"),
        ({"nodes": None}, "nodes: expected a list .* required"),
        ({"nodes": [3]}, r"nodes\[0\]: expected text"),
        ({"nodes": {"a": 1}}, r"nodes\[0\]: expected text"),
        ({"seeds": 0}, "seeds: expected how many"),
        ({"seeds": [1, 1]}, "seeds: expected how many"),
        ({"seeds": [-1]}, "seeds: expected how many"),
        ({"seeds": 100_000, "models": ["true", "fitted"]}, "at most 100,000 runs; these axes make 200,000"),
        ({"ceiling": "120%"}, "ceiling: expected a share"),
        ({"price": "cheap"}, "price: expected the price of a kWh"),
        ({"name": 5}, "name: expected text"),
    ],
)
def test_a_file_that_is_no_experiment_says_where(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(**more)


def test_a_file_without_a_mapping_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"e\.yaml: expected a mapping"):
        read_experiment(["nodes"], "e.yaml", None, Fixed())


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("nodes.csv", "nodes.csv"),
        ("specpower:data/curves.csv.gz?count=50&seed=1", "data/curves.csv.gz"),
        ("bitbrains:folder", "folder"),
        ("DE=DE", "DE"),
        ("a/b=c.csv", "a/b=c.csv"),
        ("synthetic:load=0.3&span=7d", None),
        ("prometheus:http://prometheus:9090?range=7d", None),
    ],
)
def test_a_word_names_a_file_or_none(word: str, path: str | None) -> None:
    assert path_in(word) == path


def test_a_path_is_absolute_where_other_processes_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolved("specpower:a.csv?count=5") == f"specpower:{tmp_path}/a.csv?count=5"
    assert resolved("synthetic:load=0.3") == "synthetic:load=0.3"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("missing.csv", r"missing\.csv: expected a file or a folder that is there"),
        ("specpower:?count=3", r"specpower:\?count=3: expected the path of a file; there is none"),
    ],
)
def test_a_file_that_is_not_there_is_told_before_any_run(folder: Folder, word: str, message: str) -> None:
    folder.write(nodes=[word])
    with pytest.raises(ConfigurationError, match=message):
        folder.run()
    assert folder.made() == []


# --- runs -------------------------------------------------------------------------------------------------------------


def test_results_have_a_row_for_each_run_in_the_order_of_the_axes(folder: Folder) -> None:
    folder.run()
    found = [(row["strategy"], row["seed"], row["energy_kwh"]) for row in folder.rows()]
    assert found == [
        ("least-allocated", "1", "11.0"),
        ("least-allocated", "2", "12.0"),
        ("least-allocated", "3", "13.0"),
        ("jump", "1", "9.0"),
        ("jump", "2", "10.0"),
        ("jump", "3", "11.0"),
    ]


def test_a_second_start_makes_nothing_again(folder: Folder) -> None:
    folder.run()
    first = (folder.out / "results.csv").read_bytes()
    folder.made()
    folder.run()
    assert folder.made() == []
    assert (folder.out / "results.csv").read_bytes() == first


def test_a_start_after_an_interruption_makes_what_is_left(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt):
        folder.run(stopping)
    assert sorted(folder.made()) == ["jump 1", "jump 2", "least-allocated 1", "least-allocated 2"]
    folder.run()
    assert sorted(folder.made()) == ["jump 3", "least-allocated 3"]
    assert len(folder.rows()) == 6


def test_another_value_on_an_axis_adds_its_runs_alone(folder: Folder) -> None:
    folder.run()
    folder.made()
    folder.write(strategies=["least-allocated", "jump", "envelope"])
    folder.run()
    assert folder.made() == ["envelope 1", "envelope 2", "envelope 3"]


@pytest.mark.parametrize("change", ["content", "price", "ceiling"])
def test_runs_are_made_anew_where_what_they_depend_on_changed(folder: Folder, change: str) -> None:
    folder.run()
    folder.made()
    changes: dict[str, Callable[[], None]] = {
        "content": lambda: folder.nodes(f"{NODES}d 1 2\n"),
        "price": lambda: folder.write(price=0.3),
        "ceiling": lambda: folder.write(ceiling="70%"),
    }
    changes[change]()
    folder.run()
    assert len(folder.made()) == 6


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"form": 1, "kpis": {"energy_kwh": "much"}}', '{"form": 0, "kpis": {}}']
)
def test_a_damaged_file_of_a_run_counts_as_not_there(folder: Folder, text: str) -> None:
    folder.run()
    folder.made()
    next((folder.out / "runs").iterdir()).write_text(text, "utf-8")
    folder.run()
    assert len(folder.made()) == 1
    assert len(folder.rows()) == 6


def test_a_run_that_fails_is_named_and_the_others_go_on(folder: Folder) -> None:
    report = folder.run(failing)
    assert report.exit_code == 1
    assert "workload synthetic:10, models fitted, load_view load-watcher, strategy jump, seed 2" in report.failures[0]
    assert "unexpected ZeroDivisionError" in report.failures[0]
    assert len(folder.rows()) == 5


def test_a_run_that_failed_is_tried_again(folder: Folder) -> None:
    folder.run(failing)
    folder.made()
    assert folder.run().exit_code == 0
    assert folder.made() == ["jump 2"]


def test_runs_that_fail_for_one_reason_are_told_in_one_line(folder: Folder) -> None:
    folder.nodes("a 50\n")
    report = folder.run(work=lambda run: {"nodes": len(case_of(run).nodes)})
    assert len(report.failures) == 1
    assert "and 3 more: " in report.failures[0]
    assert "expected lines of three words" in report.failures[0]


def test_a_run_has_what_its_words_say(folder: Folder) -> None:
    words = Axes(
        str(folder.place / "nodes.txt"), "synthetic:4", "true+unmodelled:0.3", "perfect", "load:for=1h", "jump", 5
    )
    case = case_of(Run(words, Fixed(Ceiling(0.7, 0.9), default_cpu=250), ("x", "", ""), READERS))
    assert (case.strategy, case.seed, case.ceiling, case.default_cpu) == ("jump", 5, Ceiling(0.7, 0.9), 250)
    assert (len(case.nodes), len(case.jobs), len(case.models.by_name)) == (3, 4, 2)
    assert (case.load.window_s, case.load.gaps) == (0.0, ((0.0, 3600.0),))


def test_carbon_is_counted_where_it_is_given(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.place)
    (folder.place / "de.txt").write_text("400", "utf-8")
    folder.write(carbon=["=de.txt"], strategies="jump", seeds=1, price=0.5)
    folder.run(run_one)
    row = folder.rows()[0]
    energy = float(row["energy_kwh"])
    assert [float(row[name]) for name in ("co2_kg", "cost")] == pytest.approx([0.4 * energy, 0.5 * energy])


# --- the same bytes ---------------------------------------------------------------------------------------------------


def simulated(folder: Folder) -> None:
    folder.write(
        strategies=["envelope", "jump"], models=["fitted", "wrong:20%"], faults="nodes:mtbf=30m&mttr=5m", seeds=2
    )


def tables(folder: Folder, out: str, **how: Any) -> tuple[bytes, bytes]:
    report = folder.run(run_one, out, **how)
    assert report.failures == ()
    return (folder.place / out / "results.csv").read_bytes(), (folder.place / out / "summary.csv").read_bytes()


def test_several_processes_give_the_same_bytes_as_one(folder: Folder) -> None:
    simulated(folder)
    alone = tables(folder, "one", jobs=1)
    assert len(alone[0].splitlines()) == 1 + 8
    assert tables(folder, "two", jobs=2) == alone


def test_a_cluster_gives_the_same_bytes_as_one_process(folder: Folder) -> None:
    from distributed import LocalCluster

    simulated(folder)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        spread = tables(folder, "cluster", dask=cluster.scheduler_address)
    assert spread == tables(folder, "one", jobs=1)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "here"])
def test_a_cluster_that_does_not_answer_is_named(folder: Folder, address: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--dask {address}: expected the address of a Dask scheduler"):
        folder.run(dask=address)


def test_what_is_not_installed_is_told_in_one_line(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ConfigurationError, match=r"joblib; install it: pip install 'peaks-scheduler\[simulate\]'"):
        folder.run(jobs=2)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_student() -> None:
    # s = sqrt(5 / 3), t(3 degrees, 97.5 %) = 3.182446 from a table
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.half == pytest.approx(3.182446 * (5.0 / 3.0) ** 0.5 / 2.0, rel=1e-6)


def test_one_value_has_no_interval() -> None:
    assert interval([3.0]) == Interval(3.0, None)


def test_savings_are_counted_within_a_seed(folder: Folder) -> None:
    folder.run()
    found = [row["saving_vs_default_percent"] for row in folder.rows() if row["strategy"] == "jump"]
    assert [float(each) for each in found] == pytest.approx(
        [100.0 * 2.0 / 11.0, 100.0 * 2.0 / 12.0, 100.0 * 2.0 / 13.0]
    )


def test_the_summary_is_over_the_seeds(folder: Folder) -> None:
    folder.run()
    row = folder.rows("summary.csv")[1]
    # s = 1, t(2 degrees, 97.5 %) = 4.302653 from a table
    half = 4.302653 / 3.0**0.5
    assert (row["strategy"], row["seeds"], row["energy_kwh"]) == ("jump", "3", "10.0")
    assert float(row["energy_kwh_low95"]) == pytest.approx(10.0 - half, rel=1e-6)
    assert float(row["energy_kwh_high95"]) == pytest.approx(10.0 + half, rel=1e-6)


def test_without_the_default_scheduler_there_is_no_saving() -> None:
    rows = with_savings([Row(axes("jump"), {"energy_kwh": 5.0}), Row(axes("least-allocated", 2), {"energy_kwh": 6.0})])
    assert [row.kpis["saving_vs_default_percent"] for row in rows] == [None, 0.0]


def test_the_table_leaves_out_axes_of_one_value() -> None:
    rows = [Row(axes("jump", seed, nodes=nodes), {"energy_kwh": 5.0 + seed}) for nodes in "xy" for seed in (1, 2)]
    # t(1 degree, 97.5 %) = 12.7062, s / sqrt(2) = 0.5
    assert table(groups(rows)).splitlines() == [
        "nodes  strategy  seeds        kWh",
        "x      jump          2  6.5 ± 6.4",
        "y      jump          2  6.5 ± 6.4",
    ]


def test_strategies_that_did_not_do_the_same_work_are_named() -> None:
    rows = [Row(axes("jump"), {"core_hours": 90.0}), Row(axes("envelope"), {"core_hours": 100.0})]
    assert unequal_work(groups(rows)) == [
        "not the same work (nodes n, workload w, models m, load_view v): jump completed 90.0 core-hours, envelope 100.0"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (Interval(3.0, None), "3"),
        (Interval(3.14159, 0.0), "3.14"),
        (Interval(1234.5678, 0.0614), "1,234.568 ± 0.061"),
        (Interval(1234.5678, 61.4), "1,235 ± 61"),
    ],
)
def test_a_mean_is_shown_to_the_digits_that_its_interval_allows(value: Interval | None, text: str) -> None:
    assert shown(value) == text


# --- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "text"),
    [
        (0, 4, 5.0, ""),
        (4, 4, 5.0, ""),
        (1, 4, 5.0, ", about 15 s left"),
        (1, 4, 60.0, ", about 3 min left"),
        (1, 4, 7200.0, ", about 6 h left"),
    ],
)
def test_the_rest_is_estimated_from_what_is_finished(done: int, total: int, elapsed: float, text: str) -> None:
    assert estimate(done, total, elapsed) == text


def test_progress_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 2.0, 40.0, 41.0])
    progress = RunProgress(4, lambda: next(times))
    for _ in range(4):
        progress.one_more()
    assert capsys.readouterr().err.splitlines() == [
        "run 1 of 4, about 3 s left",
        "run 3 of 4, about 13 s left",
        "run 4 of 4",
    ]
