"""What of a pod's volumes is read, and when two pods cannot have the same disk."""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.objects.pod_volumes import DISKS as SOURCES
from peaks_scheduler.objects.pod_volumes import Disk, PodVolume, disk_from, pod_volumes
from peaks_scheduler.objects.supported_fields import HARMLESS_VOLUMES, SUPPORTED_VOLUMES
from tests.support.builders import pod, read


def volumes(*raw: dict[str, Any]) -> tuple[PodVolume, ...]:
    return pod_volumes({"volumes": list(raw)}, "web-0")


def test_a_pod_whose_volumes_bind_it_to_nothing_has_none() -> None:
    plain = [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {}}, {"name": "c", "csi": {"driver": "x"}}]
    assert volumes(*plain) == () == pod_volumes({}, "web-0")


def test_a_claim_goes_by_its_name() -> None:
    assert volumes({"name": "a", "persistentVolumeClaim": {"claimName": "data"}}) == (PodVolume("a", "data"),)


def test_an_ephemeral_volume_is_a_claim_named_after_pod_and_volume() -> None:
    assert volumes({"name": "scratch", "ephemeral": {}}) == (PodVolume("scratch", "web-0-scratch", ephemeral=True),)


def test_volumes_keep_their_order() -> None:
    found = volumes(
        {"name": "z", "awsElasticBlockStore": {"volumeID": "vol-1"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
    )
    assert [volume.name for volume in found] == ["z", "a"]


def test_pods_with_the_same_volumes_share_one_record() -> None:
    one, other = (volumes({"name": "a", "persistentVolumeClaim": {"claimName": "data"}}) for _ in range(2))
    assert one is other


def test_a_source_that_is_set_to_nothing_is_none() -> None:
    assert volumes({"name": "a", "persistentVolumeClaim": None, "rbd": None}) == ()


def test_the_pod_carries_them() -> None:
    raw = pod(volumes=[{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}])
    assert read(raw).volumes == (PodVolume("a", "data"),)
    assert read(raw).unsupported == ()


def test_every_source_that_is_judged_is_allowed_and_none_is_called_harmless() -> None:
    assert {"persistentVolumeClaim", "ephemeral", *SOURCES} <= SUPPORTED_VOLUMES
    assert not {"persistentVolumeClaim", "ephemeral", *SOURCES} & HARMLESS_VOLUMES


DISKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], bool]] = {
    "one GCE disk, one pod writes": ("gcePersistentDisk", {"pdName": "a"}, {"pdName": "a", "readOnly": True}, True),
    "one GCE disk, both read": (
        "gcePersistentDisk",
        {"pdName": "a", "readOnly": True},
        {"pdName": "a", "readOnly": True},
        False,
    ),
    "two GCE disks": ("gcePersistentDisk", {"pdName": "a"}, {"pdName": "b"}, False),
    "one EBS volume, both read": (
        "awsElasticBlockStore",
        {"volumeID": "a", "readOnly": True},
        {"volumeID": "a", "readOnly": True},
        True,
    ),
    "one iSCSI target, both write": ("iscsi", {"iqn": "a", "lun": 0}, {"iqn": "a", "lun": 1}, True),
    "one iSCSI target, both read": ("iscsi", {"iqn": "a", "readOnly": True}, {"iqn": "a", "readOnly": True}, False),
    "one RBD image by a common monitor": (
        "rbd",
        {"image": "a", "pool": "p", "monitors": ["m1", "m2"]},
        {"image": "a", "pool": "p", "monitors": ["m2", "m3"]},
        True,
    ),
    "RBD images of other monitors": (
        "rbd",
        {"image": "a", "pool": "p", "monitors": ["m1"]},
        {"image": "a", "pool": "p", "monitors": ["m2"]},
        False,
    ),
    "RBD images of other pools": (
        "rbd",
        {"image": "a", "pool": "p", "monitors": ["m1"]},
        {"image": "a", "pool": "q", "monitors": ["m1"]},
        False,
    ),
    "one RBD image, both read": (
        "rbd",
        {"image": "a", "monitors": ["m1"], "readOnly": True},
        {"image": "a", "monitors": ["m1"], "readOnly": True},
        False,
    ),
    "one Cinder volume": ("cinder", {"volumeID": "a"}, {"volumeID": "a"}, False),
}


@pytest.mark.parametrize(("source", "one", "other", "collide"), DISKS.values(), ids=DISKS.keys())
def test_pods_collide_over(source: str, one: dict[str, Any], other: dict[str, Any], collide: bool) -> None:
    first, second = disk_from(source, one), disk_from(source, other)
    assert first.conflicts(second) is second.conflicts(first) is collide


def test_disks_of_different_kinds_never_collide() -> None:
    assert not Disk("gcePersistentDisk", "a").conflicts(Disk("awsElasticBlockStore", "a"))
