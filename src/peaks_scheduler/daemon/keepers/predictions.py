"""Predicted power models while the daemon runs: servers are asked ahead of time, never while a pod is decided.

Writes the predicted layer of the power book. Every ``predictors.refresh`` each node with an assignment is asked for its
whole curve, and sooner where one of its signals has moved by more than ``predictors.step``. Each server has a round of
its own, so a slow one delays no other. A prediction that does not count leaves the last one in force until that
expires; then the next layer counts. What is wrong is logged once per change and shown on ``/readyz?verbose``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.power_columns import prepare_predicted
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.gauge import Gauge, by_key, single
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.judging import REASONS
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predictions import FIRST
from peaks_scheduler.settings.predictors import PredictorSettings, ServedModel
from peaks_scheduler.sources.predictors.asked_node import AskedNode
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.predictors.predictor import Predictor
from peaks_scheduler.sources.predictors.round import NOT_ASKED, RoundResult, predict_round

from .asked_signals import AskedSignals, known_until
from .predicted_nodes import Outcomes, Roster, named

logger = logging.getLogger(__name__)

T = TypeVar("T")
NAME = "predictions"
LOOK_EVERY = 1.0  # [s] between two looks at the signals
ASSIGN_EVERY = 5.0  # [s] between two looks at which node has which model
MOST_SERVERS = 256
"""Servers that are asked at once."""
SLICE = 32
"""Nodes that are worked on before a decision gets its turn."""


class Assignments(Protocol):
    """Which node has which model: ``sources.predictors.assignments``."""

    def of(self, node: Node) -> Assignment | None: ...

    def retain(self, names: Iterable[str]) -> None:
        """Forget all other nodes."""


class Predictors(Protocol):
    """The predictors: ``sources.predictors.factory.PredictorPool``."""

    def predictor(self, model: ServedModel) -> Predictor: ...

    async def retain(self, models: Collection[ServedModel]) -> None:
        """Close those of all other models."""

    async def aclose(self) -> None: ...


class PredictionKeeper(Keeper):
    """See the module.

    Args:
        known: set once all nodes are in the ledger.
        wall: [s] since the epoch, ours.
        clock: [s] monotonic.
    """

    def __init__(
        self,
        settings: PredictorSettings,
        ledger: Ledger,
        assignments: Assignments,
        predictors: Predictors,
        telemetry: Telemetry,
        known: asyncio.Event,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._ledger, self._assignments, self._predictors = settings, ledger, assignments, predictors
        self._telemetry, self._known, self._wall, self._clock = telemetry, known, wall, clock
        self._follow = settings.cpu_temperature == "follow"
        self._roster = Roster(follow=self._follow)
        self._asked = AskedSignals()
        self._due: dict[str, float] = {}
        """Server -> [s] of ``clock`` when all of its nodes are asked again."""
        self._running: dict[str, asyncio.Task[None]] = {}
        """Server -> its round that goes on."""
        self._at_once = asyncio.Semaphore(MOST_SERVERS)
        self._assigned_at = -math.inf
        self._outcomes = Outcomes()
        self._log, self._told, self._reasons = ChangeLog(logger), frozenset[ServedModel](), frozenset[str]()
        """What was logged: models that do not answer, and reasons why predictions do not count."""

    # -- the loop

    async def run(self) -> None:
        """Look every second until cancelled."""
        await self._known.wait()
        try:
            while True:
                await self._look_whatever_comes()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for task in self._running.values():
                task.cancel()

    async def _look_whatever_comes(self) -> None:
        try:
            await self.look()
        except Exception as error:  # whatever signals and nodes make of it, scheduling goes on with other models
            if self._log.report("look", repr(error), logging.ERROR, "predictions not asked for", error=repr(error)):
                logger.exception("predictions failed in a way that is not known")

    async def look(self) -> None:
        """Ask the servers whose nodes are to be asked now. It does not wait for the answers; ``settled`` does."""
        self._ledger.expire(self._wall())
        self._outcomes.expire(self._wall())
        if self._clock() - self._assigned_at >= ASSIGN_EVERY:
            self._assigned_at = self._clock()
            await self._assign()
        if self._roster.assigned:
            self._begin()

    async def settled(self) -> None:
        """Wait for the rounds that go on."""
        while self._running:
            await asyncio.wait(self._running.values())

    # -- who has which model

    async def _assign(self) -> None:
        found: dict[str, Assignment] = {}
        for nodes in _slices(list(self._ledger.nodes())):
            found |= {node.name: own for node in nodes if (own := self._assignments.of(node)) is not None}
            await asyncio.sleep(0)
        self._assignments.retain([node.name for node in self._ledger.nodes()])
        if found == self._roster.assigned:
            return
        models = {own.model for own in found.values()}
        gone = self._roster.assign(found)
        self._ledger.power.withdraw(gone)
        self._outcomes.forget(gone, models)
        self._due = {model.url: self._due.get(model.url, -math.inf) for model in models}
        await self._predictors.retain(models)
        self._report()

    # -- asking

    def _begin(self) -> None:
        snapshot = self._ledger.snapshot()
        names = snapshot.names
        self._roster.place(names)
        self._asked.follow(names)
        signals = {name: snapshot.signals[name].copy() for name in self._roster.needed}
        sooner = self._roster.fresh_ones() | self._asked.moved(signals, self._roster.needed, self._settings.step)
        use = np.where(snapshot.measured, snapshot.cpu_high / snapshot.cpu_capacity, np.nan)
        ends = known_until(snapshot.signals, self._roster.needed, self._settings.expiry, len(names))
        now = self._clock()
        for server, nodes in self._roster.servers.items():
            if server in self._running:
                continue
            due = now >= self._due[server]
            chosen = nodes if due else nodes[sooner[nodes]]
            if due:
                self._due[server] = now + self._settings.refresh
            if chosen.size:
                self._asked.note(chosen, signals)
                some = [names[i] for i in chosen.tolist()]
                self._roster.fresh.difference_update(some)
                self._start(server, some, signals | {_USE: use}, ends, chosen)

    def _start(
        self, server: str, names: Sequence[str], values: Mapping[str, Floats], ends: Floats, nodes: Ints
    ) -> None:
        mine = {signal: each[nodes].tolist() for signal, each in values.items()}
        work = self._round(names, mine, ends[nodes].tolist())
        task = asyncio.get_running_loop().create_task(work, name=f"{NAME} {server}")
        self._running[server] = task
        task.add_done_callback(lambda _: self._running.pop(server, None))

    async def _round(self, names: Sequence[str], values: Mapping[str, Sequence[float]], ends: Sequence[float]) -> None:
        try:
            async with self._at_once:
                asked_at, asked = self._wall(), await self._questions(names, values)
                result = await predict_round(
                    asked,
                    self._predictors,
                    follow=self._follow,
                    others=self._outcomes.of_model,
                    # an answer that takes longer would have expired before the next one
                    patience=max(self._settings.expiry - self._settings.refresh, self._settings.timeout),
                    took=partial(self._take, asked_at, dict(zip(names, ends, strict=True))),
                )
                self._end(result, asked)
        except Exception:  # whatever a server makes us do, the others are asked
            logger.exception("round of predictions failed in a way that is not known")

    async def _questions(self, names: Sequence[str], values: Mapping[str, Sequence[float]]) -> list[AskedNode]:
        asked: list[AskedNode] = []
        for some in _slices(list(enumerate(names))):
            for i, name in some:
                node, own = self._ledger.node(name), self._roster.assigned.get(name)
                if node is not None and own is not None:
                    asked.append(self._question(node, own, {signal: each[i] for signal, each in values.items()}))
            await asyncio.sleep(0)
        return asked

    def _question(self, node: Node, own: Assignment, values: dict[str, float]) -> AskedNode:
        use = values.pop(_USE)
        return AskedNode(
            node,
            own,
            values,
            None if math.isnan(use) else use,
            self._outcomes.grids.get(node.name, FIRST),
            self._outcomes.last(node.name, own.model),
            self._ledger.power.up_to("learned", node.name, node.labels),
        )

    # -- taking

    async def _take(
        self, asked_at: float, ends: Mapping[str, float], asked: Sequence[AskedNode], result: RoundResult
    ) -> None:
        """``ends``: node -> [s] from when on what it was asked with does not count."""
        expires = asked_at + self._settings.expiry
        for some in _slices(asked):
            names = [each.node.name for each in some if self._still(each)]
            models = [result.models[name] for name in names if name in result.models]
            if models:
                prepare_predicted(models)
                by_end: dict[float, list[PowerModel]] = {}
                for model in models:
                    by_end.setdefault(min(expires, ends[model.name]), []).append(model)
                for end, alike in by_end.items():
                    self._ledger.power.predict(alike, asked_at, end)
                self._ledger.power.expire(self._wall())  # what came too late
                self._ledger.snapshot()  # into the arrays, before a decision has to do it for all slices at once
            self._outcomes.take(result, names, asked_at)
            await asyncio.sleep(0)

    def _end(self, result: RoundResult, asked: Sequence[AskedNode]) -> None:
        self._outcomes.rows, self._outcomes.seconds = result.rows, result.seconds
        self._outcomes.answered({each.assignment.model for each in asked}, result.unanswered)
        for _ in result.unanswered:
            self._telemetry.source_failed(NAME)
        self._report()

    def _still(self, asked: AskedNode) -> bool:
        """Is the node there, and has it the model that was asked?"""
        own = self._roster.assigned.get(asked.node.name)
        there = self._ledger.node(asked.node.name) is not None
        return there and own is not None and own.model == asked.assignment.model

    # -- what is wrong

    def _report(self) -> None:
        found, by_reason = self._outcomes, self._outcomes.by_reason()
        for model in self._told | found.unanswered.keys():
            if why := found.unanswered.get(model):
                self._log.report(model, why, logging.WARNING, "server does not predict", model=named(model), error=why)
            else:
                logger.info("server predicts again", extra={"model": named(model)})
                self._log.forget(model)
        self._told = frozenset(found.unanswered)
        for reason in (NOT_ASKED, *REASONS):
            names = by_reason.get(reason, ())
            message = "predictions do not count" if names else "predictions count again"
            if names or reason in self._reasons:
                self._log.report(reason, names, logging.WARNING, message, reason=reason, nodes=found.words(names))
        self._reasons = frozenset(by_reason)

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        if not self._roster.assigned:
            return Health.ok()
        if trouble := self._outcomes.trouble():
            return Health.degraded(f"{trouble}; older predictions count until they expire, then the next layer")
        return Health.ok(f"{self._counting()} of {len(self._roster.assigned)} nodes")

    def _counting(self) -> int:
        """Nodes whose predicted model counts."""
        return len(self._ledger.power.nodes_of("predicted"))

    def tasks(self) -> Tasks:
        return {NAME: self.run()}

    def checks(self) -> Sequence[Check]:
        return (Check(NAME, self.health),)

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        of = self._outcomes
        return (
            Gauge("peaks_predicted_nodes", "Nodes whose power model in force is a prediction.",
                  lambda: single(self._counting())),
            Gauge("peaks_predictions_refused", "Nodes whose last prediction does not count, by reason.",
                  lambda: by_key({reason: len(nodes) for reason, nodes in of.by_reason().items()}), ("reason",)),
            Gauge("peaks_predictions_repaired", "Nodes whose prediction fell somewhere and was made to rise.",
                  lambda: single(len(of.repaired))),
            Gauge("peaks_prediction_repair_watts", "Largest change that made a prediction rise.",
                  lambda: single(max(of.repaired.values(), default=0.0))),
            Gauge("peaks_prediction_round_seconds", "Time that the last round of questions to a server took.",
                  lambda: single(of.seconds)),
            Gauge("peaks_prediction_rows", "Rows that the last round asked a server.", lambda: single(self.rows)),
        )
    # fmt: on

    @property
    def rows(self) -> int:
        """Rows that the last round asked a server."""
        return self._outcomes.rows

    async def aclose(self) -> None:
        await self._predictors.aclose()


_USE = ""
"""Place of the CPU use among the values of the signals, none of which is named so."""


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + SLICE] for start in range(0, len(items), SLICE))
