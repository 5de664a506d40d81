"""Translation of in-tree volumes to CSI: driver, handle and topology.

Owns the part of ``k8s.io/csi-translation-lib`` 0.36 that decisions depend on: the five plugins whose migration
kube-scheduler assumes (``isCSIMigrationOn``). Azure Files and vSphere are not among them: they are never translated and
count against no limit. A volume that cannot be translated gives ``Untranslatable`` with the library's own words, not an
exception. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from peaks_scheduler.objects.pod_volumes import Disk
from peaks_scheduler.objects.selectors import NodeSelectorTerm, Requirement

Terms = tuple[NodeSelectorTerm, ...] | None
"""Required node affinity of a volume, ORed; None: it has none."""

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
BETA_ZONE, BETA_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"
ZONES_APART_BY = "__"
"""Separator of the zones in a volume's label."""

_UNSPECIFIED = "UNSPECIFIED"
_EBS_ID = re.compile(r"vol-[^/]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """A volume as its CSI driver knows it. It is attached to a node once, however many pods use it."""

    driver: str
    handle: str


@dataclass(frozen=True, slots=True)
class Untranslatable:
    """A volume that cannot be translated, and why."""

    words: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """An in-tree volume plugin and the CSI driver that replaces it."""

    name: str
    driver: str
    zone: str = ""
    """Label of the driver for a node's zone; empty: the topology is not translated."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A PersistentVolume of an in-tree plugin, translated for nodes where the plugin is migrated."""

    plugin: str
    volume: CsiVolume | Untranslatable
    terms: Terms


PLUGINS: Mapping[str, Plugin] = {  # by source
    "awsElasticBlockStore": Plugin("kubernetes.io/aws-ebs", "ebs.csi.aws.com", "topology.ebs.csi.aws.com/zone"),
    "gcePersistentDisk": Plugin("kubernetes.io/gce-pd", "pd.csi.storage.gke.io", "topology.gke.io/zone"),
    "azureDisk": Plugin("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    "cinder": Plugin("kubernetes.io/cinder", "cinder.csi.openstack.org", "topology.cinder.csi.openstack.org/zone"),
    "portworxVolume": Plugin("kubernetes.io/portworx-volume", "pxd.portworx.com"),
}
_DRIVERS = {plugin.name: plugin.driver for plugin in PLUGINS.values()}
_NEVER_MIGRATED = frozenset({"kubernetes.io/azure-file", "kubernetes.io/vsphere-volume"})


def driver_of(provisioner: str) -> str:
    """The CSI driver of a provisioner's volumes; empty: they count against no limit."""
    return "" if provisioner in _NEVER_MIGRATED else _DRIVERS.get(provisioner, provisioner)


def inline_volume(disk: Disk) -> CsiVolume | Untranslatable | None:
    """Translate a disk that a pod names itself; None if no CSI driver replaces its plugin."""
    if disk.source not in PLUGINS:
        return None
    return _volume(disk, (_UNSPECIFIED,))


def migrated(disk: Disk, labels: Mapping[str, str], terms: Terms) -> Migration | None:
    """Translate a PersistentVolume of this source, labels and affinity; None if no CSI driver replaces its plugin."""
    plugin = PLUGINS.get(disk.source)
    if plugin is None:
        return None
    zones = (labels.get(BETA_ZONE) or labels.get(ZONE) or _UNSPECIFIED).split(ZONES_APART_BY)
    volume = _volume(disk, zones)
    moved = _translated_topology(terms, labels, plugin.zone) if plugin.zone else terms
    return Migration(plugin.name, volume, moved)


# --- handles --------------------------------------------------------------------------------------------------------


def _volume(disk: Disk, zones: Sequence[str]) -> CsiVolume | Untranslatable:
    driver = PLUGINS[disk.source].driver
    match disk.source:
        case "awsElasticBlockStore":
            handle = _ebs_id(disk.name)
        case "gcePersistentDisk":
            handle = _gce_id(disk.name, zones)
        case "azureDisk" if disk.kind is not None and disk.kind.lower() != "managed":
            return Untranslatable(f"kind({disk.kind}) is not supported in csi migration")
        case _:
            handle = disk.name
    return handle if isinstance(handle, Untranslatable) else CsiVolume(driver, handle)


def _ebs_id(name: str) -> str | Untranslatable:
    """``aws://zone/vol-1234`` or the bare id. KubernetesVolumeIDToEBSVolumeID."""
    if not name.startswith("aws://"):
        return name
    said = "failed to translate Kubernetes ID to EBS Volume ID "
    rest = name.removeprefix("aws://").partition("#")[0].partition("?")[0]
    path = rest.partition("/")[2]
    if _BAD_ESCAPE.search(path):
        return Untranslatable(f"{said}Invalid disk name ({name})")
    volume = unquote(path).strip("/")
    return volume if _EBS_ID.fullmatch(volume) else Untranslatable(f"{said}Invalid format for AWS volume ({name})")


def _gce_id(name: str, zones: Sequence[str]) -> str | Untranslatable:
    if len(zones) == 1:
        return f"projects/{_UNSPECIFIED}/zones/{zones[0]}/disks/{name}"
    region = _gce_region(zones)
    if isinstance(region, Untranslatable):
        return Untranslatable(f"failed to get region from zones: {region.words}")
    return f"projects/{_UNSPECIFIED}/regions/{region}/disks/{name}"


def _gce_region(zones: Sequence[str]) -> str | Untranslatable:
    regions = set()
    for zone in zones:
        parts = zone.split("-")
        if len(parts) != 3:
            return Untranslatable(f"zone in unexpected format, expected: {{locale}}-{{region}}-{{zone}}, got: {zone}")
        regions.add("-".join(parts[:2]))
    if len(regions) != 1:
        listed = " ".join(f"{region}:{{}}" for region in sorted(regions))  # a Go set, as Go prints it
        return Untranslatable(f"multiple or no regions gotten from zones, got: map[{listed}]")
    return regions.pop()


# --- topology -------------------------------------------------------------------------------------------------------


def _translated_topology(terms: Terms, labels: Mapping[str, str], key: str) -> Terms:
    """The terms with zones under the driver's label ``key``: translateTopologyFromInTreeToCSI."""
    zone, region = _topology_labels(terms, labels)
    if _names_any(terms, zone):
        terms = _renamed(terms, zone, key)
    elif zone in labels:
        terms = _confined(terms, key, labels[zone].split(ZONES_APART_BY))
    if region == BETA_REGION and _names_any(terms, region):
        terms = _renamed(terms, region, REGION)
    return terms


def _topology_labels(terms: Terms, labels: Mapping[str, str]) -> tuple[str, str]:
    """(zone, region) labels that the volume uses, stable or beta; its node affinity counts before its labels."""
    for zones in ({r.key for r in _expressions(terms)}, labels):
        if ZONE in zones:
            return ZONE, REGION
        if BETA_ZONE in zones:
            return BETA_ZONE, BETA_REGION
    return ZONE, REGION


def _expressions(terms: Terms) -> Iterator[Requirement]:
    return (requirement for term in terms or () for requirement in term.expressions)


def _names_any(terms: Terms, key: str) -> bool:
    return any(requirement.values for requirement in _expressions(terms) if requirement.key == key)


def _renamed(terms: Terms, old: str, new: str) -> Terms:
    def rename(requirement: Requirement) -> Requirement:
        return replace(requirement, key=new) if requirement.key == old else requirement

    return tuple(replace(term, expressions=tuple(map(rename, term.expressions))) for term in terms or ())


def _confined(terms: Terms, key: str, zones: Sequence[str]) -> Terms:
    """The terms, each of which also requires one of the zones; blank zones do not count."""
    named = sorted({zone.strip() for zone in zones} - {""})
    if not named:
        return terms
    more = Requirement(key, "In", tuple(named))
    return tuple(replace(term, expressions=(*term.expressions, more)) for term in terms or (NodeSelectorTerm(),))
