"""What became of pods with claims: the questions that tests of volumes ask, and what must hold in the end.

Assumes kube-controller-manager, whose volume controller binds claims, and a cluster where all pods with claims are
ours. Every wait is bounded.
"""

from __future__ import annotations

from tests.e2e.support.api import Object
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.controllers import wait_claims_bound
from tests.e2e.support.daemon import Daemon
from tests.e2e.support.judging import picture, unfit
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.provisioner import SELECTED_NODE
from tests.e2e.support.workload import assert_sound, condition, ours
from tests.parity.oracle import Oracle

SOON = 60.0  # [s] a waiting pod's longest backoff and some attempts; the next look without an event is 5 min away


def assert_volumes_sound(cluster: Cluster, daemon: Daemon, oracle: Oracle) -> None:
    """What holds in the end: each pod on a node that it may be on, told once, with all its claims bound, and no claim
    or pod that still names a node the pod is not on."""
    assert_sound(cluster, daemon)
    claims = wait_claims_bound(cluster, len(cluster.list_all("PersistentVolumeClaim")))
    assert unfit(oracle, picture(cluster)) == []
    hosts = {name: each["spec"]["nodeName"] for each in ours(cluster) for name in claims_of(each)}
    assert hosts.keys() <= claims.keys()
    assert {name: notes(cluster, name).get(SELECTED_NODE, host) for name, host in hosts.items()} == hosts
    assert [each for each in ours(cluster) if each["status"].get("nominatedNodeName")] == []


def claims_of(each: Object) -> list[str]:
    volumes = each["spec"].get("volumes", ())
    named = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    return named + [f"{each['metadata']['name']}-{volume['name']}" for volume in volumes if "ephemeral" in volume]


def notes(cluster: Cluster, claim_name: str) -> Object:
    """Annotations of a claim."""
    return dict(cluster.read("PersistentVolumeClaim", claim_name)["metadata"].get("annotations", {}))


def selected(cluster: Cluster, claim_name: str, timeout: float = PATIENCE) -> str:
    """The node that was selected for a claim, once one was."""
    return str(wait_until(lambda: notes(cluster, claim_name).get(SELECTED_NODE), f"a node for {claim_name}", timeout))


def wait_told(cluster: Cluster, name: str, words: str, timeout: float = PATIENCE) -> Object:
    """The condition of a pod, once it says this."""

    def told() -> Object | None:
        found = condition(cluster.read("Pod", name))
        return found if words in found.get("message", "") else None

    return wait_until(told, f"{name} told: {words}", timeout) or {}
