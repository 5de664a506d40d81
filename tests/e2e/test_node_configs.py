"""NodeConfigs of WAO on a real API server: their kinds come, objects change, rights and secrets are missing and given.

The rights are those of the manifests' service account. The CRDs have the names and required fields of WAO's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from peaks_scheduler.daemon.keepers.node_configs import NodeConfigKeeper
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.settings.settings import Settings
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import USER, beside, clear, credentials
from tests.e2e.support.node_configs import wait_served
from tests.e2e.support.processes import wait_until
from tests.e2e.support.rights import wait_allowed
from tests.support import builders
from tests.support.node_configs import FORMER, INFER, PRESENT, endpoint, node_config, spec, template

SECRETS = Path(__file__).resolve().parents[2] / "manifests" / "samples" / "wao-secrets.yaml"
OBJECTS = f"/apis/{PRESENT}/v1beta1/namespaces/wao-system"
FAKE = endpoint("Fake")
SECRET = {"namespace": "wao-system", "name": "worker-0-redfish-basicauth"}  # of the sample


def crd(group: str, kind: str) -> dict[str, Any]:
    """The definition of a kind; its spec is not pruned, as WAO's full schema would not."""
    plural = f"{kind.lower()}s"
    open_spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": open_spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": schema}],
        },
    }


CRDS = [crd(group, kind) for group in (PRESENT, FORMER) for kind in ("NodeConfig", "NodeConfigTemplate")]


def apply(plane: ControlPlane, *objects: dict[str, Any]) -> None:
    for each in objects:
        each.get("metadata", {}).pop("resourceVersion", None)
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


@pytest.fixture
def wao(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with WAO's namespace, and without its kinds in the end."""
    clear(control_plane)
    apply(control_plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "wao-system"}})
    yield control_plane
    names = [each["metadata"]["name"] for each in CRDS]
    control_plane.kubectl("delete", "crd", *names, "--ignore-not-found")
    control_plane.kubectl("delete", "-f", SECRETS, "--ignore-not-found")
    wait_allowed(control_plane.api, USER, "get", "secrets", **SECRET, allowed=False)
    control_plane.kubectl("delete", "secret", "--all", "-n", "wao-system")


def with_kinds(plane: ControlPlane) -> None:
    apply(plane, *CRDS)
    plane.kubectl("wait", "crd", *(each["metadata"]["name"] for each in CRDS), "--for=condition=Established")
    for each in CRDS:
        wait_served(plane.api, each["spec"]["group"], each["spec"]["names"]["plural"])


@asynccontextmanager
async def keeper(plane: ControlPlane, clock: list[float]) -> AsyncIterator[tuple[NodeConfigKeeper, Ledger]]:
    ledger = Ledger(ours="Peaks")
    for name in ("worker-0", "worker-1"):
        ledger.observe_node(builders.node(name, labels={"rack": "r1"} if name == "worker-1" else {}))
    connection = await connect(str(await asyncio.to_thread(credentials, plane)))
    try:
        client = KubeClient(connection, "Peaks", "node-configs")
        kept = NodeConfigKeeper(Settings(), client, ledger, None, lambda: clock[0])
        yield kept, ledger
        await kept.aclose()
    finally:
        await connection.close()


def models(kept: NodeConfigKeeper, ledger: Ledger) -> dict[str, str]:
    found = {node.name: kept.assignments.of(node) for node in ledger.nodes()}
    return {name: each.model.model for name, each in found.items() if each is not None}


async def test_kinds_that_come_later_are_read_and_their_objects_change(wao: ControlPlane) -> None:
    clock = [1_000.0]
    async with keeper(wao, clock) as (kept, ledger):
        await kept.once()
        assert (models(kept, ledger), kept.health().text) == ({}, "")
        await asyncio.to_thread(with_kinds, wao)
        by_node = node_config("a", spec("worker-0", inlet=FAKE))
        other = endpoint("V2InferenceProtocol", INFER.replace("myModel", "{{ .Hostname }}-model"))
        by_rack = template("racks", {"rack": "r1"}, spec(inlet=FAKE, power=other), FORMER)
        await asyncio.to_thread(apply, wao, by_node, by_rack)
        clock[0] += 300.0
        await kept.once()
        assert models(kept, ledger) == {"worker-0": "myModel", "worker-1": "worker-1-model"}
        await asyncio.to_thread(wao.api.bulk, "DELETE", [(f"{OBJECTS}/nodeconfigs/a", None)])
        clock[0] += 15.0
        await kept.once()
        assert models(kept, ledger) == {"worker-1": "worker-1-model"}


async def test_a_secret_is_read_once_the_sample_gives_the_right(wao: ControlPlane) -> None:
    clock = [1_000.0]
    name = SECRET["name"]
    whole = spec("worker-0", inlet=endpoint("Redfish", "https://10.0.0.100", secret=name), power=None)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": SECRET}
    values = {"stringData": {"username": "admin", "password": "hunter2"}}
    await asyncio.to_thread(with_kinds, wao)
    await asyncio.to_thread(apply, wao, node_config("a", whole), secret | values)
    async with keeper(wao, clock) as (kept, ledger):
        (worker,) = (node for node in ledger.nodes() if node.name == "worker-0")
        await kept.once()
        assert "it may not be read: apply manifests/samples/wao-secrets.yaml" in kept.health().text
        assert kept.configured.inlet(worker) is None
        await asyncio.to_thread(wao.kubectl, "apply", "-f", SECRETS)
        await asyncio.to_thread(wait_allowed, wao.api, USER, "get", "secrets", **SECRET)
        clock[0] += 60.0
        await kept.once()
        found = kept.configured.inlet(worker)
        assert found is not None
        assert found.access.basic == ("admin", "hunter2")
        assert kept.health().text == ""


def test_the_daemon_names_what_a_node_config_says_wrongly_and_shows_where_models_are_said(wao: ControlPlane) -> None:
    wao.create_nodes([builders.node(name) for name in ("worker-0", "worker-1")])
    with_kinds(wao)
    apply(wao, node_config("a", spec("worker-0", inlet=FAKE, power=FAKE)))
    with beside(wao) as daemon:
        daemon.wait_leading()
        words = "NodeConfig a: type Fake predicts 3.14 W whatever runs there"
        wait_until(lambda: words in daemon.health("node-configs"), "the NodeConfig to be named")

        def shown() -> list[float]:
            return [daemon.metric("peaks_assigned_predictors", said_by=word) for word in ("trouble", "nobody")]

        wait_until(lambda: shown() == [1.0, 1.0], "one node with a trouble and one without a model")
