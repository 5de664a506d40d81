"""Power models learned while the scheduler runs, from the power that Prometheus has measured lately.

Writes the learned layer of the power book. Every interval it reads each node's last day, learns a model from it in a
thread (``fitting/contest.py``, which is not imported before), and writes the model where it wins against the model of
file and learned layer; predictions play no part. Nodes are read and learned one at a time, with pauses as long as the
work, so that binds keep the processor. Learned models are in memory alone: a restart, or a new model file, begins again
with the file's models until the next round. Trouble stops nothing; the models stay as they are.

A round is given up if a query fails that asks which power series exist: with the best series missing for a moment, a
lesser one would take its place, and its watts would pass for the same. For the same reason a model is never replaced by
one of a smaller part of the machine, a learned model only by one of the same part or a larger one, and a node without
a model gets no estimate while other nodes are measured: it would look the cheapest of all.

A learned model does not know the temperature. A model of the file that does stays: on a warm day a model without it may
fit the day better, and would make the node cheap on the next hot one. The overhead of cooling is left out: no meter at
the node sees it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.serving import Check, Health
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

from .periodic import PeriodicKeeper

if TYPE_CHECKING:
    from peaks_scheduler.fitting.contest import Contest

logger = logging.getLogger(__name__)

NAME = "refit"
AGAIN = 300.0  # [s] after a round that was given up, or sooner where rounds are
APPLY_EVERY = 10.0  # [s] within a round: each change makes every waiting pod be looked at again
LONGEST_PAUSE = 5.0  # [s]


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that was learned, to be written into the book."""

    model: PowerModel
    part: str
    """The part of the machine that was measured."""


class RefitKeeper(PeriodicKeeper):
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
        super().__init__(
            NAME,
            NAME,
            "power models not learned, they stay",
            settings.interval,
            telemetry,
            known=known,
            retry=AGAIN,
            least_pause=1.0,
        )
        self._api, self._settings, self._ledger = api, settings, ledger
        self._node_log = ChangeLog(logger)
        self._changed, self._wall = changed, wall
        self._queries = Queries(settings.power_query, settings.cpu_query)
        self._parts: dict[str, str] = {}
        """Node -> the part of the machine that its learned model was measured on."""
        self._waiting: dict[str, tuple[PowerModel | None, Learned]] = {}
        """Node -> (the model it was judged against, the one to be written)."""
        self._others_measured = False
        """Does any node have measured power, or a model of measured power?"""

    @property
    def in_force(self) -> int:
        """How many nodes have a learned model that counts."""
        return len(self._ledger.power.nodes_of("learned"))

    async def once(self) -> None:
        """One round over all nodes."""
        if await self._answer(self._round()) is not None:
            self._succeeded("power models are being learned")

    async def _round(self) -> Counter[str]:
        try:
            outcomes = await self._over_all()
        finally:
            self._apply()
        logger.info("power models looked at", extra={"nodes": outcomes.total(), **outcomes})
        return outcomes

    async def _over_all(self) -> Counter[str]:
        settings, nodes = self._settings, {node.name: node for node in self._ledger.nodes()}
        self._forget_all_but(nodes)
        # at whole steps: a repeated query is about the same instants
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
                self._node_log.report(plan.node, why, logging.WARNING, "node not read", node=plan.node, error=why)
            outcomes[outcome] += 1
            self._telemetry.refitted(outcome)
            if time.monotonic() - applied > APPLY_EVERY:
                self._apply()
                applied = time.monotonic()
        return outcomes

    def _forget_all_but(self, nodes: Container[str]) -> None:
        self._parts = {name: part for name, part in self._parts.items() if name in nodes}
        self._node_log.keep(lambda key: (key[0] if isinstance(key, tuple) else key) in nodes)

    async def _survey(self, grid: Grid, nodes: Mapping[str, Node]) -> Survey:
        addresses = [NodeAddresses.of(node) for node in nodes.values()]
        found = await survey(self._api, grid, self._queries, addresses)
        if found.failed:
            raise LoadError("query", f"not all series are known: {'; '.join(found.failed[:3])}")
        if not found.plans:
            raise LoadError("empty", "no node has series of both its CPU and its power")
        return found

    def _any_measured(self, found: Survey, nodes: Mapping[str, Node]) -> bool:
        models = map(self._champion, nodes.values())
        return any(not plan.power[0].estimated for plan in found.plans) or any(
            model is not None and model.scope != ESTIMATE for model in models
        )

    # -- one node

    def _champion(self, node: Node) -> PowerModel | None:
        """The model that a learned one is judged against; predictions do not count here."""
        return self._ledger.power.up_to("learned", node.name, node.labels)

    async def _one(self, node: Node, series: NodeHistory) -> str:
        champion = self._champion(node)
        if self._less(node.name, champion, series) or self._knows_the_air(node.name, champion):
            return "kept"
        if champion is None and series.scope == ESTIMATE and self._others_measured:
            self._node_log.report(
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

    def _knows_the_air(self, node: str, champion: PowerModel | None) -> bool:
        """Does the champion know the temperature? Then it stays, since what is learned here does not. Logged once."""
        if champion is None or champion.temperature is None:
            self._node_log.forget((node, "air"))
            return False
        why = "it knows the temperature of the air, and a model learned here would not: fit again with the temperature"
        self._node_log.report((node, "air"), why, logging.INFO, "power model not judged, it stays", node=node, why=why)
        return True

    def _less(self, node: str, champion: PowerModel | None, series: NodeHistory) -> bool:
        """Are the measured watts of less of the machine than the model's, or of another part? Logged once."""
        own = self._parts.get(node) if champion is not None and champion.origin == "learned" else None
        if champion is None or not self._is_less(champion, own, series):
            return False
        of_file = "power is measured of less of the machine than the model is of, the model stays"
        self._node_log.report(
            (node, "scope"),
            series.part,
            logging.WARNING,
            "power is measured otherwise now, the model stays" if own else of_file,
            node=node,
            before=own or champion.scope or "not said, counts as wall",
            now=f"{series.scope} ({series.part})",
        )
        return True

    @staticmethod
    def _is_less(champion: PowerModel, part: str | None, series: NodeHistory) -> bool:
        if not at_least_as_wide(series.scope, champion.scope):
            return True
        # the same scope, but another part of the machine: the package without its memory, for example
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
            self._node_log.forget(node)
        elif came.outcome == "refused":
            self._node_log.report(node, came.outcome, logging.INFO, "no power model learned", **facts, why=came.reasons)
        else:
            logger.debug("power model kept", extra={**facts, "why": came.reasons})

    def _apply(self) -> None:
        """Write the models that have won into the book, which refuses those of nodes whose model changed meanwhile."""
        nodes, power = {node.name: node for node in self._ledger.nodes()}, self._ledger.power
        changed = False
        for name, (champion, learned) in self._waiting.items():
            node = nodes.get(name)
            if node is not None and power.learn(learned.model, node.labels, self._wall(), instead_of=champion):
                self._parts[name] = learned.part
                changed = True
        self._waiting.clear()
        if changed:
            self._changed()

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        return Health.degraded(f"{self.failure}; the power models stay as they are") if self.failure else Health.ok()

    def checks(self) -> Sequence[Check]:
        return (Check(NAME, self.health),)
