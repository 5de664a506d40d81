"""A stream of pods, each created at its own time: an open loop.

Arrivals are a Poisson process of a given rate, drawn from a seed, so the gaps are the same for both schedulers. A slow
answer does not delay the next creation. So a scheduler that falls behind has higher latencies, not fewer arrivals.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Sequence

import aiohttp

from benchmarks import BenchmarkError
from benchmarks.workload import NAMESPACE, Object
from tests.e2e.support.api import Api

LIMIT = 120.0  # [s] for one creation


def arrival_times(count: int, rate: float, seed: int) -> list[float]:
    """The arrival time of each of ``count`` pods [s after the start]."""
    rng = random.Random(f"arrivals {seed}")
    at, times = 0.0, []
    for _ in range(count):
        at += rng.expovariate(rate)
        times.append(at)
    return times


def create(api: Api, pods: Sequence[Object], times: Sequence[float]) -> None:
    """Create each pod at its time; return when all exist. Raises BenchmarkError if a pod is refused."""
    asyncio.run(_create(api, pods, times))


async def _create(api: Api, pods: Sequence[Object], times: Sequence[float]) -> None:
    bodies = [json.dumps({"apiVersion": "v1", "kind": "Pod", **pod}).encode() for pod in pods]
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=64, ssl=ssl.create_default_context(cafile=str(api.ca_file)))
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    now = asyncio.get_running_loop().time
    async with aiohttp.ClientSession(api.url, headers=headers, connector=connector, timeout=timeout) as session:
        start = now()
        async with asyncio.TaskGroup() as tasks:
            for body, at in zip(bodies, times, strict=True):
                await asyncio.sleep(start + at - now())
                tasks.create_task(_post(session, body))


async def _post(session: aiohttp.ClientSession, body: bytes) -> None:
    async with session.post(f"/api/v1/namespaces/{NAMESPACE}/pods", data=body) as answer:
        said = await answer.read()
        if answer.status != 201:
            raise BenchmarkError(f"a pod was not created: {answer.status} {said[:300]!r}")
