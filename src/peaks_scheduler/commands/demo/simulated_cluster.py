"""The cluster that the demo simulates: an API server, kubelets and a load endpoint on loopback, and the daemon's files.

Owns the parts and their end: everything stops when the block is left. The daemon is not one of them; it is a process of
its own and reaches these parts over HTTP alone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import yaml

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.kubelets import Kubelets
from peaks_scheduler.embedded.load_watcher_endpoint import LoadEndpoint
from peaks_scheduler.embedded.object_store import stamp

from .recorder import Recorder
from .scenario import SCHEDULER, Arrival, DemoNode, node_object, power_models, resident_object
from .temporary_files import PathOf

_RESIDENT_SINCE = 3600.0  # [s] that the resident pods have run when the demo begins
_LOAD_WINDOW = 30  # [s] window of the load endpoint


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the phases may take [s]. With the defaults the demo ends within 30 s."""

    ready: float = 12.0
    """From the daemon's start until it watches pods and nodes and has asked for load."""
    arriving: float = 8.0
    """The time in which the workload arrives."""
    after: float = 6.0
    """From the last arrival until the last pod must be bound."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One run of the demo."""

    cluster: tuple[DemoNode, ...]
    workload: tuple[Arrival, ...]
    pace: Pace
    command: Callable[[PathOf, str, str], Sequence[str]]
    """(paths of the files, API server's address, load endpoint's address) -> the command that starts the daemon."""


@asynccontextmanager
async def simulated_cluster(
    run: DemoRun, files: PathOf
) -> AsyncIterator[tuple[EmbeddedApiServer, LoadEndpoint, Recorder]]:
    """Everything but the daemon, running while the block lasts; its kubeconfig and power models are in ``files``."""
    recorder = Recorder(asyncio.get_running_loop().time)
    lifetimes = {arrival.name: arrival.runs_for for arrival in run.workload}
    async with EmbeddedApiServer() as server:
        _populate(server, run.cluster)
        server.write_kubeconfig(files("kubeconfig"))
        files("models.yaml").write_text(yaml.safe_dump(power_models(), sort_keys=False), encoding="utf-8")
        server.subscribe("pods", recorder.observe)
        kubelets = Kubelets(server, lambda pod: lifetimes.get(pod["metadata"]["name"]))
        running = asyncio.create_task(kubelets.run(), name="kubelets")
        own = {node.name: node.own_cores for node in run.cluster}
        try:
            async with LoadEndpoint(server, own, _LOAD_WINDOW) as load:
                yield server, load, recorder
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _populate(server: EmbeddedApiServer, cluster: Sequence[DemoNode]) -> None:
    since = stamp(server.clock() - _RESIDENT_SINCE)
    for node in cluster:
        server.add_node(node_object(node))
        server.add_pod(resident_object(node, since))


def daemon_command(files: PathOf, server: str, load: str) -> list[str]:
    """The command that starts the daemon, as a user would; it asks for load more often, since the demo is short."""
    config = {"schedulerName": SCHEDULER, "load": {"interval": "2s"}, "logFormat": "text"}
    files("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    options = {
        "--config": str(files("config.yaml")),
        "--kubeconfig": str(files("kubeconfig")),
        "--load-address": load,
        "--power-models": str(files("models.yaml")),
        "--listen": "127.0.0.1:0",
    }
    flags = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "peaks_scheduler", "run", *flags]
