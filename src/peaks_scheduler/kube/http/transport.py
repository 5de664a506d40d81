"""Sends one request to the API server, bytes in and bytes out, and translates its failure into our errors.

Owns the translation of HTTP statuses and broken connections into ``peaks_scheduler.errors``. For a write it
distinguishes "nothing was done" (Unavailable) from "it may have been done" (Ambiguous). Assumes encoded bodies. Never
retries, never follows a redirect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

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

from .connection import Connection
from .outgoing import FENCED_TIMEOUT, JSON, FencedOffError, NoAnswerError, NotSentError, Outgoing, failure_words
from .response_limits import MOST_BYTES, BodyTooLargeError, read_body, retry_after_seconds
from .rotating_connector import CONNECT_TIMEOUT

TIMEOUT = 10.0  # [s] for a whole request
MERGE = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
# the server, or a proxy in front of it, gave up on a request that it had begun
UNDECIDED = frozenset({500, 502, 504})
DENIED = re.compile(r"\bdenied (the )?request\b|\bfailed calling webhook \"")
"""kube-apiserver's words for a refusal by admission, after which nothing was stored. The status does not tell this: a
webhook may choose any status, 409 or 503 too, and an unreachable webhook gives 500."""
SAID_LIMIT = 16_384  # [characters] of a server's message


def encode(body: dict[str, Any]) -> bytes:
    """JSON of ``body`` without spaces."""
    return msgspec.json.encode(body)


class Transport:
    """Requests on a connection. Every call has a time limit."""

    def __init__(self, connection: Connection, timeout: float = TIMEOUT) -> None:
        self._connection, self._within = connection, timeout
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = JSON, most: int = MOST_BYTES
    ) -> bytes:
        """Body of the response.

        Args:
            path: encoded already; ``query`` is not.
            most: [bytes] of the body.

        Raises:
            TooLarge: the body has more than ``most`` bytes.
            Unavailable: there was no response.
            KubeError: the status is not 200.
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
            raise Unavailable(_failure_message("GET", path, error)) from error
        if answer.status != 200:
            raise error_of("GET", path, answer.status, answer.headers, body)
        return body

    async def write(
        self, method: str, path: str, body: bytes, content_type: str = JSON, fence: Callable[[], bool] | None = None
    ) -> bytes:
        """Send ``body``. Returns the body of the response; empty if it broke off after the write was accepted.

        Args:
            fence: called at the moment of sending; if it returns False nothing is sent.

        Raises:
            Unavailable: no connection was opened, the fence was closed, or the server turned the request away: nothing
                was done.
            Ambiguous: sent, but the response is missing or does not tell whether it was done.
            KubeError: any other refusal; nothing was done.
        """
        within = self._within if fence is None else min(self._within, FENCED_TIMEOUT)
        request = Outgoing(method, path, content_type, body, within, fence)
        try:
            answer = await self._connection.write(request)
        except FencedOffError as error:
            raise Unavailable(f"{method} {path}: not sent, the write fence is closed") from error
        except NotSentError as error:
            raise Unavailable(_failure_message(method, path, error), said=_unanswered(error)) from error
        except NoAnswerError as error:
            if 200 <= error.status < 300:
                return b""
            raise Ambiguous(_failure_message(method, path, error), said=_unanswered(error)) from error
        if not 200 <= answer.status < 300:
            raise error_of(method, path, answer.status, answer.headers, answer.body)
        return answer.body


def error_of(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> KubeError:
    """The error for a response that is not a success; its message quotes the server's."""
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
    """The server's message, encodable as UTF-8: JSON may contain lone surrogates, which UTF-8 cannot."""
    message = details.get("message")
    if isinstance(message, str) and message.strip():
        return message[:SAID_LIMIT].encode(errors="replace").decode()
    return " ".join(body[:200].decode(errors="replace").split()) or "no message"


def _failure_message(method: str, path: str, error: Exception) -> str:
    if explanation := explain_tls_error(error):
        return f"{method} {path}: {explanation}"
    return f"{method} {path}: expected an answer, got {failure_words(error)}"


def _unanswered(error: Exception) -> str:
    return f"the API server did not answer: {failure_words(error)}"


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) else {}
