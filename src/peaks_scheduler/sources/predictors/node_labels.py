"""The node labels of WAO 1: which model of a TensorFlow Serving predicts this node, and the ranges of its temperatures.

    tensorflow/host, tensorflow/name       where the model is; tensorflow/port, /version and /signature may be left out
    ambient/max, ambient/min               [C] the inlet temperature is given to the model as (t - min) / (max - min)
    cpu1/max, cpu1/min, cpu2/max, cpu2/min the same for the temperatures of the two CPUs

WAO 1 speaks gRPC with the port of the label, 8500 by default. Here TensorFlow Serving's REST is spoken, which has 8501
by default: a label with 8500 means 8501, any other port counts as it is. The columns are CPU use as a fraction of
capacity, then inlet, CPU 1 and CPU 2, in WAO's order. Never guesses: a label that is missing or no number is an error
that names it. Pure.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.predictors import ServedModel

from .assignment import Assignment

HOST, PORT, NAME = "tensorflow/host", "tensorflow/port", "tensorflow/name"
VERSION, SIGNATURE = "tensorflow/version", "tensorflow/signature"
COLUMNS: Mapping[str, str] = MappingProxyType({"inlet": "ambient", "cpu1": "cpu1", "cpu2": "cpu2"})
"""Column -> prefix of the labels with its range, in the order of the columns behind ``cpu``."""
GRPC_PORT, REST_PORT = 8500, 8501
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def labelled(labels: Mapping[str, str]) -> Assignment | None:
    """The model that the labels of a node give; None: they give none. Raises ConfigurationError for wrong labels."""
    host = labels.get(HOST)
    if host is None:
        return None
    if not _HOST.fullmatch(host):
        raise ConfigurationError(f"label {HOST}: expected a host name or an IPv4 address; got {host[:80]!r}")
    if _of_the_link(host):
        raise ConfigurationError(
            f"label {HOST}: expected the address of a server on the network; got {host[:80]!r}. A kubelet may set this "
            "label, so it cannot name a link-local address: use `predictors.servers` for that"
        )
    if not (name := labels.get(NAME)):
        raise ConfigurationError(f"label {NAME} is missing beside {HOST}: it names the model")
    port, remark = _port(labels)
    model = ServedModel(
        protocol="tensorflow-serving",
        url=f"http://{host}:{port}",
        model=name,
        version=_version(labels),
        signature=labels.get(SIGNATURE, ""),
        inputs=("cpu", *COLUMNS),
        cpu="ratio",
    )
    ranges = {column: _range(labels, prefix) for column, prefix in COLUMNS.items()}
    return Assignment(model, f"labels tensorflow/...{remark}", MappingProxyType(ranges))


def _of_the_link(host: str) -> bool:
    """Is it an address of this link, where the metadata of clouds are served, or none that people write? Loopback is
    not refused: in a pod it is the pod itself."""
    name = host.lower().rstrip(".")
    if not _NUMERIC.fullmatch(name):
        return False
    try:
        address = ipaddress.IPv4Address(name)
    except ValueError:
        return True  # 169.16689662, 0xa9.0xfe.1.1: resolvers read them as addresses too
    return address.is_link_local or address.is_unspecified


def _port(labels: Mapping[str, str]) -> tuple[int, str]:
    text = labels.get(PORT)
    if text is None:
        return REST_PORT, f" (without {PORT}: REST port {REST_PORT})"
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ConfigurationError(f"label {PORT}: expected a port, 1 to 65535; got {text[:80]!r}")
    if int(text) == GRPC_PORT:
        return REST_PORT, f" (its gRPC port {GRPC_PORT} means REST port {REST_PORT})"
    return int(text), ""


def _version(labels: Mapping[str, str]) -> str:
    text = labels.get(VERSION, "")
    if text and not re.fullmatch(r"[0-9]{1,18}", text):
        raise ConfigurationError(f"label {VERSION}: expected a whole number; got {text[:80]!r}")
    return text


def _range(labels: Mapping[str, str], prefix: str) -> tuple[float, float]:
    low, high = (_number(labels, f"{prefix}/{end}") for end in ("min", "max"))
    if not low < high:
        raise ConfigurationError(
            f"labels {prefix}/min and {prefix}/max: expected the second above the first; got {low:g} and {high:g}"
        )
    return low, high


def _number(labels: Mapping[str, str], key: str) -> float:
    text = labels.get(key)
    if text is None:
        raise ConfigurationError(f"label {key} is missing beside {HOST}: the range of a temperature needs it")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ConfigurationError(f"label {key}: expected a number of degrees Celsius such as 36.5; got {text[:80]!r}")
    return value
