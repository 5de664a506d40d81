"""``peaks-scheduler import-models``: models of other programs are imported with their meaning.

The functions that curves are held against are written out here once more, from kepler-model-server's trainers
(``expo_func``, ``log_func``, ``logi_func``; x = counter / scale) and not from this package.
"""

from __future__ import annotations

import json
import math
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from peaks_scheduler.commands.check.model_checks import quality
from peaks_scheduler.commands.import_models.kepler_server import ask
from peaks_scheduler.power.curves import Exponential, Linear, Piecewise
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels

LOADS = np.linspace(0.0, 1.0, 501)
# of the size that the server gives for a machine of 96 CPUs: all but straight, the digits at the end
A, B, C, SCALE = 1_800_828.657, 1.7356e-4, -1_800_685.048, 95_877.0


def run(*args: object, given: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["import-models", *map(str, args)], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def imported(*args: object) -> tuple[PowerModels, Result]:
    """The models as the daemon reads them, and the output of the command."""
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    return parse_models(result.stdout, "stdout"), result


def only(models: PowerModels) -> PowerModel:
    (model,) = [*models.by_name.values(), *(model for _, model in models.by_selector)]
    return model


def watts_of(model: PowerModel) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([model.curve.watts(u) for u in LOADS.tolist()])


# --- Kepler's model server --------------------------------------------------------------------------------------------


def fitted(*weights: float, **scales: float) -> dict[str, Any]:
    """A component with CurveFit_Weights and counters of these scales."""
    counters = {name: {"scale": scale} for name, scale in (scales or {"bpf_cpu_time_ms": SCALE}).items()}
    body = {"Categorical_Variables": {}, "Numerical_Variables": counters, "CurveFit_Weights": list(weights)}
    return {"All_Weights": body}


def linear(bias: float, **counters: tuple[float, float]) -> dict[str, Any]:
    """A component with Bias_Weight and counters of these (scale, weight)."""
    numerical = {name: {"scale": scale, "weight": weight} for name, (scale, weight) in counters.items()}
    return {"All_Weights": {"Bias_Weight": bias, "Categorical_Variables": {}, "Numerical_Variables": numerical}}


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "ExponentialRegressionTrainer_0.json", **components: Any) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(components))
        return path

    return write


Write = Callable[..., Path]


@pytest.mark.parametrize("cores", [16, 48, 96, 128])
def test_an_exponential_over_cpu_time_becomes_the_same_watts_over_utilisation(weights: Write, cores: int) -> None:
    models, _ = imported("kepler", "--file", weights(platform=fitted(A, B, C)), "--cores", cores, "--nodes", "a")
    busy_ms = LOADS * cores * 1000.0
    assert isinstance(only(models).curve, Exponential)
    np.testing.assert_allclose(watts_of(only(models)), A * np.exp(B * busy_ms / SCALE) + C, rtol=1e-9)


def test_copying_the_numbers_would_be_another_machine(weights: Write) -> None:
    """Why weights are not copied: as k0, k1, k2 they mean 143.6 + 125.0 W at half load, for any number of cores."""
    file = weights(platform=fitted(100.0, 0.8, 50.0))
    models, _ = imported("kepler", "--file", file, "--cores", 32, "--nodes", "a")
    copied = Exponential(k0=50.0, k1=100.0, k2=0.8)
    a_third = 100.0 * math.exp(0.8 * 0.5 * 32_000 / SCALE) + 50.0
    assert only(models).curve.watts(0.5) == pytest.approx(a_third)
    assert copied.watts(0.5) - a_third > 30.0


def test_what_it_was_learned_on_is_said_where_the_node_is_another(weights: Write) -> None:
    file = weights(platform=fitted(100.0, 0.8, 50.0))
    smaller, said = imported("kepler", "--file", file, "--cores", 32, "--nodes", "a")
    assert "learned with up to 95.9 busy cores; --cores says 32: it is the power of a larger machine" in said.stderr
    larger, said = imported("kepler", "--file", file, "--cores", 192, "--nodes", "a")
    assert "above 50% of full load it is extrapolated" in said.stderr
    assert [only(each).quality.cpu_max for each in (smaller, larger)] == [1.0, pytest.approx(0.4994, abs=1e-4)]  # type: ignore[union-attr]


def test_cpu_time_in_another_unit_is_refused(weights: Write) -> None:
    """96 CPU-seconds a second instead of milliseconds: a thousandth of what 96 cores use."""
    result = run(
        "kepler", "--file", weights(platform=fitted(A, B, C, bpf_cpu_time_ms=95.9)), "--cores", 96, "--nodes=a"
    )
    assert result.exit_code == 2
    assert "expected CPU time in milliseconds a second" in result.stderr
    assert "a counter in another unit?" in result.stderr


def test_sockets_and_memory_are_added_and_parts_of_sockets_are_not(weights: Write) -> None:
    cpu = {"bpf_cpu_time_ms": (16_000.0, 80.0)}
    file = weights(package=linear(60.0, **cpu), core=linear(40.0, **cpu), uncore=linear(9.0), dram=linear(8.0, **cpu))
    models, result = imported("kepler", "--file", file, "--cores", 16, "--nodes", "a")
    assert (only(models).curve, only(models).scope) == (Linear(68.0, 228.0), "package")
    assert "package + dram (sockets and memory only, not the whole machine)" in result.stdout


def test_the_platform_is_the_whole_machine_and_stands_alone(weights: Write) -> None:
    cpu = {"bpf_cpu_time_ms": (16_000.0, 80.0)}
    file = weights(package=linear(60.0, **cpu), dram=linear(8.0, **cpu), platform=linear(150.0, **cpu))
    models, _ = imported("kepler", "--file", file, "--cores", 16, "--nodes", "a")
    assert (only(models).curve, only(models).scope) == (Linear(150.0, 230.0), "platform")


def test_memory_that_follows_a_counter_which_never_moved_is_a_constant(weights: Write) -> None:
    """The server's curve of dram is over bpf_page_cache_hit, which was always 0, so its scale stays 1. Read as CPU
    time, the memory would draw -2305*e + 2326 W at full load."""
    counters = {"bpf_cpu_time_ms": SCALE, "bpf_page_cache_hit": 1.0}
    file = weights(package=fitted(A, B, C, **counters), dram=fitted(-2305.067, 1.0, 2326.027, **counters))
    models, result = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    expected = A * np.exp(B * LOADS * 96_000.0 / SCALE) + C + 20.96
    np.testing.assert_allclose(watts_of(only(models)), expected, rtol=1e-9)
    assert "dram does not depend on CPU use where the model was learned: taken as constant, 20.96 W" in result.stderr


def test_memory_that_follows_the_page_cache_can_be_left_out(weights: Write) -> None:
    counters = {"bpf_cpu_time_ms": SCALE, "bpf_page_cache_hit": 70_000.0}
    file = weights(package=fitted(A, B, C, **counters), dram=fitted(5.0, 1.0, 10.0, **counters))
    refused = run("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert refused.exit_code == 2
    assert "dram depends on bpf_page_cache_hit, which CPU use does not tell" in refused.stderr
    assert "--without-dram" in refused.stderr
    models, _ = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a", "--without-dram")
    assert only(models).curve.watts(0.0) == pytest.approx(A + C)


def test_instructions_are_no_cpu_use_and_the_error_says_what_to_ask_for(weights: Write) -> None:
    file = weights(platform=fitted(A, B, C, bpf_cpu_time_ms=SCALE, cpu_instructions=1e12))
    result = run("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert result.exit_code == 2
    assert "depends on cpu_instructions, which CPU use does not tell" in result.stderr
    assert "take SGDRegressorTrainer or ExponentialRegressionTrainer of the feature group BPFOnly" in result.stderr


def test_cycles_need_a_frequency(weights: Write) -> None:
    file = weights(platform=linear(100.0, cpu_cycles=(32e9, 50.0)))
    refused = run("kepler", "--file", file, "--cores", 16, "--nodes", "a")
    assert "depends on cpu_cycles: expected --cpu-frequency MHZ" in refused.stderr
    models, _ = imported("kepler", "--file", file, "--cores", 16, "--nodes", "a", "--cpu-frequency", 2000)
    assert only(models).curve == Linear(100.0, 150.0)


def logarithmic(x: Any) -> Any:
    return 30.0 * np.log(20.0 * x + 1.0) + 80.0


def logistic(x: Any) -> Any:
    return 120.0 / (1.0 + np.exp(-6.0 * (x - 0.4))) + 60.0


@pytest.mark.parametrize(
    ("trainer", "given", "function"),
    [
        ("LogarithmicRegressionTrainer", (30.0, 20.0, 80.0), logarithmic),
        ("LogisticRegressionTrainer", (120.0, 0.4, 6.0, 60.0), logistic),
    ],
)
def test_another_function_becomes_a_curve_within_one_percent_and_how_far_off_is_written_down(
    weights: Write, trainer: str, given: tuple[float, ...], function: Callable[[Any], Any]
) -> None:
    file = weights(f"{trainer}_3.json", platform=fitted(*given))
    models, result = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    off = np.abs(watts_of(only(models)) - function(LOADS * 96_000.0 / SCALE))
    assert off.max() <= 0.0101 * function(96_000.0 / SCALE)
    assert " W off" in result.stdout
    assert "exactly" not in result.stdout


def test_two_exponentials_are_fitted_together(weights: Write) -> None:
    counters = {"bpf_cpu_time_ms": SCALE}
    file = weights(package=fitted(-90.0, -5.0, 250.0, **counters), dram=fitted(4.0, 1.5, 10.0, **counters))
    models, result = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    x = LOADS * 96_000.0 / SCALE
    expected = -90.0 * np.exp(-5.0 * x) + 250.0 + 4.0 * np.exp(1.5 * x) + 10.0
    assert np.abs(watts_of(only(models)) - expected).max() <= 0.0101 * expected[-1]
    assert " W off" in result.stdout


def test_watts_below_nothing_are_refused(weights: Write) -> None:
    """The server really has this for some machines: a logarithm that gives -612 W at no load."""
    file = weights("LogarithmicRegressionTrainer_5.json", platform=fitted(65.15, 4_687_645.8, -612.0))
    result = run("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert result.exit_code == 2
    assert "expected watts of 0 and more at every load; got -612 W at 0%" in result.stderr
    assert "--trainer" in result.stderr


def test_a_curve_that_falls_is_refused(weights: Write) -> None:
    result = run("kepler", "--file", weights(platform=fitted(90.0, -2.0, 50.0)), "--cores", 96, "--nodes", "a")
    assert result.exit_code == 2
    assert "expected a curve that never falls" in result.stderr


def test_three_weights_without_a_trainers_name_are_not_guessed_at(weights: Write) -> None:
    file = weights("weight.json", platform=fitted(A, B, C))
    refused = run("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert refused.exit_code == 2
    assert "may come from ExponentialRegressionTrainer or LogarithmicRegressionTrainer" in refused.stderr
    models, _ = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a", "--trainer", "exponential")
    assert isinstance(only(models).curve, Exponential)


def test_the_model_itself_says_whose_it_is_before_the_files_name_does(weights: Write) -> None:
    file = weights(model_name="LogarithmicRegressionTrainer_7", platform=fitted(30.0, 20.0, 80.0))
    models, _ = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert only(models).curve.watts(1.0) == pytest.approx(logarithmic(96_000.0 / SCALE), rel=0.02)


def test_power_without_idle_is_pointed_out(weights: Write) -> None:
    file = weights(platform=linear(0.0, bpf_cpu_time_ms=(96_000.0, 300.0)))
    _, result = imported("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert "is it a model of dynamic power (DynPower)?" in result.stderr


def test_the_number_of_cores_is_the_machines_where_the_answer_has_it(weights: Write) -> None:
    file = weights(platform=fitted(A, B, C), machine_spec={"processor": "intel_xeon_platinum_8259cl", "cores": 96})
    models, result = imported("kepler", "--file", file, "--nodes", "a")
    assert "--cores not given: 96, as the machine that the model was learned on has" in result.stderr
    assert only(models).curve.watts(1.0) == pytest.approx(A * math.exp(B * 96_000.0 / SCALE) + C)
    assert "Learned on processor intel_xeon_platinum_8259cl, cores 96." in result.stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--nodes", "a"], "expected --cores N, how many CPUs the node has"),
        (["--cores", 96], "expected --nodes NAME,... or --selector LABEL=VALUE, one of the two; got neither"),
        (["--cores", 96, "--nodes=a", "--selector=b=c"], "one of the two; got both"),
        (["--cores", 96, "--selector=b"], "--selector: expected NAME=VALUE"),
    ],
    ids=["cores", "nobody", "twice", "half a label"],
)
def test_what_is_missing_is_asked_for(weights: Write, more: list[object], words: str) -> None:
    result = run("kepler", "--file", weights(platform=fitted(A, B, C)), *more)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("PK\x03\x04", "a zip archive: take the .json file beside it"),
        ("{no: [json", "it cannot be read"),
        ("<html>a page</html>", "expected an object with weights"),
        ("[1]", "expected an object with weights"),
        ('{"other": {}}', "expected weights of platform, package, core, uncore, dram; got other"),
        ('{"platform": {}, "package": {"weights": 1}}', "package: expected an object with All_Weights"),
        ('{"core": {"All_Weights": {}}}', "expected the component platform, or package; got core"),
        (json.dumps({"platform": {"All_Weights": {"Bias_Weight": 3}}}), "expected counters, each with its scale"),
        (json.dumps({"platform": fitted(1.0, 2.0)}), "got 2 CurveFit_Weights"),
        (json.dumps({"platform": fitted(math.nan, 2.0, 1.0)}), "expected a finite number; got nan"),
        (json.dumps({"platform": fitted(1.0, 2.0, 3.0)}).replace("3.0", '"3"'), "expected a finite number; got 3"),
    ],
)
def test_a_file_that_is_something_else_gives_words(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "ExponentialRegressionTrainer_1.json"
    file.write_text(content)
    result = run("kepler", "--file", file, "--cores", 96, "--nodes", "a")
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("file", "idle", "full"),
    [
        # Bias_Weight + weight * 6000 / scale, by hand from the files
        ("kepler_model_weight_acpi_AbsPowerModel.json", 220.9079, 220.9079 + 29.02823 * 6000.0 / 5911.969),
        (
            "kepler_model_weight_intel_rapl_AbsPowerModel.json",
            69.91740 + 47.14263,
            69.91740 + 47.14263 + (22.16772 + 3.573483) * 6000.0 / 5911.969,
        ),
    ],
)
def test_weights_of_a_real_model_server(test_data: Path, file: str, idle: float, full: float) -> None:
    models, _ = imported("kepler", "--file", test_data / "exporters" / file, "--cores", 6, "--nodes", "a,b")
    assert sorted(models.by_name) == ["a", "b"]
    curve = models.by_name["a"].curve
    assert [curve.watts(0.0), curve.watts(1.0)] == pytest.approx([idle, full], rel=1e-6)


class ModelServer:
    """``POST /model`` on loopback: answers as the test says, and records the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.status, self.answer = 200, json.dumps({"platform": fitted(A, B, C)})
        scene = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                scene.asked.append((self.path, json.loads(body)))
                self.send_response(scene.status)
                self.end_headers()
                self.wfile.write(scene.answer.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    scene = ModelServer()
    thread = threading.Thread(target=scene.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield scene
    scene.server.shutdown()
    scene.server.server_close()
    thread.join(10.0)


def test_the_server_is_asked_for_weights_over_cpu_time(model_server: ModelServer) -> None:
    machine = ["--machine", "processor=intel_xeon_platinum_8259cl", "--machine", "cores=96"]
    models, result = imported("kepler", "--url", model_server.url, "--cores", 96, "--selector", "pool=m5", *machine)
    assert model_server.asked == [
        (
            "/model",
            {
                "metrics": ["bpf_cpu_time_ms", "bpf_page_cache_hit"],
                "output_type": "AbsPower",
                "source": "acpi",
                "node_type": -1,
                "weight": True,
                "trainer_name": "ExponentialRegressionTrainer",
                "filter": "",
                "machine_spec": {"processor": "intel_xeon_platinum_8259cl", "cores": 96},
            },
        )
    ]
    assert models.by_selector[0][0] == {"pool": "m5"}
    np.testing.assert_allclose(watts_of(only(models)), A * np.exp(B * LOADS * 96_000.0 / SCALE) + C, rtol=1e-9)
    assert model_server.url in result.stdout


def test_without_saying_what_machine_the_answer_may_be_any(model_server: ModelServer) -> None:
    _, result = imported("kepler", "--url", f"{model_server.url}/model", "--cores", 96, "--nodes", "a")
    assert "neither --node-type nor --machine" in result.stderr
    ((path, asked),) = model_server.asked
    assert path == "/model"
    assert "machine_spec" not in asked


def test_no_such_model_is_said_in_words(model_server: ModelServer) -> None:
    model_server.status, model_server.answer = 400, "cannot find model for {'metrics': ...} at the moment"
    result = run("kepler", "--url", model_server.url, "--cores", 96, "--nodes", "a", "--node-type", 12)
    assert result.exit_code == 2
    assert "it has no such model" in result.stderr
    assert '"node_type": 12' in result.stderr
    assert "try --trainer any" in result.stderr


@pytest.mark.parametrize(("status", "answer"), [(500, "<html>Internal"), (200, "<html>a proxy</html>"), (302, "")])
def test_an_answer_without_weights_is_an_error(model_server: ModelServer, status: int, answer: str) -> None:
    model_server.status, model_server.answer = status, answer
    result = run("kepler", "--url", model_server.url, "--cores", 96, "--nodes", "a")
    assert result.exit_code in (1, 2)
    assert "expected" in result.stderr
    assert not result.stdout


def test_a_server_that_is_not_there_is_an_error_without_its_password(model_server: ModelServer) -> None:
    model_server.server.server_close()
    url = model_server.url.replace("http://", "http://me:secret@")
    result = run("kepler", "--url", url, "--cores", 96, "--nodes", "a")
    assert result.exit_code == 1
    assert "no answer" in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize("url", ["server:8100", "http://", "ftp://x", "::"])
def test_what_is_no_url_is_an_error_in_words(url: str) -> None:
    result = run("kepler", "--url", url, "--cores", 96, "--nodes", "a")
    assert result.exit_code in (1, 2)
    assert "expected" in result.stderr or "no answer" in result.stderr


def test_a_wrong_key_of_a_machine_is_named(model_server: ModelServer) -> None:
    result = run("kepler", "--url", model_server.url, "--cores", 96, "--nodes", "a", "--machine", "procesor=x")
    assert result.exit_code == 2
    assert "(did you mean 'processor'?)" in result.stderr
    assert not model_server.asked


# --- the original plugin ----------------------------------------------------------------------------------------------

SAMPLE = {"k0": 471.7412504314313, "k1": -91.50493019588365, "k2": -0.07186049052516228}  # of the plugin's README


def plugin(document: Any, *more: str) -> tuple[PowerModels, Result]:
    result = run("plugin", "-", *more, given=document if isinstance(document, str) else json.dumps(document))
    assert result.exit_code == 0, result.stderr
    return parse_models(result.stdout, "stdout"), result


def test_the_plugins_percent_becomes_a_ratio() -> None:
    models, result = plugin({"worker-1": SAMPLE})
    model = yaml.safe_load(result.stdout)["models"][0]
    assert (model["nodes"], model["cpu"]) == (["worker-1"], "ratio")
    expected = SAMPLE["k0"] + SAMPLE["k1"] * math.exp(SAMPLE["k2"] * 30.0)
    assert models.by_name["worker-1"].curve.watts(0.3) == pytest.approx(expected, rel=1e-12)


def test_numbers_in_quotes_are_named_and_taken() -> None:
    """The plugin's own sample ConfigMap has numbers in quotes, and the plugin cannot read it."""
    quoted = json.dumps({"node-1": {key: str(value) for key, value in SAMPLE.items()}})
    document = yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "data": {"node-power-model": quoted}})
    models, result = plugin(document)
    assert models == plugin({"node-1": SAMPLE})[0]
    assert "node-1: k0, k1, k2: numbers in quotes, taken as numbers" in result.stderr


def test_a_node_whose_curve_cannot_be_is_named_and_left_out() -> None:
    models, result = plugin({"good": SAMPLE, "bad": {"k0": 100.0, "k1": 50.0, "k2": -0.1}, "short": {"k0": 1.0}})
    assert list(models.by_name) == ["good"]
    assert "left out: -: bad: expected a curve that never falls" in result.stderr
    assert "left out: -: short.k1: expected a number; got nothing" in result.stderr


def test_models_inside_a_scheduler_configuration_are_found() -> None:
    arguments = {"WatcherAddress": "http://load-watcher:2020", "NodePowerModel": {"worker-1": SAMPLE}}
    profile = {"schedulerName": "Peaks", "pluginConfig": [{"name": "Peaks", "args": arguments}]}
    models, _ = plugin({"kind": "KubeSchedulerConfiguration", "profiles": [profile]})
    assert list(models.by_name) == ["worker-1"]


def test_models_that_a_scheduler_configuration_has_as_text_are_found() -> None:
    arguments = {"nodePowerModel": json.dumps({"worker-1": SAMPLE})}
    profile = {"schedulerName": "Peaks", "pluginConfig": [{"name": "Peaks", "args": arguments}]}
    document = {"kind": "KubeSchedulerConfiguration", "profiles": [{"schedulerName": "other"}, profile]}
    assert plugin(document)[0] == plugin({"worker-1": SAMPLE})[0]
    # and such a configuration is what a ConfigMap has
    wrapped = {"kind": "ConfigMap", "data": {"scheduler-config.yaml": yaml.safe_dump(document)}}
    assert plugin(wrapped)[0] == plugin({"worker-1": SAMPLE})[0]


def test_every_key_of_a_config_map_is_read_or_named() -> None:
    data = {"a.json": json.dumps({"a": SAMPLE}), "b.json": json.dumps({"b": SAMPLE}), "README": "how to", "x": "{"}
    binary = {"c.json": b64encode(json.dumps({"c": SAMPLE}).encode("utf-16")).decode(), "d.json": "***"}
    config_map = {"kind": "ConfigMap", "data": data, "binaryData": binary}
    models, result = plugin({"kind": "List", "items": [config_map]})
    assert list(models.by_name) == ["a", "b", "c"]
    assert "passed over: -: data.README: expected {node: {k0, k1, k2}}; got 'how to'" in result.stderr
    assert "passed over: -: data.x: expected YAML or JSON" in result.stderr
    assert "passed over: -: binaryData.d.json: expected text in base64" in result.stderr


def test_a_node_that_two_keys_have_is_an_error() -> None:
    data = {"a.json": json.dumps({"a": SAMPLE}), "b.json": json.dumps({"a": SAMPLE})}
    result = run("plugin", "-", given=json.dumps({"kind": "ConfigMap", "data": data}))
    assert result.exit_code == 2
    assert "data.b.json: expected each node once; a was there before" in result.stderr


def test_a_k2_for_the_other_unit_is_suspected_in_both_directions() -> None:
    for_ratio = {**SAMPLE, "k2": -7.186}
    _, result = plugin({"worker-1": for_ratio})
    assert "worker-1: more than 50% of the rise comes with the first 1 % of load" in result.stderr
    assert "Then pass --cpu-unit ratio" in result.stderr
    models, result = plugin({"worker-1": for_ratio}, "--cpu-unit", "ratio")
    assert not result.stderr
    curve = models.by_name["worker-1"].curve
    assert curve.watts(0.5) == pytest.approx(SAMPLE["k0"] + SAMPLE["k1"] * math.exp(-7.186 * 0.5))
    _, result = plugin({"worker-1": {**SAMPLE, "k2": -0.07}}, "--cpu-unit", "ratio")
    assert "Then pass --cpu-unit percent" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "expected a power curve at least of one node; got none"),
        ('{"a": {"k0": 1, "k1": 5, "k2": -1}}', "got none: left out: -: a: expected a curve that never falls"),
        ("models: []", "already: pass it to --power-models"),
        ("- 1", "expected {node: {k0, k1, k2}}"),
        ("kind: Deployment", "a ConfigMap or a KubeSchedulerConfiguration; got Deployment"),
        ("kind: ConfigMap\ndata: {a: text}", "got none: passed over: -: data.a: expected {node"),
        ('kind: ConfigMap\ndata: {k: \'{"a": {"k0": "<k0>", "k1": 1, "k2": 1}}\'}', "a.k0: expected a number"),
        (json.dumps({"kind": "KubeSchedulerConfiguration", "profiles": []}), "at least of one node; got none"),
        ("{", "it cannot be read"),
    ],
)
def test_nothing_to_take_over_is_an_error(text: str, words: str) -> None:
    result = run("plugin", "-", given=text)
    assert result.exit_code == 2
    assert words in result.stderr


# --- tables of levels -------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "levels.csv"
        path.write_text(text)
        return path

    return write


SPEC = """hw_model,cpu_name,watts_idle,watts_10,watts_50,watts_100,ssj_ops_10,ssj_ops_100
R1,Xeon  A,60,90,150,240,10,100
R2,Xeon B,50,80,160,300,12,120
R3,Xeon B,54,90,170,290,12,120
"""


def test_a_curve_runs_exactly_through_the_levels_and_is_marked_as_a_guess(table: Callable[[str], Path]) -> None:
    models, result = imported("levels", table(SPEC), "--match", "cpu_name=xeon a", "--nodes", "n1,n2")
    assert sorted(models.by_name) == ["n1", "n2"]
    model = models.by_name["n1"]
    assert model.curve == Piecewise((0.0, 0.1, 0.5, 1.0), (60.0, 90.0, 150.0, 240.0))
    assert model.scope == "wall"
    assert model.quality is not None
    assert model.quality.confidence == "low"
    assert "not of CPU time" in result.stdout
    assert "not measured on these nodes" in result.stdout


def test_several_rows_for_one_model_are_told_apart_or_their_median_is_taken(table: Callable[[str], Path]) -> None:
    file = table(SPEC)
    refused = run("levels", file, "--match", "cpu_name=Xeon B", "--nodes", "n")
    assert refused.exit_code == 2
    assert "expected one row for a model; got 2: line 3 (hw_model=R2" in refused.stderr
    one, _ = imported("levels", file, "--match", "cpu_name=Xeon B", "--match", "hw_model=R3", "--nodes", "n")
    assert only(one).curve.watts(0.0) == 54.0
    both, _ = imported("levels", file, "--match", "cpu_name=Xeon B", "--nodes", "n", "--median")
    assert only(both).curve == Piecewise((0.0, 0.1, 0.5, 1.0), (52.0, 85.0, 165.0, 295.0))


TEADS = """Instance type;PkgWatt @ Idle;PkgWatt @ 10%;PkgWatt @ 50%;PkgWatt @ 100%;Instance @ Idle;Instance @ 100%
m5.large;1,2;2,5;6,25;10,0;4,4;20
m5.xlarge;2,4;5,0;12,5;20,0;8,8;39,9
c5.large;1,0;2,0;5,0;n/a;3;15
"""


def test_instance_types_become_models_by_label(table: Callable[[str], Path]) -> None:
    more = ("--match", "Instance type=m5.*", "--name-column", "Instance type", "--watts", "pkgwatt")
    models, _ = imported("levels", table(TEADS), *more)
    labels = [dict(selector) for selector, _ in models.by_selector]
    assert labels == [{"node.kubernetes.io/instance-type": name} for name in ("m5.large", "m5.xlarge")]
    assert models.by_selector[0][1].curve == Piecewise((0.0, 0.1, 0.5, 1.0), (1.2, 2.5, 6.25, 10.0))
    assert models.by_selector[0][1].scope == "package"


def test_two_points_become_a_line_and_parts_of_a_machine_are_multiplied(table: Callable[[str], Path]) -> None:
    file = table(",Architecture,Min Watts,Max Watts\n0,Graviton,0.5,1.75\n1,Haswell,2,6\n")
    _, part = imported("levels", file, "--match", "Architecture=Graviton", "--nodes", "n")
    assert "are these watts of a vCPU or a core?" in part.stderr
    models, whole = imported("levels", file, "--match", "Architecture=Graviton", "--nodes", "n", "--times", 16)
    assert only(models).curve == Linear(8.0, 28.0)
    assert "times 16" in whole.stdout


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (TEADS, ["--match=Instance type=m5.large"], "expected one series of levels; got PkgWatt, Instance"),
        (TEADS, ["--watts=PkgWat"], "did you mean 'PkgWatt'?"),
        (TEADS, ["--watts=PkgWatt", "--match=Instance type=c5.large"], "line 4: expected a number at each level"),
        (SPEC, ["--match=cpu_name=Xeon Z"], "expected a row; got none of 3"),
        (SPEC, ["--match=cpu=Xeon A"], "expected a column of the file"),
        (SPEC, ["--match=cpu_name"], "--match: expected NAME=VALUE"),
        ("a,b\n1,2\n", [], "expected columns such as watts_idle, watts_10"),
        ("watts_idle,watts_100\n", [], "expected rows below the header"),
        ("", [], "the file is empty"),
        ("watts_idle,watts_50,watts_100\n90,80,100\n", [], "line 2: expected a curve that never falls"),
    ],
)
def test_a_table_that_does_not_do_says_why(
    table: Callable[[str], Path], text: str, more: list[str], words: str
) -> None:
    result = run("levels", table(text), "--nodes", "n", *more)
    assert result.exit_code == 2
    assert words in result.stderr


# the names of SPEC's own downloads: the full results (with tabs at their ends) and the short list
SPEC_FULL = (
    "Hardware Vendor\t,System,# Nodes,ssj_ops @ 100% of target load\t,Average watts @ 100% of target load\t,"
    "Performance/power @ 100% of target load\t,ssj_ops @ 10% of target load,Average watts @ 10% of target load,"
    "Average watts @ active idle\t,ssj_ops @ active idle,Result\n"
    'Dell,"R1, 2U",1,"12,345,678","1,526",7000,"1,234,567",301,71.5,0,"9,000"\n'
    'Dell,R2,4,"12,345,678",2104,7000,"1,234,567",801,300,0,"9,000"\n'
)
SPEC_SHORT = (
    "SPECpower_ssj2008 results\n"
    "System Enclosure (if applicable),Nodes,CPU Description,ssj_ops @ 100%,Avg Watts @ 100%,avg. watts @ active idle\n"
    'R1,1,Xeon,"3,900",315,69.4\n'
)


@pytest.mark.parametrize(
    ("text", "cpu", "watts"),
    [
        (SPEC_FULL, (0.0, 0.1, 1.0), (71.5, 301.0, 1526.0)),
        (SPEC_SHORT, (0.0, 1.0), (69.4, 315.0)),
        ("n,Idle Power (W),Max Power (W)\nR1,60.5,240\n", (0.0, 1.0), (60.5, 240.0)),
        ("n,idle_watts,max_watts\nR1,60.5,240\n", (0.0, 1.0), (60.5, 240.0)),
        ("n,minimum watts,maximum watts\nR1,60.5,240\n", (0.0, 1.0), (60.5, 240.0)),
        ("n,Power @ Idle,Power @ 50%,Power @ 100%\nR1,60.5 W,900 W,1.2 kW\n", (0.0, 0.5, 1.0), (60.5, 900.0, 1200.0)),
        ("n,watts at 0%,watts at 50% load,watts at 100%\nR1,60.5,100,240\n", (0.0, 0.5, 1.0), (60.5, 100.0, 240.0)),
        ("n;watts_0;watts_100\nR1;60,5;1.240,0\n", (0.0, 1.0), (60.5, 1240.0)),
    ],
    ids=["SPEC, full", "SPEC, short", "idle power", "idle_watts", "minimum", "power @", "watts at", "German"],
)
def test_levels_are_known_by_the_names_that_they_are_published_under(
    table: Callable[[str], Path], text: str, cpu: tuple[float, ...], watts: tuple[float, ...]
) -> None:
    column = "System" if text is SPEC_FULL else "System Enclosure (if applicable)" if text is SPEC_SHORT else "n"
    curve = only(imported("levels", table(text), "--match", f"{column}=R1*", "--nodes", "n1")[0]).curve
    assert [curve.watts(u) for u in cpu] == list(watts)
    assert isinstance(curve, Linear) == (len(cpu) == 2)


def test_watts_of_several_machines_are_pointed_out(table: Callable[[str], Path]) -> None:
    file = table(SPEC_FULL)
    _, result = imported("levels", file, "--match", "System=R2", "--nodes", "n1")
    assert "watts of several machines together in line 3" in result.stderr
    models, _ = imported("levels", file, "--match", "System=R2", "--nodes", "n1", "--times", 0.25)
    assert only(models).curve.watts(1.0) == 526.0


def test_a_number_of_a_table_that_may_be_two_is_refused_until_it_is_said(table: Callable[[str], Path]) -> None:
    file = table('n,watts_idle,watts_100\nR1,164,"1,541"\n')
    refused = run("levels", file, "--nodes", "n1")
    assert refused.exit_code == 2
    assert "column 'watts_100': expected numbers that can mean one thing; got '1,541' in line 2" in refused.stderr
    models, _ = imported("levels", file, "--nodes", "n1", "--decimal", "point")
    assert only(models).curve == Linear(164.0, 1541.0)


def test_names_that_no_label_can_have_are_pointed_out(table: Callable[[str], Path]) -> None:
    _, result = imported("levels", table("cpu_name,Min Watts,Max Watts\nXeon X,164,276\n"), "--name-column", "cpu_name")
    assert "not a possible value of a node's label: 'Xeon X': no node will match" in result.stderr


def test_names_come_from_one_place(table: Callable[[str], Path]) -> None:
    both = run("levels", table(TEADS), "--name-column", "Instance type", "--nodes", "n")
    assert "expected --name-column, or --nodes or --selector; got both" in both.stderr
    alone = run("levels", table(TEADS), "--selector-label", "x", "--nodes", "n")
    assert "expected --name-column as well" in alone.stderr


def test_published_tables_can_be_taken_over(test_data: Path) -> None:
    specpower = test_data / "specpower" / "specpower_ssj2008_curves.csv.gz"
    model = ("--match", "hw_model=IBM System x3400 M3", "--match", "cpu_name=Intel Xeon X5670")
    spec = only(imported("levels", specpower, *model, "--nodes", "n")[0]).curve
    assert isinstance(spec, Piecewise)
    # the file's second line
    assert spec.power == (69.2, 119.0, 133.0, 140.0, 155.0, 170.0, 189.0, 209.0, 227.0, 241.0, 258.0)
    teads = test_data / "ccf" / "teads-aws-instances.csv"
    row = ("--match", "Instance type=a1.medium", "--name-column", "Instance type", "--watts", "PkgWatt")
    assert only(imported("levels", teads, *row)[0]).curve == Piecewise((0.0, 0.1, 0.5, 1.0), (0.29, 0.8, 1.88, 2.55))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_written_whole_and_explain_uses_it(tmp_path: Path, table: Callable[[str], Path]) -> None:
    path = tmp_path / "models.yaml"
    written = run("levels", table(SPEC), "--match", "hw_model=R1", "--nodes", "worker-1", "-o", path)
    assert written.exit_code == 0
    assert not written.stdout
    node = {"kind": "Node", "metadata": {"name": "worker-1"}, "status": {"allocatable": {"cpu": "10", "pods": "9"}}}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    pod = {"kind": "Pod", "metadata": {"name": "web", "namespace": "default", "uid": "u"}}
    pod["spec"] = {"schedulerName": "Peaks", "containers": [container]}  # type: ignore[assignment]
    cluster = tmp_path / "cluster.json"
    cluster.write_text(json.dumps({"kind": "List", "items": [node, pod]}))
    asked = ["explain", "default/web", "--from", str(cluster), "--power-models", str(path), "--output", "json"]
    answer = json.loads(CliRunner().invoke(main, asked).stdout)
    assert answer["default/web"]["nodes"]["worker-1"]["jumpWatts"] is not None


def test_check_calls_it_a_first_guess(tmp_path: Path, table: Callable[[str], Path]) -> None:
    models, _ = imported("levels", table(SPEC), "--match", "hw_model=R1", "--nodes", "worker-1")
    facts: Any = SimpleNamespace(models=models, now=0.0)  # of all the facts those that are looked at
    (said,) = list(quality(facts))
    assert said.text == "a first guess, never measured, for worker-1"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, table: Callable[[str], Path]) -> None:
    result = run("levels", table(SPEC), "--match", "hw_model=R1", "--nodes", "n", "-o", tmp_path / "no" / "m.yaml")
    assert result.exit_code == 2
    assert "-o" in result.stderr or "--out" in result.stderr


def test_an_answer_without_end_is_cut_off() -> None:
    import httpx

    from peaks_scheduler.errors import LoadError

    endless = httpx.MockTransport(lambda _: httpx.Response(200, content=b" " * (5 * 2**20)))
    with pytest.raises(LoadError, match="expected at most 4 MiB of weights"):
        ask("http://server:8100", {}, endless)
