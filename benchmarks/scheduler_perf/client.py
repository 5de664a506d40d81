"""Calls of one case to the API server, many at once, and the watch that sees which pods are bound.

Owns the limit of calls in flight, which is scheduler_perf's own. The watch asks for metadata of bound pods alone, so
that it costs little beside the scheduler under test; times are those at which the answer's chunk came. A watch that
ends is resumed where it was. A call that fails is an error: nothing is tried again, apart from what a caller allows.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiohttp

from benchmarks import BenchmarkError
from benchmarks.lines import batches
from tests.e2e.support.api import Api

Object = dict[str, Any]

IN_FLIGHT = 30  # as many pods at once as scheduler_perf's creator
LIMIT = 600.0  # [s] for one call: deleting all pods of a large case takes its time
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
HOUR = "3600"  # [s] longer than any case


class Client:
    """A session to the API server as administrator; an asynchronous context manager."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __aenter__(self) -> Client:
        tls = ssl.create_default_context(cafile=str(self._api.ca_file))
        self.session = aiohttp.ClientSession(
            self._api.url,
            headers={"Authorization": f"Bearer {self._api.token}", "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(limit=IN_FLIGHT + 20, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=LIMIT),
        )
        return self

    async def __aexit__(self, *of: object) -> None:
        await self.session.close()

    async def call(self, method: str, path: str, body: Object | bytes | None = None, *passing: int) -> bytes:
        """The answer's body. An answer of 400 and above is an error, apart from the codes ``passing``."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        async with self.session.request(method, path, data=data, headers=headers) as answer:
            got = await answer.read()
            if answer.status >= 400 and answer.status not in passing:
                raise BenchmarkError(f"{method} {path}: {answer.status} {got[:500]!r}")
            return got

    async def create(self, path: str, made: Object | bytes, *passing: int) -> bytes:
        """Create one object; a field that the server does not know is an error, as it is in scheduler_perf."""
        return await self.call("POST", f"{path}?fieldValidation=Strict", made, *passing)


async def side_by_side(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Do all calls, ``IN_FLIGHT`` of them at a time. The first error ends all."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    async with asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work())


class BoundPods:
    """What a watch of all bound pods has shown so far.

    Attributes:
        present: (namespace, name) -> labels of the bound pods that exist.
        seen: (time [s, the loop's clock], namespace, labels) of every Binding, in order.
        resumed: how often the server ended the watch.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._version = client, ""
        self.present: dict[tuple[str, str], Mapping[str, str]] = {}
        self.seen: list[tuple[float, str, Mapping[str, str]]] = []
        self.resumed = 0
        self.opened = asyncio.Event()

    def count(self, namespace: str, labels: Mapping[str, str]) -> int:
        """How many pods of a namespace with all these labels are bound."""
        mine = (each for (where, _), each in self.present.items() if where == namespace)
        return sum(labels.items() <= each.items() for each in mine)

    def times(self, namespaces: Iterable[str], labels: Mapping[str, str], since: float) -> list[float]:
        """When pods of these namespaces were bound, from ``since`` on, in order."""
        wanted = frozenset(namespaces)
        return [
            at for at, where, each in self.seen if at >= since and where in wanted and labels.items() <= each.items()
        ]

    async def watch(self) -> None:
        """Watch until cancelled."""
        listed = json.loads(await self._client.call("GET", "/api/v1/pods?limit=1"))
        self._version = listed["metadata"]["resourceVersion"]
        while True:
            await self._follow()
            self.resumed += 1

    async def _follow(self) -> None:
        query = {"watch": "1", "resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": HOUR}
        query["fieldSelector"] = "spec.nodeName!="
        headers, limit = {"Accept": METADATA_ONLY}, aiohttp.ClientTimeout(total=None)
        session = self._client.session
        async with session.get("/api/v1/pods", params=query, headers=headers, timeout=limit) as answer:
            if answer.status != 200:
                raise BenchmarkError(f"the watch of bound pods: {answer.status} {(await answer.read())[:300]!r}")
            self.opened.set()
            now = asyncio.get_running_loop().time
            async for lines in batches(answer.content):
                at = now()
                for line in lines:
                    self._take(json.loads(line), at)

    def _take(self, event: Object, at: float) -> None:
        metadata = event["object"].get("metadata", {})
        if event["type"] == "ERROR":
            raise BenchmarkError(f"the watch of bound pods cannot be resumed: {event['object']}")
        self._version = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        key = metadata["namespace"], metadata["name"]
        if event["type"] == "DELETED":
            self.present.pop(key, None)
        elif key not in self.present:
            self.present[key] = metadata.get("labels", {})
            self.seen.append((at, key[0], self.present[key]))
