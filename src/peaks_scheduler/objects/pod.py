"""Pods and nodes, as much of them as placing needs, from API objects.

Owns the two records and their reading from JSON: placement constraints, host ports, times; ``requests`` reads what a
pod holds, ``honoured`` what is refused. Assumes JSON already decoded into dicts. Never keeps the dict: ten thousand
pods must fit in little memory, so shared parts are shared. A quantity that is none raises QuantityError with the
pod's name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from peaks_scheduler.errors import QuantityError

from .annotations import DECISION, FREE, AnnotationRules, own_tolerance
from .ceilings import Ceiling, annotated
from .memo import memoized
from .meta import identity, parse_time
from .node import NO_FEATURES
from .pod_volumes import PodVolume, pod_volumes
from .requests import CpuFrom, Json, Requests, is_sidecar, pod_cpu, pod_requests
from .selectors import (
    AffinityTerm,
    NodeRequirement,
    NodeSelectorTerm,
    SpreadConstraint,
    Toleration,
    affinity_term_from,
    node_selector_term_from,
    spread_constraint_from,
    toleration_from,
)
from .supported_fields import unsupported_fields

LONGEST_NAME = 1024  # [characters] of a group of siblings

FINISHED = frozenset({"Succeeded", "Failed"})

RESTART_ALL = "RestartAllContainersOnContainerExits"
USER_NAMESPACES = "UserNamespacesHostNetworkSupport"


@dataclass(frozen=True, slots=True)
class HostPort:
    ip: str
    """``0.0.0.0`` is every address; ``::`` is not (as in kube-scheduler)."""
    protocol: str
    port: int

    def conflicts(self, ip: str) -> bool:
        """Does it collide with a port of the same number and protocol on ``ip``?"""
        return self.ip == ip or "0.0.0.0" in (self.ip, ip)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a pod would rather have, and can do without."""

    nodes: tuple[tuple[int, NodeSelectorTerm], ...] = ()
    """(weight, term): nodes it likes."""
    pods: tuple[tuple[int, AffinityTerm], ...] = ()
    """(weight, term): pods it likes to be near; a negative weight: pods it likes to be away from."""
    spread: tuple[SpreadConstraint, ...] = ()
    """``ScheduleAnyway``."""


NO_PREFERENCES = Preferences()

SIBLINGS: CpuFrom = "siblings"


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """A pod as the core sees it. Times are seconds since the epoch on our clock."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    scheduler_name: str
    node_name: str
    """Empty until it is bound."""
    phase: str
    priority: int
    created: float
    """On the API server's clock: only compared with others'."""
    started: float | None
    """When its first container began to run; None before."""
    finished: float | None
    """When its last container ended; None while one runs or where that is not known."""
    deleting: bool
    gated: bool
    requests: Requests
    cpu: int
    """[mCPU] what it is taken to use: what its siblings do where that is known, else ``stated_cpu``."""
    where: NodeRequirement
    tolerations: tuple[Toleration, ...]
    ports: tuple[HostPort, ...]
    affinity: tuple[AffinityTerm, ...]
    """Pods that must be in its domain, one that matches all terms being enough."""
    anti_affinity: tuple[AffinityTerm, ...]
    """Pods that must not be."""
    spread: tuple[SpreadConstraint, ...]
    """``DoNotSchedule``."""
    preferences: Preferences
    volumes: tuple[PodVolume, ...]
    """Those that constrain where it may run."""
    features: frozenset[str]
    """What its node must declare to be able to."""
    nominated: str
    """The node that another scheduler keeps room for it on; empty: none."""
    unsupported: tuple[str, ...]
    """Paths of fields that constrain placement and are not honoured by this version."""
    decided_at: float | None
    """When it was bound, if one of our decisions is recorded on it (or ours leave no record)."""
    tolerance: float | None = None
    """[W] jumps that differ by no more count as tied for it; None: the configured tolerance."""
    ceiling: Ceiling | None = None
    """How full it lets a node become; None: as the node or the configuration says."""
    oddities: tuple[str, ...] = ()
    """What of it could not be read and is not used, in words."""
    preempts: bool = True
    """May lower pods have to go for it?"""
    cpu_from: CpuFrom = "request"
    """What ``cpu`` is known from."""
    stated_cpu: int = 0
    """[mCPU] request, else limit, else the configured default."""
    stated_from: CpuFrom = "request"
    siblings: str = ""
    """Alike in all pods that one owner made from the same images; empty: it has no owner."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def memory(self) -> int:
        """[bytes] requested."""
        return next((amount for name, amount in self.requests if name == "memory"), 0)

    def using(self, cpu: int | None) -> Pod:
        """The pod, taken to use ``cpu`` [mCPU] as its siblings do; None: what it states."""
        amount, known_from = (self.stated_cpu, self.stated_from) if cpu is None else (cpu, SIBLINGS)
        if (amount, known_from) == (self.cpu, self.cpu_from):
            return self
        return replace(self, cpu=amount, cpu_from=known_from)


# --- time -----------------------------------------------------------------------------------------------------------


# --- placement ------------------------------------------------------------------------------------------------------

_NOWHERE = NodeRequirement()


@memoized()
def _shared_requirement(requirement: NodeRequirement) -> NodeRequirement:
    return requirement


def _node_requirement(spec: Json) -> NodeRequirement:
    selector = spec.get("nodeSelector")
    required = (((spec.get("affinity") or {}).get("nodeAffinity")) or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not selector and required is None:
        return _NOWHERE
    terms = None
    if required is not None:
        terms = tuple(node_selector_term_from(term) for term in required.get("nodeSelectorTerms") or ())
    return _shared_requirement(NodeRequirement(tuple(sorted((selector or {}).items())), terms))


@memoized()
def _shared_tolerations(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    return tolerations


def _tolerations(spec: Json) -> tuple[Toleration, ...]:
    raw = spec.get("tolerations")
    return _shared_tolerations(tuple(toleration_from(t) for t in raw)) if raw else ()


def _host_ports(spec: Json) -> tuple[HostPort, ...]:
    """Host ports of containers and sidecars; plain init containers' do not count."""
    sidecars = [c for c in spec.get("initContainers") or () if is_sidecar(c)]
    return tuple(
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _terms(spec: Json, kind: str, namespace: str) -> tuple[AffinityTerm, ...]:
    terms = ((spec.get("affinity") or {}).get(kind) or {}).get(_REQUIRED)
    return tuple(affinity_term_from(term, namespace) for term in terms) if terms else ()


def _spread(spec: Json, labels: Mapping[str, str], how: str) -> tuple[SpreadConstraint, ...]:
    return tuple(
        spread_constraint_from(raw, labels)
        for raw in spec.get("topologySpreadConstraints") or ()
        if (raw.get("whenUnsatisfiable") or "DoNotSchedule") == how
    )


def _preferences(spec: Json, namespace: str, labels: Mapping[str, str]) -> Preferences:
    affinity = spec.get("affinity") or {}
    nodes = tuple(
        (each.get("weight") or 0, node_selector_term_from(each.get("preference") or {}))
        for each in (affinity.get("nodeAffinity") or {}).get(_PREFERRED) or ()
    )
    pods = tuple(
        (sign * (each.get("weight") or 0), affinity_term_from(each.get("podAffinityTerm") or {}, namespace))
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for each in (affinity.get(kind) or {}).get(_PREFERRED) or ()
    )
    spread = _spread(spec, labels, "ScheduleAnyway")
    return Preferences(nodes, pods, spread) if nodes or pods or spread else NO_PREFERENCES


def _needed_features(spec: Json) -> frozenset[str]:
    """Kubernetes' component-helpers/nodedeclaredfeatures: those that are inferred for scheduling."""
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    rules = (rule for c in containers if "restartPolicyRules" in c for rule in c["restartPolicyRules"] or ())
    needed = [RESTART_ALL] if any(rule.get("action") == "RestartAllContainers" for rule in rules) else []
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        needed.append(USER_NAMESPACES)
    return frozenset(needed) if needed else NO_FEATURES


# --- siblings -------------------------------------------------------------------------------------------------------

TEMPLATE_HASH = "pod-template-hash"
"""Label by which a Deployment tells the pods of its ReplicaSets apart."""


def _siblings(spec: Json, meta: Json, namespace: str) -> str:
    """Owner and images in one text, kept once for all pods that share it.

    A ReplicaSet that a Deployment made is called ``<deployment>-<hash>``, with the hash in a label of its pods; the
    Deployment counts in its place, so that a rollout of the same images keeps what is known.
    """
    owner = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return ""
    kind, name = owner.get("kind") or "", owner.get("name") or ""
    suffix = f"-{(meta.get('labels') or {}).get(TEMPLATE_HASH)}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        kind, name = "Deployment", name.removesuffix(suffix)
    sidecars = (each for each in spec.get("initContainers") or () if is_sidecar(each))
    images = (each.get("image") or "" for each in (*(spec.get("containers") or ()), *sidecars))
    group = (owner.get("apiVersion") or "").rpartition("/")[0]
    return sys.intern(_short(f"{namespace}/{kind}.{group}/{name} {' '.join(images)}"))


def _short(name: str) -> str:
    """The name, or what stands for it: names of images may be of any length, and are kept after their pods."""
    return name if len(name) <= LONGEST_NAME else hashlib.blake2b(name.encode(errors="replace")).hexdigest()


# --- building -------------------------------------------------------------------------------------------------------


def _started(status: Json) -> float | None:
    begins = (
        parse_time(((c.get("state") or {}).get("running") or {}).get("startedAt"))
        for c in status.get("containerStatuses") or ()
    )
    known = [t for t in begins if t is not None]
    if known:
        return min(known)
    return parse_time(status.get("startTime")) if status.get("phase") == "Running" else None


def _decided_at(meta: Json, spec: Json, status: Json, clock_offset: float, rules: AnnotationRules) -> float | None:
    recorded = DECISION in (meta.get("annotations") or ())
    if not recorded and not (rules.unrecorded and spec.get("schedulerName") == rules.unrecorded):
        return None
    scheduled = (
        c for c in status.get("conditions") or () if c.get("type") == "PodScheduled" and c.get("status") == "True"
    )
    return _on_our_clock(next((parse_time(c.get("lastTransitionTime")) for c in scheduled), None), clock_offset)


def _on_our_clock(time: float | None, clock_offset: float) -> float | None:
    return None if time is None else time - clock_offset


def _finished(status: Json) -> float | None:
    if status.get("phase") not in FINISHED:
        return None
    ends = (
        parse_time(((c.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for c in status.get("containerStatuses") or ()
    )
    return max((t for t in ends if t is not None), default=None)


def pod_from_api(
    raw: Json,
    default_cpu: int,
    clock_offset: float = 0.0,
    ignored: frozenset[str] = frozenset(),
    rules: AnnotationRules = FREE,
) -> Pod:
    """A pod from its API object. ``default_cpu`` [mCPU] is what one with neither request nor limit is taken to use,
    ``clock_offset`` [s] how far the API server's clock is ahead of ours: times come out on ours. ``ignored``: paths of
    unknown fields that do not make it unsupported. ``rules``: how its annotations are read.

    Raises ObjectError without a name, QuantityError for a request that is no quantity.
    """
    meta = identity(raw, "pod")
    spec: Json = raw.get("spec") or {}
    status: Json = raw.get("status") or {}
    tolerance, oddities = own_tolerance(meta.get("annotations"), rules.max_tolerance)
    ceiling, odd_ceiling = annotated(meta.get("annotations"), rules.max_ceiling)
    namespace = meta.get("namespace") or "default"
    labels = meta.get("labels") or {}
    try:
        requests = pod_requests(spec, status)
        cpu, cpu_from = pod_cpu(spec, requests, default_cpu)
    except QuantityError as error:
        raise QuantityError(f"pod {namespace}/{meta['name']}: {error}") from error
    return Pod(
        uid=meta.get("uid") or f"{namespace}/{meta['name']}",
        namespace=namespace,
        name=meta["name"],
        labels=labels,
        scheduler_name=spec.get("schedulerName") or "default-scheduler",
        node_name=spec.get("nodeName") or "",
        phase=status.get("phase") or "Pending",
        priority=spec.get("priority") or 0,
        created=parse_time(meta.get("creationTimestamp")) or 0.0,
        started=_on_our_clock(_started(status), clock_offset),
        finished=_on_our_clock(_finished(status), clock_offset),
        deleting="deletionTimestamp" in meta,
        gated=bool(spec.get("schedulingGates")),
        requests=requests,
        cpu=cpu,
        where=_node_requirement(spec),
        tolerations=_tolerations(spec),
        ports=_host_ports(spec),
        affinity=_terms(spec, "podAffinity", namespace),
        anti_affinity=_terms(spec, "podAntiAffinity", namespace),
        spread=_spread(spec, labels, "DoNotSchedule"),
        preferences=_preferences(spec, namespace, labels),
        volumes=pod_volumes(spec, meta["name"]),
        features=_needed_features(spec),
        nominated=status.get("nominatedNodeName") or "",
        unsupported=unsupported_fields(spec, ignored),
        decided_at=_decided_at(meta, spec, status, clock_offset, rules),
        tolerance=tolerance,
        ceiling=ceiling,
        oddities=(*oddities, *odd_ceiling),
        preempts=spec.get("preemptionPolicy") != "Never",
        cpu_from=cpu_from,
        stated_cpu=cpu,
        stated_from=cpu_from,
        siblings=_siblings(spec, meta, namespace),
    )


def placed_part(pod: Pod) -> Pod:
    """What of a pod counts once it is on a node; what decided where it may go is not kept."""
    wishes = Preferences(pods=pod.preferences.pods) if pod.preferences.pods else NO_PREFERENCES
    light = not (pod.where or pod.spread or pod.unsupported or pod.preferences.nodes or pod.preferences.spread)
    if light and len(pod.tolerations) <= _USUAL_TOLERATIONS:
        return pod
    return replace(pod, where=_NOWHERE, spread=(), unsupported=(), preferences=wishes, tolerations=())


def waiting_part(pod: Pod) -> Pod:
    """What of a pod counts that another scheduler is to place, while it does not say where."""
    return replace(
        pod,
        requests=(),
        where=_NOWHERE,
        tolerations=(),
        ports=(),
        affinity=(),
        anti_affinity=(),
        spread=(),
        preferences=NO_PREFERENCES,
        volumes=(),
        unsupported=pod.unsupported[:_FIELDS_KEPT],
    )


_USUAL_TOLERATIONS = 8  # those that admission adds are shared by all pods, and not worth a copy
_FIELDS_KEPT = 64  # unsupported fields of a pod that waits for another scheduler: they are counted, not judged
