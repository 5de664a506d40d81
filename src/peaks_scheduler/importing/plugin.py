"""The original plugin's ``NodePowerModel`` in this scheduler's own words.

Owns where such models are found (its JSON file, a ConfigMap that holds it, a KubeSchedulerConfiguration) and what may
be wrong with each: a node whose curve cannot be true is named and left out, the others are taken. Numbers in quotes, as
in the ConfigMap that the plugin ships for a sample and cannot itself read, are taken as the numbers they are. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..documents import parse_documents
from ..errors import ConfigurationError, PowerModelError
from ..power import Exponential, PowerModel, plugin_models
from .imported import Imported, collected

_LEAST_RISE = 0.05  # of the power at full load: less is no machine
_SUDDEN = 0.5  # share of the rise in the first hundredth of the load: more is none, either
_PERCENT = {"percent": 1.0, "ratio": 0.01}  # k2 as the file has it, to one for percent

Found = Mapping[str, Any]


def import_plugin(text: str, origin: str, cpu_unit: str = "percent") -> Imported:
    """The models in the text, k2 for CPU in ``cpu_unit``, which the plugin takes to be percent.

    Raises ConfigurationError where there is not one that can be used.
    """
    notes: list[str] = []
    models: list[PowerModel] = []
    for node, parameters in _found(text, origin).items():
        try:
            model = _model(node, parameters, origin, cpu_unit, notes)
        except PowerModelError as error:
            notes.append(f"left out: {error}")
            continue
        models.append(model)
        notes += _odd(model, cpu_unit)
    if not models:
        raise ConfigurationError(f"{origin}: expected a power curve at least of one node; got none: {'; '.join(notes)}")
    comment = f"Models of the original Peaks plugin, {origin}; its k2 was for CPU in {cpu_unit}.\nHow well they are "
    return Imported(collected((None, model) for model in models), comment + "known it does not say.", tuple(notes))


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
    """A hint where the curve looks as if k2 were for the other unit."""
    other = "ratio" if cpu_unit == "percent" else "percent"
    idle, full = model.curve.watts(0.0), model.curve.watts(1.0)
    if cpu_unit == "percent" and model.curve.watts(0.01) - idle > _SUDDEN * (full - idle):
        what = f"more than {_SUDDEN:.0%} of the rise comes with the first 1 % of load"
    elif cpu_unit == "ratio" and full - idle < _LEAST_RISE * full:
        what = f"from no to full load power rises by less than {_LEAST_RISE:.0%}"
    else:
        return []
    assert isinstance(model.curve, Exponential)
    return [f"{model.name}: {what}: is its k2 for CPU in {other}? Then pass --cpu-unit {other}"]


# --- where they are ---------------------------------------------------------------------------------------------------


def _found(text: str, origin: str) -> dict[str, Any]:
    """node: parameters, of every document of the text."""
    found: dict[str, Any] = {}
    for document in parse_documents(text, origin):
        if not isinstance(document, dict):
            raise ConfigurationError(f"{origin}: expected {{node: {{k0, k1, k2}}}}; got {str(document)[:60]!r}")
        if isinstance(document.get("models"), list):
            raise ConfigurationError(
                f"{origin}: expected models of the original plugin; this is a power model file of this scheduler "
                "already: pass it to --power-models"
            )
        for models in _power_models(document, origin):
            found |= {str(node): parameters for node, parameters in models.items()}
    return found


def _power_models(document: Found, origin: str) -> Iterator[Found]:
    match document.get("kind"):
        case "ConfigMap":
            for name, text in _mapping(document.get("data")).items():
                yield from (
                    each for each in parse_documents(str(text), f"{origin}: data.{name}") if isinstance(each, dict)
                )
        case "KubeSchedulerConfiguration":
            for profile in document.get("profiles") or ():
                for plugin in _mapping(profile).get("pluginConfig") or ():
                    arguments = _mapping(_mapping(plugin).get("args"))
                    yield _mapping(arguments.get("nodePowerModel") or arguments.get("NodePowerModel"))
        case None | dict():
            # {node: {k0, k1, k2}}, and there may be a node that is called kind
            yield document


def _mapping(value: Any) -> Found:
    return value if isinstance(value, dict) else {}
