"""A process that watches pods and events, and writes down when it saw each of them.

It is the same for both schedulers, and separate from them and from the process that creates the pods. It is cheap: it
asks for metadata only and lets the API server select. So a pod appears in one watch when it is created, in another when
it is bound, and its event in a third. Times are of the monotonic clock, which all processes of a machine share, read
when a chunk arrives. Never changes anything. A watch that ends is resumed, and a line says so. A watch that cannot be
resumed is an error, since changes in between would be missed.

    python -m benchmarks.observer SPEC.json

SPEC: ``{"url", "token", "ca", "out", "watches": ["created", "bound", "event"]}``. It writes a line ``watching`` into
``out`` when all watches are open, then ``KIND NAME TIME NOTE`` for each sighting; NOTE is 1 for a pod with a decision
record. For the KIND ``resumed``, NAME is the watch.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from benchmarks.lines import batches

DECISION = "peaks-scheduler/decision"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
HOUR = "3600"  # [s] longer than any run

# kind -> collection, field selector. "created" has none: a selector of one node (also of the empty name) looks like a
# kubelet's watch to the API server, and it ends such a watch when ten changes come at once
WATCHES = {
    "created": ("/api/v1/namespaces/default/pods", ""),
    "bound": ("/api/v1/namespaces/default/pods", "spec.nodeName!="),
    "event": ("/api/v1/namespaces/default/events", "reason=Scheduled"),
}


class ResumingWatch:
    """One watch, and the resource version at which it can be resumed."""

    def __init__(self, kind: str, session: aiohttp.ClientSession, out: TextIO) -> None:
        self._kind, self._session, self._out = kind, session, out
        self._path, self._selector = WATCHES[kind]
        self._version = ""

    async def watch(self, opened: asyncio.Barrier) -> None:
        """Watch until cancelled. A busy server ends watches; a resumed watch misses nothing."""
        await self._begin()
        await self._follow(opened)
        while True:
            self._out.write(f"resumed {self._kind} {time.monotonic():.6f} 0\n")
            await self._follow(None)

    async def _begin(self) -> None:
        whole = {"Accept": "application/json"}  # a list of metadata would be another type
        async with self._session.get(self._path, params={"limit": "1"}, headers=whole) as answer:
            answer.raise_for_status()
            self._version = (await answer.json())["metadata"]["resourceVersion"]

    async def _follow(self, opened: asyncio.Barrier | None) -> None:
        query = {"watch": "1", "resourceVersion": self._version, "fieldSelector": self._selector}
        query |= {"allowWatchBookmarks": "true", "timeoutSeconds": HOUR}
        async with self._session.get(self._path, params=query) as answer:
            answer.raise_for_status()
            if opened is not None:
                await opened.wait()
            async for lines in batches(answer.content):
                self._take(lines, time.monotonic())

    def _take(self, lines: list[bytes], now: float) -> None:
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RuntimeError(f"the watch for {self._kind} broke, what came meanwhile is lost: {event['object']}")
            metadata = event["object"]["metadata"]
            self._version = metadata["resourceVersion"]
            if event["type"] == "ADDED":
                # an event is named after its pod, and a dot and more
                name = metadata["name"].partition(".")[0]
                self._out.write(f"{self._kind} {name} {now:.6f} {int(DECISION in metadata.get('annotations', ()))}\n")
        self._out.flush()


async def observe(spec: dict[str, Any], out: TextIO) -> None:
    """Watch until cancelled. Raises if a change was missed."""
    tls = ssl.create_default_context(cafile=spec["ca"])
    headers = {"Authorization": f"Bearer {spec['token']}", "Accept": METADATA_ONLY}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(spec["url"], headers=headers, connector=connector, timeout=timeout) as session:
        opened = asyncio.Barrier(len(spec["watches"]) + 1)
        async with asyncio.TaskGroup() as tasks:
            for kind in spec["watches"]:
                tasks.create_task(ResumingWatch(kind, session, out).watch(opened))
            await opened.wait()
            print("watching", file=out, flush=True)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(spec["out"]).open("w", encoding="utf-8") as out:
        asyncio.run(observe(spec, out))


if __name__ == "__main__":
    main()
