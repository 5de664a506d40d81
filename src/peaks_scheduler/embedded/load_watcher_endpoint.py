"""An HTTP endpoint like load-watcher's, that reports the CPU use of the embedded server's pods.

A pod uses the CPU that it requests, from ``startedAt`` until ``finishedAt`` of its status. The load of a node is the
average over a sliding window, which is shorter than load-watcher's 15 minutes. As with load-watcher, the averages lag
behind new placements, and the scheduler has to account for that.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from peaks_scheduler.objects.quantity import parse_quantity

from .apiserver import EmbeddedApiServer
from .object_store import Object, StoreChange, encode


@dataclass(frozen=True, slots=True)
class Use:
    """CPU use of one pod [cores] on its node, from ``started`` to ``ended`` [s]; None: it still runs."""

    node: str
    cores: float
    started: float
    ended: float | None = None

    def average(self, start: float, end: float) -> float:
        """Its share [cores] in the node's average from ``start`` to ``end``."""
        until = end if self.ended is None else min(self.ended, end)
        return self.cores * max(0.0, until - max(self.started, start)) / (end - start)


@dataclass(slots=True)
class CpuUse:
    """CPU use of all pods over time. ``own``: node -> cores that the node uses without any pod."""

    own: Mapping[str, float]
    _pods: dict[str, Use] = field(default_factory=dict)

    def observe(self, pod: Object) -> None:
        """Note the start and end times in a pod's status."""
        times = _times(pod)
        if times is not None:
            self._pods[pod["metadata"]["uid"]] = Use(pod["spec"]["nodeName"], cpu_request(pod), *times)

    def gone(self, pod: Object, now: float) -> None:
        """Note that the pod was removed at ``now`` [s]: its use ends."""
        use = self._pods.get(pod["metadata"]["uid"])
        if use is not None and use.ended is None:
            self._pods[pod["metadata"]["uid"]] = replace(use, ended=now)

    def averages(self, start: float, end: float) -> dict[str, float]:
        """Node -> cores, averaged from ``start`` to ``end`` [s]. Forgets pods that ended before ``start``."""
        for uid in [uid for uid, use in self._pods.items() if use.ended is not None and use.ended <= start]:
            del self._pods[uid]
        cores = dict(self.own)
        for use in self._pods.values():
            cores[use.node] = cores.get(use.node, 0.0) + use.average(start, end)
        return cores


class LoadEndpoint:
    """The endpoint on loopback: ``GET /watcher``, ``/watcher?host=NAME``, ``/watcher/health``. ``window``: [s]."""

    def __init__(self, server: EmbeddedApiServer, own: Mapping[str, float], window: int = 30) -> None:
        self.fetches = 0
        """Number of responses."""
        self._server = server
        self._window = window  # [s]
        self._use = CpuUse(own)
        self._capacity: dict[str, float] = {}
        self._stop = server.subscribe("pods", self._observe)
        self._runner: web.AppRunner | None = None
        for pod in server.objects("pods"):
            self._use.observe(pod)
        for node in server.objects("nodes"):
            self._capacity[node["metadata"]["name"]] = float(parse_quantity(node["status"]["capacity"]["cpu"]))

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.get("/watcher", self._watcher), web.get("/watcher/health", self._health)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """URL of the endpoint. Raises RuntimeError before it is entered."""
        if self._runner is None:
            raise RuntimeError("expected `async with` on the load endpoint before its URL is used")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def _observe(self, change: StoreChange) -> None:
        if change.after is not None:
            self._use.observe(change.after.object)
        elif change.before is not None:
            self._use.gone(change.before.object, self._server.clock())

    def answer(self) -> dict[str, Any]:
        """load-watcher's response for now. Its times are whole seconds, and the averages are over exactly these."""
        end = int(self._server.clock())
        start = end - self._window
        cores = self._use.averages(start, end)
        percent = {name: 100.0 * cores.get(name, 0.0) / capacity for name, capacity in self._capacity.items()}
        return {
            "timestamp": end,
            "window": {"duration": f"{self._window}s", "start": start, "end": end},
            "source": "Prometheus",
            "data": {"NodeMetricsMap": {name: self._node(value) for name, value in percent.items()}},
        }

    def _node(self, percent: float) -> dict[str, Any]:
        metric = {"name": "instance:node_cpu:ratio", "type": "CPU", "operator": "AVG", "rollup": f"{self._window}s"}
        return {"metrics": [{**metric, "value": percent}], "tags": {}, "metadata": {"dataCenter": ""}}

    async def _watcher(self, request: web.Request) -> web.Response:
        self.fetches += 1
        answer, host = self.answer(), request.query.get("host")
        nodes = answer["data"]["NodeMetricsMap"]
        if host is not None:
            if host not in nodes:
                return web.Response(status=404, text=f"No metrics found for host {host}")
            answer["data"]["NodeMetricsMap"] = {host: nodes[host]}
        return web.Response(body=encode(answer), content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()


def cpu_request(pod: Object) -> float:
    """CPU request of the pod's containers [cores]; in the demo also their use."""
    requests = (c.get("resources", {}).get("requests", {}).get("cpu", 0) for c in pod["spec"].get("containers", []))
    return float(sum(parse_quantity(request) for request in requests))


def _times(pod: Object) -> tuple[float, float | None] | None:
    """(started, ended) of the pod's first container [s since the epoch]; None before its start."""
    containers = pod["status"].get("containerStatuses") or [{}]
    state = containers[0].get("state", {})
    if "running" in state:
        return _seconds(state["running"]["startedAt"]), None
    if "terminated" in state:
        ended = state["terminated"]
        return _seconds(ended["startedAt"]), _seconds(ended["finishedAt"])
    return None


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
