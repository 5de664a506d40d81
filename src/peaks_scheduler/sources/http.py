"""One HTTP server that is asked for load: a whole answer within a time, or a LoadError that says what to do.

Owns what asking is like whatever the source: the limits on time and size, the words for a connection that fails, and
how far the server's clock is from ours by its ``Date`` header. Bodies are taken as they come over the wire, counted as
they come: a few kilobytes that were compressed twice unpack to gigabytes before anybody can count them, so that nothing
is asked for compressed and nothing unpacked. Assumes an address that the settings have read. Never retries, never
follows a redirect, never keeps a cookie, never looks into a body, and keeps users and passwords out of every message.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.settings.values import shown
from peaks_scheduler.tls import client_context, explain_tls_error

from .limits import MOST_BODY

MAX_BODY = MOST_BODY
MOST_WORDS = 2**16  # bytes that are taken of an answer which is no success: it is read for its words alone
UNPACKED: Mapping[str, str] = {"Accept-Encoding": "identity"}
_SMALLEST_PART = 2**8  # bytes: a body in more parts than it has of these costs more time to take than it is worth
_PARTS = 2_000  # that any body may have
_PARTS_A_TURN = 50  # of the event loop
# what Go's and nginx' servers answer
_WANTS_TLS = re.compile(rb"HTTP request (to an|was sent to) HTTPS", re.IGNORECASE)
_DATE_RESOLUTION = 1.0  # [s] the header has whole seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    body: bytes | bytearray
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
            headers=UNPACKED,
            cookies=no_cookies(),
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
        most: int = MAX_BODY,
    ) -> Answer:
        """Ask for ``path`` below the URL; with ``form`` the parameters go in a POST's body. Any status is an answer.

        Of a success up to ``most`` bytes are taken, of anything else the first MOST_WORDS. Raises LoadError of kind
        unreachable, dns, timeout or malformed (broken off, compressed, or larger than that).
        """
        url = self.url.copy_with(path=self.url.path.rstrip("/") + path) if path else self.url
        if form:
            request = self._client.build_request("POST", url, data=parameters, headers=headers)
        else:
            request = self._client.build_request("GET", url, params=parameters, headers=headers)
        sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                status, body, date = await self._send(request, auth, most)
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

    async def _send(
        self, request: httpx.Request, auth: tuple[str, str] | None, most: int
    ) -> tuple[int, bytearray, float | None]:
        response = await self._client.send(request, stream=True, auth=auth or httpx.USE_CLIENT_DEFAULT)
        try:
            whole = response.status_code == httpx.codes.OK
            body = await self._body(response, most) if whole else await _words(response)
            return response.status_code, body, _date(response.headers.get("Date"))
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response, most: int) -> bytearray:
        if packed := packing(response):
            raise LoadError("malformed", f"{self.where}: {packed}")
        if _announced(response) > most:
            raise self._too_large(most)
        body, parts = bytearray(), 0
        async for part in response.aiter_bytes():  # of what is not compressed these are the raw ones
            body += part
            parts += 1
            if len(body) > most:
                raise self._too_large(most)
            if parts > _PARTS + most // _SMALLEST_PART:
                raise LoadError("malformed", f"{self.where}: expected a body in parts of some size; got {parts} of it")
            if parts % _PARTS_A_TURN == 0:
                await asyncio.sleep(0)  # parts of a byte come by the thousand without a wait between them
        return body

    def _too_large(self, most: int) -> LoadError:
        return LoadError(
            "malformed",
            f"{self.where}: expected at most {most >> 20} MiB; more came: does it tell of more than this cluster?",
        )

    def _broken(self, error: httpx.HTTPError) -> LoadError:
        if _caused_by(error, socket.gaierror):
            return LoadError("dns", f"{self.where}: its host name does not resolve ({error}): check the address")
        if said := explain_tls_error(error):
            return LoadError("unreachable", f"{self.where}: {said}")
        if isinstance(error, (httpx.RemoteProtocolError, httpx.DecodingError)):
            return LoadError("malformed", f"{self.where}: expected a whole HTTP answer; it broke off ({error})")
        return LoadError(
            "unreachable", f"{self.where}: no connection ({type(error).__name__}: {error}): is it running?"
        )


async def _words(response: httpx.Response) -> bytearray:
    """The first of a body that says what is wrong; nothing of one that is compressed."""
    body = bytearray()
    if packing(response):
        return body
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= MOST_WORDS:
            break
    return body[:MOST_WORDS]


def packing(response: httpx.Response) -> str:
    """What is wrong with an answer that is compressed although nobody asked for it; empty: it is not."""
    encoding = response.headers.get("Content-Encoding", "")
    if all(each.strip().lower() in ("", "identity") for each in encoding.split(",")):
        return ""
    return (
        f"expected a body that is not compressed; got Content-Encoding {shown(encoding)}: switch compression off "
        "there, or in the proxy before it"
    )


def no_cookies() -> CookieJar:
    """Nothing is kept of what a server sets: a new name with every answer would grow for ever, and be sent again."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


def _announced(response: httpx.Response) -> int:
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0


def _dated(status: int, body: bytes | bytearray, date: float | None, sent: float, fetched_at: float) -> Answer:
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
