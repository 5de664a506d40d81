"""Which model predicts a node, out of the four places that can say it."""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.settings.predictors import Access, PredictorSettings, ServedModel, ServerRule
from peaks_scheduler.sources.predictors.assignments import Assignments
from peaks_scheduler.sources.predictors.configured import Configured
from peaks_scheduler.sources.predictors.node_configs import NodeConfigs, Term
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from tests.support.builders import node
from tests.support.node_configs import BMC, INFER, endpoint, node_config, spec, template
from tests.unit.sources.test_node_model_labels import LABELS

OURS = ServedModel("v2", "http://ours.example:8080", "ours")
PROVIDER = endpoint("Redfish", "https://10.0.0.100")


def machine(name: str = "worker-0", **labels: str) -> Node:
    return node_from_api(node(name, labels=labels))


def configured(*objects: dict[str, Any], tls: Access | None = None) -> Configured:
    found = Configured(tls)
    found.set_configs(NodeConfigs(objects))
    return found


def assigned(
    configs: Configured | None = None, of: Node | None = None, **settings: Any
) -> tuple[str, str | None, str | None]:
    """What said it, URL and name of the model, or the trouble."""
    assignments, asked = Assignments(PredictorSettings(**settings), configs), of or machine()
    found = assignments.of(asked)
    if found is None:
        return assignments.troubles().get(asked.name, ""), None, None
    return found.said_by, found.model.url, found.model.model


# --- the order --------------------------------------------------------------------------------------------------------


def test_our_own_configuration_counts_before_everything() -> None:
    rules = (ServerRule(OURS, selector={"rack": "r1"}),)
    configs = configured(node_config("a", spec("worker-0")))
    labels = {**LABELS, "rack": "r1"}
    assert assigned(configs, machine(**labels), servers=rules)[0] == "predictors.servers[0]"
    assert assigned(configs, machine(**LABELS), servers=rules)[0] == "NodeConfig a"


def test_the_first_rule_that_means_a_node_counts() -> None:
    other = ServedModel("v2", "http://other.example", "other")
    rules = (
        ServerRule(other, nodes=("worker-9",)),
        ServerRule(OURS, nodes=("worker-0",)),
        ServerRule(other, selector={}),
    )
    assert assigned(servers=rules) == ("predictors.servers[1]", OURS.url, "ours")


def test_then_a_node_config_then_a_template_then_the_labels() -> None:
    both = (template("t", {"kind": "x"}, spec()), node_config("a", spec("worker-1")))
    configs = configured(*both)
    asked = {name: assigned(configs, machine(name, **LABELS, kind=kind))[0] for name, kind in CASES}
    assert asked == {
        "worker-1": "NodeConfig a",
        "worker-2": "NodeConfigTemplate t",
        "worker-3": "labels tensorflow/... (its gRPC port 8500 means REST port 8501)",
    }


CASES = (("worker-1", "x"), ("worker-2", "x"), ("worker-3", "y"))


def test_labels_and_node_configs_can_be_switched_off() -> None:
    configs = configured(node_config("a", spec("worker-0")))
    assert assigned(configs, machine(**LABELS), node_configs=False)[0].startswith("labels")
    assert assigned(configs, machine(**LABELS), node_configs=False, node_labels=False) == ("", None, None)


def test_nobody_says_anything() -> None:
    assert assigned() == ("", None, None)


def test_what_is_said_wrongly_ends_the_search_and_is_named() -> None:
    wrong = configured(node_config("a", spec("worker-0", power=endpoint("V2InferenceProtocol", "http://x/"))))
    trouble, url, _ = assigned(wrong, machine(**LABELS))
    assert trouble.startswith("NodeConfig a: expected an endpoint such as http://HOST:8080/v2/models/")
    assert url is None


def test_a_node_config_for_sensors_alone_leaves_the_labels_their_say() -> None:
    assert assigned(configured(node_config("a", spec("worker-0", power=None))), machine(**LABELS))[0].startswith(
        "labels"
    )


# --- NodeConfigs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "base", "name", "version"),
    [
        (INFER, "http://10.0.0.1:8080", "myModel", "v0.1.0"),
        ("http://h:8080/v2/models/m/infer", "http://h:8080", "m", ""),
        ("https://h/serving/a/v2/models/m/infer", "https://h/serving/a", "m", ""),
        ("http://h/v2/models/a%20b/versions/1", "http://h", "a b", "1"),
    ],
)
def test_the_endpoint_of_a_model_is_taken_apart(url: str, base: str, name: str, version: str) -> None:
    configs = configured(node_config("a", spec("worker-0", power=endpoint("V2InferenceProtocol", url))))
    found = Assignments(PredictorSettings(), configs).of(machine())
    assert found is not None
    assert (found.model.url, found.model.model, found.model.version) == (base, name, version)


def test_a_model_of_a_node_config_gets_cores_inlet_and_differential_pressure_as_waos_default_is() -> None:
    found = Assignments(PredictorSettings(), configured(node_config("a", spec("worker-0")))).of(machine())
    assert found is not None
    assert (found.model.protocol, found.model.inputs, found.model.cpu) == ("v2", ("cpu", "inlet", "deltaP"), "cores")


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (endpoint("Fake"), "type Fake predicts 3.14 W whatever runs there"),
        (endpoint("TensorFlow", INFER), "expected type V2InferenceProtocol or Fake; got 'TensorFlow'"),
        (endpoint("V2InferenceProtocol", "ftp://h/v2/models/m/infer"), "expected an endpoint such as"),
        (endpoint("V2InferenceProtocol", "http://u:hunter2@h/v2/models/m/infer"), "without user and password"),
        (endpoint("V2InferenceProtocol", "http://h/v2/models/a%2Fb/infer"), "expected a name of a model"),
        (endpoint("V2InferenceProtocol", "http://h/v2/models/{{.Unknown}}/infer"), "expected a name of a model"),
    ],
)
def test_an_endpoint_that_is_no_model_is_named(power: dict[str, Any], words: str) -> None:
    trouble, url, _ = assigned(configured(node_config("a", spec("worker-0", power=power))))
    assert words in trouble
    assert url is None
    assert "hunter2" not in trouble


def test_several_node_configs_of_a_node_are_named_though_one_counts() -> None:
    assignments = Assignments(
        PredictorSettings(), configured(node_config("a", spec("worker-0")), node_config("b", spec("worker-0")))
    )
    assert assignments.of(machine()) is not None
    assert assignments.troubles() == {"worker-0": "NodeConfig a counts, and not NodeConfig b for the same node"}


# --- secrets ----------------------------------------------------------------------------------------------------------

WITH_SECRET = spec("worker-0", power=endpoint("V2InferenceProtocol", INFER, secret="predictor-basicauth"))


def test_the_secret_of_a_model_is_held_in_memory_and_never_shown() -> None:
    configs = configured(node_config("a", WITH_SECRET))
    configs.set_secrets({"predictor-basicauth": ("admin", "hunter2")})
    found = Assignments(PredictorSettings(), configs).of(machine())
    assert found is not None
    assert found.model.access.basic == ("admin", "hunter2")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("secrets", "words"),
    [({}, "it was not read yet"), ({"predictor-basicauth": "the right to read it is missing"}, "the right to read it")],
)
def test_a_model_whose_secret_is_not_known_is_not_asked_without_it(secrets: dict[str, str], words: str) -> None:
    configs = configured(node_config("a", WITH_SECRET))
    configs.set_secrets(secrets)
    trouble, url, _ = assigned(configs)
    assert "Secret wao-system/predictor-basicauth" in trouble
    assert words in trouble
    assert url is None


def test_only_secrets_that_are_used_are_wanted() -> None:
    configs = configured(
        template("t", {}, spec(inlet=endpoint("Redfish", "https://h", secret="bmc-{{.Hostname}}"), power=None)),
        node_config("f", spec("worker-9", inlet=endpoint("Fake", secret="unused"), power=None)),
    )
    assert configs.secrets_wanted([machine("worker-1"), machine("worker-9")]) == {"bmc-worker-1"}


def test_how_servers_are_verified_goes_with_every_endpoint() -> None:
    configs = configured(
        node_config("a", spec("worker-0", inlet=endpoint("Redfish", "https://10.0.0.100"))),
        tls=Access(insecure_skip_verify=True),
    )
    found = configs.inlet(machine())
    assert found == NodeEndpoint("https://10.0.0.100", Access(insecure_skip_verify=True))


# --- models that a BMC names ------------------------------------------------------------------------------------------

ON_BMC = node_config("a", spec("worker-0", power=endpoint("", secret="predictor-basicauth"), bmc=PROVIDER))
TOLD = Term("V2InferenceProtocol", "http://10.0.0.20/v2/models/hoge-pc-01/versions/1/infer")
THE_BMC = NodeEndpoint("https://10.0.0.100", Access())


def test_what_a_bmc_tells_overrides_type_and_endpoint_and_keeps_the_secret() -> None:
    configs = configured(ON_BMC)
    configs.set_secrets({"predictor-basicauth": ("admin", "x")})
    assert configs.providers_wanted([machine()]) == [THE_BMC]
    configs.set_models({THE_BMC: TOLD})
    found = Assignments(PredictorSettings(), configs).of(machine())
    assert found is not None
    assert (found.model.url, found.model.model) == ("http://10.0.0.20", "hoge-pc-01")
    assert found.model.access.basic == ("admin", "x")


def test_a_bmc_that_failed_is_named_and_one_that_was_not_asked_yet_is_waited_for() -> None:
    configs = configured(ON_BMC)
    configs.set_secrets({"predictor-basicauth": ("admin", "x")})
    assert assigned(configs, machine(**LABELS)) == ("", None, None)
    configs.set_models({THE_BMC: "BMC at https://10.0.0.100: no whole answer within 5 s"})
    assert assigned(configs)[0] == "NodeConfig a: BMC at https://10.0.0.100: no whole answer within 5 s"


def test_a_fake_bmc_is_no_model() -> None:
    configs = configured(node_config("a", spec("worker-0", power=None, bmc=endpoint("Fake"))))
    assert "type Fake names a server that does not exist" in assigned(configs)[0]


# --- sensors ----------------------------------------------------------------------------------------------------------


def test_sensors_of_a_node_config_are_found_where_their_type_is_known() -> None:
    whole = spec("worker-0", inlet=endpoint("Redfish", "https://10.0.0.100/"), pressure=endpoint("Fake"))
    configs = configured(node_config("a", whole))
    assert configs.inlet(machine()) == THE_BMC
    assert configs.delta_p(machine()) is None
    assert configs.fakes(machine()) == {"deltaP": 7.5}
    assert configs.sensor_trouble(machine()) == ""


@pytest.mark.parametrize(
    ("inlet", "words"),
    [
        (BMC, "Secret wao-system/worker-0-redfish-basicauth: it was not read yet"),
        (endpoint("Ipmi", "https://h"), "inletTemp: expected type Redfish or Fake; got 'Ipmi'"),
        (endpoint("Redfish", "h"), "inletTemp: expected an endpoint such as https://10.0.0.1"),
    ],
)
def test_a_sensor_that_cannot_be_asked_is_named(inlet: dict[str, Any], words: str) -> None:
    configs = configured(node_config("a", spec("worker-0", inlet=inlet)))
    assert configs.inlet(machine()) is None
    assert words in configs.sensor_trouble(machine())


# --- many nodes -------------------------------------------------------------------------------------------------------


def test_nodes_with_one_model_share_it_and_a_change_is_seen() -> None:
    configs = configured(template("t", {}, spec()))
    assignments = Assignments(PredictorSettings(), configs)
    nodes = [machine(f"worker-{i}") for i in range(3)]
    assert len({id(assignments.of(each)) for each in nodes}) == 1
    configs.set_configs(NodeConfigs())
    assert [assignments.of(each) for each in nodes] == [None] * 3


def test_nodes_that_are_gone_are_forgotten() -> None:
    assignments = Assignments(
        PredictorSettings(), configured(node_config("a", spec("worker-0", power=endpoint("Fake"))))
    )
    assignments.of(machine())
    assert assignments.troubles()
    assignments.retain([])
    assert not assignments.troubles()
