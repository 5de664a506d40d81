"""An API server without streaming lists (its default in Kubernetes 1.32 and from 1.34 on): what there is comes in
pages, and the items of a page do not say their kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import beside
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.volumes import claim, local_class, local_volume, uses
from tests.e2e.support.workload import model, nodes, pod, wait_placed

WORKERS = ["worker-0", "worker-1", "worker-2"]
MODELS = [model((2000.0, 10.0 * 2**number, 1.0), nodes=[name]) for number, name in enumerate(WORKERS)]


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path / "plane", apiserver_flags=["--feature-gates=WatchList=false"]) as running:
        manager = running.start_controller_manager()
        yield running
        manager.stop()


def test_a_claim_that_was_there_before_the_start_is_known(plane: ControlPlane) -> None:
    """The cheapest node is worker-0; the disk is on worker-2."""
    plane.create_nodes(nodes(3))
    plane.create(local_class(), local_volume("disk", "worker-2"), claim("data"))
    plane.create(pod("web", volumes=uses("data")))
    with LoadEndpoint(dict.fromkeys(WORKERS, 10.0)) as load, beside(plane, load.url, models=MODELS) as daemon:
        assert wait_placed(plane, "web", timeout=60.0) == "worker-2"
        assert daemon.lines("object not understood") == []
