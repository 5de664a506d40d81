"""JSON types of the fields of the other kinds that scheduling reads: volumes, claims, CSI drivers, namespaces.

Classes and names as in ``pods``.
"""

from __future__ import annotations

from .pods import (
    Amounts,
    Int32,
    JsonObject,
    LabelSelectorJson,
    NodeSelectorJson,
    ObjectMetaJson,
    ResourceRequirementsJson,
    Text,
    Texts,
)

Size = str | int | float | None


class ObjectReferenceJson(JsonObject):
    namespace: Text = None
    name: Text = None
    uid: Text = None


class VolumeNodeAffinityJson(JsonObject):
    required: NodeSelectorJson | None = None


class CsiVolumeSourceJson(JsonObject):
    driver: Text = None
    volume_handle: Text = None


class PersistentVolumeSpecJson(JsonObject):
    storage_class_name: Text = None
    volume_mode: Text = None
    volume_attributes_class_name: Text = None
    capacity: Amounts = None
    access_modes: Texts = None
    claim_ref: ObjectReferenceJson | None = None
    node_affinity: VolumeNodeAffinityJson | None = None
    csi: CsiVolumeSourceJson | None = None


class PhaseJson(JsonObject):
    phase: Text = None


class PersistentVolumeJson(JsonObject):
    metadata: ObjectMetaJson
    spec: PersistentVolumeSpecJson | None = None
    status: PhaseJson | None = None


class PersistentVolumeClaimSpecJson(JsonObject):
    storage_class_name: Text = None
    volume_name: Text = None
    volume_mode: Text = None
    volume_attributes_class_name: Text = None
    access_modes: Texts = None
    resources: ResourceRequirementsJson | None = None
    selector: LabelSelectorJson | None = None


class PersistentVolumeClaimJson(JsonObject):
    metadata: ObjectMetaJson
    spec: PersistentVolumeClaimSpecJson | None = None
    status: PhaseJson | None = None


class TopologySelectorLabelJson(JsonObject):
    key: Text = None
    values: Texts = None


class TopologySelectorTermJson(JsonObject):
    match_label_expressions: list[TopologySelectorLabelJson] | None = None


class StorageClassJson(JsonObject):
    metadata: ObjectMetaJson
    provisioner: Text = None
    volume_binding_mode: Text = None
    allowed_topologies: list[TopologySelectorTermJson] | None = None


class VolumeNodeResourcesJson(JsonObject):
    count: Int32 = None


class CsiNodeDriverJson(JsonObject):
    name: Text = None
    allocatable: VolumeNodeResourcesJson | None = None


class CsiNodeSpecJson(JsonObject):
    drivers: list[CsiNodeDriverJson] | None = None


class CsiNodeJson(JsonObject):
    metadata: ObjectMetaJson
    spec: CsiNodeSpecJson | None = None


class CsiDriverSpecJson(JsonObject):
    storage_capacity: bool | None = None


class CsiDriverJson(JsonObject):
    metadata: ObjectMetaJson
    spec: CsiDriverSpecJson | None = None


class CsiStorageCapacityJson(JsonObject):
    metadata: ObjectMetaJson
    storage_class_name: Text = None
    capacity: Size = None
    maximum_volume_size: Size = None
    node_topology: LabelSelectorJson | None = None


class VolumeAttachmentSourceJson(JsonObject):
    persistent_volume_name: Text = None


class VolumeAttachmentSpecJson(JsonObject):
    node_name: Text = None
    attacher: Text = None
    source: VolumeAttachmentSourceJson | None = None


class VolumeAttachmentJson(JsonObject):
    metadata: ObjectMetaJson
    spec: VolumeAttachmentSpecJson | None = None


class NamespaceJson(JsonObject):
    metadata: ObjectMetaJson
