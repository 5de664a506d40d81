"""The API server's clock: followed by the ledger, and reported where it is far from ours."""

from __future__ import annotations

import pytest

from peaks_scheduler.daemon.keepers.clock import ClockKeeper
from peaks_scheduler.kube.http.connection import Connection
from tests.support.builders import ledger
from tests.unit.daemon.test_load_keeper import listen, said  # noqa: F401 - listen is a fixture


class Clocks:
    """A connection, as far as it knows the time."""

    clock_offset = 0.0
    odd_date = ""


class TestClock:
    def test_the_ledger_follows_the_api_servers_clock_but_not_its_tremor(self) -> None:
        connection, known = Clocks(), ledger()
        keeper = ClockKeeper(_as_connection(connection), known)
        for told, followed in ((0.3, 0.0), (2.0, 2.0), (2.4, 2.0), (-1.0, -1.0)):
            connection.clock_offset = told
            keeper.look()
            assert known.clock_offset == followed

    def test_a_clock_more_than_five_seconds_away_is_told_once_and_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        connection = Clocks()
        keeper = ClockKeeper(_as_connection(connection), ledger())
        for offset in (0.0, 4.9, 61.0, 61.1, 61.0, 0.0):
            connection.clock_offset = offset
            keeper.look()
            assert keeper.health().level == ("degraded" if offset > 5 else "ok")
        assert said(caplog) == ["clock of the API server differs from ours", "trouble is over"]


def _as_connection(clocks: Clocks) -> Connection:
    return clocks  # type: ignore[return-value]
