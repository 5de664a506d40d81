"""Volumes that do not come, schedulers that end while they wait for them, rights that are missing.

The cheapest node is worker-0, the next worker-1. Each test has daemons of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.claims import SOON, assert_volumes_sound, notes, selected, wait_told
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import LEASE, USER, beside, clear
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.provisioner import SELECTED_NODE, Provisioner
from tests.e2e.support.rights import wait_allowed
from tests.e2e.support.volumes import DYNAMIC, claim, dynamic_class, uses
from tests.e2e.support.workload import events_of, model, node, pod, wait_placed
from tests.parity.oracle import Oracle

CHEAP, DEAR = (model((2000.0, watts, 1.0), nodes=[name]) for name, watts in (("worker-0", 10.0), ("worker-1", 100.0)))


@pytest.fixture(scope="module")
def load() -> Iterator[LoadEndpoint]:
    with LoadEndpoint({"worker-0": 10.0, "worker-1": 10.0}) as running:
        yield running


@pytest.fixture
def plane(controllers: ControlPlane) -> ControlPlane:
    """The control plane with a class whose volumes the provisioner makes, a claim of it, and one node."""
    controllers.reset_workloads()
    clear(controllers)
    controllers.create_nodes([node("worker-0")])
    controllers.create(dynamic_class(), claim("files", DYNAMIC))
    return controllers


def test_a_silent_provisioner_is_given_up_in_time_and_the_pod_placed_once_it_works_again(
    plane: ControlPlane, load: LoadEndpoint, oracle: Oracle
) -> None:
    plane.create_nodes([node("worker-1")])
    settings = {"volumeBindTimeout": "2s"}
    with (
        beside(plane, load.url, models=[CHEAP, DEAR], settings=settings) as daemon,
        Provisioner(plane, silent=True) as provisioner,
    ):
        plane.create(pod("web", volumes=uses("files")))
        assert selected(plane, "files") == "worker-0"
        wait_until(lambda: plane.read("Pod", "web")["status"].get("nominatedNodeName") == "worker-0", "told where")
        wait_told(plane, "web", "binding volumes: context deadline exceeded")
        wait_until(lambda: SELECTED_NODE not in notes(plane, "files"), "the claim free again", every=0.02)
        wait_until(lambda: events_of(plane, "web", "FailedScheduling"), "an event")
        provisioner.silent = False
        wait_placed(plane, "web", timeout=SOON)
        assert_volumes_sound(plane, daemon, oracle)


# --- ends and rights --------------------------------------------------------------------------------------------------


def test_after_a_crash_the_pod_goes_to_the_node_that_its_claim_names(
    plane: ControlPlane, load: LoadEndpoint, oracle: Oracle
) -> None:
    with beside(plane, load.url, models=[CHEAP, DEAR]) as daemon, Provisioner(plane, silent=True) as provisioner:
        plane.create(pod("web", volumes=uses("files")))
        assert selected(plane, "files") == "worker-0"
        daemon.kill()
        plane.api.delete(LEASE)  # how long it outlives its holder is another test's concern
        # by now there is a cheaper one, which the claim does not name
        daemon.write_models([model((2000.0, 1.0, 1.0), nodes=["worker-1"]), CHEAP])
        plane.create_nodes([node("worker-1")])
        daemon.start()
        daemon.wait_ready()
        daemon.wait_leading()
        provisioner.silent = False
        assert wait_placed(plane, "web") == "worker-0"
        assert_volumes_sound(plane, daemon, oracle)
    assert (provisioner.made, provisioner.refusals) == ([("files", "worker-0")], [])


def test_a_second_replica_finishes_what_the_first_began(
    plane: ControlPlane, load: LoadEndpoint, oracle: Oracle
) -> None:
    plane.create_nodes([node("worker-1")])
    with beside(plane, load.url, models=[CHEAP, DEAR]) as first, Provisioner(plane, silent=True) as provisioner:
        first.wait_leading()
        with beside(plane, load.url, models=[CHEAP, DEAR]) as second:
            plane.create(pod("web", volumes=uses("files")))
            assert selected(plane, "files") == "worker-0"
            assert first.stop() == 0
            second.wait_leading()
            assert notes(plane, "files")[SELECTED_NODE] == "worker-0", "left as it was for the next"
            provisioner.silent = False
            assert wait_placed(plane, "web") == "worker-0"
            assert_volumes_sound(plane, second, oracle)
            assert second.scheduled() == 1
    assert provisioner.made == [("files", "worker-0")]


@contextmanager
def without(plane: ControlPlane, verb: str, resource: str) -> Iterator[None]:
    """The scheduler's account may not do this while the block runs."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/peaks-scheduler"
    role = plane.api.get(path)
    assert any(verb in rule["verbs"] and resource in rule["resources"] for rule in role["rules"])
    rules = [part for rule in role["rules"] for part in _less(rule, verb, resource)]
    plane.api.patch(path, {"rules": rules})
    try:
        wait_allowed(plane.api, USER, verb, resource, allowed=False)
        yield
    finally:
        plane.api.patch(path, {"rules": role["rules"]})


def _less(rule: Object, verb: str, resource: str) -> Iterator[dict[str, Any]]:
    """The rule as one for each resource, without this verb for this one."""
    for each in rule["resources"]:
        verbs = [one for one in rule["verbs"] if (one, each) != (verb, resource)]
        if verbs:
            yield {**rule, "resources": [each], "verbs": verbs}


def test_a_missing_right_to_patch_claims_is_named_to_the_pod(
    plane: ControlPlane, load: LoadEndpoint, oracle: Oracle
) -> None:
    with beside(plane, load.url) as daemon, Provisioner(plane):
        with without(plane, "patch", "persistentvolumeclaims"):
            plane.create(pod("web", volumes=uses("files")), pod("plain"))
            told = wait_told(plane, "web", "persistentvolumeclaims")
            assert "cannot patch" in told["message"]
            wait_placed(plane, "plain")
        wait_placed(plane, "web", timeout=SOON)
        assert_volumes_sound(plane, daemon, oracle)
