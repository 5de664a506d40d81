"""``peaks-scheduler check`` on sensors and predictors: a few lines however many nodes there are, each problem with its
reason and remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.commands.check import predictor_checks, sensor_checks
from peaks_scheduler.commands.check.facts import Facts
from peaks_scheduler.commands.check.finding import Finding
from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import EMPTY, PowerModel
from peaks_scheduler.settings.predictors import Access, PredictorSettings, ServedModel, ServerRule
from peaks_scheduler.settings.sensors import IpmiExporterSettings, SensorSettings
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode, AnsweredNodes
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.sensors.source import Reading
from tests.support.builders import NOW

SERVER = ServedModel("v2", "http://inference:8080", "fujitsu")
ASSIGNED = Assignment(SERVER, "predictors.servers[0]")
IPMI = Settings(sensors=SensorSettings(ipmi_exporter=IpmiExporterSettings()))


def inlet(celsius: float = 24.0, age: float = 10.0, sensor: str = "ipmi_exporter Inlet Temp") -> dict[str, Reading]:
    return {"inlet": Reading(celsius, NOW - age, sensor)}


def good(name: str = "worker-1", **changes: Any) -> AnsweredNode:
    """A node of 100 W to 200 W, asked at 21 points in one request."""
    points = np.linspace(0.0, 1.0, 21)
    node = AnsweredNode(
        name, inlet(), assignment=ASSIGNED, version="2", batch=True, cpu=points, watts=100 + 100 * points,
        model=PowerModel(name, Linear(100.0, 200.0), origin="predicted"),
    )  # fmt: skip
    return replace(node, **changes)


def bad(name: str, *reasons: str, **changes: Any) -> AnsweredNode:
    return good(name, model=None, reasons=reasons, **changes)


def said(
    *nodes: AnsweredNode, settings: Settings = IPMI, troubles: tuple[str, ...] = (), asked: Any = None
) -> list[Finding]:
    """What the checks of sensors and predictors say."""
    answers = AnsweredNodes(nodes, troubles, NOW) if asked is None else asked
    facts = Facts(settings, NOW, "", "", {}, "", 0.0, {}, [], None, (), (), PeaksError("none"), None, None, EMPTY)
    facts = replace(facts, asked=answers)
    looks = (sensor_checks.sensors, sensor_checks.needed, predictor_checks.predictors)
    return [finding for look in looks for finding in look(facts)]


def lines(*nodes: AnsweredNode, **more: Any) -> list[str]:
    return [f"{each.status}: {each.text}" for each in said(*nodes, **more)]


# --- nothing to say -------------------------------------------------------------------------------------------------


def test_where_nobody_has_sensors_or_predictors_there_is_no_line() -> None:
    facts = Facts(Settings(), NOW, "", "", {}, "", 0.0, {}, [], None, (), (), PeaksError("none"), None, None, EMPTY)
    looks = (sensor_checks.sensors, sensor_checks.needed, predictor_checks.predictors)
    assert [finding for look in looks for finding in look(facts)] == []


# --- sensors --------------------------------------------------------------------------------------------------------


def test_a_few_nodes_are_shown_one_by_one_with_value_age_and_source() -> None:
    assert lines(good())[0] == "ok: inlet: worker-1 24 celsius, 10 s old (ipmi_exporter Inlet Temp)"


def test_many_nodes_are_one_line() -> None:
    nodes = [good(f"n-{i}", readings=inlet(20.0 + i % 8, age=5.0 + i % 20)) for i in range(1000)]
    sensors, predictors = lines(*nodes)
    assert sensors == "ok: inlet: 1000 nodes, 20 to 27 celsius, at most 24 s old, from ipmi_exporter Inlet Temp (1000)"
    assert "1000 nodes" in predictors


def test_a_distrusted_reading_is_named_with_its_reason() -> None:
    why = {"inlet": "255 celsius is no temperature of a room"}
    found = lines(good("a", readings=inlet(255.0), distrusted=why), good("b"))
    assert "ok: inlet: b 24 celsius, 10 s old (ipmi_exporter Inlet Temp)" in found
    assert "warning: inlet does not count for a: 255 celsius is no temperature of a room" in found


def test_failures_that_differ_only_in_address_are_one_line() -> None:
    nodes = [good(f"n-{i}", silent=f"http://10.0.0.{i}:9290/metrics: no answer within 5 s") for i in range(40)]
    (line,) = [line for line in lines(*nodes) if "no reading" in line]
    assert line.startswith("warning: no reading of 40 nodes (n-0, n-1, n-10, n-11, n-12 and 35 more), such as: http://")


def test_sensors_that_are_configured_and_give_nothing_have_failed() -> None:
    found = lines(AnsweredNode("a", silent="refused"), AnsweredNode("b", silent="refused"))
    assert found[-1] == "failed: `sensors` is configured, and no node has a reading"


def test_a_source_that_fails_as_a_whole_is_named() -> None:
    assert lines(good(), troubles=("Prometheus: HTTP 500",))[0] == "warning: Prometheus: HTTP 500"


def test_a_round_that_failed_is_one_warning() -> None:
    assert lines(asked=PeaksError("expected an answer within 120 s; none came")) == [
        "warning: could not be asked: expected an answer within 120 s; none came"
    ]


def test_a_signal_that_a_predictor_needs_and_no_source_gives_is_named() -> None:
    nodes = [bad("a", missing=("deltaP",), cpu=np.zeros(0)), bad("b", missing=("deltaP",))]
    (found,) = [each for each in said(*nodes) if "deltaP" in each.text]
    assert found.text == (
        "2 nodes (a, b), such as: the predictor needs deltaP, and no sensor gives it, so it is not asked"
    )
    assert "`sensors`" in found.remedy


# --- predictors -----------------------------------------------------------------------------------------------------


def test_a_predictor_is_shown_with_where_it_was_said() -> None:
    assert lines(good())[-1] == (
        "ok: v2 http://inference:8080 model fujitsu version 2, in batches (predictors.servers[0]): its predictions "
        "count for worker-1"
    )


def test_a_url_is_shown_without_its_password() -> None:
    model = replace(SERVER, url="http://me:secret@inference", access=Access())
    assert "secret" not in "".join(lines(good(assignment=Assignment(model, "NodeConfig x"))))


def test_5000_nodes_with_a_model_each_are_a_few_lines() -> None:
    def one(i: int) -> AnsweredNode:
        model = replace(SERVER, protocol="tensorflow-serving", model=f"m{i}")
        return good(f"n-{i}", assignment=Assignment(model, f"NodeConfig wao-system/n-{i}"), batch=False, version="1")

    (line,) = [line for line in lines(*map(one, range(5000))) if "model" in line]
    assert line.startswith(
        "ok: tensorflow-serving, one question a request (NodeConfig ...): predictions of 5000 models count for 5000 "
        "nodes (n-0, n-1, n-10, n-100, n-1000 and 4995 more), such as tensorflow-serving http://inference:8080 model m0"
    )


@pytest.mark.parametrize(
    "reason",
    [
        "expected at least 1 W of a machine; the server answers -31 W",
        "expected one input of 3 numbers (cpu, inlet, deltaP); the model has one of 4",
        "no answer within 5 s",
    ],
)
def test_predictions_that_do_not_count_are_named_with_the_reason(reason: str) -> None:
    found = said(good("a"), bad("b", reason))[-1]
    assert (found.status, found.text.endswith(reason)) == ("warning", True)
    assert "peaks-scheduler predict --node b" in found.remedy


def test_where_no_prediction_counts_the_check_has_failed() -> None:
    found = said(bad("a", "HTTP 500"), bad("b", "HTTP 500"))[-1]
    assert found.status == "failed"
    assert found.text.startswith("predictions do not count for 2 nodes (a, b), such as: v2 http://inference:8080")


def test_what_the_cluster_says_and_cannot_be_used_is_named() -> None:
    node = AnsweredNode("a", unassigned="NodeConfig wao-system/a: expected a URL")
    assert "warning: no predictor, though the cluster names one, for a: NodeConfig wao-system/a: expected a URL" in (
        lines(node, settings=Settings())
    )


def test_a_curve_that_was_changed_by_much_is_worth_a_look() -> None:
    found = said(good("a", change=1.0), good("b", change=7.0))[-1]
    assert found.text == ("predictions that fall with more use were changed for b, most for b: by 7 % of its rise")


def test_nodes_without_a_predictor_are_counted_where_others_have_one() -> None:
    text = lines(good("a"), AnsweredNode("b"), AnsweredNode("c"))[-1]
    assert text == "ok: 2 nodes without one: b, c; model file and learned models count there"


def test_a_rule_that_means_no_node_is_named() -> None:
    rules = (ServerRule(SERVER, ("a",)), ServerRule(SERVER, ("z",)))
    found = said(good("a"), settings=replace(IPMI, predictors=PredictorSettings(rules)))
    assert "no node has a model by predictors.servers[1]" in [each.text for each in found if each.status == "warning"]


def test_a_remark_on_what_the_cluster_says_is_told_though_the_predictions_count() -> None:
    found = lines(good("a", reasons=("NodeConfig a counts, and not NodeConfig b for the same node",)))
    assert (
        "warning: predictions count, with a remark, for a: NodeConfig a counts, and not NodeConfig b for the same node"
        in found
    )


def test_settings_with_which_the_daemon_would_not_start_have_failed() -> None:
    assert lines(asked=ConfigurationError("sensors: expected another name for a signal"))[0].startswith("failed: ")


def test_many_kinds_of_problems_are_a_few_lines() -> None:
    letters = "abcdefghijklmnop"
    nodes = [bad(f"n-{letter}", f"reason {letter}") for letter in letters]
    assert len([line for line in lines(good(), *nodes) if line.startswith("warning")]) == 6
