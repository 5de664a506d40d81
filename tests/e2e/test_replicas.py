"""Two replicas, one Lease: one of them writes, the other takes over in time, and who lost it sends nothing more."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear, hold_lease
from tests.e2e.support.processes import wait_until
from tests.e2e.support.stopwatch import Stopwatch
from tests.e2e.support.workload import assert_sound, nodes, ours, placed, pods, told, wait_placed, wait_some_bound

AFTER_TERM, AFTER_CRASH, RENEW_DEADLINE = 3.0, 20.0, 10.0  # [s] as promised


@pytest.fixture(autouse=True)
def _workers(control_plane: ControlPlane) -> None:
    clear(control_plane)
    control_plane.create_nodes(nodes(12))


@pytest.fixture
def replicas(control_plane: ControlPlane) -> Iterator[tuple[Daemon, Daemon]]:
    """The one that leads, and the one that stands by."""
    with beside(control_plane) as first:
        first.wait_leading()
        with beside(control_plane) as second:
            yield first, second


def leaders(*daemons: Daemon) -> int:
    return int(sum(daemon.metric("peaks_leader") for daemon in daemons))


def watch(plane: ControlPlane, *replicas: Daemon) -> Stopwatch:
    """Of a takeover: what the replicas and the API server do one after the other."""
    servers = [plane.process(name) for name in ("kube-apiserver", "etcd")]
    return Stopwatch(*(each.process for each in replicas), *servers)


def at(line: dict[str, Any]) -> float:
    """When a line was logged [s since the epoch]."""
    return datetime.fromisoformat(line["time"]).timestamp()


def test_of_two_replicas_one_writes_and_the_other_is_ready(
    replicas: tuple[Daemon, Daemon], control_plane: ControlPlane
) -> None:
    leader, standby = replicas
    control_plane.create_pods(pods(200))
    assert_sound(control_plane, leader)
    assert leaders(leader, standby) == 1
    assert (leader.scheduled(), standby.scheduled()) == (200, 0)
    instances = {event["reportingInstance"] for event in control_plane.list_events(fieldSelector="reason=Scheduled")}
    assert len(instances) == 1
    assert standby.get("/readyz").status_code == 200
    assert "standing by" in standby.health("lease")
    wait_until(lambda: standby.metric("scheduler_cache_size", type="pods") == 200, "the standby knows them all")


def test_after_sigterm_the_other_takes_over_within_three_seconds(
    replicas: tuple[Daemon, Daemon], control_plane: ControlPlane
) -> None:
    leader, standby = replicas
    since = watch(control_plane, leader, standby)
    leader.process.signal(signal.SIGTERM)
    wait_until(lambda: since.look() or standby.lines("leading"), "taken over", every=0.02)
    assert since.took(at(standby.lines("leading")[0])) <= AFTER_TERM
    assert leader.process.wait() == 0
    control_plane.create_pods(pods(1))
    wait_placed(control_plane, "web-0")


def test_sigterm_in_the_middle_of_a_burst_loses_nothing(
    replicas: tuple[Daemon, Daemon], control_plane: ControlPlane
) -> None:
    leader, standby = replicas
    control_plane.create_pods(pods(500))
    wait_some_bound(leader, 50)
    assert leader.stop() == 0
    assert_sound(control_plane, standby)


def test_after_a_crash_the_other_takes_over_within_twenty_seconds(
    replicas: tuple[Daemon, Daemon], control_plane: ControlPlane
) -> None:
    leader, standby = replicas
    since = watch(control_plane, standby)
    leader.kill()
    control_plane.create_pods(pods(1))
    line = standby.wait_for("bound", pod="default/web-0")
    assert since.took(at(line)) <= AFTER_CRASH


def test_a_leader_that_stood_still_past_its_deadline_binds_no_more_when_it_goes_on(
    control_plane: ControlPlane,
) -> None:
    control_plane.create_pods(pods(1000))
    with beside(control_plane) as daemon:
        wait_some_bound(daemon, 50)
        daemon.freeze()
        frozen = time.monotonic()
        hold_lease(control_plane, "somebody-else")
        wait_until(lambda: time.monotonic() > frozen + RENEW_DEADLINE, "the deadline")
        before = len(placed(control_plane))
        assert 0 < before < 1000
        daemon.resume()
        daemon.wait_for("not leading")
        wait_until(lambda: daemon.metric("peaks_binds_in_flight") == 0, "every bind answered or held back")
        wait_until(
            lambda: daemon.metric("scheduler_cache_size", type="assumed_pods") == 0, "what it meant to bind, forgotten"
        )
        # the signal can come between a look at the clock and the write that follows in the same step: one, no more
        assert len(placed(control_plane)) <= before + 1
        hold_lease(control_plane, "", 1)
        assert_sound(control_plane, daemon)


def test_what_a_crashed_leader_had_no_time_to_tell_the_next_one_tells(
    replicas: tuple[Daemon, Daemon], control_plane: ControlPlane
) -> None:
    leader, standby = replicas
    control_plane.create_pods(pods(500))
    wait_some_bound(leader, 100)
    leader.kill()
    assert_sound(control_plane, standby)
    assert len(told(control_plane)) == len(ours(control_plane)) == 500
