"""Settings of predictors: servers that predict a node's watts from its CPU use and its sensors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from peaks_scheduler.text.masking import mask_url

from .http_headers import Header, parse_headers, shown_headers
from .mappings import Parser, parse_fields, parse_labels, parse_names, parse_number
from .values import parse_prometheus_address, parse_switch, parse_text, parse_word

PROTOCOLS = ("v2", "tensorflow-serving")
CPU_UNITS = ("ratio", "percent", "cores")
CPU_TEMPERATURES = ("hold", "follow")


@dataclass(frozen=True, slots=True)
class Access:
    """How to authenticate at a server. Secrets of the configuration stay in files, which are read at each request."""

    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    insecure_skip_verify: bool = False
    headers: tuple[Header, ...] = ()
    basic: tuple[str, str] | None = field(default=None, repr=False)
    """User and password that an API object gave; only in memory. They count before ``username``."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model on an inference server, and how it wants to be asked."""

    protocol: str
    """``v2`` or ``tensorflow-serving``."""
    url: str
    """Base URL, without ``/v2`` and ``/v1``."""
    model: str
    version: str = ""
    """Empty: the one that the server chooses."""
    signature: str = ""
    """TensorFlow Serving: ``signature_name``; empty: the default."""
    inputs: tuple[str, ...] = ("cpu", "inlet", "deltaP")
    """The columns in their order: ``cpu``, and names of signals."""
    cpu: str = "ratio"
    """Unit of the column ``cpu``: ``ratio``, ``percent`` or ``cores``."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Column -> (min, max): the column is (value - min) / (max - min)."""
    access: Access = Access()

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that it needs."""
        return tuple(each for each in self.inputs if each != "cpu")


@dataclass(frozen=True, slots=True)
class ServerRule:
    """Which nodes have this model: by name, or by their labels."""

    model: ServedModel
    nodes: tuple[str, ...] = ()
    selector: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PredictorSettings:
    """Which models predict the power of the nodes, and how often they are asked."""

    servers: tuple[ServerRule, ...] = ()
    """They count before everything that the cluster says. The first rule that matches a node counts."""
    node_labels: bool = True
    """Read the node labels of WAO 1: ``tensorflow/host`` and its kin."""
    node_configs: bool = True
    """Read NodeConfig and NodeConfigTemplate of WAO 2, where the cluster has these kinds."""
    node_config_ca_file: str | None = None
    """CAs of the servers that they name; None: the usual ones. A NodeConfig itself cannot say it."""
    node_config_insecure_skip_verify: bool = False
    """Do not verify these servers, as WAO never does."""
    refresh: float = 30.0
    """[s] from one round over all nodes to the next."""
    step: float = 1.0
    """A signal that moved by more than this, in its unit, asks anew at once."""
    expiry: float = 120.0
    """[s] that a prediction counts: four rounds missed."""
    timeout: float = 5.0
    """[s] for one request."""
    cpu_temperature: str = "hold"
    """``hold``: CPU temperatures stay as they are at any use. ``follow``: above the inlet they rise with the power."""


# --- parsers ----------------------------------------------------------------------------------------------------------

_EXPECTED = "a list of servers such as [{nodeSelector: {rack: r1}, protocol: v2, url: .., model: ..}]"


def parse_servers(value: object) -> tuple[ServerRule, ...]:
    """The rules of ``predictors.servers``, in their order."""
    if not isinstance(value, list):
        raise ValueError(_EXPECTED)  # noqa: TRY004
    return tuple(_rule(each) for each in value)


def _rule(value: object) -> ServerRule:
    found = parse_fields(value, _FIELDS, ("protocol", "url", "model"), _EXPECTED)
    if ("nodes" in found) == ("nodeSelector" in found):
        raise ValueError(f"{_EXPECTED}: each server needs `nodes` or `nodeSelector`, and not both")
    if ("username" in found) != ("passwordFile" in found):
        raise ValueError(f"{_EXPECTED}: username and passwordFile belong together")
    if "username" in found and "tokenFile" in found:
        raise ValueError(f"{_EXPECTED}: one way to authenticate, not username and tokenFile")
    inputs = found.get("inputs", ("cpu", "inlet", "deltaP"))
    if inputs.count("cpu") != 1 or len(set(inputs)) != len(inputs):
        raise ValueError(f"{_EXPECTED}: inputs name each column once, and `cpu` among them")
    for name in found.get("ranges", {}):
        if name not in inputs:
            raise ValueError(f"{_EXPECTED}: ranges are for inputs; {name} is none of {', '.join(inputs)}")
    model = ServedModel(
        found["protocol"],
        found["url"],
        found["model"],
        found.get("version", ""),
        found.get("signature", ""),
        inputs,
        found.get("cpu", "ratio"),
        found.get("ranges", {}),
        Access(
            found.get("username"),
            found.get("passwordFile"),
            found.get("tokenFile"),
            found.get("caFile"),
            found.get("insecureSkipVerify", False),
            found.get("headers", ()),
        ),
    )
    return ServerRule(model, found.get("nodes", ()), found.get("nodeSelector"))


def _parse_ranges(value: object) -> Mapping[str, tuple[float, float]]:
    what = "ranges such as {inlet: [10, 40]}, the second number above the first"
    if not isinstance(value, Mapping):
        raise ValueError(what)  # noqa: TRY004
    return {str(name): _range(pair, what) for name, pair in value.items()}


def _range(value: object, what: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(what)
    low, high = (parse_number(each) for each in value)
    if not low < high:
        raise ValueError(what)
    return low, high


def _parse_version(value: object) -> str:
    # YAML reads a version as a number
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else parse_text(value)


_FIELDS: Mapping[str, Parser] = {
    "nodes": parse_names,
    "nodeSelector": parse_labels,
    "protocol": partial(parse_word, PROTOCOLS),
    "url": parse_prometheus_address,
    "model": parse_text,
    "version": _parse_version,
    "signature": parse_text,
    "inputs": parse_names,
    "cpu": partial(parse_word, CPU_UNITS),
    "ranges": _parse_ranges,
    "username": parse_text,
    "passwordFile": parse_text,
    "tokenFile": parse_text,
    "caFile": parse_text,
    "insecureSkipVerify": parse_switch,
    "headers": parse_headers,
}


def shown_servers(rules: tuple[ServerRule, ...]) -> list[dict[str, Any]] | None:
    """The rules as the file has them, without secrets; None: there are none."""
    return [_shown(rule) for rule in rules] or None


def _shown(rule: ServerRule) -> dict[str, Any]:
    model, access = rule.model, rule.model.access
    given = {
        "nodes": list(rule.nodes) or None,
        "nodeSelector": None if rule.selector is None else dict(rule.selector),
        "protocol": model.protocol,
        "url": mask_url(model.url),
        "model": model.model,
        "version": model.version or None,
        "signature": model.signature or None,
        "inputs": list(model.inputs),
        "cpu": model.cpu,
        "ranges": {name: list(pair) for name, pair in model.ranges.items()} or None,
        "username": access.username,
        "passwordFile": access.password_file,
        "tokenFile": access.token_file,
        "caFile": access.ca_file,
        "insecureSkipVerify": access.insecure_skip_verify or None,
        "headers": shown_headers(access.headers) or None,
    }
    return {name: value for name, value in given.items() if value is not None}
