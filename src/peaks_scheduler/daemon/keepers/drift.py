"""How far the power models are from what is measured, now.

Owns the comparison: every few minutes the newest minutes of each node's CPU use and power come from Prometheus, in a
few queries for all nodes together, and the mean of the measured watts stands against the mean of what the node's model
says for that CPU use. A model that was right once goes wrong when a power supply, a fan curve or a BIOS setting
changes; the scheduler then goes on deciding by watts that nobody draws. Says so, changes nothing. Holds a model only
against watts of the same scope: what processors draw is no drift of a whole machine's model. Assumes that sensors are
read at least once in a step; what was found more than three intervals ago is no longer told.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Health
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

from .keeper import Rounds

NAME = "drift"
WINDOW = 600.0  # [s] that are compared
STEP = 120.0  # [s] that a mean is taken over: a multiple of the usual times between two scrapes
LEAST_STEPS = 3  # with both CPU and power: of fewer nothing is told
EXPIRE = 3.0  # intervals


@dataclass(frozen=True, slots=True)
class Drift:
    """One node's power lately."""

    measured: float
    """[W] mean over the minutes that were compared."""
    predicted: float
    """[W] mean of what the model in force says for the CPU use of the same minutes."""

    @property
    def ratio(self) -> float:
        """Size of the difference as a share of what was measured."""
        return abs(self.measured - self.predicted) / self.measured


class DriftKeeper(Rounds):
    """Keeps measured and predicted watts side by side."""

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
        super().__init__(NAME, "measured power not known", settings.interval, telemetry, known)
        self._api, self._queries, self._window, self._step = api, queries, window, step
        self._ledger, self._wall = ledger, wall
        self._nodes: Mapping[str, Drift] = {}
        self.unlike: Mapping[str, str] = {}
        """Node whose model is of another scope than what is measured -> in words, of which."""
        self._compared_at = -float("inf")

    async def _round(self) -> str:
        """One comparison of all nodes."""
        self._nodes = await self._compare()
        self._compared_at = self._wall()
        return "measured power compared with the models"

    @property
    def nodes(self) -> Mapping[str, Drift]:
        """By node; empty where nothing was compared for long."""
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
        return Health.ok()

    # -- one comparison

    async def _compare(self) -> Mapping[str, Drift]:
        end = self._wall() // self._step * self._step
        grid = Grid(end - self._window, end, self._step)
        nodes = {node.name: node for node in self._ledger.nodes()}
        found = await survey(self._api, grid, self._queries, [NodeAddresses.of(node) for node in nodes.values()])
        if found.failed:  # the best of a node's series may be among them: watts of less of it would look like drift
            raise LoadError("query", f"not all series are known: {'; '.join(found.failed[:3])}")
        asker, drifts, failed = AllAtOnce(self._api, grid), dict[str, Drift](), list[LoadError]()
        unlike: dict[str, str] = {}
        for plan in found.plans:
            model = self._ledger.models.for_node(plan.node, nodes[plan.node].labels)
            if model is None:
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
                drifts[plan.node] = drift
            await asyncio.sleep(0)  # thousands of nodes, and pods that wait
        if failed and not drifts:
            raise failed[0]
        if not found.plans:
            raise LoadError("empty", "no node has series of both its CPU and its power")
        self.unlike = unlike
        return drifts


def compared(model: PowerModel, grid: Grid, cpu: Total, power: Total) -> Drift | None:
    """Measured and predicted power over the steps that have both; None where these are too few to tell."""
    use, watts = _means(grid, cpu), _means(grid, power)
    both = ~np.isnan(use) & ~np.isnan(watts)
    # energy that stands still for a step is read less often than that: the next step would have it all
    if np.count_nonzero(both) < LEAST_STEPS or np.any(watts[both] <= 0.0):
        return None
    predicted = [model.curve.watts(min(max(float(u), 0.0), 1.0)) for u in use[both]]
    return Drift(float(watts[both].mean()), float(np.mean(predicted)))


def _means(grid: Grid, total: Total) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(T-1,) mean over each step, NaN across a reset or where nothing is known."""
    rises = np.diff(total.values) / grid.step
    return np.where(rises < 0.0, np.nan, rises)
