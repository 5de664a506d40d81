"""The correction of a node's load: use of its pods that the load misses, minus use of ended pods that it still has.

A load is an average over a window. It misses the use of pods that started within the window, and it still has the use
of pods that ended within it. Owns, for each node, which pods those are: ``slot.recent`` has its pods that had not
started by ``slot.since``, ``slot.ended`` those that ended within the window. All other pods have no part in the
correction, so that a report costs as much as pods have come and gone within its window, however many there are. Assumes
that the ledger tells it about every pod that comes, ends or goes, and about every load; ``record.unseen`` is at any
time what ``unseen`` says of the pod and its node's load, and ``slot.unseen`` the sum of it over the node's pods minus
that of ``still_seen`` over ``slot.ended``. Without a load all of them are 0.

Amounts are integers (nanocores, bytes): adding and removing a pod leaves no rounding error, and no sum depends on an
order. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .node_load import NANO, Ended, NodeLoad, still_seen, unseen
from .records import NodeSlot, PodRecord

REMEMBERED = 3600.0  # [s] ended pods that the present load does not contain are kept so long, for one that may come
KEPT = 1000  # ended pods of a node; where more end within a window, the node counts as busier than it is
_EARLIER = 0.125  # of a window: the next one may begin so much earlier, as those of a source's two replicas do


# -- loads


def measured(slot: NodeSlot, load: NodeLoad) -> None:
    """The node has this load from now on."""
    slot.load = load
    if load.window_start < slot.since:
        slot.since = -math.inf  # the window begins earlier than any before, or is the first one
        _count(slot, slot.records.values(), load)
    elif slot.recent:
        _count(slot, slot.recent, load)
    slot.unseen = sum(record.unseen for record in slot.recent)
    # memory of ended pods is not subtracted: some sources measure an instant, in which it is already free
    slot.unseen_memory = sum(record.unseen_memory for record in slot.recent)
    slot.ended = [pod for pod in slot.ended if pod.finished > load.window_start]
    slot.unseen -= sum(still_seen(pod, load) for pod in slot.ended)


def forget_load(slot: NodeSlot) -> None:
    """The node has no load any more."""
    for record in slot.recent:
        record.unseen = record.unseen_memory = 0
    slot.recent, slot.since, slot.load = set(), math.inf, None
    slot.unseen = slot.unseen_memory = 0


def forget_ended(slot: NodeSlot, now: float) -> None:
    """Time passes: forget the ended pods that neither the load contains nor one that may come."""
    load, recently = slot.load, now - REMEMBERED
    if load is not None and load.window_start > recently:
        return
    end = -math.inf if load is None else load.window_end
    slot.ended = [pod for pod in slot.ended if pod.started <= end or pod.finished > recently]


def _count(slot: NodeSlot, records: Iterable[PodRecord], load: NodeLoad) -> None:
    """Find among ``records`` the pods that this load may miss a part of, and which part."""
    start, end = load.window_start, load.window_end
    length = end - start
    slot.since = max(slot.since, start - _EARLIER * length)
    recent = set()
    for record in records:
        started = record.pod.started
        if started is not None and started <= start:
            record.unseen = record.unseen_memory = 0
            if started <= slot.since:
                continue  # most pods are older than the window
        elif started is None or length <= 0.0:
            record.unseen, record.unseen_memory = unseen(record.pod, load)
        else:
            # ``unseen`` for a pod that started within the window, without its calls: it is most of a report's time
            missing = 1.0 - max(0.0, end - started) / length
            record.unseen = round(record.pod.cpu * NANO * missing)
            record.unseen_memory = round(record.pod.memory * missing)
        recent.add(record)
    slot.recent = recent


# -- pods that come and go


def came(slot: NodeSlot, record: PodRecord) -> None:
    """The pod is on the node from now on."""
    if slot.load is None:
        return
    pod = record.pod
    record.unseen, record.unseen_memory = unseen(pod, slot.load)
    slot.unseen += record.unseen
    slot.unseen_memory += record.unseen_memory
    if pod.started is None or pod.started > slot.since:
        slot.recent.add(record)


def went(slot: NodeSlot, record: PodRecord) -> None:
    """The pod is no longer on the node."""
    slot.unseen -= record.unseen
    slot.unseen_memory -= record.unseen_memory
    record.unseen = record.unseen_memory = 0
    slot.recent.discard(record)


def ended(slot: NodeSlot, pod: Ended, now: float) -> None:
    """A pod that ran on the node has ended."""
    load = slot.load
    if load is not None and pod.finished <= load.window_start:
        return
    slot.ended.append(pod)
    slot.unseen -= still_seen(pod, load)
    if len(slot.ended) > KEPT:
        slot.unseen += still_seen(slot.ended.pop(0), load)
    if load is None:
        forget_ended(slot, now)


def use_changed(slot: NodeSlot, record: PodRecord) -> None:
    """The pod, which is on the node, is expected to use another amount of CPU."""
    slot.unseen -= record.unseen
    record.unseen, _ = unseen(record.pod, slot.load)
    slot.unseen += record.unseen


def ended_use_changed(slot: NodeSlot, usage: Mapping[str, int]) -> None:
    """Ended pods of siblings used what ``usage`` says [mCPU], or what their specs state."""
    before = slot.ended
    slot.ended = [pod.using(usage.get(pod.siblings)) for pod in before]
    slot.unseen += sum(still_seen(pod, slot.load) for pod in before)
    slot.unseen -= sum(still_seen(pod, slot.load) for pod in slot.ended)
