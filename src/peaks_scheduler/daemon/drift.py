"""How far the power models are from what is measured, now.

Owns the comparison: every few minutes the newest minutes of each node's CPU use and power come from Prometheus, in a
few queries for all nodes together, and the mean of the measured watts stands against the mean of what the node's model
says for that CPU use. A model that was right once goes wrong when a power supply, a fan curve or a BIOS setting
changes; the scheduler then goes on deciding by watts that nobody draws. Says so, changes nothing. Assumes that sensors
are read at least once in a step; what was found more than three intervals ago is no longer told.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import LoadError
from ..ledger import Ledger
from ..logs import ChangeLog
from ..power import PowerModel
from ..serving import Health
from ..settings import DriftSettings
from ..sources.identity import NodeAddresses
from ..sources.node_reading import Total
from ..sources.node_series import AllAtOnce, Grid, NoSeriesError, Queries, read_totals, survey
from ..sources.prometheus_api import PrometheusApi
from ..telemetry import Telemetry

logger = logging.getLogger(__name__)

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


class DriftKeeper:
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
        self._api, self._interval, self._queries = api, settings.interval, queries
        self._window, self._step = window, step
        self._ledger, self._telemetry, self._known, self._wall = ledger, telemetry, known, wall
        self._log = ChangeLog(logger)
        self._nodes: Mapping[str, Drift] = {}
        self._compared_at = -float("inf")
        self.failure = ""

    async def run(self) -> None:
        """Compare every interval until cancelled; not before the nodes are known."""
        await self._known.wait()
        while True:
            begun = time.monotonic()
            await self.once()
            await asyncio.sleep(max(1.0, self._interval - (time.monotonic() - begun)))

    async def once(self) -> None:
        """One comparison of all nodes."""
        try:
            nodes = await self._compare()
        except LoadError as error:
            self._failed(error.kind, f"{error.kind}: {error}")
        except Exception as error:  # whatever it comes to, scheduling goes on
            logger.exception("power not compared")
            self._failed(type(error).__name__, f"{type(error).__name__}: {error}")
        else:
            self.failure = ""
            self._nodes, self._compared_at = nodes, self._wall()
            self._log.report("compare", "", logging.INFO, "measured power compared with the models", nodes=len(nodes))

    def _failed(self, kind: str, failure: str) -> None:
        self.failure = failure
        self._telemetry.source_failed(NAME)
        self._log.report("compare", kind, logging.WARNING, "measured power not known", error=failure)

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
        for plan in found.plans:
            model = self._ledger.models.for_node(plan.node, nodes[plan.node].labels)
            try:
                drift = model and compared(model, grid, *await read_totals(asker, plan, self._queries))
            except NoSeriesError:
                continue
            except LoadError as error:
                failed.append(error)
                continue
            if drift:
                drifts[plan.node] = drift
            await asyncio.sleep(0)  # thousands of nodes, and pods that wait
        if failed and not drifts:
            raise failed[0]
        if not found.plans:
            raise LoadError("empty", "no node has series of both its CPU and its power")
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
