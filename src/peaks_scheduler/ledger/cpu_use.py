"""What a node uses now: its load, corrected for what the average cannot have seen, or a range where none is fresh.

Owns that arithmetic over the ledger's records. Assumes that the ledger says when a node's load or pods have changed.
Corrections are integers (nanocores), so that adding and taking off pods leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .node_load import NANO, still_seen, unseen
from .records import NodeSlot

REMEMBERED = 3600.0  # [s] that ended pods of a node without a load are kept for the one that may come
KEPT = 1000  # ended pods of a node; where more end within a window it is taken to be busier than it is


def correct(slot: NodeSlot, now: float) -> None:
    """Work the correction of a node's load out anew, for the load it has now."""
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
    # memory of ended pods is not taken off: some sources measure it in an instant, in which it is gone already
    slot.unseen_memory = memory


def estimate(slot: NodeSlot, columns: Mapping[str, Any], requested: int, now: float, expiry: float) -> None:
    """Bracket the node's present use in the arrays of ``columns``: one number where a load no older than ``expiry`` [s]
    exists, a range where not. Memory that was not measured counts as ``requested`` [bytes], or as it was last seen
    where that is more."""
    i, load, asked = slot.index, slot.load, slot.asked / 1000.0
    corrected = 0.0
    if load is not None:
        corrected = max(0.0, load.used(columns["cpu_capacity"][i]) + slot.unseen / (1000.0 * NANO))
    measured = load is not None and now - load.window_end <= expiry
    columns["measured"][i] = measured
    columns["load_end"][i] = load.window_end if load is not None else np.nan
    columns["cpu_low"][i] = corrected if measured else 0.0
    columns["cpu_high"][i] = corrected if measured else max(asked, corrected)
    memory = load.memory_used(columns["memory_capacity"][i]) if load is not None else None
    seen = 0.0 if memory is None else memory + slot.unseen_memory
    columns["memory_used"][i] = seen if measured and memory is not None else max(requested, seen)
