"""What the ledger keeps of each pod and each node, and when two records of one say the same.

Owns the records and the words for what an observation changed; the ledger owns their life. Pure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from peaks_scheduler.ledger.indices.slots import Slot
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModel

from .node_load import Ended, NodeLoad


class State(enum.Enum):
    """Where a pod is in its life; see the module's drawing."""

    PENDING = "pending"
    ASSUMED = "assumed"
    BOUND = "bound"


class Change(enum.Flag):
    """What an observation changed, for those who wait for it."""

    NOTHING = 0
    PENDING = enum.auto()  # a pod without a node is new
    CHANGED = enum.auto()  # ... or may be placed differently than before
    CONFIRMED = enum.auto()  # an assumed pod is bound where it was assumed
    PLACED = enum.auto()  # a pod is bound that was not assumed there
    GONE = enum.auto()  # a pod finished or vanished
    FREED = enum.auto()  # resources came back: the pod is gone, asks for less, or is elsewhere
    RELABELLED = enum.auto()  # a pod on a node has other labels, or began to end: others may or may not be near it
    OVERBOOKED = enum.auto()  # the pod just placed does not fit where it is
    CHOSEN = enum.auto()  # the pod that is gone was bound where it had been assumed: we had put it there
    NODE_NEW = enum.auto()
    NODE_CHANGED = enum.auto()
    NODE_GONE = enum.auto()


@dataclass(slots=True, eq=False)
class PodRecord:
    """A pod in the ledger."""

    pod: Pod
    state: State
    slot: NodeSlot | None = None
    unseen: int = 0  # [nanocores] its part of the node's correction
    unseen_memory: int = 0  # [bytes] likewise
    nominated: str = ""  # the node that keeps room for it while it is pending
    later: Pod | None = None  # as it was last seen while assumed: what it is if the assumption is forgotten
    chosen: str = ""  # the node that it was last assumed on: there it is one of our pods

    def copy(self) -> PodRecord:
        """The same, on no node and nominated to none."""
        return PodRecord(self.pod, self.state, None, self.unseen, self.unseen_memory, "", self.later, self.chosen)


@dataclass(slots=True, eq=False)
class NodeSlot(Slot):
    """A node's place, with what the ledger keeps per node beyond the arrays."""

    records: dict[str, PodRecord] = field(default_factory=dict)
    asked: int = 0  # [mCPU] sum of what its pods are taken to use
    unseen: int = 0  # [nanocores] what the load average cannot have seen yet, less what it still sees and is gone
    unseen_memory: int = 0  # [bytes] what the measured memory cannot have seen yet
    ended: list[Ended] = field(default_factory=list)  # pods that ended within the load's window, the latest
    load: NodeLoad | None = None
    model: PowerModel | None = None

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
            load=self.load,
            model=self.model,
        )


def asks_less(before: Pod, after: Pod) -> bool:
    """Did a resize give some of a resource back?"""
    if before.requests == after.requests:
        return False
    now = dict(after.requests)
    return any(now.get(name, 0) < amount for name, amount in before.requests)


def holds(pod: Pod) -> tuple[object, ...]:
    """What a pod on a node takes of it, and may come to take less or more of."""
    return pod.requests, pod.started, pod.cpu, pod.ports


def selected_by(pod: Pod) -> tuple[object, ...]:
    """What selectors of other pods look at."""
    return pod.labels, pod.deleting


def same_node(a: Node, b: Node) -> bool:
    """Do two records of a node say the same of it? Heartbeats change nothing here."""
    return _facts(a) == _facts(b)


def _facts(node: Node) -> tuple[object, ...]:
    placing = (node.labels, node.taints, node.mild_taints, node.unschedulable, node.allocatable, node.features)
    ranking = (node.cpu_capacity, node.memory_capacity, node.ceiling, node.oddities)
    return (*placing, *ranking, node.uid, node.addresses, node.provider_id)


def wants(pod: Pod) -> tuple[object, ...]:
    """What decides where and when a pending pod may go."""
    return pod.labels, pod.priority, pod.deleting, pod.gated, pod.requests, pod.where, pod.tolerations, pod.unsupported
