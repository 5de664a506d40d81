"""Since when the API server has answered no request, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from peaks_scheduler.errors import KubeError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.kube.http.reachability import Reachability
from tests.support.recording_server import RecordingServer, write_kubeconfig


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_fails_since_the_first_request_that_none_answered_after() -> None:
    clock = Clock()
    reach = Reachability(clock)
    assert reach.failing_for == 0.0
    reach.failed("no route")
    clock.now += 40.0
    reach.failed("refused")
    clock.now += 30.0
    assert (reach.failing_for, reach.why) == (70.0, "refused")
    reach.answered(404)  # the server is there, and says so
    assert reach.failing_for == 0.0


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_server_that_does_nothing_for_us_has_not_answered(status: int) -> None:
    clock = Clock()
    reach = Reachability(clock)
    reach.answered(status)
    clock.now += 61.0
    assert reach.failing_for == 61.0
    assert str(status) in reach.why


@pytest.mark.parametrize("status", [200, 201, 302, 403, 404, 409, 422, 429])
def test_a_refusal_of_one_thing_is_an_answer(status: int) -> None:
    clock = Clock()
    reach = Reachability(clock)
    reach.failed("gone")
    reach.answered(status)
    clock.now += 61.0
    assert reach.failing_for == 0.0


async def test_a_server_that_is_gone_is_noticed_on_the_connection(tmp_path: Path) -> None:
    async with RecordingServer() as server:
        connection = await connect(write_kubeconfig(tmp_path, server.url))
        client = KubeClient(connection, "Peaks", "a")
        await client.create_event("default", b"{}")
        assert connection.reachability.failing_for == 0.0
    for _ in range(2):  # a connection that was open breaks; the next one is not made
        with pytest.raises(KubeError):
            await client.create_event("default", b"{}")
    assert connection.reachability.failing_for > 0.0
    assert "Connect" in connection.reachability.why
    await connection.close()
