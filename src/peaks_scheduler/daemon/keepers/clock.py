"""How far the API server's clock is from ours: followed by the ledger, and told where it is far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.kube.http.connection import Connection
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.gauge import Gauge, by_key
from peaks_scheduler.observability.serving import Check, Health

from .troubles import Troubles

OFFSET_WARNING = 5.0  # [s] clocks further apart than this are named
OFFSET_STEP = 0.5  # [s] a smaller change of the API server's offset is not followed
LOOK_EVERY = 1.0  # [s]


def far(offset: float | None) -> bool:
    """Is a clock with this offset [s] worth a warning?"""
    return offset is not None and abs(offset) > OFFSET_WARNING


def offset_gauge(peer: str, offset: Callable[[], float | None]) -> Gauge:
    """The gauge of one peer's clock; ``offset`` [s] is None where it is not known."""
    return Gauge(
        "peaks_clock_offset_seconds",
        "Clock of the peer minus ours, as last measured.",
        lambda: by_key({} if (now := offset()) is None else {peer: now}),
        ("peer",),
    )


class ClockKeeper(Keeper):
    """See the module."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection, self._ledger = connection, ledger
        self._troubles = Troubles()

    @property
    def offset(self) -> float:
        """[s] the API server's clock minus ours."""
        return self._connection.clock_offset

    def look(self) -> None:
        """Tell the ledger the offset where it has changed, and the log where it is far."""
        if abs(self.offset - self._ledger.clock_offset) > OFFSET_STEP:
            self._ledger.clock_offset = self.offset
        seconds = round(self.offset, 1)
        self._troubles.tell("clock of the API server differs from ours", far(self.offset), seconds=seconds)

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        if odd := self._connection.odd_date:
            return Health.degraded(f"expected the API server's time in its Date header, got {odd!r}: passed over")
        if far(self.offset):
            return Health.degraded(f"the API server's clock is {self.offset:+.0f} s from ours")
        return Health.ok()

    def tasks(self) -> Tasks:
        return {"clock": every(LOOK_EVERY, self.look)}

    def checks(self) -> Sequence[Check]:
        return (Check("clock", self.health),)

    def gauges(self) -> Sequence[Gauge]:
        return (offset_gauge("apiserver", lambda: self.offset),)
