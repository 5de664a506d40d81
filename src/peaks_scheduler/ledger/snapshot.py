"""All nodes at one instant, as arrays: what a decision is made from.

Owns the layout: index i is the same node in every array and every line says axis, unit and what NaN means. Assumes the
ledger keeps them; a Snapshot is a set of read-only views of the ledger's own arrays, valid until the ledger changes,
which costs nothing per decision. ``Columns`` is the growing store behind it. Never computes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Codes, Counts, Floats, Ints, Mask
from peaks_scheduler.ledger.storage.store import Storage
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import HostPort, Pod
from peaks_scheduler.objects.selectors import AffinityTerm, LabelSelector, NodeRequirement, NodeSelectorTerm, Taint
from peaks_scheduler.power.chord_savings import Savings
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.table import CurveTable

from .resources import NodeResources
from .signals import Signals


@dataclass(frozen=True, slots=True)
class Selection:
    """Pods by labels and namespace: those that every matcher matches."""

    matchers: tuple[tuple[LabelSelector, frozenset[str] | None], ...]
    """(labels, namespaces; None: all)"""
    leaving: bool = True
    """Pods that are being deleted count as well."""


class PlacedTerm(Protocol):
    """Where an affinity term of pods that are there is in force."""

    @property
    def topology_key(self) -> str: ...

    def counts(self) -> Iterable[tuple[int, int]]:
        """(node, how often) wherever it is."""


class NodeIndex(Protocol):
    """What the filters ask the ledger beyond arrays. Each answer is about the nodes of the same snapshot; masks are
    read-only."""

    @property
    def shape(self) -> int:
        """Changes when nodes come, go, change their labels or get other indices."""

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""

    def node(self, i: int) -> Node:
        """The node at index i."""

    def matching(self, where: NodeRequirement) -> Mask:
        """(N,) nodes that meet node selector and node affinity."""

    def carried(self, key: str) -> bool:
        """Has a node a label of this key?"""

    def meeting(self, term: NodeSelectorTerm) -> Mask | bool:
        """(N,) nodes that meet a term of node affinity; True: all of them, False: none."""

    def selecting(self, selector: LabelSelector) -> Mask:
        """(N,) nodes whose labels the selector selects."""

    def having(self, key: str) -> Mask:
        """(N,) nodes that have a label."""

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        """(N,) nodes whose label has one of the values."""

    def codes(self, key: str) -> tuple[Codes, int]:
        """(N,) a number for each node's value of a label, the same for the same value, 0 where it has none; and one
        more than the highest."""

    def taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        """The distinct sets of taints that keep pods away, each with the (N,) nodes that have it; the empty set left
        out."""

    def mild_taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        """Likewise of PreferNoSchedule taints."""

    def declaring(self, features: frozenset[str]) -> Mask:
        """(N,) nodes that declare all these features."""

    def holding_ports(self, ports: tuple[HostPort, ...]) -> Mask | None:
        """(N,) is one of these host ports taken? None: on no node."""

    @property
    def namespaces_known(self) -> bool:
        """Are the labels of namespaces read?"""

    def namespaces_of(self, term: AffinityTerm) -> frozenset[str] | None:
        """Names of the namespaces that a term of an incoming pod looks into; None: all."""

    def pods_selected(self, selection: Selection) -> Counts:
        """(N,) pods on each node that the selection selects."""

    def near(self, terms: tuple[tuple[int, AffinityTerm], ...]) -> Iterator[tuple[int, str, Counts]]:
        """Pods that the (weight, term) pairs of an incoming pod mean, as (weight, topology key, (N,) pods); or, of many
        terms, a weight of 1 and sums of weights."""

    def meant_by_all(self, terms: Sequence[AffinityTerm]) -> Counts:
        """(N,) pods on each node that every term of an incoming pod means."""

    def all_mean(self, terms: Sequence[AffinityTerm], pod: Pod) -> bool:
        """Does every one of the pod's terms mean itself?"""

    def repelled_by(self, pod: Pod) -> Mask | None:
        """(N,) nodes in whose domain a pod's required anti-affinity matches ``pod``. None: nowhere."""

    def perhaps_repelled_by(self, pod: Pod) -> Mask | None:
        """(N,) nodes where it may match, for the term selects namespaces by labels that are not read. None: nowhere."""

    def liked_by(self, pod: Pod) -> Iterator[tuple[int, PlacedTerm]]:
        """(weight, where) of the terms by which pods that are there want ``pod`` near; below zero: away. A pod's many
        terms come as their sum over each topology key."""


class Nominator(Protocol):
    """Room that other schedulers keep for pods that are not bound yet (``status.nominatedNodeName``)."""

    def against(self, pod: Pod) -> Sequence[int]:
        """Nodes with nominated pods that ``pod`` must leave room for: of its priority or a higher one."""

    def with_nominated(self, i: int, pod: Pod) -> AbstractContextManager[None]:
        """While it lasts those pods are on node i, in every array and index of the snapshot."""

    @property
    def counted(self) -> Sequence[tuple[int, Pod]]:
        """(node, pod) of those that are granted their room just now."""


NO_CPUS = 1e-9
"""[cores] stands for a node that reports none: any pod would overfill it, and a share of it is not to be shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """N nodes at one instant. Index i is the same node in every array."""

    names: Sequence[str]  # (N,)
    index: NodeIndex
    storage: Storage
    nominator: Nominator
    unreadable: frozenset[str]  # kinds of objects that the API server does not have, or does not show us
    resources: NodeResources  # what is left of every resource
    signals: Signals  # numbers of nodes by name, (N,) each: ``nodes.signals["inlet"]``
    rows: Mapping[str, int]  # resource name -> row of allocatable and free, of those that many nodes offer
    allocatable: Ints  # (R, N) [mCPU, bytes, pods, units]
    free: Ints  # (R, N) same units: allocatable less what pods hold; negative where overbooked
    unschedulable: Mask  # (N,) cordoned
    cooldown: Mask  # (N,) resting after a rejected pod or an overbooking
    cpu_capacity: Floats  # (N,) [cores] > 0
    cpu_low: Floats  # (N,) [cores] least and most plausible use, assumed pods included;
    cpu_high: Floats  # (N,) [cores] the same number where a fresh measurement exists
    measured: Mask  # (N,) is there one?
    load_end: Floats  # (N,) [s] end of the window the load stands for; NaN = never measured
    memory_capacity: Floats  # (N,) [bytes] > 0; inf = not known
    memory_used: Floats  # (N,) [bytes] as measured, assumed pods included; as requested where it is not measured
    ceiling_cpu: Floats  # (N,) fraction of cpu_capacity: a node predicted above it ranks behind those below
    ceiling_memory: Floats  # (N,) fraction of memory_capacity, likewise
    own_ceiling_cpu: Floats  # (N,) the same where the node itself says so; NaN = it does not
    own_ceiling_memory: Floats  # (N,) likewise
    curves: CurveTable  # (N,) power as a function of utilisation
    envelopes: CurveTable  # (N,) the largest convex functions below them, standby points included
    savings: Savings  # what nodes draw beyond their envelopes
    models: Sequence[PowerModel | None]  # (N,) the model in force
    slope_error: Floats  # (N,) [W] per unit of u: no standard error of the curve's slope is larger; 0 = none is known
    slope_errors: Floats  # (2, CELLS + 1, N) [W] those of the slope of curve and envelope, summed up from no load on
    tie: NDArray[np.uint64]  # (N,) seeded hash of the name: breaks ties

    def __len__(self) -> int:
        return len(self.names)
