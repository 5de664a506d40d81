"""The HTTP server of this process: liveness, readiness, metrics, configuration.

    /livez, /readyz     200 or 500; with ?verbose, and when a check fails, one line for each check as in kube-apiserver
    /metrics            what telemetry renders, in the format of the Accept header
    /configz            the configuration in use, as JSON

Owns the sockets and the texts; ``inbound_connections`` limits the connections. Everybody who reaches the port may send
requests, so a response is cheap and bounded in time, and a request must have no body. Assumes that the content it is
given contains no secret. The checks, the metrics and the configuration are passed in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from aiohttp import web

from peaks_scheduler.settings.values import Listen
from peaks_scheduler.text.printable import cell

from .inbound_connections import ANSWER, IDLE, InboundConnection, Listener
from .listening_sockets import open_sockets
from .response_cache import FRESH, ResponseCache

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"
FORMS = ("text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0")
"""Formats of the metrics, as content types."""
PATIENCE = 5.0  # [s] a request waits for the content of its response
LAST_ANSWERS = 1.0  # [s] for requests in progress when the server stops
PIECE = 65_536  # [bytes] written at once

_QUIET = logging.getLogger(f"{__name__}.http")
_QUIET.disabled = True  # it logs a traceback for each malformed request: anybody could fill the log

LIMITS: dict[str, Any] = {
    "keepalive_timeout": ANSWER + IDLE,  # the deadlines of inbound_connections are shorter
    "lingering_time": 0.0,
    "max_line_size": 4_096,
    "max_field_size": 8_190,
    "max_headers": 64,
    "read_bufsize": 8_192,
    "auto_decompress": False,
    "logger": _QUIET,
}
"""Options of aiohttp's protocol."""


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a check. ``degraded``: a problem to report that neither a restart nor less traffic would solve."""

    level: Literal["ok", "degraded", "failed"]
    text: str = ""

    @classmethod
    def ok(cls, text: str = "") -> Health:
        return cls("ok", text)

    @classmethod
    def degraded(cls, text: str) -> Health:
        return cls("degraded", text)

    @classmethod
    def failed(cls, text: str) -> Health:
        return cls("failed", text)


@dataclass(frozen=True, slots=True)
class Check:
    """A named health check; a probe that raises has failed."""

    name: str
    probe: Callable[[], Health]

    def run(self) -> Health:
        try:
            return self.probe()
        except Exception as error:  # a check reports problems, its own included
            return Health.failed(f"{type(error).__name__}: {error}")


Findings = Sequence[tuple[str, Health]]
"""(name, result) of each check."""
Probe = Callable[[], Awaitable[Findings]]


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to one request."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


def run_all(checks: Sequence[Check]) -> Findings:
    return [(check.name, check.run()) for check in checks]


class Server:
    """Serves from ``start`` to ``stop``, on the event loop that calls ``start``.

    Contents are cached for a moment, so that many requests cost no more than few; the ETag of an answer tells of which
    computation it is. A request for a content that is not ready after ``PATIENCE`` is answered with 503 (a health
    check with 500).

    Args:
        listen: the address to serve at.
        live: runs the checks of /livez.
        ready: runs the checks of /readyz.
        telemetry_render: Accept header -> (text, content type); raises TimeoutError if it takes too long.
        configz: the configuration, JSON values without secrets.
        fresh: minimum time for which a response is reused [s].
    """

    def __init__(
        self,
        listen: Listen,
        live: Probe,
        ready: Probe,
        telemetry_render: Callable[[str], Awaitable[tuple[bytes, str]]],
        configz: Callable[[], Mapping[str, object]],
        fresh: float = FRESH,
    ) -> None:
        self._listen = listen
        self._health = {"livez": ResponseCache(live, fresh), "readyz": ResponseCache(ready, fresh)}
        self._metrics = {form: ResponseCache(partial(telemetry_render, form), fresh) for form in FORMS}
        self._configz = configz
        self._http: web.Server | None = None
        self._listener: Listener | None = None

    async def start(self) -> int:
        """Listen and serve. Returns the port, which is a free one if 0 was asked for.

        Raises:
            ConfigurationError: the server cannot listen on this address; says why and what to do.
        """
        sockets = await open_sockets(self._listen)
        # no access log: the probes would fill the log
        self._http = web.Server(self._answer, access_log=None, **LIMITS)
        self._listener = Listener(self._http)
        port = int(sockets[0].getsockname()[1])
        self._listener.listen(sockets)
        return port

    async def stop(self) -> None:
        """Close everything; requests in progress get a second. May be called without ``start``, and twice."""
        if self._http is None or self._listener is None:
            return
        await self._listener.close()
        self._http.pre_shutdown()
        await self._http.shutdown(LAST_ANSWERS)
        for findings in self._health.values():
            findings.stop()
        for metrics in self._metrics.values():
            metrics.stop()
        self._http = self._listener = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._listener.of(request.protocol) if self._listener is not None else None
        if connection is None:
            return web.Response(status=503)  # the client is gone
        with connection.answering():
            return await _send(request, await self._reply(request), connection)

    async def _reply(self, request: web.BaseRequest) -> Reply:
        if request.body_exists:
            return Reply(b"413: Content Too Large: expected no body", 413, close=True)
        handle = self._handlers().get(request.path)
        if handle is None:
            return Reply(b"404: Not Found", 404)
        if request.method not in METHODS:
            return Reply(b"405: Method Not Allowed", 405, {"Allow": ",".join(METHODS)})
        try:
            return await handle(request)
        except TimeoutError:
            return Reply(f"503: no answer within {PATIENCE:g} s".encode(), 503)
        except Exception:
            logger.exception("request not answered", extra={"path": request.path})
            return Reply(b"500: Internal Server Error", 500)

    def _handlers(self) -> dict[str, Callable[[web.BaseRequest], Awaitable[Reply]]]:
        health = {f"/{name}": partial(_health, name, findings) for name, findings in self._health.items()}
        return {**health, "/metrics": self._show_metrics, "/configz": self._show_config}

    async def _show_metrics(self, request: web.BaseRequest) -> Reply:
        computed = await self._metrics[_form(request.headers.get("Accept", ""))].get(PATIENCE)
        body, content_type = computed.value
        return Reply(body, headers={"Content-Type": content_type, "ETag": f'"{computed.tag}"'})

    async def _show_config(self, _request: web.BaseRequest) -> Reply:
        body = json.dumps(self._configz(), default=str).encode()
        return Reply(body, headers={"Content-Type": "application/json; charset=utf-8"})


async def _send(request: web.BaseRequest, reply: Reply, connection: InboundConnection) -> web.StreamResponse:
    """Write the reply in pieces, so that only one piece waits in memory for a slow client."""
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": TEXT, **reply.headers})
    response.content_length = len(reply.body)
    if reply.close:
        response.force_close()
    await response.prepare(request)
    if request.method != "HEAD":
        for start in range(0, len(reply.body), PIECE):
            await response.write(reply.body[start : start + PIECE])
            await connection.taken()
    await response.write_eof()
    await connection.taken()
    return response


def _form(accept: str) -> str:
    """The first format of the Accept header that we know; else the default."""
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if form := next((form for form in FORMS if form.startswith(f"{kind};")), None):
            return form
    return FORMS[0]


async def _health(name: str, shared: ResponseCache[Findings], request: web.BaseRequest) -> Reply:
    try:
        computed = await shared.get(PATIENCE)
        findings, headers = computed.value, {"ETag": f'"{computed.tag}"'}
    except TimeoutError:
        findings, headers = [("answer", Health.failed(f"the checks were not done within {PATIENCE:g} s"))], {}
    failed = any(health.level == "failed" for _, health in findings)
    if not failed and "verbose" not in request.query:
        return Reply(b"ok", headers=headers)
    lines = [_line(check, health) for check, health in findings]
    lines.append(f"{name} check {'failed' if failed else 'passed'}\n")
    return Reply("\n".join(lines).encode(), 500 if failed else 200, headers)


def _line(name: str, health: Health) -> str:
    text = cell(" ".join(health.text.split()))  # one line, even if an exception's text has several
    return {
        "ok": f"[+]{name} ok: {text}" if text else f"[+]{name} ok",
        "degraded": f"[!]{name}: {text}",
        "failed": f"[-]{name} failed: {text}",
    }[health.level]
