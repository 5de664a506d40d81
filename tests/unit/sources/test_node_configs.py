"""NodeConfig and NodeConfigTemplate of WAO 2: what they say about a node, and which of them counts.

The specs have the fields and values of WAO's samples.
"""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.sources.predictors.node_configs import NodeConfigs, Said, Term
from tests.support.builders import node
from tests.support.node_configs import BMC, FORMER, MODEL, PRESENT, endpoint, node_config, spec, template


def machine(name: str = "worker-0", address: str = "10.0.0.7", **labels: str) -> Node:
    raw = node(name, labels=labels)
    raw["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
    return node_from_api(raw)


def said(*objects: dict[str, Any], of: Node | None = None) -> Said:
    found = NodeConfigs(objects).of(of or machine())
    assert found is not None
    return found


@pytest.mark.parametrize("group", [PRESENT, FORMER])
def test_a_node_config_says_the_servers_of_its_node(group: str) -> None:
    terms = said(node_config("worker-0", spec("worker-0"), group)).terms
    assert terms.inlet == Term("Redfish", "https://10.0.0.100", "worker-0-redfish-basicauth", 10.0)
    assert terms.delta_p == Term("DifferentialPressureAPI", "http://10.0.0.1:5000", "", 10.0)
    assert terms.power == Term(
        "V2InferenceProtocol", "http://10.0.0.1:8080/v2/models/myModel/versions/v0.1.0/infer", "", None
    )
    assert terms.provider is None


def test_a_node_without_an_object_has_none() -> None:
    assert NodeConfigs([node_config("x", spec("worker-1"))]).of(machine()) is None


def test_a_template_is_rendered_for_each_node_that_its_selector_means() -> None:
    whole = spec(
        inlet=endpoint("Redfish", "https://10.0.100.{{.IPv4.Octet4}}", secret="redfish-basicauth-{{.Hostname}}"),
        power=None,
        bmc=endpoint("Redfish", "https://10.0.100.{{.IPv4.Octet4}}"),
    )
    configs = NodeConfigs([template("racks", {"hoge": "fuga"}, whole)])
    found = configs.of(machine(hoge="fuga"))
    assert found is not None
    assert found.terms.inlet == Term("Redfish", "https://10.0.100.7", "redfish-basicauth-worker-0")
    assert found.terms.provider == Term("Redfish", "https://10.0.100.7")
    assert configs.of(machine(hoge="other")) is None


def test_a_template_is_rendered_anew_when_the_node_changes() -> None:
    configs = NodeConfigs([template("all", {}, spec(inlet=endpoint("Redfish", "https://{{.IPv4.Address}}")))])
    assert [configs.of(machine(address=a)).terms.inlet.endpoint for a in ("10.0.0.7", "10.0.0.8")] == [  # type: ignore[union-attr]
        "https://10.0.0.7",
        "https://10.0.0.8",
    ]


def test_what_it_says_of_response_times_is_passed_over() -> None:
    """WAO's schema has these two beside the power consumption."""
    whole = spec("worker-0")
    whole["predictor"] |= {"responseTime": endpoint("Fake", ""), "responseTimeEndpointsProvider": endpoint("Fake", "")}
    assert said(node_config("a", whole)).terms.power is not None


def test_a_node_config_counts_before_a_template() -> None:
    found = said(template("all", {}, spec(power=None)), node_config("zz", spec("worker-0")))
    assert found.by == "NodeConfig zz"
    assert found.terms.power is not None


def test_of_several_node_configs_the_first_by_name_counts_and_the_others_are_named() -> None:
    found = said(*(node_config(name, spec("worker-0")) for name in ("c", "a", "b")))
    assert found.remark == "NodeConfig a counts, and not NodeConfig b, NodeConfig c for the same node"


def test_of_two_groups_the_present_one_counts() -> None:
    former, present = spec("worker-0", power=None), spec("worker-0")
    found = said(node_config("a", former, FORMER), node_config("a", present, PRESENT))
    assert found.terms.power is not None
    assert found.others == ("NodeConfig a of wao.bitmedia.co.jp",)


def test_of_several_templates_the_first_by_name_counts_and_the_others_are_named() -> None:
    found = said(template("b", {}, spec()), template("a", {}, spec()))
    assert (found.by, found.others) == ("NodeConfigTemplate a", ("NodeConfigTemplate b",))


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        pytest.param({"nodeName": "worker-0", "predictor": {}}, "metricsCollector is missing", id="no collector"),
        pytest.param(spec("worker-0", inlet={"type": "Redfish"}), "endpoint is missing as inletTemp", id="no endpoint"),
        pytest.param(spec("worker-0", inlet=BMC | {"fetchInterval": "soon"}), "a duration", id="interval"),
        pytest.param(spec("worker-0", power=MODEL | {"model": "x"}), "no key model", id="unknown key"),
        pytest.param(spec("worker-0", power=MODEL | {"endpoint": 5}), "text as endpoint", id="a number"),
        pytest.param(spec("worker-0", inlet=BMC | {"basicAuthSecret": "x"}), "name of a Secret", id="secret"),
        pytest.param({**spec("worker-0"), "predictor": []}, "powerConsumption as predictor", id="a list"),
    ],
)
def test_an_object_that_cannot_be_read_is_its_nodes_trouble(whole: dict[str, Any], words: str) -> None:
    found = said(node_config("a", whole))
    assert words in found.error
    assert (found.terms.inlet, found.terms.power) == (None, None)


def test_a_template_that_cannot_be_rendered_for_a_node_is_its_trouble_alone() -> None:
    whole = spec(inlet=endpoint("Redfish", "https://10.0.100.{{.IPv4.Octet4}}"))
    configs = NodeConfigs([template("all", {}, whole)])
    found = configs.of(machine(address="fd00::7"))
    assert found is not None
    assert "no InternalIP of it is an IPv4 address" in found.error
    assert configs.of(machine("worker-1")).error == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(node_config("a", spec("")), "NodeConfig a: expected spec.nodeName", id="no node"),
        pytest.param(node_config("a", []), "NodeConfig a: expected spec.nodeName", id="no spec"),  # type: ignore[arg-type]
        pytest.param(template("t", {}, spec()) | {"spec": {"template": spec()}}, "nodeSelector is missing", id="all"),
        pytest.param(
            template("t", {}, spec())
            | {"spec": {"template": spec(), "nodeSelector": {"matchExpressions": [{"key": "a"}]}}},
            "a selector of labels that Kubernetes accepts",
            id="selector",
        ),
    ],
)
def test_an_object_of_no_node_is_named_and_costs_no_other(raw: dict[str, Any], words: str) -> None:
    configs = NodeConfigs([raw, node_config("good", spec("worker-0"))])
    assert words in configs.problems[0]
    assert configs.of(machine()) is not None


def test_a_term_without_type_and_endpoint_is_not_given() -> None:
    assert said(node_config("a", spec("worker-0", inlet=endpoint("")))).terms.inlet is None


def test_no_objects_are_falsy() -> None:
    assert not NodeConfigs()
    assert NodeConfigs([node_config("a", spec("worker-0"))])
