"""Makes one request of the options of ``fit``: checks which options belong together and which are missing.

Assumes that the command line has checked every option by itself. Raises ConfigurationError for a wrong combination.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.fitting.shared_families import MODELS
from peaks_scheduler.settings.http_headers import HIDDEN, Header, checked_headers
from peaks_scheduler.settings.promql_matchers import EVERYTHING, parse_matchers
from peaks_scheduler.settings.settings import PrometheusSettings
from peaks_scheduler.settings.values import parse_label, parse_prometheus_address, shown
from peaks_scheduler.text.durations import span_of
from peaks_scheduler.text.masking import mask_url

from .command import FitRequest
from .from_csv import CsvColumns, GivenUnits
from .from_prometheus import PrometheusRequest
from .shared_csv import SharedColumns

T = TypeVar("T")

_OF_CSV = (
    *("cpu_column", "power_column", "temperature_column", "node_column", "node", "time_column"),
    *("cpu_kind", "power_kind", "power_unit", "decimal", "date_order"),
)
_OF_SHARED = ("power_csv", "kind_column", "kind_label", "half_life")
_HEADERS = ("prometheus_header", "prometheus_header_file")
_OF_PROMETHEUS = (
    *("range", "step", "cpu_query", "power_query", "temperature_query", "prometheus_match", "node_label", *_HEADERS),
    *("token_file", "ca_file", "username", "password_file"),
)


def request_of(flags: Mapping[str, Any]) -> FitRequest:
    """The request of the options. ``flags``: option, with underscores, -> value; None: not given.

    Raises ConfigurationError.
    """
    if (flags["csv"] is None) == (flags["prometheus"] is None):
        raise ConfigurationError("expected --csv FILE or --prometheus URL, one of the two")
    if flags["cores"] is not None and flags["cores"] <= 0.0:
        raise ConfigurationError(f"--cores: expected a number above 0; got {flags['cores']:g}")
    _check_shared(flags)
    source = _prometheus(flags) if flags["csv"] is None else _shared(flags) if flags["shared"] else _columns(flags)
    units = GivenUnits(
        flags["cpu_unit"],
        flags["cores"],
        *(flags[name] or "auto" for name in ("cpu_kind", "power_kind", "power_unit")),
    )
    rest = {name: flags[name] for name in ("model", "plot", "out", "force", "output", "scope")}
    return FitRequest(source, units, **rest, signal=_signal(flags), words=_words(flags))


def _signal(flags: Mapping[str, Any]) -> str | None:
    """The signal of the temperatures; None: they are not asked for."""
    given, signal = flags["temperature_column"] or flags["temperature_query"], flags["temperature_signal"]
    if signal is None:
        return "inlet" if given else None
    if not given:
        raise ConfigurationError("--temperature-signal: expected --temperature-column or --temperature-query as well")
    if not signal.strip():
        raise ConfigurationError("--temperature-signal: expected the name of a signal, such as inlet; got nothing")
    return str(signal.strip())


def _columns(flags: Mapping[str, Any]) -> CsvColumns:
    _none_of(flags, _OF_PROMETHEUS, "--csv")
    for name in ("cpu_column", "power_column"):
        if flags[name] is None:
            raise ConfigurationError(f"--csv: expected {_option(name)} NAME as well, a column of the file; got none")
    if flags["node"] is not None and flags["node_column"] is not None:
        raise ConfigurationError("expected --node NAME or --node-column NAME, one of the two; got both")
    given = {name: flags[f"{name}_column"] for name in ("cpu", "power", "node", "time", "temperature")}
    return CsvColumns(
        flags["csv"], **given, name=flags["node"], decimal=flags["decimal"] or "auto", date_order=flags["date_order"]
    )


def _check_shared(flags: Mapping[str, Any]) -> None:
    """Raise for options that do not go with --shared, or not without it."""
    if not flags["shared"]:
        for name in _OF_SHARED:
            if flags[name] is not None:
                raise ConfigurationError(f"{_option(name)}: expected with --shared only")
        if flags["model"] == "sqrt":
            raise ConfigurationError("--model sqrt: expected with --shared only")
        return
    if flags["csv"] is None:
        raise ConfigurationError("--shared: expected --csv FILE with the CPU of the nodes; got --prometheus")
    if flags["temperature_column"] is not None:
        raise ConfigurationError(
            "--shared: expected no --temperature-column: one meter has the sum of nodes whose air differs, which does "
            "not tell what the air of one of them costs: measure a node of the kind alone"
        )
    for name in ("node_column", "time_column"):
        if flags[name] is None:
            raise ConfigurationError(f"--shared: expected {_option(name)} NAME as well, a column of the file; got none")
    if flags["model"] not in MODELS:
        raise ConfigurationError(
            f"--model {flags['model']}: expected one of {', '.join(MODELS)} with --shared: a curve that is "
            "linear "
            "in its parameters"
        )


def _shared(flags: Mapping[str, Any]) -> SharedColumns:
    if flags["kind_label"] is not None and flags["kind_column"] is None:
        raise ConfigurationError("--kind-label: expected --kind-column as well, where its values are; got none")
    half_life = None if flags["half_life"] is None else seconds("--half-life", flags["half_life"])
    return SharedColumns(_columns(flags), flags["power_csv"], flags["kind_column"], flags["kind_label"], half_life)


def _prometheus(flags: Mapping[str, Any]) -> PrometheusRequest:
    _none_of(flags, _OF_CSV, "--prometheus")
    if flags["username"] is not None and flags["token_file"] is not None:
        raise ConfigurationError("expected --prometheus-token-file or --username, one of the two; got both")
    headers = _headers(flags)
    if any(each.authenticates for each in headers) and (flags["username"] or flags["token_file"]):
        raise ConfigurationError("expected one way to authenticate; got an Authorization header and another one")
    if (flags["username"] is None) != (flags["password_file"] is None):
        raise ConfigurationError("expected --username and --password-file, both or none")
    address = _read("prometheus", flags["prometheus"], parse_prometheus_address)
    match = EVERYTHING
    if flags["prometheus_match"] is not None:
        match = _read("prometheus_match", flags["prometheus_match"], parse_matchers)
    label = flags["node_label"]
    if label is not None:
        _read("node_label", label, parse_label)
    if any(each.authenticates for each in headers) and "@" in address:
        raise ConfigurationError("expected one way to authenticate; got an Authorization header and a user in the URL")
    access = {name: flags[name] for name in ("token_file", "ca_file", "username", "password_file")}
    prometheus = PrometheusSettings(address, **access, headers=headers, match=match, node_label=label)
    spans = (seconds("--range", flags["range"] or "7d"), seconds("--step", flags["step"] or "60s"))
    asked = {name: flags[name] for name in ("power_query", "cpu_query", "temperature_query", "cpu_unit", "cores")}
    return PrometheusRequest(prometheus, *spans, **asked)


def _read(name: str, value: str, read: Callable[[object], T]) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise ConfigurationError(f"{_option(name)}: expected {error}; got {shown(value)}") from error


def _headers(flags: Mapping[str, Any]) -> tuple[Header, ...]:
    """The headers of the options. An error never contains a value, which may be secret."""
    found: list[Header] = []
    for option in _HEADERS:
        for text in flags[option] or ():
            name, colon, rest = text.partition(":")
            if not colon or not rest.strip():
                words = "'NAME: VALUE'" if option == _HEADERS[0] else "'NAME: FILE'"
                raise ConfigurationError(f"{_option(option)}: expected {words}, such as 'X-Scope-OrgID: team-a'")
            by_file = option != _HEADERS[0]
            found.append(Header(name.strip(), file=rest.strip()) if by_file else Header(name.strip(), rest))
    try:
        return checked_headers(found)
    except ValueError as error:
        raise ConfigurationError(f"{_option(_HEADERS[0])}: expected {error}") from None


def seconds(option: str, text: str) -> float:
    """The seconds of a duration in Prometheus' form: ``7d``, ``1h30m``, ``60s``. Raises ConfigurationError."""
    span = span_of(text)
    if not span:
        raise ConfigurationError(f"{option}: expected a duration such as 7d, 12h or 60s; got {text!r}")
    return span


def _none_of(flags: Mapping[str, Any], names: tuple[str, ...], source: str) -> None:
    """Raise if one of these options was given with ``source``."""
    for name in names:
        if flags[name] not in (None, ()):
            other = "--prometheus" if source == "--csv" else "--csv"
            raise ConfigurationError(f"{_option(name)}: expected with {other} only; got it with {source}")


def _words(flags: Mapping[str, Any]) -> str:
    """The command line, without secrets, for the top of the model file."""
    words = ["peaks-scheduler", "fit"]
    for name, value in flags.items():
        if value is True:
            words.append(_option(name))
        elif name in _HEADERS:
            for text in value or ():
                hidden = f"{text.partition(':')[0]}: {HIDDEN}" if name == _HEADERS[0] else text
                words += [_option(name), hidden]
        elif value not in (None, False, "auto") and name not in ("output", "plot", "out"):
            words += [_option(name), mask_url(str(value))]
    return shlex.join(words)


def _option(name: str) -> str:
    return "--" + {"token_file": "prometheus-token-file"}.get(name, name.replace("_", "-"))
