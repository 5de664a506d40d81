"""Objects of WAO 2 for tests: NodeConfig and NodeConfigTemplate, with the fields of their CRDs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

PRESENT, FORMER = "node.waok8s.github.io", "wao.bitmedia.co.jp"
INFER = "http://10.0.0.1:8080/v2/models/myModel/versions/v0.1.0/infer"


def endpoint(kind: str, url: str = "", *, secret: str = "", interval: str | None = None) -> Json:
    """An EndpointTerm."""
    term: Json = {"type": kind, "endpoint": url}
    if secret:
        term["basicAuthSecret"] = {"name": secret}
    return term if interval is None else term | {"fetchInterval": interval}


BMC = endpoint("Redfish", "https://10.0.0.100", secret="worker-0-redfish-basicauth", interval="10s")
PRESSURE = endpoint("DifferentialPressureAPI", "http://10.0.0.1:5000", interval="10s")
MODEL = endpoint("V2InferenceProtocol", INFER)


def spec(
    node: str = "", *, inlet: Json = BMC, pressure: Json = PRESSURE, power: Json | None = MODEL, bmc: Json | None = None
) -> Json:
    """A NodeConfigSpec; ``bmc``: the provider of the model's address."""
    given = {"powerConsumption": power, "powerConsumptionEndpointProvider": bmc}
    return {
        "nodeName": node,
        "metricsCollector": {"inletTemp": inlet, "deltaP": pressure},
        "predictor": {name: term for name, term in given.items() if term is not None},
    }


def node_config(name: str, whole: Json, group: str = PRESENT) -> Json:
    meta = {"name": name, "namespace": "wao-system", "resourceVersion": "1"}
    return {"apiVersion": f"{group}/v1beta1", "kind": "NodeConfig", "metadata": meta, "spec": whole}


def template(name: str, labels: Mapping[str, str], whole: Json, group: str = PRESENT) -> Json:
    given = {"nodeSelector": {"matchLabels": dict(labels)}, "template": whole}
    return node_config(name, given, group) | {"kind": "NodeConfigTemplate"}
