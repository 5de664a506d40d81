"""CPU use of pods, measured, asked for every minute and put into the ledger.

Owns the task that fetches, which running pod an answer is about, and what is known about its health. The statistics
(``ledger.sibling_usage``) are computed in a thread: at ten thousand pods they would delay the binds. Trouble never
stops the scheduling: a measured use counts until it is too old, then the pods' requests do. A restart forgets all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from peaks_scheduler.daemon.keeper import Tasks
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.sibling_usage import UsageBook
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.gauge import Gauge, by_key
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.settings import PodUsageSettings
from peaks_scheduler.text.words import few

from .periodic import PeriodicKeeper

if TYPE_CHECKING:
    from peaks_scheduler.sources.pod_usage import PodUsage, PodUsageSource

NAME = "pod-usage"
PATIENCE = 300.0  # [s] after which a running pod must be in an answer: sources take a window to see a new one
SLICE = 200  # groups of siblings put into the ledger before other tasks get their turn

Observed: TypeAlias = "list[tuple[Pod, PodUsage]]"


class UsageKeeper(PeriodicKeeper):
    """Keeps the measured CPU use of pods in the ledger. Without a source it has no task and no check."""

    def __init__(
        self,
        source: PodUsageSource | None,
        settings: PodUsageSettings,
        ledger: Ledger,
        telemetry: Telemetry,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(NAME, NAME, "use of pods not known, going on without", settings.interval, telemetry)
        self._source, self._ledger, self._wall = source, ledger, wall
        self._book = UsageBook(
            percentile=settings.percentile,
            warm_up=settings.warm_up,
            min_samples=settings.min_samples,
            keep=settings.keep,
        )
        self.groups: dict[str, int] = {} if source is None else {"known": 0, "learning": 0}
        """Groups of siblings, by whether their use is known."""

    async def once(self) -> None:
        """One fetch into the ledger."""
        assert self._source is not None, "without a source there is no task"
        usages = await self._answer(self._source.fetch())
        running = (pod for pod, _ in self._ledger.pods() if pod.siblings and pod.started is not None)
        pods = {(pod.namespace, pod.name): pod for pod in running}
        observed = [(pods[key], usage) for usage in usages or () if (key := (usage.namespace, usage.name)) in pods]
        # without an answer, too: what is known gets older
        for some in _slices(await asyncio.to_thread(self._note, observed), SLICE):
            self._ledger.apply_usage(some)
            await asyncio.sleep(0)
        self.groups = dict(zip(self.groups, self._book.counts(), strict=True))
        if usages is not None:
            self._received(len(observed), self._missing(pods.values()) if not observed else 0, self._source.problems)

    def _note(self, observed: Observed) -> dict[str, int | None]:
        for pod, usage in observed:
            self._book.observe(pod, usage.cores, usage.window_start, usage.window_end)
        return self._book.review(self._wall())

    def _missing(self, running: Iterable[Pod]) -> int:
        """Number of pods that run for long enough to be in an answer."""
        begun = self._wall() - PATIENCE
        return sum(pod.started is not None and pod.started < begun for pod in running)

    def _received(self, observed: int, missing: int, problems: tuple[str, ...]) -> None:
        if missing:
            self._failed("none", f"none of the {missing} pods is in the answer that have an owner and run for a while")
            return
        self._succeeded("use of pods received", pods=observed)
        if problems:
            self._log.report("problems", problems, logging.WARNING, "use of pods left out", problems=few(problems))
        else:
            self._log.forget("problems")

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        if self.failure:
            return Health.degraded(f"{self.failure}; scheduling goes on by what is known, and by requests")
        if self._source is not None and self._source.problems:
            return Health.degraded(f"left out: {few(self._source.problems)}")
        return Health.ok()

    def tasks(self) -> Tasks:
        return {} if self._source is None else super().tasks()

    def checks(self) -> Sequence[Check]:
        return () if self._source is None else (Check(NAME, self.health),)

    def gauges(self) -> Sequence[Gauge]:
        text = (
            "Groups of pods with the same owner and images, by state: their CPU use is known, or still being learned."
        )
        return (Gauge("peaks_pod_usage_groups", text, lambda: by_key(dict(self.groups)), ("state",)),)

    async def aclose(self) -> None:
        if self._source is not None:
            await self._source.aclose()


def _slices(changes: dict[str, int | None], size: int) -> Iterable[dict[str, int | None]]:
    pairs = list(changes.items())
    return (dict(pairs[i : i + size]) for i in range(0, len(pairs), size))
