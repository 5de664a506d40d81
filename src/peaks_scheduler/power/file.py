"""Reads the power model file, YAML or JSON.

Assumes nothing about the cluster: whether a file is valid does not depend on the nodes. Pure: text comes in, models go
out; the caller reads the file, watches it and keeps the last valid one. Never guesses a unit, and never accepts two
models for one node: a node without a model is ranked last, but a node with a wrong model may be ranked first.
``file_curves`` reads the curves, ``file_temperature`` the terms of temperature, ``file_values`` single values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.text.words import nearest

from .curves import Curve
from .file_curves import read_curve, read_plugin_curve
from .file_temperature import read_temperature
from .file_values import number, numbers, refuse, refuse_unknown
from .models import PowerModel, PowerModels, Quality
from .scope import SCOPES, Scope

ENTRY_FIELDS = ("nodes", "nodeSelector", "scope", "cpu", "curve", "temperature", "standbyWatts", "quality")
QUALITY_FIELDS = (
    "rmseWatts",
    "r2",
    "samples",
    "cpuMin",
    "cpuMax",
    "cvRmseWatts",
    "fitted",
    "covariance",
    "confidence",
)
_NUMBERS_OF_QUALITY = QUALITY_FIELDS[:6]


def parse_models(text: str, origin: str) -> PowerModels:
    """The models of a power model file, YAML or JSON; also of the original plugin's ``{node: {k0, k1, k2}}`` (percent).

    ``origin`` is the file's name for messages. Raises PowerModelError that says where, what was expected, what came and
    what to do. One bad entry refuses the whole file: with half a file the other nodes would silently be ranked last.
    """
    try:
        document = parse_document(text, origin)
    except ConfigurationError as error:
        raise PowerModelError(str(error)) from error
    if not isinstance(document, dict):
        refuse(origin, "a mapping with `models:`, or {node: {k0, k1, k2}} of the original plugin", document)
    if isinstance(kind := document.get("kind"), str):
        _refuse_wrapped(kind, document, origin)
    if isinstance(document.get("models", {}), dict):
        return plugin_models(document, origin)
    return _listed_models(document, origin)


def _refuse_wrapped(kind: str, document: Mapping[str, Any], origin: str) -> NoReturn:
    """Refuse a Kubernetes object: it may contain power models, but is not a power model file."""
    remedy = f"take its models over: peaks-scheduler import-models plugin {origin} -o models.yaml"
    if kind == "ConfigMap":
        data = document.get("data")
        keys = ", ".join(map(str, data)) if isinstance(data, dict) and data else "nothing"
        remedy = f"mount its key as a file, or {remedy}"
        kind = f"ConfigMap with {keys} in its data"
    elif kind == "KubeSchedulerConfiguration":
        remedy = f"pass it to --config, or {remedy}"
    raise PowerModelError(f"{origin}: expected power models; this is a {kind}: {remedy}")


def plugin_models(document: Mapping[str, Any], origin: str) -> PowerModels:
    """The models of the original plugin's ``NodePowerModel``: node name -> k0, k1, k2, for CPU in percent.

    As in Go, the case of field names does not matter and unknown fields are refused. Unlike in Go, where a missing
    field counts as 0, a missing field is refused too. Raises PowerModelError.
    """
    models = {}
    for node, parameters in document.items():
        where = f"{origin}: {node}"
        if not isinstance(parameters, dict):
            refuse(where, "an object with k0, k1 and k2", parameters)
        folded = {str(key).lower(): value for key, value in parameters.items()}
        models[str(node)] = PowerModel(str(node), read_plugin_curve(where, folded))
    return PowerModels(MappingProxyType(models))


def _listed_models(document: Mapping[str, Any], origin: str) -> PowerModels:
    refuse_unknown(origin, document, ("models",))
    entries = document["models"] or []
    if not isinstance(entries, list):
        refuse(f"{origin}: models", "a list", entries)
    by_name: dict[str, PowerModel] = {}
    by_selector: dict[str, tuple[Mapping[str, str], PowerModel]] = {}
    for index, entry in enumerate(entries):
        where = f"{origin}: models[{index}]"
        for selector, model in _entry(where, entry):
            if model.name in by_name or model.name in by_selector:
                raise PowerModelError(
                    f"{where}: expected one model for {model.name!r}; an entry before has one too: remove one of them"
                )
            if selector is None:
                by_name[model.name] = model
            else:
                by_selector[model.name] = (selector, model)
    return PowerModels(MappingProxyType(by_name), tuple(by_selector.values()))


def _entry(where: str, entry: Any) -> list[tuple[Mapping[str, str] | None, PowerModel]]:
    """One entry of the list as (selector or None, model) pairs: a pair for each named node, or one for the selector."""
    if not isinstance(entry, dict):
        refuse(where, "a mapping with `nodes` or `nodeSelector`, `cpu` and `curve`", entry)
    refuse_unknown(where, entry, ENTRY_FIELDS)
    names, selector = _names(where, entry.get("nodes")), _selector(where, entry.get("nodeSelector"))
    if (names is None) == (selector is None):
        both = "both" if names is not None else "neither"
        raise PowerModelError(
            f"{where}: expected `nodes` or `nodeSelector`; got {both}: say which nodes the model is for"
        )
    label = selector_text(selector or {})
    where = f"{where} ({', '.join(names) if names is not None else label})"
    curve = read_curve(where, entry)
    standby, quality = _standby(where, entry, curve), _quality(where, entry.get("quality"), curve)
    model = PowerModel(label, curve, standby, quality, _scope(where, entry), temperature=read_temperature(where, entry))
    if selector is not None:
        return [(selector, model)]
    return [(None, replace(model, name=name)) for name in names or ()]


def selector_text(selector: Mapping[str, str]) -> str:
    """The name of a model that is for labels: ``a=b,c=d``, or ``*`` for no label, which matches every node."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "*"


def _names(where: str, names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        refuse(f"{where}.nodes", "a list of node names (quoted where they look like numbers)", names)
    return tuple(names)


def _selector(where: str, selector: Any) -> Mapping[str, str] | None:
    if selector is None:
        return None
    if not isinstance(selector, dict) or not all(isinstance(x, str) for pair in selector.items() for x in pair):
        refuse(f"{where}.nodeSelector", 'labels as text (quote "true" and numbers)', selector)
    return MappingProxyType(dict(selector))


def _scope(where: str, entry: Mapping[str, Any]) -> Scope | None:
    """The scope of the watts; None if there is no key. A key without a value is an error."""
    if "scope" not in entry:
        return None
    scope = next((each for each in SCOPES if each == entry["scope"]), None)
    if scope is None:
        hint = nearest(str(entry["scope"]), SCOPES)
        words = "the part of the machine that the watts are of (left out, it counts as wall, the whole machine)"
        refuse(f"{where}.scope", f"one of {', '.join(SCOPES)}{hint}, {words}", entry["scope"])
    return scope


def _standby(where: str, entry: Mapping[str, Any], curve: Curve) -> float | None:
    if (value := entry.get("standbyWatts")) is None:
        return None
    watts, idle = number(f"{where}.standbyWatts", value), curve.watts(0.0)
    if not 0.0 <= watts <= idle:
        refuse(f"{where}.standbyWatts", f"watts between 0 and {idle:g}, what the node draws idle", value)
    return watts


def _quality(where: str, quality: Any, curve: Curve) -> Quality | None:
    if quality is None:
        return None
    if not isinstance(quality, dict):
        refuse(f"{where}.quality", "a mapping", quality)
    where = f"{where}.quality"
    refuse_unknown(where, quality, QUALITY_FIELDS)
    rmse, r2, samples, low, high, held_back = (
        None if quality.get(name) is None else number(f"{where}.{name}", quality[name]) for name in _NUMBERS_OF_QUALITY
    )
    for name, cpu in (("cpuMin", low), ("cpuMax", high)):
        # a little above 1 is a measurement error; 93 is percent
        if cpu is not None and not 0.0 <= cpu <= 1.5:
            refuse(f"{where}.{name}", "a fraction 0..1, whatever `cpu` says", cpu)
    fitted, confidence = quality.get("fitted"), quality.get("confidence")
    if confidence not in (None, "low"):
        refuse(f"{where}.confidence", "`low`, or nothing for a model that was measured", confidence)
    return Quality(
        rmse,
        r2,
        None if samples is None else int(samples),
        low,
        high,
        None if fitted is None else str(fitted),
        held_back,
        _covariance(f"{where}.covariance", quality.get("covariance"), len(curve.parameters)),
        confidence,
    )


def _covariance(where: str, rows: Any, size: int) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    if not isinstance(rows, list) or len(rows) != size:
        refuse(where, f"{size} rows of {size} numbers, one for each parameter of the curve", rows)
    matrix = tuple(numbers(where, row) for row in rows)
    if any(len(row) != size for row in matrix) or any(matrix[i][i] < 0.0 for i in range(size)):
        refuse(where, f"{size} rows of {size} numbers, none below 0 on the diagonal", rows)
    return matrix
