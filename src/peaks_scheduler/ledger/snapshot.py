"""The snapshot: all nodes at one instant, as arrays. A decision is made from it alone.

Owns the layout: index i is the same node in every array, and every line gives axis, unit and the meaning of NaN. A
snapshot is a set of read-only views of the ledger's own arrays (``Columns``), valid until the ledger changes: nothing
is copied for a decision. Also has the protocols of what a filter can ask beyond arrays. Never computes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from peaks_scheduler.arrays import Codes, Counts, Floats, Hashes, Ints, Mask
from peaks_scheduler.ledger.storage.store import Storage
from peaks_scheduler.objects.affinity import AffinityTerm
from peaks_scheduler.objects.constraints import HostPort
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement, NodeSelectorTerm, Taint
from peaks_scheduler.power.chord_savings import Savings
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.rises import Rises
from peaks_scheduler.power.table import CurveTable

from .resources import NodeResources
from .signals import Signals


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects pods by labels and namespace: a pod is selected if every matcher matches it."""

    matchers: tuple[tuple[LabelSelector, frozenset[str] | None], ...]
    """(labels, namespaces; None: all)"""
    leaving: bool = True
    """Are pods selected that are being deleted?"""


class NodeIndex(Protocol):
    """What filters can ask about the nodes of the snapshot and their pods. Masks are read-only."""

    @property
    def shape(self) -> int:
        """A number that changes when nodes come, go, change their labels or get other indices."""

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""

    def node(self, i: int) -> Node:
        """The node at index i."""

    def ranks_by_name(self) -> Ints:
        """(N,) place of each node in the order of names, from 0."""

    def matching(self, where: NodeRequirement) -> Mask:
        """(N,) nodes that match node selector and node affinity."""

    def carried(self, key: str) -> bool:
        """Does any node have a label of this key?"""

    def meeting(self, term: NodeSelectorTerm) -> Mask | bool:
        """(N,) nodes that match a term of node affinity; True: all, False: none."""

    def selecting(self, selector: LabelSelector) -> Mask:
        """(N,) nodes whose labels the selector selects."""

    def having(self, key: str) -> Mask:
        """(N,) nodes with a label of this key."""

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        """(N,) nodes whose label has one of the values."""

    def codes(self, key: str) -> tuple[Codes, int]:
        """(N,) codes of a label's values: equal for equal values, 0 where a node has no such label; and one more than
        the highest code."""

    def taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        """Set of NoSchedule and NoExecute taints -> (N,) nodes with exactly this set; without the empty set."""

    def mild_taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        """Set of PreferNoSchedule taints -> (N,) nodes with exactly this set; without the empty set."""

    def declaring(self, features: frozenset[str]) -> Mask:
        """(N,) nodes that declare all of these features."""

    def holding_ports(self, ports: tuple[HostPort, ...]) -> Mask | None:
        """(N,) nodes where one of these host ports is taken; None: no node."""

    @property
    def namespaces_known(self) -> bool:
        """Can the labels of namespaces be read?"""

    def namespaces_of(self, term: AffinityTerm) -> frozenset[str] | None:
        """Names of the namespaces of a term of an incoming pod; None: all namespaces."""

    def pods_selected(self, selection: Selection) -> Counts:
        """(N,) number of selected pods on each node."""

    def near(self, terms: tuple[tuple[int, AffinityTerm], ...]) -> Iterator[tuple[int, str, Counts]]:
        """(weight, topology key, (N,) pods matched by the term) for the terms of an incoming pod.

        Where the terms are very many they come as sums: (1, topology key, (N,) sums of the weights).
        """

    def matched_by_all(self, terms: Sequence[AffinityTerm]) -> Counts:
        """(N,) number of pods on each node that match every term of an incoming pod."""

    def all_match(self, terms: Sequence[AffinityTerm], pod: Pod) -> bool:
        """Does the pod match all of its own terms?"""

    def repelled_by(self, pod: Pod) -> Mask | None:
        """(N,) nodes in the domain of an existing pod whose required anti-affinity matches ``pod``; None: no node."""

    def perhaps_repelled_by(self, pod: Pod) -> Mask | None:
        """(N,) nodes where an anti-affinity may match because namespace labels cannot be read; None: no node."""

    def liked_by(self, pod: Pod) -> Iterator[tuple[int, str, Ints, Ints]]:
        """(weight, topology key, (M,) node indices, (M,) pods there) of the terms of existing pods that match ``pod``;
        a weight below zero is an anti-affinity.

        Where an existing pod's terms are very many they come as one sum for each topology key.
        """


class Nominator(Protocol):
    """Pods that other schedulers have nominated to nodes (``status.nominatedNodeName``) and that are not bound yet."""

    def against(self, pod: Pod) -> Sequence[int]:
        """Nodes with nominated pods that ``pod`` must leave room for: of its priority or a higher one."""

    def with_nominated(self, i: int, pod: Pod) -> AbstractContextManager[None]:
        """Count those pods on node i, in every array and index of the snapshot, while it lasts."""

    @property
    def counted(self) -> Sequence[tuple[int, Pod]]:
        """(node index, pod) of the nominated pods that are counted now."""


NO_CPUS = 1e-9
"""[cores] capacity of a node that reports none: any pod overfills it, and its utilisation is not shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """N nodes at one instant. Index i is the same node in every array."""

    names: Sequence[str]  # (N,)
    index: NodeIndex
    storage: Storage
    nominator: Nominator
    unreadable: frozenset[str]  # kinds of objects that the API server does not have, or that we have no right to read
    resources: NodeResources  # allocatable and free, of every resource
    signals: Signals  # numbers of nodes by name, (N,) each: ``nodes.signals["inlet"]``
    rows: Mapping[str, int]  # resource name -> row of ``allocatable`` and ``free``, if many nodes have the resource
    allocatable: Ints  # (R, N) [mCPU, bytes, pods, units]
    free: Ints  # (R, N) same units: allocatable minus the requests of the pods; negative where overbooked
    unschedulable: Mask  # (N,) cordoned
    cooldown: Mask  # (N,) takes no pod of ours for a time: one was rejected, or the node was overbooked
    cpu_capacity: Floats  # (N,) [cores] > 0
    cpu_low: Floats  # (N,) [cores] lowest and highest plausible use, assumed pods included;
    cpu_high: Floats  # (N,) [cores] the same number where a fresh measurement exists
    cpu_reported: Floats  # (N,) [cores] the last load as its source told it, however old; NaN = never measured
    measured: Mask  # (N,) has a fresh measurement
    load_end: Floats  # (N,) [s] end of the window of the load; NaN = never measured
    memory_capacity: Floats  # (N,) [bytes] > 0; inf = not known
    memory_used: Floats  # (N,) [bytes] as measured, assumed pods included; as requested where it is not measured
    unasked_cpu: Ints  # (N,) [mCPU] ``Pod.unasked`` of the pods there, summed
    unasked_memory: Ints  # (N,) [bytes] likewise
    turn: Ints  # (N,) number of the last assumption on the node, counted over all nodes; 0 = none
    ceiling_cpu: Floats  # (N,) fraction of cpu_capacity: a node predicted above it ranks behind those below
    ceiling_memory: Floats  # (N,) fraction of memory_capacity, likewise
    own_ceiling_cpu: Floats  # (N,) the same as the node's annotation says; NaN = it has none
    own_ceiling_memory: Floats  # (N,) likewise
    curves: CurveTable  # (N,) power as a function of utilisation
    envelopes: CurveTable  # (N,) the largest convex functions below them, standby points included
    savings: Savings  # power above the envelope, (N,)
    rises: Rises  # of the envelopes, (N,)
    models: Sequence[PowerModel | None]  # (N,) the model in force
    slope_error: Floats  # (N,) [W] per unit of u: largest standard error of the curve's slope; 0 = not known
    slope_errors: Floats  # (2, CELLS + 1, N) [W] cumulative sums over u of the slope's errors: of curve, of envelope
    tie: Hashes  # (N,) seeded hash of the name: breaks ties

    def __len__(self) -> int:
        return len(self.names)
