"""Load from a load-watcher (the trimaran plugins' collector): ``GET /watcher``, every node's CPU use in percent.

Owns the wire contract and which of a node's several numbers counts. Assumes that the server's clock is what its
``Date`` header says, and brings all times onto ours by it. Never judges age: load-watcher serves its last answer for
ever with 200 when its Prometheus is gone, and whoever uses the load sees that from the window's end. Never retries: the
next interval comes soon.

What counts of a node's CPU metrics: operator AVG, else Latest, else none named (older servers). Percent becomes a
fraction; a value that is no number, not finite or negative drops the node, so does one above 110 %; up to there it
counts as full load.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from peaks_scheduler.documents import few
from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.load import LoadReport, NodeLoad
from peaks_scheduler.values import parse_address, shown

from .fetching import Server
from .problems import Problems

_OFF_THE_LOOP = 2**20  # a body above this is parsed in a thread: it takes long enough to delay a bind
_OPERATORS = ("avg", "latest", "")
# "Latest" is no average over the window: metrics-server, whence it comes, scrapes at most this far apart
_LATEST_SECONDS = 60.0
_FULL, _BEYOND_BELIEF = 100.0, 110.0
_FUTURE_SECONDS = 5.0
_YEAR_3000 = 32_503_680_000.0  # beyond it a time is in milliseconds


class LoadWatcher:
    """One load-watcher at ``address``, a URL without the path. ``clock`` gives seconds since the epoch.

    ``timeout`` [s] bounds a whole fetch. ``transport`` is the seam for tests. Raises ConfigurationError for a wrong
    address.
    """

    name = "load-watcher"

    def __init__(
        self,
        address: str,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        try:
            url = parse_address(address) + "/watcher"
        except ValueError as error:
            raise ConfigurationError(f"load address: expected {error}; got {shown(address)}") from error
        self._server = Server(self.name, url, timeout, clock, transport)

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError of kind unreachable, dns, timeout, http-<status>, empty or malformed."""
        answer = await self._server.ask()
        if answer.status != httpx.codes.OK:
            raise self._refused(answer.status)
        read = partial(read_report, answer.body, answer.fetched_at, answer.clock_offset, answer.correction)
        try:
            return await asyncio.to_thread(read) if len(answer.body) > _OFF_THE_LOOP else read()
        except LoadError as error:
            raise LoadError(error.kind, f"{self._server.where}: {error}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    def _refused(self, status: int) -> LoadError:
        remedy = {
            404: "is this the address of a load-watcher (port 2020), without a path?",
            500: "it has nothing cached yet, or its metrics provider does not answer: see its log",
        }.get(status, "see its log")
        return LoadError(f"http-{status}", f"{self._server.where}: expected 200; got {status}: {remedy}")


def read_report(
    body: bytes | str, fetched_at: float, clock_offset: float | None = None, correction: float = 0.0
) -> LoadReport:
    """A load-watcher answer as a report; also how a recorded answer is read.

    ``correction`` [s] is taken off the answer's times to have them on our clock. Raises LoadError (empty, malformed).
    """
    answer = _object(_parsed(body), "the answer")
    nodes = _nodes(answer)
    if not nodes:
        raise LoadError("empty", _NO_NODES)
    timestamp = _number(answer, "timestamp") - correction
    start, end = (edge - correction for edge in _window(answer))
    problems = Problems()
    if (ahead := end - fetched_at) > _FUTURE_SECONDS:
        # its clock runs ahead and no Date header told; left there, the load would seem fresh long after it is not
        start, end = start - ahead, end - ahead
        problems.add("its window ends in the future: taken to end now")
    loads = {}
    for key, node in nodes.items():
        cpu = _cpu(node)
        if cpu.problem:
            problems.add(cpu.problem, key)
        if cpu.fraction is not None:
            since = max(start, end - _LATEST_SECONDS) if cpu.operator == "latest" else start
            loads[key] = NodeLoad(cpu.fraction, since, end, memory_share=_memory(node))
    if not loads:
        raise LoadError("empty", f"expected the CPU use of some node; got none: {'; '.join(problems.texts())}")
    return LoadReport(MappingProxyType(loads), timestamp, fetched_at, clock_offset, problems.texts())


class _Cpu(NamedTuple):
    """One node's CPU use, None where none can be used, and what is odd about it."""

    fraction: float | None
    operator: str = ""
    problem: str = ""


_MISSING = "no CPU metric (has its Prometheus the recording rule instance:node_cpu:ratio?)"
_NO_NODES = (
    "expected some nodes; got an empty NodeMetricsMap: has its Prometheus the recording rule instance:node_cpu:ratio, "
    "and node_exporters to scrape?"
)


def _cpu(node: Any) -> _Cpu:
    ranked = _by_operator(node, "cpu")
    operator = next((name for name in _OPERATORS if name in ranked), None)
    if operator is None:
        return _Cpu(None, problem=_MISSING)
    percent = ranked[operator]
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or percent != percent:
        return _Cpu(None, problem="a CPU value that is no number")
    if not 0.0 <= percent <= _BEYOND_BELIEF:
        return _Cpu(None, problem=f"a CPU value outside 0..{_BEYOND_BELIEF:g} %")
    above = "" if percent <= _FULL else "a CPU value above 100 %, taken as 100 %"
    return _Cpu(min(percent, _FULL) / _FULL, operator, above)


def _memory(node: Mapping[str, Any]) -> float | None:
    """Share of the node's memory in use; None where it is not said or cannot be true: the node's CPU counts anyway."""
    ranked = _by_operator(node, "memory")
    percent = next((ranked[name] for name in _OPERATORS if name in ranked), None)
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0.0 <= percent <= _FULL:
        return None
    return percent / _FULL


def _by_operator(node: Any, kind: str) -> dict[str, Any]:
    """Operator in lower case -> value of the first metric of this kind and operator."""
    metrics = node.get("metrics") if isinstance(node, dict) else None
    ranked: dict[str, Any] = {}
    for metric in metrics if isinstance(metrics, list) else ():
        if isinstance(metric, dict) and str(metric.get("type")).lower() == kind:
            ranked.setdefault(str(metric.get("operator") or "").lower(), metric.get("value"))
    return ranked


def _parsed(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        text = body[:40].decode("utf-8", "replace") if isinstance(body, bytes) else body[:40]
        raise LoadError(
            "malformed", f"expected JSON; got {len(body)} bytes beginning {text!r} that are none ({error}): cut short?"
        ) from error


def _nodes(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = _object(answer.get("data"), "data")
    if "NodeMetricsMap" in data:
        return _object(data["NodeMetricsMap"] or {}, "data.NodeMetricsMap")
    if any(isinstance(node, dict) and "metrics" in node for node in data.values()):
        raise LoadError(
            "malformed",
            "expected the nodes under data.NodeMetricsMap, where a running load-watcher has them; got them under data, "
            "as in the example of its documentation",
        )
    raise LoadError("malformed", f"expected data.NodeMetricsMap; got data with {few(list(data), 3) or 'nothing'}")


def _window(answer: Mapping[str, Any]) -> tuple[float, float]:
    window = _object(answer.get("window"), "window")
    start, end = _number(window, "start"), _number(window, "end")
    if not start < end:
        raise LoadError("malformed", f"expected a window that starts before it ends; got {start:g} to {end:g}")
    return start, end


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise LoadError("malformed", f"expected {what} to be an object; got {shown(value)}")
    return value


def _number(mapping: Mapping[str, Any], name: str) -> float:
    value = mapping.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _YEAR_3000:
        raise LoadError("malformed", f"expected {name} in seconds since 1970; got {shown(value)}")
    return float(value)
