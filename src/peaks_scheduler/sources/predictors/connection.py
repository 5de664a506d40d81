"""One connection to an inference server, for all of its models: JSON in time, or a PredictorError that says what to do.

Owns the credentials, the time limit (of a request with its retries), the bound on requests at once, the retries, and
the pauses after failures: of a model, and of the whole server once several of its models cannot be reached. The HTTP
client is made at the first request, so that a wrong address or a missing CA file is an error of the question, and of no
other server. Never reads what an answer means.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError, PredictorError
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.credentials import Credentials, Secrets
from peaks_scheduler.sources.http_client import HttpClient, HttpResponse, trusted
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.failures import read_failure
from peaks_scheduler.tls import server_not_trusted

from .circuit import Circuit

AT_ONCE = 8
"""Requests to one server at the same time."""
RETRIES = 2
FEW_BYTES = 2**20
"""That every answer may have."""
_FIRST_PAUSE = 0.2  # [s] before the first retry; twice as long before the next
_BUSY = (429, 502, 503, 504)


class Connection:
    """The server at ``url``, without ``/v1`` and ``/v2``.

    Args:
        timeout: [s] for one request, retries included.
        clock: [s] monotonic.
        transport: the seam for tests.
    """

    def __init__(
        self,
        url: str,
        access: Access,
        timeout: float,
        clock: Callable[[], float],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.where = f"inference server at {without_user(url)}"
        """For messages."""
        self._url, self._access, self._timeout = url, access, timeout
        self._clock, self._transport = clock, transport
        self._http: HttpClient | None = None
        self._closed = False
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._circuits: dict[str, tuple[Circuit, PredictorError]] = {}
        """"" for the server, a path for what fails there: with the last failure."""

    def now(self) -> float:
        """[s] monotonic."""
        return self._clock()

    async def ask(self, path: str, content: bytes | None = None, most: int = FEW_BYTES) -> bytes | bytearray:
        """The body of a success: of a GET, or of a POST of ``content``, which is JSON; at most ``most`` bytes.

        Raises PredictorError of kind configuration, unreachable, dns, timeout, unauthorized, forbidden, malformed,
        closed or http-<status>.
        """
        async with self._slots:
            self._admit(path)
            try:
                body = await self._in_time(path, content, most)
            except LoadError as error:
                if server_not_trusted(error):
                    await self._renew()
                found = PredictorError(error.kind, str(error))
                self._note(path, found, error)
                raise found from error
            self._circuits.pop("", None)
            self._circuits.pop(path, None)
            return body

    async def aclose(self) -> None:
        """Close the connections. Questions that come later are refused."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    def _admit(self, path: str) -> None:
        """Raises the last failure where the server or the model has a pause."""
        now, known = self._clock(), [self._circuits[key] for key in ("", path) if key in self._circuits]
        for circuit, last in known:
            if circuit.rests(now):
                raise PredictorError(last.kind, f"{last} (it has failed several times and is asked less often)")
        for circuit, _ in known:
            circuit.admits(now)

    def _note(self, path: str, found: PredictorError, cause: LoadError) -> None:
        """Whether this failure is the server's, one model's, or neither's."""
        if _is_trouble(cause) or found.kind == "timeout" or found.kind in _BUSY_KINDS:
            self._count("", found, part=path)
            self._count(path, found)
            return
        self._circuits.pop("", None)  # it answers
        if found.kind.startswith("http-5"):
            self._count(path, found)
        else:
            self._circuits.pop(path, None)

    def _count(self, key: str, found: PredictorError, part: str | None = None) -> None:
        circuit = self._circuits[key][0] if key in self._circuits else Circuit()
        circuit.failed(self._clock(), part)
        self._circuits[key] = (circuit, found)

    async def _in_time(self, path: str, content: bytes | None, most: int) -> bytes | bytearray:
        client = await self._client()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._persistently(client, path, content, most, limit.when())
        except TimeoutError as error:
            raise LoadError("timeout", f"{self.where}: no whole answer within {self._timeout:g} s") from error

    async def _persistently(
        self, client: HttpClient, path: str, content: bytes | None, most: int, until: float | None
    ) -> bytes | bytearray:
        """Up to RETRIES times again, while the pauses leave time for it (``until`` [s] on the loop's clock)."""
        for retries in range(RETRIES + 1):
            try:
                return await self._once(client, path, content, most)
            except _PassingError as error:
                passing = error
            # by chance longer, so that many do not come back at once
            pause = max(_FIRST_PAUSE * 2**retries, passing.retry_after) * random.uniform(1.0, 1.5)
            if retries == RETRIES or (until and asyncio.get_running_loop().time() + pause >= until):
                break
            await asyncio.sleep(pause)
        raise passing.failure

    async def _once(self, client: HttpClient, path: str, content: bytes | None, most: int) -> bytes | bytearray:
        if self._closed:
            raise LoadError("closed", f"{self.where}: no node has a model of this server any more")
        secrets = self._credentials().read()
        try:
            answer = await client.ask(path, headers=secrets.headers, auth=secrets.auth, content=content, most=most)
        except LoadError as error:
            if _is_trouble(error) and not server_not_trusted(error):
                raise _PassingError(error) from error
            raise
        if answer.status == httpx.codes.OK:
            return answer.body
        failure = _refused(self.where, path, answer, secrets)
        raise _PassingError(failure, answer.retry_after or 0.0) if answer.status in _BUSY else failure

    async def _client(self) -> HttpClient:
        if self._http is None:
            try:
                # in a thread: to load the machine's authorities takes a tenth of a second
                tls = await off_loop(self._context) if self._url.startswith("https") else None
                client = HttpClient("inference server", self._url, self._timeout, self._clock, self._transport, tls)
            except ConfigurationError as error:
                raise PredictorError("configuration", str(error)) from error
            if self._http is None:
                self._http = client
        return self._http

    def _context(self) -> ssl.SSLContext:
        return trusted(self._access.ca_file, self._access.insecure_skip_verify)

    async def _renew(self) -> None:
        """Read the CA file again at the next request: it may be another one by then."""
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()

    def _credentials(self) -> Credentials:
        access = self._access
        return Credentials(
            self.where, access.headers, access.username, access.password_file, access.token_file, access.basic
        )


def without_user(url: str) -> str:
    """The URL as a message may have it."""
    try:
        return str(httpx.URL(url).copy_with(userinfo=b""))
    except httpx.InvalidURL:
        return shown(url)


class _PassingError(Exception):
    """A failure that may pass: the server may be asked again, after ``retry_after`` [s] if it says so."""

    def __init__(self, failure: LoadError, retry_after: float = 0.0) -> None:
        super().__init__(str(failure))
        self.failure, self.retry_after = failure, retry_after


_BUSY_KINDS = tuple(f"http-{status}" for status in _BUSY)


def _is_trouble(error: LoadError) -> bool:
    """Did the connection fail or break off? It may have been closed while it was idle."""
    return error.kind != "timeout" and isinstance(error.__cause__, httpx.TransportError)


def _refused(where: str, path: str, answer: HttpResponse, secrets: Secrets) -> LoadError:
    """The error for a status that is no success, with the server's own words."""
    text = secrets.without(read_failure(answer.body).text)
    said = f": {text}" if text else ""
    if answer.status == 401:
        return LoadError("unauthorized", f"{where}: 401{said or ': the token, or user and password, are not accepted'}")
    if answer.status == 403:
        return LoadError("forbidden", f"{where}: 403: the token or user may not use {path}{said}")
    remedy = _REMEDIES.get(answer.status, ": see its log")
    return LoadError(f"http-{answer.status}", f"{where}: {path}: expected 200; got {answer.status}{said}{remedy}")


_REMEDIES = {
    302: ": does it want a login?",
    400: ": does the model take these inputs?",
    404: ": does it serve this model, in this version?",
    413: ": the question is too large for it",
    422: ": does the model take these inputs?",
    429: ": too many requests; see its limits",
}
