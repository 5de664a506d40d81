"""One real control plane for the whole run. Never skipped: without its programs the tests fail and say what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kwok, shared by all tests: a test begins with ``control_plane.reset()``."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        plane.start_kwok()
        yield plane
