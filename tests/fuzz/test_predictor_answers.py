"""Answers of inference servers: as many numbers as rows, or one PredictorError in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.tensorflow_serving import read_outputs, read_predictions, read_state
from peaks_scheduler.sources.predictors.v2 import Form, read_answer, read_form
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_texts, json_values, mutated_bytes

T = TypeVar("T")
KINDS = {"malformed", "shape", "metadata", "state"}
MODEL = ServedModel("v2", "http://s", "m")
INPUT = {"name": "predict-prob", "datatype": "FP32", "shape": [-1, 3]}
METADATA = {"name": "m", "versions": ["1"], "platform": "sklearn", "inputs": [INPUT], "outputs": []}
ANSWER = {
    "model_name": "m",
    "model_version": "v0.1.0",
    "parameters": {"content_type": None},
    "outputs": [{"name": "predict", "shape": [2, 1], "datatype": "FP64", "data": [20.0, None]}],
}
STATE = {
    "model_version_status": [
        {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
        {"version": "124", "state": "LOADING", "status": {"error_code": "OK", "error_message": ""}},
    ]
}


def bodies(example: Any) -> SearchStrategy[bytes]:
    """What may stand in the place of a good answer."""
    whole = json.dumps(example).encode()
    texts = json_texts(example).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return texts | mutated_bytes(whole) | st.binary(max_size=40) | json_values().map(lambda x: json.dumps(x).encode())


def outcome(read: Callable[[], T]) -> T | None:
    """None where it was refused, in words that can be written down on one line."""
    refusal: PredictorError | None = None
    try:
        return read()
    except PredictorError as error:
        refusal = error
    assert refusal.kind in KINDS
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 1000
    return None


@fuzzed(bodies(ANSWER), examples=100)
def test_any_answer_of_v2_is_numbers_or_an_error(body: bytes) -> None:
    answer = outcome(lambda: read_answer(body, 2, "here"))
    if answer is not None:
        assert answer.watts.shape == (2,)
        assert answer.version.isprintable()


@fuzzed(bodies(METADATA), examples=100)
def test_any_metadata_of_v2_are_a_form_or_an_error(body: bytes) -> None:
    form = outcome(lambda: read_form(body, MODEL, "here"))
    assert form is None or isinstance(form, Form)


@fuzzed(bodies({"predictions": [[20.0], [30.0]]}), examples=60)
def test_any_predictions_are_numbers_or_an_error(body: bytes) -> None:
    watts = outcome(lambda: read_predictions(body, 2, "here"))
    assert watts is None or watts.shape == (2,)


@fuzzed(bodies({"outputs": {"watts": [[20.0], [30.0]], "interval": [[1.0, 2.0], [3.0, 4.0]]}}), examples=60)
def test_any_outputs_are_numbers_or_an_error(body: bytes) -> None:
    watts = outcome(lambda: read_outputs(body, 2, "here"))
    assert watts is None or watts.shape == (2,)


@fuzzed(bodies(STATE), examples=60)
def test_any_state_is_a_version_or_an_error(body: bytes) -> None:
    version = outcome(lambda: read_state(body, "here"))
    assert not version or version.isdecimal()
