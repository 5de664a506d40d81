"""The JSON types of every field of pods and nodes that placing reads, as the API server promises them.

Owns the shapes alone; ``shapes`` holds objects against them. Names are Kubernetes' own. Never judges values: a quantity
is a text or a number here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Text = str | None
Texts = list[str] | None
Pairs = dict[str, str] | None
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None
Amounts = dict[str, str | int | float] | None


class Shape(msgspec.Struct, rename="camel"):
    """Fields of the names that Kubernetes gives them."""


class Owner(Shape):
    api_version: Text = None
    kind: Text = None
    name: Text = None
    uid: Text = None
    controller: bool | None = None


class Meta(Shape):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    uid: Text = None
    namespace: Text = None
    resource_version: Text = None
    labels: Pairs = None
    annotations: Pairs = None
    creation_timestamp: Text = None
    deletion_timestamp: Text = None
    owner_references: list[Owner] | None = None


class Requirement(Shape):
    key: str = ""
    operator: str = ""
    values: Texts = None


class Selector(Shape):
    match_labels: Pairs = None
    match_expressions: list[Requirement] | None = None


class NodeTerm(Shape):
    match_expressions: list[Requirement] | None = None
    match_fields: list[Requirement] | None = None


class NodeTerms(Shape):
    node_selector_terms: list[NodeTerm] | None = None


class LikedNodes(Shape):
    weight: Int32 = None
    preference: NodeTerm | None = None


class PodTerm(Shape):
    topology_key: Text = None
    label_selector: Selector | None = None
    namespaces: Texts = None
    namespace_selector: Selector | None = None


class LikedPods(Shape):
    weight: Int32 = None
    pod_affinity_term: PodTerm | None = None


class NodeAffinity(msgspec.Struct):
    requiredDuringSchedulingIgnoredDuringExecution: NodeTerms | None = None  # noqa: N815
    preferredDuringSchedulingIgnoredDuringExecution: list[LikedNodes] | None = None  # noqa: N815


class PodAffinity(msgspec.Struct):
    requiredDuringSchedulingIgnoredDuringExecution: list[PodTerm] | None = None  # noqa: N815
    preferredDuringSchedulingIgnoredDuringExecution: list[LikedPods] | None = None  # noqa: N815


class Affinity(Shape):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Spread(Shape):
    topology_key: Text = None
    when_unsatisfiable: Text = None
    max_skew: Int32 = None
    min_domains: Int32 = None
    label_selector: Selector | None = None
    match_label_keys: Texts = None
    node_affinity_policy: Text = None
    node_taints_policy: Text = None


class Toleration(Shape):
    key: Text = None
    operator: Text = None
    value: Text = None
    effect: Text = None


class Resources(Shape):
    requests: Amounts = None
    limits: Amounts = None


class Port(Shape):
    host_ip: Text = msgspec.field(name="hostIP", default=None)
    protocol: Text = None
    host_port: Int32 = None


class Rule(Shape):
    action: Text = None


class Container(Shape):
    name: Text = None
    image: Text = None
    restart_policy: Text = None
    restart_policy_rules: list[Rule] | None = None
    ports: list[Port] | None = None
    resources: Resources | None = None


class ClaimSource(Shape):
    claim_name: Text = None


class Disk(Shape):
    """Of whichever kind."""

    kind: Text = None
    pool: Text = None
    monitors: Texts = None


class PodSpec(Shape):
    scheduler_name: Text = None
    node_name: Text = None
    preemption_policy: Text = None
    priority: Int32 = None
    scheduling_gates: list[Any] | None = None
    node_selector: Pairs = None
    affinity: Affinity | None = None
    topology_spread_constraints: list[Spread] | None = None
    tolerations: list[Toleration] | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Amounts = None
    resources: Resources | None = None
    volumes: list[dict[str, Any]] | None = None


class Running(Shape):
    started_at: Text = None


class Terminated(Shape):
    finished_at: Text = None


class State(Shape):
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Shape):
    name: Text = None
    resources: Resources | None = None
    allocated_resources: Amounts = None
    state: State | None = None


class Condition(Shape):
    type: Text = None
    status: Text = None
    reason: Text = None
    message: Text = None
    last_transition_time: Text = None


class PodStatus(Shape):
    phase: Text = None
    start_time: Text = None
    nominated_node_name: Text = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    resources: Resources | None = None
    allocated_resources: Amounts = None


class Pod(Shape):
    metadata: Meta
    spec: PodSpec | None = None
    status: PodStatus | None = None


class Taint(Shape):
    key: Text = None
    value: Text = None
    effect: Text = None


class Address(Shape):
    type: str = ""
    address: str = ""


class NodeSpec(Shape):
    taints: list[Taint] | None = None
    unschedulable: bool | None = None
    provider_id: Text = msgspec.field(name="providerID", default=None)


class NodeStatus(Shape):
    allocatable: Amounts = None
    capacity: Amounts = None
    declared_features: Texts = None
    addresses: list[Address] | None = None


class Node(Shape):
    metadata: Meta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None
