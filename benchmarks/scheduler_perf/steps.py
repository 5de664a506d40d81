"""The steps of a case as frozen dataclasses: what scheduler_perf's opcodes ask for, with every default in place.

Times are in seconds, paths absolute. ``operations`` makes them, ``run`` does them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class CreateNodes:
    """Nodes of a template, or of scheduler_perf's own kind (4 cores, 32 GiB, 110 pods)."""

    count: int
    template: Path | None = None
    label_key: str = ""
    label_values: tuple[str, ...] = ()
    """Given to the nodes in turn."""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    """Added to what the nodes can give."""
    csi_drivers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Driver -> its ``allocatable`` in a CSINode; none: no CSINode."""
    migrated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateNamespaces:
    """Namespaces ``PREFIX-0`` and on."""

    count: int
    prefix: str
    template: Path | None = None


@dataclass(frozen=True, slots=True)
class CreatePods:
    """Pods in one namespace; the step ends when all are bound, unless it is told not to wait."""

    count: int
    namespace: str = ""
    """Empty: ``namespace-N`` with the number of the step."""
    template: Path | None = None
    collect: bool = False
    wait: bool = True
    volume: Path | None = None
    claim: Path | None = None
    steady: bool = False
    """Pods are deleted when all are bound, and created again, for ``seconds``."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CreatePodSets:
    """The same pods in each of ``PREFIX-0`` and on; ``unrolled`` makes plain steps of it."""

    count: int
    prefix: str
    pods: CreatePods


@dataclass(frozen=True, slots=True)
class CreateAny:
    template: Path
    count: int = 1
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class UpdateAny:
    """Objects replaced by what a template says, and their status too."""

    template: Path
    count: int = 1
    namespace: str = ""
    per_second: int = 0
    """0: without pause."""
    subresources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletePods:
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    wait: bool = True
    per_second: int = 0
    """0: all at once."""


@dataclass(frozen=True, slots=True)
class Churn:
    """Objects that come (``create``) or come and go (``recreate``) until the case ends."""

    mode: str
    templates: tuple[Path, ...]
    number: int = 0
    """Cycles at most (0: no limit), or how many cycles create before the next ones delete."""
    seconds: float = 0.5
    """Between two cycles."""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait for the pods that earlier steps did not wait for."""

    namespaces: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    attempted: bool = False
    """A first attempt is enough."""


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class StartCollecting:
    namespaces: tuple[str, ...]
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopCollecting:
    pass


Step = (
    CreateNodes
    | CreateNamespaces
    | CreatePods
    | CreatePodSets
    | CreateAny
    | UpdateAny
    | DeletePods
    | Churn
    | Barrier
    | Sleep
    | StartCollecting
    | StopCollecting
)
