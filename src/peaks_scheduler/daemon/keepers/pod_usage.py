"""What pods really use, asked for every minute and told to the ledger.

Owns the task that fetches, which running pod an answer is about, and what is known about its health. The statistics are
``pod_usage``'s and are worked out in a thread: at ten thousand pods they would delay the binds. Trouble never stops the
scheduling: what is known stays known for as long as its observations count, then requests do. A restart forgets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.sibling_usage import UsageBook
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.settings import PodUsageSettings
from peaks_scheduler.sources.pod_usage import PodUsage, PodUsageSource
from peaks_scheduler.text.words import few

logger = logging.getLogger(__name__)

NAME = "pod-usage"
PATIENCE = 300.0  # [s] after which a running pod must be in an answer: sources take a window to see a new one
SLICE = 200  # groups of siblings accounted for between two turns of everybody else on the loop

Observed = list[tuple[Pod, PodUsage]]


class UsageKeeper:
    """Keeps the ledger's idea of what pods use."""

    def __init__(
        self,
        source: PodUsageSource,
        settings: PodUsageSettings,
        ledger: Ledger,
        telemetry: Telemetry,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._interval, self._ledger, self._telemetry = source, settings.interval, ledger, telemetry
        self._wall, self._log = wall, ChangeLog(logger)
        self._book = UsageBook(
            percentile=settings.percentile,
            warm_up=settings.warm_up,
            min_samples=settings.min_samples,
            keep=settings.keep,
        )
        self.failure = ""
        self.groups = {"known": 0, "learning": 0}
        """Groups of siblings, by whether their use is known."""

    async def run(self) -> None:
        """Fetch every interval until cancelled."""
        while True:
            begun = time.monotonic()
            await self.once()
            await asyncio.sleep(max(0.05, self._interval - (time.monotonic() - begun)))

    async def once(self) -> None:
        """One fetch into the ledger."""
        usages = await self._fetch()
        running = (pod for pod, _ in self._ledger.pods() if pod.siblings and pod.started is not None)
        pods = {(pod.namespace, pod.name): pod for pod in running}
        observed = [(pods[key], usage) for usage in usages or () if (key := (usage.namespace, usage.name)) in pods]
        # without an answer too: what is known grows old
        for some in _slices(await asyncio.to_thread(self._note, observed), SLICE):
            self._ledger.apply_usage(some)
            await asyncio.sleep(0)
        self.groups = dict(zip(self.groups, self._book.counts(), strict=True))
        if usages is not None:
            self._received(len(observed), self._missing(pods.values()) if not observed else 0)

    async def _fetch(self) -> Iterable[PodUsage] | None:
        try:
            return await self._source.fetch()
        except LoadError as error:
            self._failed(error.kind, f"{error.kind}: {error}")
        except Exception as error:  # whatever a source comes up with, scheduling goes on
            self._failed(type(error).__name__, f"{type(error).__name__}: {error}")
        return None

    def _failed(self, kind: str, failure: str) -> None:
        self.failure = failure
        self._telemetry.source_failed(NAME)
        self._log.report("fetch", kind, logging.WARNING, "use of pods not known, going on without", error=failure)

    def _note(self, observed: Observed) -> dict[str, int | None]:
        for pod, usage in observed:
            self._book.observe(pod, usage.cores, usage.window_start, usage.window_end)
        return self._book.review(self._wall())

    def _missing(self, running: Iterable[Pod]) -> int:
        """Pods that have run for so long that an answer should know them."""
        begun = self._wall() - PATIENCE
        return sum(pod.started is not None and pod.started < begun for pod in running)

    def _received(self, observed: int, missing: int) -> None:
        if missing:
            self._failed("none", f"none of the {missing} pods is in the answer that have an owner and run for a while")
            return
        self.failure = ""
        self._log.report("fetch", "", logging.INFO, "use of pods received", pods=observed)
        if problems := self._source.problems:
            self._log.report("problems", problems, logging.WARNING, "use of pods left out", problems=few(problems))
        else:
            self._log.forget("problems")

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        if self.failure:
            return Health.degraded(f"{self.failure}; scheduling goes on by what is known, and by requests")
        if self._source.problems:
            return Health.degraded(f"left out: {few(self._source.problems)}")
        return Health.ok()


def _slices(changes: dict[str, int | None], size: int) -> Iterable[dict[str, int | None]]:
    pairs = list(changes.items())
    return (dict(pairs[i : i + size]) for i in range(0, len(pairs), size))
