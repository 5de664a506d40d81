"""The one witness: a process that watches pods and events and writes down when it saw what.

The same for both schedulers, apart from them and from whoever creates the pods, and cheap: it asks for metadata only
and lets the API server select, so that a pod appears in one watch when it is created, in another when it is bound, and
its event in a third. Times are of the monotonic clock, which all processes of a machine share, taken when a chunk
arrives. Never acts on anything; a watch that ends is an error, since what came meanwhile would be missed.

    python -m benchmarks.observer SPEC.json

SPEC: ``{"url", "token", "ca", "out", "watches": ["created", "bound", "event"]}``. Into ``out`` goes a line ``watching``
once all watches are open, then ``KIND NAME TIME NOTE`` for each sighting; NOTE is 1 for a pod with a decision record.
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

# kind -> collection, field selector
WATCHES = {
    "created": ("/api/v1/namespaces/default/pods", "spec.nodeName="),
    "bound": ("/api/v1/namespaces/default/pods", "spec.nodeName!="),
    "event": ("/api/v1/namespaces/default/events", "reason=Scheduled"),
}


async def observe(spec: dict[str, Any], out: TextIO) -> None:
    """Watch until cancelled; an exception when a watch ends."""
    tls = ssl.create_default_context(cafile=spec["ca"])
    headers = {"Authorization": f"Bearer {spec['token']}", "Accept": METADATA_ONLY}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(spec["url"], headers=headers, connector=connector, timeout=timeout) as session:
        opened = asyncio.Barrier(len(spec["watches"]) + 1)
        async with asyncio.TaskGroup() as tasks:
            for kind in spec["watches"]:
                tasks.create_task(_watch(session, kind, opened, out))
            await opened.wait()
            print("watching", file=out, flush=True)


async def _watch(session: aiohttp.ClientSession, kind: str, opened: asyncio.Barrier, out: TextIO) -> None:
    path, selector = WATCHES[kind]
    async with session.get(path, params={"limit": "1"}, headers={"Accept": "application/json"}) as answer:
        answer.raise_for_status()
        version = (await answer.json())["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": version, "fieldSelector": selector, "timeoutSeconds": HOUR}
    async with session.get(path, params=query) as answer:
        answer.raise_for_status()
        await opened.wait()
        async for lines in batches(answer.content):
            _note(kind, lines, time.monotonic(), out)
    raise RuntimeError(f"the watch for {kind} ended")


def _note(kind: str, lines: list[bytes], now: float, out: TextIO) -> None:
    for line in lines:
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise RuntimeError(f"the watch for {kind} broke: {event['object']}")
        if event["type"] == "ADDED":
            metadata = event["object"]["metadata"]
            # an event is named after its pod, and a dot and more
            name = metadata["name"].partition(".")[0]
            out.write(f"{kind} {name} {now:.6f} {int(DECISION in metadata.get('annotations', ()))}\n")
    out.flush()


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(spec["out"]).open("w", encoding="utf-8") as out:
        asyncio.run(observe(spec, out))


if __name__ == "__main__":
    main()
