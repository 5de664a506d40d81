"""Asks the API server over a connection in both ways that we have: by aiohttp, which reads, and on a kept connection,
which writes. Whatever holds for credentials holds for both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from peaks_scheduler.kube.http.connection import Connection
from peaks_scheduler.kube.http.outgoing import Outgoing

Asking = Callable[[Connection, str], Awaitable[int]]
"""Asks for a path; the status of the answer."""


async def read(connection: Connection, path: str = "/version") -> int:
    async with connection.session.get(connection.url(path)) as answer:
        await answer.read()
        return answer.status


async def write(connection: Connection, path: str = "/version") -> int:
    return (await connection.write(Outgoing("POST", path, "application/json", b"{}", 10.0))).status


WAYS: dict[str, Asking] = {"read": read, "write": write}
METHODS = {read: "GET", write: "POST"}
