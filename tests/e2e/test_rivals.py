"""Two daemons of one name that do not share a Lease, on a real API server: each says so, and so does ``check``.

Nothing is lost in their race: a pod is bound once, whoever was first.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.workload import nodes, pods, waiting
from tests.e2e.test_credentials import check

ALONE = {"leaderElection": {"enabled": False}}


@pytest.fixture
def two(control_plane: ControlPlane) -> Iterator[list[Daemon]]:
    """Two daemons without leader election."""
    clear(control_plane)
    control_plane.create_nodes(nodes(4, cpu="64", pods="250"))
    with ExitStack() as stack:
        yield [stack.enter_context(beside(control_plane, settings=ALONE)) for _ in range(2)]


def test_two_daemons_without_a_common_lease_notice_one_another(control_plane: ControlPlane, two: list[Daemon]) -> None:
    def noticed() -> bool:
        return all("another daemon of schedulerName Peaks" in daemon.health("rivals") for daemon in two)

    begun = time.monotonic()
    # the first seconds are the predecessor's, if there was one; a race has no winner every time
    for number in range(20):
        control_plane.create_pods(pods(20, f"web-{number}"))
        wait_until(lambda: not waiting(control_plane), "every pod bound")
        if noticed():
            break
    assert noticed()
    for daemon in two:
        assert daemon.ready()  # to take it out of service would cure nothing
        assert daemon.metric("peaks_rival_bindings_total", by="decision") > 0
        daemon.wait_for("another scheduler of our name")
        minutes = (time.monotonic() - begun) / 60.0
        assert len(daemon.lines("another scheduler of our name")) <= 1 + minutes  # once a minute

    rounds = itertools.count()

    def checked() -> bool:
        """Events of both must be some seconds apart."""
        control_plane.create_pods(pods(20, f"more-{next(rounds)}"))
        ((status, finding),) = check(control_plane.admin_kubeconfig, control_plane.folder)["other daemons"]
        return status == "failed" and "have both placed pods" in finding

    wait_until(checked, "check tells of both", timeout=2 * PATIENCE)


def test_check_tells_of_two_replicas_without_leader_election(control_plane: ControlPlane) -> None:
    clear(control_plane)
    labels = {"app.kubernetes.io/name": "peaks-scheduler"}
    container = {"name": "scheduler", "image": "none", "args": ["run", "--no-leader-elect"]}
    deployment = {
        "metadata": {"name": "peaks", "namespace": "default", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    path = "/apis/apps/v1/namespaces/default/deployments"
    control_plane.api.post(path, deployment)
    try:
        found = check(control_plane.admin_kubeconfig, control_plane.folder)
    finally:
        control_plane.api.delete(f"{path}/peaks")
    failed = [finding for status, finding in found["other daemons"] if status == "failed"]
    assert any("Deployment default/peaks has 2 replicas without leader election" in finding for finding in failed)
