"""The nodes' load, fetched from one source every few seconds and put into the ledger.

Owns the task that fetches, which node a name in the load stands for, and what is known about the load's health. Trouble
is logged once per change and shown all the time; it never stops the scheduling, which goes on with estimates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.observability.gauge import Gauge, single
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.sources.matching import AMBIGUOUS, MatchedLoad, match, resolve_report
from peaks_scheduler.sources.node_identity import Resolution
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.source import LoadSource
from peaks_scheduler.text.words import few

from .clock import far, offset_gauge
from .periodic import PeriodicKeeper
from .troubles import Troubles

_OFF_THE_LOOP = 500  # keys of load: more are matched with the nodes in a thread


class LoadKeeper(PeriodicKeeper):
    """Keeps the ledger's load fresh from one source. ``changed`` is called when decisions may come out otherwise;
    ``wall`` is seconds since the epoch."""

    def __init__(
        self,
        source: LoadSource,
        interval: float,
        ledger: Ledger,
        telemetry: Telemetry,
        changed: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("load", source.name, "no load, going on with estimates", interval, telemetry)
        self._source, self._ledger, self._changed, self._wall = source, ledger, changed, wall
        self._troubles = Troubles()
        self.asked = False
        """Has one fetch ended, well or not? Until then nothing is decided."""
        self.offset: float | None = None
        """[s] the source's clock minus ours; None: not known."""
        self._newest: float | None = None  # [s] end of the newest window, our clock
        self.unmatched: tuple[str, ...] = ()
        self._report: LoadReport | None = None
        self._matched_for: tuple[object, ...] | None = None  # keys and number of node changes at the last resolution
        self._complete = False
        self._resolution, self._matched = Resolution(), MatchedLoad()

    @property
    def age(self) -> float | None:
        """[s] since the end of the newest window, at this instant; None before any load came."""
        return None if self._newest is None else max(0.0, self._wall() - self._newest)

    @property
    def problems(self) -> tuple[str, ...]:
        """Values of the last answer that could not be used as they were."""
        return self._report.problems if self._report else ()

    async def once(self) -> None:
        """One fetch into the ledger."""
        report = await self._answer(self._source.fetch())
        if report is None:
            self._ledger.refresh(self._wall())
        else:
            await self._match(report)
            self._take(report)
        self._report_age()
        first, self.asked = not self.asked, True
        if first or not self.failure:
            self._changed()

    def _take(self, report: LoadReport) -> None:
        self._succeeded("load received", nodes=len(report.nodes), source=self._source.name)
        self._report = report
        self.offset = report.clock_offset
        self._apply(report)
        self._report_problems(report)

    def nodes_known(self) -> None:
        """Match the last report with the nodes of the first lists."""
        self._complete = True
        if self._report is not None:
            self._resolution = self._asked_of(self._report)()
            self._apply(self._report)

    async def _match(self, report: LoadReport) -> None:
        """Find the node of each key, unless keys and nodes are as they were the last time."""
        state = (frozenset(report.nodes), report.spare, self._ledger.node_changes)
        if state == self._matched_for:
            return
        find = self._asked_of(report)
        # thousands of addresses take a third of a second
        self._resolution = await off_loop(find) if len(report.nodes) > _OFF_THE_LOOP else find()
        self._matched_for = state

    def _asked_of(self, report: LoadReport) -> Callable[[], Resolution]:
        return partial(resolve_report, report, tuple(self._ledger.nodes()))

    def _apply(self, report: LoadReport) -> None:
        self._matched = match(report, self._resolution)
        self._ledger.apply_load(self._matched.loads, self._wall())
        self._newest = max((load.window_end for load in report.nodes.values()), default=report.timestamp)
        if self._complete:
            self._report_keys()

    def _report_keys(self) -> None:
        found = self._matched.resolution
        self.unmatched = (*found.unmatched, *found.ambiguous)
        for message, names in self._matched.warnings().items():
            self._troubles.tell(message, names, names=few(names))

    def _report_problems(self, report: LoadReport) -> None:
        self._troubles.tell("load left out", report.problems, problems=few(report.problems))
        self._troubles.tell(
            "clock of the load source differs from ours", far(self.offset), seconds=round(self.offset or 0.0, 1)
        )

    def _report_age(self) -> None:
        stale = self.age is not None and self.age > self._ledger.expiry
        self._troubles.tell("load is stale", stale, seconds=round(self.age or 0.0, 1))

    def health(self) -> Health:
        """For ``/readyz?verbose``; after the first fetch it never makes us unready."""
        if not self.asked:
            return Health.failed("no answer from the load source yet")
        if self.failure:
            return Health.degraded(f"{self.failure}; scheduling goes on by estimates")
        troubles = list(self._flaws())
        return Health.degraded("; ".join(troubles)) if troubles else Health.ok()

    def _flaws(self) -> Iterator[str]:
        """What is wrong with an answer that came."""
        if self.age is not None and self.age > self._ledger.expiry:
            yield f"the newest load is {self.age:.0f} s old; scheduling goes on by estimates"
        if self.problems:
            yield f"left out: {few(self.problems)}"
        found = self._matched.resolution
        if found.unmatched:
            yield f"names that are no node: {few(found.unmatched)}"
        if found.ambiguous:
            yield f"names that may be any of several nodes: {few(self._matched.warnings()[AMBIGUOUS])}"
        if found.duplicates:
            yield f"nodes with several names: {few(tuple(found.duplicates))}"
        if self.offset is not None and far(self.offset):
            yield f"its clock is {self.offset:+.0f} s from ours"

    def checks(self) -> Sequence[Check]:
        return (Check("load", self.health),)

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("peaks_load_age_seconds", "Age of the load data in use; +Inf before the first data.",
                  lambda: single(math.inf if self.age is None else self.age)),
            Gauge("peaks_load_source_up", "1 if the last request to the load source returned usable load.",
                  lambda: single(self.asked and not self.failure)),
            Gauge("peaks_load_unmatched_keys", "Names in the load data that match no node, or more than one.",
                  lambda: single(len(self.unmatched))),
            Gauge("peaks_load_problems",
                  "Kinds of invalid values in the load data: not a number, negative, above 100 %.",
                  lambda: single(len(self.problems))),
            offset_gauge("load", lambda: self.offset),
        )
    # fmt: on

    async def aclose(self) -> None:
        await self._source.aclose()
