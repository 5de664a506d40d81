"""A process that posts events in one way and prints what that costs: CPU of a write, memory of a connection.

python -m benchmarks.writes_probe kept|proxied KUBECONFIG WRITES
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator

from benchmarks import BenchmarkError
from benchmarks.machine import memory
from peaks_scheduler.kube.client import EVENTS
from peaks_scheduler.kube.events import WORKERS, Reporter
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.kube.http.outgoing import JSON, Answer, Outgoing
from peaks_scheduler.kube.http.proxied import send_proxied

NAMESPACE = "default"
WITHIN = 30.0  # [s] for one write

Sending = Callable[[Outgoing], Awaitable[Answer]]


def events(count: int) -> Iterator[Outgoing]:
    """Events about as many pods that nobody has told of."""
    reporter, run = Reporter("Peaks", "benchmark"), uuid.uuid4().hex
    for i in range(count):
        body = reporter.scheduled(NAMESPACE, f"pod-{i}", f"{run}-{i}", f"node-{i}", time.time()).body
        yield Outgoing("POST", f"{EVENTS}/{NAMESPACE}/events", JSON, body, WITHIN)


def sender(way: str, connection: Connection) -> Sending:
    async def proxied(request: Outgoing) -> Answer:
        return await send_proxied(connection.session, connection.url(request.path), request)

    return connection.write if way == "kept" else proxied


async def post(requests: Iterator[Outgoing], send: Sending) -> None:
    """As many at once as the scheduler's events."""

    async def work() -> None:
        for request in requests:
            answer = await send(request)
            if answer.status != 201:
                raise BenchmarkError(f"expected 201, got {answer.status} {answer.body[:200]!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())


async def probe(way: str, kubeconfig: str, count: int) -> dict[str, float]:
    connection = await connect(kubeconfig)
    send = sender(way, connection)
    try:
        before = memory(os.getpid())[0]
        await post(events(4 * WORKERS), send)  # opens the connections
        opened = memory(os.getpid())[0]
        bodies = list(events(count))
        begun = time.process_time()
        await post(iter(bodies), send)
        spent = time.process_time() - begun
    finally:
        await connection.close()
    return {"CPU of a write": 1000 * spent / count, "memory of an open connection": 1000 * (opened - before) / WORKERS}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe(sys.argv[1], sys.argv[2], int(sys.argv[3])))), flush=True)
