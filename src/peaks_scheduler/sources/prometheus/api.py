"""Queries through Prometheus' HTTP API: an instant query, and a range query of any length.

Owns the error messages and Prometheus' limit of 11,000 points a series. Works with every
server that has this API (Thanos, Mimir, VictoriaMetrics, ...). Assumes that a query is PromQL and sends it unchanged:
``match`` and ``node_label`` are only kept here, for the code that writes the queries. Never retries, never interprets a
value: NaN and infinities are floats, times are on Prometheus' clock. A command calls it within ``asyncio.run``.

    api = PrometheusApi("https://prometheus.example.org", token_file="/var/run/secrets/token")
    vector = await api.query("up")
    matrix = await api.query_range("kepler_platform_watts", start, end, step=60.0)
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers
from peaks_scheduler.settings.values import parse_prometheus_address, shown
from peaks_scheduler.sources.credentials import Credentials, Secrets
from peaks_scheduler.sources.http_client import HttpClient, HttpResponse, trusted
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.off_loop import off_loop

from .answers import Matrix, Vector, joined, read_matrix, read_vector
from .failures import read_failure

T = TypeVar("T")

MOST_POINTS = 11_000
"""Points of a series in one answer: Prometheus refuses more."""
_SMALLEST_PART = 500  # steps: a smaller part is not halved, so that a dead server is not asked for ever
_LONG = 2000  # characters: a longer query is not sent in a URL
_OFF_THE_LOOP = 2**16  # bytes: a larger body is parsed in a thread, because it takes long enough to delay a bind


class PrometheusApi:
    """The server at ``address``, a URL without ``/api/v1``.

    Args:
        token_file: file with a bearer token; read at every request, because it may be renewed.
        ca_file: PEM file of the certificates to trust instead of the usual ones.
        username, password_file: basic authentication; the file is read at every request.
        insecure_skip_verify: trust any certificate.
        headers: sent with every request, a Mimir tenant, say; their files are read at every request.
        match: which series are ours; for the code that writes queries.
        node_label: label that names a node before the usual ones; for the code that reads answers.
        timeout: [s] for one request.
        clock: [s] since the epoch, ours.
        transport: the seam for tests.
        nodes: number of nodes in the cluster, 0 if it is not known; an answer with too many series is refused.

    Raises ConfigurationError for an address or a CA file that cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        token_file: str | None = None,
        ca_file: str | None = None,
        username: str | None = None,
        password_file: str | None = None,
        insecure_skip_verify: bool = False,
        headers: Sequence[Header] = (),
        match: Matchers = EVERYTHING,
        node_label: str | None = None,
        timeout: float = 30.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
        nodes: Callable[[], int] = lambda: 0,
    ) -> None:
        try:
            url = parse_prometheus_address(address)
        except ValueError as error:
            raise ConfigurationError(f"Prometheus address: expected {error}; got {shown(address)}") from error
        tls = trusted(ca_file, insecure_skip_verify) if url.startswith("https") else None
        self._http = HttpClient("Prometheus", url, timeout, clock, transport, tls)
        self._credentials = Credentials(self._http.where, tuple(headers), username, password_file, token_file)
        self.match, self.node_label = match, node_label
        self._timeout, self.nodes = timeout, nodes

    @property
    def where(self) -> str:
        """The server's name and address for messages, without user and password."""
        return self._http.where

    async def query(self, promql: str, at: float | None = None, limits: Limits | None = None) -> Vector:
        """The value of each series ``at`` that time [s, Prometheus' clock]; None: now.

        ``limits`` of the answer; None: those of a query about nodes.
        Raises LoadError of kind unreachable, dns, timeout, unauthorized, forbidden, malformed, query or http-<status>.
        """
        parameters = {} if at is None else {"time": f"{at:.3f}"}
        limits = limits or Limits.of_vector(self.nodes())
        answer = await self._ask("/api/v1/query", promql, parameters, limits)
        vector = await self._read(answer, promql, partial(read_vector, limits=limits))
        return replace(vector, clock_offset=answer.clock_offset, correction=answer.correction)

    async def query_range(
        self,
        promql: str,
        start: float,
        end: float,
        step: float,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Matrix:
        """The values of each series at ``start``, ``start + step``, ... up to ``end`` [s, Prometheus' clock].

        A long range is asked for in parts, one after another, of at most MOST_POINTS a series; a part that is too much
        for the server in another way is halved. ``progress(done, all)`` counts steps.

        Raises LoadError as ``query`` does, and ValueError for a range that ends before it starts.
        """
        if not (end >= start and step >= 0.001):
            raise ValueError(f"expected start <= end and a step of a millisecond or more; got {start}, {end}, {step}")
        steps = int((end - start) / step + 1e-9) + 1
        parts: list[Matrix] = []
        for first in range(0, steps, MOST_POINTS):
            last = min(first + MOST_POINTS, steps)
            parts += await self._parts(promql, start, step, range(first, last))
            if progress:
                progress(last, steps)
        return joined(parts)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _parts(self, promql: str, start: float, step: float, steps: range) -> list[Matrix]:
        try:
            times = {"start": f"{start + steps[0] * step:.3f}", "end": f"{start + steps[-1] * step:.3f}"}
            limits = Limits.of_range(self.nodes())
            answer = await self._ask("/api/v1/query_range", promql, {**times, "step": f"{step:.3f}"}, limits)
            return [await self._read(answer, promql, partial(read_matrix, limits=limits))]
        except LoadError as error:
            if len(steps) < _SMALLEST_PART or not too_much(error):
                raise
        middle = len(steps) // 2
        halves = [await self._parts(promql, start, step, half) for half in (steps[:middle], steps[middle:])]
        return [part for half in halves for part in half]

    async def _ask(self, path: str, promql: str, parameters: Mapping[str, str], limits: Limits) -> HttpResponse:
        whole = {"query": promql, **parameters, "timeout": f"{self._timeout:g}s"}
        secrets = self._credentials.read()
        form = len(promql) > _LONG
        answer = await self._http.ask(
            path, whole, headers=secrets.headers, auth=secrets.auth, form=form, most=limits.body
        )
        if answer.status != httpx.codes.OK:
            raise self._refused(promql, answer, secrets)
        return answer

    async def _read(self, response: HttpResponse, promql: str, read: Callable[[bytes | bytearray], T]) -> T:
        try:
            if len(response.body) > _OFF_THE_LOOP:
                return await off_loop(partial(read, response.body))
            return read(response.body)
        except LoadError as error:
            of = f" to {shown(promql)}" if error.kind == "query" else ""
            raise LoadError(error.kind, f"{self.where}{of}: {error}") from error

    def _refused(self, promql: str, response: HttpResponse, secrets: Secrets) -> LoadError:
        """The error for a status that is no success, with the server's own message if there is one."""
        status, failure = response.status, read_failure(response.body)
        text = secrets.without(failure.text)
        said = f": {text}" if text else ""
        if status == 401:
            why = said or ": the token, or user and password, are not accepted"
            return LoadError("unauthorized", f"{self.where}: 401{why}{_wanted(text)}")
        if status == 403:
            return LoadError("forbidden", f"{self.where}: 403: the token or user may not query it{said}{_wanted(text)}")
        if failure.type in ("bad_data", "execution"):
            return LoadError("query", f"{self.where}: it refused {shown(promql)}{said}")
        if failure.type in ("timeout", "canceled"):
            return LoadError("timeout", f"{self.where}: it gave up on {shown(promql)}{said}")
        remedy = _REMEDIES.get(status, ": see its log")
        return LoadError(f"http-{status}", f"{self.where}: expected 200; got {status}{said}{_wanted(text) or remedy}")


_REMEDIES = {
    302: ": does it want a login?",
    404: ": is this the address of a Prometheus, without /api/v1?",
    407: ": a proxy in front of it wants credentials",
    422: ": what is wrong with the query?",
    429: ": too many requests; see its limits",
}
_TENANT = re.compile(r"\b(org ?id|tenant)", re.IGNORECASE)


def _wanted(text: str) -> str:
    """A remedy if the server says that a tenant is missing; else empty."""
    return " (a tenant is a header: prometheus.headers, --prometheus-header)" if _TENANT.search(text) else ""


def too_much(error: LoadError) -> bool:
    """May half of the range work? The answer took too long, or was too large for the server or for us."""
    return error.kind == "timeout" or "too many samples" in str(error) or "MiB; more came" in str(error)
