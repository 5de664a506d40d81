"""A KubeSchedulerConfiguration, as far as it is about the Peaks plugin: what of it are settings of ours.

Owns where the original plugin and kube-scheduler have what we call by other names. Assumes a parsed document. Never
refuses what is meant for others: every key that is not read is named in a warning. Pure.
"""

from collections.abc import Mapping
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power import PowerModels, plugin_models

Given = tuple[Any, str]
"""A value, and the words for where it was given."""


def read_plugin_configuration(
    document: Mapping[str, Any], file_name: str, warnings: list[str]
) -> tuple[dict[str, Given], PowerModels]:
    """Our settings by their path in our own file, and power models. Every key that is not for us becomes a warning.

    Raises ConfigurationError where no profile is for Peaks, PowerModelError for models that cannot be used.
    """
    ignored = [key for key in document if key not in ("apiVersion", "kind", "profiles", "leaderElection")]
    where, profile, args = _peaks_profile(document, file_name, ignored)
    given: dict[str, Given] = {}
    for path, value in (
        ("schedulerName", profile.get("schedulerName")),
        ("load.address", args.get("watcherAddress") or args.get("WatcherAddress")),
        ("leaderElection.enabled", _mapping(document.get("leaderElection")).get("leaderElect")),
    ):
        if value is not None:
            given[path] = (value, f"{file_name}: {path} of the KubeSchedulerConfiguration")
    ignored += [f"leaderElection.{key}" for key in _mapping(document.get("leaderElection")) if key != "leaderElect"]
    warnings += [f"{file_name}: {key} is not read by this scheduler" for key in ignored]
    models = args.get("nodePowerModel") or args.get("NodePowerModel")
    return given, plugin_models(_mapping(models), f"{file_name}: {where}.nodePowerModel")


_ARGUMENTS = ("apiVersion", "kind", "watcherAddress", "WatcherAddress", "nodePowerModel", "NodePowerModel")


def _peaks_profile(
    document: Mapping[str, Any], file_name: str, ignored: list[str]
) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Where the first profile with arguments for Peaks is, the profile, and the arguments."""
    found = None
    for index, profile in enumerate(_sequence(document.get("profiles"))):
        where = f"profiles[{index}]"
        plugins = {item.get("name"): item for item in map(_mapping, _sequence(_mapping(profile).get("pluginConfig")))}
        if "Peaks" not in plugins or found is not None:
            ignored.append(where)
            continue
        found = (where, _mapping(profile), _mapping(plugins["Peaks"].get("args")))
        ignored += [f"{where}.{key}" for key in found[1] if key not in ("schedulerName", "pluginConfig")]
        ignored += [f"{where}.pluginConfig of {name}" for name in plugins if name != "Peaks"]
        ignored += [f"{where}.pluginConfig of Peaks: {key}" for key in found[2] if key not in _ARGUMENTS]
    if found is None:
        raise ConfigurationError(
            f"{file_name}: expected a profile with pluginConfig for `Peaks` in this KubeSchedulerConfiguration; got "
            "none: add one, or write this scheduler's own configuration"
        )
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
