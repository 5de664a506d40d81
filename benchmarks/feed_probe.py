"""A process that reads pods in one way and prints its cost: CPU, and memory at the end.

    python -m benchmarks.feed_probe waiting|placed|plain|decode KUBECONFIG PODS

``waiting``: the daemon's own feed, all pods are ours. ``placed``: the same, all pods are another scheduler's.
``plain``: a list and a watch over the same connection, json, the same ledger.
``decode``: the same without the ledger, so only the client and json. Prints ``listed`` when all pods were listed, then
one JSON line when every pod has come a second time. The API server is another process, so its CPU does not count here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.lines import batches
from benchmarks.machine import memory
from peaks_scheduler.daemon.watching.feed import Feed
from peaks_scheduler.daemon.watching.observer import Observer
from peaks_scheduler.kube.client import UNFINISHED_PODS
from peaks_scheduler.kube.http.connection import Connection, connect
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry

PAGE = 500
LIMIT = 120.0  # [s] for each of the two halves
IDLE = 6.0  # [s] after the last event: kopf's workers end after 5
PODS = "/api/v1/pods"


class Counting(Ledger):
    """A ledger that counts the pods it is shown."""

    seen = 0

    def see(self, pod: Pod, *, gone: bool = False) -> Change:
        self.seen += 1
        return super().see(pod, gone=gone)


async def by_feed(connection: Connection, ledger: Counting, ours: str) -> None:
    telemetry = Telemetry("Peaks")
    observer = Observer(ledger, telemetry, time.time, lambda *_: None, lambda *_: None)
    feed = Feed(observer, connection, telemetry, ours)
    async with asyncio.TaskGroup() as group:
        for each in feed.tasks().values():
            group.create_task(each)
        group.create_task(feed.run(asyncio.Event()))


async def by_watch(connection: Connection, take: Callable[[dict[str, Any]], None]) -> None:
    """List in pages, then watch."""
    query = {"fieldSelector": UNFINISHED_PODS, "limit": str(PAGE)}
    while True:
        async with connection.session.get(connection.url(PODS), params=query) as answer:
            page = json.loads(await answer.read())
        for pod in page["items"]:
            take(pod)
        version = page["metadata"]["resourceVersion"]
        query["continue"] = page["metadata"].get("continue") or ""
        if not query["continue"]:
            break
    watch = {"fieldSelector": UNFINISHED_PODS, "watch": "1", "resourceVersion": version}
    async with connection.session.get(connection.url(PODS), params=watch, timeout=None) as answer:
        async for lines in batches(answer.content):
            for line in lines:
                take(json.loads(line)["object"])


async def probe(mode: str, kubeconfig: str, pods: int) -> dict[str, float]:
    """Read the list and the changes of ``pods`` pods. CPU [ms] per pod, memory [MB]."""
    connection = await connect(kubeconfig)
    ledger = Counting()

    def counted(_: dict[str, Any]) -> None:
        ledger.seen += 1

    work = {
        "waiting": lambda: by_feed(connection, ledger, "Peaks"),
        "placed": lambda: by_feed(connection, ledger, "another"),
        "plain": lambda: by_watch(connection, ledger.observe_pod),
        "decode": lambda: by_watch(connection, counted),
    }[mode]
    before, begun = memory(os.getpid())[0], time.process_time()
    reading = asyncio.create_task(work())
    try:
        await _until(reading, lambda: ledger.seen >= pods)
        listed = time.process_time()
        print("listed", flush=True)
        await _until(reading, lambda: ledger.seen >= 2 * pods)
        changed = time.process_time()
        await asyncio.sleep(IDLE)
        resident, peak = memory(os.getpid())
    finally:
        reading.cancel()
        await asyncio.wait([reading], timeout=5)
        await connection.close()
    cpu = {"list": 1000 * (listed - begun) / pods, "change": 1000 * (changed - listed) / pods}
    return {**cpu, "before": before, "resident": resident, "peak": peak}


async def _until(reading: asyncio.Task[None], reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not reached():
            if reading.done():
                raise RuntimeError("the feed ended") from reading.exception()
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe(sys.argv[1], sys.argv[2], int(sys.argv[3])))), flush=True)
