"""A keeper that asks a source every interval: the loop, and what becomes of an answer that fails.

A failure is counted, logged once per change, and kept in ``failure`` for ``/readyz?verbose``. It never stops the
scheduling. Who derives from it says what one round is (``once``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TypeVar

from peaks_scheduler.daemon.keeper import Keeper, Tasks, whole
from peaks_scheduler.errors import LoadError
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PeriodicKeeper(Keeper):
    """See the module.

    Args:
        name: of its task.
        source: in ``peaks_source_errors_total``.
        trouble: what the log says of an answer that fails.
        interval: [s] from the start of one round to the start of the next.
        known: set once all nodes are in the ledger; no round before. None: begin at once.
        retry: [s] instead of ``interval`` after a round that failed.
        least_pause: [s] between two rounds, however long they take.
    """

    def __init__(
        self,
        name: str,
        source: str,
        trouble: str,
        interval: float,
        telemetry: Telemetry,
        *,
        known: asyncio.Event | None = None,
        retry: float | None = None,
        least_pause: float = 0.05,
    ) -> None:
        self._name, self._source_name, self._trouble, self._begin = name, source, trouble, known
        self._interval, self._least_pause = interval, least_pause
        self._retry = interval if retry is None else min(interval, retry)
        self._telemetry, self._log = telemetry, ChangeLog(logger)
        self.failure = ""
        """Why the last round failed; empty: it did not."""

    def tasks(self) -> Tasks:
        return {self._name: self.run()}

    async def run(self) -> None:
        """Round after round until cancelled."""
        if self._begin is not None:
            await self._begin.wait()
        while True:
            begun = time.monotonic()
            await whole(self.once())
            pause = self._retry if self.failure else self._interval
            await asyncio.sleep(max(self._least_pause, pause - (time.monotonic() - begun)))

    async def once(self) -> None:
        """One round, whatever comes of it."""
        raise NotImplementedError

    async def _answer(self, asked: Awaitable[T]) -> T | None:
        """What the source answers; None where it fails, which is then in ``failure``."""
        try:
            return await asked
        except LoadError as error:
            self._failed(error.kind, f"{error.kind}: {error}")
        except Exception as error:  # whatever a source comes up with, scheduling goes on
            if self._failed(type(error).__name__, f"{type(error).__name__}: {error}"):
                logger.exception("source failed in a way that is not known", extra={"source": self._source_name})
        return None

    def _failed(self, kind: str, failure: str) -> bool:
        """Count and keep a failure; True: it is of another kind than the last one, and was logged."""
        self.failure = failure
        self._telemetry.source_failed(self._source_name)
        return self._log.report("round", kind, logging.WARNING, self._trouble, error=failure)

    def _succeeded(self, message: str, **fields: object) -> None:
        self.failure = ""
        self._log.report("round", "", logging.INFO, message, **fields)
