"""An HTTP client for one server: it gives a whole response in time, or a LoadError that says what to do.

Owns what all HTTP sources share: the limits on time and size, the messages for a connection that fails, and the offset
of the server's clock, from its ``Date`` header. Nothing is requested compressed and nothing is unpacked: a few
kilobytes that were compressed twice become gigabytes before anyone can count them. Assumes an address that the settings
have checked. Never retries, never follows a redirect, never keeps a cookie, never reads a body's content, and keeps
user names and passwords out of every message.
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
from peaks_scheduler.files.reading import read_text
from peaks_scheduler.settings.values import shown
from peaks_scheduler.tls import client_context, explain_tls_error

from .limits import MOST_BODY

MAX_BODY = MOST_BODY
MOST_WORDS = 2**16  # bytes that are read of a response that is no success, for its error message
_JSON: Mapping[bytes, bytes] = {b"Content-Type": b"application/json"}
UNPACKED: Mapping[str, str] = {"Accept-Encoding": "identity"}
_SMALLEST_PART = 2**8  # bytes: a body in many smaller parts is refused, because it takes too much time to read
_PARTS = 2_000  # that every body may have
_PARTS_A_TURN = 50  # of the event loop
# the text of Go's and nginx' servers
_WANTS_TLS = re.compile(rb"HTTP request (to an|was sent to) HTTPS", re.IGNORECASE)
_DATE_RESOLUTION = 1.0  # [s] the header has whole seconds


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response."""

    status: int
    body: bytes | bytearray
    fetched_at: float
    """When the last byte came [s], our clock."""
    clock_offset: float | None
    """The server's clock minus ours [s], to about a second; None: it did not tell its time."""
    correction: float
    """[s] to subtract from the server's times to get ours; 0 if the offset is within the error of its measurement."""
    retry_after: float | None = None
    """[s] that the server wants to be left alone; None: it does not say."""


class HttpClient:
    """A client for the server at ``url``, which messages call ``name``.

    Args:
        timeout: [s] for a whole request.
        tls: the context for https; None: the machine's certificate authorities are trusted.
        transport: the seam for tests.

    Raises ConfigurationError for an invalid URL.
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
        # user and password are kept apart: httpx logs the URL of every request
        self.url = whole.copy_with(userinfo=b"")
        self.where = f"{name} at {self.url}"
        auth = (whole.username, whole.password) if whole.userinfo else None
        self._clock, self._timeout = clock, timeout
        # trust_env=False: the server is in the cluster, so that no proxy is used
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=timeout,
            auth=auth,
            headers=UNPACKED,
            cookies=no_cookies(),
            # without TLS the context is not used, and loading the machine's authorities takes a tenth of a second
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
        content: bytes | None = None,
        most: int = MAX_BODY,
    ) -> HttpResponse:
        """The response to a request for ``path`` below the URL, whatever its status.

        With ``form`` the parameters are sent in the body of a POST; ``content`` is JSON to be sent in one. Up to
        ``most`` bytes of a success are read, and the first MOST_WORDS of anything else. Raises LoadError of kind
        unreachable, dns, timeout or malformed (broken off, compressed, or larger than ``most``).
        """
        sent = self._clock()
        try:
            request = self._request(path, parameters, headers, form=form, content=content)
            async with asyncio.timeout(self._timeout):
                response, body = await self._send(request, auth, most)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise LoadError("timeout", f"{self.where}: no whole answer within {self._timeout:g} s") from error
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        except (UnicodeError, OverflowError, ExceptionGroup) as error:  # a host or port that the libraries cannot use
            why = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            raise LoadError(
                "dns", f"{self.where}: its host or port cannot be used ({why}): check the address"
            ) from error
        if (
            response.status_code == httpx.codes.BAD_REQUEST
            and self.url.scheme == "http"
            and _WANTS_TLS.search(body[:1000])
        ):
            raise LoadError("unreachable", f"{self.where}: it wants TLS on this port: use https://")
        return _response(response, body, sent, self._clock())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _request(
        self,
        path: str,
        parameters: Mapping[str, str] | None,
        headers: Mapping[bytes, bytes] | None,
        *,
        form: bool,
        content: bytes | None,
    ) -> httpx.Request:
        url = self.url.copy_with(path=self.url.path.rstrip("/") + path) if path else self.url
        if content is not None:
            return self._client.build_request("POST", url, content=content, headers={**(headers or {}), **_JSON})
        if form:
            return self._client.build_request("POST", url, data=parameters, headers=headers)
        return self._client.build_request("GET", url, params=parameters, headers=headers)

    async def _send(
        self, request: httpx.Request, auth: tuple[str, str] | None, most: int
    ) -> tuple[httpx.Response, bytearray]:
        response = await self._client.send(request, stream=True, auth=auth or httpx.USE_CLIENT_DEFAULT)
        try:
            whole = response.status_code == httpx.codes.OK
            return response, await self._body(response, most) if whole else await _words(response)
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response, most: int) -> bytearray:
        if packed := packing(response):
            raise LoadError("malformed", f"{self.where}: {packed}")
        if _announced(response) > most:
            raise self._too_large(most)
        body, parts = bytearray(), 0
        async for part in response.aiter_bytes():  # uncompressed, as checked above
            body += part
            parts += 1
            if len(body) > most:
                raise self._too_large(most)
            if parts > _PARTS + most // _SMALLEST_PART:
                raise LoadError("malformed", f"{self.where}: expected a body in parts of some size; got {parts} parts")
            if parts % _PARTS_A_TURN == 0:
                await asyncio.sleep(0)  # thousands of tiny parts may come without a wait between them
        return body

    def _too_large(self, most: int) -> LoadError:
        return LoadError(
            "malformed",
            f"{self.where}: expected at most {most >> 20} MiB; more came: does it serve more than this cluster?",
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
    """The first MOST_WORDS of a body that says what is wrong; empty if it is compressed."""
    body = bytearray()
    if packing(response):
        return body
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= MOST_WORDS:
            break
    return body[:MOST_WORDS]


def packing(response: httpx.Response) -> str:
    """What is wrong with a response that is compressed although it was not asked for; empty: not compressed."""
    encoding = response.headers.get("Content-Encoding", "")
    if all(each.strip().lower() in ("", "identity") for each in encoding.split(",")):
        return ""
    return (
        f"expected a body that is not compressed; got Content-Encoding {shown(encoding)}: switch compression off "
        "there, or in the proxy in front of it"
    )


def trusted(ca_file: str | None, any_certificate: bool) -> ssl.SSLContext:
    """The context that trusts the certificates in this PEM file, or (None) in this machine's store. Raises
    ConfigurationError for a file that cannot be used."""
    try:
        return client_context(read_text(ca_file).encode() if ca_file else None, verify=not any_certificate)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"caFile {ca_file}: expected certificates in PEM form; got: {error}") from error


def no_cookies() -> CookieJar:
    """A jar that keeps no cookie: a server that sets a new name with every response would fill it for ever."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


def _announced(response: httpx.Response) -> int:
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0


def _response(response: httpx.Response, body: bytes | bytearray, sent: float, fetched_at: float) -> HttpResponse:
    date = _date(response.headers.get("Date"))
    offset = None if date is None else date - (sent + fetched_at) / 2
    # the measurement's error: the header's resolution, and half of the time that the request took
    certain = offset is not None and abs(offset) > _DATE_RESOLUTION + (fetched_at - sent) / 2
    correction = offset if offset is not None and certain else 0.0
    after = response.headers.get("Retry-After", "")
    # a date instead of seconds is not read: it would be on the server's clock
    retry_after = float(after) if re.fullmatch(r"[0-9]{1,9}", after) else None
    return HttpResponse(response.status_code, body, fetched_at, offset, correction, retry_after)


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
