"""The Open Inference Protocol: bodies as its specification has them, and a server that answers wrong in many ways.

``WAO`` is the answer that wao-core's source quotes, from an MLServer with a scikit-learn model.
"""

import json
import math
from typing import Any

import httpx
import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.factory import PredictorPool
from peaks_scheduler.sources.predictors.predictor import Prediction, Predictor
from peaks_scheduler.sources.predictors.v2 import Form, encoded, read_form
from tests.support.served_models import Model, V2Server

WAO = """{
  "model_name": "model1", "model_version": "v0.1.0", "id": "0dc429d2-bd02-404b-b624-a0fa628e451e",
  "parameters": {"content_type": null, "headers": null},
  "outputs": [
    {"name": "predict", "shape": [1, 1], "datatype": "FP64", "parameters": {"content_type": "np"}, "data": [20.0]}
  ]
}"""
ROWS = np.array([[0.1, 22.0, 7.5], [0.5, 22.0, 7.5], [1.0, 30.0, 7.5]])


def watts(rows: Floats) -> Floats:
    """80 W at rest, 100 W for the CPU, 2 W a kelvin: 134, 174 and 240 W for ``ROWS``."""
    return 80.0 + 100.0 * rows[:, 0] + 2.0 * rows[:, 1]


class Asking:
    """``async with Asking(server) as predictor``; the clock is at ``self.now``."""

    def __init__(self, server: V2Server, timeout: float = 10.0, **model: Any) -> None:
        self.now = 0.0
        self._pool = PredictorPool(timeout, lambda: self.now)
        self.predictor: Predictor = self._pool.predictor(ServedModel("v2", server.url, "m", **model))

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def predict(self, rows: Floats = ROWS) -> Prediction:
        return await self.predictor.predict(rows)


async def asked(server: V2Server, rows: Floats = ROWS, **how: Any) -> Prediction:
    async with Asking(server, **how) as asking:
        return await asking.predict(rows)


async def refused(server: V2Server, rows: Floats = ROWS, **how: Any) -> PredictorError:
    with pytest.raises(PredictorError) as caught:
        await asked(server, rows, **how)
    return caught.value


async def answered(answer: str | bytes, rows: Floats = ROWS[:1], metadata: Any = None) -> Floats:
    """What is read from this answer of a server with these metadata; None: it has none."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404 if metadata is None else 200, json=metadata or {"error": "no"})
        return httpx.Response(200, content=answer)

    pool = PredictorPool(5.0, lambda: 0.0, httpx.MockTransport(handler))
    return (await pool.predictor(ServedModel("v2", "http://s", "m")).predict(rows)).watts


def output(data: Any, **more: Any) -> str:
    return json.dumps({"outputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": data}], **more})


BATCH = {"name": "m", "platform": "", "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}]}


# --- the wire ---------------------------------------------------------------------------------------------------------


async def test_the_answer_that_wao_quotes_is_20_watts() -> None:
    assert await answered(WAO) == [20.0]


async def test_many_rows_are_one_request_where_the_model_takes_them() -> None:
    with V2Server({"m": Model(watts)}) as server:
        answer = await asked(server)
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [each.path for each in server.asked] == ["/v2/models/m", "/v2/models/m/infer"]


async def test_the_request_is_what_the_specification_says() -> None:
    with V2Server({"m": Model(watts, input_name="features", datatype="FP64")}) as server:
        await asked(server)
    (tensor,) = server.predictions[0].json["inputs"]
    assert tensor == {"name": "features", "shape": [3, 3], "datatype": "FP64", "data": ROWS.tolist()}


async def test_a_model_that_takes_one_row_gets_one_a_request() -> None:
    with V2Server({"m": Model(watts, batch=False)}) as server:
        answer = await asked(server)
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [each.json["inputs"][0]["shape"] for each in server.predictions] == [[1, 3]] * 3


async def test_at_most_eight_single_rows_are_under_way() -> None:
    with V2Server({"m": Model(watts, batch=False)}) as server:
        answer = await asked(server, np.tile(ROWS, (30, 1)))
    assert answer.watts.tolist() == [134.0, 174.0, 240.0] * 30
    assert server.most_at_once <= 8


async def test_a_server_without_metadata_is_asked_as_wao_asks() -> None:
    with V2Server({"m": Model(watts, metadata=False, batch=False)}) as server:
        answer = await asked(server, ROWS[:1])
    assert answer.watts.tolist() == [134.0]
    assert server.predictions[0].json == {
        "inputs": [{"name": "predict-prob", "shape": [1, 3], "datatype": "FP32", "data": [[0.1, 22.0, 7.5]]}]
    }


async def test_without_metadata_many_rows_come_one_by_one_if_two_at_once_fail() -> None:
    with V2Server({"m": Model(watts, metadata=False, batch=False)}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            answer = await asking.predict()
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [len(each.json["inputs"][0]["data"]) for each in server.predictions] == [1, 1, 2, 1, 1, 1, 1, 1, 1]


async def test_without_metadata_many_rows_come_at_once_if_two_are_answered_as_each_alone() -> None:
    with V2Server({"m": Model(watts, metadata=False)}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            answer = await asking.predict()
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [len(each.json["inputs"][0]["data"]) for each in server.predictions] == [1, 1, 2, 3, 3]


async def test_without_metadata_a_model_that_mixes_rows_up_gets_single_ones() -> None:
    with V2Server({"m": Model(lambda rows: watts(rows)[::-1], metadata=False)}) as server:
        answer = await asked(server)
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]


async def test_more_than_10000_rows_are_several_requests() -> None:
    rows = np.random.default_rng(1).random((25_001, 3))
    with V2Server({"m": Model(watts)}) as server:
        answer = await asked(server, rows)
    assert answer.watts == pytest.approx(watts(rows), rel=1e-15)
    assert sorted(each.json["inputs"][0]["shape"][0] for each in server.predictions) == [5_001, 10_000, 10_000]


async def test_no_rows_are_no_question() -> None:
    with V2Server({"m": Model(watts)}) as server:
        assert (await asked(server, ROWS[:0])).watts.size == 0
    assert server.asked == []


async def test_a_version_stands_in_the_path() -> None:
    with V2Server({"m": Model(watts, version="v0.1.0")}) as server:
        answer = await asked(server, version="v0.1.0")
    assert answer.version == "v0.1.0"
    assert server.asked[-1].path == "/v2/models/m/versions/v0.1.0/infer"


async def test_a_name_with_strange_characters_reaches_the_server() -> None:
    with V2Server({"a b/ä?": Model(watts)}) as server:
        pool = PredictorPool(5.0)
        answer = await pool.predictor(ServedModel("v2", server.url, "a b/ä?")).predict(ROWS)
        await pool.aclose()
    assert answer.watts.size == 3


@pytest.mark.parametrize(
    ("data", "watts"),
    [
        ([1.5, 2.5, 3], [1.5, 2.5, 3.0]),
        ([[1.5], [2.5], [3.5]], [1.5, 2.5, 3.5]),
        ([[1.5, 2.5, 3.5]], [1.5, 2.5, 3.5]),
        ([[[1.5]], [[2.5]], [[3.5]]], [1.5, 2.5, 3.5]),
        ([-5.0, 1e300, 0], [-5.0, 1e300, 0.0]),
    ],
)
async def test_data_may_be_flat_or_nested(data: Any, watts: list[float]) -> None:
    assert (await answered(output(data), ROWS, BATCH)).tolist() == watts


@pytest.mark.parametrize("data", ["[null, 2.5, 3]", "[NaN, 2.5, 3]", "[[null], [2.5], [3]]"])
async def test_no_number_is_nan(data: str) -> None:
    found = await answered('{"outputs": [{"data": ' + data + "}]}", ROWS, BATCH)
    assert math.isnan(found[0])
    assert found[1:].tolist() == [2.5, 3.0]


async def test_the_first_output_counts_whatever_its_name() -> None:
    body = json.dumps({"outputs": [{"name": "watts", "data": [20.0]}, {"name": "predict", "data": ["a", "b"]}]})
    assert await answered(body) == [20.0]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [("FP16", [[35.4, 22.0]]), ("INT64", [[35, 22]]), ("UINT8", [[35, 22]]), ("FP64", [[35.4, 22.0]])],
)
def test_whole_numbers_are_sent_where_the_model_takes_them(datatype: str, data: list[list[float]]) -> None:
    (tensor,) = json.loads(encoded(Form("x", datatype, batch=True), np.array([[35.4, 22.0]])))["inputs"]
    assert (tensor["datatype"], tensor["data"]) == (datatype, data)


async def test_a_model_whose_row_has_one_dimension_gets_one() -> None:
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"inputs": [{"name": "x", "datatype": "FP32", "shape": [3]}]})
        asked.append(json.loads(request.content)["inputs"][0])
        return httpx.Response(200, text=output([20.0]))

    pool = PredictorPool(5.0, lambda: 0.0, httpx.MockTransport(handler))
    await pool.predictor(ServedModel("v2", "http://s", "m")).predict(ROWS)
    assert asked[0] == {"name": "x", "shape": [3], "datatype": "FP32", "data": [0.1, 22.0, 7.5]}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        ([-1, 3], Form("x", "FP32", batch=True)),
        ([-1, -1], Form("x", "FP32", batch=True)),
        ([1, 3], Form("x", "FP32", batch=False)),
        ([3], Form("x", "FP32", batch=False, flat=True)),
        ([-1], Form("x", "FP32", batch=None)),
        ([], None),
    ],
)
def test_the_shape_says_how_many_rows_may_come_at_once(shape: list[int], form: Form | None) -> None:
    told = {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape}]}
    model = ServedModel("v2", "http://s", "m")
    if form is None:
        with pytest.raises(PredictorError, match=r"its shape is \[\]"):
            read_form(json.dumps(told).encode(), model, "s")
    else:
        assert read_form(json.dumps(told).encode(), model, "s") == form


@pytest.mark.parametrize("told", [{}, {"inputs": None}, {"inputs": []}])
def test_a_model_that_tells_no_inputs_is_asked_as_wao_asks(told: Any) -> None:
    # MLServer tells an empty list unless the model's settings have inputs
    form = read_form(json.dumps(told).encode(), ServedModel("v2", "http://s", "m"), "s")
    assert form == Form("predict-prob", "FP32", batch=None)


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([("x", "FP32", [-1, 4])], "expected one input of 3 numbers (cpu, inlet, deltaP)"),
        ([("x", "FP32", [32, 3])], "its shape is [32, 3]"),
        ([("x", "FP32", [-1, 1, 3])], "its shape is [-1, 1, 3]"),
        ([("x", "BYTES", [-1, 3])], "its datatype is 'BYTES'"),
        ([("x", "INT64", [-1, 3])], "cpu is a ratio: give it percent"),
        ([("cpu", "FP32", [-1]), ("inlet", "FP32", [-1])], "it has 2 inputs: 'cpu', 'inlet'"),
    ],
)
async def test_a_model_with_other_inputs_is_refused(inputs: list[tuple[str, str, list[int]]], words: str) -> None:
    told = {"inputs": [dict(zip(("name", "datatype", "shape"), each, strict=True)) for each in inputs]}
    with pytest.raises(PredictorError) as caught:
        await answered(output([20.0]), metadata=told)
    assert caught.value.kind == "metadata"
    assert words in str(caught.value)


async def test_metadata_are_read_once_in_ten_minutes() -> None:
    with V2Server({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            for asking.now in (0.0, 30.0, 599.0, 600.0, 630.0):
                await asking.predict()
    assert [each.method for each in server.asked] == ["GET", "POST", "POST", "POST", "GET", "POST", "POST"]


async def test_metadata_are_read_again_after_an_error() -> None:
    with V2Server({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            server.faults.short = True
            with pytest.raises(PredictorError):
                await asking.predict()
            server.faults.short = False
            await asking.predict()
    assert [each.method for each in server.asked] == ["GET", "POST", "POST", "GET", "POST"]


async def test_metadata_are_read_again_when_an_answer_has_a_new_version() -> None:
    with V2Server({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            server.models["m"].version = "2"
            assert (await asking.predict()).version == "2"
            await asking.predict()
            await asking.predict()
    assert [each.method for each in server.asked] == ["GET", "POST", "POST", "GET", "POST", "POST"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [np.array([[0.1, math.nan, 7.5]]), np.array([[0.1, math.inf, 7.5]]), np.ones((2, 4))])
async def test_rows_that_json_cannot_hold_are_the_callers_error(rows: Floats) -> None:
    with V2Server({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            with pytest.raises(ValueError, match="expected"):
                await asking.predict(rows)
    assert server.asked == []


async def test_an_error_of_the_server_is_told_in_its_words() -> None:
    with V2Server({"m": Model(watts)}) as server:
        server.faults.status = 500
        error = await refused(server)
    assert (error.kind, "500: a fault on command" in str(error)) == ("http-500", True)


async def test_a_model_that_is_not_served_is_named() -> None:
    with V2Server({"other": Model(watts)}) as server:
        error = await refused(server)
    assert (error.kind, "Model m not found" in str(error)) == ("http-404", True)


async def test_a_server_that_never_answers_is_given_up() -> None:
    with V2Server({"m": Model(watts)}) as server:
        server.faults.silent = True
        assert (await refused(server, timeout=0.2)).kind == "timeout"


async def test_a_missing_number_is_an_error() -> None:
    with V2Server({"m": Model(watts)}) as server:
        server.faults.short = True
        error = await refused(server)
    assert (error.kind, "expected 3 numbers for as many rows; got 2 numbers" in str(error)) == ("shape", True)


async def test_nan_and_negative_and_ten_times_too_much_are_answers() -> None:
    with V2Server({"m": Model(watts)}) as server:
        server.faults.nan, server.faults.factor = True, -10.0
        found = (await asked(server)).watts
    assert math.isnan(found[0])
    assert found[1:].tolist() == [-1740.0, -2400.0]


async def test_a_version_that_changes_in_mid_flight_is_an_error_and_the_next_question_is_answered() -> None:
    with V2Server({"m": Model(watts, batch=False)}) as server:
        server.faults.changes_after = 2
        async with Asking(server) as asking:
            with pytest.raises(PredictorError, match=r"changed while it was asked \(1, 2\)") as caught:
                await asking.predict()
            assert caught.value.kind == "version"
            assert (await asking.predict()).version == "2"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "malformed"),
        ("[]", "malformed"),
        ("<html>", "malformed"),
        ("{}", "malformed"),
        ('{"outputs": []}', "shape"),
        ('{"outputs": [{"name": "x"}]}', "malformed"),
        ('{"outputs": [{"data": "20.0"}]}', "malformed"),
        ('{"outputs": [{"data": ["20.0"]}]}', "malformed"),
        ('{"outputs": [{"data": [true]}]}', "malformed"),
        ('{"outputs": [{"data": [{"a": 1}]}]}', "malformed"),
        ('{"outputs": [{"data": [[1.0], 2.0]}]}', "malformed"),
        ('{"outputs": [{"data": []}]}', "shape"),
        ('{"outputs": [{"data": [1' + "0" * 400 + "]}]}", "malformed"),
        ('{"outputs": [{"data": ' + "[" * 5_000 + "]" * 5_000 + "}]}", "malformed"),
        ('{"outputs": [{"data": ' + "[" * 6 + "1" + "]" * 6 + "}]}", "malformed"),
        ('{"outputs": [{"data": [1e999]}]}', "malformed"),
        (b'{"outputs": [{"data": "\xed\xa0\x80"}]}', "malformed"),
        (b'{"outputs": "\xff\xfe"}', "malformed"),
    ],
)
async def test_other_answers_are_refused(body: str | bytes, kind: str) -> None:
    with pytest.raises(PredictorError) as caught:
        await answered(body)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 400


async def test_metadata_that_are_no_metadata_are_refused() -> None:
    with pytest.raises(PredictorError, match="expected metadata"):
        await answered(WAO, metadata={"inputs": [{"name": "x"}]})


async def test_the_first_failure_ends_the_whole_question() -> None:
    with V2Server({"m": Model(watts, batch=False)}) as server:
        async with Asking(server) as asking:
            await asking.predict(ROWS[:1])
            server.faults.status = 400
            with pytest.raises(PredictorError):
                await asking.predict(np.tile(ROWS, (100, 1)))
    assert len(server.predictions) < 30
