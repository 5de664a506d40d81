"""Parsers for the values of settings (durations, URLs, addresses, switches), and their text for people.

A parser takes any value that a YAML file, an environment variable or an option can hold. It raises ValueError whose
text completes "expected ...": the caller knows where the value was given. No parser knows which setting it is for.
Pure.
"""

import re
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from peaks_scheduler.errors import QuantityError
from peaks_scheduler.objects.quantity import milli, parse_quantity
from peaks_scheduler.objects.supported_fields import HARMLESS, SUPPORTED, is_unknown
from peaks_scheduler.text.durations import EXPECTED, seconds_of
from peaks_scheduler.text.masking import mask_url

DEFAULT_PORT = 10261
LOAD_SOURCES = ("load-watcher", "metrics-server", "prometheus")
USAGE_SOURCES = ("metrics-server", "prometheus")
MOST_SAMPLES = 100  # largest podUsage.minSamples; more than twice as many are kept
_FIELD = re.compile(r"spec\.[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where ``/livez``, ``/readyz``, ``/metrics`` and ``/configz`` are served."""

    host: str | None = None
    """Address or name to bind; None: all addresses of both families."""
    port: int = DEFAULT_PORT
    """0: any free port."""

    def __str__(self) -> str:
        host = self.host if self.host is not None else "::"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_address(value: object) -> str:
    """URL of a load source, without ``/`` and ``/watcher`` at its end."""
    # some configurations give the URL of load-watcher's page
    return _url(value, "http://load-watcher.kube-system.svc:2020", "/watcher")


def parse_prometheus_address(value: object) -> str:
    """URL of a Prometheus, without ``/`` and ``/api/v1`` at its end."""
    return _url(value, "http://prometheus.monitoring.svc:9090", "/api/v1")


def _url(value: object, example: str, page: str) -> str:
    expected = f"a URL such as {example}"
    try:
        url = urlsplit(value.strip() if isinstance(value, str) else "")
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0 and not (url.query or url.fragment)
    except ValueError as error:
        raise ValueError(expected) from error
    if not good or re.search(r"\s", url.geturl()):
        raise ValueError(expected)
    return urlunsplit(url._replace(path=url.path.rstrip("/").removesuffix(page)))


def parse_duration(value: object) -> float:
    """[s] of a Go duration: ``15s``, ``1m30s``, ``500ms``; above 0."""
    seconds = seconds_of(value)
    if seconds is None:
        raise ValueError(EXPECTED)
    return seconds


def parse_text(value: object) -> str:
    """The text without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text (in quotes where it looks like a number)")
    return value.strip()


def parse_word(words: tuple[str, ...], value: object) -> str:
    """The value, which has to be one of ``words``."""
    if value not in words:
        raise ValueError(f"`{'`, `'.join(words[:-1])}` or `{words[-1]}`")
    return str(value)


def parse_percentile(value: object) -> float:
    """A number above 0, up to 100."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value <= 100.0:
        raise ValueError("a percentile: a number above 0, up to 100")
    return float(value)


def parse_share(value: object) -> float:
    """A fraction between 0 and 1, out of ``20%`` or ``0.2``."""
    text = value.strip() if isinstance(value, str) else ""
    number: object = value
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text):
        number = float(text.removesuffix("%")) / 100.0
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0.0 < number < 1.0:
        raise ValueError("a part of the whole, such as 20% or 0.2")
    return float(number)


def share_text(share: float) -> str:
    """The fraction in percent, as ``parse_share`` reads it."""
    return f"{100.0 * share:g}%"


def parse_samples(value: object) -> int:
    """A number of observations, from 1 to ``MOST_SAMPLES``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SAMPLES:
        raise ValueError(f"a whole number from 1 to {MOST_SAMPLES}")
    return value


def parse_label(value: object) -> str:
    """Name of a label, as Prometheus allows it."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("the name of a label of Prometheus, such as node or instance")
    return value


def parse_cpu(value: object) -> int:
    """[millicores] of a CPU quantity; above 0."""
    try:
        millicores = milli(parse_quantity(value))
    except (QuantityError, TypeError) as error:
        raise ValueError("a CPU quantity such as 100m or 0.5") from error
    if millicores <= 0:
        raise ValueError("a CPU quantity above 0: a pod without a request is not free")
    return millicores


def parse_watts(value: object) -> float:
    """[W] 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= sys.float_info.max:
        raise ValueError("watts, 0 or more")
    return float(value)


def parse_field_paths(value: object) -> frozenset[str]:
    """Paths of fields of a pod's spec. Fields that this version knows are refused."""
    if not isinstance(value, list) or not all(isinstance(path, str) and _FIELD.fullmatch(path) for path in value):
        raise ValueError("a list of paths of fields of a pod, such as [spec.newField]")
    for path in value:
        if not is_unknown(path) or path.removeprefix("spec.") in SUPPORTED | HARMLESS:
            raise ValueError(f"fields that this version does not know; it knows {path}")
    return frozenset(value)


def parse_listen(value: object) -> Listen:
    """Host and port of ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``."""
    match = re.fullmatch(
        r"(\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^\s:\[\]]*):([0-9]{1,5})", value if isinstance(value, str) else ""
    )
    if match is None or int(match[2]) > 65535:
        raise ValueError("HOST:PORT such as :10261, 0.0.0.0:10261 or [::1]:0")
    host = match[1].strip("[]")
    return Listen(host if host not in ("", "::", "*") else None, int(match[2]))


def parse_switch(value: object) -> bool:
    """True or false, as YAML or an environment variable writes it."""
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError("true or false")
    return words[value.lower()]


def parse_lease_name(value: object) -> str:
    """Name of a Lease, as the API server allows it."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", value):
        raise ValueError("a name of a Lease: lower-case letters, digits, - and .")
    return value


def duration_text(seconds: float) -> str:
    """The duration in seconds, as ``parse_duration`` reads it."""
    return f"{seconds:g}s"


def shown(value: object) -> str:
    """The value for an error message: at most 80 characters, without a password."""
    text = repr(mask_url(value) if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."
