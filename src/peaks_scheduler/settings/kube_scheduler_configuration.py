"""Settings from a KubeSchedulerConfiguration: those of the profile that configures the Peaks plugin.

Takes a parsed document. A key that we do not read is a warning: it is meant for others. Arguments of the plugin in a
wrong form are an error: without them the scheduler would run without models. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.power.file import plugin_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.text.words import nearest

from .values import shown

Given = tuple[Any, str]
"""(value, words for the place where it was given)."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The plugin's ``PeaksArgs``. Files have ``WatcherAddress`` or ``watcherAddress``, because the plugin's Go struct
    tags are broken: the case of a name does not matter."""

    where: str
    address: Any = None
    models: Mapping[str, Any] = field(default_factory=dict)
    """Parameters by node, ``{k0, k1, k2}``, as they were given."""
    unknown: tuple[str, ...] = ()
    """Names of unknown arguments."""
    empty: bool = False
    """Is there a nodePowerModel without models?"""


def read_plugin_configuration(
    document: Mapping[str, Any], file_name: str, warnings: list[str]
) -> tuple[dict[str, Given], PowerModels]:
    """(settings by their path in our own file, power models). Appends a warning for each key that is not read.

    Raises ConfigurationError where no profile is for Peaks, PowerModelError for unusable models.
    """
    ignored = [key for key in document if key not in ("apiVersion", "kind", "profiles", "leaderElection")]
    profile, arguments = _peaks_profile(document, file_name, ignored)
    given: dict[str, Given] = {}
    for path, value in (
        ("schedulerName", profile.get("schedulerName")),
        ("load.address", arguments.address or None),
        ("leaderElection.enabled", _mapping(document.get("leaderElection")).get("leaderElect")),
    ):
        if value is not None:
            given[path] = (value, f"{file_name}: {path} of the KubeSchedulerConfiguration")
    ignored += [f"leaderElection.{key}" for key in _mapping(document.get("leaderElection")) if key != "leaderElect"]
    warnings += [f"{file_name}: {key} is not read by this scheduler" for key in ignored]
    if arguments.empty:
        warnings.append(f"{arguments.where}.nodePowerModel has no models")
    return given, plugin_models(arguments.models, f"{arguments.where}.nodePowerModel")


def every_arguments(document: Mapping[str, Any], file_name: str) -> Iterator[tuple[int, Arguments]]:
    """(index, arguments of the Peaks plugin) of each profile that has them. Raises ConfigurationError."""
    for index, profile in enumerate(_sequence(document.get("profiles"))):
        where = f"{file_name}: profiles[{index}]"
        ours = [item for item in _plugin_items(profile) if item.get("name") == "Peaks"]
        if len(ours) > 1:
            raise ConfigurationError(f"{where}: expected pluginConfig for `Peaks` once; got it {len(ours)} times")
        if ours:
            yield index, read_arguments(ours[0].get("args"), where)


def read_arguments(args: Any, where: str) -> Arguments:
    """The plugin's arguments. They, and the models in them, may be a mapping, or JSON or YAML text.

    Raises ConfigurationError for any other form, and for an argument that is given twice.
    """
    known, unknown = {}, []
    for key, value in _mapping_or_text(args, f"{where}.args", "the plugin's arguments").items():
        name = str(key).casefold()
        if name in known:
            raise ConfigurationError(f"{where}.args: expected each argument once; {key!r} is there twice, in two cases")
        if name in ("watcheraddress", "nodepowermodel", "apiversion", "kind"):
            known[name] = value
        else:
            unknown.append(str(key))
    models = _models(known.get("nodepowermodel"), f"{where}.nodePowerModel")
    empty = "nodepowermodel" in known and not models
    return Arguments(where, known.get("watcheraddress"), models, tuple(unknown), empty)


def _models(given: Any, where: str) -> Mapping[str, Any]:
    try:
        return _mapping_or_text(given, where, "{node: {k0, k1, k2}}")
    except ConfigurationError as error:
        raise PowerModelError(f"{error} (models in a file of their own: powerModels, or NODE_POWER_MODEL)") from error


def _mapping_or_text(value: Any, where: str, expected: str) -> Mapping[str, Any]:
    found = parse_document(value, where) if isinstance(value, str) else value
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"{where}: expected {expected} as a mapping, or as JSON text; got {shown(value)}")
    return found


def _peaks_profile(
    document: Mapping[str, Any], file_name: str, ignored: list[str]
) -> tuple[Mapping[str, Any], Arguments]:
    """(profile, arguments) of the first profile with arguments for Peaks. Appends what is not read to ``ignored``."""
    found, profiles = next(every_arguments(document, file_name), None), _sequence(document.get("profiles"))
    if found is None:
        names = dict.fromkeys(str(item.get("name")) for profile in profiles for item in _plugin_items(profile))
        got = f"that of {', '.join(names)}{nearest('Peaks', names)}" if names else "none"
        raise ConfigurationError(
            f"{file_name}: expected a profile with pluginConfig for `Peaks` in this KubeSchedulerConfiguration; got "
            f"{got}: add one, or write this scheduler's own configuration"
        )
    first, arguments = found
    where, profile = f"profiles[{first}]", _mapping(profiles[first])
    others = [item.get("name") for item in _plugin_items(profile) if item.get("name") != "Peaks"]
    ignored += [f"profiles[{index}]" for index in range(len(profiles)) if index != first]
    ignored += [f"{where}.{key}" for key in profile if key not in ("schedulerName", "pluginConfig")]
    ignored += [f"{where}.pluginConfig of {name}" for name in others]
    ignored += [f"{where}.pluginConfig of Peaks: {key}" for key in arguments.unknown]
    return profile, arguments


def _plugin_items(profile: Any) -> list[Mapping[str, Any]]:
    return [_mapping(item) for item in _sequence(_mapping(profile).get("pluginConfig"))]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
