"""Lists and watches of API servers unlike the others: one without streaming lists, one whose etcd was restored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Set
from pathlib import Path

import msgspec
import pytest

from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.kube.reflector import Event, Head, Reflector, Watched
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


def test_where_lists_come_in_pages_a_claim_that_was_there_before_the_start_is_known(plane: ControlPlane) -> None:
    """The items of a page do not say their kind. Streaming lists are Kubernetes' default in 1.32 and from 1.34 on. The
    cheapest node is worker-0; the disk is on worker-2."""
    plane.create_nodes(nodes(3))
    plane.create(local_class(), local_volume("disk", "worker-2"), claim("data"))
    plane.create(pod("web", volumes=uses("data")))
    with LoadEndpoint(dict.fromkeys(WORKERS, 10.0)) as load, beside(plane, load.url, models=MODELS) as daemon:
        assert wait_placed(plane, "web", timeout=60.0) == "worker-2"
        assert daemon.lines("object not understood") == []


class Names:
    """A sink that keeps the names of what exists."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def begins(self) -> None:
        """Nothing to do."""

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> None:
        if event == "DELETED":
            self.names.pop(head.uid, None)
        else:
            self.names[head.uid] = head.name

    def listed(self, uids: Set[str], version: str) -> None:
        self.names = {uid: name for uid, name in self.names.items() if uid in uids}

    def reached(self, version: str) -> None:
        """Nothing to do."""


async def test_after_etcd_was_restored_what_comes_is_seen(control_plane: ControlPlane) -> None:
    """A watch from a version that is yet to come is accepted, and shows nothing until then."""
    control_plane.reset()
    connection = await connect(str(control_plane.admin_kubeconfig))
    sink = Names()
    reflector = Reflector(connection, Watched("/api/v1/nodes"), sink, silence=3.0)
    running = asyncio.create_task(reflector.run())
    async with asyncio.timeout(60.0):
        await reflector.complete.wait()
        reflector._version = str(int(reflector._version) + 1_000_000)  # as seen before the backup was brought back
        control_plane.restart_apiserver()
        await asyncio.to_thread(control_plane.create_nodes, nodes(1))
        while "worker-0" not in sink.names.values():  # noqa: ASYNC110 - what a sink sees has no event
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()
