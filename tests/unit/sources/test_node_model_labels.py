"""The labels of WAO 1. Names, values such as 36.5 and 11.5, and what is an error are those of WAO's own tests."""

from __future__ import annotations

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.sources.predictors.node_labels import labelled

LABELS = {
    "kubernetes.io/hostname": "worker-1",
    "tensorflow/host": "10.0.0.20",
    "tensorflow/port": "8500",
    "tensorflow/name": "konohana",
    "ambient/max": "36.5",
    "ambient/min": "11.5",
    "cpu1/max": "90",
    "cpu1/min": "30",
    "cpu2/max": "85",
    "cpu2/min": "-5",
}


def without(*keys: str) -> dict[str, str]:
    return {key: value for key, value in LABELS.items() if key not in keys}


def test_the_labels_give_the_model_its_columns_in_order_and_their_ranges() -> None:
    found = labelled(LABELS)
    assert found is not None
    assert (found.model.protocol, found.model.model, found.model.cpu) == ("tensorflow-serving", "konohana", "ratio")
    assert found.model.inputs == ("cpu", "inlet", "cpu1", "cpu2")
    assert found.ranges == {"inlet": (11.5, 36.5), "cpu1": (30.0, 90.0), "cpu2": (-5.0, 85.0)}


@pytest.mark.parametrize(
    ("port", "url", "words"),
    [
        ("8500", "http://10.0.0.20:8501", "gRPC port 8500 means REST port 8501"),
        ("8501", "http://10.0.0.20:8501", "labels tensorflow/..."),
        ("30851", "http://10.0.0.20:30851", "labels tensorflow/..."),
        (None, "http://10.0.0.20:8501", "without tensorflow/port: REST port 8501"),
    ],
)
def test_the_port_is_that_of_rest(port: str | None, url: str, words: str) -> None:
    found = labelled(without("tensorflow/port") | ({} if port is None else {"tensorflow/port": port}))
    assert found is not None
    assert found.model.url == url
    assert words in found.said_by


def test_version_and_signature_may_be_given() -> None:
    found = labelled(LABELS | {"tensorflow/version": "3", "tensorflow/signature": "serving_default"})
    assert found is not None
    assert (found.model.version, found.model.signature) == ("3", "serving_default")


def test_two_nodes_with_one_model_and_other_ranges_have_equal_models() -> None:
    one, other = labelled(LABELS), labelled(LABELS | {"ambient/max": "40"})
    assert one is not None
    assert other is not None
    assert one.model == other.model
    assert one.ranges != other.ranges


def test_a_node_without_the_label_of_the_host_has_no_model() -> None:
    assert labelled(without("tensorflow/host")) is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (without("tensorflow/name"), "label tensorflow/name is missing"),
        (without("ambient/min"), "label ambient/min is missing"),
        (without("cpu2/max"), "label cpu2/max is missing"),
        (LABELS | {"ambient/max": "36.5C"}, r"label ambient/max: expected a number .* got '36.5C'"),
        (LABELS | {"cpu1/min": "nan"}, "label cpu1/min: expected a number"),
        (LABELS | {"cpu1/min": "1e3"}, "label cpu1/min: expected a number"),
        (LABELS | {"ambient/max": "11.5"}, "labels ambient/min and ambient/max: expected the second above the first"),
        (LABELS | {"cpu1/max": "10"}, "cpu1/max: expected the second above the first; got 30 and 10"),
        (LABELS | {"tensorflow/port": "http"}, "label tensorflow/port: expected a port"),
        (LABELS | {"tensorflow/port": "70000"}, "label tensorflow/port: expected a port"),
        (LABELS | {"tensorflow/version": "v1"}, "label tensorflow/version: expected a whole number"),
        (LABELS | {"tensorflow/host": "a_b"}, "label tensorflow/host: expected a host name"),
    ],
)
def test_labels_that_are_wrong_are_named_and_never_guessed(labels: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        labelled(labels)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0xa9.0xfe.0xa9.0xfe", "0.0.0.0", "0", "169.254.169.254"],
)
def test_a_kubelet_cannot_have_the_link_asked(host: str) -> None:
    with pytest.raises(ConfigurationError, match="label tensorflow/host: expected the address of a server"):
        labelled(LABELS | {"tensorflow/host": host})


@pytest.mark.parametrize(
    "host", ["10.0.0.20", "192.168.1.5", "127.0.0.1", "serving.default.svc", "localhost-1.example.org", "1a"]
)
def test_servers_on_the_network_are_asked(host: str) -> None:
    found = labelled(LABELS | {"tensorflow/host": host})
    assert found is not None
    assert found.model.url == f"http://{host}:8501"
