"""Ask one server for each node (its BMC, a server of its sensors), several at once, each with its own credentials.

Owns the connections: one pool for each way of trusting, and no connection that stays open, since a BMC has only a few.
Reads passwords from their files at each request and CA files whenever they change. A server that does not answer is
left in peace for a while, longer after each time, so that it takes no place from the others; one that refuses a
password is left in peace for the longest, since many lock an account. Never retries and never judges what an answer
says.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.files.reading import read_bytes, stamp
from peaks_scheduler.sources.credentials import Credentials
from peaks_scheduler.sources.http_client import HttpClient, HttpResponse
from peaks_scheduler.tls import client_context

from .endpoints import NodeEndpoint

AT_ONCE = 16
ROUND = 30.0  # [s] the usual time between two rounds
MOST_ANSWER = 2**20  # bytes: a chassis with hundreds of sensors has some 100 KiB
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0  # [s] a server that does not answer is not asked
_SILENT = ("timeout", "unreachable", "dns")
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
_NOTED = 20_000  # servers; far more than there are nodes

Json = Mapping[str, Any]
_Trust = tuple[str | None, bool, tuple[int, ...]]
_UNUSED = client_context(verify=False)  # HttpClient wants one, and each client here gets a pool that has its own


@dataclass(slots=True)
class _Silence:
    pause: float
    until: float
    why: str


class NodeServers:
    """See the module.

    Args:
        what: what messages call a server: ``BMC``.
        timeout: [s] for one request.
        clock: [s], ours.
        transport: the seam for tests.
        at_once: servers that are asked at the same time.
    """

    def __init__(
        self,
        what: str,
        timeout: float,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self._what, self._timeout, self._clock, self._transport = what, timeout, clock, transport
        self.places = asyncio.Semaphore(at_once)
        """To be held while a node's server is asked."""
        self._one_by_one = asyncio.Lock()
        self._pools: dict[_Trust, httpx.AsyncBaseTransport] = {}
        self._clients: dict[tuple[str, _Trust], HttpClient] = {}
        self._silent: dict[str | NodeEndpoint, _Silence] = {}  # by URL; where a password was refused, by endpoint

    async def get(self, endpoint: NodeEndpoint, path: str) -> Json | None:
        """The JSON object under ``path`` of this server; None: it has nothing there (404).

        Raises LoadError of kind timeout, unreachable, dns, unauthorized, http-<status>, malformed, or silent (it did
        not answer a short while ago).
        """
        self._check_silence(endpoint.url)
        self._check_silence(endpoint)
        try:
            client = await self._client(endpoint)
            answer = await client.ask(path, auth=self._auth(endpoint), most=MOST_ANSWER)
        except LoadError as error:
            if error.kind in _SILENT:
                self._note_silence(endpoint.url, str(error))
            raise
        self._silent.pop(endpoint.url, None)
        if answer.status in _REFUSED:
            said = f"{self._what} at {endpoint.url}{path}: {answer.status}: check its user and password"
            self._keep_silence(endpoint, _Silence(LONGEST_PAUSE, self._clock() + LONGEST_PAUSE, said))
            raise LoadError("unauthorized", said)
        self._silent.pop(endpoint, None)
        return self._read(endpoint, path, answer)

    async def aclose(self) -> None:
        """Close the connections."""
        self._clients.clear()
        while self._pools:
            await self._pools.popitem()[1].aclose()

    # -- what comes

    def _read(self, endpoint: NodeEndpoint, path: str, answer: HttpResponse) -> Json | None:
        where = f"{self._what} at {endpoint.url}{path}"
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        if answer.status != httpx.codes.OK:
            raise LoadError(f"http-{answer.status}", f"{where}: expected an answer; got status {answer.status}")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise LoadError("malformed", f"{where}: expected JSON; got something else") from error
        if not isinstance(found, dict):
            raise LoadError("malformed", f"{where}: expected a JSON object; got {type(found).__name__}")
        return found

    # -- silence

    def _check_silence(self, server: str | NodeEndpoint) -> None:
        silence = self._silent.get(server)
        if silence is not None and self._clock() < silence.until:
            raise LoadError("silent", f"{silence.why} (asked again at most {silence.pause:g} s after that)")

    def _note_silence(self, url: str, why: str) -> None:
        before = self._silent.get(url)
        if before is not None and self._clock() < before.until:
            return  # of requests at the same time that fail together, one counts
        self._silent.pop(url, None)
        pause = FIRST_PAUSE if before is None else min(2 * before.pause, LONGEST_PAUSE)
        self._keep_silence(url, _Silence(pause, self._clock() + pause, why))

    def _keep_silence(self, server: str | NodeEndpoint, silence: _Silence) -> None:
        while len(self._silent) >= _NOTED:
            del self._silent[next(iter(self._silent))]
        self._silent[server] = silence

    # -- connections

    async def _client(self, endpoint: NodeEndpoint) -> HttpClient:
        trust = await self._pool(endpoint)
        key = (endpoint.url, trust)
        if key not in self._clients:
            while len(self._clients) >= _NOTED:
                del self._clients[next(iter(self._clients))]  # the pool that it used stays open
            pool = self._transport or self._pools[trust]
            try:
                self._clients[key] = HttpClient(self._what, endpoint.url, self._timeout, self._clock, pool, _UNUSED)
            except ConfigurationError as error:
                raise LoadError("malformed", str(error)) from error
        return self._clients[key]

    async def _pool(self, endpoint: NodeEndpoint) -> _Trust:
        """Whom to trust at this server; there is a pool for it."""
        access, encrypted = endpoint.access, endpoint.url.startswith("https:")
        file, verify = (access.ca_file if encrypted else None), encrypted and not access.insecure_skip_verify
        try:
            trust = (file, verify, stamp(os.stat(file)) if file else ())
            async with self._one_by_one:
                if trust not in self._pools:
                    # loading the machine's authorities takes a tenth of a second
                    context = await asyncio.to_thread(_context, file, verify)
                    # a BMC allows few connections, and is asked every half minute: none is kept
                    limits = httpx.Limits(max_keepalive_connections=0)
                    self._pools[trust] = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
        except (OSError, ValueError) as error:
            raise LoadError("unauthorized", f"{self._what} at {endpoint.url}: its CA file: {error}") from error
        return trust

    def _auth(self, endpoint: NodeEndpoint) -> tuple[str, str] | None:
        access, where = endpoint.access, f"{self._what} at {endpoint.url}"
        known = Credentials(where, (), access.username, access.password_file, basic=access.basic)
        return known.read().auth


def _context(file: str | None, verify: bool) -> ssl.SSLContext:
    return client_context(read_bytes(file) if file else None, verify=verify)
