"""Prometheus' HTTP API, as far as questions go: an instant query, a range query of any length, and what went wrong.

Owns the credentials of a request, the meaning of a refusal and the limit of 11,000 points a series that Prometheus has.
Serves every server that speaks this API (Thanos, Mimir, VictoriaMetrics, ...). Assumes that a query is PromQL; it is
sent as it stands: which series are ours (``match``) and what names their node (``node_label``) is kept here for those
who write the queries. Never retries, never interprets a value: NaN and infinities come out as floats, times as
Prometheus' own clock has them. Made for an event loop; a command calls it within ``asyncio.run``.

    api = PrometheusApi("https://prometheus.example.org", token_file="/var/run/secrets/token")
    vector = await api.query("up")
    matrix = await api.query_range("kepler_platform_watts", start, end, step=60.0)
"""

import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import httpx

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.files.reading import read_text
from peaks_scheduler.settings.http_headers import HIDDEN, Header, header_value
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers
from peaks_scheduler.settings.values import parse_prometheus_address, shown
from peaks_scheduler.sources.http import Answer, Server
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.tls import client_context

from .answers import Matrix, Sample, Series, Vector, joined, read_failure, read_matrix, read_vector

__all__ = ["MOST_POINTS", "Floats", "Matrix", "PrometheusApi", "Sample", "Series", "Vector"]

T = TypeVar("T")

MOST_POINTS = 11_000
"""Of a series in one answer: Prometheus refuses more."""
_SMALLEST_PART = 500  # fewer steps are not halved: a dead server shall not be asked for ever
_LONG = 2000  # characters of a query that no longer goes into a URL
_OFF_THE_LOOP = 2**16  # a body above this is parsed in a thread: it takes long enough to delay a bind


class PrometheusApi:
    """One server at ``address``, a URL without ``/api/v1``.

    Args:
        token_file: holds a bearer token; read at every request, so that it may be renewed.
        ca_file: certificates to trust instead of the usual ones, PEM.
        username, password_file: basic authentication; the file is read at every request.
        insecure_skip_verify: trust any certificate.
        headers: sent with every request, the tenant of a Mimir, say; a file is read at every request.
        match: which series are ours; for whoever writes a query.
        node_label: names a series' node before the usual labels do; for whoever reads an answer.
        timeout: [s] for one request.
        clock: seconds since the epoch, ours.
        transport: the seam for tests.
        nodes: how many the cluster has, 0 where that is not known: answers of more than it can have are not taken.

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
        tls = _trust(ca_file, insecure_skip_verify) if url.startswith("https") else None
        self._server = Server("Prometheus", url, timeout, clock, transport, tls)
        self._token_file, self._username, self._password_file = token_file, username, password_file
        self._headers, self.match, self.node_label = tuple(headers), match, node_label
        self._timeout, self.nodes = timeout, nodes

    @property
    def where(self) -> str:
        """Its name and address in messages, without user and password."""
        return self._server.where

    async def query(self, promql: str, at: float | None = None, limits: Limits | None = None) -> Vector:
        """What the query is ``at`` that time [s, Prometheus' clock], or now. ``limits`` None: as of one about nodes.

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
        """What the query was at ``start``, ``start + step``, ... up to ``end`` [s, Prometheus' clock].

        A long range is asked for in parts, one after another, so that none exceeds MOST_POINTS a series; a part that
        is too much at once in other ways is halved. ``progress(done, all)`` counts steps.

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
        await self._server.aclose()

    async def _parts(self, promql: str, start: float, step: float, steps: range) -> list[Matrix]:
        try:
            times = {"start": f"{start + steps[0] * step:.3f}", "end": f"{start + steps[-1] * step:.3f}"}
            limits = Limits.of_range(self.nodes())
            answer = await self._ask("/api/v1/query_range", promql, {**times, "step": f"{step:.3f}"}, limits)
            return [await self._read(answer, promql, partial(read_matrix, limits=limits))]
        except LoadError as error:
            if len(steps) < _SMALLEST_PART or not _too_much(error):
                raise
        middle = len(steps) // 2
        halves = [await self._parts(promql, start, step, half) for half in (steps[:middle], steps[middle:])]
        return [part for half in halves for part in half]

    async def _ask(self, path: str, promql: str, parameters: Mapping[str, str], limits: Limits) -> Answer:
        whole = {"query": promql, **parameters, "timeout": f"{self._timeout:g}s"}
        headers, auth = self._credentials()
        form = len(promql) > _LONG
        answer = await self._server.ask(path, whole, headers=headers, auth=auth, form=form, most=limits.body)
        if answer.status != httpx.codes.OK:
            secrets = [value.decode("latin-1") for value in headers.values()] + ([auth[1]] if auth else [])
            raise self._refused(promql, answer, secrets)
        return answer

    def _credentials(self) -> tuple[dict[bytes, bytes], tuple[str, str] | None]:
        """Headers, a token's among them, and user and password where these are what it takes."""
        headers = {each.name.encode("latin-1"): self._value(each).encode("latin-1") for each in self._headers}
        if self._token_file:
            headers[b"Authorization"] = f"Bearer {self._secret(self._token_file, 'token')}".encode("ascii")
        if self._username is None:
            return headers, None
        return headers, (self._username, self._secret(self._password_file, "password") if self._password_file else "")

    def _value(self, header: Header) -> str:
        if header.file is None:
            return header.value or ""
        try:
            return header_value(self._text(header.file, f"{header.name} header's"), header.name)
        except ValueError as error:
            raise LoadError("unauthorized", f"{self.where}: {header.file}: expected {error}") from None

    def _secret(self, path: str, what: str) -> str:
        text = self._text(path, what).strip()
        if not text or not text.isprintable() or (what == "token" and not text.isascii()):
            raise LoadError("unauthorized", f"{self.where}: expected one line of text in its {what} file {path}")
        return text

    def _text(self, path: str, what: str) -> str:
        try:
            return read_text(path)
        except UnicodeDecodeError:
            # its own words have the bytes in them
            raise LoadError("unauthorized", f"{self.where}: its {what} file {path} cannot be read: no text") from None
        except OSError as error:
            raise LoadError("unauthorized", f"{self.where}: its {what} file {path} cannot be read: {error}") from error

    async def _read(self, answer: Answer, promql: str, read: Callable[[bytes | bytearray], T]) -> T:
        try:
            if len(answer.body) > _OFF_THE_LOOP:
                return await off_loop(partial(read, answer.body))
            return read(answer.body)
        except LoadError as error:
            of = f" to {shown(promql)}" if error.kind == "query" else ""
            raise LoadError(error.kind, f"{self.where}{of}: {error}") from error

    def _refused(self, promql: str, answer: Answer, secrets: Iterable[str]) -> LoadError:
        """What a status means, in the server's own words where it has any."""
        status, failure = answer.status, read_failure(answer.body)
        text = _without(failure.text, secrets)
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
    407: ": a proxy that stands before it wants to know who asks",
    422: ": what does it find wrong with the query?",
    429: ": it is asked too much; see its limits",
}
_TENANT = re.compile(r"\b(org ?id|tenant)", re.IGNORECASE)


def _wanted(text: str) -> str:
    """What to do where a server says that it does not know whose series are asked for."""
    return " (a tenant is a header: prometheus.headers, --prometheus-header)" if _TENANT.search(text) else ""


def _without(text: str, secrets: Iterable[str]) -> str:
    """What a server says, without what we told it: it may say a token again."""
    for secret in secrets:
        for part in (secret, secret.removeprefix("Bearer ")):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", HIDDEN, text) if part else text
    return text


def _too_much(error: LoadError) -> bool:
    """Would half of it do? It took too long, has too many samples for the server or too many bytes for us."""
    return error.kind == "timeout" or "too many samples" in str(error) or "MiB; more came" in str(error)


def _trust(ca_file: str | None, anybody: bool) -> ssl.SSLContext:
    try:
        return client_context(read_text(ca_file).encode() if ca_file else None, verify=not anybody)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"caFile {ca_file}: expected certificates in PEM form; got: {error}") from error
