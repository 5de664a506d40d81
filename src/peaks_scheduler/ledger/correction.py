"""The correction of a node's load: use of its pods that the load misses, minus use of ended pods that it still has.

A load is an average over a window. It misses the use of pods that started within the window, and it still has the use
of pods that ended within it. Owns, for each node, which pods those are: ``slot.recent`` has its pods that started after
``slot.since``, ``slot.ended`` those that ended within the window, ``slot.waiting`` what its pods will use that have not
started, which no load has. All other pods have no part in the correction, so that a report costs as much as pods have
come and gone within its window, however many there are. Assumes that the ledger tells it about every pod that comes,
ends or goes, and about every load. Then ``slot.unseen`` is the sum of ``unseen`` over the node's pods minus that of
``still_seen`` over ``slot.ended`` at any time, and 0 without a load.

Amounts are integers (nanocores, bytes): adding and removing a pod leaves no rounding error, and no sum depends on an
order. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from peaks_scheduler.objects.pod import Pod

from .node_load import NANO, Ended, NodeLoad, still_seen, unseen
from .records import NodeSlot, PodRecord, Start

REMEMBERED = 3600.0  # [s] ended pods that the present load does not contain are kept so long, for one that may come
KEPT = 1000  # ended pods of a node; where more end within a window, the node counts as busier than it is
_EARLIER = 0.125  # of a window: the next one may begin so much earlier, as those of a source's two replicas do


# -- loads


def measured(slot: NodeSlot, load: NodeLoad) -> None:
    """The node has this load from now on."""
    slot.load = load
    _find_recent(slot, load.window_start, load.window_end)
    cpu, memory = _missed(slot, load.window_start, load.window_end) if slot.recent else (0, 0)
    slot.unseen = slot.waiting + cpu
    if slot.ended:
        slot.ended = [pod for pod in slot.ended if pod.finished > load.window_start]
        slot.unseen -= sum(still_seen(pod, load) for pod in slot.ended)
    # memory of ended pods is not subtracted: some sources measure an instant, in which it is already free
    slot.unseen_memory = slot.waiting_memory + memory


def _find_recent(slot: NodeSlot, start: float, end: float) -> None:
    """Find the pods that started after ``slot.since``, which this and the next windows will begin after."""
    since, recent = start - _EARLIER * (end - start), slot.recent
    if start < slot.since:  # the window begins earlier than any before, or is the first one
        slot.since = since
        slot.recent = {
            record: _start(started, record.pod)
            for record in slot.records.values()
            if (started := record.pod.started) is not None and started > since
        }
        return
    slot.since = since = max(since, slot.since)
    if recent and any(one[0] <= since for one in recent.values()):
        slot.recent = {record: one for record, one in recent.items() if one[0] > since}  # anew: a dict never shrinks


def _start(started: float, pod: Pod) -> Start:
    return started, pod.cpu * NANO, pod.memory


def _missed(slot: NodeSlot, start: float, end: float) -> tuple[int, int]:
    """[nanocores], [bytes] the part of the recent pods' use that a load over this window misses."""
    total = memory = 0
    length = end - start
    for started, pod_cpu, pod_memory in slot.recent.values():
        # ``unseen`` without its calls: it is most of a report's time
        if started >= end:
            total += pod_cpu
            memory += pod_memory
        elif started > start:
            missing = 1.0 - (end - started) / length
            total += round(pod_cpu * missing)
            memory += round(pod_memory * missing)
    return total, memory


def forget_load(slot: NodeSlot) -> None:
    """The node has no load any more."""
    slot.recent, slot.since, slot.load = {}, math.inf, None
    slot.unseen = slot.unseen_memory = 0


def forget_ended(slot: NodeSlot, now: float) -> None:
    """Time passes: forget the ended pods that neither the load contains nor one that may come."""
    load, recently = slot.load, now - REMEMBERED
    if load is not None and load.window_start > recently:
        return
    end = -math.inf if load is None else load.window_end
    slot.ended = [pod for pod in slot.ended if pod.started <= end or pod.finished > recently]


# -- pods that come and go


def came(slot: NodeSlot, record: PodRecord) -> None:
    """The pod is on the node from now on."""
    started = record.pod.started
    _add(slot, record.pod, 1)
    if slot.load is not None and started is not None and started > slot.since:
        slot.recent[record] = _start(started, record.pod)


def went(slot: NodeSlot, record: PodRecord) -> None:
    """The pod, which has not changed since it came, is no longer on the node."""
    _add(slot, record.pod, -1)
    slot.recent.pop(record, None)


def _add(slot: NodeSlot, pod: Pod, sign: int) -> None:
    cpu, memory = unseen(pod, slot.load)
    slot.unseen += sign * cpu
    slot.unseen_memory += sign * memory
    if pod.started is None:
        slot.waiting += sign * pod.cpu * NANO
        slot.waiting_memory += sign * pod.memory


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


def ended_use_changed(slot: NodeSlot, usage: Mapping[str, int]) -> None:
    """Ended pods of siblings used what ``usage`` says [mCPU], or what their specs state."""
    before = slot.ended
    slot.ended = [pod.using(usage.get(pod.siblings)) for pod in before]
    slot.unseen += sum(still_seen(pod, slot.load) for pod in before)
    slot.unseen -= sum(still_seen(pod, slot.load) for pod in slot.ended)
