"""Whatever stands in objects, templates, labels and answers of BMCs: an error in words, and nothing else is harmed."""

from __future__ import annotations

import json

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.settings.predictors import Access, PredictorSettings
from peaks_scheduler.sources.predictors.assignments import Assignments
from peaks_scheduler.sources.predictors.configured import Configured
from peaks_scheduler.sources.predictors.mlmm import ModelAddresses
from peaks_scheduler.sources.predictors.node_configs import NodeConfigs
from peaks_scheduler.sources.predictors.node_labels import labelled
from peaks_scheduler.sources.predictors.templates import render
from peaks_scheduler.sources.sensors.differential_pressure import DifferentialPressure
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.sources.sensors.redfish import RedfishInlet
from tests.support.builders import node
from tests.support.node_configs import node_config, spec, template
from tests.unit.sources.test_node_model_labels import LABELS
from tests.unit.sources.test_templates import NODE

WORKER = node_from_api(node("worker-0"))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
WORDS = st.sampled_from(
    ["Members", "@odata.id", "/redfish/v1/Chassis/1", "/redfish/v1/Systems/1", "Temperatures", "Name", "Inlet", "X",
     "Reading", "ReadingCelsius", "PhysicalContext", "Intake", "TemperatureSummaryCelsius", "PowerConsumptionModel",
     "Type", "Url", "sensor", "pressure", "code", "metricsCollector", "predictor", "inletTemp", "type", "endpoint",
     "Fake", "{{.X}}"]
)  # fmt: skip
JSON = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
PIECES = st.sampled_from(
    [" ", "{{", "}}", "{{-", "-}}", "|", "(", ")", ".Hostname", ".IPv4.Octet4", "add", "printf", '"%d"', "`", '"', "\\",
     "7", "/*", "*/", "-3", "trimPrefix", "x", "%", "0x", "substr"]
)  # fmt: skip
few = settings(max_examples=60)


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_a_template_renders_or_is_refused(text: str) -> None:
    try:
        found = render(text, NODE)
    except ConfigurationError:
        return
    assert len(found) <= 2_000


@few
@given(st.lists(JSON, max_size=3), JSON)
def test_objects_of_any_shape_give_a_model_a_trouble_or_nothing(specs: list[object], raw: object) -> None:
    objects = [node_config(f"n{i}", each) for i, each in enumerate(specs)]  # type: ignore[arg-type]
    objects += [template("t", {}, spec()) | {"spec": raw}, node_config("z", spec("worker-0", inlet=raw))]  # type: ignore[arg-type]
    configured = Configured()
    configured.set_configs(NodeConfigs(objects))
    assignments = Assignments(PredictorSettings(), configured)
    found = assignments.of(WORKER)
    assert found is not None or assignments.troubles().keys() == {"worker-0"}
    configured.sensor_trouble(WORKER)
    configured.secrets_wanted([WORKER])
    configured.providers_wanted([WORKER])


@few
@given(st.dictionaries(st.sampled_from(list(LABELS)), st.text(max_size=63), max_size=4))
def test_labels_of_any_text_give_a_model_or_a_trouble(changed: dict[str, str]) -> None:
    try:
        found = labelled(LABELS | changed)
    except ConfigurationError:
        return
    assert found is not None
    assert all(low < high for low, high in found.ranges.values())


@few
@given(JSON)
async def test_answers_of_any_shape_give_a_reading_or_a_reason(answer: object) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=json.dumps(answer).encode()))
    endpoint = NodeEndpoint("http://10.0.0.100", Access())
    for source in (
        RedfishInlet(lambda node: endpoint, transport=transport),
        DifferentialPressure(lambda node: endpoint, transport=transport),
    ):
        found = await source.fetch([WORKER])
        assert found.by_node.keys() | found.failures.keys() == {"worker-0"}
    told = await ModelAddresses(transport=transport).refresh([endpoint])
    assert told[endpoint]
