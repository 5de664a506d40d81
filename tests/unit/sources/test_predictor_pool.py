"""Which models share a predictor, which predictors share a connection, and that one server never waits for another."""

import asyncio
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pytest

from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import Access, ServedModel
from peaks_scheduler.sources.predictors.factory import PredictorPool
from tests.support.virtual_time import now, run_virtually

ROWS = np.array([[0.1, 22.0, 7.5], [0.5, 22.0, 7.5]])
BATCH = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}


def model(**fields: Any) -> ServedModel:
    return ServedModel(**{"protocol": "v2", "url": "http://a:8080", "model": "m", **fields})


class Servers:
    """Every host answers, but ``dead`` never does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.host}{request.url.path}")
        if request.url.host == "dead":
            await asyncio.sleep(3600.0)
        return httpx.Response(200, json=BATCH if request.method == "GET" else {"outputs": [{"data": [1.0, 2.0]}]})


def pool(servers: Servers) -> PredictorPool:
    return PredictorPool(5.0, now, httpx.MockTransport(servers))


def test_equal_models_share_a_predictor() -> None:
    one = pool(Servers())
    assert one.predictor(model()) is one.predictor(model())


@pytest.mark.parametrize(
    "other",
    [
        model(ranges={"inlet": (10.0, 40.0)}),
        model(ranges=MappingProxyType({"cpu": (0.0, 1.0)})),
        model(url="http://a:8080/"),
    ],
)
def test_what_is_not_on_the_wire_makes_no_other_predictor(other: ServedModel) -> None:
    one = pool(Servers())
    assert one.predictor(other) is one.predictor(model())


@pytest.mark.parametrize(
    "other",
    [
        model(protocol="tensorflow-serving"),
        model(url="http://b:8080"),
        model(model="n"),
        model(version="2"),
        model(signature="s"),
        model(inputs=("cpu", "inlet")),
        model(cpu="percent"),
        model(access=Access(token_file="/token")),
        model(access=Access(basic=("a", "b"))),
    ],
)
def test_what_is_on_the_wire_makes_another(other: ServedModel) -> None:
    one = pool(Servers())
    assert one.predictor(other) is not one.predictor(model())


def test_a_predictor_knows_its_model() -> None:
    assert pool(Servers()).predictor(model(model="fujitsu")).model == model(model="fujitsu")


def test_nodes_that_share_a_model_read_its_metadata_once() -> None:
    servers = Servers()

    async def scenario() -> None:
        one = pool(servers)
        for low in range(3):
            await one.predictor(model(ranges={"inlet": (float(low), 40.0)})).predict(ROWS)

    run_virtually(scenario())
    assert servers.asked == ["GET a/v2/models/m", *(["POST a/v2/models/m/infer"] * 3)]


def test_a_model_that_no_node_has_any_more_is_forgotten() -> None:
    servers = Servers()

    async def scenario() -> None:
        one = pool(servers)
        await one.predictor(model()).predict(ROWS)
        await one.retain([model(url="http://b:8080")])
        await one.predictor(model()).predict(ROWS)

    run_virtually(scenario())
    assert servers.asked.count("GET a/v2/models/m") == 2


def test_a_model_that_a_node_still_has_is_kept_whatever_its_ranges() -> None:
    async def scenario() -> bool:
        one = pool(Servers())
        kept = one.predictor(model())
        await one.retain([model(ranges={"inlet": (1.0, 2.0)})])
        return one.predictor(model()) is kept

    assert run_virtually(scenario())


def test_a_connection_is_closed_only_when_no_model_of_its_server_is_left() -> None:
    async def scenario() -> str:
        one = pool(Servers())
        first, second = one.predictor(model(model="x")), one.predictor(model(model="y"))
        await one.retain([model(model="y")])
        await second.predict(ROWS)
        await one.aclose()
        with pytest.raises(PredictorError) as caught:
            await first.predict(ROWS)
        return caught.value.kind

    assert run_virtually(scenario()) == "closed"


def test_a_server_that_never_answers_does_not_delay_another() -> None:
    async def scenario() -> float:
        one = pool(Servers())
        dead = [
            asyncio.create_task(one.predictor(model(url="http://dead", model=f"{i}")).predict(ROWS)) for i in range(50)
        ]
        begun = now()
        await asyncio.gather(*(one.predictor(model(url=f"http://s{i}")).predict(ROWS) for i in range(50)))
        took = now() - begun
        await asyncio.gather(*dead, return_exceptions=True)
        return took

    assert run_virtually(scenario()) == 0.0


def test_many_models_of_a_dead_server_cost_one_time_limit() -> None:
    """Eight at once run into it; then the server is known to be dead, and the others are told so."""

    async def scenario() -> float:
        one, begun = pool(Servers()), now()
        questions = (one.predictor(model(url="http://dead", model=f"{i}")).predict(ROWS) for i in range(200))
        answers = await asyncio.gather(*questions, return_exceptions=True)
        assert all(isinstance(each, PredictorError) and each.kind == "timeout" for each in answers)
        return now() - begun

    assert run_virtually(scenario()) == pytest.approx(5.0)
