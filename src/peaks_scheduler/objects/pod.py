"""Pods, as much of them as a decision needs, from API objects.

Owns the record ``Pod`` and its reading from JSON; ``constraints`` reads placement constraints, ``requests`` resources,
``siblings`` the group of equal pods, ``supported_fields`` what is refused. Assumes JSON already decoded into dicts.
Never keeps the dict: ten thousand pods must fit in little memory, and equal parts of pods are one object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peaks_scheduler.errors import QuantityError

from .affinity import AffinityTerm, SpreadConstraint
from .annotations import DECISION, FREE, AnnotationRules, expected_life, own_tolerance, spread_rate
from .ceilings import Ceiling, annotated
from .constraints import (
    ANYWHERE,
    NO_PREFERENCES,
    HostPort,
    Preferences,
    host_ports,
    needed_features,
    node_requirement,
    preferences,
    preferred_neighbours,
    required_terms,
    spread_constraints,
    tolerations,
)
from .labels import labels_of, one_text
from .meta import identity, parse_time
from .pod_volumes import PodVolume, pod_volumes
from .requests import NOTHING_UNASKED, CpuFrom, Json, Requests, Unasked, pod_cpu, pod_requests, unasked
from .selectors import NodeRequirement, Toleration
from .siblings import siblings_of
from .supported_fields import unsupported_fields

FINISHED = frozenset({"Succeeded", "Failed"})


SIBLINGS: CpuFrom = "siblings"

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, **options: Any) -> Any:
        """``dataclass``, frozen for the type checker alone: a frozen class sets each of its fields by a call, and that
        takes a tenth of the time of a pod that comes."""
        return dataclass(**options)


@record(frozen=True, slots=True, eq=False)
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
    """On the API server's clock: compared with that of other pods only."""
    started: float | None
    """When its first container began to run; None before."""
    finished: float | None
    """When its last container ended; None while one runs, or if it is not known."""
    deleting: bool
    gated: bool
    requests: Requests
    cpu: int
    """[mCPU] expected use: that of its siblings if known, else ``stated_cpu``."""
    where: NodeRequirement
    tolerations: tuple[Toleration, ...]
    ports: tuple[HostPort, ...]
    affinity: tuple[AffinityTerm, ...]
    """Required pod affinity: a pod that matches all terms must be in the same domain."""
    anti_affinity: tuple[AffinityTerm, ...]
    """Required pod anti-affinity: no pod that matches a term may be in the same domain."""
    spread: tuple[SpreadConstraint, ...]
    """``DoNotSchedule``."""
    preferences: Preferences
    volumes: tuple[PodVolume, ...]
    """Volumes that constrain where it can run."""
    features: frozenset[str]
    """Features that its node must declare."""
    nominated: str
    """``status.nominatedNodeName``; empty: none."""
    unsupported: tuple[str, ...]
    """Paths of fields that constrain placement and that this version does not support."""
    decided_at: float | None
    """When it was bound, if our decision is recorded on it, or if our pods carry no records."""
    tolerance: float | None = None
    """[W] jumps that differ by no more are tied; None: the configured tolerance."""
    ceiling: Ceiling | None = None
    """Its own ceiling; None: that of the node or of the configuration."""
    oddities: tuple[str, ...] = ()
    """Annotations that could not be read, in words."""
    preempts: bool = True
    """May it preempt pods of lower priority?"""
    cpu_from: CpuFrom = "request"
    """Where ``cpu`` comes from."""
    stated_cpu: int = 0
    """[mCPU] request, else limit, else the configured default."""
    stated_from: CpuFrom = "request"
    siblings: str = ""
    """Name of its group of siblings; empty: it has no owner."""
    unasked: Unasked = NOTHING_UNASKED
    """[mCPU], [bytes] that kube-scheduler's scores count beside ``requests``, for containers that request none."""
    expected_life: float | None = None
    """[s] how long it will run, as its annotation says; None: not known."""
    spread_rate: float = 0.0
    """0..1, how much it wants to be apart from its owner's other pods, as WAO's annotation says."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def memory(self) -> int:
        """[bytes] requested."""
        for name, amount in self.requests:  # asked for so often that a generator's cost would count
            if name == "memory":
                return amount
        return 0

    def using(self, cpu: int | None) -> Pod:
        """The pod with an expected use of ``cpu`` [mCPU], as of its siblings; None: as its spec states."""
        amount, known_from = (self.stated_cpu, self.stated_from) if cpu is None else (cpu, SIBLINGS)
        if (amount, known_from) == (self.cpu, self.cpu_from):
            return self
        return replace(self, cpu=amount, cpu_from=known_from)


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
    *,
    placed_alone: bool = False,
) -> Pod:
    """A pod from its API object.

    ``default_cpu`` [mCPU] is the expected use of a pod with neither request nor limit, ``clock_offset`` [s] the API
    server's clock minus ours; the pod's times are on our clock. ``ignored``: paths of unknown fields that do not make
    it unsupported. ``rules``: how its annotations are read. ``placed_alone``: of a pod on a node, read only what
    ``placed_part`` keeps.

    Raises ObjectError if it has no name, QuantityError, with the pod's name, for an invalid quantity.
    """
    meta = identity(raw, "pod")
    spec: Json = raw.get("spec") or {}
    status: Json = raw.get("status") or {}
    tolerance, oddities = own_tolerance(meta.get("annotations"), rules.max_tolerance)
    ceiling, odd_ceiling = annotated(meta.get("annotations"), rules.max_ceiling)
    life, odd_life = expected_life(meta.get("annotations"))
    namespace = meta.get("namespace") or "default"
    labels = labels_of(meta.get("labels"))
    siblings = siblings_of(spec, meta, namespace)
    rate, odd_rate = spread_rate(meta.get("annotations"), bool(siblings))
    placing = not (placed_alone and spec.get("nodeName"))
    try:
        requests = pod_requests(spec, status)
        cpu, cpu_from = pod_cpu(spec, requests, default_cpu)
    except QuantityError as error:
        raise QuantityError(f"pod {namespace}/{meta['name']}: {error}") from error
    return Pod(
        uid=meta.get("uid") or f"{namespace}/{meta['name']}",
        namespace=one_text(namespace),
        name=meta["name"],
        labels=labels,
        scheduler_name=one_text(spec.get("schedulerName") or "default-scheduler"),
        node_name=one_text(spec.get("nodeName") or ""),
        phase=one_text(status.get("phase") or "Pending"),
        priority=spec.get("priority") or 0,
        created=parse_time(meta.get("creationTimestamp")) or 0.0,
        started=_on_our_clock(_started(status), clock_offset),
        finished=_on_our_clock(_finished(status), clock_offset),
        deleting="deletionTimestamp" in meta,
        gated=bool(spec.get("schedulingGates")),
        requests=requests,
        cpu=cpu,
        where=node_requirement(spec) if placing else ANYWHERE,
        tolerations=tolerations(spec) if placing else (),
        ports=host_ports(spec),
        affinity=required_terms(spec, "podAffinity", namespace),
        anti_affinity=required_terms(spec, "podAntiAffinity", namespace),
        spread=spread_constraints(spec, labels, "DoNotSchedule") if placing else (),
        preferences=preferences(spec, namespace, labels) if placing else preferred_neighbours(spec, namespace),
        volumes=pod_volumes(spec, meta["name"]),
        features=needed_features(spec),
        nominated=status.get("nominatedNodeName") or "",
        unsupported=unsupported_fields(spec, ignored) if placing else (),
        decided_at=_decided_at(meta, spec, status, clock_offset, rules),
        tolerance=tolerance,
        ceiling=ceiling,
        oddities=(*oddities, *odd_ceiling, *odd_life, *odd_rate),
        preempts=spec.get("preemptionPolicy") != "Never",
        cpu_from=cpu_from,
        stated_cpu=cpu,
        stated_from=cpu_from,
        siblings=siblings,
        unasked=unasked(spec, status, requests),
        expected_life=life,
        spread_rate=rate,
    )


def placed_part(pod: Pod) -> Pod:
    """The part of a pod that counts once it is on a node: without what only decided where it can go."""
    wishes = Preferences(pods=pod.preferences.pods) if pod.preferences.pods else NO_PREFERENCES
    light = not (pod.where or pod.spread or pod.unsupported or pod.preferences.nodes or pod.preferences.spread)
    if light and len(pod.tolerations) <= _USUAL_TOLERATIONS:
        return pod
    return replace(pod, where=ANYWHERE, spread=(), unsupported=(), preferences=wishes, tolerations=())


def waiting_part(pod: Pod) -> Pod:
    """The part that counts of a pod that another scheduler will place, and has not nominated."""
    return replace(
        pod,
        requests=(),
        where=ANYWHERE,
        tolerations=(),
        ports=(),
        affinity=(),
        anti_affinity=(),
        spread=(),
        preferences=NO_PREFERENCES,
        volumes=(),
        unsupported=(),
    )


_USUAL_TOLERATIONS = 8  # the tolerations that admission adds are one object for all pods: a copy would save nothing
