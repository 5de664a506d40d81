"""What came from the API server and could not be understood: counted, said, and never a reason to stop.

Owns the count, and when the log says it: at once, then once a minute for each resource and kind of oddity, with how
many there were meanwhile. Assumes nothing about who noticed. Never decides what is done with an oddity: those who
noticed it have passed it over already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)

SAY_EVERY = 60.0  # [s]
MOST_WORDS = 300  # characters of an example


class Oddities:
    """See the module. ``clock`` is monotonic seconds."""

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic) -> None:
        self._telemetry, self._clock = telemetry, clock
        self._said_at: dict[tuple[str, str], float] = {}
        self._unsaid: dict[tuple[str, str], int] = {}

    def note(self, path: str, what: str, why: str, message: str = "not understood, passed over") -> None:
        """``path``: of a list or watch, or the plural alone; ``what``: could not be understood, and ``why``."""
        resource = path.rpartition("/")[2]
        self._telemetry.passed_over(resource, what)
        key, now = (resource, what), self._clock()
        self._unsaid[key] = self._unsaid.get(key, 0) + 1
        if now - self._said_at.get(key, float("-inf")) >= SAY_EVERY:
            self._said_at[key] = now
            logger.warning(
                message,
                extra={"kind": resource, "what": what, "count": self._unsaid.pop(key), "error": why[:MOST_WORDS]},
            )
