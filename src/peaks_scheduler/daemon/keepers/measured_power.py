"""What is made of measured power while the scheduler runs: models learned anew, and how far the present ones are off.

Owns which of the two goes on by configuration, and the one connection to Prometheus that they share. Without a
``prometheus.address`` there is neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Check
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.factory import prometheus_api
from peaks_scheduler.sources.power_history.plan import Queries

from . import drift, refit


class MeasuredPower:
    """The tasks around measured power. ``known`` is set once all nodes are in the ledger; ``changed`` is called when
    other models have come into force. Raises ConfigurationError for a file of certificates that cannot be used."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        changed: Callable[[], None],
    ) -> None:
        self._api = (
            prometheus_api(settings, nodes=lambda: sum(1 for _ in ledger.nodes()))
            if settings.prometheus.address
            else None
        )
        self.refit: refit.RefitKeeper | None = None
        self.drift: drift.DriftKeeper | None = None
        if self._api is None:
            return
        if settings.refit.enabled:
            self.refit = refit.RefitKeeper(self._api, settings.refit, ledger, telemetry, known, changed)
        if settings.drift.enabled:
            queries = Queries(settings.refit.power_query, settings.refit.cpu_query)
            self.drift = drift.DriftKeeper(self._api, settings.drift, queries, ledger, telemetry, known)

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """By name."""
        keepers = {refit.NAME: self.refit, drift.NAME: self.drift}
        return {name: keeper.run() for name, keeper in keepers.items() if keeper}

    def checks(self) -> list[Check]:
        """For ``/readyz?verbose``."""
        keepers = {refit.NAME: self.refit, drift.NAME: self.drift}
        return [Check(name, keeper.health) for name, keeper in keepers.items() if keeper]

    @property
    def learned_models(self) -> int:
        """Nodes whose model was learned by this process."""
        return self.refit.in_force if self.refit else 0

    @property
    def drift_ratios(self) -> Mapping[str, float]:
        """``median`` and ``worst`` over the nodes; empty where nothing was compared."""
        return self.drift.summary() if self.drift else {}

    @property
    def compared_nodes(self) -> int:
        return len(self.drift.nodes) if self.drift else 0

    def watts(self, names: Sequence[str]) -> tuple[Floats, Floats]:
        """((N,) measured, (N,) predicted) [W] of these nodes, NaN where nothing was compared."""
        nodes = self.drift.nodes if self.drift else {}
        rows = [(found.measured, found.predicted) if (found := nodes.get(name)) else (np.nan, np.nan) for name in names]
        measured, predicted = np.array(rows, np.float64).reshape(-1, 2).T
        return measured, predicted

    async def aclose(self) -> None:
        """Close the connections."""
        if self._api is not None:
            await self._api.aclose()
