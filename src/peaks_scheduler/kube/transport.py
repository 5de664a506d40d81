"""One request to the API server, raw bytes both ways, and what its failure means.

Owns the translation of HTTP answers and broken connections into the errors of ``peaks_scheduler.errors``; for a write
the difference between "nothing was done" (Unavailable) and "it may have been done" (Ambiguous) is kept. Assumes bodies
encoded already. Never retries, never follows a redirect, never reads an answer that nobody wants further than needed to
use the connection again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from peaks_scheduler.errors import (
    Ambiguous,
    Conflict,
    Denied,
    Forbidden,
    KubeError,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from peaks_scheduler.tls import explain_tls_error

from .connection import CONNECT_TIMEOUT, Connection
from .response_limits import MOST_BYTES, BodyTooLargeError, read_body, retry_after_seconds

TIMEOUT = 10.0  # [s] for a whole request
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
# the server, or a proxy before it, gave up on a request that was under way
UNDECIDED = frozenset({500, 502, 504})
DENIED = re.compile(r"\bdenied (the )?request\b|\bfailed calling webhook \"")
"""apiserver's words for a refusal by admission. A webhook may choose any status, 409 or 503 too, and one that cannot be
reached makes it 500: the status does not tell that nothing was stored."""
SAID_LIMIT = 16_384  # [characters] of a server's message


def encode(body: dict[str, Any]) -> bytes:
    """JSON of ``body`` without spaces."""
    return msgspec.json.encode(body)


class _FencedBody(BytesPayload):
    """A body that is sent only if ``fence`` allows it in that very moment.

    Between the decision to send and the first byte lie turns of the event loop, and in any of them the whole process
    may stand still for a minute. Without its body a request is none to the server.
    """

    def __init__(self, body: bytes, fence: Callable[[], bool]) -> None:
        super().__init__(body)
        self._fence = fence
        self.held_back = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.held_back = not self._fence()
        if self.held_back:
            raise ConnectionAbortedError("the fence has closed")
        await super().write_with_length(writer, content_length)


class Transport:
    """Requests on a connection. Every call has a time limit."""

    def __init__(self, connection: Connection, timeout: float = TIMEOUT) -> None:
        self._connection = connection
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = JSON, most: int = MOST_BYTES
    ) -> bytes:
        """Body of the answer. ``path`` is encoded already, ``query`` is not.

        Raises:
            TooLarge: the body has more than ``most`` bytes.
            KubeError: the answer is no success, or there was none (Unavailable).
        """
        url = self._connection.url(path)
        if query:
            url = url.with_query(query)
        try:
            async with self._connection.session.get(
                url, headers={"Accept": accept}, timeout=self._timeout, allow_redirects=False
            ) as answer:
                body = await read_body(answer, most)
        except BodyTooLargeError as error:
            raise TooLarge(f"GET {path}: {error}") from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # TimeoutError is an OSError
            raise Unavailable(_broken("GET", path, error)) from error
        if answer.status != 200:
            raise error_of("GET", path, answer.status, answer.headers, body)
        return body

    async def write(
        self, method: str, path: str, body: bytes, content_type: str = JSON, fence: Callable[[], bool] | None = None
    ) -> bytes:
        """Send ``body``; the body of the answer, empty where it broke off after the write was accepted.

        Raises:
            Unavailable: no connection was made, the server turned the request away, or ``fence``, asked in the moment
                of sending, did not allow it: nothing was done.
            Ambiguous: sent, and then no answer or one that leaves it open.
            KubeError: any other refusal; nothing was done.
        """
        headers = {"Content-Type": content_type, "Accept": JSON}
        data = _FencedBody(body, fence) if fence else body
        accepted = False
        try:
            async with self._connection.session.request(
                method,
                self._connection.url(path),
                data=data,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                accepted = 200 <= answer.status < 300
                content = await read_body(answer)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if accepted:
                return b""
            if isinstance(data, _FencedBody) and data.held_back:
                raise Unavailable(f"{method} {path}: not sent, the fence has closed") from error
            raise _write_error(method, path, error) from error
        if not accepted:
            raise error_of(method, path, answer.status, answer.headers, content)
        return content


def error_of(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> KubeError:
    """The error for an answer that is no success; its message quotes the server's own."""
    details = _status_of(body)
    said = _said(details, body)
    message = f"{method} {path}: {status} {said}"
    if method != "GET" and "message" in details and DENIED.search(said):
        return Denied(message, status, said)
    if status == 429:
        return TooManyRequests(message, retry_after_seconds(headers, details.get("details")), said)
    if status in UNDECIDED and method != "GET":
        return Ambiguous(message, status, said)
    if status >= 500:
        return Unavailable(message, status, said)
    kinds: dict[int, type[KubeError]] = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict}
    return kinds.get(status, KubeError)(message, status, said)


def _said(details: Mapping[str, Any], body: bytes) -> str:
    """The server's own words, fit to be sent on: JSON can hold halves of characters, which UTF-8 cannot."""
    message = details.get("message")
    if isinstance(message, str) and message.strip():
        return message[:SAID_LIMIT].encode(errors="replace").decode()
    return " ".join(body[:200].decode(errors="replace").split()) or "no message"


def _write_error(method: str, path: str, error: Exception) -> KubeError:
    message, said = _broken(method, path, error), _unanswered(error)
    # these say that no connection came about; a RuntimeError is aiohttp's way to say that the session is closed
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, RuntimeError)):
        return Unavailable(message, said=said)
    return Ambiguous(message, said=said)


def _broken(method: str, path: str, error: Exception) -> str:
    if said := explain_tls_error(error):
        return f"{method} {path}: {said}"
    return f"{method} {path}: expected an answer, got {type(error).__name__}: {str(error) or 'time is up'}"


def _unanswered(error: Exception) -> str:
    return f"the API server did not answer: {type(error).__name__}: {str(error) or 'time is up'}"


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) else {}
