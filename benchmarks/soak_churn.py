"""Pods that come and go at a steady rate on the API server, whether it answers or not.

Owns the life of each pod: created at its own time (an open loop), looked at when its time is over, deleted when it is
found on a node, counted then. Every call is repeated until it is answered, since the API server is restarted meanwhile.
At most ``LIMIT`` calls are open and twice as many pods as the rate asks for are there at once: on a machine that
cannot keep up, fewer pods come. Runs on an event loop in a thread of its own. Names never come again.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
from types import TracebackType
from typing import Any, Self

import aiohttp

from benchmarks.workload import NAMESPACE, pod
from tests.e2e.support.api import Api

LIFE = 20.0  # [s] from a pod's creation to its deletion
AGAIN = 1.0  # [s] from an unanswered call, or a look at a pod that waits, to the next one
LIMIT = 48
PATIENCE = 120.0  # [s] after which an unbound pod is given up
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CPUS, MEMORIES = (50, 100, 200), (64, 128, 256)


class SoakChurn:
    """A context manager; pods come while the block lasts, and ``drain`` waits for the last ones.

    Attributes:
        created: pods that were created.
        gone: pods that were bound, each with a decision record that names its node, and deleted.
        wrong: in words, pods that were not.
        unanswered: calls that got no answer, or an error of the server.
        rate: pods created a second, on average.
    """

    def __init__(self, api: Api, rate: float, seed: int) -> None:
        """``rate``: pods a second on average, Poisson."""
        self._api, self._wanted = api, rate
        self._random = random.Random(f"soak {seed}")
        self._ending = threading.Event()
        self.created = self.gone = self.unanswered = 0
        self.rate = 0.0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="churn", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        if error is None:
            self.drain()

    def drain(self) -> None:
        """No more pods come; return when all are gone, or given up. Raises what ended the churn early."""
        self._ending.set()
        self._thread.join(LIFE + 2 * PATIENCE)
        if self._failure is not None:
            raise self._failure

    @property
    def alive(self) -> bool:
        """Is it still running, as it should until ``drain``?"""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._churn())
        except BaseException as failure:  # told by ``drain``
            self._failure = failure

    async def _churn(self) -> None:
        headers = {"Authorization": f"Bearer {self._api.token}", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(limit=LIMIT, ssl=ssl.create_default_context(cafile=str(self._api.ca_file)))
        timeout = aiohttp.ClientTimeout(total=30.0)
        now = asyncio.get_running_loop().time
        session = aiohttp.ClientSession(self._api.url, headers=headers, connector=connector, timeout=timeout)
        async with session as self._session, asyncio.TaskGroup() as lives:
            begun = at = now()
            places = asyncio.Semaphore(int(2 * self._wanted * LIFE))
            while not self._ending.is_set():
                await places.acquire()
                at = max(at, now() - AGAIN) + self._random.expovariate(self._wanted)
                await asyncio.sleep(at - now())
                life = lives.create_task(self._life(f"soak-{self.created:07}"))
                life.add_done_callback(lambda _: places.release())
                self.created += 1
            self.rate = self.created / (now() - begun)

    async def _life(self, name: str) -> None:
        made = pod(name, self._random.choice(CPUS), self._random.choice(MEMORIES), "Peaks")
        await self._answered("POST", PODS, json.dumps({"apiVersion": "v1", "kind": "Pod", **made}))
        await asyncio.sleep(LIFE)
        fault = await self._fault(name)
        if fault:
            self.wrong.append(f"{name}: {fault}")
        await self._answered("DELETE", f"{PODS}/{name}", '{"gracePeriodSeconds": 0}')
        self.gone += not fault

    async def _fault(self, name: str) -> str:
        """What is wrong with a pod, once it is bound or given up; empty if nothing is."""
        for _ in range(int(PATIENCE / AGAIN)):
            found = await self._answered("GET", f"{PODS}/{name}", None)
            if found["spec"].get("nodeName"):
                return record_fault(found)
            await asyncio.sleep(AGAIN)
        return f"not bound within {LIFE + PATIENCE:g} s"

    async def _answered(self, method: str, path: str, body: str | None) -> Any:
        """The answer, however often it takes. What an unanswered call did already is no error when it is repeated."""
        while True:
            try:
                async with self._session.request(method, path, data=body) as answer:
                    said = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                status = 503
            else:
                status = answer.status
            if status < 400:
                return json.loads(said)
            if (method, status) in (("POST", 409), ("DELETE", 404)):
                return None
            if status not in (401, 403, 429) and status < 500:  # those, too, come from a server that just started
                raise RuntimeError(f"{method} {path}: {status} {said[:300]!r}")
            self.unanswered += 1
            await asyncio.sleep(AGAIN)


def record_fault(bound: dict[str, Any]) -> str:
    """What is wrong with the decision record of a bound pod; empty if nothing is."""
    record = json.loads(bound["metadata"].get("annotations", {}).get("peaks-scheduler/decision", "{}"))
    node = bound["spec"]["nodeName"]
    return "" if record.get("node") == node else f"is on {node}, its record says {record.get('node')}"
