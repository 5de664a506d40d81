"""The API server's clock against ours, and Kubernetes' two ways to write a time.

Owns the estimate of the offset between the two clocks, taken from the ``Date`` header of ordinary answers. A date that
is further from our time than any clock would be is passed over. Assumes that our wall clock is read right before a
request is sent and right after its answer came. Never asks anybody for the time: what passes by is enough.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

EPOCH = datetime.fromtimestamp(0, UTC)
MOST_SHOWN = 80  # characters
FARTHEST = 366 * 86_400.0  # [s] between two clocks that mean the same time, however badly they are kept


class ServerClock:
    """Offset of the API server's clock to ours [s], positive where the server's clock is ahead.

    ``Date`` has whole seconds: an answer that says D was made in [D, D+1) of the server's clock, between ``sent`` and
    ``received`` of ours. So the offset lies in (D - received, D + 1 - sent), and the intersection over many answers
    soon is much narrower than a second. When an answer contradicts it, a clock was set or has drifted: begin again.
    """

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")
        self._text, self._date = "", 0.0
        self.passed_over = ""
        """The last date that was none, or too far from our time; empty where the last one was fine."""

    @property
    def offset(self) -> float | None:
        """Middle of what is possible [s]; None before the first answer with a date."""
        return (self._low + self._high) / 2 if self._high < float("inf") else None

    @property
    def uncertainty(self) -> float:
        """Half the width of what is possible [s]."""
        return (self._high - self._low) / 2

    def note(self, date: str | None, sent: float, received: float) -> None:
        """Learn from an answer's ``Date`` header. ``sent`` and ``received``: our wall clock [s since the epoch]."""
        if not date:
            return
        if not self._read(date) or abs(self._date - received) > FARTHEST:
            self.passed_over = date[:MOST_SHOWN]
            return
        self.passed_over = ""
        low, high = self._date - received, self._date + 1.0 - sent
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high

    def _read(self, date: str) -> bool:
        # one date serves thousands of answers: parsing it once a second costs nothing
        if date != self._text:
            moment = _moment(date)
            if moment is None:
                return False
            self._text, self._date = date, (moment - EPOCH).total_seconds()
        return True


def _moment(text: str) -> datetime | None:
    """The moment of an HTTP date; None for nonsense."""
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def micro_time(now: float) -> str:
    """``metav1.MicroTime`` of ``now`` [s since the epoch]: ``2026-11-22T10:00:00.000000Z``."""
    return _utc(now).isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole_time(now: float) -> str:
    """``metav1.Time`` of ``now`` [s since the epoch]: ``2026-11-22T10:00:00Z``."""
    return _utc(now).isoformat(timespec="seconds").replace("+00:00", "Z")


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
