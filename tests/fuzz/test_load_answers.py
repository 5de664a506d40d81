"""Answers of load-watcher, Prometheus, metrics-server and Kepler's model server: read, or one LoadError in words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from peaks_scheduler.commands.import_models.kepler_server import ask
from peaks_scheduler.errors import LoadError, PeaksError
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.sources.http_client import _date
from peaks_scheduler.sources.json_reader import JsonReader
from peaks_scheduler.sources.load_watcher import read_report
from peaks_scheduler.sources.metrics_server import read_nodes
from peaks_scheduler.sources.node_identity import NodeAddresses, resolve
from peaks_scheduler.sources.pod_usage import read_pods, read_series
from peaks_scheduler.sources.prometheus.answers import read_matrix, read_vector
from peaks_scheduler.sources.prometheus.failures import read_failure
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_texts, json_values, mutated, mutated_bytes, mutated_text, odd_texts

T = TypeVar("T")
NOW = 1_795_394_835.0
KINDS = {"malformed", "empty", "query"}
CPU = {"name": "instance:node_cpu:ratio", "type": "CPU", "operator": "AVG", "rollup": "15m", "value": 8.66}
WATCHER = {
    "timestamp": 1795394830,
    "window": {"duration": "15m", "start": 1795393929, "end": 1795394829},
    "source": "Prometheus",
    "data": {"NodeMetricsMap": {"worker-1": {"metrics": [CPU, {**CPU, "type": "Memory"}], "tags": {}}, "b": {}}},
}
LABELS = {"__name__": "up", "instance": "10.0.0.1:9100", "namespace": "default", "pod": "web-0", "node": "worker-1"}
VECTOR = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": LABELS, "value": [1795394835.123, "0.25"]}]},
    "warnings": ["a store is away"],
}
MATRIX = {
    "data": {"result": [{"metric": LABELS, "values": [[1795394835, "1"], [1795394895, "NaN"]]}], "resultType": "matrix"}
}
ITEM = {
    "metadata": {"name": "worker-1", "namespace": "default"},
    "timestamp": "2026-11-22T12:00:00Z",
    "window": "30s",
    "usage": {"cpu": "250m", "memory": "1Gi"},
    "containers": [{"name": "c", "usage": {"cpu": "100m", "memory": "1Mi"}}],
}


def bodies(example: Any) -> SearchStrategy[bytes]:
    """What may stand in the place of a good answer."""
    whole = json.dumps(example).encode()
    texts = json_texts(example).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return texts | mutated_bytes(whole) | st.binary(max_size=40) | json_values().map(lambda x: json.dumps(x).encode())


def outcome(read: Callable[[], T]) -> T | None:
    """None where it was refused, in words that can be written down."""
    refusal: LoadError | None = None
    try:
        return read()
    except LoadError as error:
        refusal = error
    assert refusal.kind in KINDS
    str(refusal).encode()
    return None


def sensible(report: LoadReport) -> None:
    assert report.nodes
    for name, load in report.nodes.items():
        assert len(name) <= 512
        assert load.cpu is None or 0.0 <= load.cpu <= 1.0
        assert load.cores is None or 0.0 <= load.cores < math.inf
        assert load.window_start <= load.window_end < math.inf
    "".join(report.problems).encode()
    resolve(report.nodes, [NodeAddresses("worker-1", addresses=("10.0.0.1",))])


@fuzzed(bodies(WATCHER), examples=300)
def test_any_answer_of_load_watcher_is_a_report_or_an_error(body: bytes) -> None:
    report = outcome(lambda: read_report(body, NOW))
    if report is not None:
        sensible(report)


@fuzzed(bodies(VECTOR) | bodies(MATRIX), examples=400)
def test_any_answer_of_prometheus_is_values_or_an_error(body: bytes) -> None:
    if (vector := outcome(lambda: read_vector(body))) is not None:
        "".join(vector.problems).encode()
        assert all(abs(each.time) <= 1e11 and dict(each.labels) is not None for each in vector.samples)
        read_series(vector, vector, 300.0, NOW)
    if (matrix := outcome(lambda: read_matrix(body))) is not None:
        "".join(matrix.problems).encode()
        assert all(np.isfinite(each.times).all() for each in matrix.series)


@fuzzed(st.lists(mutated(ITEM, deep=False), max_size=3), examples=200)
def test_any_items_of_metrics_server_are_use_or_left_out(found: list[Any]) -> None:
    items = [item for item in found if isinstance(item, dict)]
    with suppress(LoadError):
        sensible(read_nodes(items, NOW))
    for pod in read_pods(items):
        assert 0.0 <= pod.cores < math.inf
        assert pod.window_start <= pod.window_end


@fuzzed(bodies({"errorType": "bad_data", "error": "parse error"}) | mutated_bytes(b"<html><title>502</title>"))
def test_whatever_a_server_says_of_a_failure_is_one_printable_line(body: bytes) -> None:
    assert read_failure(body).text.isprintable()


@fuzzed(bodies({"platform": {"All_Weights": {"Bias_Weight": 1.0}}}), st.sampled_from((200, 302, 400, 500)))
def test_whatever_keplers_server_answers_is_text_or_an_error(body: bytes, status: int) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    with suppress(PeaksError):
        ask("http://kepler:8100", {"source": "x", "trainer_name": "", "node_type": -1}, transport)


@fuzzed(json_values(30), st.integers(0, 3), examples=200)
def test_piece_by_piece_comes_out_what_pythons_own_reader_gives(value: Any, spaces: int) -> None:
    text = json.dumps(value, indent=spaces or None)
    try:
        expected = json.loads(text)
    except ValueError:
        return  # more digits than Python turns into a number
    assert repr(_walked(JsonReader(text.encode("utf-8", "surrogatepass")))) == repr(expected)


def _walked(reader: JsonReader) -> Any:
    if reader.kind() == "{":
        return {key: _walked(reader) for key in reader.members()}
    if reader.kind() == "[":
        return [_walked(reader) for _ in reader.elements()]
    return reader.value()


@fuzzed(odd_texts | mutated_text("Sun, 22 Nov 2026 12:00:00 GMT"))
def test_any_date_header_is_a_time_or_none(header: str) -> None:
    date = _date(header)
    assert date is None or math.isfinite(date)
