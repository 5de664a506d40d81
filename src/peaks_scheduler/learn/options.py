"""The options of ``fit`` as one request: which of them belong together, which are missing, and how they are said again.

Assumes that the command line has checked each one for itself. Raises ConfigurationError for what cannot work together.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from ..values import masked, parse_prometheus_address, shown
from .command import Request
from .from_csv import Columns, Units
from .from_prometheus import Server

_SPAN = r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|w|y)"
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_OF_CSV = (
    *("cpu_column", "power_column", "node_column", "node", "time_column"),
    *("cpu_kind", "power_kind", "power_unit", "decimal", "date_order"),
)
_OF_PROMETHEUS = ("range", "step", "cpu_query", "power_query", "token_file", "ca_file", "username", "password_file")


def request_of(flags: Mapping[str, Any]) -> Request:
    """What the options ask for, by the names that Python gives them; None: not said.

    Raises ConfigurationError.
    """
    if (flags["csv"] is None) == (flags["prometheus"] is None):
        raise ConfigurationError("expected --csv FILE or --prometheus URL, one of the two")
    if flags["cores"] is not None and flags["cores"] <= 0.0:
        raise ConfigurationError(f"--cores: expected a number above 0; got {flags['cores']:g}")
    source = _server(flags) if flags["csv"] is None else _columns(flags)
    units = Units(
        flags["cpu_unit"],
        flags["cores"],
        *(flags[name] or "auto" for name in ("cpu_kind", "power_kind", "power_unit")),
    )
    rest = {name: flags[name] for name in ("model", "plot", "out", "force", "output", "scope")}
    return Request(source, units, **rest, words=_words(flags))


def _columns(flags: Mapping[str, Any]) -> Columns:
    _none_of(flags, _OF_PROMETHEUS, "--csv")
    for name in ("cpu_column", "power_column"):
        if flags[name] is None:
            raise ConfigurationError(f"--csv: expected {_option(name)} NAME as well, a column of the file; got none")
    if flags["node"] is not None and flags["node_column"] is not None:
        raise ConfigurationError("expected --node NAME or --node-column NAME, one of the two; got both")
    names = {"path": "csv", "cpu": "cpu_column", "power": "power_column", "node": "node_column", "time": "time_column"}
    given = {field: flags[name] for field, name in names.items()}
    return Columns(**given, name=flags["node"], decimal=flags["decimal"] or "auto", date_order=flags["date_order"])


def _server(flags: Mapping[str, Any]) -> Server:
    _none_of(flags, _OF_CSV, "--prometheus")
    if flags["username"] is not None and flags["token_file"] is not None:
        raise ConfigurationError("expected a token or a user, one of the two; got --token-file and --username")
    if (flags["username"] is None) != (flags["password_file"] is None):
        raise ConfigurationError("expected --username and --password-file, both or none")
    try:
        address = parse_prometheus_address(flags["prometheus"])
    except ValueError as error:
        raise ConfigurationError(f"--prometheus: expected {error}; got {shown(flags['prometheus'])}") from error
    rest = ("power_query", "cpu_query", "cpu_unit", "cores", "token_file", "ca_file", "username", "password_file")
    spans = (seconds("--range", flags["range"] or "7d"), seconds("--step", flags["step"] or "60s"))
    return Server(address, *spans, **{name: flags[name] for name in rest})


def seconds(option: str, text: str) -> float:
    """[s] of a duration as Prometheus writes it: ``7d``, ``1h30m``, ``60s``. Raises ConfigurationError."""
    span = 0.0
    if re.fullmatch(f"(?:{_SPAN})+", text):
        span = sum(float(count) * _SECONDS[unit] for count, unit in re.findall(r"([0-9.]+)([a-z]+)", text))
    if span <= 0.0:
        raise ConfigurationError(f"{option}: expected a duration such as 7d, 12h or 60s; got {text!r}")
    return span


def _none_of(flags: Mapping[str, Any], names: tuple[str, ...], source: str) -> None:
    for name in names:
        if flags[name] is not None:
            other = "--prometheus" if source == "--csv" else "--csv"
            raise ConfigurationError(f"{_option(name)}: expected with {other} only; got it with {source}")


def _words(flags: Mapping[str, Any]) -> str:
    """The command as it could be typed again, for the top of a model file."""
    words = ["peaks-scheduler", "fit"]
    for name, value in flags.items():
        if value is True:
            words.append(_option(name))
        elif value not in (None, False, "auto") and name not in ("output", "plot", "out"):
            words += [_option(name), masked(str(value))]
    return shlex.join(words)


def _option(name: str) -> str:
    return "--" + {"token_file": "prometheus-token-file"}.get(name, name.replace("_", "-"))
