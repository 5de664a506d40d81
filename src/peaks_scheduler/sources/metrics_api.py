"""The ``metrics.k8s.io`` API, which metrics-server serves through the API server: its lists and their items.

Owns the wire format (quantities, RFC 3339 times, Go durations) and the messages for an API that is missing, does not
work or is forbidden. The caller passes ``get_json``, which asks the API server. Never retries.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.errors import Forbidden, KubeError, LoadError, NotFound, QuantityError
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.quantity import parse_quantity
from peaks_scheduler.settings.values import parse_duration, shown

from .limits import MOST_NAME

GetJson = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]
"""Gives the API server's JSON object for a path and a query. Raises KubeError."""

GROUP = "/apis/metrics.k8s.io/v1beta1"
PAGE = "500"  # metrics-server answers everything at once, other implementations may not
_WHERE = "metrics-server (metrics.k8s.io)"
_INSTALL = "install metrics-server, or find out why its APIService v1beta1.metrics.k8s.io is not available"


@dataclass(frozen=True, slots=True)
class Usage:
    """The measured use of one item."""

    cores: float
    memory: float | None
    """[bytes] of the working set."""
    window_start: float
    """[s] since the epoch, the cluster's clock."""
    window_end: float
    """[s] as ``window_start``."""


async def items(get_json: GetJson, resource: str, most: int) -> list[Mapping[str, Any]]:
    """Every item of ``resource`` (``nodes`` or ``pods``), up to ``most`` of them.

    Raises LoadError of kind not-installed, unavailable, forbidden, unreachable or malformed.
    """
    found: list[Mapping[str, Any]] = []
    query = {"limit": PAGE}
    while True:
        answer = await _page(get_json, resource, query)
        listed = answer.get("items")
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise LoadError("malformed", f"{_WHERE}: expected a list of {resource}; got {shown(listed)}")
        found += listed
        if len(found) > most:
            raise LoadError("malformed", f"{_WHERE}: expected at most {most:,} {resource} in this cluster; more came")
        metadata = answer.get("metadata")
        token = metadata.get("continue") if isinstance(metadata, dict) else None
        if not token or not listed:  # an empty page is the last one
            return found
        query = {"limit": PAGE, "continue": str(token)}


async def _page(get_json: GetJson, resource: str, query: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return await get_json(f"{GROUP}/{resource}", query)
    except NotFound as error:
        raise LoadError("not-installed", f"{_WHERE}: {error}: {_INSTALL}") from error
    except Forbidden as error:
        right = f"the right to list {resource} of metrics.k8s.io is missing"
        raise LoadError("forbidden", f"{_WHERE}: {error}: {right} (manifests/rbac.yaml)") from error
    except KubeError as error:
        if error.status >= 500:
            raise LoadError("unavailable", f"{_WHERE}: {error}: {_INSTALL}") from error
        kind = f"http-{error.status}" if error.status else "unreachable"
        raise LoadError(kind, f"{_WHERE}: {error}") from error


def name_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name; empty if it is missing or no valid name."""
    metadata = item.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    namespace, name = (known.get(each) for each in ("namespace", "name"))
    return _word(namespace), _word(name)


def _word(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= MOST_NAME else ""


def usage_of(item: Mapping[str, Any], usages: Sequence[object]) -> Usage:
    """The use of ``item``: the sum of ``usages``, which are its own or its containers'.

    Raises ValueError whose text says what is wrong with it.
    """
    end = parse_time(str(item.get("timestamp") or "")[:64])
    if end is None:
        raise ValueError("no time of its measurement")
    try:
        length = parse_duration(item.get("window"))
    except ValueError as error:
        raise ValueError("no window of its measurement") from error
    known = [usage for usage in usages if isinstance(usage, dict)]
    if len(known) < len(usages):
        raise ValueError("no cpu usage that is a quantity")
    memories = [_quantity(usage, "memory") for usage in known if "memory" in usage]
    cores = sum(_quantity(usage, "cpu") for usage in known)
    return Usage(cores, sum(memories) if memories else None, end - length, end)


def _quantity(usage: Mapping[str, Any], name: str) -> float:
    try:
        amount = float(parse_quantity(usage[name]))
    except (KeyError, TypeError, QuantityError) as error:
        raise ValueError(f"no {name} usage that is a quantity") from error
    if amount < 0.0:
        raise ValueError(f"a negative {name} usage")
    return amount
