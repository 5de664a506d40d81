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
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.load import LoadReport, NodeLoad
from peaks_scheduler.values import parse_address, shown

MAX_BODY = 64 * 2**20  # 5,000 nodes with all metrics that load-watcher has are 20 MiB
_OFF_THE_LOOP = 2**20  # a body above this is parsed in a thread: it takes long enough to delay a bind
_OPERATORS = ("avg", "latest", "")
# "Latest" is no average over the window: metrics-server, whence it comes, scrapes at most this far apart
_LATEST_SECONDS = 60.0
_FULL, _BEYOND_BELIEF = 100.0, 110.0
_DATE_RESOLUTION = 1.0
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
            url = httpx.URL(parse_address(address) + "/watcher")
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(f"load address: expected {error}; got {shown(address)}") from error
        self._clock = clock
        self._timeout = timeout
        # user and password go aside: httpx logs the URL of every request
        self._url = url.copy_with(userinfo=b"")
        auth = (url.username, url.password) if url.userinfo else None
        # a service of the cluster: a proxy for the outside world has no part in it
        self._client = httpx.AsyncClient(transport=transport, timeout=timeout, auth=auth, trust_env=False)

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError of kind unreachable, dns, timeout, http-<status>, empty or malformed."""
        sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                body, date = await self._get()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise LoadError("timeout", f"{self._where}: no whole answer within {self._timeout:g} s") from error
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        fetched_at = self._clock()
        offset = None if date is None else date - (sent + fetched_at) / 2
        # the header has whole seconds: less than that, or than the request took, is no difference
        correction = offset if offset is not None and abs(offset) > _DATE_RESOLUTION + (fetched_at - sent) / 2 else 0.0
        try:
            if len(body) > _OFF_THE_LOOP:
                return await asyncio.to_thread(read_report, body, fetched_at, offset, correction)
            return read_report(body, fetched_at, offset, correction)
        except LoadError as error:
            raise LoadError(error.kind, f"{self._where}: {error}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def _where(self) -> str:
        return f"load-watcher at {self._url}"

    async def _get(self) -> tuple[bytes, float | None]:
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != httpx.codes.OK:
                raise self._refused(response.status_code)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    raise LoadError("malformed", f"{self._where}: expected at most {MAX_BODY >> 20} MiB; more came")
            return bytes(body), _date(response.headers.get("Date"))

    def _refused(self, status: int) -> LoadError:
        remedy = {
            404: "is this the address of a load-watcher (port 2020), without a path?",
            500: "it has nothing cached yet, or its metrics provider does not answer: see its log",
        }.get(status, "see its log")
        return LoadError(f"http-{status}", f"{self._where}: expected 200; got {status}: {remedy}")

    def _broken(self, error: httpx.HTTPError) -> LoadError:
        if _caused_by(error, socket.gaierror):
            return LoadError("dns", f"{self._where}: its host name does not resolve ({error}): check the address")
        if isinstance(error, (httpx.RemoteProtocolError, httpx.DecodingError)):
            return LoadError("malformed", f"{self._where}: expected a whole HTTP answer; it broke off ({error})")
        return LoadError(
            "unreachable", f"{self._where}: no connection ({type(error).__name__}: {error}): is it running?"
        )


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def _date(header: str | None) -> float | None:
    """The server's time [s]: the middle of the second that the header names."""
    try:
        return None if header is None else parsedate_to_datetime(header).timestamp() + _DATE_RESOLUTION / 2
    except (ValueError, OverflowError):
        return None


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
    problems: dict[str, list[str]] = {}
    if (ahead := end - fetched_at) > _FUTURE_SECONDS:
        # its clock runs ahead and no Date header told; left there, the load would seem fresh long after it is not
        start, end = start - ahead, end - ahead
        problems["its window ends in the future: taken to end now"] = []
    loads = {}
    for key, node in nodes.items():
        cpu = _cpu(node)
        if cpu.problem:
            problems.setdefault(cpu.problem, []).append(key)
        if cpu.fraction is not None:
            since = max(start, end - _LATEST_SECONDS) if cpu.operator == "latest" else start
            loads[key] = NodeLoad(cpu.fraction, since, end)
    texts = tuple(_problem_text(problem, keys) for problem, keys in problems.items())
    if not loads:
        raise LoadError("empty", f"expected the CPU use of some node; got none: {'; '.join(texts)}")
    return LoadReport(MappingProxyType(loads), timestamp, fetched_at, clock_offset, texts)


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
    metrics = node.get("metrics") if isinstance(node, dict) else None
    ranked: dict[str, Any] = {}
    for metric in metrics if isinstance(metrics, list) else ():
        if isinstance(metric, dict) and str(metric.get("type")).lower() == "cpu":
            ranked.setdefault(str(metric.get("operator") or "").lower(), metric.get("value"))
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
    raise LoadError("malformed", f"expected data.NodeMetricsMap; got data with {_names(list(data)) or 'nothing'}")


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


def _problem_text(problem: str, keys: list[str]) -> str:
    return f"{problem}: {_names(keys)}" if keys else problem


def _names(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
