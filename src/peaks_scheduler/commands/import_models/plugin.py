"""Imports the models of the original plugin, its ``NodePowerModel``.

Finds them in the plugin's JSON file, in a ConfigMap with that file, or in a KubeSchedulerConfiguration. A node with an
invalid curve is named and left out; the others are imported. Numbers in quotes are accepted: the plugin's own sample
ConfigMap has them, although the plugin cannot read them. Pure.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.documents import parse_documents
from peaks_scheduler.files.encodings import decoded
from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.power.file import plugin_models
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.plausibility import LEAST_RISE, MOST_FIRST_RISE, too_flat, too_steep
from peaks_scheduler.settings.kube_scheduler_configuration import every_arguments
from peaks_scheduler.settings.values import shown

from .imported_models import ImportedModels, models_of

_PERCENT = {"percent": 1.0, "ratio": 0.01}  # k2 as the file has it, to one for percent

Found = Mapping[str, Any]


def import_plugin(text: str, origin: str, cpu_unit: str = "percent") -> ImportedModels:
    """The models in the text, whose k2 is for CPU in ``cpu_unit`` (the plugin itself assumes percent).

    Raises ConfigurationError if there is no valid model.
    """
    notes: list[str] = []
    models: list[PowerModel] = []
    for node, parameters in _found(text, origin, notes).items():
        try:
            model = _model(node, parameters, origin, cpu_unit, notes)
        except PowerModelError as error:
            notes.append(f"left out: {error}")
            continue
        models.append(model)
        notes += _odd(model, cpu_unit)
    if not models:
        why = f": {'; '.join(notes)}" if notes else ""
        raise ConfigurationError(f"{origin}: expected a power curve at least of one node; got none{why}")
    comment = (
        f"Models of the original Peaks plugin, {origin}; its k2 was for CPU in {cpu_unit}.\n"
        "How large their errors are is not known."
    )
    return ImportedModels(models_of((None, model) for model in models), comment, tuple(notes))


def _model(node: str, parameters: Any, origin: str, cpu_unit: str, notes: list[str]) -> PowerModel:
    if isinstance(parameters, dict):
        unquoted = {key: _unquoted(value) for key, value in parameters.items()}
        if quoted := [str(key) for key, value in parameters.items() if unquoted[key] is not value]:
            notes.append(f"{node}: {', '.join(quoted)}: numbers in quotes, taken as numbers (the plugin refuses them)")
        parameters = {
            key: value * _PERCENT[cpu_unit] if str(key).lower() == "k2" and isinstance(value, (int, float)) else value
            for key, value in unquoted.items()
        }
    return plugin_models({node: parameters}, origin).by_name[node]


def _unquoted(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _odd(model: PowerModel, cpu_unit: str) -> list[str]:
    """A hint, if the curve looks as if k2 were for the other unit."""
    other = "ratio" if cpu_unit == "percent" else "percent"
    if cpu_unit == "percent" and too_steep(model.curve):
        what = f"more than {MOST_FIRST_RISE:.0%} of the rise comes with the first 1 % of load"
    elif cpu_unit == "ratio" and too_flat(model.curve):
        what = f"from no to full load power rises by less than {LEAST_RISE:.0%}"
    else:
        return []
    assert isinstance(model.curve, Exponential)
    return [f"{model.name}: {what}: is its k2 for CPU in {other}? Then pass --cpu-unit {other}"]


# --- where they are ---------------------------------------------------------------------------------------------------


def _found(text: str, origin: str, notes: list[str]) -> dict[str, Any]:
    """Node -> parameters, from all documents of the text."""
    found: dict[str, Any] = {}
    for document in parse_documents(text, origin):
        for where, models in _power_models(document, origin, notes):
            twice = [str(node) for node in models if str(node) in found]
            if twice:
                raise ConfigurationError(f"{where}: expected each node once; {', '.join(twice)} was there before")
            found |= {str(node): parameters for node, parameters in models.items()}
    return found


def _power_models(document: Any, origin: str, notes: list[str]) -> Iterator[tuple[str, Found]]:
    """(place for messages, node -> parameters) of everything in a document."""
    if not isinstance(document, dict):
        raise ConfigurationError(f"{origin}: expected {{node: {{k0, k1, k2}}}}; got {shown(document)}")
    if isinstance(document.get("models"), list):
        raise ConfigurationError(
            f"{origin}: expected models of the original plugin; this is a power model file of this scheduler "
            "already: pass it to --power-models"
        )
    match document.get("kind"):
        case "ConfigMap":
            yield from _of_config_map(document, origin, notes)
        case "KubeSchedulerConfiguration":
            for _, arguments in every_arguments(document, origin):
                yield arguments.where, arguments.models
        case "List" | "ConfigMapList":
            for item in _listed(document.get("items"), f"{origin}: items"):
                yield from _power_models(item, origin, notes)
        case str(kind):
            raise ConfigurationError(
                f"{origin}: expected {{node: {{k0, k1, k2}}}}, a ConfigMap or a KubeSchedulerConfiguration; got {kind}"
            )
        case _:
            # {node: {k0, k1, k2}}; a node may be called ``kind``
            yield origin, document


def _of_config_map(document: Found, origin: str, notes: list[str]) -> Iterator[tuple[str, Found]]:
    """The models in the keys of a ConfigMap; a key without models is named and skipped."""
    texts, unread = _texts(document, origin)
    for where, text in texts:
        try:
            found = [pair for each in parse_documents(text, where) for pair in _power_models(each, where, notes)]
        except ConfigurationError as error:
            unread.append(f"passed over: {error}")
            continue
        yield from found
    notes += unread


def _listed(value: Any, where: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigurationError(f"{where}: expected a list; got {shown(value)}")
    return value or []


def _keys(value: Any, where: str) -> Found:
    if value is not None and not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a mapping; got {shown(value)}")
    return value or {}


def _texts(document: Found, origin: str) -> tuple[list[tuple[str, str]], list[str]]:
    """((place for messages, text) of each key, notes on keys that could not be read)."""
    found, unread = [], []
    for part in ("data", "binaryData"):
        for name, value in _keys(document.get(part), f"{origin}: {part}").items():
            where = f"{origin}: {part}.{name}"
            try:
                found.append((where, str(value) if part == "data" else decoded(b64decode(value, validate=True))))
            except (ValueError, TypeError) as error:
                unread.append(f"passed over: {where}: expected text in base64; got: {error}")
    return found, unread
