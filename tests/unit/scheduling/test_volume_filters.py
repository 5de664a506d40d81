"""Volumes as hard constraints, in kube-scheduler's words.

Texts, order and oddities are those of kube-scheduler 1.36.3 (volumerestrictions, nodevolumelimits, volumebinding,
volumezone); where nothing fits, tests ask for the whole message.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.storage.plan import Binding, Provision, VolumePlan
from peaks_scheduler.scheduling.filters.volume_binding import plan_volumes, volume_binding_failures
from peaks_scheduler.scheduling.filters.volumes import node_volume_limits_failures
from tests.support.builders import Json, expression, feasible, ledger, message, node, pod, read, workers
from tests.support.storage_objects import (
    DRIVER,
    ZONE,
    attachment,
    capacity,
    claim,
    csi_driver,
    csi_node,
    storage_class,
    using,
    volume,
)

WORKERS = workers(3)
ALL = {"worker-0", "worker-1", "worker-2"}
ONE_POD = ["ReadWriteOncePod"]
NO_PROVISIONER = "kubernetes.io/no-provisioner"
EBS_ZONE = "topology.ebs.csi.aws.com/zone"


def on_workers(*objects: Json) -> Ledger:
    return ledger(*WORKERS, *objects)


def zoned(**zones: str) -> list[Json]:
    """Nodes by name (``a_1`` is a-1) with their zones."""
    return [node(name.replace("_", "-"), labels={ZONE: zone}) for name, zone in zones.items()]


def at(name: str, *values: str) -> list[Json]:
    """Node affinity of a volume: one label, some values."""
    return [{"matchExpressions": [expression(name, "In", *values)]}]


def failing(raw: Json, known: Ledger) -> dict[str, set[str]]:
    """The errors of kube-scheduler's filters, each with its nodes."""
    nodes = known.snapshot()
    found = node_volume_limits_failures(read(raw), nodes) + volume_binding_failures(read(raw), nodes)
    return {text: {nodes.names[i] for i in np.flatnonzero(mask)} for text, mask in found if mask.any()}


def planned(raw: Json, known: Ledger, name: str) -> VolumePlan | None:
    nodes = known.snapshot()
    return plan_volumes(read(raw), nodes, nodes.names.index(name))


DATA = pod(volumes=using("data"))
SCRATCH = pod("web-0", uid="me", volumes=[{"name": "scratch", "ephemeral": {}}])


# --- before any node is looked at -----------------------------------------------------------------------------------

OUTRIGHT: dict[str, tuple[Json, list[Json], str]] = {
    "no such claim": (DATA, [], 'persistentvolumeclaim "data" not found'),
    "a claim in another namespace": (DATA, [claim(namespace="other")], 'persistentvolumeclaim "data" not found'),
    "the ephemeral claim is not made yet": (
        SCRATCH,
        [],
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-0-scratch"',
    ),
    "the ephemeral claim is somebody else's": (
        SCRATCH,
        [claim("web-0-scratch", owner="another")],
        "PVC default/web-0-scratch was not created for pod default/web-0 (pod is not owner)",
    ),
    "the claim has lost its volume": (
        DATA,
        [claim(volume="vol", phase="Lost")],
        'persistentvolumeclaim "data" bound to non-existent persistentvolume "vol"',
    ),
    "the claim is being deleted": (
        DATA,
        [claim(volume="vol", deleting=True)],
        'persistentvolumeclaim "data" is being deleted',
    ),
    "an unbound claim that waits for nobody": (
        DATA,
        [claim(), storage_class(mode="Immediate")],
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "an unbound claim of no class": (
        DATA,
        [claim(class_name=None)],
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "an unbound claim of a class that is not there": (
        DATA,
        [claim()],
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "a claim that names its volume, not bound yet": (
        DATA,
        [claim(volume="vol", bound=False), storage_class(), volume()],
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "a class that does not say when it binds": (
        DATA,
        [claim(), storage_class(mode=None)],
        'running PreFilter plugin "VolumeBinding": VolumeBindingMode not set for StorageClass "standard"',
    ),
    "a bound claim whose volume is gone": (DATA, [claim(volume="vol")], 'persistentvolume "vol" not found'),
}


@pytest.mark.parametrize(("raw", "objects", "text"), OUTRIGHT.values(), ids=OUTRIGHT.keys())
def test_a_pod_fits_nowhere_at_all(raw: Json, objects: list[Json], text: str) -> None:
    assert message(raw, on_workers(*objects)) == f"0/3 nodes are available: {text}."


def test_the_claim_that_is_missing_is_named_before_another_that_is_unbound() -> None:
    known = on_workers(claim("first"), storage_class(mode="Immediate"))
    text = message(pod(volumes=using("first", "second")), known)
    assert text == '0/3 nodes are available: persistentvolumeclaim "second" not found.'


def test_an_ephemeral_claim_of_its_own_is_fine() -> None:
    known = on_workers(claim("web-0-scratch", owner="me"), storage_class())
    assert feasible(SCRATCH, known) == ALL


# --- VolumeRestrictions ---------------------------------------------------------------------------------------------


def test_a_disk_that_another_pod_has_is_not_available_on_its_node() -> None:
    disk = using(awsElasticBlockStore={"volumeID": "vol-1"})
    known = on_workers(pod("there", node="worker-1", volumes=disk))
    assert feasible(pod(volumes=disk), known) == {"worker-0", "worker-2"}
    only = ledger(WORKERS[1], pod("there", node="worker-1", volumes=disk))
    assert message(pod(volumes=disk), only) == "0/1 nodes are available: 1 node(s) had no available disk."


def test_a_claim_for_one_pod_alone_that_has_its_pod() -> None:
    known = on_workers(
        claim(volume="vol", modes=ONE_POD), volume(), pod("there", node="worker-1", volumes=using("data"))
    )
    assert message(DATA, known) == (
        "0/3 nodes are available: 3 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode "
        "already in-use by another pod."
    )


def test_a_claim_for_one_pod_is_free_again_when_that_pod_is_gone() -> None:
    there = pod("there", node="worker-1", volumes=using("data"))
    known = on_workers(claim(volume="vol", modes=ONE_POD), volume(), there)
    known.observe_pod(there, gone=True)
    assert feasible(DATA, known) == ALL


def test_other_claims_may_be_shared() -> None:
    known = on_workers(claim(volume="vol"), volume(), pod("there", node="worker-1", volumes=using("data")))
    assert feasible(DATA, known) == ALL


def test_a_pod_on_a_node_that_is_not_there_holds_nobody_up() -> None:
    known = on_workers(claim(volume="vol", modes=ONE_POD), volume(), pod("there", node="gone", volumes=using("data")))
    assert feasible(DATA, known) == ALL


def test_a_nominated_pod_holds_a_claim_for_one_pod_against_pods_with_disks_alone() -> None:
    # odd but as in kube-scheduler, which ignores the namespace too
    nominated = pod(
        "there", namespace="other", volumes=using("data"), scheduler="another", status={"nominatedNodeName": "worker-1"}
    )
    known = on_workers(claim(volume="vol", modes=ONE_POD), volume(), nominated)
    assert feasible(DATA, known) == ALL
    assert feasible(pod(volumes=using("data", rbd={"image": "i"})), known) == {"worker-0", "worker-2"}


# --- NodeVolumeLimits -----------------------------------------------------------------------------------------------


def held(name: str, on: str) -> list[Json]:
    """A volume, its claim, and a pod with this claim on a node."""
    return [
        volume(name, handle=f"h-{name}"),
        claim(name, volume=name),
        pod(f"has-{name}", node=on, volumes=using(name)),
    ]


def test_a_node_whose_driver_can_attach_no_more() -> None:
    known = on_workers(
        csi_node("worker-0", {DRIVER: 1}),
        csi_node("worker-1", {DRIVER: 2}),
        *held("v0", "worker-0"),
        *held("v1", "worker-1"),
        *held("v2", "worker-2"),
        volume(handle="new"),
        claim(volume="vol"),
    )
    assert feasible(DATA, known) == {"worker-1", "worker-2"}


def test_too_many_volumes_in_words() -> None:
    known = ledger(node("w"), csi_node("w", {DRIVER: 1}), volume(handle="h"), claim(volume="vol"), *held("v0", "w"))
    assert message(DATA, known) == "0/1 nodes are available: 1 node(s) exceed max volume count."


def test_a_volume_that_is_there_already_is_not_attached_again() -> None:
    known = on_workers(csi_node("worker-0", {DRIVER: 1}), *held("v0", "worker-0"))
    assert "worker-0" in feasible(pod(volumes=using("v0")), known)


def test_a_node_beyond_its_limit_still_takes_pods_that_bring_nothing_new() -> None:
    known = on_workers(csi_node("worker-0", {DRIVER: 0}), *held("v0", "worker-0"))
    assert "worker-0" in feasible(pod(volumes=using("v0")), known)


def test_two_volumes_at_once_need_room_for_two() -> None:
    known = on_workers(
        csi_node("worker-0", {DRIVER: 2}),
        csi_node("worker-1", {DRIVER: 1}),
        *(volume(name, handle=name) for name in "ab"),
        *(claim(name, volume=name) for name in "ab"),
    )
    assert feasible(pod(volumes=using("a", "b")), known) == {"worker-0", "worker-2"}


def test_two_claims_on_one_volume_need_room_for_one() -> None:
    known = on_workers(
        csi_node("worker-0", {DRIVER: 1}),
        *(volume(name, handle="same") for name in "ab"),
        *(claim(name, volume=name) for name in "ab"),
    )
    assert feasible(pod(volumes=using("a", "b")), known) == ALL


def test_an_attachment_takes_room_even_of_the_volume_it_is_for() -> None:
    # kube-scheduler leaves out only volumes that pods on the node use
    known = on_workers(
        csi_node("worker-0", {DRIVER: 1}), volume(handle="h"), claim(volume="vol"), attachment("vol", "worker-0")
    )
    assert feasible(DATA, known) == {"worker-1", "worker-2"}


def test_a_limit_of_another_driver_does_not_matter() -> None:
    known = on_workers(csi_node("worker-0", {"other.example.com": 0}), volume(handle="h"), claim(volume="vol"))
    assert feasible(DATA, known) == ALL


def test_a_claim_that_waits_counts_for_its_class() -> None:
    known = on_workers(csi_node("worker-0", {DRIVER: 0}), claim(), storage_class())
    assert feasible(DATA, known) == {"worker-1", "worker-2"}


def test_a_disk_in_the_pod_counts_for_the_driver_that_took_over() -> None:
    known = on_workers(csi_node("worker-0", {"ebs.csi.aws.com": 0}))
    assert feasible(pod(volumes=using(awsElasticBlockStore={"volumeID": "v"})), known) == {"worker-1", "worker-2"}


def test_a_disk_that_cannot_be_translated_is_an_error_where_there_are_csi_drivers() -> None:
    known = on_workers(csi_node("worker-1"))
    raw = pod(volumes=using(awsElasticBlockStore={"volumeID": "aws://z/disk"}))
    text = (
        'running "NodeVolumeLimits" filter plugin: converting volume(awselasticblockstore) from inline to csi: '
        "failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume (aws://z/disk)"
    )
    assert failing(raw, known) == {text: {"worker-1"}}


def test_another_pods_disk_that_cannot_be_translated_is_an_error_where_volumes_are_counted() -> None:
    shared = using(azureDisk={"diskURI": "d", "kind": "Shared"})
    known = on_workers(
        *(csi_node(f"worker-{i}", limits) for i, limits in enumerate([{DRIVER: 5}, {DRIVER: 5}, {}])),
        *(pod(f"there-{i}", node=f"worker-{i}", volumes=shared) for i in (1, 2)),
        *(volume(handle="h"), claim(volume="vol")),
    )
    text = (
        'running "NodeVolumeLimits" filter plugin: converting volume(azuredisk) from inline to csi: '
        "kind(Shared) is not supported in csi migration"
    )
    assert failing(DATA, known) == {text: {"worker-1"}}
    assert failing(pod(), known) == {}


# --- VolumeBinding: bound claims ------------------------------------------------------------------------------------


def test_a_bound_volume_binds_its_pod_to_where_it_is() -> None:
    known = on_workers(volume(on="worker-1"), claim(volume="vol"))
    assert feasible(DATA, known) == {"worker-1"}


def test_a_volume_elsewhere_in_words() -> None:
    known = on_workers(volume(on="gone"), claim(volume="vol"))
    assert message(DATA, known) == ("0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity.")


AFFINITIES: dict[str, tuple[list[Json], set[str]]] = {
    "one of two terms": ([*at(ZONE, "a"), *at(ZONE, "b")], {"a-1", "b-1"}),
    "no terms": ([], set()),
    "an empty term": ([{}], set()),
    "only a field, which is not looked at": (
        [{"matchFields": [expression("metadata.name", "In", "a-1")]}],
        {"a-1", "b-1", "c-1"},
    ),
    "a field and a label": (
        [
            {
                "matchFields": [expression("metadata.name", "In", "a-1")],
                "matchExpressions": [expression(ZONE, "In", "b")],
            }
        ],
        {"b-1"},
    ),
    "a field that is none, and another term": (
        [{"matchFields": [expression("metadata.name", "Exists")]}, *at(ZONE, "c")],
        {"c-1"},
    ),
    "an operator that is none": ([{"matchExpressions": [expression(ZONE, "Is", "a")]}], set()),
    "not in a zone": ([{"matchExpressions": [expression(ZONE, "NotIn", "a")]}], {"b-1", "c-1"}),
}


@pytest.mark.parametrize(("terms", "expected"), AFFINITIES.values(), ids=AFFINITIES.keys())
def test_where_a_volume_can_be_reached(terms: list[Json], expected: set[str]) -> None:
    known = ledger(*zoned(a_1="a", b_1="b", c_1="c"), volume(terms=terms), claim(volume="vol"))
    assert feasible(DATA, known) == expected


def test_all_volumes_must_be_within_reach() -> None:
    known = on_workers(
        volume("a", terms=at("kubernetes.io/hostname", "worker-0", "worker-1")),
        volume("b", terms=at("kubernetes.io/hostname", "worker-1", "worker-2")),
        *(claim(name, volume=name) for name in "ab"),
    )
    assert feasible(pod(volumes=using("a", "b")), known) == {"worker-1"}


def test_an_ephemeral_claim_whose_volume_is_gone() -> None:
    known = on_workers(claim("web-0-scratch", volume="vol", owner="me"))
    assert message(SCRATCH, known) == (
        "0/3 nodes are available: 3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."
    )


def test_a_migrated_volume_is_looked_for_by_its_drivers_label_on_migrated_nodes() -> None:
    known = ledger(
        node("old", labels={ZONE: "a"}),
        node("new", labels={ZONE: "b", EBS_ZONE: "a"}),
        node("half", labels={ZONE: "b", EBS_ZONE: "a"}),
        csi_node("new", migrated=["kubernetes.io/gce-pd", "kubernetes.io/aws-ebs"]),
        csi_node("half"),
        volume(terms=at(ZONE, "a"), awsElasticBlockStore={"volumeID": "v"}),
        claim(volume="vol"),
    )
    assert feasible(DATA, known) == {"old", "new"}


def test_a_bound_volume_that_has_no_csi_form_is_an_error_on_migrated_nodes() -> None:
    known = on_workers(
        csi_node("worker-0", migrated=["kubernetes.io/azure-disk"]),
        volume(azureDisk={"diskURI": "d", "kind": "Shared"}),
        claim(volume="vol"),
    )
    text = (
        'running "VolumeBinding" filter plugin: could not translate pv: kind(Shared) is not supported in csi migration'
    )
    assert failing(DATA, known) == {text: {"worker-0"}}
    assert "worker-0" not in feasible(DATA, known)


# --- VolumeBinding: claims that wait --------------------------------------------------------------------------------

LOCAL = storage_class(provisioner=NO_PROVISIONER)
"""A class whose volumes exist already; none is provisioned."""


def test_a_waiting_claim_gets_a_volume_where_there_is_one() -> None:
    known = on_workers(LOCAL, claim(), volume("v0", on="worker-0"), volume("v2", on="worker-2"))
    assert feasible(DATA, known) == {"worker-0", "worker-2"}
    taken = ledger(node("worker-1"), LOCAL, claim(), volume("v0", on="worker-0"))
    assert message(DATA, taken) == (
        "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
    )


UNSUITABLE: dict[str, Json] = {
    "too small": volume(size="9.9Gi"),
    "a byte too small": volume(size="10737418239"),
    "in use": volume(phase="Bound"),
    "of another class": volume(class_name="other"),
    "of other access modes": volume(modes=["ReadWriteMany"]),
    "a block device": volume(volumeMode="Block"),
    "kept for another claim": volume(claim="other"),
    "kept for an earlier claim of that name": volume(claim="data", claim_uid="uid-before"),
    "kept for this claim, and too small": volume(claim="data", size="1Gi"),
    "being deleted": volume(deleting=True),
    "of other attributes": volume(volumeAttributesClassName="gold"),
}


@pytest.mark.parametrize("unsuitable", UNSUITABLE.values(), ids=UNSUITABLE.keys())
def test_a_volume_does_not_do_that_is(unsuitable: Json) -> None:
    assert feasible(DATA, on_workers(LOCAL, claim(), volume("fine"))) == ALL
    assert feasible(DATA, on_workers(LOCAL, claim(), unsuitable)) == set()


SUITABLE: dict[str, tuple[Json, Json]] = {
    "just large enough": (volume(size="10737418240"), claim()),
    "large enough in thousands": (volume(size="1e3"), claim(size="1000000m")),
    "just as little": (volume(size="0.5"), claim(size="500m")),
    "no size asked for": (volume(size="0"), claim(size=None)),
    "of more modes than asked for": (volume(modes=["ReadOnlyMany", "ReadWriteOnce"]), claim()),
    "a block device for one who wants it": (volume(volumeMode="Block"), claim(volumeMode="Block")),
    "of the attributes asked for": (
        volume(volumeAttributesClassName="gold"),
        claim(volumeAttributesClassName="gold"),
    ),
    "kept for it, in whatever phase and modes": (volume(claim="data", phase="Pending", modes=[]), claim()),
    "kept for whatever claim has its name": (
        volume(claimRef={"namespace": "default", "name": "data"}, phase="Available"),
        claim(),
    ),
    "with the labels asked for": (
        volume(labels={"disk": "ssd"}),
        claim(selector={"matchLabels": {"disk": "ssd"}}),
    ),
}


@pytest.mark.parametrize(("fine", "asked"), SUITABLE.values(), ids=SUITABLE.keys())
def test_a_volume_does_that_is(fine: Json, asked: Json) -> None:
    assert feasible(DATA, on_workers(LOCAL, asked, fine)) == ALL


def test_labels_that_are_not_there_are_not_selected() -> None:
    asked = claim(selector={"matchExpressions": [expression("disk", "In", "ssd")]})
    assert feasible(DATA, on_workers(LOCAL, asked, volume(labels={"disk": "hdd"}))) == set()


def test_a_selector_that_is_none_is_an_error() -> None:
    asked = claim(selector={"matchExpressions": [expression("disk", "Gt", "1")]})
    text = (
        'running "VolumeBinding" filter plugin: error creating internal label selector for claim: default/data: '
        '"Gt" is not a valid label selector operator'
    )
    assert failing(DATA, on_workers(LOCAL, asked)) == {text: ALL}


def test_a_volume_kept_for_the_claim_is_the_only_one_it_gets() -> None:
    known = on_workers(LOCAL, claim(), volume("kept", claim="data", on="worker-1"), volume("free"))
    assert feasible(DATA, known) == {"worker-1"}


def test_two_claims_need_two_volumes() -> None:
    known = on_workers(
        LOCAL,
        *(claim(name) for name in "ab"),
        volume("v0", on="worker-0"),
        *(volume(f"v1-{i}", on="worker-1") for i in range(2)),
    )
    assert feasible(pod(volumes=using("a", "b")), known) == {"worker-1"}


def test_the_smaller_claim_chooses_first_and_takes_the_smallest() -> None:
    known = on_workers(
        LOCAL,
        claim("large", size="20Gi"),
        claim("small", size="10Gi"),
        volume("v20", size="20Gi", on="worker-0"),
        volume("v10", size="10Gi", on="worker-0"),
        volume("v15", size="15Gi", on="worker-1"),
        volume("v16", size="16Gi", on="worker-1"),
    )
    both = pod(volumes=using("large", "small"))
    assert feasible(both, known) == {"worker-0"}
    plan = planned(both, known, "worker-0")
    assert plan is not None
    assert {each.claim: each.volume for each in plan.bindings} == {"small": "v10", "large": "v20"}


def test_a_claim_gets_the_smallest_volume_within_reach() -> None:
    sizes = {"local": "12Gi", "zonal": "11Gi", "anywhere": "13Gi"}
    hosts = {
        "local": at("kubernetes.io/hostname", "worker-0"),
        "zonal": at("kubernetes.io/hostname", "worker-0", "worker-1"),
    }
    known = on_workers(LOCAL, claim(), *(volume(name, size=sizes[name], terms=hosts.get(name)) for name in sizes))
    plans = [planned(DATA, known, f"worker-{i}") for i in range(3)]
    assert [plan.bindings[0].volume for plan in plans if plan] == ["zonal", "zonal", "anywhere"]


def test_the_smaller_claim_leaves_the_larger_volume() -> None:
    known = on_workers(
        LOCAL, claim("large", size="10Gi"), claim("small", size="9Gi"), volume("v10"), volume("v12", size="12Gi")
    )
    plan = planned(pod(volumes=using("large", "small")), known, "worker-0")
    assert plan is not None
    assert {each.claim: each.volume for each in plan.bindings} == {"small": "v10", "large": "v12"}


def test_many_claims_share_volumes_that_are_reached_from_everywhere() -> None:
    names = [f"c{i}" for i in range(5)]
    known = on_workers(LOCAL, *map(claim, names), *(volume(f"v{i}", size=f"{20 - i}Gi") for i in range(4)))
    plan = planned(pod(volumes=using(*names[:4])), known, "worker-1")
    assert plan is not None
    assert [each.volume for each in plan.bindings] == ["v3", "v2", "v1", "v0"]
    assert feasible(pod(volumes=using(*names[:4])), known) == ALL
    assert feasible(pod(volumes=using(*names)), known) == set()


def test_a_volume_that_a_pod_on_its_way_took_is_gone_for_others() -> None:
    known = on_workers(LOCAL, claim(), claim("other"), volume(), pod("first", uid="first", volumes=using("data")))
    known.assume("first", "worker-0", planned(DATA, known, "worker-0"))
    assert feasible(pod(volumes=using("other")), known) == set()
    known.forget("first")
    assert feasible(pod(volumes=using("other")), known) == ALL


# -- provisioning


def test_a_class_that_provisions_does_so_anywhere() -> None:
    assert feasible(DATA, on_workers(storage_class(), claim())) == ALL


def test_a_claim_that_was_told_its_node_is_provisioned_there() -> None:
    known = on_workers(storage_class(), claim(selected_node="worker-2"))
    assert feasible(DATA, known) == {"worker-2"}
    gone = on_workers(storage_class(), claim(selected_node="gone"))
    assert message(DATA, gone) == (
        "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."
    )


def test_a_claim_that_was_told_its_node_gets_no_volume_that_is_there() -> None:
    assert feasible(DATA, on_workers(LOCAL, claim(selected_node="worker-2"), volume())) == set()


TOPOLOGIES: dict[str, tuple[list[dict[str, list[str]]], set[str]]] = {
    "one zone": ([{ZONE: ["a"]}], {"a-1"}),
    "either of two": ([{ZONE: ["a"]}, {ZONE: ["b"]}], {"a-1", "b-1"}),
    "both labels": ([{ZONE: ["a", "b"], "kubernetes.io/hostname": ["b-1"]}], {"b-1"}),
    "an empty term": ([{}], set()),
    "no values": ([{ZONE: []}], set()),
}


@pytest.mark.parametrize(("topologies", "expected"), TOPOLOGIES.values(), ids=TOPOLOGIES.keys())
def test_a_class_provisions_in(topologies: list[dict[str, list[str]]], expected: set[str]) -> None:
    known = ledger(*zoned(a_1="a", b_1="b", c_1="c"), storage_class(topologies=topologies), claim())
    assert feasible(DATA, known) == expected


def test_volumes_that_are_there_come_before_provisioning() -> None:
    known = ledger(*zoned(a_1="a", b_1="b"), storage_class(topologies=[{ZONE: ["a"]}]), claim(), volume(on="b-1"))
    assert feasible(DATA, known) == {"a-1", "b-1"}
    assert planned(DATA, known, "a-1") == VolumePlan("a-1", (), (Provision("default", "data", "uid-data", "1", "a-1"),))


# -- capacity


def in_zone(zone: str) -> Json:
    return {"matchLabels": {ZONE: zone}}


def spacious(*capacities: Json, tracks: bool = True, size: str | None = "10Gi") -> Ledger:
    driver = csi_driver(tracks_capacity=tracks)
    return ledger(*zoned(a_1="a", b_1="b"), storage_class(), driver, claim(size=size), *capacities)


CAPACITIES: dict[str, tuple[Ledger, set[str]]] = {
    "enough in one zone": (spacious(capacity("c", in_zone("a"), capacity="10Gi")), {"a-1"}),
    "enough in a second pool": (
        spacious(capacity("c", in_zone("a"), capacity="1Gi"), capacity("d", in_zone("a"), capacity="11Gi")),
        {"a-1"},
    ),
    "a byte too little": (spacious(capacity("c", in_zone("a"), capacity="10737418239")), set()),
    "enough, but not in one volume": (
        spacious(capacity("c", in_zone("a"), capacity="100Gi", maximumVolumeSize="5Gi")),
        set(),
    ),
    "the largest volume alone": (spacious(capacity("c", in_zone("a"), maximumVolumeSize="20Gi")), {"a-1"}),
    "nothing said of how much": (spacious(capacity("c", in_zone("a"))), set()),
    "nothing said of where": (spacious(capacity("c", None, capacity="100Gi")), set()),
    "everywhere": (spacious(capacity("c", {}, capacity="100Gi")), {"a-1", "b-1"}),
    "not in that zone": (
        spacious(capacity("c", {"matchExpressions": [expression(ZONE, "NotIn", "a")]}, capacity="100Gi")),
        {"b-1"},
    ),
    "of another class": (spacious(capacity("c", {}, capacity="100Gi", class_name="other")), set()),
    "a driver that does not track it": (spacious(tracks=False), {"a-1", "b-1"}),
    "a claim that asks for no size": (spacious(size=None), {"a-1", "b-1"}),
    "less than a byte asked for": (spacious(capacity("c", in_zone("a"), capacity="1"), size="500m"), {"a-1"}),
}


@pytest.mark.parametrize(("known", "expected"), CAPACITIES.values(), ids=CAPACITIES.keys())
def test_there_is_space_for_a_new_volume(known: Ledger, expected: set[str]) -> None:
    assert feasible(DATA, known) == expected


def test_no_space_in_words() -> None:
    assert message(DATA, spacious()) == "0/2 nodes are available: 2 node(s) did not have enough free storage."


def test_where_a_class_does_not_provision_space_is_no_matter() -> None:
    known = ledger(*zoned(a_1="a", b_1="b"), storage_class(topologies=[{ZONE: ["a"]}]), csi_driver(), claim())
    assert message(DATA, known) == (
        "0/2 nodes are available: 1 node(s) did not have enough free storage, "
        "1 node(s) didn't find available persistent volumes to bind."
    )


def test_space_is_looked_at_anew_when_the_driver_reports() -> None:
    known = spacious()
    assert feasible(DATA, known) == set()
    known.observe_storage(capacity("c", in_zone("a"), capacity="10Gi"))
    assert feasible(DATA, known) == {"a-1"}


def test_a_node_can_be_refused_for_two_reasons_at_once() -> None:
    known = on_workers(volume(on="gone"), claim("bound", volume="vol"), claim(), LOCAL)
    assert message(pod(volumes=using("bound", "data")), known) == (
        "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind, "
        "3 node(s) didn't match PersistentVolume's node affinity."
    )


# --- VolumeZone -----------------------------------------------------------------------------------------------------

BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"

ZONES: dict[str, tuple[dict[str, str], set[str]]] = {
    "a zone": ({ZONE: "a"}, {"a-1", "none"}),
    "two zones": ({ZONE: "a__b"}, {"a-1", "b-1", "none"}),
    "the beta label": ({BETA_ZONE: "a"}, {"a-1", "none"}),
    "a region that no node says it is in": ({"topology.kubernetes.io/region": "r"}, {"none"}),
    "a list with a blank in it, which is passed over": ({ZONE: "a__"}, {"a-1", "b-1", "none"}),
    "another label": ({"zone": "a"}, {"a-1", "b-1", "none"}),
}


@pytest.mark.parametrize(("labels", "expected"), ZONES.values(), ids=ZONES.keys())
def test_a_volume_labelled_with(labels: dict[str, str], expected: set[str]) -> None:
    known = ledger(*zoned(a_1="a", b_1="b"), node("none"), volume(labels=labels), claim(volume="vol"))
    assert feasible(DATA, known) == expected


def test_a_nodes_own_beta_label_counts_before_todays() -> None:
    mixed = node("mixed", labels={ZONE: "a", BETA_ZONE: "b"})
    known = ledger(mixed, volume(labels={BETA_ZONE: "a"}), claim(volume="vol"))
    assert message(DATA, known) == "0/1 nodes are available: 1 node(s) had no available volume zone."


def test_an_ephemeral_volumes_labels_are_not_looked_at() -> None:
    known = ledger(*zoned(a_1="a"), volume(labels={ZONE: "b"}), claim("web-0-scratch", volume="vol", owner="me"))
    assert feasible(SCRATCH, known) == {"a-1"}


# --- plans ----------------------------------------------------------------------------------------------------------


def test_a_pod_whose_claims_are_bound_needs_nothing_written() -> None:
    assert planned(DATA, on_workers(volume(), claim(volume="vol")), "worker-0") is None
    assert planned(pod(), on_workers(), "worker-0") is None


def test_a_plan_has_all_that_writing_needs() -> None:
    known = on_workers(
        storage_class(),
        claim("a", version="11"),
        claim("b", version="12", class_name="other"),
        storage_class("other"),
        volume(version="13", on="worker-0"),
    )
    assert planned(pod(volumes=using("a", "b")), known, "worker-0") == VolumePlan(
        "worker-0",
        (Binding("vol", "uid-vol", "13", "default", "a", "uid-a", "11", annotate=True, needed=True),),
        (Provision("default", "b", "uid-b", "12", "worker-0"),),
    )


KEPT: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "free": ({}, True, True),
    "kept by a user, who named no uid": ({"claimRef": {"namespace": "default", "name": "data"}}, False, True),
    "kept and complete": ({"claim": "data"}, False, False),
}


@pytest.mark.parametrize(("kept", "annotate", "needed"), KEPT.values(), ids=KEPT.keys())
def test_what_is_written_to_a_volume_that_is(kept: dict[str, Any], annotate: bool, needed: bool) -> None:
    plan = planned(DATA, on_workers(LOCAL, claim(), volume(**kept)), "worker-0")
    assert plan is not None
    assert [(each.annotate, each.needed) for each in plan.bindings] == [(annotate, needed)]


def test_a_plan_is_made_from_the_newest_versions() -> None:
    known = on_workers(LOCAL, claim(), volume())
    assert feasible(DATA, known) == ALL
    known.observe_storage(volume(version="7"))
    plan = planned(DATA, known, "worker-0")
    assert plan is not None
    assert plan.bindings[0].volume_version == "7"


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_what_was_worked_out_is_forgotten_when_nodes_change() -> None:
    known = on_workers(LOCAL, claim(), volume(terms=at(ZONE, "a")))
    assert feasible(DATA, known) == set()
    known.observe_node(node("worker-1", labels={ZONE: "a"}))
    assert feasible(DATA, known) == {"worker-1"}
    known.drop_node("worker-0")
    assert feasible(DATA, known) == {"worker-1"}


def test_what_was_worked_out_is_forgotten_when_volumes_change() -> None:
    known = on_workers(LOCAL, claim(), volume(on="worker-1"))
    assert feasible(DATA, known) == {"worker-1"}
    known.observe_storage(volume(on="worker-2", version="2"))
    assert feasible(DATA, known) == {"worker-2"}
    known.observe_storage(volume(), gone=True)
    assert feasible(DATA, known) == set()


def test_room_is_counted_anew_when_nodes_change_places() -> None:
    known = on_workers(csi_node("worker-2", {DRIVER: 0}), volume(handle="h"), claim(volume="vol"))
    assert feasible(DATA, known) == {"worker-0", "worker-1"}
    known.drop_node("worker-0")
    assert feasible(DATA, known) == {"worker-1"}
