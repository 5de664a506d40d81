"""The cost of receiving a pod: through our feed (a waiting pod of ours, any other pod), through a plain watch, and
through a watch without ledger.

Each way runs in a process of its own (``feed_probe``) against the embedded API server in this process, so CPU and
memory are the reader's only. Every pod comes twice, as in a backlog: in the list, and when it is bound. The difference
between the first two ways is the cost of kopf's path.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from benchmarks import ROOT, BenchmarkError, workload
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer

PART = "feed"
NODES = 100  # enough for the pods, and few enough that their cost does not matter
LIMIT = 260.0  # [s] for one way
AT_ONCE, PAUSE = 20, 0.01  # Bindings at once, and the time between [s]: about as fast as an API server takes them
WAYS = {
    "waiting": "feed, our waiting pods",
    "placed": "feed, other pods",
    "plain": "plain watch",
    "decode": "plain watch, no ledger",
}
UNITS: dict[str, tuple[str, Better]] = {
    "CPU per pod of the first list": ("ms", "lower"),
    "CPU per change": ("ms", "lower"),
    "memory, start to end": ("MB", "lower"),
    "memory, peak": ("MB", "lower"),
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Measure every way, one after the other. There is no aim: the end-to-end figures have them."""
    figures: list[Figure] = []
    for mode, subject in WAYS.items():
        say(f"feed: {plan.feed} pods, {subject}")
        got = asyncio.run(_one(mode, plan))
        values = (got["list"], got["change"], got["resident"] - got["before"], got["peak"])
        figures += gather(PART, subject, [dict(zip(UNITS, values, strict=True))], UNITS)
    return figures, []


async def _one(mode: str, plan: Plan) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="peaks-feed-") as folder:
        async with EmbeddedApiServer() as server:
            for node in workload.nodes(NODES, plan.seed):
                server.add_node(node)
            for pod in workload.pods("fed", plan.feed, plan.seed, "Peaks"):
                server.add_pod(pod)
            kubeconfig = server.write_kubeconfig(Path(folder) / "kubeconfig")
            with (Path(folder) / "probe.log").open("w+") as log:
                return await _probe(mode, kubeconfig, plan, server, log)


async def _probe(mode: str, kubeconfig: Path, plan: Plan, server: EmbeddedApiServer, log: TextIO) -> dict[str, float]:
    argv = (sys.executable, "-m", "benchmarks.feed_probe", mode, str(kubeconfig), str(plan.feed))
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *argv, stdout=pipe, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            if (await child.stdout.readline()).strip() == b"listed":
                await _bind_all(server)
            last = await child.stdout.readline()
            return dict(json.loads(last))
    except (TimeoutError, ValueError) as error:
        log.seek(0)
        raise BenchmarkError(f"feed, {mode}: the probe did not finish:\n{log.read()[-2000:]}") from error
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _bind_all(server: EmbeddedApiServer) -> None:
    names = workload.node_names(NODES)
    for i, pod in enumerate(server.objects("pods")):
        server.bind(pod["metadata"]["name"], names[i % NODES])
        if i % AT_ONCE == 0:
            await asyncio.sleep(PAUSE)
