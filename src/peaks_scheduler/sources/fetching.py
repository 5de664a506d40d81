"""One HTTP server that is asked for load: a whole answer within a time, or a LoadError that says what to do.

Owns what asking is like whatever the source: the limits on time and size, the words for a connection that fails, and
how far the server's clock is from ours by its ``Date`` header. Assumes an address that the settings have read. Never
retries, never follows a redirect, never looks into a body, and keeps users and passwords out of every message.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.tls import client_context, in_words
from peaks_scheduler.values import shown

MAX_BODY = 64 * 2**20  # 5,000 nodes with all metrics that load-watcher has are 20 MiB
# what Go's and nginx' servers answer
_WANTS_TLS = re.compile(rb"HTTP request (to an|was sent to) HTTPS", re.IGNORECASE)
_DATE_RESOLUTION = 1.0  # [s] the header has whole seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    body: bytes
    fetched_at: float
    """When it was here [s], our clock."""
    clock_offset: float | None
    """The server's clock minus ours [s], to about a second; None: it did not say its time."""
    correction: float
    """[s] to take off the server's times to have them on our clock; 0 where the offset may be chance."""


class Server:
    """One server at ``url``, called ``name`` in messages.

    ``timeout`` [s] bounds a whole request. ``tls`` is the context for https; None: the machine's authorities count.
    ``transport`` is the seam for tests. Raises ConfigurationError for a URL that is none.
    """

    def __init__(
        self,
        name: str,
        url: str,
        timeout: float,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        try:
            whole = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{name}: expected a URL with a host; got {shown(url)}: {error}") from error
        # user and password go aside: httpx logs the URL of every request
        self.url = whole.copy_with(userinfo=b"")
        self.where = f"{name} at {self.url}"
        auth = (whole.username, whole.password) if whole.userinfo else None
        self._clock, self._timeout = clock, timeout
        # a service of the cluster: a proxy for the outside world has no part in it
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=timeout,
            auth=auth,
            # without TLS any context will do: the machine's authorities take a tenth of a second to load
            verify=tls or client_context(verify=self.url.scheme == "https"),
            trust_env=False,
            follow_redirects=False,
        )

    async def ask(
        self,
        path: str = "",
        parameters: Mapping[str, str] | None = None,
        *,
        headers: Mapping[bytes, bytes] | None = None,
        auth: tuple[str, str] | None = None,
        form: bool = False,
    ) -> Answer:
        """Ask for ``path`` below the URL; with ``form`` the parameters go in a POST's body. Any status is an answer.

        Raises LoadError of kind unreachable, dns, timeout or malformed (broken off, or larger than 64 MiB).
        """
        url = self.url.copy_with(path=self.url.path.rstrip("/") + path) if path else self.url
        if form:
            request = self._client.build_request("POST", url, data=parameters, headers=headers)
        else:
            request = self._client.build_request("GET", url, params=parameters, headers=headers)
        sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                status, body, date = await self._send(request, auth)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise LoadError("timeout", f"{self.where}: no whole answer within {self._timeout:g} s") from error
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        if status == httpx.codes.BAD_REQUEST and self.url.scheme == "http" and _WANTS_TLS.search(body[:1000]):
            raise LoadError("unreachable", f"{self.where}: it wants TLS on this port: use https://")
        return _dated(status, body, date, sent, self._clock())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, request: httpx.Request, auth: tuple[str, str] | None) -> tuple[int, bytes, float | None]:
        response = await self._client.send(request, stream=True, auth=auth or httpx.USE_CLIENT_DEFAULT)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    raise LoadError("malformed", f"{self.where}: expected at most {MAX_BODY >> 20} MiB; more came")
            return response.status_code, bytes(body), _date(response.headers.get("Date"))
        finally:
            await response.aclose()

    def _broken(self, error: httpx.HTTPError) -> LoadError:
        if _caused_by(error, socket.gaierror):
            return LoadError("dns", f"{self.where}: its host name does not resolve ({error}): check the address")
        if said := in_words(error):
            return LoadError("unreachable", f"{self.where}: {said}")
        if isinstance(error, (httpx.RemoteProtocolError, httpx.DecodingError)):
            return LoadError("malformed", f"{self.where}: expected a whole HTTP answer; it broke off ({error})")
        return LoadError(
            "unreachable", f"{self.where}: no connection ({type(error).__name__}: {error}): is it running?"
        )


def _dated(status: int, body: bytes, date: float | None, sent: float, fetched_at: float) -> Answer:
    offset = None if date is None else date - (sent + fetched_at) / 2
    # less than the header's resolution, or than the request took, is no difference
    certain = offset is not None and abs(offset) > _DATE_RESOLUTION + (fetched_at - sent) / 2
    return Answer(status, body, fetched_at, offset, offset if offset is not None and certain else 0.0)


def _date(header: str | None) -> float | None:
    """The server's time [s]: the middle of the second that the header names."""
    try:
        return None if header is None else parsedate_to_datetime(header).timestamp() + _DATE_RESOLUTION / 2
    except (ValueError, OverflowError):
        return None


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None
