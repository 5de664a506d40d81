"""WAO's NodeConfig and NodeConfigTemplate on a real API server: their definitions, and objects of theirs.

Owns a schema as strict as WAO's own of 2024: the same fields, the same required ones, both API groups. Assumes that
nobody acts on these objects, as WAO's controllers are not here: the scheduler has to know what a template would make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.support.api import Api, ApiError, Object
from tests.e2e.support.processes import wait_until

GROUPS = ("node.waok8s.github.io", "wao.bitmedia.co.jp")
VERSION, NAMESPACE = "v1beta1", "wao-system"
KINDS = {"NodeConfig": "nodeconfigs", "NodeConfigTemplate": "nodeconfigtemplates"}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

_TEXT = {"type": "string"}
_TERM = {
    "type": "object",
    "required": ["endpoint", "type"],
    "properties": {
        "type": _TEXT,
        "endpoint": _TEXT,
        "basicAuthSecret": {"type": "object", "properties": {"name": _TEXT}},
        "fetchInterval": _TEXT,
    },
}
_PREDICTORS = (
    "powerConsumption",
    "powerConsumptionEndpointProvider",
    "responseTime",
    "responseTimeEndpointsProvider",
)
_SPEC = {
    "type": "object",
    "required": ["metricsCollector", "nodeName", "predictor"],
    "properties": {
        "nodeName": _TEXT,
        "metricsCollector": {
            "type": "object",
            "required": ["deltaP", "inletTemp"],
            "properties": {"deltaP": _TERM, "inletTemp": _TERM},
        },
        "predictor": {"type": "object", "properties": dict.fromkeys(_PREDICTORS, _TERM)},
    },
}
_SELECTOR = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEMPLATE_SPEC = {
    "type": "object",
    "required": ["nodeSelector", "template"],
    "properties": {"nodeSelector": _SELECTOR, "template": _SPEC},
}


def definition(kind: str, group: str) -> Object:
    """The CustomResourceDefinition of a kind in a group."""
    plural = KINDS[kind]
    spec = _SPEC if kind == "NodeConfig" else _TEMPLATE_SPEC
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": plural[:-1]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def define(api: Api, group: str) -> None:
    """Both kinds of a group, served from now on, and the namespace of their objects."""
    for kind, plural in KINDS.items():
        api.post(_DEFINITIONS, definition(kind, group))
        wait_served(api, group, plural)
    if not _is_served(api, f"/api/v1/namespaces/{NAMESPACE}"):
        api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})


def wait_served(api: Api, group: str, plural: str) -> None:
    """Until objects of a kind can be listed, and kubectl can learn of it: a moment after it was established."""
    wait_until(lambda: _is_served(api, _path(group, plural)), f"{plural}.{group} served")
    wait_until(lambda: _is_discovered(api, group, plural), f"{plural}.{group} discovered")


def undefine(api: Api) -> None:
    """Neither kind is there any more, nor an object of theirs."""
    paths = [f"{_DEFINITIONS}/{plural}.{group}" for group in GROUPS for plural in KINDS.values()]
    api.bulk("DELETE", [(path, None) for path in paths], missing_ok=True)
    for group in GROUPS:
        for plural in KINDS.values():
            path = _path(group, plural)
            wait_until(lambda path=path: not _is_served(api, path), f"{plural}.{group} gone")


def _is_served(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.code in (404, 429):  # 429: "storage is (re)initializing", right after a kind was defined
            return False
        raise
    return True


def _is_discovered(api: Api, group: str, plural: str) -> bool:
    path = f"/apis/{group}/{VERSION}"
    groups = {each["name"] for each in api.get("/apis")["groups"]}
    if group not in groups or not _is_served(api, path):
        return False
    return plural in {each["name"] for each in api.get(path)["resources"]}


def _path(group: str, plural: str, name: str = "") -> str:
    collection = f"/apis/{group}/{VERSION}/namespaces/{NAMESPACE}/{plural}"
    return f"{collection}/{name}" if name else collection


# --- objects ----------------------------------------------------------------------------------------------------------


def term(kind: str, endpoint: str, **more: Any) -> Object:
    return {"type": kind, "endpoint": endpoint, **more}


def spec(power: str, *, node: str = "", inlet: Mapping[str, Any] | None = None) -> Object:
    """A node's spec: the full URL of its model, and where its sensors are; ``Fake`` sensors where none is said."""
    return {
        "nodeName": node,
        "metricsCollector": {"inletTemp": inlet or term("Fake", ""), "deltaP": term("Fake", "")},
        "predictor": {"powerConsumption": term("V2InferenceProtocol", power)},
    }


def put(api: Api, group: str, kind: str, name: str, content: Object) -> None:
    """Creates the object, or gives the one that is there this spec."""
    path = _path(group, KINDS[kind], name)
    body = {"apiVersion": f"{group}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": content}
    if _is_served(api, path):
        there = api.get(path)
        api.put(path, {**body, "metadata": there["metadata"]})
    else:
        api.post(_path(group, KINDS[kind]), body)


def remove(api: Api, group: str, kind: str, name: str) -> None:
    api.delete(_path(group, KINDS[kind], name))


def remove_all(api: Api) -> None:
    """No object of either kind is left; the kinds are."""
    for group in GROUPS:
        for plural in KINDS.values():
            api.delete(_path(group, plural))
