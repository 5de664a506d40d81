"""What NodeConfigs say is read once, with what they refer to; whatever is missing or hangs is told in words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import pytest

from peaks_scheduler.errors import Forbidden, NotFound, Unavailable
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.settings.predictors import PredictorSettings
from peaks_scheduler.sources.predictors.assignments import Assignments
from peaks_scheduler.sources.predictors.said_in_cluster import said_in_cluster
from tests.support.builders import node

Json = dict[str, Any]
NEW, OLD = "node.waok8s.github.io", "wao.bitmedia.co.jp"
NODE = node_from_api(node("a"))
SETTINGS = PredictorSettings()


def config(endpoint: str = "http://inference/v2/models/m/infer", secret: str = "", name: str = "a") -> Json:
    """As the API server lists it: without kind and apiVersion."""
    term: Json = {"type": "V2InferenceProtocol", "endpoint": endpoint}
    if secret:
        term["basicAuthSecret"] = {"name": secret}
    fake = {"type": "Fake", "endpoint": ""}
    spec = {
        "nodeName": "a",
        "metricsCollector": {"inletTemp": fake, "deltaP": fake},
        "predictor": {"powerConsumption": term},
    }
    return {"metadata": {"name": name, "namespace": "wao-system"}, "spec": spec}


class Api:
    """Answers by path; every other path is not found."""

    def __init__(self, **lists: Any) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        for group, items in lists.items():
            group = {"new": NEW, "old": OLD}[group]
            path = f"/apis/{group}/v1beta1/namespaces/wao-system/nodeconfigs"
            self.answers[path] = items if isinstance(items, Exception) else {"items": items, "metadata": {}}

    def secret(self, answer: Any) -> Api:
        self.answers["/api/v1/namespaces/wao-system/secrets/s"] = answer
        return self

    async def __call__(self, path: str, query: Mapping[str, str]) -> Any:
        self.asked.append(path)
        found = self.answers.get(path)
        if found is None:
            raise NotFound("HTTP 404")
        if isinstance(found, Exception):
            raise found
        return found


def encoded(**texts: str) -> Json:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}}


async def told(api: Api, settings: PredictorSettings = SETTINGS) -> tuple[str, str, tuple[str, ...]]:
    """(URL of the node's model, what is wrong with the node's, what is wrong as a whole)"""
    configured, troubles = await said_in_cluster(settings, api, [NODE], 5.0)
    assignments = Assignments(settings, configured)
    found = assignments.of(NODE)
    return found.model.url if found else "", assignments.trouble("a"), troubles


@pytest.mark.parametrize("group", ["new", "old"])
async def test_objects_of_both_groups_are_read(group: str) -> None:
    assert await told(Api(**{group: [config()]})) == ("http://inference", "", ())


async def test_a_cluster_without_these_kinds_is_as_usual_as_one_with_them() -> None:
    assert await told(Api()) == ("", "", ())


async def test_an_account_without_the_right_is_no_trouble() -> None:
    assert await told(Api(new=Forbidden("HTTP 403"))) == ("", "", ())


async def test_a_list_that_fails_is_told() -> None:
    *_, troubles = await told(Api(new=Unavailable("HTTP 503")))
    assert troubles == ("nodeconfigs.node.waok8s.github.io cannot be listed: HTTP 503",)


async def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    class Pages(Api):
        async def __call__(self, path: str, query: Mapping[str, str]) -> Any:
            if "continue" in query or not path.endswith(f"{NEW}/v1beta1/namespaces/wao-system/nodeconfigs"):
                return await super().__call__(path, query)
            return {"items": [], "metadata": {"continue": "more"}}

    assert (await told(Pages(new=[config()])))[0] == "http://inference"


async def test_switched_off_it_asks_nothing() -> None:
    api = Api(new=[config()])
    assert await told(api, PredictorSettings(node_configs=False)) == ("", "", ())
    assert api.asked == []


async def test_user_and_password_come_from_the_secret() -> None:
    api = Api(new=[config(secret="s")]).secret(encoded(username="me", password="hush"))
    configured, _ = await said_in_cluster(SETTINGS, api, [NODE], 5.0)
    found = Assignments(SETTINGS, configured).of(NODE)
    assert found is not None
    assert found.model.access.basic == ("me", "hush")
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "it does not exist"),
        (Forbidden("HTTP 403"), "it may not be read"),
        (Unavailable("HTTP 503"), "it could not be read (Unavailable)"),
        (encoded(username="me"), "expected username and password in it"),
        (encoded(username="m:e", password="hush"), "expected a username without a colon"),
        ({"data": {"username": "%%", "password": 3}}, "expected username and password in it"),
        ({"data": "no mapping"}, "expected username and password in it"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_named_without_a_word_of_it(answer: Any, why: str) -> None:
    url, trouble, _ = await told(Api(new=[config(secret="s")]).secret(answer))
    assert url == ""
    assert f"Secret wao-system/s: {why}" in trouble
    assert "hush" not in trouble


async def test_a_name_that_no_secret_can_have_is_not_put_into_a_path() -> None:
    api = Api(new=[config(secret="../../x")])
    _, trouble, _ = await told(api)
    assert "no Secret can have this name" in trouble
    assert not any("secrets" in path for path in api.asked)


async def test_an_api_server_that_hangs_is_told_within_the_limit() -> None:
    async def hangs(path: str, query: Mapping[str, str]) -> Any:
        await asyncio.Event().wait()

    _, troubles = await said_in_cluster(SETTINGS, hangs, [NODE], 0.01)
    assert troubles == ("NodeConfigs: expected them, their secrets and models within 0.01 s; not all came",)
