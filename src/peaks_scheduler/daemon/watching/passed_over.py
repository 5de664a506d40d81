"""What the API server sent and nobody here could understand: passed over, counted and logged.

Owns the count and when it is logged: at once, then once a minute for each resource and kind of trouble, with the number
since the last line. The caller has already left the thing out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)

LOG_EVERY = 60.0  # [s]
MOST_WORDS = 300  # characters of an example


class PassedOver:
    """See the module. ``clock`` is monotonic seconds."""

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic) -> None:
        self._telemetry, self._clock = telemetry, clock
        self._logged_at: dict[tuple[str, str], float] = {}
        self._unlogged: dict[tuple[str, str], int] = {}

    def note(self, path: str, what: str, why: str, message: str = "not understood, passed over") -> None:
        """Count one. ``path``: of a list or watch, or the plural alone. ``what`` was passed over, and ``why``."""
        resource = path.rpartition("/")[2]
        self._telemetry.passed_over(resource, what)
        key, now = (resource, what), self._clock()
        self._unlogged[key] = self._unlogged.get(key, 0) + 1
        if now - self._logged_at.get(key, float("-inf")) >= LOG_EVERY:
            self._logged_at[key] = now
            logger.warning(
                message,
                extra={"kind": resource, "what": what, "count": self._unlogged.pop(key), "error": why[:MOST_WORDS]},
            )
