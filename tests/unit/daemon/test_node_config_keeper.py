"""The keeper of NodeConfigs: what it does when the cluster has them, has them not, changes them, or does not answer."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from peaks_scheduler.daemon.keepers.node_configs import PATHS, SAID_BY, NodeConfigKeeper
from peaks_scheduler.errors import Forbidden, KubeError, NotFound, Unavailable
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.predictors import PredictorSettings
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import node
from tests.support.daemon_stage import until
from tests.support.node_configs import INFER, endpoint, node_config, spec, template

CONFIGS, TEMPLATES, FORMER_CONFIGS, _ = PATHS
SECRET = "/api/v1/namespaces/wao-system/secrets/"


def secret(user: str = "admin", password: str = "hunter2") -> dict[str, Any]:
    pair = {"username": user, "password": password}
    return {"kind": "Secret", "data": {k: base64.b64encode(v.encode()).decode() for k, v in pair.items()}}


class Cluster:
    """An API server with these lists and objects by path; what it does not have is not found."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers, self.asked, self.now = dict(answers), Counter[str](), 1_000.0

    async def list_objects(self, path: str, field_selector: str = "") -> list[Any]:
        found: list[Any] = self._answer(path)
        return found

    async def get_json(self, path: str, query: Mapping[str, str]) -> Any:
        return self._answer(path)

    def _answer(self, path: str) -> Any:
        self.asked[path] += 1
        answer = self.answers.get(path, NotFound("not found", 404))
        if isinstance(answer, Exception):
            raise answer
        return answer


def ledger_of(*names: str) -> Ledger:
    ledger = Ledger(ours="Peaks")
    for name in names:
        ledger.observe_node(node(name))
    return ledger


def keeper_of(
    cluster: Cluster, ledger: Ledger, bmc: httpx.MockTransport | None = None, **settings: Any
) -> NodeConfigKeeper:
    asked = Settings(predictors=PredictorSettings(**settings))
    return NodeConfigKeeper(asked, cluster, ledger, None, lambda: cluster.now, bmc)


def machine(keeper: NodeConfigKeeper, ledger: Ledger, name: str = "worker-0") -> Node:
    return next(each for each in ledger.nodes() if each.name == name)


def said(keeper: NodeConfigKeeper) -> dict[str, float]:
    (gauge,) = keeper.gauges()
    return {labels[0]: value for labels, value in gauge.rows() if value}


# --- objects ----------------------------------------------------------------------------------------------------------


async def test_node_configs_of_the_cluster_assign_models_and_changes_are_seen() -> None:
    cluster, ledger = (
        Cluster({CONFIGS: [node_config("a", spec("worker-0", inlet=endpoint("Fake")))]}),
        ledger_of("worker-0"),
    )
    keeper = keeper_of(cluster, ledger)
    await keeper.once()
    found = keeper.assignments.of(machine(keeper, ledger))
    assert found is not None
    assert found.model.model == "myModel"
    changed = endpoint("V2InferenceProtocol", INFER.replace("myModel", "other"))
    cluster.answers[CONFIGS] = [node_config("a", spec("worker-0", inlet=endpoint("Fake"), power=changed))]
    cluster.now += 15.0
    await keeper.once()
    found = keeper.assignments.of(machine(keeper, ledger))
    assert found is not None
    assert found.model.model == "other"


async def test_where_models_are_said_is_counted() -> None:
    objects = {
        CONFIGS: [node_config("a", spec("worker-0", inlet=endpoint("Fake")))],
        TEMPLATES: [
            template("t", {"kubernetes.io/hostname": "worker-1"}, spec(inlet=endpoint("Fake"), power=endpoint("Fake")))
        ],
    }
    keeper = keeper_of(Cluster(objects), ledger_of("worker-0", "worker-1", "worker-2"))
    await keeper.once()
    assert said(keeper) == {"node-config": 1, "trouble": 1, "nobody": 1}
    assert set(said(keeper)) <= set(SAID_BY)


async def test_a_cluster_without_the_kinds_is_quiet_and_asked_again_after_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cluster = Cluster({})
    keeper = keeper_of(cluster, ledger_of("worker-0"))
    for _ in range(20):
        await keeper.once()
        cluster.now += 15.0
    assert cluster.asked == dict.fromkeys(PATHS, 1)
    cluster.now = 1_000.0 + 300.0
    await keeper.once()
    assert cluster.asked == dict.fromkeys(PATHS, 2)
    assert keeper.health().text == ""
    assert not [each for each in caplog.records if each.levelno > logging.INFO]
    assert caplog.messages.count("the cluster has no such kind") == len(PATHS)


async def test_a_missing_right_is_quiet_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keeper = keeper_of(Cluster(dict.fromkeys(PATHS, Forbidden("no", 403))), ledger_of("worker-0"))
    await keeper.once()
    assert keeper.health().text == ""
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


@pytest.mark.parametrize("error", [Unavailable("down", 503), Forbidden("token", 401), Forbidden("no", 403)])
async def test_while_a_list_fails_the_last_objects_count_and_the_check_says_so(error: KubeError) -> None:
    cluster = Cluster({CONFIGS: [node_config("a", spec("worker-0", inlet=endpoint("Fake")))]})
    ledger = ledger_of("worker-0")
    keeper = keeper_of(cluster, ledger)
    await keeper.once()
    cluster.answers[CONFIGS] = error
    cluster.now += 15.0
    await keeper.once()
    assert keeper.assignments.of(machine(keeper, ledger)) is not None
    assert "nodeconfigs.node.waok8s.github.io cannot be listed" in keeper.health().text


async def test_when_the_kind_is_removed_its_objects_are_gone() -> None:
    cluster, ledger = Cluster({CONFIGS: [node_config("a", spec("worker-0"))]}), ledger_of("worker-0")
    keeper = keeper_of(cluster, ledger)
    await keeper.once()
    del cluster.answers[CONFIGS]
    cluster.now += 15.0
    await keeper.once()
    assert keeper.assignments.of(machine(keeper, ledger)) is None


async def test_objects_that_are_wrong_are_named_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster({CONFIGS: [node_config("a", spec("worker-0", inlet=endpoint("Fake"), power=endpoint("Fake")))]})
    keeper = keeper_of(cluster, ledger_of("worker-0"))
    for _ in range(3):
        await keeper.once()
        cluster.now += 15.0
    assert "NodeConfig a: type Fake predicts 3.14 W whatever runs there" in keeper.health().text
    assert caplog.messages.count("models or sensors of nodes are said wrongly") == 1


async def test_switched_off_it_asks_nothing() -> None:
    cluster = Cluster({})
    keeper = keeper_of(cluster, ledger_of("worker-0"), node_configs=False)
    await keeper.once()
    assert not cluster.asked


# --- secrets ----------------------------------------------------------------------------------------------------------

WITH_SECRET = spec("worker-0", inlet=endpoint("Redfish", "http://10.0.0.100", secret="bmc"), power=None)


async def test_a_secret_gives_the_sensors_their_password_and_is_read_seldom() -> None:
    cluster, ledger = (
        Cluster({CONFIGS: [node_config("a", WITH_SECRET)], f"{SECRET}bmc": secret()}),
        ledger_of("worker-0"),
    )
    keeper = keeper_of(cluster, ledger)
    for _ in range(30):
        await keeper.once()
        cluster.now += 15.0
    found = keeper.configured.inlet(machine(keeper, ledger))
    assert found is not None
    assert found.access.basic == ("admin", "hunter2")
    assert cluster.asked[f"{SECRET}bmc"] == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(NotFound("x", 404), "it does not exist", id="missing"),
        pytest.param(Forbidden("x", 403), "manifests/samples/wao-secrets.yaml", id="no right"),
        pytest.param(Unavailable("x", 503), "it could not be read (Unavailable)", id="no answer"),
        pytest.param({"kind": "Secret"}, "expected username and password", id="empty"),
        pytest.param({"data": {"username": "YQ==", "password": "%%"}}, "expected username and password", id="base64"),
        pytest.param(secret("a:b"), "without a colon", id="colon"),
        pytest.param(secret(password="two\nlines"), "expected username and password", id="two lines"),
    ],
)
async def test_a_secret_that_gives_no_password_is_named_and_its_server_not_asked(answer: Any, words: str) -> None:
    cluster, ledger = Cluster({CONFIGS: [node_config("a", WITH_SECRET)], f"{SECRET}bmc": answer}), ledger_of("worker-0")
    keeper = keeper_of(cluster, ledger)
    await keeper.once()
    assert words in keeper.health().text
    assert keeper.configured.inlet(machine(keeper, ledger)) is None


async def test_a_secret_counts_while_the_api_server_does_not_answer() -> None:
    cluster, ledger = (
        Cluster({CONFIGS: [node_config("a", WITH_SECRET)], f"{SECRET}bmc": secret()}),
        ledger_of("worker-0"),
    )
    keeper = keeper_of(cluster, ledger)
    await keeper.once()
    cluster.answers[f"{SECRET}bmc"] = Unavailable("x", 503)
    cluster.now += 700.0
    await keeper.once()
    assert cluster.asked[f"{SECRET}bmc"] == 2
    assert keeper.configured.inlet(machine(keeper, ledger)) is not None


async def test_a_name_that_no_secret_can_have_is_not_asked_for() -> None:
    odd = spec("worker-0", inlet=endpoint("Redfish", "http://10.0.0.100", secret="../pods/x"), power=None)
    cluster = Cluster({CONFIGS: [node_config("a", odd)]})
    keeper = keeper_of(cluster, ledger_of("worker-0"))
    await keeper.once()
    assert "no Secret can have this name" in keeper.health().text
    assert cluster.asked.keys() == set(PATHS)


async def test_no_password_is_in_the_log_or_in_the_check(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cluster = Cluster({CONFIGS: [node_config("a", WITH_SECRET)], f"{SECRET}bmc": secret()})
    keeper = keeper_of(cluster, ledger_of("worker-0"))
    await keeper.once()
    assert "hunter2" not in caplog.text + keeper.health().text + repr(vars(keeper)["_secrets"])


# --- sensors and models of BMCs ---------------------------------------------------------------------------------------


async def test_the_sensors_of_node_configs_are_read() -> None:
    def bmc(request: httpx.Request) -> httpx.Response:
        wanted = request.url.path.endswith("SystemBoardInletTemp")
        return httpx.Response(200, json={"Reading": 23}) if wanted else httpx.Response(404)

    whole = spec("worker-0", inlet=endpoint("Redfish", "http://10.0.0.100"), pressure=endpoint("Fake"), power=None)
    cluster, ledger = Cluster({CONFIGS: [node_config("a", whole)]}), ledger_of("worker-0", "worker-1")
    keeper = keeper_of(cluster, ledger, httpx.MockTransport(bmc))
    await keeper.once()
    read = [(await source.fetch(list(ledger.nodes()))).by_node for source in keeper.sensor_sources]
    values = {
        s: r.value for each in read for name, signals in each.items() for s, r in signals.items() if name == "worker-0"
    }
    assert values == {"inlet": 23.0, "deltaP": 7.5}
    # a constant is no frozen sensor
    assert [each["worker-0"][s].constant for each in read for s in each.get("worker-0", {})] == [False, True]
    assert not any("worker-1" in each for each in read)
    await keeper.aclose()


TREE = {
    "/redfish/v1/Systems": {"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]},
    "/redfish/v1/Systems/1/MachineLearningModel": {
        "PowerConsumptionModel": {
            "Name": "m",
            "Url": "http://10.0.0.20",
            "Type": "V2InferenceProtocol",
            "Version": "1",
        }
    },
}


async def test_a_bmc_names_the_model() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=TREE[request.url.path]))
    whole = spec("worker-0", inlet=endpoint("Fake"), power=None, bmc=endpoint("Redfish", "http://10.0.0.100"))
    cluster, ledger = Cluster({FORMER_CONFIGS: [node_config("a", whole, "wao.bitmedia.co.jp")]}), ledger_of("worker-0")
    keeper = keeper_of(cluster, ledger, transport)
    await keeper.once()
    assert (keeper.assignments.of(machine(keeper, ledger)), keeper.health().text) == (None, "")
    await keeper.look_at_addresses()
    await keeper.once()
    found = keeper.assignments.of(machine(keeper, ledger))
    assert found is not None
    assert (found.model.url, found.model.model, found.model.version) == ("http://10.0.0.20", "m", "1")
    assert keeper.health().text == ""


async def test_its_tasks_do_all_that_without_being_asked_once_the_nodes_are_known() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=TREE[request.url.path]))
    bmc = endpoint("Redfish", "http://10.0.0.100", secret="bmc")
    whole = spec("worker-0", inlet=endpoint("Fake"), power=None, bmc=bmc)
    cluster, ledger = Cluster({CONFIGS: [node_config("a", whole)], f"{SECRET}bmc": secret()}), ledger_of("worker-0")
    known = asyncio.Event()
    keeper = NodeConfigKeeper(Settings(), cluster, ledger, known, lambda: cluster.now, transport)
    tasks = [asyncio.create_task(work, name=name) for name, work in keeper.tasks().items()]
    await asyncio.sleep(0)
    assert not cluster.asked
    known.set()
    await until(lambda: keeper.assignments.of(machine(keeper, ledger)) is not None)
    for task in tasks:
        task.cancel()
    assert {task.get_name() for task in tasks} == {"node-configs", "model-addresses"}
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_error_that_nobody_expected_ends_no_task(caplog: pytest.LogCaptureFixture) -> None:
    cluster, ledger = Cluster({CONFIGS: ZeroDivisionError("a bug")}), ledger_of("worker-0")
    keeper = keeper_of(cluster, ledger)
    tasks = [asyncio.create_task(work) for work in keeper.tasks().values()]
    await until(lambda: "NodeConfigs not understood" in caplog.messages)
    assert "not understood: ZeroDivisionError('a bug')" in keeper.health().text
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
