"""How often a line of the log may be repeated: what pods, nodes or other programs cause must not fill a disk.

Owns the count of each message in the running minute. A message is a place in the code with its constant words; where
the words are a library's, which may hold anything, the place alone. The last line that passes says that more are left
out, the first of the next minute says how many. What is never left out is in ``EXEMPT``. Pure but for the clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

MINUTE = 60.0  # [s]
WARNINGS = 100
"""Lines a minute of one message of ours, from WARNING on."""
NEWS = 6_000
"""The same below WARNING."""
LIBRARY = 10
"""The same of any level, for a place in a library."""
MOST_MESSAGES = 1_000
"""Messages that are told apart; what comes beyond counts as one."""
EXEMPT = frozenset({"bound"})
"""One line a decision is promised, and bindings are limited otherwise."""


class RateLimitFilter(logging.Filter):
    """Lets a handler pass over what was said too often. ``ours``: the beginning of our own loggers' names."""

    def __init__(self, ours: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._ours, self._clock = ours, clock
        self._counts: dict[Hashable, int] = {}
        self._left: dict[Hashable, int] = {}  # left out in this minute
        self._before: dict[Hashable, int] = {}  # and in the one before
        self._since = clock()
        self.left_out = 0
        """Lines that were left out since the start."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Is it said? Marks the record where others like it are not."""
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
