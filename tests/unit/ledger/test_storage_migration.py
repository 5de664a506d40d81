"""In-tree volumes as CSI ones. Expected answers are those of csi-translation-lib 0.36's own tests and sources."""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.ledger.storage.migration import (
    CsiVolume,
    Terms,
    Untranslatable,
    driver_of,
    inline_volume,
    migrated,
)
from peaks_scheduler.objects.pod_volumes import disk_from
from peaks_scheduler.objects.selectors import NodeSelectorTerm, Requirement

BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
BETA_REGION = "failure-domain.beta.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
EBS_ZONE = "topology.ebs.csi.aws.com/zone"
EBS_ID = "failed to translate Kubernetes ID to EBS Volume ID "


@pytest.mark.parametrize(
    ("provisioner", "driver"),
    [
        ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
        ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
        ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
        ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
        ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
        ("kubernetes.io/azure-file", ""),
        ("kubernetes.io/vsphere-volume", ""),
        ("disk.example.com", "disk.example.com"),
    ],
)
def test_the_driver_that_serves(provisioner: str, driver: str) -> None:
    assert driver_of(provisioner) == driver


INLINE: dict[str, tuple[str, dict[str, Any], CsiVolume | Untranslatable | None]] = {
    "a bare EBS id": ("awsElasticBlockStore", {"volumeID": "vol-1"}, CsiVolume("ebs.csi.aws.com", "vol-1")),
    "any text is an EBS id": ("awsElasticBlockStore", {"volumeID": "a b"}, CsiVolume("ebs.csi.aws.com", "a b")),
    "an EBS id with its zone": (
        "awsElasticBlockStore",
        {"volumeID": "aws://us-east-1a/vol-1"},
        CsiVolume("ebs.csi.aws.com", "vol-1"),
    ),
    "an EBS id without a zone": (
        "awsElasticBlockStore",
        {"volumeID": "aws:///vol-1"},
        CsiVolume("ebs.csi.aws.com", "vol-1"),
    ),
    "no EBS id": (
        "awsElasticBlockStore",
        {"volumeID": "aws://us-east-1a/disk"},
        Untranslatable(f"{EBS_ID}Invalid format for AWS volume (aws://us-east-1a/disk)"),
    ),
    "a GCE disk of no zone": (
        "gcePersistentDisk",
        {"pdName": "d"},
        CsiVolume("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d"),
    ),
    "a managed Azure disk": (
        "azureDisk",
        {"diskURI": "/d", "kind": "managed"},
        CsiVolume("disk.csi.azure.com", "/d"),
    ),
    "an Azure disk of no kind": ("azureDisk", {"diskURI": "/d"}, CsiVolume("disk.csi.azure.com", "/d")),
    "a shared Azure disk": (
        "azureDisk",
        {"diskURI": "/d", "kind": "Shared"},
        Untranslatable("kind(Shared) is not supported in csi migration"),
    ),
    "Cinder": ("cinder", {"volumeID": "c"}, CsiVolume("cinder.csi.openstack.org", "c")),
    "Portworx": ("portworxVolume", {"volumeID": "p"}, CsiVolume("pxd.portworx.com", "p")),
    "iSCSI, which nobody took over": ("iscsi", {"iqn": "i"}, None),
}


@pytest.mark.parametrize(("source", "raw", "expected"), INLINE.values(), ids=INLINE.keys())
def test_a_disk_in_a_pod(source: str, raw: dict[str, Any], expected: object) -> None:
    assert inline_volume(disk_from(source, raw)) == expected


GCE: dict[str, tuple[dict[str, str], CsiVolume | Untranslatable]] = {
    "in one zone": (
        {ZONE: "us-east1-a"},
        CsiVolume("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/us-east1-a/disks/d"),
    ),
    "the beta label first": (
        {ZONE: "us-east1-a", BETA_ZONE: "us-east1-b"},
        CsiVolume("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/us-east1-b/disks/d"),
    ),
    "in two zones of a region": (
        {ZONE: "us-east1-a__us-east1-b"},
        CsiVolume("pd.csi.storage.gke.io", "projects/UNSPECIFIED/regions/us-east1/disks/d"),
    ),
    "in two regions": (
        {ZONE: "us-east1-a__us-west1-b"},
        Untranslatable(
            "failed to get region from zones: multiple or no regions gotten from zones, "
            "got: map[us-east1:{} us-west1:{}]"
        ),
    ),
    "in zones of no form": (
        {ZONE: "a__b"},
        Untranslatable(
            "failed to get region from zones: zone in unexpected format, expected: {locale}-{region}-{zone}, got: a"
        ),
    ),
}


@pytest.mark.parametrize(("labels", "expected"), GCE.values(), ids=GCE.keys())
def test_a_gce_volume(labels: dict[str, str], expected: object) -> None:
    found = migrated(disk_from("gcePersistentDisk", {"pdName": "d"}), labels, None)
    assert found is not None
    assert found.volume == expected


def ebs_terms(terms: Terms, labels: dict[str, str] | None = None) -> Terms:
    found = migrated(disk_from("awsElasticBlockStore", {"volumeID": "vol-1"}), labels or {}, terms)
    assert found is not None
    return found.terms


def term(*expressions: Requirement) -> NodeSelectorTerm:
    return NodeSelectorTerm(expressions)


def test_zones_are_asked_for_by_the_drivers_own_label() -> None:
    other = Requirement("disk", "In", ("ssd",))
    assert ebs_terms((term(Requirement(ZONE, "In", ("a",)), other),)) == (
        term(Requirement(EBS_ZONE, "In", ("a",)), other),
    )


def test_beta_zones_too_and_beta_regions_by_todays_label() -> None:
    before = term(Requirement(BETA_ZONE, "In", ("a",)), Requirement(BETA_REGION, "In", ("r",)))
    assert ebs_terms((before,)) == (term(Requirement(EBS_ZONE, "In", ("a",)), Requirement(REGION, "In", ("r",))),)


def test_labels_stand_in_for_affinity() -> None:
    assert ebs_terms(None, {ZONE: "b__a__ "}) == (term(Requirement(EBS_ZONE, "In", ("a", "b"))),)


def test_labels_are_added_to_every_term_that_names_no_zone() -> None:
    hosts = [Requirement("host", "In", (name,)) for name in "xy"]
    zone = Requirement(EBS_ZONE, "In", ("a",))
    assert ebs_terms(tuple(map(term, hosts)), {BETA_ZONE: "a"}) == tuple(term(host, zone) for host in hosts)


def test_blank_zones_add_nothing() -> None:
    assert ebs_terms(None, {ZONE: ""}) is None


def test_azure_disks_keep_their_topology() -> None:
    terms = (term(Requirement(ZONE, "In", ("a",))),)
    found = migrated(disk_from("azureDisk", {"diskURI": "/d"}), {}, terms)
    assert found is not None
    assert found.terms == terms
