"""Placement constraints of a pod, read from its spec: nodes, tolerations, host ports, affinity, spread, features.

Equal requirements and tolerations of many pods are one object (``memo``). Assumes JSON decoded into dicts. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .affinity import AffinityTerm, SpreadConstraint, affinity_term_from, spread_constraint_from
from .memo import memoized
from .node import NO_FEATURES
from .requests import Json, is_sidecar
from .selectors import NodeRequirement, NodeSelectorTerm, Toleration, node_selector_term_from, toleration_from

RESTART_ALL = "RestartAllContainersOnContainerExits"
USER_NAMESPACES = "UserNamespacesHostNetworkSupport"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that a pod takes."""

    ip: str
    """``0.0.0.0`` is every address; ``::`` is not (as in kube-scheduler)."""
    protocol: str
    port: int

    def conflicts(self, ip: str) -> bool:
        """Does it collide with a port of the same number and protocol on ``ip``?"""
        return self.ip == ip or "0.0.0.0" in (self.ip, ip)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a pod prefers, but does not require."""

    nodes: tuple[tuple[int, NodeSelectorTerm], ...] = ()
    """(weight, term) of preferred nodes."""
    pods: tuple[tuple[int, AffinityTerm], ...] = ()
    """(weight, term) of pods to be near; a weight below zero: to be away from."""
    spread: tuple[SpreadConstraint, ...] = ()
    """``ScheduleAnyway``."""


NO_PREFERENCES = Preferences()

ANYWHERE = NodeRequirement()


@memoized()
def _shared_requirement(requirement: NodeRequirement) -> NodeRequirement:
    return requirement


def node_requirement(spec: Json) -> NodeRequirement:
    """Node selector and required node affinity of a pod."""
    selector = spec.get("nodeSelector")
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    if not selector and required is None:
        return ANYWHERE
    terms = None
    if required is not None:
        terms = tuple(node_selector_term_from(term) for term in required.get("nodeSelectorTerms") or ())
    return _shared_requirement(NodeRequirement(tuple(sorted((selector or {}).items())), terms))


@memoized()
def _shared_tolerations(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    return tolerations


def tolerations(spec: Json) -> tuple[Toleration, ...]:
    """Tolerations of a pod."""
    raw = spec.get("tolerations")
    return _shared_tolerations(tuple(toleration_from(t) for t in raw)) if raw else ()


def host_ports(spec: Json) -> tuple[HostPort, ...]:
    """Host ports of containers and sidecars; those of other init containers do not count."""
    sidecars = [c for c in spec.get("initContainers") or () if is_sidecar(c)]
    return tuple(
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def required_terms(spec: Json, kind: str, namespace: str) -> tuple[AffinityTerm, ...]:
    """Required terms of ``kind``, which is ``podAffinity`` or ``podAntiAffinity``."""
    terms = ((spec.get("affinity") or {}).get(kind) or {}).get(_REQUIRED)
    return tuple(affinity_term_from(term, namespace) for term in terms) if terms else ()


def spread_constraints(spec: Json, labels: Mapping[str, str], how: str) -> tuple[SpreadConstraint, ...]:
    """Topology spread constraints whose ``whenUnsatisfiable`` is ``how``."""
    return tuple(
        spread_constraint_from(raw, labels)
        for raw in spec.get("topologySpreadConstraints") or ()
        if (raw.get("whenUnsatisfiable") or "DoNotSchedule") == how
    )


def preferences(spec: Json, namespace: str, labels: Mapping[str, str]) -> Preferences:
    """Preferred affinity and ``ScheduleAnyway`` constraints of a pod."""
    affinity = spec.get("affinity") or {}
    nodes = tuple(
        (each.get("weight") or 0, node_selector_term_from(each.get("preference") or {}))
        for each in (affinity.get("nodeAffinity") or {}).get(_PREFERRED) or ()
    )
    pods = preferred_neighbours(spec, namespace).pods
    spread = spread_constraints(spec, labels, "ScheduleAnyway")
    return Preferences(nodes, pods, spread) if nodes or pods or spread else NO_PREFERENCES


def preferred_neighbours(spec: Json, namespace: str) -> Preferences:
    """Preferred pod affinity alone."""
    affinity = spec.get("affinity")
    if not affinity:
        return NO_PREFERENCES
    pods = tuple(
        (sign * (each.get("weight") or 0), affinity_term_from(each.get("podAffinityTerm") or {}, namespace))
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for each in (affinity.get(kind) or {}).get(_PREFERRED) or ()
    )
    return Preferences(pods=pods) if pods else NO_PREFERENCES


def needed_features(spec: Json) -> frozenset[str]:
    """Features that a node must declare: those that component-helpers/nodedeclaredfeatures infers for scheduling."""
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    rules = (rule for c in containers if "restartPolicyRules" in c for rule in c["restartPolicyRules"] or ())
    needed = [RESTART_ALL] if any(rule.get("action") == "RestartAllContainers" for rule in rules) else []
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        needed.append(USER_NAMESPACES)
    return frozenset(needed) if needed else NO_FEATURES
