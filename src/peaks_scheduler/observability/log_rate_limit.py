"""Limits how often a message is logged per minute, so that pods, nodes or other programs cannot fill the disk.

Owns the count of each message in the current minute. A message is identified by its place in the code and its constant
text; for libraries, whose text may contain anything, by the place alone. The last line that passes says that further
lines are left out, the first line of the next minute says how many were. ``EXEMPT`` messages are never left out. Pure
except for the clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

MINUTE = 60.0  # [s]
WARNINGS = 100
"""Lines per minute of one of our messages, from level WARNING on."""
NEWS = 6_000
"""Lines per minute of one of our messages below WARNING."""
LIBRARY = 10
"""Lines per minute of one place in a library, at any level."""
MOST_MESSAGES = 1_000
"""Messages that are counted separately; all others share one count."""
EXEMPT = frozenset({"bound"})
"""Every decision is promised one line; ``kube.limiter`` bounds the bindings."""


class RateLimitFilter(logging.Filter):
    """Drops records of messages that were logged too often.

    Args:
        ours: the prefix of our own loggers' names.
        clock: [s], monotonic.
    """

    def __init__(self, ours: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._ours, self._clock = ours, clock
        self._counts: dict[Hashable, int] = {}
        self._left: dict[Hashable, int] = {}  # lines left out in this minute
        self._before: dict[Hashable, int] = {}  # lines left out in the minute before
        self._since = clock()
        self.left_out = 0
        """Lines that were left out since the start."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Is the record logged? Adds a field if other records of the same message were or will be left out."""
        if record.levelno < logging.INFO or record.msg in EXEMPT:
            return True
        self._next_minute()
        limit, key = self._limit(record), self._key(record)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count > limit:
            self._left[key] = self._left.get(key, 0) + 1
            self.left_out += 1
            return False
        if before := self._before.pop(key, 0):
            record.leftOut = before
        if count == limit:
            record.furtherLeftOut = "for up to a minute"
        return True

    def _limit(self, record: logging.LogRecord) -> int:
        if not record.name.startswith(self._ours):
            return LIBRARY
        return WARNINGS if record.levelno >= logging.WARNING else NEWS

    def _key(self, record: logging.LogRecord) -> Hashable:
        words = record.msg if record.name.startswith(self._ours) else ""
        key = (record.pathname, record.lineno, words if isinstance(words, str) else "")
        return key if key in self._counts or len(self._counts) < MOST_MESSAGES else None

    def _next_minute(self) -> None:
        now = self._clock()
        if now - self._since < MINUTE:
            return
        self._since, self._before = now, self._left
        self._counts, self._left = {}, {}
