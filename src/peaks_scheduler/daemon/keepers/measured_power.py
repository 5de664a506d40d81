"""Measured power while the scheduler runs: models learned anew from it, and the drift of the models in force.

Owns which of the two the configuration asks for, their gauges (exported also where neither runs), and the connection to
Prometheus that they share. Without ``prometheus.address`` neither runs, and neither is imported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.gauge import Gauge, Rows, by_key, single
from peaks_scheduler.observability.serving import Check
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.factory import prometheus_api

if TYPE_CHECKING:
    from .drift import Drift, DriftKeeper
    from .refit import RefitKeeper


class MeasuredPower(Keeper):
    """See the module.

    Args:
        known: set once all nodes are in the ledger.
        changed: called when other models have come into force.

    Raises:
        ConfigurationError: a file of certificates cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        changed: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._api = (
            prometheus_api(settings, nodes=lambda: sum(1 for _ in ledger.nodes()))
            if settings.prometheus.address
            else None
        )
        self.refit: RefitKeeper | None = None
        self.drift: DriftKeeper | None = None
        if self._api is None:
            return
        if settings.refit.enabled:
            from .refit import RefitKeeper

            self.refit = RefitKeeper(self._api, settings.refit, ledger, telemetry, known, changed)
        if settings.drift.enabled:
            from peaks_scheduler.sources.power_history.plan import Queries

            from .drift import DriftKeeper

            queries = Queries(settings.refit.power_query, settings.refit.cpu_query)
            self.drift = DriftKeeper(self._api, settings.drift, queries, ledger, telemetry, known)

    def _keepers(self) -> Iterator[Keeper]:
        return (keeper for keeper in (self.refit, self.drift) if keeper is not None)

    def tasks(self) -> Tasks:
        return {name: task for keeper in self._keepers() for name, task in keeper.tasks().items()}

    def checks(self) -> Sequence[Check]:
        return [check for keeper in self._keepers() for check in keeper.checks()]

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("peaks_learned_power_models", "Nodes that use a power model learned by this process.",
                  lambda: single(self.refit.in_force if self.refit else 0)),
            Gauge("peaks_power_model_drift_ratio",
                  "Difference of measured and predicted power, divided by the measured power: "
                  "median and worst of all nodes.",
                  lambda: by_key(self.drift.summary() if self.drift else {}), ("stat",)),
            Gauge("peaks_power_compared_nodes",
                  "Nodes whose measured power was compared with the prediction of their model lately.",
                  lambda: single(len(self.drift.nodes) if self.drift else 0)),
            Gauge("peaks_node_power_watts",
                  "Mean power of the node over the last minutes: "
                  "measured, and predicted by its model for the same CPU use.",
                  self._watts, ("node", "kind"), per_node=True),
        )
    # fmt: on

    def _watts(self) -> Rows:
        nodes = self.drift.nodes if self.drift else {}
        known: list[tuple[str, Drift]] = [(n.name, nodes[n.name]) for n in self._ledger.nodes() if n.name in nodes]
        yield from (((name, "measured"), drift.measured) for name, drift in known)
        yield from (((name, "predicted"), drift.predicted) for name, drift in known)

    async def aclose(self) -> None:
        if self._api is not None:
            await self._api.aclose()
