"""A loopback HTTP server that writes down what it was asked and answers as the test says."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: int = 0
    """Port of the client's side: one for each connection."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Asked], Awaitable[web.StreamResponse]]


def status(code: int, message: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """A Kubernetes Status answer."""
    body = {"kind": "Status", "apiVersion": "v1", "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)


class RecordingServer:
    """``async with RecordingServer() as server``: set ``server.answer`` and read ``server.asked``."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Answer = self._created
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> RecordingServer:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername")[1] if request.transport else 0
        asked = Asked(
            request.method, request.path, dict(request.query), dict(request.headers), await request.read(), peer
        )
        self.asked.append(asked)
        return await self.answer(asked)

    @staticmethod
    async def _created(_: Asked) -> web.StreamResponse:
        return status(201)


def write_kubeconfig(folder: Path, server: str, *, proxy: str = "", **user: Any) -> str:
    """A kubeconfig for ``server``, behind a proxy or none, with these user fields; its path."""
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server} | ({"proxy-url": proxy} if proxy else {})}],
        "users": [{"name": "test", "user": user}],
    }
    path.write_text(json.dumps(config))  # JSON is YAML
    return str(path)
