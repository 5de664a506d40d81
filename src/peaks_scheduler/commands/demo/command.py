"""``peaks-scheduler demo``: the real daemon on a simulated cluster, with a workload, and what it came to.

Owns the order of events and their deadlines: start the simulated cluster, start the daemon, let the pods arrive, stop
everything, show the result. Every part stops when its block is left, on success, failure, ctrl-C and SIGTERM alike.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.load_watcher_endpoint import LoadEndpoint
from peaks_scheduler.objects.ceilings import NO_CEILING
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.scoring.strategies import strategy_named
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.text.printable import visible
from peaks_scheduler.text.progress import ProgressBar
from peaks_scheduler.text.terminal import say, show

from .daemon_process import DaemonProcess
from .recorder import Recorder
from .replay import SchedulerRule, least_allocated, recorded_placements, replay, use_before
from .scenario import Arrival, arrivals, demo_nodes, pod_object, power_models
from .simulated_cluster import DemoRun, Pace, daemon_command, simulated_cluster
from .summary import ceiling_lines, cost_lines, rows, table_lines, why_lines
from .temporary_files import temporary_files

_POLL = 0.05  # [s]


class NotReady(Exception):  # noqa: N818 - ends a phase, never leaves this file
    """The daemon ended, or did not reach a state in time."""


def run_demo(nodes: int, pods: int, seed: int) -> int:
    """Show the scheduler at work on ``nodes`` made-up nodes and ``pods`` pods. Returns the exit code.

    0 when every pod was bound; 1 otherwise, with the end of the daemon's log; 130 after ctrl-C. Raises
    ConfigurationError for numbers of nodes and pods that are impossible.
    """
    pace = Pace()
    cluster = demo_nodes(nodes, seed)
    return perform(DemoRun(cluster, arrivals(pods, cluster, seed, pace.arriving), pace, daemon_command))


def perform(run: DemoRun) -> int:
    """Carry out a run on an event loop of its own. Returns the exit code."""
    try:
        return asyncio.run(_until_signalled(_perform(run)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped: nothing is left running")
        return 130


async def _until_signalled(performance: Coroutine[Any, Any, int]) -> int:
    """SIGTERM cancels the demo, as ctrl-C does, so that every block is left."""
    task = asyncio.ensure_future(performance)
    loop = asyncio.get_running_loop()
    with suppress(ValueError, NotImplementedError):  # not in the main thread, or not on this system
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _perform(run: DemoRun) -> int:
    with temporary_files() as files:
        async with simulated_cluster(run, files) as (server, load, recorder):
            command = run.command(files, server.url, load.url)
            async with DaemonProcess(command, files("daemon.log")) as daemon:
                try:
                    await _run_workload(run, server, load, recorder, daemon)
                except NotReady as error:
                    return _failed(str(error), daemon)
            _show_result(run, recorder)
            return 0


# --- workload ---------------------------------------------------------------------------------------------------------


async def _run_workload(
    run: DemoRun, server: EmbeddedApiServer, load: LoadEndpoint, recorder: Recorder, daemon: DaemonProcess
) -> None:
    """Wait until the daemon is ready, create the pods, and wait until all are bound. Raises NotReady."""
    say(f"{len(run.cluster)} nodes; API server on {server.url}, load endpoint on {load.url}; starting the daemon")

    def ready() -> bool:
        return server.requests["watch", "pods"] > 0 and server.requests["watch", "nodes"] > 0 and load.fetches > 0

    await _wait(ready, run.pace.ready, daemon, "the daemon to watch pods and nodes and to ask for load")
    total = len(run.workload)
    with ProgressBar("pods bound", lines=4) as progress:
        arriving = asyncio.create_task(_arrive(server, run.workload), name="arrivals")
        try:
            await _wait(
                lambda: _all_bound(recorder, total, progress),
                run.pace.arriving + run.pace.after,
                daemon,
                f"all {total} pods to be bound",
            )
        finally:
            arriving.cancel()


def _all_bound(recorder: Recorder, total: int, progress: ProgressBar) -> bool:
    progress.update(recorder.bound, total)
    return recorder.bound >= total


async def _arrive(server: EmbeddedApiServer, workload: Sequence[Arrival]) -> None:
    start = asyncio.get_running_loop().time()
    for arrival in workload:
        await asyncio.sleep(start + arrival.at - asyncio.get_running_loop().time())
        server.add_pod(pod_object(arrival))


async def _wait(reached: Callable[[], bool], seconds: float, daemon: DaemonProcess, what: str) -> None:
    """Wait until ``reached``. Raises NotReady after ``seconds``, or when the daemon ends before."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not reached():
        if daemon.exit_code is not None:
            raise NotReady(f"waited for {what}; the daemon ended with exit code {daemon.exit_code}")
        if loop.time() >= deadline:
            raise NotReady(f"waited {seconds:.0f} s for {what}, in vain")
        await asyncio.sleep(_POLL)


# --- result -----------------------------------------------------------------------------------------------------------


def _failed(why: str, daemon: DaemonProcess) -> int:
    say(f"the demo failed: {why}. The end of the daemon's log:")
    for line in daemon.tail() or ["(the log is empty)"]:
        say(f"  {line}")
    return 1


def _show_result(run: DemoRun, recorder: Recorder) -> None:
    before = use_before(run.cluster)
    after = replay(run.cluster, recorder.steps, recorded_placements(run.cluster))
    alternative = replay(run.cluster, recorder.steps, least_allocated(run.cluster))
    settings = Settings()
    rule = SchedulerRule(run.cluster, demo_models(), strategy_named(settings.strategy), NO_CEILING)
    unlimited = replay(run.cluster, recorder.steps, rule.place, rule.end)
    lines = [
        *table_lines(rows(before, after)),
        "",
        f"{recorder.bound} pods bound, median {recorder.median_wait() * 1000:.0f} ms from creation to binding; "
        f"{len(recorder.steps) - recorder.bound} of them finished meanwhile.",
        *cost_lines(before, after, alternative),
        *ceiling_lines(before, after, unlimited, settings.ceiling.cpu or 1.0),
        *_explained(recorder),
    ]
    show("\n".join(map(visible, lines)))


def _explained(recorder: Recorder) -> list[str]:
    """Why the first, a middle and the last pod went where they went."""
    decisions = recorder.decisions
    if not decisions:
        return []
    picked = sorted({0, len(decisions) // 2, len(decisions) - 1})
    head = "Why that node? The first, a middle and the last decision, from the pods' annotations:"
    return ["", head, *why_lines([decisions[i] for i in picked])]


def demo_models() -> PowerModels:
    """The power models of the demo's nodes, as the daemon reads them."""
    return parse_models(json.dumps(power_models()), "demo")
