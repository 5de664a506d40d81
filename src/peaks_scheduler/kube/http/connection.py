"""The connection to the API server that all our requests share, kopf's included.

Owns the connector of what is read, the kept connections of what is written (``write``), and what every request has in
common, as the middleware of the one and around the other. It

- adds the current Authorization header and the impersonation headers;
- reads our credentials again and sends the request once more, if they are refused (401 or a failed handshake) or if the
  server's certificate is not trusted;
- reports each request to an observer, notes whether it was answered, and learns the API server's clock.

When a certificate changes, new requests use new connections. Assumes request bodies of bytes, which can be sent twice.
Never sends the token to another host (after a redirect), never parses a response, never repeats a request for any other
reason.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import aiohttp
from yarl import URL

from peaks_scheduler import __version__
from peaks_scheduler.kube.login.access import SERVICE_ACCOUNT
from peaks_scheduler.kube.login.credentials import Credentials, Identity, load_credentials
from peaks_scheduler.tls import client_certificate_refused, server_not_trusted

from ..clock import ServerClock
from .kept_connections import KeptConnections, header_lines
from .kopf_responses import KopfResponse, OnMalformed
from .outgoing import JSON, Answer, FencedOffError, Outgoing, failure_words
from .proxied import send_proxied
from .proxies import is_socks, proxy_of
from .reachability import UNAUTHORIZED, Reachability
from .rotating_connector import RotatingConnector

if TYPE_CHECKING:
    import kopf

# inside a cluster, compressing a large list costs both sides more than sending it
ALWAYS = {"User-Agent": f"peaks-scheduler/{__version__}", "Accept-Encoding": "identity"}
REFUSED_PAUSE = 1.0  # [s] before a 401 is passed on: callers try again at once, and must not do so in a hot loop


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


T = TypeVar("T", bound=_Answer)


class RequestObserver(Protocol):
    def __call__(self, method: str, path: str, is_watch: bool, status: int) -> None:
        """A request ended; ``status`` is its HTTP status, 0 if it was not answered."""


def _ignore(method: str, path: str, is_watch: bool, status: int) -> None:
    pass


class Connection:
    """Sessions to one API server that share connections, token and clock. Made by :func:`connect`."""

    def __init__(
        self,
        credentials: Credentials,
        on_request: RequestObserver = _ignore,
        wall_clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """A connection with ``credentials``. Needs a running event loop.

        Args:
            on_request: called after each request.
            wall_clock: [s] since the epoch.
            environ: may name a proxy.

        Raises:
            ConfigurationError: the proxy cannot be used.
        """
        self._credentials, self._on_request, self._wall_clock = credentials, on_request, wall_clock
        self._url = credentials.cluster.server
        self._origin = _origin(self._url)
        self._prefix = self._url.raw_path.rstrip("/")  # some platforms serve the API below a path
        self._tls_server_name = credentials.cluster.tls_server_name
        self._clock = ServerClock()
        self.reachability = Reachability()
        self.on_malformed: OnMalformed | None = None
        """Called for what was skipped in kopf's lists and watches."""
        proxy = proxy_of(credentials.cluster, environ)
        self._http_proxy = None if is_socks(proxy) else proxy
        socks = proxy if is_socks(proxy) else None
        self._connections = RotatingConnector(credentials.tls, credentials.certificate, socks)
        self._kept = None if proxy else KeptConnections(self._url.host or "", self._url.port or 443)
        self._headed: tuple[Identity, tuple[tuple[str, str], ...]] | None = None  # what ``_header_lines`` are for
        self._header_lines = b""
        self.session = self.new_session()

    @property
    def server(self) -> str:
        """Base URL, without a trailing slash."""
        return self._credentials.server

    @property
    def namespace(self) -> str | None:
        """The namespace of our pod; None outside a pod."""
        return self._credentials.namespace

    @property
    def where(self) -> str:
        """The kubeconfig and context, or the service account, for messages."""
        return self._credentials.where

    @property
    def anonymous(self) -> bool:
        """Are requests sent without credentials?"""
        return self._credentials.anonymous

    @property
    def impersonates(self) -> bool:
        """Do we act as another user (``as`` in the kubeconfig)?"""
        return bool(self._credentials.impersonation)

    @property
    def clock_offset(self) -> float:
        """The API server's clock minus ours [s], exact to less than 1 s; 0 before the first response."""
        return self._clock.offset or 0.0

    @property
    def odd_date(self) -> str:
        """The API server's last ``Date`` header, if it is invalid or far from our time; else empty."""
        return self._clock.rejected_date

    def url(self, path: str) -> URL:
        """URL of an encoded path. Takes 1.2 µs; parsing the whole text would take 4.4 µs."""
        return self._url.with_path(self._prefix + path, encoded=True)

    def new_session(self, *, for_kopf: bool = True) -> aiohttp.ClientSession:
        """A session on the shared connections. Closing it leaves them open for the other sessions.

        ``for_kopf``: lists and watches are validated first (``kopf_responses``).
        """
        return aiohttp.ClientSession(
            connector=self._connections,
            connector_owner=False,
            middlewares=(self._middleware,),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=ALWAYS,
            response_class=KopfResponse if for_kopf else aiohttp.ClientResponse,
            proxy=self._http_proxy,
        )

    async def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
        await self.session.close()
        await self._credentials.aclose()
        await self._connections.close()

    async def _middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if _origin(request.url) != self._origin:
            return await handler(request)

        async def send(identity: Identity) -> aiohttp.ClientResponse:
            self._sign(request, identity)
            url = request.url
            noted = self._noted(request.method, url.raw_path, "watch=" in url.raw_query_string, handler(request))
            answer = await noted
            if answer.status == UNAUTHORIZED:
                await answer.read()  # frees the connection for the next request
            elif isinstance(answer, KopfResponse) and self.on_malformed is not None:
                answer.on_malformed = self.on_malformed
            return answer

        return await self._with_credentials(send)

    async def write(self, request: Outgoing) -> Answer:
        """Send a write, once, and wait for its whole answer. ``request.path`` is below the server's own.

        Raises:
            NotSentError, FencedOffError: nothing was sent.
            NoAnswerError: it may have been done.
        """
        if self._kept is None:
            return await send_proxied(self.session, self.url(request.path), request)
        kept, placed = self._kept, replace(request, path=self._prefix + request.path)

        async def send(identity: Identity) -> Answer:
            self._connections.use(identity.tls, identity.certificate)  # watches with an old certificate are cut
            tls = identity.tls if self._url.scheme == "https" else None
            sending = kept.send(placed, self._head(identity), tls, self._tls_server_name)
            return await self._noted(placed.method, placed.path, False, sending)

        return await self._with_credentials(send)

    async def _with_credentials(self, send: Callable[[Identity], Awaitable[T]]) -> T:
        """The answer to a request; where our credentials are refused, they are renewed and it is sent once more."""
        identity = await self._credentials.identity()
        try:
            answer = await send(identity)
        except (aiohttp.ClientError, OSError) as error:
            if not await self._renewed_over(error, identity):
                raise
        else:
            return await self._accepted(answer, identity, send)
        # not inside ``except``: this failure would be taken for the reason of the next one
        return await send(await self._credentials.identity())

    async def _accepted(self, answer: T, identity: Identity, send: Callable[[Identity], Awaitable[T]]) -> T:
        if answer.status == UNAUTHORIZED and await self._credentials.renew(identity):
            answer = await send(await self._credentials.identity())
        if answer.status == UNAUTHORIZED:
            await asyncio.sleep(REFUSED_PAUSE)
        return answer

    async def _renewed_over(self, error: Exception, identity: Identity) -> bool:
        """Have our credentials changed, so that a request whose handshake failed can be sent again? The server has not
        read that request."""
        if client_certificate_refused(error):
            return await self._credentials.renew(identity)
        # a file may have changed within one time stamp; the machine's own authorities are not among our files
        return server_not_trusted(error) and await self._credentials.renew(identity, plugin=False)

    async def _noted(self, method: str, path: str, is_watch: bool, sending: Awaitable[T]) -> T:
        """The answer, once it is noted whether and when it came."""
        sent, status = self._wall_clock(), 0
        try:
            answer = await sending
            status = answer.status
        except FencedOffError:
            raise  # it was never sent
        except (aiohttp.ClientError, OSError) as error:
            self.reachability.failed(failure_words(error))
            raise
        else:
            self.reachability.answered(status)
        finally:
            self._on_request(method, path.removeprefix(self._prefix), is_watch, status)
        self._clock.note(answer.headers.get("Date"), sent, self._wall_clock())
        return answer

    def _head(self, identity: Identity) -> bytes:
        """The header lines of a write that do not depend on what is written."""
        impersonation = self._credentials.impersonation
        if self._headed != (identity, impersonation):
            authorization = [] if identity.authorization is None else [("Authorization", identity.authorization)]
            fields = [("Host", _authority(self._url)), *ALWAYS.items(), ("Accept", JSON)]
            self._headed = identity, impersonation
            self._header_lines = header_lines([*fields, *authorization, *impersonation])
        return self._header_lines

    def _sign(self, request: aiohttp.ClientRequest, identity: Identity) -> None:
        """Add the headers and the certificate of ``identity`` to the request."""
        self._connections.use(identity.tls, identity.certificate)
        if identity.authorization is not None:
            request.headers["Authorization"] = identity.authorization
        if self._tls_server_name is not None:
            request.server_hostname = self._tls_server_name
        impersonation = self._credentials.impersonation
        for name in {name for name, _ in impersonation}:
            request.headers.popall(name, None)  # those of the first attempt
        for name, value in impersonation:
            request.headers.add(name, value)


async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    on_request: RequestObserver = _ignore,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Connection:
    """A connection with the credentials of ``kubeconfig``, else of the pod's service account, else of KUBECONFIG or
    ~/.kube/config.

    Sends no request: the first request shows whether the server can be reached.

    Args:
        context: a context of the kubeconfig; None: its current one.

    Raises:
        ConfigurationError: no configuration was found, or it cannot be used.
    """
    credentials = await load_credentials(kubeconfig, context, environ, service_account)
    return Connection(credentials, on_request, environ=environ)


def as_kopf_login(connection: Connection) -> kopf.AiohttpSession:
    """The result of a ``@kopf.on.login()`` handler, by which kopf uses our connections and our token renewal.

    A new session each time, since kopf closes its session when it stops or is refused. We then still have bindings to
    finish and a lease to release.
    """
    import kopf

    return kopf.AiohttpSession(server=connection.server, aiohttp_session=connection.new_session())


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host, url.port


def _authority(url: URL) -> str:
    """``HOST`` or ``HOST:PORT`` as the Host header has it."""
    host = url.host_subcomponent or ""
    return host if url.is_default_port() else f"{host}:{url.port}"
