"""Open connections to the API server, and their change to new certificates.

Owns the connection pool that all sessions share. ``use`` with another TLS context starts a new pool. Idle connections
of the old pool are not used again; requests in flight finish. A connection shows its client certificate only once, when
it opens. So when our certificate changes, connections that are still busy after ``GRACE`` (the watches) are cut, and
kopf starts the watches again. When only the authority changes they stay open: the server was trusted when they opened.
Never chooses credentials.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Awaitable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from peaks_scheduler.tls import ClientCertificate

from .proxies import SocksConnector, without_password

CONNECT_TIMEOUT = 3.0  # [s] a reachable server accepts within milliseconds
KEEPALIVE = 60.0  # [s] of an idle connection; the API server closes its side after 90 s
GRACE = 15.0  # [s] for requests that use the old certificate; ours take 10 s at most


class RotatingConnector(aiohttp.BaseConnector):
    """A connector that sends every request through the pool of the current TLS context."""

    def __init__(
        self, tls: ssl.SSLContext, certificate: ClientCertificate | None = None, socks: URL | None = None
    ) -> None:
        super().__init__()
        self._tls, self._certificate, self._socks = tls, certificate, socks
        self._pool = _Pool(self._connector())
        self._retired: dict[asyncio.Task[None], _Pool] = {}

    def use(self, tls: ssl.SSLContext, certificate: ClientCertificate | None = None) -> None:
        """Use this context for every new connection; ``certificate`` is the one it shows."""
        if tls is self._tls:
            return
        self._tls, old = tls, self._pool
        self._pool = _Pool(self._connector())
        if certificate != self._certificate:
            self._certificate = certificate
            for pool in (old, *self._retired.values()):
                pool.outdated = True
        self._retire(old)

    def _retire(self, old: _Pool) -> None:
        closing = asyncio.create_task(old.close_later(), name="old connections")
        self._retired[closing] = old
        closing.add_done_callback(self._ended)

    def _ended(self, closing: asyncio.Task[None]) -> None:
        old = self._retired.pop(closing, None)
        if old is not None and closing.cancelled():
            self._retire(old)  # by kopf, which cancels every task that is younger than itself when it ends

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's own
        try:
            return await self._pool.connect(req, traces, timeout)
        except aiohttp.ClientHttpProxyError as error:
            # aiohttp's error contains the proxy's password, and does not say that nothing was sent
            reason = OSError(None, f"the proxy {without_password(req.proxy)} answers {error.status} {error.message}")
            raise aiohttp.ClientProxyConnectionError(req.connection_key, reason) from None

    def close(self, **options: Any) -> Awaitable[None]:
        return self._close_all(options)

    async def _close_all(self, options: Mapping[str, Any]) -> None:
        pools = [self._pool, *self._retired.values()]
        retired, self._retired = self._retired, {}
        for closing in retired:
            closing.cancel()
        for pool in pools:
            await pool.connector.close(**options)
        await super().close(**options)

    def _connector(self) -> aiohttp.BaseConnector:
        # no limit here: bindings, event posts and watches each have their own, and must not wait for each other
        options: dict[str, Any] = {"limit": 0, "keepalive_timeout": KEEPALIVE}
        if self._socks is not None:
            return SocksConnector(self._socks, self._tls, **options)
        return aiohttp.TCPConnector(ssl=self._tls, **options)


class _Pool:
    """Connections with one TLS context."""

    def __init__(self, connector: aiohttp.BaseConnector) -> None:
        self.connector = connector
        self.outdated = False
        """Its connections show an old client certificate."""
        self._in_use: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's own
        connection = await self.connector.connect(req, traces, timeout)
        self._in_use.add(connection)
        return connection

    async def close_later(self) -> None:
        while True:
            await asyncio.sleep(GRACE)
            if self.outdated or not self._busy():
                break
        # abort, as the server would: closing the connector does not wake a reader that waits for the next line
        protocols = self._busy()
        cut = [protocol.closed for protocol in protocols]
        for protocol in protocols:
            protocol.transport.abort()
        await asyncio.gather(*filter(None, cut), return_exceptions=True)
        await self.connector.close()

    def _busy(self) -> list[Any]:
        """Protocols of the connections in use."""
        return [each.protocol for each in self._in_use if each.protocol is not None and each.transport is not None]
