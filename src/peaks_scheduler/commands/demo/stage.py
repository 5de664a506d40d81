"""The demo itself: set the stage, start the daemon, let the pods arrive, take everything down, say what came of it.

Owns the order of events and their deadlines. The API server, the load endpoint and the kubelets live on this process's
event loop; the daemon is a process of its own and meets them over HTTP alone. Assumes that every part cleans up after
itself when its block is left: success, failure, ctrl-C and SIGTERM all leave the same way.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import yaml

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.kubelets import Kubelets
from peaks_scheduler.embedded.load_watcher_endpoint import LoadEndpoint
from peaks_scheduler.embedded.object_store import stamp
from peaks_scheduler.objects.ceilings import NO_CEILING
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.scoring.strategies import strategy_named
from peaks_scheduler.settings.subjects import Settings
from peaks_scheduler.text.printable import visible
from peaks_scheduler.text.terminal import say, show

from .process import Process
from .progress import Progress
from .record import Record
from .replay import Scheduled, as_it_was, least_allocated, opening, replay
from .scratch import Place, scratch
from .table import ceiling_lines, cost_lines, rows, table_lines, why_lines
from .world import (
    SCHEDULER,
    Arrival,
    Machine,
    arrivals,
    machines,
    node_object,
    pod_object,
    power_models,
    resident_object,
)


def demo_models() -> PowerModels:
    """The curves of the demo's nodes, as the daemon reads them."""
    return parse_models(json.dumps(power_models()), "demo")


_RESIDENT_SINCE = 3600.0  # [s] that the residents have run when the demo begins
_ALL_SEEN = 30  # [s] the load endpoint's window
_POLL = 0.05  # [s]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take [s]. With the defaults everything ends within 30 s."""

    ready: float = 12.0
    """From the daemon's start until it watches pods and nodes and knows the load."""
    arriving: float = 8.0
    """In which the workload arrives."""
    after: float = 6.0
    """From the last arrival until the last pod must be bound."""


class NotReady(Exception):  # noqa: N818 - ends a stage, never leaves this file
    """The daemon ended, or did not get as far as it had to in time."""


@dataclass(frozen=True, slots=True)
class Play:
    """One run of the demo."""

    cluster: tuple[Machine, ...]
    workload: tuple[Arrival, ...]
    pace: Pace
    command: Callable[[Place, str, str], Sequence[str]]
    """(where its files lie, API server's address, load address) -> the command that starts the daemon."""


def run_demo(nodes: int, pods: int, seed: int) -> int:
    """Show the scheduler at work on ``nodes`` made-up nodes and ``pods`` pods. Returns the command's exit code.

    0 when every pod was bound, 1 with the end of the daemon's log otherwise, 130 after ctrl-C. Raises
    ConfigurationError for numbers of nodes and pods that make no sense.
    """
    pace = Pace()
    cluster = machines(nodes, seed)
    play = Play(cluster, arrivals(pods, cluster, seed, pace.arriving), pace, daemon_command)
    return perform(play)


def perform(play: Play) -> int:
    """Run a play to its end on an event loop of its own."""
    try:
        return asyncio.run(_until_signalled(_perform(play)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped: nothing is left running")
        return 130


async def _until_signalled(performance: Coroutine[Any, Any, int]) -> int:
    """SIGTERM ends the demo as ctrl-C does: by way of every block's end."""
    task = asyncio.ensure_future(performance)
    loop = asyncio.get_running_loop()
    with suppress(ValueError, NotImplementedError):  # not in the main thread, or not on this system
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _perform(play: Play) -> int:
    with scratch() as files:
        async with _stage(play, files) as (server, load, record):
            command = play.command(files, server.url, load.url)
            async with Process(command, files("daemon.log")) as daemon:
                try:
                    await _scenes(play, server, load, record, daemon)
                except NotReady as error:
                    return _failed(str(error), daemon)
            _result(play, record)
            return 0


@asynccontextmanager
async def _stage(play: Play, files: Place) -> AsyncIterator[tuple[EmbeddedApiServer, LoadEndpoint, Record]]:
    """Everything but the daemon, and the files it will read."""
    record = Record(asyncio.get_running_loop().time)
    lifetimes = {arrival.name: arrival.runs_for for arrival in play.workload}
    async with EmbeddedApiServer() as server:
        _populate(server, play.cluster)
        server.write_kubeconfig(files("kubeconfig"))
        files("models.yaml").write_text(yaml.safe_dump(power_models(), sort_keys=False), encoding="utf-8")
        server.subscribe("pods", record.observe)
        kubelets = Kubelets(server, lambda pod: lifetimes.get(pod["metadata"]["name"]))
        living = asyncio.create_task(kubelets.run(), name="kubelets")
        own = {machine.name: machine.own_cores for machine in play.cluster}
        try:
            async with LoadEndpoint(server, own, _ALL_SEEN) as load:
                yield server, load, record
        finally:
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living


def _populate(server: EmbeddedApiServer, cluster: Sequence[Machine]) -> None:
    since = stamp(server.clock() - _RESIDENT_SINCE)
    for machine in cluster:
        server.add_node(node_object(machine))
        server.add_pod(resident_object(machine, since))


def daemon_command(files: Place, server: str, load: str) -> list[str]:
    """The daemon as a user would start it; the interval is shorter than usual, as the demo is."""
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


async def _scenes(play: Play, server: EmbeddedApiServer, load: LoadEndpoint, record: Record, daemon: Process) -> None:
    say(f"{len(play.cluster)} nodes; API server on {server.url}, load endpoint on {load.url}; starting the daemon")

    def ready() -> bool:
        return server.requests["watch", "pods"] > 0 and server.requests["watch", "nodes"] > 0 and load.fetches > 0

    await _wait(ready, play.pace.ready, daemon, "the daemon to watch pods and nodes and to ask for load")
    total = len(play.workload)
    with Progress("pods bound", total) as progress:
        arriving = asyncio.create_task(_arrive(server, play.workload), name="arrivals")
        try:
            await _wait(
                lambda: _all_bound(record, total, progress),
                play.pace.arriving + play.pace.after,
                daemon,
                f"all {total} pods to be bound",
            )
        finally:
            arriving.cancel()


def _all_bound(record: Record, total: int, progress: Progress) -> bool:
    progress.update(record.bound)
    return record.bound >= total


async def _arrive(server: EmbeddedApiServer, workload: Sequence[Arrival]) -> None:
    start = asyncio.get_running_loop().time()
    for arrival in workload:
        await asyncio.sleep(start + arrival.at - asyncio.get_running_loop().time())
        server.add_pod(pod_object(arrival))


async def _wait(reached: Callable[[], bool], seconds: float, daemon: Process, what: str) -> None:
    """Until ``reached``; NotReady after ``seconds`` or when the daemon has ended before."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not reached():
        if daemon.exit_code is not None:
            raise NotReady(f"waited for {what}; the daemon ended with exit code {daemon.exit_code}")
        if loop.time() >= deadline:
            raise NotReady(f"waited {seconds:.0f} s for {what}, in vain")
        await asyncio.sleep(_POLL)


def _failed(why: str, daemon: Process) -> int:
    say(f"the demo failed: {why}. The end of the daemon's log:")
    for line in daemon.tail() or ["(the log is empty)"]:
        say(f"  {line}")
    return 1


def _result(play: Play, record: Record) -> None:
    before = opening(play.cluster)
    after = replay(play.cluster, record.steps, as_it_was(play.cluster))
    alternative = replay(play.cluster, record.steps, least_allocated(play.cluster))
    settings = Settings()
    rule = Scheduled(play.cluster, demo_models(), strategy_named(settings.strategy), NO_CEILING)
    unlimited = replay(play.cluster, record.steps, rule.place, rule.end)
    ended = len(record.steps) - record.bound
    lines = [
        *table_lines(rows(before, after)),
        "",
        f"{record.bound} pods bound, median {record.median_wait() * 1000:.0f} ms from creation to binding; "
        f"{ended} of them finished meanwhile.",
        *cost_lines(before, after, alternative),
        *ceiling_lines(before, after, unlimited, settings.ceiling.cpu or 1.0),
    ]
    if record.decisions:
        picked = sorted({0, len(record.decisions) // 2, len(record.decisions) - 1})
        chosen = [record.decisions[i] for i in picked]
        lines += ["", "Why that node? The first, a middle and the last decision, from the pods' annotations:"]
        lines += why_lines(chosen)
    show("\n".join(map(visible, lines)))
