"""Drift of the power models: the difference between measured and predicted power, now.

Owns the comparison: every few minutes the last ten minutes of each node's CPU use and power are read from Prometheus,
in a few queries for all nodes together, and the mean of the measured watts is compared with the mean of the watts that
the node's model predicts for that CPU use. A model that was right goes wrong when a power supply, a fan curve or a BIOS
setting changes; the scheduler then decides by watts that nobody draws. Reports the drift and changes nothing. Compares
a model only with watts of the same scope: the power of the processors is no drift of a whole machine's model. Assumes
that sensors are read at least once in a step. A result older than three intervals is not reported any more.

A model that knows the temperature predicts for the present one of the node's signal: air changes little in ten minutes.
Where that is not known the node is not compared. The overhead of cooling is left out: no meter at the node sees it.
Where a node draws clearly more than predicted, its temperature is known, and its model does not know so warm an air,
that is named as a possible reason (``warmth``).
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.scope import comparable
from peaks_scheduler.settings.settings import DriftSettings
from peaks_scheduler.sources.node_identity import NodeAddresses
from peaks_scheduler.sources.power_history.node_queries import AllAtOnce
from peaks_scheduler.sources.power_history.node_totals import read_totals
from peaks_scheduler.sources.power_history.plan import NoSeriesError, Queries
from peaks_scheduler.sources.power_history.survey import survey
from peaks_scheduler.sources.power_history.total import Total
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid
from peaks_scheduler.text.words import few

from .periodic import PeriodicKeeper
from .troubles import Troubles

NAME = "drift"
WINDOW = 600.0  # [s] of measurements that are compared
STEP = 120.0  # [s] of each mean: a multiple of the usual time between two scrapes
LEAST_STEPS = 3  # with both CPU and power: fewer are not compared
EXPIRE = 3.0  # [intervals]
CLEARLY = 0.05  # share of the measured power by which it is above the prediction, for the room to be named


@dataclass(frozen=True, slots=True)
class Drift:
    """One node's power lately."""

    measured: float
    """[W] mean over the minutes that were compared."""
    predicted: float
    """[W] mean of what the model in force says for the CPU use of the same minutes."""
    warmth: str = ""
    """Why the air may be the reason that the node draws more, in words; empty: nothing says so."""

    @property
    def ratio(self) -> float:
        """Size of the difference as a share of what was measured."""
        return abs(self.measured - self.predicted) / self.measured


class DriftKeeper(PeriodicKeeper):
    """Compares measured with predicted watts. ``known`` is set once all nodes are in the ledger."""

    def __init__(
        self,
        api: PrometheusApi,
        settings: DriftSettings,
        queries: Queries,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        wall: Callable[[], float] = time.time,
        window: float = WINDOW,
        step: float = STEP,
    ) -> None:
        super().__init__(
            NAME, NAME, "measured power not known", settings.interval, telemetry, known=known, least_pause=1.0
        )
        self._api, self._queries, self._window, self._step = api, queries, window, step
        self._ledger, self._wall = ledger, wall
        self._nodes: Mapping[str, Drift] = {}
        self.unlike: Mapping[str, str] = {}
        """Node whose model has another scope than its measured power -> both scopes, in words."""
        self.airless: Sequence[str] = ()
        """Nodes whose model depends on a temperature that is not known: they are not compared."""
        self._compared_at = -float("inf")
        self._troubles = Troubles()

    async def once(self) -> None:
        """One comparison of all nodes."""
        nodes = await self._answer(self._compare())
        if nodes is not None:
            self._nodes, self._compared_at = nodes, self._wall()
            warm = self.warm()
            self._troubles.tell("nodes draw more power than predicted, the air may be why", bool(warm), nodes=warm)
            self._succeeded("measured power compared with the models")

    def warm(self) -> str:
        """Which nodes draw more than predicted, perhaps for their air, in words; empty: none is known of."""
        found = [f"{name} ({drift.warmth})" for name, drift in self.nodes.items() if drift.warmth]
        return f"more power than predicted, the air may be why: {few(found, 3)}" if found else ""

    @property
    def nodes(self) -> Mapping[str, Drift]:
        """Node -> its drift; empty after three intervals without a comparison."""
        return self._nodes if self._wall() - self._compared_at <= EXPIRE * self._interval else {}

    def summary(self) -> Mapping[str, float]:
        """``median`` and ``worst`` of the nodes' ratios; empty where no node was compared."""
        ratios = [drift.ratio for drift in self.nodes.values()]
        return {"median": statistics.median(ratios), "worst": max(ratios)} if ratios else {}

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        if self.failure:
            return Health.degraded(f"{self.failure}; how true the power models are is not known")
        if self.unlike:
            named = few([f"{node} ({why})" for node, why in self.unlike.items()], 3)
            return Health.degraded(f"not comparable, models and meters are of other parts of the machine: {named}")
        if self.airless:
            return Health.degraded(
                f"not compared, the model depends on a temperature that is not known: {few(self.airless)}"
            )
        return Health.degraded(warm) if (warm := self.warm()) else Health.ok()

    def checks(self) -> Sequence[Check]:
        return (Check(NAME, self.health),)

    # -- one comparison

    async def _compare(self) -> Mapping[str, Drift]:
        end = self._wall() // self._step * self._step
        grid = Grid(end - self._window, end, self._step)
        nodes = {node.name: node for node in self._ledger.nodes()}
        found = await survey(self._api, grid, self._queries, [NodeAddresses.of(node) for node in nodes.values()])
        if found.failed:  # a node's best series may be missing: watts of a smaller part of it would look like drift
            raise LoadError("query", f"not all series are known: {'; '.join(found.failed[:3])}")
        asker, drifts, failed = AllAtOnce(self._api, grid), dict[str, Drift](), list[LoadError]()
        unlike, airless = dict[str, str](), list[str]()
        for plan in found.plans:
            model = self._ledger.metered_model(plan.node)
            if model is None:
                continue
            celsius = self._ledger.celsius(plan.node, model)
            if model.temperature is not None and not math.isfinite(celsius):
                airless.append(plan.node)
                continue
            try:
                cpu, power = await read_totals(asker, plan, self._queries)
            except NoSeriesError:
                continue
            except LoadError as error:
                failed.append(error)
                continue
            if not comparable(model.scope, power.origin.scope):
                of = model.scope or "wall, as far as is known"
                unlike[plan.node] = f"model of {of}, {power.origin.scope} measured"
            elif drift := compared(model, grid, cpu, power):
                drifts[plan.node] = replace(drift, warmth=warmth(drift, model, celsius))
            await asyncio.sleep(0)  # there may be thousands of nodes: decisions come first
        if failed and not drifts:
            raise failed[0]
        if not found.plans:
            raise LoadError("empty", "no node has series of both its CPU and its power")
        self.unlike, self.airless = unlike, airless
        return drifts


def compared(model: PowerModel, grid: Grid, cpu: Total, power: Total) -> Drift | None:
    """Measured and predicted power over the steps that have both; None where there are too few."""
    use, watts = _means(grid, cpu), _means(grid, power)
    both = ~np.isnan(use) & ~np.isnan(watts)
    # an energy counter that does not rise during a step is read less often: the next step would have all the energy
    if np.count_nonzero(both) < LEAST_STEPS or np.any(watts[both] <= 0.0):
        return None
    predicted = [model.curve.watts(min(max(float(u), 0.0), 1.0)) for u in use[both]]
    return Drift(float(watts[both].mean()), float(np.mean(predicted)))


def warmth(drift: Drift, model: PowerModel, celsius: float) -> str:
    """Why the air may be the reason that a node draws more than predicted, in words. Empty where it does not draw
    clearly more, where the temperature ``celsius`` of its air is not known (NaN), or where the model knows such air."""
    more = drift.measured - drift.predicted
    if more < CLEARLY * drift.measured or not math.isfinite(celsius) or model.origin == "predicted":
        return ""
    term = model.temperature
    if term is None:
        return f"+{more:.0f} W at {celsius:.1f} celsius: its model does not know the temperature"
    if term.hottest is None or not term.beyond(celsius):
        return ""
    return f"+{more:.0f} W at {celsius:.1f} celsius: {celsius - term.hottest:.1f} K above what its model was fitted on"


def _means(grid: Grid, total: Total) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(T-1,) mean of each step; NaN where the counter was reset or is unknown."""
    rises = np.diff(total.values) / grid.step
    return np.where(rises < 0.0, np.nan, rises)
