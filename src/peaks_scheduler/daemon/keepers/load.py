"""What the ledger is told beside the watches: the nodes' load, their annotations, the offset of the API server's clock.

Owns the task that fetches, and what is known about the health of each. Trouble is logged once per change and shown all
the time; it never stops the scheduling, which goes on with estimates.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial

from peaks_scheduler.errors import LoadError
from peaks_scheduler.kube.connection import Connection
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.sources.matching import AMBIGUOUS, MatchedLoad, match, resolve_report
from peaks_scheduler.sources.node_identity import Resolution
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.source import LoadSource
from peaks_scheduler.text.words import few

logger = logging.getLogger(__name__)

OFFSET_WARNING = 5.0  # [s] clocks further apart than this are named
OFFSET_STEP = 0.5  # [s] a smaller change of the API server's offset is not followed
_OFF_THE_LOOP = 500  # keys of load: more are matched with the nodes in a thread


class Troubles:
    """Tells of each trouble when it begins, when it changes, and when it is over."""

    def __init__(self) -> None:
        self._log = ChangeLog(logger)
        self._now: set[str] = set()

    def tell(self, message: str, trouble: Hashable, **fields: object) -> None:
        """``trouble``: what is wrong in this respect; falsy: nothing."""
        if trouble:
            self._now.add(message)
            self._log.report(message, trouble, logging.WARNING, message, **fields)
        elif message in self._now:
            self._now.remove(message)
            self._log.forget(message)
            logger.info("trouble is over", extra={"trouble": message})


def _far(offset: float | None) -> bool:
    return offset is not None and abs(offset) > OFFSET_WARNING


class LoadKeeper:
    """Keeps the ledger's load fresh from one source."""

    def __init__(
        self,
        source: LoadSource,
        interval: float,
        ledger: Ledger,
        telemetry: Telemetry,
        changed: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._interval, self._ledger, self._telemetry = source, interval, ledger, telemetry
        self._changed, self._wall = changed, wall
        self._log, self._troubles = ChangeLog(logger), Troubles()
        self.asked = False
        """Was one fetch answered, or has failed? Until then nothing is decided."""
        self.failure = ""
        self.offset: float | None = None
        self._newest: float | None = None  # [s] end of the newest window, our clock
        self.unmatched: tuple[str, ...] = ()
        self._report: LoadReport | None = None
        self._known: tuple[object, ...] | None = None  # keys and number of node changes at the last resolution
        self._complete = False
        self._resolution, self._matched = Resolution(), MatchedLoad()

    @property
    def age(self) -> float | None:
        """[s] since the end of the newest window, at this instant; None before any load came."""
        return None if self._newest is None else max(0.0, self._wall() - self._newest)

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the last answer could not be used as it was."""
        return self._report.problems if self._report else ()

    async def run(self) -> None:
        """Fetch every interval until cancelled."""
        while True:
            begun = time.monotonic()
            await self.once()
            await asyncio.sleep(max(0.05, self._interval - (time.monotonic() - begun)))

    async def once(self) -> None:
        """One fetch into the ledger."""
        try:
            report = await self._source.fetch()
        except LoadError as error:
            self._failed(error.kind, error)
        except Exception as error:  # whatever a source comes up with, scheduling goes on
            self._failed(type(error).__name__, error)
        else:
            await self._match(report)
            self._take(report)
        self._report_age()
        first, self.asked = not self.asked, True
        if first or not self.failure:
            self._changed()

    def _failed(self, kind: str, error: Exception) -> None:
        self.failure = f"{kind}: {error}"
        self._telemetry.source_failed(self._source.name)
        self._log.report("fetch", kind, logging.WARNING, "no load, going on with estimates", error=str(error))
        self._ledger.refresh(self._wall())

    def _take(self, report: LoadReport) -> None:
        self.failure = ""
        self._log.report("fetch", "", logging.INFO, "load received", nodes=len(report.nodes), source=self._source.name)
        self._report = report
        self.offset = report.clock_offset
        self._apply(report)
        self._report_problems(report)

    def nodes_known(self) -> None:
        """The first lists are in: what came before can be matched with them."""
        self._complete = True
        if self._report is not None:
            self._resolution = self._asked_of(self._report)()
            self._apply(self._report)

    async def _match(self, report: LoadReport) -> None:
        """Find out which nodes the report's keys mean, where keys or nodes are others than the last time."""
        state = (frozenset(report.nodes), report.spare, self._ledger.node_changes)
        if state == self._known:
            return
        find = self._asked_of(report)
        # thousands of addresses take a third of a second
        self._resolution = await off_loop(find) if len(report.nodes) > _OFF_THE_LOOP else find()
        self._known = state

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
            "clock of the load source differs from ours", _far(self.offset), seconds=round(self.offset or 0.0, 1)
        )

    def _report_age(self) -> None:
        stale = self.age is not None and self.age > self._ledger.expiry
        self._troubles.tell("load is stale", stale, seconds=round(self.age or 0.0, 1))

    def health(self) -> Health:
        """For ``/readyz?verbose``: what of the load is missing, which never makes us unready."""
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
        if self.offset is not None and _far(self.offset):
            yield f"its clock is {self.offset:+.0f} s from ours"


class AnnotationKeeper:
    """Tells which annotations of nodes could not be read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._troubles = Troubles()

    def _odd(self) -> tuple[str, ...]:
        return tuple(f"{node}: {'; '.join(texts)}" for node, texts in sorted(self._ledger.oddities.items()))

    def look(self) -> None:
        """Log what is new."""
        odd = self._odd()
        self._troubles.tell("annotation of a node not used", odd, nodes=few(odd))

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        odd = self._odd()
        return Health.degraded(f"annotations of nodes not used: {few(odd)}") if odd else Health.ok()


class ClockKeeper:
    """Keeps the ledger's idea of the API server's clock."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection, self._ledger = connection, ledger
        self._troubles = Troubles()

    @property
    def offset(self) -> float:
        """[s] the API server's clock minus ours."""
        return self._connection.clock_offset

    def look(self) -> None:
        if abs(self.offset - self._ledger.clock_offset) > OFFSET_STEP:
            self._ledger.clock_offset = self.offset
        self._troubles.tell(
            "clock of the API server differs from ours", _far(self.offset), seconds=round(self.offset, 1)
        )

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        if odd := self._connection.odd_date:
            return Health.degraded(f"expected the API server's time in its Date header, got {odd!r}: passed over")
        if _far(self.offset):
            return Health.degraded(f"the API server's clock is {self.offset:+.0f} s from ours")
        return Health.ok()
