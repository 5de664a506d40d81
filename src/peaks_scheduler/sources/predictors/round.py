"""One round of questions to inference servers: nodes with their sensors in, power models out.

All nodes of one served model are asked in one question; the predictor divides it into requests. Models are asked at
the same time, ``AT_ONCE`` on one server, so that a slow or failing server delays no other. A node that lacks a signal
which its model needs is not asked, and named. Keeps nothing from one round to the next: who asks keeps what counted
(``Accepted``) and the grids.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PeaksError, PredictorError
from peaks_scheduler.power.judging import LEAST_OTHERS, Answers, judge
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predictions import denser, needs_points, of_processor, predicted_model, rising
from peaks_scheduler.power.scope import scope_or_wall
from peaks_scheduler.settings.predictors import ServedModel

from .asked_node import Accepted, AskedNode
from .predictor import Prediction, Predictor
from .questions import INLET, Answer, Question, lacking

AT_ONCE = 8
"""Models of one server that are asked at once."""
SLICE = 32
"""Nodes whose answers are worked on before other tasks get their turn."""
NOT_ASKED, NOT_ANSWERED = "not-asked", "not-answered"


class Pool(Protocol):
    """Who has the predictors: ``factory.PredictorPool``."""

    def predictor(self, model: ServedModel) -> Predictor:
        """The predictor of this model, the same one each time. Raises ConfigurationError."""


@dataclass(slots=True, eq=False)
class RoundResult:
    """What came of a round. A node is either in ``models`` or in ``failures``."""

    models: dict[str, PowerModel] = field(default_factory=dict)
    raw: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Node -> ((K,) [1], (K,) [W]): the answer as it came, also one that does not count."""
    change: dict[str, float] = field(default_factory=dict)
    """Node -> [W] largest change that made the curve rise; nodes whose curve was changed, and counts."""
    failures: dict[str, str] = field(default_factory=dict)
    """Node -> why it has no prediction, in words."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Node -> the same as a short stable word: ``not-asked``, ``not-answered`` or one of ``judging.REASONS``."""
    unanswered: dict[ServedModel, str] = field(default_factory=dict)
    """Models whose question was not answered -> why."""
    accepted: dict[str, Accepted] = field(default_factory=dict)
    grids: dict[str, Floats] = field(default_factory=dict)
    """Node -> the grid for its next round, where it is another one."""
    rows: int = 0
    """Rows asked."""
    seconds: float = 0.0

    def failed(self, node: str, reason: str, words: str) -> None:
        """A node has no prediction."""
        self.failures[node], self.reasons[node] = words, reason


Took = Callable[[Sequence[AskedNode], RoundResult], Awaitable[None]]


async def predict_round(
    asked: Sequence[AskedNode],
    pool: Pool,
    *,
    follow: bool = False,
    others: Callable[[ServedModel], Collection[Accepted]] = lambda _: (),
    patience: float | None = None,
    took: Took | None = None,
    turn: float = 1.0,
) -> RoundResult:
    """Ask about these nodes, and judge what comes. Raises nothing that a server can cause.

    Args:
        follow: CPU temperatures follow the power (``predictors.cpuTemperature``); else they are held.
        others: the predictions that counted, of all nodes of a served model: what to compare a node with that nothing
            else is known of.
        patience: [s] for one model's question, however many requests it takes; None: as long as the predictor takes.
        took: awaited with nodes as soon as their outcome is in the result, so that a slow model does not age the
            others; every node is told once.
        turn: [s] between two calls of ``took``: thousands of models may answer in one second.
    """
    begun = time.monotonic()
    result = RoundResult()
    servers = {each.assignment.model.url: asyncio.Semaphore(AT_ONCE) for each in asked}
    by_model: dict[ServedModel, list[AskedNode]] = {}
    for each in asked:
        if why := lacking(each, follow=follow):
            result.failed(each.node.name, NOT_ASKED, why)
        else:
            by_model.setdefault(each.assignment.model, []).append(each)

    async def one(model: ServedModel, nodes: Sequence[AskedNode]) -> None:
        async with servers[model.url]:
            await _OneModel(model, nodes, result, others(model)).ask(pool, follow=follow, patience=patience)

    by_task = {asyncio.ensure_future(one(model, nodes)): nodes for model, nodes in by_model.items()}
    told = [each for each in asked if each.node.name in result.failures]
    try:
        while by_task or told:
            if took is not None and told:
                await took(told, result)
            told = []
            if by_task:
                done, _ = await asyncio.wait(by_task, timeout=None if took is None else turn)
                for task in done:
                    told += by_task.pop(task)
                    task.result()
    finally:
        for task in by_task:
            task.cancel()
    result.seconds = time.monotonic() - begun
    return result


class _OneModel:
    """The question to one served model, and what its answer says of each node."""

    def __init__(
        self, model: ServedModel, nodes: Sequence[AskedNode], result: RoundResult, others: Collection[Accepted]
    ) -> None:
        self._model, self._nodes, self._result = model, nodes, result
        self._others = others

    async def ask(self, pool: Pool, *, follow: bool, patience: float | None) -> None:
        try:
            async with asyncio.timeout(patience):
                predictor = pool.predictor(self._model)
                profiles = await self._profiles(predictor) if follow else None
                question = Question(self._model, self._nodes, profiles)
                prediction = await self._asked(predictor, question)
        except PeaksError as error:
            self._unanswered(str(error))
        except TimeoutError:
            self._unanswered(f"expected an answer within {patience or 0.0:.0f} s; got none: is the server overloaded?")
        except Exception as error:  # whatever a server comes up with, other models are asked
            self._unanswered(f"{type(error).__name__}: {error}")
        else:
            await self._take(question.answers(prediction.watts), prediction.version)

    async def _asked(self, predictor: Predictor, question: Question) -> Prediction:
        parts = []
        for part in question.parts():
            parts.append(part)
            await asyncio.sleep(0)
        rows = np.concatenate(parts)
        self._result.rows += len(rows)
        prediction = await predictor.predict(rows)
        if prediction.watts.shape != (len(rows),):
            raise PredictorError("malformed", f"expected {len(rows)} numbers; got the shape {prediction.watts.shape}")
        return prediction

    def _unanswered(self, why: str) -> None:
        self._result.unanswered[self._model] = why
        for each in self._nodes:
            self._result.failed(each.node.name, NOT_ANSWERED, why)

    async def _profiles(self, predictor: Predictor) -> dict[str, Accepted]:
        """How the power of each node depends on its use: as last predicted, else asked with held CPU temperatures."""
        if not any(map(of_processor, self._model.signals)):
            return {}
        known = {each.node.name: each.last for each in self._nodes if each.last and each.last.model == self._model}
        new = [each for each in self._nodes if each.node.name not in known and each.use is not None]
        if not new:
            return known
        question = Question(self._model, new, sensors=False)
        prediction = await self._asked(predictor, question)
        for answer in question.answers(prediction.watts):
            watts, _ = rising(answer.group.u, answer.watts)
            usable = np.isfinite(watts).all(axis=1) & (watts[:, 0] > 0.0)
            for i in np.flatnonzero(usable).tolist():
                asked = answer.group.nodes[i]
                known[asked.node.name] = Accepted(self._model, prediction.version, asked.grid, watts[i])
        return known

    # -- the answer

    async def _take(self, found: Iterator[Answer], version: str) -> None:
        answers = []
        for answer in found:
            answers.append(answer)
            await asyncio.sleep(0)
        usual = self._usual(answers, version)
        for answer in answers:
            for part in _slices(len(answer.group.nodes)):
                self._judge(answer, part, version, usual)
                await asyncio.sleep(0)

    def _usual(self, answers: Sequence[Answer], version: str) -> tuple[Floats, str]:
        """((2,) [W] at no and at full load, whose) of the nodes with this model; NaN: they are too few."""
        others = [each.watts for each in self._others if each.version == version]
        ends = np.array([(watts[0], watts[-1]) for watts in others]).reshape(-1, 2)
        whose = f"the median of {len(ends)} other predictions of this model"
        if len(ends) < LEAST_OTHERS:
            ends = np.concatenate([answer.watts[:, [0, -1]] for answer in answers])
            ends = ends[np.isfinite(ends).all(axis=1)]
            whose = f"the median of the {len(ends)} nodes with this model"
            if len(ends) <= LEAST_OTHERS:
                return np.full(2, np.nan), ""
        return np.median(ends, axis=0), whose

    @np.errstate(invalid="ignore", over="ignore")
    def _judge(self, answer: Answer, part: slice, version: str, usual: tuple[Floats, str]) -> None:
        nodes, u, raw = answer.group.nodes[part], answer.group.u[part], answer.watts[part]
        watts, change = rising(u, raw)
        known = [self._known(each, version) or usual for each in nodes]
        answers = Answers(u, raw, watts, change, np.array([ends for ends, _ in known]), [whose for _, whose in known])
        refused = judge(answers)
        more = needs_points(u, watts)
        for i, asked in enumerate(nodes):
            name = asked.node.name
            self._result.raw[name] = (asked.grid, raw[i].copy())
            if (refusal := refused.get(i)) is not None:
                self._result.failed(name, refusal.reason, refusal.words)
                continue
            self._accept(asked, watts[i].copy(), version, answer.changes[part][i].copy())
            if change[i] > 0.0:
                self._result.change[name] = float(change[i])
            if more[i]:
                self._result.grids[name] = denser(asked.grid, watts[i])

    def _known(self, asked: AskedNode, version: str) -> tuple[Floats, str] | None:
        """((2,) [W] at no and at full load, whose) of what else is known of a node."""
        # watts of a part of the machine say nothing of the whole, which a server usually predicts
        if asked.below is not None and scope_or_wall(asked.below.scope) == "wall":
            curve = asked.below.curve
            return np.array([curve.watts(0.0), curve.watts(1.0)]), f"its model of the layer {asked.below.origin}"
        last = asked.last
        same = last is not None and (last.model, last.version) == (self._model, version)
        # another machine may have come back by this name
        if last is not None and same and last.capacity in (None, asked.node.cpu_capacity):
            return last.watts[[0, -1]], "its last prediction"
        return None

    def _accept(self, asked: AskedNode, watts: Floats, version: str, sensor_errors: Floats) -> None:
        name = asked.node.name
        celsius = asked.sensors[INLET] if INLET in self._model.inputs else None
        points, curve = _tuple(asked.grid.tobytes()), tuple(watts.tolist())
        self._result.models[name] = predicted_model(name, points, curve, celsius, sensor_errors, asked.below)
        self._result.accepted[name] = Accepted(self._model, version, asked.grid, watts, asked.node.cpu_capacity)


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + SLICE) for start in range(0, count, SLICE))


@lru_cache(1024)
def _tuple(grid: bytes) -> tuple[float, ...]:
    """One tuple for all nodes with this grid."""
    return tuple(np.frombuffer(grid).tolist())
