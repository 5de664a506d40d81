"""Records of pods and nodes in the ledger, and what an observation changed. Pure."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from peaks_scheduler.ledger.indices.slots import Slot
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModel

from .node_load import Ended, NodeLoad

Start = tuple[float, int, int]
"""[s] when a pod started, [nanocores] and [bytes] what it is expected to use."""


class State(enum.Enum):
    """State of a pod in the ledger; see the table in ``ledger``."""

    PENDING = "pending"
    ASSUMED = "assumed"
    BOUND = "bound"


class Change(int):
    """What an observation changed: which waiting pods may be schedulable now follows from it.

    Flags, joined by ``|`` and asked by ``&``. Plain integers: each operation on a flag of ``enum`` takes most of a
    microsecond, and a pod has twenty.
    """

    NOTHING: ClassVar[Change]
    PENDING: ClassVar[Change]  # a pod without a node is new
    CHANGED: ClassVar[Change]  # a pod without a node may be placed differently than before
    CONFIRMED: ClassVar[Change]  # an assumed pod is bound where it was assumed
    PLACED: ClassVar[Change]  # a pod is bound that was not assumed there
    GONE: ClassVar[Change]  # a pod finished or vanished
    FREED: ClassVar[Change]  # resources became free: the pod is gone, requests less, or is on another node
    RELABELLED: ClassVar[Change]  # a pod on a node has other labels, or is being deleted: affinity may be otherwise
    OVERBOOKED: ClassVar[Change]  # the pod just placed does not fit on its node
    CHOSEN: ClassVar[Change]  # the pod that is gone was bound where it had been assumed: we had chosen the node
    NODE_NEW: ClassVar[Change]
    NODE_CHANGED: ClassVar[Change]
    NODE_GONE: ClassVar[Change]

    if TYPE_CHECKING:

        def __or__(self, other: int) -> Change: ...

        def __and__(self, other: int) -> Change: ...


Change.NOTHING = Change(0)
for _bit, _name in enumerate(name for name in Change.__annotations__ if name != "NOTHING"):
    setattr(Change, _name, Change(1 << _bit))


@dataclass(slots=True, eq=False)
class PodRecord:
    """A pod, its state, and its node."""

    pod: Pod
    state: State
    slot: NodeSlot | None = None
    nominated: str = ""  # the node that it is nominated to while it is pending; empty: none
    later: Pod | None = None  # the pod as last observed while assumed: it counts if the assumption is forgotten
    chosen: str = ""  # the node that it was last assumed on; empty: never

    def copy(self) -> PodRecord:
        """The same, on no node and nominated to none."""
        return PodRecord(self.pod, self.state, None, "", self.later, self.chosen)


@dataclass(slots=True, eq=False)
class NodeSlot(Slot):
    """A node's slot, with what the ledger keeps for each node beside the arrays."""

    records: dict[str, PodRecord] = field(default_factory=dict)
    asked: int = 0  # [mCPU] sum of the expected CPU use of its pods
    unseen: int = 0  # [nanocores] correction of the load: use that the average misses, minus use of ended pods in it
    unseen_memory: int = 0  # [bytes] memory use that the measurement misses
    ended: list[Ended] = field(default_factory=list)  # pods that ended within the load's window, the latest
    recent: dict[PodRecord, Start] = field(default_factory=dict)  # where it has a load: pods that started after ...
    since: float = math.inf  # [s]
    waiting: int = 0  # [nanocores] expected use of its pods that have not started
    waiting_memory: int = 0  # [bytes]
    load: NodeLoad | None = None
    fitted: PowerModel | None = None
    """The model of the power book that counts."""
    model: PowerModel | None = None
    """The same under present conditions: what decisions use."""

    def copy(self) -> NodeSlot:
        """The same, with its sums but without its pods."""
        return NodeSlot(
            self.name,
            self.node,
            self.index,
            asked=self.asked,
            unseen=self.unseen,
            unseen_memory=self.unseen_memory,
            ended=list(self.ended),
            since=self.since,
            waiting=self.waiting,
            waiting_memory=self.waiting_memory,
            load=self.load,
            fitted=self.fitted,
            model=self.model,
        )


def asks_less(before: Pod, after: Pod) -> bool:
    """Does the pod request less of a resource than before?"""
    if before.requests == after.requests:
        return False
    now = dict(after.requests)
    return any(now.get(name, 0) < amount for name, amount in before.requests)


def holds(pod: Pod) -> tuple[object, ...]:
    """What a pod takes of its node; a resize may change it."""
    return pod.requests, pod.unasked, pod.started, pod.cpu, pod.ports


def selected_by(pod: Pod) -> tuple[object, ...]:
    """What other pods' selectors read."""
    return pod.labels, pod.deleting


def same_node(a: Node, b: Node) -> bool:
    """Are two observations of a node equal in all that counts? Heartbeats are."""
    return _facts(a) == _facts(b)


def _facts(node: Node) -> tuple[object, ...]:
    placing = (node.labels, node.taints, node.mild_taints, node.unschedulable, node.allocatable, node.features)
    ranking = (node.cpu_capacity, node.memory_capacity, node.ceiling, node.oddities)
    return (*placing, *ranking, node.uid, node.addresses, node.provider_id)


def wants(pod: Pod) -> tuple[object, ...]:
    """What decides where and when a pending pod can be placed."""
    return pod.labels, pod.priority, pod.deleting, pod.gated, pod.requests, pod.where, pod.tolerations, pod.unsupported
