"""TensorFlow Serving's REST. ``HALF_PLUS_THREE`` is the session that its own documentation shows."""

import json
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.factory import PredictorPool
from peaks_scheduler.sources.predictors.predictor import Prediction, Predictor
from tests.support.served_models import Model, TensorFlowServer
from tests.support.wao_models import COLUMNS, wao_models

HALF_PLUS_THREE = {
    "/v1/models/half_plus_three": """{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
""",
    "/v1/models/half_plus_three/versions/123:predict": """{
    "predictions": [3.5, 4.0, 5.5]
}""",
}
ROWS = np.array([[0.1, 22.0, 7.5], [0.5, 22.0, 7.5], [1.0, 30.0, 7.5]])


def watts(rows: Floats) -> Floats:
    """80 W at rest, 100 W for the CPU, 2 W a kelvin: 134, 174 and 240 W for ``ROWS``."""
    return 80.0 + 100.0 * rows[:, 0] + 2.0 * rows[:, 1]


class Asking:
    """``async with Asking(server) as predictor``; the clock is at ``self.now``."""

    def __init__(self, server: TensorFlowServer, timeout: float = 10.0, **model: Any) -> None:
        self.now = 0.0
        self._pool = PredictorPool(timeout, lambda: self.now)
        self.predictor: Predictor = self._pool.predictor(ServedModel("tensorflow-serving", server.url, "m", **model))

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def predict(self, rows: Floats = ROWS) -> Prediction:
        return await self.predictor.predict(rows)


async def asked(server: TensorFlowServer, rows: Floats = ROWS, **how: Any) -> Prediction:
    async with Asking(server, **how) as asking:
        return await asking.predict(rows)


async def refused(server: TensorFlowServer, **how: Any) -> PredictorError:
    with pytest.raises(PredictorError) as caught:
        await asked(server, **how)
    return caught.value


def told(answers: dict[str, Any], name: str = "m", **model: Any) -> tuple[Predictor, list[str]]:
    """A predictor whose server has these answers by path, else 404; and the paths that it was asked for."""
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        found = answers.get(request.url.path)
        if found is None:
            return httpx.Response(404, json={"error": "Servable not found"})
        return httpx.Response(200, text=found if isinstance(found, str) else json.dumps(found))

    pool = PredictorPool(5.0, lambda: 0.0, httpx.MockTransport(handler))
    return pool.predictor(ServedModel("tensorflow-serving", "http://s:8501", name, **model)), paths


# --- the wire ---------------------------------------------------------------------------------------------------------


async def test_the_session_of_the_documentation() -> None:
    predictor, _ = told(HALF_PLUS_THREE, "half_plus_three", inputs=("cpu",))
    answer = await predictor.predict(np.array([[1.0], [2.0], [5.0]]))
    assert answer.watts.tolist() == [3.5, 4.0, 5.5]
    assert answer.version == "123"


async def test_many_rows_are_one_request_by_rows() -> None:
    with TensorFlowServer({"m": Model(watts)}) as server:
        answer = await asked(server)
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [each.json for each in server.predictions] == [{"instances": ROWS.tolist()}]


async def test_a_signature_is_named() -> None:
    with TensorFlowServer({"m": Model(watts, signatures=("konohana",))}) as server:
        await asked(server, signature="konohana")
    assert server.predictions[0].json == {"signature_name": "konohana", "instances": ROWS.tolist()}


async def test_a_server_that_refuses_rows_is_asked_by_columns_and_from_then_on_at_once() -> None:
    with TensorFlowServer({"m": Model(watts, forms=("column",))}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            answer = await asking.predict()
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [list(each.json) for each in server.predictions] == [["instances"], ["inputs"], ["inputs"]]


async def test_of_outputs_with_names_the_one_with_a_number_a_row_counts() -> None:
    with TensorFlowServer({"m": Model(watts, names=("watts", "interval"))}) as server:
        answer = await asked(server)
    assert answer.watts.tolist() == [134.0, 174.0, 240.0]
    assert [list(each.json) for each in server.predictions] == [["instances"], ["inputs"]]


async def test_two_outputs_with_a_number_a_row_are_refused() -> None:
    both = {"outputs": {"a": [[1.0]], "b": [[2.0]]}, "predictions": [{"a": [1.0], "b": [2.0]}]}
    predictor, _ = told({"/v1/models/m/versions/1:predict": both}, version="1")
    with pytest.raises(PredictorError, match=r"2 of its outputs have \('a', 'b'\): choose a signature"):
        await predictor.predict(ROWS[:1])


async def test_more_than_10000_rows_are_several_requests() -> None:
    rows = np.random.default_rng(1).random((10_001, 3))
    with TensorFlowServer({"m": Model(watts)}) as server:
        answer = await asked(server, rows)
    assert answer.watts == pytest.approx(watts(rows), rel=1e-15)
    assert sorted(len(each.json["instances"]) for each in server.predictions) == [1, 10_000]


async def test_a_network_of_a_wao_site_answers_as_its_grid_says(test_data: Path) -> None:
    # the first lines of the file of measured data: model 101 at rest, the second CPU's temperature 0 and 0.25
    rows = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.25], [0.0, 0.0, 0.0, 0.125]])
    with TensorFlowServer({"m": Model(wao_models(test_data)["101"], columns=4)}) as server:
        answer = await asked(server, rows, inputs=COLUMNS)
    assert answer.watts == pytest.approx([73.24, 85.48, 79.36], abs=1e-9)


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_the_available_version_is_asked_for_by_its_number() -> None:
    with TensorFlowServer({"m": Model(watts, version="7")}) as server:
        answer = await asked(server)
    assert answer.version == "7"
    assert [each.path for each in server.asked] == ["/v1/models/m", "/v1/models/m/versions/7:predict"]


async def test_of_several_the_newest_that_is_available_is_asked() -> None:
    states = [
        {"version": "9", "state": "AVAILABLE"},
        {"version": "10", "state": "AVAILABLE"},
        {"version": "11", "state": "LOADING"},
    ]
    answers = {
        "/v1/models/m": {"model_version_status": states},
        "/v1/models/m/versions/10:predict": {"predictions": [[5.0]]},
    }
    predictor, _ = told(answers)
    assert (await predictor.predict(ROWS[:1])).version == "10"


async def test_a_version_that_is_configured_needs_no_state() -> None:
    with TensorFlowServer({"m": Model(watts, version="7")}) as server:
        await asked(server, version="7")
    assert [each.path for each in server.asked] == ["/v1/models/m/versions/7:predict"]


async def test_a_label_is_one_version_for_a_whole_question() -> None:
    with TensorFlowServer({"m": Model(watts, version="7", labels={"stable": "7"})}) as server:
        answer = await asked(server, version="stable")
    assert answer.version == "7"
    assert server.asked[0].path == "/v1/models/m/labels/stable"


async def test_a_server_without_states_is_asked_without_a_version() -> None:
    predictor, paths = told({"/v1/models/m:predict": {"predictions": [[5.0]]}})
    assert (await predictor.predict(ROWS[:1])).version == ""
    assert paths == ["/v1/models/m", "/v1/models/m:predict"]


async def test_a_server_that_tells_other_things_of_a_model_is_asked_without_a_version() -> None:
    # as KServe does, which speaks the same predict
    answers = {"/v1/models/m": {"name": "m", "ready": True}, "/v1/models/m:predict": {"predictions": [5.0]}}
    predictor, _ = told(answers)
    assert (await predictor.predict(ROWS[:1])).watts.tolist() == [5.0]


async def test_no_version_that_is_available_is_an_error_in_the_servers_words() -> None:
    status = {"error_code": "INTERNAL", "error_message": "disk full"}
    predictor, _ = told(
        {"/v1/models/m": {"model_version_status": [{"version": "1", "state": "END", "status": status}]}}
    )
    with pytest.raises(PredictorError, match="no version of it is available: 1 is END disk full") as caught:
        await predictor.predict(ROWS)
    assert caught.value.kind == "state"


async def test_the_state_is_read_once_a_minute() -> None:
    with TensorFlowServer({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            for asking.now in (0.0, 30.0, 59.0, 60.0):
                await asking.predict()
    assert [each.method for each in server.asked] == ["GET", "POST", "POST", "POST", "GET", "POST"]


async def test_a_version_that_was_replaced_gives_the_question_to_its_successor() -> None:
    with TensorFlowServer({"m": Model(watts)}) as server:
        async with Asking(server) as asking:
            await asking.predict()
            server.models["m"].version = "2"
            answer = await asking.predict()
    assert (answer.version, answer.watts.tolist()) == ("2", [134.0, 174.0, 240.0])


async def test_a_version_that_is_replaced_in_mid_flight_gives_no_mixed_answer() -> None:
    rows = np.random.default_rng(1).random((80_000, 3))
    with TensorFlowServer({"m": Model(watts)}) as server:
        server.faults.changes_after = 2
        answer = await asked(server, rows)
    assert answer.version == "2"
    assert server.rows >= len(rows) + 20_000


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_model_that_is_not_served_is_named() -> None:
    with TensorFlowServer({"other": Model(watts)}) as server:
        error = await refused(server)
    assert (error.kind, "Servable not found for request: Latest(m)" in str(error)) == ("http-404", True)


async def test_a_wrong_signature_is_told_in_the_servers_words() -> None:
    with TensorFlowServer({"m": Model(watts, signatures=("konohana",))}) as server:
        error = await refused(server)
    assert (error.kind, '"serving_default" not found in signature def' in str(error)) == ("http-400", True)


async def test_a_model_with_other_columns_is_told_in_the_servers_words() -> None:
    with TensorFlowServer({"m": Model(watts, columns=4)}) as server:
        assert "size-incompatible" in str(await refused(server))


async def test_a_server_that_fails_or_never_answers_is_an_error() -> None:
    with TensorFlowServer({"m": Model(watts)}) as server:
        server.faults.status = 500
        assert (await refused(server)).kind == "http-500"
        server.faults.status, server.faults.silent = None, True
        assert (await refused(server, timeout=0.2)).kind == "timeout"


async def test_a_missing_number_is_an_error() -> None:
    with TensorFlowServer({"m": Model(watts)}) as server:
        server.faults.short = True
        assert (await refused(server)).kind == "shape"


@pytest.mark.parametrize("forms", [("row",), ("column",)])
async def test_nan_is_an_answer(forms: tuple[str, ...]) -> None:
    with TensorFlowServer({"m": Model(watts, forms=forms)}) as server:
        server.faults.nan = True
        found = (await asked(server)).watts
    assert math.isnan(found[0])
    assert found[1:].tolist() == [174.0, 240.0]


async def test_infinity_is_no_number() -> None:
    predictor, _ = told({"/v1/models/m/versions/1:predict": '{"predictions": [[-Infinity], [2.0]]}'}, version="1")
    found = (await predictor.predict(ROWS[:2])).watts
    assert math.isnan(found[0])
    assert found[1] == 2.0


@pytest.mark.parametrize("rows", [np.array([[0.1, math.nan, 7.5]]), np.ones((2, 4)), np.ones(3)])
async def test_rows_that_cannot_be_sent_are_the_callers_error(rows: Floats) -> None:
    predictor, paths = told({})
    with pytest.raises(ValueError, match="expected"):
        await predictor.predict(rows)
    assert paths == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("", "malformed"),
        ("[1.0]", "malformed"),
        ("{}", "malformed"),
        ('{"predictions": 5.0}', "malformed"),
        ('{"predictions": null}', "malformed"),
        ('{"predictions": ["5.0"]}', "malformed"),
        ('{"predictions": []}', "shape"),
        ('{"predictions": [[1.0, 2.0]]}', "shape"),
        ('{"predictions": [{"a": 1.0}], "outputs": {}}', "shape"),
        ('{"predictions": [{"a": 1.0}], "outputs": {"a": "x"}}', "malformed"),
    ],
)
async def test_other_answers_are_refused(answer: str, kind: str) -> None:
    predictor, _ = told({"/v1/models/m/versions/1:predict": answer}, version="1")
    with pytest.raises(PredictorError) as caught:
        await predictor.predict(ROWS[:1])
    assert caught.value.kind == kind


@pytest.mark.parametrize("state", ["", "[]", '{"model_version_status": [{}]}', '{"model_version_status": "x"}'])
async def test_a_state_that_is_none_is_refused(state: str) -> None:
    predictor, _ = told({"/v1/models/m": state})
    with pytest.raises(PredictorError, match="expected the state of its versions"):
        await predictor.predict(ROWS)


def test_all_networks_are_known_at_every_point_of_their_grid(test_data: Path) -> None:
    models = wao_models(test_data)
    assert len(models) == 105
    assert all(np.isfinite(each.grid).all() for each in models.values())
