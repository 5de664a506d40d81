"""An HTTP client for a small server on every node: one pool of connections, and a whole body in time or a LoadError.

Owns the protections of ``http_client`` for servers that nobody has checked: limits on time, size and number of parts,
no compression, no redirect, no cookie, no proxy. Written for thousands of small answers: aiohttp takes a tenth of the
CPU time that httpx takes for one. Messages do not name the address, so that all nodes with one trouble have one text.
Never retries, never reads a body's content.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys

import aiohttp
from yarl import URL

from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.values import shown

MOST = 2**20  # bytes of a body; a machine with 300 sensors sends 60 KB
_SMALLEST_PART, _PARTS, _PARTS_A_TURN = 2**8, 2_000, 50
_HEADERS = {"Accept": "text/plain", "Accept-Encoding": "identity"}
_KEPT = 75.0  # [s] until an idle connection is closed: longer than from one round to the next
_WANTS_TLS = b"HTTP request to an HTTPS server"  # Go's words
_REMEDIES = {
    401: "it wants a password",
    403: "it does not let us",
    404: "is this the port of the exporter?",
    503: "it is overloaded: who else scrapes it?",
}


class Scraper:
    """See the module. ``timeout``: [s] for a whole request. Used in one event loop."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # do connections stay open -> the session

    async def get(self, url: URL, *, keep: bool = True, most: int = MOST) -> bytes:
        """The body of a success, of at most ``most`` bytes. ``keep``: the connection may stay open afterwards.

        Raises LoadError of kind unreachable, dns, timeout, malformed or http-<status>.
        """
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._opened(keep).get(url, headers=_HEADERS, allow_redirects=False) as answer,
            ):
                return await _body(answer, most)
        except TimeoutError as error:
            raise LoadError("timeout", f"no whole answer within {self._timeout:g} s (sensors.timeout)") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken(error) from error

    def _opened(self, keep: bool) -> aiohttp.ClientSession:
        if keep not in self._sessions:
            self._sessions[keep] = aiohttp.ClientSession(
                connector=_connector(keep),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._sessions[keep]

    async def aclose(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()


def open_file_limit() -> int:
    """Number of files that the process may open; each connection is one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _connector(keep: bool) -> aiohttp.TCPConnector:
    if keep:
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT)
    return aiohttp.TCPConnector(limit=0, force_close=True)


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    if answer.status != 200:
        raise _refused(answer.status, await answer.content.read(1000))
    encoding = answer.headers.get("Content-Encoding", "")
    if encoding.strip().lower() not in ("", "identity"):
        raise LoadError("malformed", f"expected a body that is not compressed; got {shown(encoding)}")
    if (answer.content_length or 0) > most:
        raise _too_large(most)
    body, parts = bytearray(), 0
    async for part in answer.content.iter_any():
        body += part
        parts += 1
        if len(body) > most:
            raise _too_large(most)
        if parts > _PARTS + most // _SMALLEST_PART:
            raise LoadError("malformed", "expected a body in parts of some size; it came in too many")
        if parts % _PARTS_A_TURN == 0:
            await asyncio.sleep(0)  # thousands of tiny parts may come without a wait between them
    return bytes(body)


def _too_large(most: int) -> LoadError:
    return LoadError("malformed", f"expected at most {most >> 10} KiB; more came: is it the exporter of one node?")


def _refused(status: int, words: bytes) -> LoadError:
    if _WANTS_TLS in words:
        return LoadError("unreachable", "it wants TLS on this port, which is not supported here")
    return LoadError(f"http-{status}", f"expected 200; got {status}: {_REMEDIES.get(status, 'see its log')}")


def _broken(error: Exception) -> LoadError:
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return LoadError("dns", "its host name does not resolve")
    if isinstance(error, aiohttp.ClientConnectorError | OSError) and not isinstance(error, aiohttp.ClientPayloadError):
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        return LoadError("unreachable", f"no connection ({why}): does it run there?")
    if isinstance(error, ValueError):
        return LoadError("malformed", "the node's address is none that can be asked")
    return LoadError("malformed", f"expected a whole HTTP answer; it broke off ({type(error).__name__})")
