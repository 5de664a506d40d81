"""The JSON types of every field of volumes, claims and what CSI drivers say that placing reads.

As ``pod_shapes``, for the other kinds.
"""

from __future__ import annotations

from .pods import Amounts, Int32, Meta, NodeTerms, Resources, Selector, Shape, Text, Texts

Size = str | int | float | None


class ClaimRef(Shape):
    namespace: Text = None
    name: Text = None
    uid: Text = None


class VolumeAffinity(Shape):
    required: NodeTerms | None = None


class Csi(Shape):
    driver: Text = None
    volume_handle: Text = None


class VolumeSpec(Shape):
    storage_class_name: Text = None
    volume_mode: Text = None
    volume_attributes_class_name: Text = None
    capacity: Amounts = None
    access_modes: Texts = None
    claim_ref: ClaimRef | None = None
    node_affinity: VolumeAffinity | None = None
    csi: Csi | None = None


class Phase(Shape):
    phase: Text = None


class Volume(Shape):
    metadata: Meta
    spec: VolumeSpec | None = None
    status: Phase | None = None


class ClaimSpec(Shape):
    storage_class_name: Text = None
    volume_name: Text = None
    volume_mode: Text = None
    volume_attributes_class_name: Text = None
    access_modes: Texts = None
    resources: Resources | None = None
    selector: Selector | None = None


class Claim(Shape):
    metadata: Meta
    spec: ClaimSpec | None = None
    status: Phase | None = None


class TopologyLabel(Shape):
    key: Text = None
    values: Texts = None


class Topology(Shape):
    match_label_expressions: list[TopologyLabel] | None = None


class StorageClass(Shape):
    metadata: Meta
    provisioner: Text = None
    volume_binding_mode: Text = None
    allowed_topologies: list[Topology] | None = None


class Allocatable(Shape):
    count: Int32 = None


class NodeDriver(Shape):
    name: Text = None
    allocatable: Allocatable | None = None


class CsiNodeSpec(Shape):
    drivers: list[NodeDriver] | None = None


class CsiNode(Shape):
    metadata: Meta
    spec: CsiNodeSpec | None = None


class DriverSpec(Shape):
    storage_capacity: bool | None = None


class CsiDriver(Shape):
    metadata: Meta
    spec: DriverSpec | None = None


class Capacity(Shape):
    metadata: Meta
    storage_class_name: Text = None
    capacity: Size = None
    maximum_volume_size: Size = None
    node_topology: Selector | None = None


class Attached(Shape):
    persistent_volume_name: Text = None


class AttachmentSpec(Shape):
    node_name: Text = None
    attacher: Text = None
    source: Attached | None = None


class Attachment(Shape):
    metadata: Meta
    spec: AttachmentSpec | None = None


class Namespace(Shape):
    metadata: Meta
