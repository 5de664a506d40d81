"""Settings from the text of a file, the environment and the options of the command line.

The caller reads the file and hands over its text and the environment. An unknown key is an error, so that no misspelt
setting is lost. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.files.encodings import BYTE_ORDER_MARK
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.text.words import nearest

from .combinations import (
    check_batches,
    check_carbon,
    check_expiry,
    check_limits,
    check_prometheus,
    unused_settings,
    with_addresses,
)
from .kube_scheduler_configuration import Given, read_plugin_configuration
from .settings import Settings, default_lease_name
from .table import BY_PATH, BY_VARIABLE, TABLE
from .value_types import ValueType
from .values import duration_text, parse_lease_name, shown

Givens = dict[str, Given]
"""(value, words for the place where it was given) by the setting's path."""


def load_settings(
    file_text: str | None, file_name: str, env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[Settings, tuple[str, ...]]:
    """(settings, warnings) from a file's text (None: no file), the environment and the options of the command line.

    ``flags`` has the options by parameter name (``load_address``), None where not given. An option beats the
    environment (``PEAKS_LOAD_ADDRESS``; empty: not given), which beats the file. ``NODE_POWER_MODEL`` names a power
    model file where nothing else does. Raises ConfigurationError that names the key, the option or the variable.
    """
    # a value that comes from a file of Windows has its byte order mark and its line end
    env = {name: value.lstrip(BYTE_ORDER_MARK).rstrip("\r\n") for name, value in env.items()}
    warnings = _misspelt(env)
    document = parse_document(file_text, file_name) if file_text is not None else None
    if document is not None and not isinstance(document, dict):
        raise ConfigurationError(f"{file_name}: expected a mapping of settings; got {shown(document)}")
    if document and document.get("kind") == "KubeSchedulerConfiguration":
        given, inline = read_plugin_configuration(document, file_name, warnings)
    else:
        given, inline = _flat(document or {}, file_name, ""), EMPTY
    if env.get("NODE_POWER_MODEL"):
        given.setdefault("powerModels", (env["NODE_POWER_MODEL"], "NODE_POWER_MODEL"))
    given |= _overrides(env, flags)
    settings = _build(given)
    warnings += unused_settings(settings, given)
    if inline != EMPTY and settings.power.file is not None:
        warnings.append(
            f"{file_name}: nodePowerModel is not used: the power model file {settings.power.file} counts instead"
        )
    if settings.load.expiry < settings.load.interval:
        warnings.append(
            f"load.expiry {duration_text(settings.load.expiry)} is shorter than load.interval "
            f"{duration_text(settings.load.interval)}: every node is estimated some of the time"
        )
    return replace(settings, power=replace(settings.power, inline=inline)), tuple(warnings)


def _flat(document: Mapping[Any, Any], file_name: str, parent: str) -> Givens:
    """The file's settings below ``parent``; empty ones are left out. Raises ConfigurationError for an unknown key."""
    known = {path.removeprefix(parent).split(".")[0] for path in BY_PATH if path.startswith(parent)}
    given: Givens = {}
    for key, value in document.items():
        path = f"{parent}{key}"
        if key not in known:
            hint = nearest(str(key), known)
            raise ConfigurationError(
                f"{file_name}: {path}: unknown key{hint}; expected one of {', '.join(sorted(known))}"
            )
        if value is None:
            continue
        if path in BY_PATH:
            given[path] = (value, f"{file_name}: {path}")
        elif isinstance(value, dict):
            given |= _flat(value, file_name, f"{path}.")
        else:
            raise ConfigurationError(f"{file_name}: {path}: expected a mapping; got {shown(value)}")
    return given


def _overrides(env: Mapping[str, str], flags: Mapping[str, object]) -> Givens:
    """The settings that the environment and the options give; an option beats a variable."""
    given: Givens = {setting.path: (env[name], name) for name, setting in BY_VARIABLE.items() if env.get(name)}
    for setting in TABLE:
        if setting.flag and (value := flags.get(setting.parameter)) is not None:
            given[setting.path] = (value, setting.flag.partition("/")[0])
    return given


def _build(given: Givens) -> Settings:
    subjects: dict[str, dict[str, Any]] = {}
    for path, (value, where) in given.items():
        setting = BY_PATH[path]
        subjects.setdefault(setting.subject, {})[setting.name] = _parsed(setting.value_type, value, where)
    settings = Settings(**subjects.pop("", {}))
    settings = replace(
        settings, **{name: replace(getattr(settings, name), **values) for name, values in subjects.items()}
    )
    settings = with_addresses(settings, "load.address" in given)
    check_prometheus(settings)
    check_limits(settings)
    check_carbon(settings)
    check_batches(settings)
    check_expiry(settings)
    return settings if settings.leader_election.name else _with_lease_name(settings)


def _parsed(value_type: ValueType, value: object, where: str) -> Any:
    try:
        return value_type.parse(value)
    except ValueError as error:
        got = "" if value_type.secret else f"; got {shown(value)}"
        raise ConfigurationError(f"{where}: expected {error}{got}") from (None if value_type.secret else error)


def _with_lease_name(settings: Settings) -> Settings:
    try:
        name = parse_lease_name(default_lease_name(settings.scheduler_name))
    except ValueError as error:
        raise ConfigurationError(
            f"schedulerName {settings.scheduler_name!r} makes no name of a Lease: set leaderElection.name"
        ) from error
    return replace(settings, leader_election=replace(settings.leader_election, name=name))


def _misspelt(env: Mapping[str, str]) -> list[str]:
    """Warnings for variables that are spelt almost like one of ours. No error: Kubernetes sets PEAKS_..._PORT for a
    Service."""
    return [
        f"the environment variable {name} is not read{nearest(name, BY_VARIABLE, 0.9)}"
        for name in sorted(env)
        if name.startswith("PEAKS_") and name not in BY_VARIABLE and nearest(name, BY_VARIABLE, 0.9)
    ]
