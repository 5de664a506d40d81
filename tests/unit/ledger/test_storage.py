"""What there is to store on, who uses it, and what a pod on its way has taken of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.errors import ObjectError, QuantityError
from peaks_scheduler.ledger.storage.attachments import UNLIMITED
from peaks_scheduler.ledger.storage.migration import CsiVolume
from peaks_scheduler.ledger.storage.plan import Binding, Progress, Provision, VolumePlan, plan_progress
from peaks_scheduler.ledger.storage.store import KINDS, Storage
from peaks_scheduler.objects.node import Node, node_from_api
from tests.support.builders import Json, expression, node, pod, read
from tests.support.examples import examples
from tests.support.storage_objects import (
    DRIVER,
    attachment,
    capacity,
    claim,
    csi_driver,
    csi_node,
    storage_class,
    using,
    volume,
)

NODES = ("worker-0", "worker-1", "worker-2")
SELECTED = "volume.kubernetes.io/selected-node"


def storage(*objects: Json) -> Storage:
    known = Storage()
    for raw in objects:
        known.observe(raw)
    return known


class Rack:
    """Nodes in a fixed order, as the index of a snapshot has them."""

    shape = 1

    def position(self, name: str) -> int | None:
        return NODES.index(name) if name in NODES else None


RACK = Rack()


def room(known: Storage, driver: str = DRIVER) -> list[int]:
    return [int(left) for left in known.attachments.room(driver, len(NODES), RACK)]


def binding(name: str = "vol", to: str = "data", version: str = "1") -> Binding:
    return Binding(name, f"uid-{name}", version, "default", to, f"uid-{to}", "1", annotate=True, needed=True)


def provision(name: str = "data", node: str = "worker-0", version: str = "1") -> Provision:
    return Provision("default", name, f"uid-{name}", version, node)


def plan(*bindings: Binding, provisions: Iterable[Provision] = ()) -> VolumePlan:
    return VolumePlan("worker-0", bindings, tuple(provisions))


# --- observing ------------------------------------------------------------------------------------------------------

EVERY_KIND = [
    volume(),
    claim(),
    storage_class(),
    csi_node("worker-0", {DRIVER: 3}),
    csi_driver(),
    capacity("c", {}, capacity="1Gi"),
    attachment("vol", "worker-0"),
]


@pytest.mark.parametrize("raw", EVERY_KIND, ids=lambda raw: raw["kind"])
def test_news_is_told_from_repetition_for_every_kind(raw: Json) -> None:
    known = Storage()
    assert known.observe(raw)
    assert not known.observe(raw)
    assert known.observe(raw, gone=True)
    assert not known.observe(raw, gone=True)


def test_the_list_of_kinds_is_complete() -> None:
    assert {raw["kind"] for raw in EVERY_KIND} == set(KINDS)


def test_a_new_version_that_says_the_same_is_no_news() -> None:
    assert not storage(volume(version="1")).observe(volume(version="2"))


def test_items_of_a_list_do_not_say_their_kind() -> None:
    raw = {key: value for key, value in claim().items() if key != "kind"}
    known = Storage()
    assert known.observe(raw, kind="PersistentVolumeClaim")
    assert known.claim("default", "data") is not None


def test_what_a_list_no_longer_has_is_dropped() -> None:
    known = storage(*EVERY_KIND)
    for kind in KINDS:
        (key,) = known.keys(kind)
        assert known.drop(kind, key)
        assert not known.keys(kind)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ObjectError, match=r"expected one of the kinds PersistentVolume, .*; got 'Lamp'"):
        storage({"kind": "Lamp", "metadata": {"name": "l"}})


def test_an_object_without_a_name_is_refused() -> None:
    with pytest.raises(ObjectError, match=r"expected a CSINode with metadata.name"):
        storage({"kind": "CSINode", "metadata": {}})


@pytest.mark.parametrize(
    ("raw", "who"),
    [
        (volume(size="ten"), "PersistentVolume vol: "),
        (claim(size="ten"), "PersistentVolumeClaim default/data: "),
        (capacity("c", {}, capacity="ten"), "CSIStorageCapacity kube-system/c: "),
    ],
    ids=["volume", "claim", "capacity"],
)
def test_a_size_that_is_none_is_named(raw: Json, who: str) -> None:
    with pytest.raises(QuantityError, match=f"{who}.*'ten'"):
        storage(raw)


def test_the_beta_annotation_goes_before_the_class_field() -> None:
    beta = {"volume.beta.kubernetes.io/storage-class": "old"}
    known = storage(claim(annotations=beta), volume(annotations=beta))
    found, kept = known.claim("default", "data"), known.volume("vol")
    assert found is not None and found.class_name == "old"  # noqa: PT018
    assert kept is not None and kept.class_name == "old"  # noqa: PT018


# --- limits ---------------------------------------------------------------------------------------------------------


def limited(*objects: Json) -> Storage:
    return storage(
        csi_node("worker-0", {DRIVER: 3}),
        csi_node("worker-1", {DRIVER: 1, "other.example.com": None}),
        storage_class(),
        *objects,
    )


def test_a_node_that_names_no_limit_has_none() -> None:
    assert room(limited()) == [3, 1, UNLIMITED]
    assert room(limited(), "other.example.com") == [UNLIMITED] * 3


def test_a_volume_of_two_pods_on_a_node_is_attached_once() -> None:
    known = limited(volume(handle="h"), claim(volume="vol"))
    for name in ("a", "b"):
        known.pod_added("worker-0", read(pod(name, volumes=using("data"))))
    assert room(known)[0] == 2
    known.pod_removed("worker-0", read(pod("a", volumes=using("data"))))
    assert room(known)[0] == 2
    known.pod_removed("worker-0", read(pod("b", volumes=using("data"))))
    assert room(known)[0] == 3


def test_two_claims_on_one_handle_are_one_volume() -> None:
    known = limited(
        volume("v1", handle="h"), volume("v2", handle="h"), claim("a", volume="v1"), claim("b", volume="v2")
    )
    known.pod_added("worker-0", read(pod(volumes=using("a", "b"))))
    assert room(known)[0] == 2


def test_a_pod_told_twice_counts_once() -> None:
    known = limited(volume(handle="h"), claim(volume="vol"))
    for _ in range(2):
        known.pod_added("worker-0", read(pod(volumes=using("data"))))
    known.pod_removed("worker-0", read(pod(volumes=using("data"))))
    assert room(known)[0] == 3


def test_an_unbound_claim_counts_for_the_driver_of_its_class() -> None:
    known = limited(claim())
    known.pod_added("worker-0", read(pod(volumes=using("data"))))
    assert room(known)[0] == 2
    known.observe(storage_class(), gone=True)
    assert room(known)[0] == 3


def test_so_does_a_claim_whose_volume_is_not_there() -> None:
    known = limited(claim(volume="vol"))
    known.pod_added("worker-0", read(pod(volumes=using("data"))))
    assert room(known)[0] == 2
    known.observe(volume())  # and this one is no CSI volume
    assert room(known)[0] == 3


def test_a_pod_that_came_before_its_claim_counts_from_then_on() -> None:
    known = limited()
    known.pod_added("worker-1", read(pod(volumes=using("data"))))
    assert room(known)[1] == 1
    known.observe(claim(volume="vol"))
    assert room(known)[1] == 0
    known.observe(volume())  # which is no CSI volume after all
    assert room(known)[1] == 1


def test_attached_volumes_count_even_if_no_pod_uses_them_any_more() -> None:
    known = limited(volume(handle="h"), claim(volume="vol"), attachment("vol", "worker-0"))
    assert room(known)[0] == 2
    known.pod_added("worker-0", read(pod(volumes=using("data"))))
    assert room(known)[0] == 2


def test_an_attachment_that_came_before_its_volume_counts_from_then_on() -> None:
    known = limited(attachment("vol", "worker-0"))
    assert room(known)[0] == 3
    known.observe(volume(handle="h"))
    assert room(known)[0] == 2


@pytest.mark.parametrize(
    "raw",
    [
        attachment("vol", "worker-0", driver=""),
        attachment(None, "worker-0"),
        attachment("gone", "worker-0"),
        attachment("local", "worker-0"),
    ],
    ids=["without a driver", "of no volume", "of a volume that is gone", "of a volume that is no CSI volume"],
)
def test_an_attachment_does_not_count(raw: Json) -> None:
    assert room(limited(volume(handle="h"), volume("local"), raw))[0] == 3


def test_in_tree_disks_count_for_the_driver_that_took_over() -> None:
    known = storage(csi_node("worker-0", {"ebs.csi.aws.com": 3}))
    sources = [{"name": str(i), "awsElasticBlockStore": {"volumeID": f"vol-{i}"}} for i in range(2)]
    known.pod_added("worker-0", read(pod(volumes=sources)))
    assert room(known, "ebs.csi.aws.com")[0] == 1


def test_a_volume_of_an_in_tree_plugin_counts_for_the_driver_that_took_over() -> None:
    known = storage(
        csi_node("worker-0", {"ebs.csi.aws.com": 3}),
        volume(awsElasticBlockStore={"volumeID": "vol-1"}),
        claim(volume="vol"),
    )
    known.pod_added("worker-0", read(pod(volumes=using("data"))))
    assert room(known, "ebs.csi.aws.com")[0] == 2
    assert known.attachments.using(CsiVolume("ebs.csi.aws.com", "vol-1"), RACK) == {"worker-0"}


def test_a_limit_that_is_lowered_below_what_is_attached_leaves_less_than_nothing() -> None:
    known = limited(volume(handle="h"), claim(volume="vol"))
    known.pod_added("worker-0", read(pod(volumes=using("data"))))
    known.observe(csi_node("worker-0", {DRIVER: 0}))
    assert room(known)[0] == -1


def test_a_pod_that_names_what_it_also_has_as_an_ephemeral_volume_names_it() -> None:
    known = Storage()
    both = [*using("web-0-x"), {"name": "x", "ephemeral": {}}]
    known.pod_added("worker-0", read(pod("web-0", volumes=both)))
    assert known.users.nodes_naming("default/web-0-x") == {"worker-0"}
    known.pod_added("worker-0", read(pod("web-0", volumes=both[1:])))
    assert known.users.nodes_naming("default/web-0-x") == set()


def test_a_nominated_pod_is_told_from_those_that_are_there() -> None:
    known = Storage()
    nominated = read(pod(volumes=using("data"), status={"nominatedNodeName": "worker-0"}))
    known.pod_added("worker-0", nominated, nominated=True)
    assert known.users.nominations_naming({"data"}) == {"worker-0"}
    known.pod_removed("worker-0", nominated)
    assert known.users.nominations_naming({"data"}) == set()
    known.pod_added("worker-0", read(pod(volumes=using("data"), node="worker-0")))
    assert known.users.nominations_naming({"data"}) == set()


# --- assuming -------------------------------------------------------------------------------------------------------


def kept_for(known: Storage, name: str = "vol") -> str | None:
    found = known.volume(name)
    return found.claim.name if found is not None and found.claim is not None else None


def selected(known: Storage, name: str = "data") -> str | None:
    found = known.claim("default", name)
    return found.selected_node if found is not None else None


def assumed() -> Storage:
    known = storage(volume(), claim(), claim("more"))
    known.assume("pod-1", plan(binding(), provisions=[provision("more")]))
    return known


def test_a_pod_on_its_way_takes_its_volumes_and_claims() -> None:
    known = assumed()
    assert kept_for(known) == "data"
    assert selected(known, "more") == "worker-0"
    assert list(known.pool.free("standard", 0)) == []


def test_what_the_api_server_shows_is_not_what_is_assumed() -> None:
    known = assumed()
    observed, waiting = known.observed_volume("vol"), known.observed_claim("default/more")
    assert observed is not None and observed.claim is None  # noqa: PT018
    assert waiting is not None and waiting.selected_node is None  # noqa: PT018


def test_a_pod_that_is_given_up_gives_them_back() -> None:
    known = assumed()
    known.forget("pod-1")
    assert (kept_for(known), selected(known, "more")) == (None, None)
    assert [name for _, name in known.pool.free("standard", 0)] == ["vol"]


def test_a_repetition_of_the_old_object_changes_nothing() -> None:
    known = assumed()
    assert not known.observe(volume())
    assert not known.observe(claim("more"))
    assert (kept_for(known), selected(known, "more")) == ("data", "worker-0")


def test_a_newer_object_has_the_last_word() -> None:
    known = assumed()
    assert known.observe(volume(version="2", claim="stranger", phase="Bound"))
    assert known.observe(claim("more", version="2"))
    assert (kept_for(known), selected(known, "more")) == ("stranger", None)


def test_a_newer_object_that_says_what_was_assumed_is_no_news() -> None:
    known = assumed()
    bound = volume(version="2", claim="data", annotations={"pv.kubernetes.io/bound-by-controller": "yes"})
    assert not known.observe(bound)
    assert not known.observe(claim("more", version="2", selected_node="worker-0"))


def test_giving_up_does_not_touch_what_is_newer() -> None:
    known = assumed()
    known.observe(volume(version="2", claim="data"))
    known.forget("pod-1")
    assert kept_for(known) == "data"


def test_giving_up_does_not_take_back_what_another_pod_assumed_since() -> None:
    known = assumed()
    known.observe(volume(version="2"))
    known.assume("pod-2", plan(binding(version="2", to="more")))
    known.forget("pod-1")
    assert kept_for(known) == "more"


def test_what_is_written_stays_assumed_until_it_is_observed() -> None:
    known = assumed()
    known.written("pod-1", "PersistentVolume", "vol")
    known.forget("pod-1")
    assert (kept_for(known), selected(known, "more")) == ("data", None)
    known.observe(volume(version="2"))
    assert kept_for(known) is None


def test_an_object_that_goes_takes_the_assumption_with_it() -> None:
    known = assumed()
    known.observe(volume(), gone=True)
    known.observe(volume(version="9"))
    assert kept_for(known) is None


@pytest.mark.parametrize(
    "outdated",
    [
        plan(binding(version="0")),
        plan(binding("gone")),
        plan(binding(), provisions=[provision(version="0")]),
    ],
    ids=["volume has changed", "volume is gone", "claim has changed"],
)
def test_a_plan_on_what_has_changed_takes_nothing(outdated: VolumePlan) -> None:
    known = storage(volume(), claim())
    with pytest.raises(KeyError, match="it has changed or is gone"):
        known.assume("pod-1", outdated)
    assert (kept_for(known), selected(known)) == (None, None)


def test_a_volume_that_needs_nothing_written_is_not_taken() -> None:
    known = storage(volume(claim="data"), claim())
    known.assume("pod-1", plan(replace(binding(), needed=False)))
    assert known.volume("vol") is known.observed_volume("vol")


# --- plans ----------------------------------------------------------------------------------------------------------


def test_a_binding_is_written_as_the_volume_controller_would() -> None:
    assert binding().patch() == {
        "metadata": {
            "uid": "uid-vol",
            "resourceVersion": "1",
            "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "default",
                "name": "data",
                "uid": "uid-data",
                "resourceVersion": "1",
            }
        },
    }


def test_a_volume_that_a_user_bound_is_not_said_to_be_bound_by_the_controller() -> None:
    assert "annotations" not in replace(binding(), annotate=False).patch()["metadata"]


def test_a_claim_to_provision_is_told_its_node() -> None:
    assert provision().patch() == {
        "metadata": {"uid": "uid-data", "resourceVersion": "1", "annotations": {SELECTED: "worker-0"}}
    }


WORKER = node_from_api(node("worker-0", labels={"topology.ebs.csi.aws.com/zone": "a"}))


def progress(of: VolumePlan, *objects: Json, on: Node = WORKER) -> Progress:
    return plan_progress(of, storage(*objects), on)


WRITTEN = plan(binding()).written({"vol": "5"})
ASKED = plan(provisions=[provision()]).written({"default/data": "5"})
ELSEWHERE = [{"matchExpressions": [expression("kubernetes.io/hostname", "In", "worker-9")]}]


def test_both_sides_bound_is_bound() -> None:
    bound = [volume(version="7", claim="data", phase="Bound"), claim(version="8", volume="vol")]
    assert progress(WRITTEN, *bound).state == "bound"


STILL_WAITING: dict[str, tuple[VolumePlan, list[Json]]] = {
    "our own write has not come back": (WRITTEN, [volume(version="4"), claim()]),
    "the claim is not bound yet": (WRITTEN, [volume(version="5", claim="data"), claim()]),
    "the claim names its volume, and is not done": (
        WRITTEN,
        [volume(version="5", claim="data"), claim(volume="vol", bound=False)],
    ),
    "our own write to the claim has not come back": (ASKED, [claim(version="4")]),
    "nothing is provisioned yet": (ASKED, [claim(version="5", selected_node="worker-0")]),
    "the claim's news came before its volume's": (
        ASKED,
        [claim(version="6", selected_node="worker-0", volume="new")],
    ),
}


@pytest.mark.parametrize(("of", "objects"), STILL_WAITING.values(), ids=STILL_WAITING.keys())
def test_a_plan_waits_while(of: VolumePlan, objects: list[Json]) -> None:
    assert progress(of, *objects) == Progress("waiting")


FAILED: dict[str, tuple[VolumePlan, list[Json], str]] = {
    "the volume is gone": (WRITTEN, [claim()], 'failed to check binding: persistentvolumes "vol" not found'),
    "the claim is gone": (
        WRITTEN,
        [volume(version="5", claim="data")],
        'failed to check binding: persistentvolumeclaims "default/data" not found',
    ),
    "the volume was given to nobody": (
        WRITTEN,
        [volume(version="6"), claim()],
        'ClaimRef got reset for pv "vol"',
    ),
    "the volume is elsewhere": (
        WRITTEN,
        [volume(version="6", claim="data", terms=ELSEWHERE), claim()],
        'pv "vol" node affinity doesn\'t match node "worker-0": no matching NodeSelectorTerms',
    ),
    "the claim to provision is gone": (
        ASKED,
        [],
        'failed to check provisioning pvc: persistentvolumeclaims "default/data" not found',
    ),
    "the provisioner gave up": (ASKED, [claim(version="6")], 'provisioning failed for PVC "data"'),
    "it was provisioned elsewhere": (
        ASKED,
        [claim(version="6", selected_node="worker-0", volume="vol"), volume(terms=ELSEWHERE)],
        'pv "vol" node affinity doesn\'t match node "worker-0": no matching NodeSelectorTerms',
    ),
    "the volume has no CSI form": (
        WRITTEN,
        [
            volume(version="6", claim="data", azureDisk={"diskURI": "d", "kind": "Dedicated"}),
            claim(),
            csi_node("worker-0", migrated=["kubernetes.io/azure-disk"]),
        ],
        "failed to translate pv to csi: could not translate pv: kind(Dedicated) is not supported in csi migration",
    ),
}


@pytest.mark.parametrize(("of", "objects", "words"), FAILED.values(), ids=FAILED.keys())
def test_a_plan_fails_when(of: VolumePlan, objects: list[Json], words: str) -> None:
    assert progress(of, *objects) == Progress("failed", words)


def test_a_migrated_volume_is_looked_for_by_its_drivers_label() -> None:
    zoned = [{"matchExpressions": [expression("topology.kubernetes.io/zone", "In", "a")]}]
    ebs = volume(version="6", claim="data", terms=zoned, awsElasticBlockStore={"volumeID": "vol-1"})
    bound = claim(volume="vol")
    assert progress(WRITTEN, ebs, bound).state == "failed"
    assert progress(WRITTEN, ebs, bound, csi_node("worker-0", migrated=["kubernetes.io/aws-ebs"])).state == "bound"


# --- any order ------------------------------------------------------------------------------------------------------

OBJECTS = [
    *(
        volume("v1", size=size, handle=handle, claim=to)
        for size in ("1Gi", "2Gi")
        for handle, to in (("h", None), ("i", "a"))
    ),
    *(volume("v2", class_name=name, awsElasticBlockStore={"volumeID": "x"}) for name in ("standard", "slow")),
    *(claim("a", volume=name) for name in ("", "v1", "v2")),
    *(claim("b", class_name=name) for name in ("standard", "slow")),
    *(storage_class(provisioner=driver) for driver in (DRIVER, "kubernetes.io/aws-ebs")),
    *(csi_node(name, {DRIVER: limit, "ebs.csi.aws.com": 5}) for name in NODES[:2] for limit in (2, 4)),
    *(attachment("v1", name, name="va") for name in NODES[:2]),
]
PODS = [
    pod("p", volumes=using("a")),
    pod("q", volumes=using("a", "b")),
    pod("r", volumes=using(awsElasticBlockStore={"volumeID": "x"})),
]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("observe"), st.sampled_from(OBJECTS), st.booleans()),
        st.tuples(st.just("pod"), st.sampled_from(PODS), st.sampled_from([None, *NODES])),
        st.tuples(st.just("ask"), st.none(), st.none()),
    ),
    max_size=25,
)


FIRST = [("observe", raw, False) for raw in OBJECTS] + [("pod", raw, NODES[0]) for raw in PODS]
"""Something to change."""


def picture(known: Storage) -> Any:
    """Everything that a filter gets to see."""
    rooms = [room(known, driver) for driver in (DRIVER, "ebs.csi.aws.com")]
    handles = [CsiVolume(DRIVER, "h"), CsiVolume(DRIVER, "i"), CsiVolume("ebs.csi.aws.com", "x")]
    holders = [known.attachments.using(handle, RACK) for handle in handles]
    free = [list(known.pool.free(name, 0)) for name in ("standard", "slow")]
    waiting = [known.claim("default", name) for name in "ab"]
    kept = [known.pool.kept_for(each) for each in waiting if each]
    users = [known.users.nodes_naming(f"default/{name}") for name in "ab"]
    disk = read(PODS[2]).volumes[0].disk
    assert disk is not None
    return rooms, holders, free, kept, users, known.users.nodes_conflicting(disk), waiting


@settings(max_examples=examples(300), deadline=None)
@given(EVENTS)
def test_any_sequence_of_events_leaves_what_the_last_words_alone_would(events: list[tuple[str, Any, Any]]) -> None:
    known = Storage()
    last: dict[tuple[str, str], Json] = {}
    where: dict[str, tuple[str, Json]] = {}
    for what, raw, detail in (*FIRST, *events):
        if what == "observe":
            known.observe(raw, gone=detail)
            last[raw["kind"], raw["metadata"]["name"]] = {} if detail else raw
        elif what == "pod":
            name = raw["metadata"]["name"]
            if name in where:
                known.pod_removed(where.pop(name)[0], read(raw))
            if detail is not None:
                known.pod_added(detail, read(raw))
                where[name] = (detail, raw)
        else:
            picture(known)  # what was worked out in between must not stick
    rebuilt = storage(*(raw for raw in last.values() if raw))
    for on, raw in where.values():
        rebuilt.pod_added(on, read(raw))
    assert picture(known) == picture(rebuilt)
