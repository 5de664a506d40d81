"""Opens the listening sockets of an address, and explains why an address cannot be used."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.values import Listen


async def open_sockets(listen: Listen) -> list[socket.socket]:
    """Listening sockets for every address of the host, all with the same port.

    Raises:
        ConfigurationError: one of the addresses cannot be used; says why and what to do.
    """
    try:
        return await _open(listen)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(_why_not(listen, error)) from error


async def _open(listen: Listen) -> list[socket.socket]:
    """As ``open_sockets``. Raises OSError or UnicodeError."""
    if listen.host is None and socket.has_dualstack_ipv6():
        return [socket.create_server(("::", listen.port), family=socket.AF_INET6, dualstack_ipv6=True)]
    host = "0.0.0.0" if listen.host is None else listen.host  # the former on a machine without IPv6
    found = await asyncio.get_running_loop().getaddrinfo(host, listen.port, type=socket.SOCK_STREAM)
    sockets: list[socket.socket] = []
    port = listen.port
    missing: OSError | None = None
    for family, ip in dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found):
        try:
            sockets.append(socket.create_server((ip, port), family=family))
        except OSError as error:
            # localhost resolves to ::1 also on machines without IPv6: one address of a name is enough
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise
            missing = error
        else:
            port = sockets[0].getsockname()[1]  # with port 0 all use the port of the first one
    if missing is not None and not sockets:
        raise missing
    return sockets


def _close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def _why_not(listen: Listen, error: OSError | UnicodeError) -> str:
    remedies = {
        errno.EADDRINUSE: "the port is taken; stop the process that uses it, or choose another port (0: any free one)",
        errno.EACCES: "ports below 1024 need a right that this process does not have; choose a higher port",
        errno.EADDRNOTAVAIL: "this machine does not have this address; give one that it has, or none for all of them",
    }
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        remedy = remedies.get(error.errno or 0, str(error))
    else:  # the host is unknown, or not a valid name
        remedy = f"the host cannot be resolved ({error}); give an address of this machine, or none for all of them"
    return f"cannot listen on {listen}: {remedy}"
