"""The offset between the API server's clock and ours, and the two Kubernetes time formats.

Owns the estimate of the offset, from the ``Date`` header of ordinary responses. A date more than a year from our time
is ignored. Assumes that our wall clock is read right before a request is sent and right after its response arrived.
Never sends a request for the time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

EPOCH = datetime.fromtimestamp(0, UTC)
MOST_SHOWN = 80  # [characters] of an invalid date
FARTHEST = 366 * 86_400.0  # [s] a badly kept clock is not off by more


class ServerClock:
    """Offset of the API server's clock to ours [s], positive if the server's clock is ahead.

    ``Date`` has whole seconds: a response with date D was made in [D, D+1) of the server's clock, between ``sent`` and
    ``received`` of ours. So the offset lies in (D - received, D + 1 - sent). The intersection over many responses is
    soon much narrower than a second. When it is empty a clock was set or has drifted, and the estimate starts again.
    """

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")
        self._text, self._date = "", 0.0
        self.rejected_date = ""
        """The last date, if it was invalid or too far from our time; else empty."""

    @property
    def offset(self) -> float | None:
        """Middle of the possible range [s]; None before the first response with a date."""
        return (self._low + self._high) / 2 if self._high < float("inf") else None

    @property
    def uncertainty(self) -> float:
        """Half the width of the possible range [s]."""
        return (self._high - self._low) / 2

    def note(self, date: str | None, sent: float, received: float) -> None:
        """Narrow the estimate by a response's ``Date`` header. ``sent``, ``received``: our clock [s since epoch]."""
        if not date:
            return
        if not self._read(date) or abs(self._date - received) > FARTHEST:
            self.rejected_date = date[:MOST_SHOWN]
            return
        self.rejected_date = ""
        low, high = self._date - received, self._date + 1.0 - sent
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high

    def _read(self, date: str) -> bool:
        # thousands of responses carry the same date: parse it once a second
        if date != self._text:
            moment = _moment(date)
            if moment is None:
                return False
            self._text, self._date = date, (moment - EPOCH).total_seconds()
        return True


def _moment(text: str) -> datetime | None:
    """The time of an HTTP date; None if it is invalid."""
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
