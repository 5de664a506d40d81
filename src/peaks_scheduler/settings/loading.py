"""Settings out of a file's text, the environment and the options of the command line.

Assumes that the caller has read the file. Never reads a file, a clock or the process's environment by itself. Unknown
keys are errors: a misspelt one would be lost.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.files.reading import BYTE_ORDER_MARK
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.text.words import nearest

from .combinations import check_limits, check_prometheus, unused_settings, with_addresses
from .table import BY_PATH, KEYS, VARIABLES
from .kube_scheduler_configuration import Given, read_plugin_configuration
from .settings import Settings
from .values import duration_text, parse_lease_name, shown

Givens = dict[str, Given]


def load_settings(
    file_text: str | None, file_name: str, env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[Settings, tuple[str, ...]]:
    """The settings out of a configuration file's text (None: no file), the environment and the command line's options.

    ``flags`` holds options by parameter name (``load_address``), None where not given. An option beats the environment
    (``PEAKS_LOAD_ADDRESS``; empty is not given), which beats the file; ``NODE_POWER_MODEL`` names a power model file
    where nothing else does. Returns the settings and warnings for people. Raises ConfigurationError that names the key,
    option or variable.
    """
    # a value that was taken from a file of Windows keeps its byte order mark and its line's end
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
    """The file's settings by path, empty ones left out. Unknown keys are errors: a misspelt one would be lost."""
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
    """What the environment gives, and over it what the options give."""
    given: Givens = {key.path: (env[name], name) for name, key in VARIABLES.items() if env.get(name)}
    for key in KEYS:
        if key.option and (value := flags.get(key.option.replace("-", "_"))) is not None:
            given[key.path] = (value, f"--{key.option}")
    return given


def _build(given: Givens) -> Settings:
    groups: dict[str, dict[str, Any]] = {}
    for path, (value, where) in given.items():
        key = BY_PATH[path]
        try:
            groups.setdefault(key.group, {})[key.name] = key.read(value)
        except ValueError as error:
            got = "" if key.secret else f"; got {shown(value)}"
            raise ConfigurationError(f"{where}: expected {error}{got}") from (None if key.secret else error)
    settings = Settings(**groups.pop("", {}))
    settings = replace(
        settings, **{name: replace(getattr(settings, name), **values) for name, values in groups.items()}
    )
    settings = with_addresses(settings, "load.address" in given)
    check_prometheus(settings)
    check_limits(settings)
    return settings if settings.leader_election.name else _with_lease_name(settings)


def _with_lease_name(settings: Settings) -> Settings:
    try:
        name = parse_lease_name(f"peaks-scheduler-{settings.scheduler_name.lower()}")
    except ValueError as error:
        raise ConfigurationError(
            f"schedulerName {settings.scheduler_name!r} makes no name of a Lease: set leaderElection.name"
        ) from error
    return replace(settings, leader_election=replace(settings.leader_election, name=name))


def _misspelt(env: Mapping[str, str]) -> list[str]:
    """Variables that nearly are one of ours. A warning only: Kubernetes itself sets PEAKS_..._PORT for a Service."""
    return [
        f"the environment variable {name} is not read{nearest(name, VARIABLES, 0.9)}"
        for name in sorted(env)
        if name.startswith("PEAKS_") and name not in VARIABLES and nearest(name, VARIABLES, 0.9)
    ]
