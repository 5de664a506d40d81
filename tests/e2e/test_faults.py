"""What breaks in a cluster, while a thousand pods are on their way: afterwards everything is as if nothing had
happened.

Each test strikes while some of the pods are bound and some are not, proves that the fault really came, and ends with
the
same assertion: every pod bound and told once, where its record says, no node over its allocatable, the process alive.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.support.api import ApiError, Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import ACCOUNT, Daemon, beside, clear, credentials, hold_lease
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.proxy import Proxy
from tests.e2e.support.workload import (
    assert_sound,
    bound_lines,
    model,
    nodes,
    ours,
    placed,
    pod,
    pods,
    wait_placed,
    wait_some_bound,
    waiting,
)

MANY = 1000
SOME = 100  # as many are bound when the fault strikes: in the middle
WORKERS = 12  # nodes of 110 pods each: room for all, little to spare


@pytest.fixture(autouse=True)
def _workers(control_plane: ControlPlane) -> None:
    clear(control_plane)
    control_plane.create_nodes(nodes(WORKERS))


@pytest.fixture
def load() -> Iterator[LoadEndpoint]:
    """Every node equally busy."""
    with LoadEndpoint({f"worker-{number}": 5.0 for number in range(WORKERS)}) as endpoint:
        yield endpoint


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    """A way to the API server that can break."""
    with Proxy(control_plane.url) as way:
        yield way


@contextmanager
def arriving(plane: ControlPlane, arrivals: list[Object]) -> Iterator[None]:
    """Creates pods meanwhile; at the end all of them were created."""
    with ThreadPoolExecutor(1) as thread:
        created = thread.submit(plane.create_pods, arrivals)
        yield
        created.result()


# --- the process and the API server ---------------------------------------------------------------------------------


def test_killed_in_the_middle_and_started_again(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    with beside(control_plane, load.url) as daemon:
        with arriving(control_plane, pods(MANY)):
            wait_some_bound(daemon, SOME)
            daemon.kill()
        assert SOME <= len(placed(control_plane)) < MANY
        # the Lease is still held by the process that is no more: a restart takes over as a standby would
        daemon.start()
        daemon.wait_ready()
        assert_sound(control_plane, daemon)


def test_the_api_server_is_away_for_ten_seconds_in_the_middle(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    control_plane.create_pods(pods(MANY))
    with beside(control_plane, load.url) as daemon:
        pid = daemon.pid
        wait_some_bound(daemon, SOME)
        control_plane.stop_apiserver()
        back = time.monotonic() + 10.0
        assert bound_lines(daemon) < MANY
        # trouble of the API server restarts nobody
        wait_until(lambda: daemon.get("/livez").status_code != 200 or time.monotonic() >= back, "10 s")
        assert daemon.get("/livez").status_code == 200
        control_plane.start_apiserver()
        assert_sound(control_plane, daemon, pid=pid)


# --- watches --------------------------------------------------------------------------------------------------------


def test_connections_break_in_the_middle(control_plane: ControlPlane, load: LoadEndpoint, proxy: Proxy) -> None:
    with beside(control_plane, load.url, url=proxy.url) as daemon:
        pid = daemon.pid
        watches = daemon.metric("peaks_watch_requests_total", kind="watch")
        with arriving(control_plane, pods(MANY)):
            wait_some_bound(daemon, SOME)
            proxy.cut()
            assert bound_lines(daemon) < MANY
        wait_until(lambda: daemon.metric("peaks_watch_requests_total", kind="watch") >= watches + 2, "new watches")
        assert_sound(control_plane, daemon, pid=pid)


def test_the_history_of_the_watches_is_gone_in_the_middle(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    control_plane.create_pods(pods(MANY))
    with beside(control_plane, load.url) as daemon:
        pid = daemon.pid
        wait_some_bound(daemon, SOME)
        control_plane.expire_watches()
        for resource in ("pods", "nodes"):
            gone = {"resource": resource, "reason": "gone"}
            wait_until(lambda gone=gone: daemon.metric("peaks_watch_restarts_total", **gone), f"410 for the {resource}")
        control_plane.create_pods([pod("afterwards")])
        assert_sound(control_plane, daemon, pid=pid)


def test_pods_that_vanish_during_a_broken_watch_leave_their_room(
    control_plane: ControlPlane, load: LoadEndpoint, proxy: Proxy
) -> None:
    control_plane.create_pods(pods(40, cpu="2"))  # twelve nodes of eight cores have room for 48
    with beside(control_plane, load.url, url=proxy.url) as daemon:
        pid = daemon.pid
        wait_until(lambda: len(placed(control_plane)) == 40, "the first pods bound")
        control_plane.create_pods(pods(20, "later", cpu="2"))
        wait_until(lambda: len(placed(control_plane)) == 48, "every node full")
        wait_until(lambda: daemon.metric("scheduler_pending_pods", queue="unschedulable") == 12, "the rest laid aside")
        proxy.refuse()
        # nobody will ever tell that these are gone: neither those that ran nor those that waited
        gone = [*placed(control_plane)][:10] + waiting(control_plane)[:4]
        control_plane.api.bulk(
            "DELETE", [(f"/api/v1/namespaces/default/pods/{name}", {"gracePeriodSeconds": 0}) for name in gone]
        )
        control_plane.expire_watches()
        proxy.heal()
        assert_sound(control_plane, daemon, pid=pid)
        assert daemon.metric("peaks_watch_restarts_total", reason="gone") >= 1
        wait_until(
            lambda: daemon.metric("peaks_audit_repairs_total", resource="pods", kind="vanished") >= 14, "all 14 missed"
        )


# --- the lease ------------------------------------------------------------------------------------------------------


def test_the_lease_is_lost_while_binds_are_in_flight(
    control_plane: ControlPlane, load: LoadEndpoint, proxy: Proxy
) -> None:
    control_plane.create_pods(pods(MANY))  # all there: while any is left, binds are in flight
    with beside(control_plane, load.url, url=proxy.url) as daemon:
        pid = daemon.pid
        wait_some_bound(daemon, SOME)
        proxy.freeze()
        hold_lease(control_plane, "somebody-else")
        in_flight = wait_until(lambda: full_in_flight(daemon), "as many binds in flight as there will be")
        before = len(placed(control_plane))
        wait_until(lambda: daemon.metric("peaks_leader") == 0, "the loss noticed")
        proxy.heal()
        # what was sent before the loss may still arrive; nothing is sent after it
        wait_until(lambda: daemon.metric("peaks_binds_in_flight") == 0, "no bind in flight")
        daemon.wait_for("lease not renewed")
        assert len(placed(control_plane)) - before <= in_flight
        assert daemon.metric("peaks_leader") == 0
        hold_lease(control_plane, "", 1)
        assert_sound(control_plane, daemon, pid=pid)
        assert [line["message"] for line in daemon.lines() if "leading" in line["message"]] == [
            "leading",
            "not leading",
            "leading",
        ]


def full_in_flight(daemon: Daemon) -> float:
    """Binds in flight, where these are all that may be; else 0."""
    in_flight = daemon.metric("peaks_binds_in_flight")
    return in_flight if in_flight >= daemon.metric("peaks_binds_in_flight_limit") else 0.0


def test_the_lease_is_taken_by_another_and_given_back(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    with beside(control_plane, load.url) as daemon:
        pid = daemon.pid
        daemon.wait_leading()
        hold_lease(control_plane, "somebody-else")
        wait_until(lambda: daemon.metric("peaks_leader") == 0, "the loss noticed")
        control_plane.create_pods(pods(50))
        wait_until(lambda: daemon.metric("scheduler_pending_pods", queue="active") == 50, "the pods seen and left")
        assert placed(control_plane) == {}
        hold_lease(control_plane, "", 1)
        assert_sound(control_plane, daemon, pid=pid)


# --- pods -----------------------------------------------------------------------------------------------------------


def test_five_hundred_pods_are_deleted_while_they_wait(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    control_plane.delete_all("/api/v1/nodes")
    with beside(control_plane, load.url) as daemon:
        pid = daemon.pid
        control_plane.create_pods(pods(MANY))
        wait_until(
            lambda: daemon.metric("scheduler_unschedulable_pods") + daemon.metric("scheduler_pending_pods"), "seen"
        )
        half = [f"/api/v1/namespaces/default/pods/web-{number}" for number in range(0, MANY, 2)]
        calls = [(path, {"gracePeriodSeconds": 0}) for path in half]
        deleted = control_plane.api.bulk("DELETE", calls[:250])
        # the other half of them goes while the rest is being placed
        with ThreadPoolExecutor(1) as thread:
            rest = thread.submit(control_plane.api.bulk, "DELETE", calls[250:])
            control_plane.create_nodes(nodes(WORKERS))
            deleted += rest.result()
        assert sum("nodeName" not in each["spec"] for each in deleted) >= 250
        assert_sound(control_plane, daemon, pid=pid)
        assert len(ours(control_plane)) == MANY - 500
        wait_until(
            lambda: daemon.metric("scheduler_cache_size", type="pods") == MANY - 500, "the deleted ones forgotten"
        )
        wait_until(lambda: daemon.metric("scheduler_cache_size", type="assumed_pods") == 0, "nothing assumed")


# --- rights ---------------------------------------------------------------------------------------------------------


def test_the_token_is_rotated_during_a_burst(control_plane: ControlPlane, load: LoadEndpoint, tmp_path: Path) -> None:
    credentials(control_plane)  # the manifests' rights
    leash = "/api/v1/namespaces/kube-system/secrets"
    control_plane.api.post(leash, {"metadata": {"name": "leash"}})
    old = control_plane.service_account_token(ACCOUNT, secret="leash")
    file = tmp_path / "token"
    file.write_text(old)
    with Daemon(tmp_path, control_plane.kubeconfig(token_file=file), load=load.url) as daemon:
        pid = daemon.pid
        with arriving(control_plane, pods(MANY)):
            wait_some_bound(daemon, SOME)
            control_plane.api.delete(f"{leash}/leash")
            (new := tmp_path / "new").write_text(control_plane.service_account_token(ACCOUNT))
            new.replace(file)  # as a kubelet does: never half a token
        wait_until(lambda: not works(control_plane, old), "the old token refused")
        control_plane.create_pods(pods(50, "afterwards"))
        assert_sound(control_plane, daemon, pid=pid)


def works(plane: ControlPlane, token: str) -> bool:
    client = plane.client(token)
    try:
        client.get("/api/v1/pods?limit=1")
    except ApiError as error:
        if error.code != 401:
            raise
        return False
    finally:
        client.close()
    return True


# --- kubelets -------------------------------------------------------------------------------------------------------


def test_a_node_that_rejects_a_pod_for_lack_of_room_rests(control_plane: ControlPlane, load: LoadEndpoint) -> None:
    control_plane.delete_all("/api/v1/nodes")
    control_plane.create_nodes(nodes(2))
    cheap, dear = (model((100.0, watts, 1.0), nodes=[f"worker-{n}"]) for n, watts in enumerate((1.0, 200.0)))
    with beside(control_plane, load.url, models=[cheap, dear]) as daemon, kubelets_paused(control_plane):
        control_plane.create_pods([pod("rejected", nodeSelector={"kubernetes.io/hostname": "worker-0"})])
        wait_placed(control_plane, "rejected")
        rejection = {"phase": "Failed", "reason": "OutOfcpu", "startTime": "2026-11-20T10:00:00Z"}
        status = "/api/v1/namespaces/default/pods/rejected/status"
        control_plane.api.patch(status, {"status": rejection})
        line = daemon.wait_for("node in cooldown", node="worker-0")
        control_plane.create_pods(pods(5, "next"))  # at once: the node rests for 15 s
        nodes_used = {wait_placed(control_plane, f"next-{number}") for number in range(5)}
        assert nodes_used == {"worker-1"}
        assert (line["pod"], line["reason"]) == ("default/rejected", "OutOfcpu")
        assert daemon.metric("peaks_overbooked_total") == 1


@contextmanager
def kubelets_paused(plane: ControlPlane) -> Iterator[None]:
    """Bound pods stay Pending meanwhile: a rejection comes before a pod runs."""
    kwok = plane.process("kwok")
    kwok.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        kwok.signal(signal.SIGCONT)
