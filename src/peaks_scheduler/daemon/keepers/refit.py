"""Power models learned anew while the scheduler runs, from what Prometheus has measured lately.

Owns the rounds over all nodes: every interval each node's last day is read, a model is learned from it in a thread
(``contest.py``, which is not imported before) and, where it wins, put in the place of the model so far. Nodes are
read and learned one at a time, with pauses as long as the work was, so that binds keep the processor. What was learned
is in memory alone: a restart, or a change of the model file, begins again with the file's models, which then serve
until the next round. Trouble stops nothing; the models stay as they are.

A round is given up where a query fails that asks which power series there are: with the best one missing for a moment,
a lesser one would take its place, and its watts pass for the same. For that reason, too, a model is never replaced by
one of less of the machine, one that was learned here only by one of the same part of it or of more, and a node without
a model gets no estimate while other nodes are measured: of all it would look the cheapest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.scope import ESTIMATE, at_least_as_wide, scope_or_wall
from peaks_scheduler.settings.settings import RefitSettings
from peaks_scheduler.sources.node_identity import NodeAddresses
from peaks_scheduler.sources.power_history.discovery import NodeHistory, read
from peaks_scheduler.sources.power_history.node_queries import NodeByNode
from peaks_scheduler.sources.power_history.plan import NoSeriesError, Queries
from peaks_scheduler.sources.power_history.survey import Survey, survey
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.grid import Grid

from .keeper import Rounds

if TYPE_CHECKING:
    from peaks_scheduler.fitting.contest import Contest

logger = logging.getLogger(__name__)

NAME = "refit"
AGAIN = 300.0  # [s] after a round that was given up, or sooner where rounds are
APPLY_EVERY = 10.0  # [s] within a round: each change makes every waiting pod be looked at again
LONGEST_PAUSE = 5.0  # [s]


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that was learned here."""

    model: PowerModel
    part: str
    """What of the machine was measured."""


class RefitKeeper(Rounds):
    """Keeps the power models as good as what is measured.

    Args:
        known: set once all nodes are in the ledger.
        changed: called when other models have come into force.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        api: PrometheusApi,
        settings: RefitSettings,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        changed: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(NAME, "power models not learned, they stay", settings.interval, telemetry, known, AGAIN)
        self._api, self._settings, self._ledger = api, settings, ledger
        self._changed, self._wall = changed, wall
        self._queries = Queries(settings.power_query, settings.cpu_query)
        self._learned: dict[str, Learned] = {}
        self._waiting: dict[str, tuple[PowerModel | None, Learned]] = {}
        self._others_measured = False
        """Does any node have measured power, or a model of it?"""

    @property
    def in_force(self) -> int:
        """Nodes whose model was learned here."""
        models = self._ledger.models.by_name
        return sum(models.get(node) is learned.model for node, learned in self._learned.items())

    async def _round(self) -> str:
        """Over all nodes."""
        try:
            outcomes = await self._over_all()
        finally:
            self._apply()
        logger.info("power models looked at", extra={"nodes": outcomes.total(), **outcomes})
        return "power models are being learned"

    async def _over_all(self) -> Counter[str]:
        settings, nodes = self._settings, {node.name: node for node in self._ledger.nodes()}
        # at whole steps: the same question twice is about the same instants
        end = self._wall() // settings.step * settings.step
        grid = Grid(end - settings.range // settings.step * settings.step, end, settings.step)
        found = await self._survey(grid, nodes)
        self._others_measured = self._any_measured(found, nodes)
        asker, outcomes, applied = NodeByNode(self._api, grid), Counter[str](), time.monotonic()
        for plan in found.plans:
            try:
                outcome = await self._one(nodes[plan.node], await read(asker, plan, self._queries))
            except (LoadError, NoSeriesError) as error:
                outcome, why = "unread", str(error)
                self._log.report(plan.node, why, logging.WARNING, "node not read", node=plan.node, error=why)
            outcomes[outcome] += 1
            self._telemetry.refitted(outcome)
            if time.monotonic() - applied > APPLY_EVERY:
                self._apply()
                applied = time.monotonic()
        return outcomes

    async def _survey(self, grid: Grid, nodes: Mapping[str, Node]) -> Survey:
        addresses = [NodeAddresses.of(node) for node in nodes.values()]
        found = await survey(self._api, grid, self._queries, addresses)
        if found.failed:
            raise LoadError("query", f"not all series are known: {'; '.join(found.failed[:3])}")
        if not found.plans:
            raise LoadError("empty", "no node has series of both its CPU and its power")
        return found

    def _any_measured(self, found: Survey, nodes: Mapping[str, Node]) -> bool:
        models = (self._ledger.models.for_node(node.name, node.labels) for node in nodes.values())
        return any(not plan.power[0].estimated for plan in found.plans) or any(
            model is not None and model.scope != ESTIMATE for model in models
        )

    # -- one node

    async def _one(self, node: Node, series: NodeHistory) -> str:
        champion = self._ledger.models.for_node(node.name, node.labels)
        if self._less(node.name, champion, series):
            return "kept"
        if champion is None and series.scope == ESTIMATE and self._others_measured:
            self._log.report(
                node.name,
                "estimate",
                logging.INFO,
                "no power model learned",
                node=node.name,
                measured=series.scope,
                why=(series.doubt, "an estimate would look cheaper than the nodes whose power is measured"),
            )
            return "refused"
        begun = time.monotonic()
        came = await asyncio.to_thread(self._challenge, series, champion)
        await asyncio.sleep(min(time.monotonic() - begun, LONGEST_PAUSE))
        if came.model is not None:
            self._waiting[node.name] = (champion, Learned(came.model, series.part))
        self._tell(node.name, series, came)
        return came.outcome

    def _challenge(self, series: NodeHistory, champion: PowerModel | None) -> Contest:
        from peaks_scheduler.fitting.contest import contest

        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))
        settings = self._settings
        return contest(
            series.node,
            series.cpu,
            series.power,
            champion,
            settings.hold_out,
            settings.margin,
            now,
            series.scope,
            series.doubt,
        )

    def _less(self, node: str, champion: PowerModel | None, series: NodeHistory) -> bool:
        """Are the watts of less of the machine than the model's, or of another part of it? That is said once."""
        learned = self._learned.get(node)
        own = learned is not None and learned.model is champion
        if champion is None or not self._is_less(champion, learned.part if own and learned else None, series):
            return False
        of_file = "power is measured of less of the machine than the model is of, the model stays"
        self._log.report(
            (node, "scope"),
            series.part,
            logging.WARNING,
            "power is measured otherwise now, the model stays" if own else of_file,
            node=node,
            before=learned.part if own and learned else champion.scope or "not said, counts as wall",
            now=f"{series.scope} ({series.part})",
        )
        return True

    @staticmethod
    def _is_less(champion: PowerModel, part: str | None, series: NodeHistory) -> bool:
        if not at_least_as_wide(series.scope, champion.scope):
            return True
        # the same scope by another part of the machine: package without its memory, say
        return part is not None and series.part != part and series.scope == scope_or_wall(champion.scope)

    def _tell(self, node: str, series: NodeHistory, came: Contest) -> None:
        facts = {
            "node": node,
            "rmse_before_watts": came.before,
            "rmse_after_watts": came.after,
            "held_out_samples": came.samples,
            "measured": series.part,
            "scope": series.scope,
        }
        if came.model is not None:
            word = "power model learned" if came.outcome == "learned" else "power model replaced"
            logger.info(word, extra={**facts, "kind": came.model.curve.kind, "series": series.power_source})
            self._log.forget(node)
        elif came.outcome == "refused":
            self._log.report(node, came.outcome, logging.INFO, "no power model learned", **facts, why=came.reasons)
        else:
            logger.debug("power model kept", extra={**facts, "why": came.reasons})

    def _apply(self) -> None:
        """Put what has won into force, unless the file has spoken meanwhile."""
        models, nodes = self._ledger.models, {node.name: node for node in self._ledger.nodes()}
        won: list[PowerModel] = []
        for name, (champion, learned) in self._waiting.items():
            node = nodes.get(name)
            if node is not None and models.for_node(name, node.labels) is champion:
                self._learned[name] = learned
                won.append(learned.model)
        self._waiting.clear()
        if won:
            self._ledger.apply_models(models.with_named(won))
            self._changed()

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        return Health.degraded(f"{self.failure}; the power models stay as they are") if self.failure else Health.ok()
