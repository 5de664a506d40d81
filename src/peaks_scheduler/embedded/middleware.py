"""The steps before every request of the embedded API server: count it, apply ordered faults, check its token.

Also turns ApiError into a response. Knows nothing of objects or paths.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from . import api_errors
from .faults import Faults
from .object_store import encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Middleware:
    """Counts requests, applies faults, checks tokens.

    Args:
        tokens: accepted bearer tokens; None: no check. May be replaced at any time.
    """

    def __init__(self, tokens: set[str] | None) -> None:
        self.tokens = tokens
        self.faults = Faults()
        self.requests: Counter[tuple[str, str]] = Counter()

    def guard(self, handle: Handler, name: Callable[[web.Request], tuple[str, str]]) -> Handler:
        """``handle`` with these steps before it; ``name`` returns the (verb, kind) under which a request is counted."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self.requests[name(request)] += 1
            text = f"{request.method} {request.path_qs}"
            if seconds := self.faults.seconds(text):
                await asyncio.sleep(seconds)
            if failure := self.faults.failure(text):
                return _refusal(api_errors.by_status(failure.status, failure.message), failure.headers)
            cut = self.faults.cut(text)
            if cut and not cut.after_applying:
                return _abort(request)
            response = await self._answer(request, handle)
            return _abort(request) if cut else response

        return guarded

    async def _answer(self, request: web.Request, handle: Handler) -> web.StreamResponse:
        try:
            self._authenticate(request)
            return await handle(request)
        except api_errors.ApiError as refusal:
            return _refusal(refusal)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self.tokens is not None and (scheme.lower() != "bearer" or token not in self.tokens):
            raise api_errors.unauthorized()


def answer(body: bytes, code: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response."""
    return web.Response(body=body, status=code, content_type="application/json", headers=headers)


def _refusal(refusal: api_errors.ApiError, headers: Mapping[str, str] | None = None) -> web.Response:
    return answer(encode(refusal.status), refusal.code, headers)


def _abort(request: web.Request) -> web.Response:
    """Cut the connection. The returned response is not sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
