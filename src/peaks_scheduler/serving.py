"""The HTTP server of the process itself: is it alive, is it ready, what does it count, how is it configured?

    /livez, /readyz     200 or 500; with ?verbose, and whenever a check fails, one line a check as kube-apiserver has it
    /metrics            what telemetry renders, in the form the Accept header asks for
    /configz            the configuration in force, as JSON

Owns the sockets and the texts. Assumes that what it is given to show holds no secret, and that what it asks is answered
soon, if not at once: it waits in its own event loop. Never decides what healthy means and never knows who renders:
both are injected.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aiohttp import web

from .errors import ConfigurationError

WILDCARDS = ("", "*", "::")


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found. ``degraded`` is a trouble worth seeing that a restart or less traffic would not cure."""

    level: Literal["ok", "degraded", "failed"]
    text: str = ""

    @classmethod
    def ok(cls) -> Health:
        return cls("ok")

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
    """Serves from ``start`` to ``stop``.

    Args:
        listen: see `parse_listen`; no host, ``*`` or ``::`` means all addresses of both families.
        live: what the checks of /livez find now.
        ready: what those of /readyz do.
        telemetry_render: Accept header -> (text, content type); TimeoutError where it takes too long.
        configz: the configuration to show; JSON values without secrets.
    """

    def __init__(
        self,
        listen: str,
        live: Callable[[], Awaitable[Findings]],
        ready: Callable[[], Awaitable[Findings]],
        telemetry_render: Callable[[str], Awaitable[tuple[bytes, str]]],
        configz: Callable[[], Mapping[str, object]],
    ) -> None:
        self._listen = listen
        self._address = parse_listen(listen)
        self._render = telemetry_render
        self._configz = configz
        app = web.Application()
        app.router.add_get("/livez", _health("livez", live))
        app.router.add_get("/readyz", _health("readyz", ready))
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/configz", self._config)
        # one probe a few seconds: an access log would drown the decisions
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def start(self) -> int:
        """Listen and serve; the port, also where 0 asked for a free one.

        Raises:
            ConfigurationError: the address cannot be listened on; says why and what to do.
        """
        try:
            sockets = await _open(self._address)
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(_why_not(self._listen, error)) from error
        await self._runner.setup()
        for listener in sockets:
            await web.SockSite(self._runner, listener).start()
        return int(sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything; requests under way get a second. May be called without ``start`` and twice."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            body, content_type = await self._render(request.headers.get("Accept", ""))
        except TimeoutError:
            return web.Response(status=503, text="the scheduler is at one decision for long; ask again\n")
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _config(self, _request: web.Request) -> web.Response:
        return web.json_response(self._configz(), dumps=lambda data: json.dumps(data, default=str))


def _health(name: str, find: Callable[[], Awaitable[Findings]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        findings = await find()
        failed = any(health.level == "failed" for _, health in findings)
        if not failed and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [_line(check, health) for check, health in findings]
        lines.append(f"{name} check {'failed' if failed else 'passed'}\n")
        return web.Response(status=500 if failed else 200, text="\n".join(lines))

    return handler


def _line(name: str, health: Health) -> str:
    text = " ".join(health.text.split())  # one line a check, whatever an exception had to say
    return {
        "ok": f"[+]{name} ok",
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
