"""Predicted models: what a refresh of all nodes takes, and what decisions cost with them, beside models of a file.

A V2 server runs in a process of its own, so that its work is not counted as ours. Every node is asked at 21 points, and
with each of two sensors one standard error higher: 63 rows a node, one question. Between two rounds all temperatures
change. Decisions take turns: with predicted models, and with piecewise models of 11 points of a file, once with the
errors of their fits, as ``fit`` writes them and as predictions have errors, and once without.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks import decision, models
from benchmarks.figures import Aim, Better, Figure, gather
from benchmarks.plan import Plan
from benchmarks.predictions_server import v2_server, watts
from peaks_scheduler.daemon.keepers.predictions import PredictionKeeper
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.sample import Sample
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.predictors import PredictorSettings, ServedModel
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.predictors.factory import PredictorPool

PART = "predictions"
ROUNDS = 5
KNOWN, BARE = "file, 11 points, fit errors known", "file, 11 points"
UNITS: dict[str, tuple[str, Better]] = {
    "one refresh of all nodes": ("s", "lower"),
    "one refresh of all nodes, CPU of ours": ("s", "lower"),
    "rows of a refresh": ("", ""),
    "decision": ("µs", "lower"),
    "decision, p99": ("µs", "lower"),
    "questions while deciding": ("", "lower"),
}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """Refresh all nodes several times, then decide."""
    say(f"predictions: {plan.nodes} nodes")
    with v2_server() as (url, asked):
        predicted = decision.ledger(plan, tainted=False, power=PowerModels())
        refreshes = asyncio.run(_refreshes(predicted, url, plan))
        of_file = decision.ledger(plan, tainted=False, power=_of_file(plan))
        before = asked.value
        with_errors = decision.ledger(plan, tainted=False, power=models.known(_of_file(plan)))
        times = _decided(plan, {"predicted": predicted, KNOWN: with_errors, BARE: of_file})
        meanwhile = float(asked.value - before)
    decided = {name: {"decision": statistics.median(t), "decision, p99": _p99(t)} for name, t in times.items()}
    rounds = [each | decided["predicted"] | {"questions while deciding": meanwhile} for each in refreshes]
    figures = gather(PART, "predicted", rounds, UNITS) + [
        figure for name in (KNOWN, BARE) for figure in gather(PART, name, [decided[name]], UNITS)
    ]
    wall, cpu = (statistics.median(each[name] for each in refreshes) for name in list(UNITS)[:2])
    ratio = decided["predicted"]["decision, p99"] / decided[KNOWN]["decision, p99"]
    return figures, [
        Aim(f"one refresh of {plan.nodes:,} nodes [s]", wall, 5.0, "lower"),
        Aim("CPU of ours in it [s], 10 % of a core every 30 s", cpu, 3.0, "lower"),
        Aim("decisions with predictions over those with a fitted file, p99", ratio, 1.1, "lower"),
        Aim("questions to the server while deciding", meanwhile, 0.0, "lower"),
    ]


class _Assigned:
    """All nodes have one model."""

    def __init__(self, model: ServedModel) -> None:
        self._own = Assignment(model, "a benchmark")

    def of(self, _: Node) -> Assignment:
        return self._own

    def retain(self, _: object) -> None:
        return


async def _refreshes(known: Ledger, url: str, plan: Plan) -> list[dict[str, float]]:
    """What each refresh took; the first, which opens the connection, is left out."""
    settings = PredictorSettings(expiry=float("inf"))
    model = ServedModel("v2", url, "server")
    now, ready = [decision.NOW], asyncio.Event()
    ready.set()
    keeper = PredictionKeeper(
        settings,
        known,
        _Assigned(model),
        PredictorPool(settings.timeout),
        Telemetry("Peaks", Sample),
        ready,
        wall=lambda: now[0],
        clock=lambda: now[0],
    )
    rng, found = np.random.default_rng(plan.seed), []
    for _ in range(ROUNDS + 1):
        now[0] += settings.refresh + 1.0
        for signal, unit, low, high in (("inlet", "celsius", 18.0, 30.0), ("deltaP", "pascal", 2.0, 12.0)):
            values = rng.uniform(low, high, plan.nodes).tolist()
            named = dict(zip((node.name for node in known.nodes()), values, strict=True))
            known.set_signal(signal, named, unit=unit, time=now[0])
        begun, used = time.perf_counter(), time.process_time()
        await keeper.look()
        await keeper.settled()
        names = list(UNITS)
        taken = time.perf_counter() - begun, time.process_time() - used, float(keeper.rows)
        found.append(dict(zip(names, taken, strict=False)))
        assert keeper.health().level == "ok", keeper.health().text
    await keeper.aclose()
    return found[1:]


def _of_file(plan: Plan) -> PowerModels:
    """The same curves at 22 degrees and 5 Pa, of 11 points, a model for each node."""
    u = np.linspace(0.0, 1.0, 11)
    found = {}
    for i, name in enumerate(models.workload.node_names(plan.nodes)):
        power = watts(np.column_stack([u, np.full(11, 18.0 + i % 12), np.full(11, 2.0 + i % 10)]))
        found[name] = PowerModel(name, Piecewise(tuple(u.tolist()), tuple(power.tolist())))
    return PowerModels(found)


def _decided(plan: Plan, ledgers: dict[str, Ledger]) -> dict[str, list[float]]:
    """[µs] of each decision, the ledgers in turn."""
    pods = itertools.cycle(decision._pods(decision.PLAIN, plan))
    found: dict[str, list[float]] = {name: [] for name in ledgers}
    for pod in itertools.islice(pods, plan.repeats):
        for name, known in ledgers.items():
            known.see(pod)
            begun = time.perf_counter_ns()
            decision._decided(pod, known, decision.PEAKS)
            found[name].append((time.perf_counter_ns() - begun) / 1000)
            known.drop(pod.uid)
    return found


def _p99(times: list[float]) -> float:
    return float(np.percentile(times, 99))
