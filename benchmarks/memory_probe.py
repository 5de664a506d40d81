"""A process that prints how much memory objects take in it.

    python -m benchmarks.memory_probe plain|placed|large|churn|fork NODES PODS

Prints one JSON line. The results are differences of the resident memory, so they include the allocator's overhead.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import multiprocessing
import statistics
import string
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import memory_pods, workload
from benchmarks.machine import memory
from peaks_scheduler.kube.schemas.placed_pods import placed_pod
from peaks_scheduler.ledger.ledger import Ledger

Json = dict[str, Any]

SEED = 1
OURS, OTHERS = "Peaks", "default-scheduler"
LARGE = 20  # pods of each kind
TIMES = 100
FORKED = 5  # times the pods
FORKS = 5
PLACED = 15  # times the pods: 150,000 with 10,000
WHERE = ("waits", "placed", "others")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def resident() -> float:
    """Resident memory [MB] of this process."""
    gc.collect()
    return memory("self")[0]


def ledger() -> Ledger:
    importlib.import_module("peaks_scheduler.daemon.main")
    known = Ledger(ours=OURS)
    known.now = 1_800_000_000.0
    return known


def plain(nodes: int, pods: int) -> dict[str, float]:
    """Memory of ordinary nodes and pods."""
    known = ledger()
    empty = resident()
    for text in stored_nodes(nodes):
        known.observe_node(json.loads(text))
    known.snapshot()
    with_nodes = resident()
    for text in stored_pods(pods, nodes):
        known.observe_pod(json.loads(text))
    with_pods = resident()
    return {
        "process, nothing in it": empty,
        "each node": 1000.0 * (with_nodes - empty) / nodes,
        "each plain pod": 1000.0 * (with_pods - with_nodes) / pods,
    }


def placed(nodes: int, pods: int) -> dict[str, float]:
    """Memory of the largest cluster: fifteen times the pods, as real ones are (``memory_pods``), decoded as the feed
    does. ``process``: all that is resident at the end, without what a connection to an API server takes."""
    known = ledger()
    for text in stored_nodes(nodes):
        known.observe_node(json.loads(text))
    known.snapshot()
    before, count = resident(), PLACED * pods
    for line in memory_pods.placed_pods(count, nodes, OTHERS):
        read = placed_pod(msgspec.Raw(line), OURS)
        assert read is not None, "a pod on a node is read by its fields"
        known.observe_pod(read.fields())
    after = resident()
    return {
        "each of fifteen times the pods, as real ones are": 1000.0 * (after - before) / count,
        "process with fifteen times the pods": after,
    }


def large(nodes: int, pods: int) -> dict[str, float]:
    """Memory of pods of about a megabyte: the worst of several kinds, for each place in WHERE."""
    worst = {"waits": 0.0, "placed": 0.0, "others": 0.0, "read": 0.0}
    # a new process for each: memory freed by one would be used by the next
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as apart:
        for kind, where in itertools.product(KINDS, WHERE):
            weight, reading = apart.apply(_weigh, (kind, where))
            print(f"{kind} {where}: {weight:.1f} kept, {reading:.1f} more while read", file=sys.stderr)
            worst[where], worst["read"] = max(worst[where], weight), max(worst["read"], reading)
    return {
        "a large pod of ours that waits, for each byte": worst["waits"],
        "a large pod on a node, for each byte": worst["placed"],
        "a large pod that waits for another scheduler, for each byte": worst["others"],
        "while a large pod is read, for each byte": worst["read"],
    }


def _weigh(kind: str, where: str) -> tuple[float, float]:
    """(bytes kept, more bytes while it is read) for each byte of JSON."""
    known = ledger()
    known.observe_node(json.loads(next(stored_nodes(1))))
    texts = [_large(kind, i, where) for i in range(LARGE)]
    before, size = resident(), sum(map(len, texts)) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    for text in texts:
        known.observe_pod(json.loads(text))
    after, peak = resident(), memory("self")[1]
    return (after - before) / size, max(0.0, peak - after) / (size / LARGE)


def churn(nodes: int, pods: int) -> dict[str, float]:
    """Memory left after the cluster was filled and emptied many times, with large pods among others."""
    known = ledger()
    for text in stored_nodes(nodes):
        known.observe_node(json.loads(text))
    before, left = resident(), []
    for turn in range(TIMES):
        texts = [text.replace("bound-", f"turn{turn}-") for text in stored_pods(pods // 50, nodes)]
        texts += [_large(list(KINDS)[turn % len(KINDS)], turn, where, parts=5) for where in WHERE]
        uids = []
        for text in texts:
            raw = json.loads(text)
            known.observe_pod(raw)
            uids.append(raw["metadata"]["uid"])
        for uid in uids:
            known.drop(uid)
        left.append(resident() - before)
    return {"left after the first time filled and emptied": left[0], "left after the last time": left[-1]}


def fork(nodes: int, pods: int) -> dict[str, float]:
    """A copy of the ledger of a large cluster: 50,000 pods where the others have 10,000. The median of several."""
    known = ledger()
    for text in stored_nodes(nodes):
        known.observe_node(json.loads(text))
    for text in stored_pods(FORKED * pods, nodes):
        known.observe_pod(json.loads(text))
    known.snapshot()
    before = resident()
    gc.freeze()  # as the daemon does
    copies, taken = [], []
    for _ in range(FORKS):
        begun = time.perf_counter()
        copies.append(known.fork())
        taken.append(time.perf_counter() - begun)
    return {
        "a fork of the ledger, five times the pods": (resident() - before) / len(copies),
        "a fork of the ledger, five times the pods, time": statistics.median(taken),
    }


# --- objects --------------------------------------------------------------------------------------------------------


def stored_nodes(count: int) -> Iterator[str]:
    return (json.dumps(each) for each in workload.nodes(count, SEED))


def stored_pods(count: int, nodes: int) -> Iterator[str]:
    return (json.dumps(each) for each in workload.bound_pods(count, SEED, nodes))


def _words(count: int, start: str) -> list[str]:
    letters = itertools.islice(itertools.product(string.ascii_lowercase, repeat=4), count)
    return [start + "".join(word) for word in letters]


def _resources(start: str, parts: int) -> Json:
    requests = {f"a.b/{word}": "1" for word in _words(40_000 // parts, start)}
    return {"containers": [{"name": "c", "image": "x", "resources": {"requests": requests}}]}


def _terms(start: str, parts: int) -> Json:
    terms = [
        {"topologyKey": word, "labelSelector": {"matchLabels": {"a": word}}} for word in _words(12_000 // parts, start)
    ]
    return {"affinity": {"podAntiAffinity": {REQUIRED: terms}}}


def _ports(start: str, parts: int) -> Json:
    ports = [{"hostPort": i + 1, "containerPort": i + 1, "hostIP": "10.0.0.1"} for i in range(15_000 // parts)]
    return {"containers": [{"name": "c", "image": start, "ports": ports}]}


def _selector(start: str, parts: int) -> Json:
    return {"nodeSelector": {word: word for word in _words(40_000 // parts, start)}}


def _environment(start: str, parts: int) -> Json:
    return {"containers": [{"name": "c", "image": "x", "env": [{"name": "A", "value": start * (200_000 // parts)}]}]}


KINDS = {"resources": _resources, "terms": _terms, "ports": _ports, "selector": _selector, "environment": _environment}


def _large(kind: str, number: int, where: str, parts: int = 1) -> str:
    """The JSON of a pod of about a megabyte, divided by ``parts``."""
    name = f"{kind}-{where}-{number}"
    spec = {"containers": [{"name": "c", "image": "x"}], **KINDS[kind](f"k{number}", parts)}
    spec["schedulerName"] = OTHERS if where == "others" else OURS
    if where == "placed":
        spec["nodeName"] = workload.node_names(1)[0]
    meta = {"name": name, "namespace": "tenant", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return json.dumps({"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})


if __name__ == "__main__":
    question, nodes, pods = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(
        json.dumps(
            {"plain": plain, "placed": placed, "large": large, "churn": churn, "fork": fork}[question](nodes, pods)
        )
    )
