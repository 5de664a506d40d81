"""The API server's clock against ours, and Kubernetes' two ways to write a time.

Owns the estimate of the offset between the two clocks, taken from the ``Date`` header of ordinary answers. Assumes that
our wall clock is read right before a request is sent and right after its answer came. Never asks anybody for the time:
what passes by is enough.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """Offset of the API server's clock to ours [s], positive where the server's clock is ahead.

    ``Date`` has whole seconds: an answer that says D was made in [D, D+1) of the server's clock, between ``sent`` and
    ``received`` of ours. So the offset lies in (D - received, D + 1 - sent), and the intersection over many answers
    soon is much narrower than a second. When an answer contradicts it, a clock was set or has drifted: begin again.
    """

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")
        self._text, self._date = "", 0.0

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
        if not date or not self._read(date):
            return
        low, high = self._date - received, self._date + 1.0 - sent
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high

    def _read(self, date: str) -> bool:
        # one date serves thousands of answers: parsing it once a second costs nothing
        if date != self._text:
            try:
                self._date = parsedate_to_datetime(date).timestamp()
            except (ValueError, TypeError):
                return False
            self._text = date
        return True


def micro_time(now: float) -> str:
    """``metav1.MicroTime`` of ``now`` [s since the epoch]: ``2026-11-22T10:00:00.000000Z``."""
    return _utc(now).isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole_time(now: float) -> str:
    """``metav1.Time`` of ``now`` [s since the epoch]: ``2026-11-22T10:00:00Z``."""
    return _utc(now).isoformat(timespec="seconds").replace("+00:00", "Z")


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
