"""Load from a load-watcher (the trimaran plugins' collector): ``GET /watcher``, the CPU use of all nodes in percent.

Owns the wire format and the choice among a node's metrics. Assumes that the server's clock is what its ``Date`` header
says, and converts all times to our clock. Never judges the age of a load: without its Prometheus load-watcher serves
its last answer for ever with status 200, and the window's end tells. Never retries: the next interval comes soon.

Of a node's CPU metrics the one with operator AVG is used, else Latest, else one without an operator (older servers).
Percent becomes a fraction. A node whose value is no number, not finite, negative or above 110 % is left out; a value
from 100 to 110 % counts as full load.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.settings.values import parse_address, shown
from peaks_scheduler.text.words import few

from .http_client import HttpClient
from .json_reader import JsonReader
from .limits import MOST_NAME, Limits
from .off_loop import off_loop
from .problems import Problems

_OFF_THE_LOOP = 2**16  # bytes: a larger body is parsed in a thread, because it takes long enough to delay a bind
_OPERATORS = ("avg", "latest", "")
# "Latest" is no average over the window: it comes from metrics-server, which scrapes at least this often
_LATEST_SECONDS = 60.0
_FULL, _MOST_PLAUSIBLE = 100.0, 110.0  # [percent]
_FUTURE_SECONDS = 5.0
_ANY = Limits.of_nodes(0)
_YEAR_3000 = 32_503_680_000.0  # a later time is in milliseconds


class LoadWatcher:
    """The load-watcher at ``address``, a URL without the path.

    Args:
        timeout: [s] for a whole fetch.
        clock: [s] since the epoch, ours.
        transport: the seam for tests.
        nodes: number of nodes in the cluster, 0 if it is not known; an answer with too many is refused.

    Raises ConfigurationError for a wrong address.
    """

    name = "load-watcher"

    def __init__(
        self,
        address: str,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
        nodes: Callable[[], int] = lambda: 0,
    ) -> None:
        try:
            url = parse_address(address) + "/watcher"
        except ValueError as error:
            raise ConfigurationError(f"load address: expected {error}; got {shown(address)}") from error
        self._http = HttpClient(self.name, url, timeout, clock, transport)
        self._nodes = nodes

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError of kind unreachable, dns, timeout, http-<status>, empty or malformed."""
        limits = Limits.of_nodes(self._nodes())
        answer = await self._http.ask(most=limits.body)
        if answer.status != httpx.codes.OK:
            raise self._refused(answer.status)
        read = partial(read_report, answer.body, answer.fetched_at, answer.clock_offset, answer.correction, limits)
        try:
            return await off_loop(read) if len(answer.body) > _OFF_THE_LOOP else read()
        except LoadError as error:
            raise LoadError(error.kind, f"{self._http.where}: {error}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _refused(self, status: int) -> LoadError:
        remedy = {
            404: "is this the address of a load-watcher (port 2020), without a path?",
            500: "it has nothing cached yet, or its metrics provider does not answer: see its log",
        }.get(status, "see its log")
        return LoadError(f"http-{status}", f"{self._http.where}: expected 200; got {status}: {remedy}")


def read_report(
    body: bytes | bytearray | str,
    fetched_at: float,
    clock_offset: float | None = None,
    correction: float = 0.0,
    limits: Limits = _ANY,
) -> LoadReport:
    """A load-watcher answer, fresh or recorded, as a report.

    ``correction`` [s] is subtracted from the answer's times to get ours. Raises LoadError (empty, malformed).
    """
    answer = _parsed(body.encode("utf-8", "replace") if isinstance(body, str) else body, limits)
    if answer.nodes is None:
        raise _no_map(answer)
    if not answer.nodes:
        raise LoadError("empty", _NO_NODES)
    timestamp = _number(answer.fields, "timestamp") - correction
    start, end = (edge - correction for edge in _window(answer.fields))
    problems = Problems()
    for problem in answer.problems:
        problems.add(problem)
    if (ahead := end - fetched_at) > _FUTURE_SECONDS:
        # its clock is ahead and there was no Date header; uncorrected, the load would seem fresh for too long
        start, end = start - ahead, end - ahead
        problems.add("its window ends in the future: taken to end now")
    loads = {}
    for key, (cpu, memory) in answer.nodes.items():
        if cpu.problem:
            problems.add(cpu.problem, key)
        if cpu.fraction is not None:
            since = max(start, end - _LATEST_SECONDS) if cpu.operator == "latest" else start
            loads[key] = NodeLoad(cpu.fraction, since, end, memory_share=memory)
    if not loads:
        raise LoadError("empty", f"expected the CPU use of some node; got none: {'; '.join(problems.texts())}")
    return LoadReport(MappingProxyType(loads), timestamp, fetched_at, clock_offset, problems.texts())


class _Cpu(NamedTuple):
    """One node's CPU use, and its problem in words."""

    fraction: float | None
    """None: there is no usable value."""
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
    if not 0.0 <= percent <= _MOST_PLAUSIBLE:
        return _Cpu(None, problem=f"a CPU value outside 0..{_MOST_PLAUSIBLE:g} %")
    above = "" if percent <= _FULL else "a CPU value above 100 %, taken as 100 %"
    return _Cpu(min(percent, _FULL) / _FULL, operator, above)


def _memory(node: Any) -> float | None:
    """Share of the node's memory in use; None if it is missing or wrong, which is no problem: CPU use is enough."""
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


@dataclass(slots=True)
class _Parsed:
    """The useful parts of an answer."""

    fields: dict[str, Any] = field(default_factory=dict)
    """``timestamp`` and ``window``."""
    data: list[str] = field(default_factory=list)
    """The first keys of ``data`` other than ``NodeMetricsMap``, for messages."""
    nodes: dict[str, tuple[_Cpu, float | None]] | None = None
    """Name -> CPU use and share of memory in use; None: there is no ``NodeMetricsMap``."""
    flat: bool = False
    """Is a node directly in ``data``?"""
    problems: set[str] = field(default_factory=set)


def _parsed(body: bytes | bytearray, limits: Limits) -> _Parsed:
    reader, answer = JsonReader(body), _Parsed()
    try:
        for key in _members(reader, "the answer"):
            if key == "data":
                _read_data(reader, answer, limits)
            elif key in _FIELDS:
                answer.fields[key] = reader.value()
            else:
                reader.value()
        reader.end()
    except (ValueError, RecursionError) as error:
        text = bytes(body[:40]).decode("utf-8", "replace")
        raise LoadError(
            "malformed", f"expected JSON; got {len(body)} bytes that begin with {text!r} ({error}): cut short?"
        ) from error
    if "data" not in answer.fields:
        raise LoadError("malformed", "expected data to be an object; got None")
    return answer


_FIELDS = ("timestamp", "window")


def _members(reader: JsonReader, what: str) -> Iterator[str]:
    """The members of the next value, called ``what`` in messages. Raises LoadError if it is no object."""
    if reader.kind() != "{":
        raise LoadError("malformed", f"expected {what} to be an object; got {shown(reader.value())}")
    return reader.members()


def _read_data(reader: JsonReader, answer: _Parsed, limits: Limits) -> None:
    answer.fields["data"] = True
    for number, key in enumerate(_members(reader, "data"), 1):
        limits.count(number, "nodes")
        if key == "NodeMetricsMap":
            answer.nodes = _read_nodes(reader, answer.problems, limits)
            continue
        value = reader.value()
        answer.flat |= isinstance(value, dict) and "metrics" in value
        answer.data += [key] if len(answer.data) < _SHOWN else []


_SHOWN = 4


def _read_nodes(reader: JsonReader, problems: set[str], limits: Limits) -> dict[str, tuple[_Cpu, float | None]]:
    nodes: dict[str, tuple[_Cpu, float | None]] = {}
    if reader.kind() == "n":  # Go writes null for an empty map
        reader.value()
        return nodes
    for number, key in enumerate(_members(reader, "data.NodeMetricsMap"), 1):
        limits.count(number, "nodes")
        node = reader.value()
        if len(key) > MOST_NAME or not key.isprintable():
            problems.add("a name that no node can have")
            continue
        if key in nodes:
            problems.add("a name that comes twice, the last one is used")
        nodes[key] = _cpu(node), _memory(node)
    return nodes


def _no_map(answer: _Parsed) -> LoadError:
    if answer.flat:
        return LoadError(
            "malformed",
            "expected the nodes under data.NodeMetricsMap, where a running load-watcher has them; got them under data, "
            "as in the example of its documentation",
        )
    return LoadError(
        "malformed",
        f"expected data.NodeMetricsMap; got data with {shown(few(answer.data, 3)) if answer.data else 'nothing'}",
    )


def _window(answer: Mapping[str, Any]) -> tuple[float, float]:
    window = answer.get("window")
    if not isinstance(window, dict):
        raise LoadError("malformed", f"expected window to be an object; got {shown(window)}")
    start, end = _number(window, "start"), _number(window, "end")
    if not start < end:
        raise LoadError("malformed", f"expected a window that starts before it ends; got {start:g} to {end:g}")
    return start, end


def _number(mapping: Mapping[str, Any], name: str) -> float:
    value = mapping.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _YEAR_3000:
        raise LoadError("malformed", f"expected {name} in seconds since 1970; got {shown(value)}")
    return float(value)
