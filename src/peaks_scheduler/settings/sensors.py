"""Settings of sensors: where inlet and CPU temperatures and differential pressure of the nodes come from.

A signal is a named number of a node (``ledger.signals``). Several sources may be given; the first in the order of
``SensorSettings`` that knows a signal of a node counts. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .mappings import parse_fields, parse_names, parse_number, parse_port
from .values import parse_switch, parse_text

CELSIUS, PASCAL = "celsius", "pascal"
UNITS: Mapping[str, str] = MappingProxyType({"inlet": CELSIUS, "cpu1": CELSIUS, "cpu2": CELSIUS, "deltaP": PASCAL})
"""Signal -> its unit. Other names may be used too; their unit is empty."""

IPMI_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"inlet": ("Ambient", "Inlet Temp"), "cpu1": ("CPU1", "CPU1 Temp"), "cpu2": ("CPU2", "CPU2 Temp")}
)
_PORT = re.compile(r"https?://[^/?#]*:([0-9]{1,20})(?:[/?#]|$)")
RESERVED = ("overhead", "carbonIntensity")
"""Signals that other settings bring: no sensor has these names."""

CUSTOM_METRICS: Mapping[str, str] = MappingProxyType({"inlet": "inlet_temp", "deltaP": "delta_p"})


@dataclass(frozen=True, slots=True)
class IpmiExporterSettings:
    """ipmi_exporter on every node, scraped at ``http://ADDRESS:port/metrics``."""

    port: int = 9290
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: IPMI_NAMES)
    """Signal -> names of the sensor, the first that an exporter has counts."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """A server that is asked for each node. ``url`` may have ``{hostname}``, ``{address}`` and ``{octet1}`` to
    ``{octet4}`` of the node's first internal IPv4 address."""

    url: str
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """Where the signals of the nodes come from, in the order in which the sources count."""

    values: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    """Node -> signal -> constant value."""
    queries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Signal -> PromQL, one series a node."""
    ipmi_exporter: IpmiExporterSettings | None = None
    redfish: EndpointSettings | None = None
    """BMCs that tell the inlet temperature."""
    differential_pressure: EndpointSettings | None = None
    """WAO's API of differential pressure, one server for all nodes."""
    custom_metrics: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Signal -> metric of ``custom.metrics.k8s.io``."""
    interval: float = 30.0
    """[s] from one reading to the next. Air changes slowly."""
    timeout: float = 5.0
    """[s] for one server. A BMC takes a second or two."""
    expiry: float = 120.0
    """[s] after which a value does not count any more: four readings missed."""
    neighbours: str = "topology.kubernetes.io/rack"
    """Label of the nodes that share their air: an inlet temperature is compared with theirs. Without the label all
    nodes are neighbours."""

    @property
    def any(self) -> bool:
        """Is any source configured?"""
        return bool(
            self.values
            or self.queries
            or self.custom_metrics
            or self.ipmi_exporter
            or self.redfish
            or self.differential_pressure
        )


# --- parsers ----------------------------------------------------------------------------------------------------------


def parse_values(value: object) -> Mapping[str, Mapping[str, float]]:
    """Constants by node and signal."""
    what = "nodes with their signals and numbers, such as {worker-1: {inlet: 25.0}}"
    if not isinstance(value, Mapping) or not all(isinstance(each, Mapping) for each in value.values()):
        raise ValueError(what)
    return {str(node): {_signal(s): _number(n, what) for s, n in signals.items()} for node, signals in value.items()}


def _signal(name: object) -> str:
    text = str(name)
    if text.partition("/")[0] in RESERVED:
        raise ValueError(f"names of signals other than {' and '.join(RESERVED)}, which other settings bring")
    return text


def _number(value: object, what: str) -> float:
    try:
        return parse_number(value)
    except ValueError as error:
        raise ValueError(what) from error


def parse_words(value: object) -> Mapping[str, str]:
    """Text by signal: queries or metrics."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) and each.strip() for each in value.values()):
        raise ValueError("signals, each with its text, such as {inlet: ...}")
    return {_signal(signal): text.strip() for signal, text in value.items()}


def parse_ipmi_exporter(value: object) -> IpmiExporterSettings:
    """Port and sensor names; names that are given replace the usual ones of their signal alone."""
    found = parse_fields(
        value,
        {"port": parse_port, "names": _parse_sensor_names},
        (),
        "a mapping such as {port: 9290, names: {inlet: [Inlet Temp]}}",
    )
    return IpmiExporterSettings(found.get("port", 9290), {**IPMI_NAMES, **found.get("names", {})})


def _parse_sensor_names(value: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ValueError("signals with the names of their sensors")  # noqa: TRY004
    return {_signal(signal): parse_names(names) for signal, names in value.items()}


def shown_ipmi_exporter(settings: IpmiExporterSettings) -> dict[str, Any]:
    return {"port": settings.port, "names": {signal: list(names) for signal, names in settings.names.items()}}


def parse_endpoint(value: object) -> EndpointSettings:
    """A server's URL, and how to authenticate there."""
    found = parse_fields(
        value,
        {
            "url": _parse_template,
            "username": parse_text,
            "passwordFile": parse_text,
            "caFile": parse_text,
            "insecureSkipVerify": parse_switch,
        },
        ("url",),
        "a mapping such as {url: 'https://bmc-{hostname}', username: .., passwordFile: ..}",
    )
    if ("username" in found) != ("passwordFile" in found):
        raise ValueError("username and passwordFile together")
    return EndpointSettings(
        found["url"],
        found.get("username"),
        found.get("passwordFile"),
        found.get("caFile"),
        found.get("insecureSkipVerify", False),
    )


def _parse_template(value: object) -> str:
    text = parse_text(value).rstrip("/")
    if not text.startswith(("http://", "https://")) or "@" in text:
        raise ValueError("a URL such as https://bmc-{hostname} (user and password have keys of their own)")
    port = _PORT.match(text)
    if port is not None and not 0 < int(port[1]) <= 65535:
        raise ValueError("a URL whose port is from 1 to 65535")
    return text


def shown_endpoint(settings: EndpointSettings) -> dict[str, Any]:
    given = {
        "url": settings.url,
        "username": settings.username,
        "passwordFile": settings.password_file,
        "caFile": settings.ca_file,
        "insecureSkipVerify": settings.insecure_skip_verify or None,
    }
    return {name: value for name, value in given.items() if value is not None}
