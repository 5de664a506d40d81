"""A task that looks at Prometheus every now and then, and how it went.

Owns when a round is made and what becomes of one that fails: it is counted, logged once per change, and kept for
``/readyz?verbose``. Trouble never stops the scheduling. Who derives from it says what a round is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time

from peaks_scheduler.errors import LoadError
from peaks_scheduler.observability.logs import ChangeLog
from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Rounds:
    """See the module.

    Args:
        name: in ``peaks_source_errors_total``.
        trouble: what the log says of a round that failed.
        interval: [s] from the start of one round to that of the next.
        again: [s] the same after one that failed.
        known: set once all nodes are in the ledger; no round before.
    """

    def __init__(
        self,
        name: str,
        trouble: str,
        interval: float,
        telemetry: Telemetry,
        known: asyncio.Event,
        again: float = math.inf,
    ) -> None:
        self._name, self._trouble, self._known = name, trouble, known
        self._interval, self._again = interval, min(interval, again)
        self._telemetry, self._log = telemetry, ChangeLog(logger)
        self.failure = ""
        """Why the last round came to nothing; empty: it did not."""

    async def run(self) -> None:
        """Round after round until cancelled."""
        await self._known.wait()
        while True:
            begun = time.monotonic()
            await self.once()
            wait = self._again if self.failure else self._interval
            await asyncio.sleep(max(1.0, wait - (time.monotonic() - begun)))

    async def once(self) -> None:
        """One round, whatever comes of it."""
        try:
            done = await self._round()
        except LoadError as error:
            self._failed(error.kind, f"{error.kind}: {error}")
        except Exception as error:  # whatever it comes to, scheduling goes on
            logger.exception(self._trouble)
            self._failed(type(error).__name__, f"{type(error).__name__}: {error}")
        else:
            self.failure = ""
            self._log.report("round", "", logging.INFO, done)

    async def _round(self) -> str:
        """What is to be done; what the log says once it works. Raises LoadError."""
        raise NotImplementedError

    def _failed(self, kind: str, failure: str) -> None:
        self.failure = failure
        self._telemetry.source_failed(self._name)
        self._log.report("round", kind, logging.WARNING, self._trouble, error=failure)
