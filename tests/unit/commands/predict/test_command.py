"""``peaks-scheduler predict`` as a person runs it, against an inference server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.arrays import Floats
from peaks_scheduler.cli import main
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.power.file import parse_models
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.support.builders import Json, node
from tests.support.served_models import Model, V2Server


def rising(rows: Floats) -> Floats:
    """100 W, 80 W more at full load, and 2 W for each kelvin above 20."""
    return np.asarray(100.0 + 80.0 * rows[:, 0] + 2.0 * (rows[:, 1] - 20.0))


@pytest.fixture
def server() -> Iterator[V2Server]:
    with V2Server({"m": Model(rising, columns=2)}) as running:
        yield running


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, server: V2Server) -> Run:
    """Runs the command on the nodes of a file; a keyword argument replaces a part of the predictor's entry."""

    def run(*options: str, names: tuple[str, ...] = ("a", "b"), sensors: Any = None, **rule: Any) -> Result:
        nodes = tmp_path / "nodes.yaml"
        nodes.write_text(yaml.safe_dump_all([node(name, labels={"rack": "r1"}) for name in names]))
        entry = {"nodeSelector": {"rack": "r1"}, "protocol": "v2", "url": server.url, "model": "m"}
        given = {"a": {"inlet": 25.0}, "b": {"inlet": 30.0}} if sensors is None else sensors
        config = {
            "sensors": {"values": given},
            "predictors": {"timeout": "1s", "servers": [entry | {"inputs": ["cpu", "inlet"]} | rule]},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        where = ["--config", str(tmp_path / "config.yaml"), "--from", str(nodes)]
        return CliRunner().invoke(main, ["predict", *where, *options])

    return run


def told(result: Result) -> dict[str, Json]:
    found: dict[str, Json] = json.loads(result.stdout)["nodes"]
    return found


def test_it_shows_the_watts_of_each_node_in_its_own_air(run: Run) -> None:
    result = run("--output", "json")
    assert result.exit_code == 0, result.output
    watts = {name: each["watts"] for name, each in told(result).items()}
    assert watts["a"] == pytest.approx({"0": 110.0, "25": 130.0, "50": 150.0, "75": 170.0, "100": 190.0}, abs=1e-3)
    assert watts["b"]["0"] == pytest.approx(120.0, abs=1e-3)


def test_it_says_what_was_asked_and_by_whom(run: Run, server: V2Server) -> None:
    found = told(run("--output", "json"))["a"]
    assert found["predictor"]["saidBy"] == "predictors.servers[0]"
    assert (found["predictor"]["url"], found["predictor"]["version"]) == (server.url, "1")
    assert found["points"] == 21
    assert found["sensors"]["inlet"]["value"] == 25.0


def test_a_pod_of_a_tenth_costs_8_watts(run: Run) -> None:
    assert told(run("--output", "json"))["a"]["jumpWatts"] == pytest.approx(8.0, abs=1e-3)


def test_a_node_is_chosen_by_name(run: Run) -> None:
    result = run("--output", "json", "--node", "b")
    assert {*told(result)} == {"b"}
    assert result.stderr == "1 node: the predictions of 1 count\n"


def test_a_name_that_is_no_node_is_exit_2(run: Run) -> None:
    result = run("--node", "c")
    assert result.exit_code == 2
    assert "--node c: expected a node of these files" in result.stderr


def test_all_nodes_of_one_model_are_one_request(run: Run, server: V2Server) -> None:
    run(names=tuple("abcdefgh"), sensors={name: {"inlet": 22.0} for name in "abcdefgh"})
    assert len(server.predictions) == 1


@pytest.mark.parametrize("batch", [True, False])
def test_it_says_whether_many_nodes_are_one_request(run: Run, server: V2Server, batch: bool) -> None:
    server.models["m"].batch = batch
    assert told(run("--output", "json"))["a"]["predictor"]["batch"] is batch


def test_a_curve_that_bends_is_asked_at_more_points(run: Run, server: V2Server) -> None:
    server.models["m"].watts = lambda rows: 100.0 + 80.0 * rows[:, 0] ** 4
    assert told(run("--output", "json"))["a"]["points"] > 21


def test_a_network_that_falls_is_repaired_and_the_change_is_told(run: Run, server: V2Server) -> None:
    """At half load it is 142 W, between 146 and 154 W. A curve that never falls is 2 W off at 45 or 50 % at least; the
    one without the dip is 8 W off."""
    server.models["m"].watts = lambda rows: 110.0 + 80.0 * rows[:, 0] - 8.0 * (np.abs(rows[:, 0] - 0.5) < 1e-4)
    found = told(run("--output", "json"))["a"]
    assert found["verdict"] == "counts"
    assert 1.99 <= found["changeWatts"] <= 8.01


@pytest.mark.parametrize(
    ("watts", "reason"),
    [
        (lambda rows: -31.0 + 0.0 * rows[:, 0], "the server answers -31 W"),
        (lambda rows: 100.0 + 0.0 * rows[:, 0], "expected watts that rise with CPU use"),
        (lambda rows: 1e6 * (1.0 + rows[:, 0]), "expected at most 20,000 W of a machine"),
    ],
    ids=["negative", "flat", "too much"],
)
def test_nonsense_does_not_count_and_is_exit_1(
    run: Run, server: V2Server, watts: Callable[[Floats], Floats], reason: str
) -> None:
    server.models["m"].watts = watts
    result = run()
    assert result.exit_code == 1
    assert "does not count" in result.stdout
    assert reason in result.stdout


def test_a_server_that_never_answers_is_named_within_its_time(run: Run, server: V2Server) -> None:
    server.faults.silent = True
    result = run()
    assert result.exit_code == 1
    assert "does not count: " in result.stdout
    assert server.url in result.stdout


def test_columns_that_do_not_fit_the_model_are_named(run: Run, server: V2Server) -> None:
    server.models["m"].columns = 4
    result = run()
    assert result.exit_code == 1
    assert "4" in next(line for line in result.stdout.splitlines() if "does not count: " in line)
    assert server.predictions == []


def test_a_signal_that_no_sensor_gives_is_named_and_the_node_is_not_asked(run: Run, server: V2Server) -> None:
    result = run(sensors={"a": {"inlet": 25.0}})
    assert result.exit_code == 0
    assert "no sensor gives inlet, which the predictor needs" in result.stdout
    assert "the predictions of 1 count, of 1 not (b)" in result.stderr


def test_the_model_file_is_read_by_the_daemons_reader(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    result = run("-o", str(path))
    assert result.exit_code == 0
    models = parse_models(path.read_text(), str(path))
    assert models.by_name["a"].curve.watts(0.5) == pytest.approx(150.0, abs=1e-3)
    assert not models.by_name["a"].measured


def test_without_a_curve_that_counts_no_file_is_written(run: Run, server: V2Server, tmp_path: Path) -> None:
    server.faults.status = 500
    result = run("-o", str(tmp_path / "models.yaml"))
    assert result.exit_code == 1
    assert not (tmp_path / "models.yaml").exists()
    assert "is not written" in result.stderr


def test_the_picture_is_a_png(run: Run, tmp_path: Path) -> None:
    result = run("--plot", str(tmp_path / "curves.png"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_an_unknown_kind_fails_before_a_server_is_asked(run: Run, server: V2Server) -> None:
    result = run("--plot", "curves.bmp")
    assert result.exit_code == 2
    assert server.asked == []


def test_what_wao_says_in_the_files_counts(tmp_path: Path, server: V2Server) -> None:
    """A NodeConfig with sensors of type Fake: 15.5 degrees and 7.5 Pa; CPU use in cores, of which the node has 8."""
    server.models["m"] = Model(lambda rows: 100.0 + 10.0 * rows[:, 0] + rows[:, 1] + rows[:, 2], columns=3)
    term = {"type": "V2InferenceProtocol", "endpoint": f"{server.url}/v2/models/m/versions/v1/infer"}
    config = {
        "apiVersion": "node.waok8s.github.io/v1beta1",
        "kind": "NodeConfig",
        "metadata": {"name": "a", "namespace": "wao-system"},
        "spec": {
            "nodeName": "a",
            "metricsCollector": {
                "inletTemp": {"type": "Fake", "endpoint": ""},
                "deltaP": {"type": "Fake", "endpoint": ""},
            },
            "predictor": {"powerConsumption": term},
        },
    }
    server.models["m"].version = "v1"
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([node("a", cpu="8"), config]))
    result = CliRunner().invoke(main, ["predict", "--from", str(path), "--output", "json"])
    assert result.exit_code == 0, result.output
    found = told(result)["a"]
    assert found["predictor"]["saidBy"] == "NodeConfig a"
    assert found["watts"] == pytest.approx({"0": 123.0, "25": 143.0, "50": 163.0, "75": 183.0, "100": 203.0}, abs=1e-3)


async def test_the_cluster_is_asked_for_its_nodes_and_their_load(tmp_path: Path, server: V2Server) -> None:
    """Worker-1 is at 45 % of its CPUs; above half load each tenth costs 20 W, below it 8 W: half of each is 14 W."""
    server.models["m"] = Model(lambda rows: 100.0 + 80.0 * rows[:, 0] + 120.0 * np.maximum(rows[:, 0] - 0.5, 0.0), 1)
    rule = {"nodes": ["worker-1"], "protocol": "v2", "url": server.url, "model": "m", "inputs": ["cpu"]}
    config = tmp_path / "config.yaml"
    async with EmbeddedApiServer() as api:
        with LoadEndpoint({"worker-1": 45.0}) as load:
            api.add_node(node("worker-1"))
            api.add_node(node("worker-2"))
            config.write_text(yaml.safe_dump({"predictors": {"servers": [rule]}, "load": {"address": load.url}}))
            options = ["--kubeconfig", str(api.write_kubeconfig(tmp_path / "kubeconfig")), "--config", str(config)]
            result = await asyncio.to_thread(CliRunner().invoke, main, ["predict", *options, "--output", "json"])
    assert result.exit_code == 0, result.output
    assert told(result)["worker-1"]["cpu"] == pytest.approx(0.45)
    assert told(result)["worker-1"]["jumpWatts"] == pytest.approx(14.0, abs=0.01)
    assert told(result)["worker-2"]["verdict"] is None


async def test_a_load_source_that_is_down_leaves_the_use_unknown(tmp_path: Path, server: V2Server) -> None:
    rule = {"nodes": ["worker-1"], "protocol": "v2", "url": server.url, "model": "m", "inputs": ["cpu", "inlet"]}
    settings = {
        "predictors": {"servers": [rule]},
        "sensors": {"values": {"worker-1": {"inlet": 25.0}}},
        "load": {"address": "http://127.0.0.1:1"},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    async with EmbeddedApiServer() as api:
        api.add_node(node("worker-1"))
        options = ["--kubeconfig", str(api.write_kubeconfig(tmp_path / "kubeconfig")), "--config", str(config)]
        result = await asyncio.to_thread(CliRunner().invoke, main, ["predict", *options])
    assert result.exit_code == 0, result.output
    assert "note: no load, so the present use of the nodes is not known" in result.stderr
    assert "*8.00 W" in result.stdout


def test_nodes_that_nobody_says_anything_about_are_exit_1(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump(node("a")))
    result = CliRunner().invoke(main, ["predict", "--from", str(path)])
    assert result.exit_code == 1
    assert "1 without a predictor" in result.stderr


def test_a_file_without_nodes_is_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    path.write_text(yaml.safe_dump({"kind": "ConfigMap", "metadata": {"name": "a"}}))
    result = CliRunner().invoke(main, ["predict", "--from", str(path)])
    assert result.exit_code == 2
    assert "expected at least one node" in result.stderr
