"""JSON types of the fields of pods and nodes that scheduling reads.

One class for each type of the Kubernetes API, with its name and the suffix ``Json``; only the fields that we read.
``validation`` checks objects against them. Types only, no values: a quantity is a text or a number here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Text = str | None
Texts = list[str] | None
Pairs = dict[str, str] | None
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None
Amounts = dict[str, str | int | float] | None


class JsonObject(msgspec.Struct, rename="camel", omit_defaults=True):
    """An object whose JSON field names are the names below in camel case."""


class OwnerReferenceJson(JsonObject):
    api_version: Text = None
    kind: Text = None
    name: Text = None
    uid: Text = None
    controller: bool | None = None


class ObjectMetaJson(JsonObject):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    uid: Text = None
    namespace: Text = None
    resource_version: Text = None
    labels: Pairs = None
    annotations: Pairs = None
    creation_timestamp: Text = None
    deletion_timestamp: Text = None
    owner_references: list[OwnerReferenceJson] | None = None


class RequirementJson(JsonObject):
    key: str = ""
    operator: str = ""
    values: Texts = None


class LabelSelectorJson(JsonObject):
    match_labels: Pairs = None
    match_expressions: list[RequirementJson] | None = None


class NodeSelectorTermJson(JsonObject):
    match_expressions: list[RequirementJson] | None = None
    match_fields: list[RequirementJson] | None = None


class NodeSelectorJson(JsonObject):
    node_selector_terms: list[NodeSelectorTermJson] | None = None


class PreferredSchedulingTermJson(JsonObject):
    weight: Int32 = None
    preference: NodeSelectorTermJson | None = None


class PodAffinityTermJson(JsonObject):
    topology_key: Text = None
    label_selector: LabelSelectorJson | None = None
    namespaces: Texts = None
    namespace_selector: LabelSelectorJson | None = None


class WeightedPodAffinityTermJson(JsonObject):
    weight: Int32 = None
    pod_affinity_term: PodAffinityTermJson | None = None


class NodeAffinityJson(msgspec.Struct, omit_defaults=True):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelectorJson | None = None  # noqa: N815
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredSchedulingTermJson] | None = None  # noqa: N815


class PodAffinityJson(msgspec.Struct, omit_defaults=True):
    requiredDuringSchedulingIgnoredDuringExecution: list[PodAffinityTermJson] | None = None  # noqa: N815
    preferredDuringSchedulingIgnoredDuringExecution: list[WeightedPodAffinityTermJson] | None = None  # noqa: N815


class AffinityJson(JsonObject):
    node_affinity: NodeAffinityJson | None = None
    pod_affinity: PodAffinityJson | None = None
    pod_anti_affinity: PodAffinityJson | None = None


class TopologySpreadConstraintJson(JsonObject):
    topology_key: Text = None
    when_unsatisfiable: Text = None
    max_skew: Int32 = None
    min_domains: Int32 = None
    label_selector: LabelSelectorJson | None = None
    match_label_keys: Texts = None
    node_affinity_policy: Text = None
    node_taints_policy: Text = None


class TolerationJson(JsonObject):
    key: Text = None
    operator: Text = None
    value: Text = None
    effect: Text = None


class ResourceRequirementsJson(JsonObject):
    requests: Amounts = None
    limits: Amounts = None


class ContainerPortJson(JsonObject):
    host_ip: Text = msgspec.field(name="hostIP", default=None)
    protocol: Text = None
    host_port: Int32 = None


class ContainerRestartRuleJson(JsonObject):
    action: Text = None


class ContainerJson(JsonObject):
    name: Text = None
    image: Text = None
    restart_policy: Text = None
    restart_policy_rules: list[ContainerRestartRuleJson] | None = None
    ports: list[ContainerPortJson] | None = None
    resources: ResourceRequirementsJson | None = None


class ClaimVolumeSourceJson(JsonObject):
    claim_name: Text = None


class DiskJson(JsonObject):
    """A disk of a volume source, with the fields of all kinds of disks that we read."""

    kind: Text = None
    pool: Text = None
    monitors: Texts = None


class PodSpecJson(JsonObject):
    scheduler_name: Text = None
    node_name: Text = None
    preemption_policy: Text = None
    priority: Int32 = None
    scheduling_gates: list[Any] | None = None
    node_selector: Pairs = None
    affinity: AffinityJson | None = None
    topology_spread_constraints: list[TopologySpreadConstraintJson] | None = None
    tolerations: list[TolerationJson] | None = None
    containers: list[ContainerJson] | None = None
    init_containers: list[ContainerJson] | None = None
    overhead: Amounts = None
    resources: ResourceRequirementsJson | None = None
    volumes: list[dict[str, Any]] | None = None
    host_network: bool | None = None
    host_users: bool | None = None


class ContainerStateRunningJson(JsonObject):
    started_at: Text = None


class ContainerStateTerminatedJson(JsonObject):
    finished_at: Text = None


class ContainerStateJson(JsonObject):
    running: ContainerStateRunningJson | None = None
    terminated: ContainerStateTerminatedJson | None = None


class ContainerStatusJson(JsonObject):
    name: Text = None
    resources: ResourceRequirementsJson | None = None
    allocated_resources: Amounts = None
    state: ContainerStateJson | None = None


class ConditionJson(JsonObject):
    type: Text = None
    status: Text = None
    reason: Text = None
    message: Text = None
    last_transition_time: Text = None


class PodStatusJson(JsonObject):
    phase: Text = None
    start_time: Text = None
    nominated_node_name: Text = None
    conditions: list[ConditionJson] | None = None
    container_statuses: list[ContainerStatusJson] | None = None
    init_container_statuses: list[ContainerStatusJson] | None = None
    resources: ResourceRequirementsJson | None = None
    allocated_resources: Amounts = None


class PodJson(JsonObject):
    metadata: ObjectMetaJson
    spec: PodSpecJson | None = None
    status: PodStatusJson | None = None


class TaintJson(JsonObject):
    key: Text = None
    value: Text = None
    effect: Text = None


class AddressJson(JsonObject):
    type: str = ""
    address: str = ""


class NodeSpecJson(JsonObject):
    taints: list[TaintJson] | None = None
    unschedulable: bool | None = None
    provider_id: Text = msgspec.field(name="providerID", default=None)


class NodeStatusJson(JsonObject):
    allocatable: Amounts = None
    capacity: Amounts = None
    declared_features: Texts = None
    addresses: list[AddressJson] | None = None


class NodeJson(JsonObject):
    metadata: ObjectMetaJson
    spec: NodeSpecJson | None = None
    status: NodeStatusJson | None = None
