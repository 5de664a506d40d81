"""What a node uses now: its measured load with a correction, or a range where no load is fresh.

The load is an average over a window. It misses the use of pods that started within the window, and it still has the
use of pods that ended within it; the correction adds the one and subtracts the other. Assumes that the ledger calls
when a node's load or pods have changed. Corrections are integers (nanocores): adding and removing a pod leaves no
rounding error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .node_load import NANO, still_seen, unseen
from .records import NodeSlot

REMEMBERED = 3600.0  # [s] ended pods of a node without a load are kept so long, for a load that may still come
KEPT = 1000  # ended pods of a node; where more end within a window, the node counts as busier than it is


def correct(slot: NodeSlot, now: float) -> None:
    """Recompute the correction of a node's load from its pods."""
    load = slot.load
    since = load.window_start if load is not None else now - REMEMBERED
    if slot.ended:
        slot.ended = [pod for pod in slot.ended[-KEPT:] if pod.finished > since]
    total = memory = 0
    for record in slot.records.values():
        record.unseen, record.unseen_memory = unseen(record.pod, load)
        total += record.unseen
        memory += record.unseen_memory
    slot.unseen = total - sum(still_seen(pod, load) for pod in slot.ended)
    # memory of ended pods is not subtracted: some sources measure an instant, in which it is already free
    slot.unseen_memory = memory


def estimate(slot: NodeSlot, columns: Mapping[str, Any], requested: int, now: float, expiry: float) -> None:
    """Write the node's use into ``columns``: one number where its load is not older than ``expiry`` [s], else a range
    from zero to the larger of the last load and what its pods are expected to use. Memory that was not measured counts
    as ``requested`` [bytes], or as last measured where that is more."""
    i, load, asked = slot.index, slot.load, slot.asked / 1000.0
    corrected = 0.0
    if load is not None:
        corrected = max(0.0, load.used(columns["cpu_capacity"][i]) + slot.unseen / (1000.0 * NANO))
    measured = load is not None and now - load.window_end <= expiry
    columns["measured"][i] = measured
    columns["load_end"][i] = load.window_end if load is not None else np.nan
    columns["cpu_reported"][i] = load.used(columns["cpu_capacity"][i]) if load is not None else np.nan
    columns["cpu_low"][i] = corrected if measured else 0.0
    columns["cpu_high"][i] = corrected if measured else max(asked, corrected)
    memory = load.memory_used(columns["memory_capacity"][i]) if load is not None else None
    seen = 0.0 if memory is None else memory + slot.unseen_memory
    columns["memory_used"][i] = seen if measured and memory is not None else max(requested, seen)
