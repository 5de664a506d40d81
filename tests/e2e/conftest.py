"""One real control plane for the whole run. Never skipped: without its programs the tests fail and say what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.metrics_server import MeteredControlPlane
from tests.parity.oracle import Oracle

# etcd, kube-apiserver and the others collect garbage less often: tests have memory to spare, and no processor time
os.environ.setdefault("GOGC", "300")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kwok, shared by all tests: a test begins with ``control_plane.reset()``."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        plane.start_kwok()
        yield plane


@pytest.fixture(scope="module")
def controllers(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The same with kube-controller-manager, for one module: a test begins with ``controllers.reset_workloads()``.

    Not for the whole run: it would take part in what other tests measure and break.
    """
    manager = control_plane.start_controller_manager()
    yield control_plane
    control_plane.reset_workloads()
    manager.stop()


@pytest.fixture(scope="module")
def metered_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeteredControlPlane]:
    """A control plane of its own with metrics-server, for one module: a test begins with ``metered_plane.reset()``."""
    with MeteredControlPlane(tmp_path_factory.mktemp("metered")) as plane:
        yield plane


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """kube-scheduler's own filters, to judge placements by (``judging.py``)."""
    with Oracle() as running:
        yield running
