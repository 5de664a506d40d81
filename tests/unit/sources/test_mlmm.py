"""A BMC that tells which model predicts its node. Paths and members are those of WAO's client and of NEDO's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.sources.predictors.mlmm import ModelAddresses
from peaks_scheduler.sources.predictors.node_configs import Term
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint

SYSTEMS, MODEL = "/redfish/v1/Systems", "/redfish/v1/Systems/System.Embedded.1/MachineLearningModel"
POWER = {"Name": "hoge-pc-01", "Url": "http://10.0.0.20:8080/", "Type": "V2InferenceProtocol", "Version": "v0.1.0"}
TREE = {
    SYSTEMS: {"Members": [{"@odata.id": "/redfish/v1/Systems/System.Embedded.1"}]},
    MODEL: {"Name": "Machine Learning Model", "PowerConsumptionModel": POWER, "ResponseTimeModel": {"Name": "x"}},
}
BMC = NodeEndpoint("http://10.0.0.100", Access())


class Server:
    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.tree, self.asked, self.now = dict(tree), Counter[str](), 1_000.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked[request.url.path] += 1
        found = self.tree.get(request.url.path)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    def addresses(self) -> ModelAddresses:
        return ModelAddresses(5.0, lambda: self.now, httpx.MockTransport(self))


async def told(tree: Mapping[str, Any]) -> Term | str:
    return (await Server(tree).addresses().refresh([BMC]))[BMC]


@pytest.mark.parametrize(
    ("model", "url"),
    [
        (POWER, "http://10.0.0.20:8080/v2/models/hoge-pc-01/versions/v0.1.0/infer"),
        (POWER | {"Version": None}, "http://10.0.0.20:8080/v2/models/hoge-pc-01/infer"),
        (POWER | {"Name": "a b"}, "http://10.0.0.20:8080/v2/models/a%20b/versions/v0.1.0/infer"),
    ],
)
async def test_the_bmc_tells_where_the_model_is(model: dict[str, Any], url: str) -> None:
    assert await told(TREE | {MODEL: {"PowerConsumptionModel": model}}) == Term("V2InferenceProtocol", url)


async def test_members_in_small_letters_count_too() -> None:
    tree = {SYSTEMS: {"members": [{"@odata.id": "/redfish/v1/Systems/System.Embedded.1/"}]}, MODEL: TREE[MODEL]}
    assert isinstance(await told(tree), Term)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({}, "expected a system under /redfish/v1/Systems"),
        ({SYSTEMS: {"Members": [{"@odata.id": "//evil.example/x"}]}}, "expected a system"),
        ({SYSTEMS: TREE[SYSTEMS]}, "expected /redfish/v1/Systems/System.Embedded.1/MachineLearningModel"),
        (TREE | {MODEL: {}}, "expected a PowerConsumptionModel with Type, Url and Name"),
        (TREE | {MODEL: {"PowerConsumptionModel": POWER | {"Url": 5}}}, "expected a PowerConsumptionModel"),
        (TREE | {MODEL: {"PowerConsumptionModel": POWER | {"Version": 1}}}, "whose Version is text"),
    ],
)
async def test_a_bmc_that_tells_nothing_usable_is_named(tree: dict[str, Any], words: str) -> None:
    found = await told(tree)
    assert isinstance(found, str)
    assert words in found


async def test_an_answer_counts_for_ten_minutes_without_being_asked_for_again() -> None:
    server = Server(TREE)
    addresses = server.addresses()
    for now in (1_000.0, 1_015.0, 1_599.0, 1_600.0):
        server.now = now
        await addresses.refresh([BMC])
    assert server.asked[MODEL] == 2


async def test_what_was_said_last_counts_while_the_bmc_fails_and_the_failure_is_named() -> None:
    server = Server(TREE)
    addresses = server.addresses()
    await addresses.refresh([BMC])
    server.tree, server.now = {}, 2_000.0
    assert isinstance((await addresses.refresh([BMC]))[BMC], Term)
    assert "expected a system" in addresses.troubles[BMC.url]
    server.tree, server.now = dict(TREE), 2_060.0
    await addresses.refresh([BMC])
    assert not addresses.troubles


async def test_a_bmc_that_is_not_wanted_any_more_is_forgotten() -> None:
    addresses = Server(TREE).addresses()
    await addresses.refresh([BMC])
    assert await addresses.refresh([]) == {}


async def test_a_bmc_whose_address_cannot_be_used_costs_the_others_nothing() -> None:
    odd = NodeEndpoint("http://xn--a", Access())
    found = await Server(TREE).addresses().refresh([odd, BMC])
    assert isinstance(found[BMC], Term)
    assert "check" in str(found[odd])
