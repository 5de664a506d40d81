"""Sends a write through a proxy, by aiohttp, which speaks to proxies of all kinds.

Owns the translation of aiohttp's failures into those of ``outgoing``. Assumes a session with the middleware of
``connection``.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload
from yarl import URL

from .outgoing import JSON, Answer, FencedOffError, NoAnswerError, NotSentError, Outgoing, failure_words
from .response_limits import read_body
from .rotating_connector import CONNECT_TIMEOUT


class _FencedBody(BytesPayload):
    """A body that is sent only if ``fence`` returns True at the moment of sending. The server ignores a request without
    its body."""

    def __init__(self, body: bytes, fence: Callable[[], bool]) -> None:
        super().__init__(body)
        self._fence = fence
        self.held_back = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.held_back = not self._fence()
        if self.held_back:
            raise ConnectionAbortedError("the write fence is closed")
        await super().write_with_length(writer, content_length)


async def send_proxied(session: aiohttp.ClientSession, url: URL, request: Outgoing) -> Answer:
    """Send the request and wait for its answer.

    Raises:
        NotSentError, FencedOffError: nothing was sent.
        NoAnswerError: it may have been done.
    """
    data = _FencedBody(request.body, request.fence) if request.fence else request.body
    status = 0
    try:
        async with session.request(
            request.method,
            url,
            data=data,
            headers={"Content-Type": request.content_type, "Accept": JSON},
            timeout=aiohttp.ClientTimeout(total=request.within, sock_connect=CONNECT_TIMEOUT),
            allow_redirects=False,
        ) as answer:
            status = answer.status
            return Answer(status, answer.headers, await read_body(answer))
    except (aiohttp.ClientError, OSError, RuntimeError) as error:  # TimeoutError is an OSError
        if isinstance(data, _FencedBody) and data.held_back:
            raise FencedOffError("the write fence is closed") from error
        message = failure_words(error)
        # with these no connection was opened; aiohttp raises RuntimeError when the session is closed
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, RuntimeError)):
            raise NotSentError(message) from error
        raise NoAnswerError(message, status) from error
