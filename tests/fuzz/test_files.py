"""Files of people and their tools: power models, configuration, clusters, imports; YAML and JSON themselves."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from peaks_scheduler.commands.explain.answer import explain
from peaks_scheduler.commands.explain.answer_table import as_table
from peaks_scheduler.commands.explain.cluster import from_files
from peaks_scheduler.commands.import_models.kepler_weights import read_weights
from peaks_scheduler.commands.import_models.plugin import import_plugin
from peaks_scheduler.errors import ConfigurationError, PeaksError, PowerModelError
from peaks_scheduler.files.documents import parse_document, parse_documents
from peaks_scheduler.files.encodings import decoded
from peaks_scheduler.ledger.power_columns import prepare
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.power.writing import render_models
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.table import redacted
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_texts, json_values, mutated, mutated_bytes, mutated_text, odd_texts

QUALITY = {
    "rmseWatts": 1.7,
    "r2": 0.99,
    "samples": 900,
    "cpuMin": 0.02,
    "cpuMax": 0.93,
    "fitted": "2026-11-20T10:00:00Z",
}
MODELS: dict[str, Any] = {
    "models": [
        {
            "nodes": ["worker-1", "worker-2"],
            "cpu": "percent",
            "curve": {"kind": "exponential", "k0": 471.7, "k1": -91.5, "k2": -0.07186},
            "standbyWatts": 5,
            "quality": {**QUALITY, "covariance": [[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0]]},
        },
        {
            "nodeSelector": {"node.kubernetes.io/instance-type": "m5.large"},
            "cpu": "ratio",
            "curve": {"kind": "piecewise", "cpu": [0, 0.1, 0.5, 1], "watts": [60, 90, 150, 240]},
            "scope": "wall",
        },
        {
            "nodes": ["worker-3"],
            "cpu": "ratio",
            "curve": {"kind": "idle-exponential", "idle": 118.0, "k0": 300.0, "k1": -150.0, "k2": -3.0, "from": 0.1},
            "quality": {"confidence": "low"},
        },
        {"nodes": ["worker-4"], "cpu": "ratio", "curve": {"kind": "linear", "idle": 60, "max": 240}},
    ]
}
PLUGIN = {"worker-1": {"k0": 471.7, "k1": -91.5, "k2": -0.07186}, "worker-2": {"K0": 400.0, "K1": -80, "K2": -0.05}}


def yaml_texts(example: Any) -> SearchStrategy[str]:
    """YAML of a good example, damaged as text."""
    return mutated_text(yaml.safe_dump(example, sort_keys=False, default_flow_style=None))


# --- YAML, JSON and bytes ---------------------------------------------------------------------------------------------


@fuzzed(st.text(alphabet="[]{}:,-&*!<'\"#|>?% \n\tab01.~=", max_size=60) | yaml_texts(MODELS) | json_texts(MODELS))
def test_any_text_is_data_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        parse_document(text, "f")
    with suppress(ConfigurationError):
        parse_documents(text, "f")


# what is a number to YAML 1.2 alone is not put into quotes by a writer of YAML 1.1
_NUMBER = re.compile(r"[-+]?[0-9._]+[eE][-+]?[0-9]+")
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=12).filter(
    lambda word: _NUMBER.fullmatch(word) is None
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=15,
)


@fuzzed(plain, st.sampled_from((None, True, False)))
def test_what_another_program_writes_is_read_as_it_was(value: Any, flow: bool | None) -> None:
    # PyYAML puts into quotes what it would read as something else
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    assert parse_document(text, "f") == value
    assert parse_document(json.dumps([value]), "f") == [value]


@fuzzed(mutated_bytes("models: [µW]\r\n".encode("utf-16")) | mutated_bytes("k: µ\n".encode()) | st.binary(max_size=40))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    with suppress(UnicodeDecodeError):
        text = decoded(data)
        assert "\0" not in text
        assert "\r" not in text


# --- power models -----------------------------------------------------------------------------------------------------


def read_models(text: str) -> None:
    """As the daemon does; what is read can be written and is read again as the same."""
    with suppress(PowerModelError):
        models = parse_models(text, "f")
        prepare(models)
        models.for_node("worker-1", {"a": "b"})
        assert parse_models(render_models(models), "f") == models


@fuzzed(json_texts(MODELS) | json_texts(PLUGIN), examples=200)
def test_any_model_file_is_read_or_refused(text: str) -> None:
    read_models(text)


@fuzzed(yaml_texts(MODELS))
def test_any_model_file_of_yaml_is_read_or_refused(text: str) -> None:
    read_models(text)


@st.composite
def config_maps(draw: DrawFn) -> str:
    data = {"peaks.json": draw(json_texts(PLUGIN)), "other": draw(odd_texts)}
    found = {"kind": "ConfigMap", "data": data, "binaryData": {"x": "e30=", "y": draw(odd_texts)}}
    return json.dumps({"kind": "List", "items": [found]} if draw(st.booleans()) else draw(mutated(found, deep=False)))


@fuzzed(json_texts(PLUGIN) | config_maps())
def test_any_model_of_the_original_plugin_is_taken_over_or_refused(text: str) -> None:
    with suppress(ConfigurationError, PowerModelError):
        imported = import_plugin(text, "f", "percent")
        assert isinstance(imported.models, PowerModels)


# --- configuration ----------------------------------------------------------------------------------------------------

CONFIGURATION: dict[str, Any] = {
    "schedulerName": "Peaks",
    "strategy": "peaks",
    "load": {"source": "prometheus", "address": "http://load:2020", "interval": "15s", "expiry": "5m"},
    "powerModels": "/etc/peaks/models.yaml",
    "defaultPodCpu": "100m",
    "toleranceWatts": 0,
    "listen": "[::]:10261",
    "logFormat": "json",
    "ceiling": {"cpu": "80%", "memory": "90%"},
    "prometheus": {"address": "http://p:9090", "match": 'cluster="a"', "headers": {"X-Scope-OrgID": "a"}},
    "leaderElection": {"enabled": True, "name": "peaks-scheduler-peaks"},
}
PROFILES: dict[str, Any] = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": True},
    "profiles": [
        {
            "schedulerName": "Peaks",
            "plugins": {"score": {"enabled": [{"name": "Peaks"}], "disabled": [{"name": "*"}]}},
            "pluginConfig": [
                {"name": "Peaks", "args": {"watcherAddress": "http://load:2020", "nodePowerModel": PLUGIN}},
            ],
        }
    ],
}


def read_configuration(text: str, env: dict[str, str]) -> None:
    with suppress(ConfigurationError, PowerModelError):
        settings, warnings = load_settings(text, "config.yaml", env, {})
        json.dumps(redacted(settings))
        assert all(isinstance(each, str) for each in warnings)


@fuzzed(json_texts(CONFIGURATION) | json_texts(PROFILES) | yaml_texts(CONFIGURATION), examples=200)
def test_any_configuration_is_read_or_refused(text: str) -> None:
    read_configuration(text, {})


VARIABLES = ("PEAKS_LISTEN", "PEAKS_LOAD_ADDRESS", "PEAKS_SCHEDULER_NAME", "PEAKS_LEADER_ELECT", "NODE_POWER_MODEL")


@fuzzed(st.dictionaries(st.sampled_from(VARIABLES) | odd_texts, odd_texts, max_size=3))
def test_any_environment_is_read_or_refused(env: dict[str, str]) -> None:
    read_configuration("{}", env)


# --- clusters and imports ---------------------------------------------------------------------------------------------

POD = {
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
    "spec": {
        "schedulerName": "Peaks",
        "containers": [
            {"name": "c", "image": "x", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}
        ],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
CLUSTER: dict[str, Any] = {
    "kind": "List",
    "items": [
        {
            "kind": "Node",
            "metadata": {"name": "w", "labels": {"zone": "a"}},
            "status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"}, "capacity": {"cpu": "8"}},
        },
        {"kind": "Pod", **POD},
        {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2, "template": POD}},
        {
            "kind": "StatefulSet",
            "metadata": {"name": "s"},
            "spec": {"template": POD, "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]},
        },
        {"kind": "CronJob", "metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": POD}}}},
        {"kind": "StorageClass", "metadata": {"name": "fast", "annotations": {}}, "provisioner": "x"},
    ],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "cluster.json"


@fuzzed(text=json_texts(CLUSTER) | yaml_texts(CLUSTER), examples=200)
def test_any_cluster_in_a_file_is_explained_or_refused(file: Path, text: str) -> None:
    file.write_bytes(text.encode(errors="surrogatepass"))
    settings, _ = load_settings(None, "", {}, {})
    with suppress(PeaksError):
        cluster = from_files([str(file)], None, settings)
        answers = explain(cluster, settings, None)
        json.dumps({answer.key: answer.as_json() for answer in answers})
        as_table(answers)


WEIGHTS = {
    "model_name": "ExponentialRegressionTrainer_0",
    "platform": {
        "All_Weights": {
            "Categorical_Variables": {},
            "Numerical_Variables": {"bpf_cpu_time_ms": {"scale": 1000.0, "weight": 0.5}},
            "CurveFit_Weights": [1.0, 2.0, 3.0],
            "Bias_Weight": 1.0,
        }
    },
}


@fuzzed(json_texts(WEIGHTS) | st.builds(json.dumps, json_values()))
def test_any_weights_of_kepler_are_read_or_refused(text: str) -> None:
    with suppress(ConfigurationError, PowerModelError):
        read_weights(text, "f", None)
