"""The HTTP server of the process itself: is it alive, is it ready, what does it count, how is it configured?

    /livez, /readyz     200 or 500; with ?verbose, and whenever a check fails, one line a check as kube-apiserver has it
    /metrics            what telemetry renders, in the form the Accept header asks for
    /configz            the configuration in force, as JSON

Owns the sockets and the texts; ``accepting`` has the limits of connections. Anybody who reaches the port may ask, so an
answer is cheap, bounded in time, and takes no request's body. Assumes that what it is given to show holds no secret.
Never decides what healthy means and never knows who renders: both are injected.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from aiohttp import web

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.printable import cell

from .accepting import ANSWER, IDLE, Connection, Door
from .shared_answer import FRESH, Shared

logger = logging.getLogger(__name__)

WILDCARDS = ("", "*", "::")
METHODS = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"
FORMS = ("text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0")
"""Of telemetry; as an Accept header names them."""
PATIENCE = 5.0  # [s] that a request waits for what it asks for
LAST_ANSWERS = 1.0  # [s] that requests get at the end
PIECE = 65_536  # [bytes] written at once

_QUIET = logging.getLogger(f"{__name__}.http")
_QUIET.disabled = True  # a traceback for each request that is none: anybody could fill the log

LIMITS: dict[str, Any] = {
    "keepalive_timeout": ANSWER + IDLE,  # the door's own deadlines are shorter
    "lingering_time": 0.0,
    "max_line_size": 4_096,
    "max_field_size": 8_190,
    "max_headers": 64,
    "read_bufsize": 8_192,
    "auto_decompress": False,
    "logger": _QUIET,
}
"""Of aiohttp's protocol."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found. ``degraded`` is a trouble worth seeing that a restart or less traffic would not cure."""

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
    """A named question to the process; a probe that raises has failed."""

    name: str
    probe: Callable[[], Health]

    def run(self) -> Health:
        try:
            return self.probe()
        except Exception as error:  # a check is there to report trouble, its own included
            return Health.failed(f"{type(error).__name__}: {error}")


Findings = Sequence[tuple[str, Health]]
"""What each check found, by its name."""
Probe = Callable[[], Awaitable[Findings]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to one request."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


def run_all(checks: Sequence[Check]) -> Findings:
    return [(check.name, check.run()) for check in checks]


class Address(NamedTuple):
    host: str
    port: int


def parse_listen(listen: str) -> Address:
    """``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``.

    Raises:
        ConfigurationError: it is none of these.
    """
    host, colon, port = listen.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ConfigurationError(
            f"listen: expected HOST:PORT, [IPV6]:PORT or :PORT, the port from 0 (any free one) to 65535, got {listen!r}"
        )
    return Address(host[1:-1] if bracketed else host, int(port))


class Server:
    """Serves from ``start`` to ``stop``, on the event loop that starts it and whichever that is.

    What it shows is asked for at most once a second, however many want to see it, and given up after a few seconds.

    Args:
        listen: see `parse_listen`; no host, ``*`` or ``::`` means all addresses of both families.
        live: what the checks of /livez find now.
        ready: what those of /readyz do.
        telemetry_render: Accept header -> (text, content type); TimeoutError where it takes too long.
        configz: the configuration to show; JSON values without secrets.
        fresh: [s] that an answer is shown again, at least.
    """

    def __init__(
        self,
        listen: str,
        live: Probe,
        ready: Probe,
        telemetry_render: Callable[[str], Awaitable[tuple[bytes, str]]],
        configz: Callable[[], Mapping[str, object]],
        fresh: float = FRESH,
    ) -> None:
        self._listen = listen
        self._address = parse_listen(listen)
        self._health = {"livez": Shared(live, fresh), "readyz": Shared(ready, fresh)}
        self._metrics = {form: Shared(partial(telemetry_render, form), fresh) for form in FORMS}
        self._configz = configz
        self._http: web.Server | None = None
        self._door: Door | None = None

    async def start(self) -> int:
        """Listen and serve; the port, also where 0 asked for a free one.

        Raises:
            ConfigurationError: the address cannot be listened on; says why and what to do.
        """
        try:
            sockets = await _open(self._address)
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(_why_not(self._listen, error)) from error
        # one probe a few seconds: an access log would drown the decisions
        self._http = web.Server(self._answer, access_log=None, **LIMITS)
        self._door = Door(self._http)
        port = int(sockets[0].getsockname()[1])
        self._door.listen(sockets)
        return port

    async def stop(self) -> None:
        """Close everything; requests under way get a second. May be called without ``start`` and twice."""
        if self._http is None or self._door is None:
            return
        await self._door.close()
        self._http.pre_shutdown()
        await self._http.shutdown(LAST_ANSWERS)
        for stop in [shared.stop for shared in self._health.values()] + [
            shared.stop for shared in self._metrics.values()
        ]:
            stop()
        self._http = self._door = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._door.of(request.protocol) if self._door is not None else None
        if connection is None:
            return web.Response(status=503)  # nobody is there to read it
        with connection.answering():
            return await _send(request, await self._reply(request), connection)

    async def _reply(self, request: web.BaseRequest) -> Reply:
        if request.body_exists:
            return Reply(b"413: Content Too Large: expected no body", 413, close=True)
        show = self._shown().get(request.path)
        if show is None:
            return Reply(b"404: Not Found", 404)
        if request.method not in METHODS:
            return Reply(b"405: Method Not Allowed", 405, {"Allow": ",".join(METHODS)})
        try:
            return await show(request)
        except TimeoutError:
            return Reply(f"503: no answer within {PATIENCE:g} s".encode(), 503)
        except Exception:
            logger.exception("request not answered", extra={"path": request.path})
            return Reply(b"500: Internal Server Error", 500)

    def _shown(self) -> dict[str, Callable[[web.BaseRequest], Awaitable[Reply]]]:
        health = {f"/{name}": partial(_health, name, findings) for name, findings in self._health.items()}
        return {**health, "/metrics": self._show_metrics, "/configz": self._show_config}

    async def _show_metrics(self, request: web.BaseRequest) -> Reply:
        body, content_type = await self._metrics[_form(request.headers.get("Accept", ""))].get(PATIENCE)
        return Reply(body, headers={"Content-Type": content_type})

    async def _show_config(self, _request: web.BaseRequest) -> Reply:
        body = json.dumps(self._configz(), default=str).encode()
        return Reply(body, headers={"Content-Type": "application/json; charset=utf-8"})


async def _send(request: web.BaseRequest, reply: Reply, connection: Connection) -> web.StreamResponse:
    """Write the reply in pieces, for a peer that reads slowly: what waits for it is one of them."""
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
    """Which of the forms is asked for: the first one that we know."""
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if form := next((form for form in FORMS if form.startswith(f"{kind};")), None):
            return form
    return FORMS[0]


async def _health(name: str, shared: Shared[Findings], request: web.BaseRequest) -> Reply:
    try:
        findings = await shared.get(PATIENCE)
    except TimeoutError:
        findings = [("answer", Health.failed(f"the checks were not done within {PATIENCE:g} s"))]
    failed = any(health.level == "failed" for _, health in findings)
    if not failed and "verbose" not in request.query:
        return Reply(b"ok")
    lines = [_line(check, health) for check, health in findings]
    lines.append(f"{name} check {'failed' if failed else 'passed'}\n")
    return Reply("\n".join(lines).encode(), 500 if failed else 200)


def _line(name: str, health: Health) -> str:
    text = cell(" ".join(health.text.split()))  # one line a check, whatever an exception had to say
    return {
        "ok": f"[+]{name} ok: {text}" if text else f"[+]{name} ok",
        "degraded": f"[!]{name}: {text}",
        "failed": f"[-]{name} failed: {text}",
    }[health.level]


async def _open(address: Address) -> list[socket.socket]:
    """Listening sockets for every address that the host stands for, all on one port.

    Raises:
        OSError: no such host, or one of the addresses is taken or not allowed.
    """
    if address.host in WILDCARDS and socket.has_dualstack_ipv6():
        return [socket.create_server(("::", address.port), family=socket.AF_INET6, dualstack_ipv6=True)]
    host = "0.0.0.0" if address.host in WILDCARDS else address.host  # a machine without IPv6
    found = await asyncio.get_running_loop().getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    sockets: list[socket.socket] = []
    port = address.port
    missing: OSError | None = None
    for family, ip in dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found):
        try:
            sockets.append(socket.create_server((ip, port), family=family))
        except OSError as error:
            # localhost names ::1 on machines without IPv6 too: one address of a name is enough
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise
            missing = error
        else:
            port = sockets[0].getsockname()[1]  # with port 0 the first address chooses for all
    if missing is not None and not sockets:
        raise missing
    return sockets


def _close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def _why_not(listen: str, error: OSError | UnicodeError) -> str:
    remedies = {
        errno.EADDRINUSE: "the port is taken; stop the process that has it, or choose another (0: any that is free)",
        errno.EACCES: "ports below 1024 need a right that this process has not; choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address; use one of its own, or none for all",
    }
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        remedy = remedies.get(error.errno or 0, str(error))
    else:  # the resolver's, or a name that cannot even be sent to one
        remedy = f"the host cannot be resolved ({error}); give an address of this machine, or none for all"
    return f"cannot listen on {listen}: {remedy}"
