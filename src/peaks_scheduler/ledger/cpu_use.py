"""What a node uses now: its measured load with a correction (``correction``), or a range where no load is fresh.

Assumes that the ledger calls when a node's load, pods or capacity have changed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Ints

from .node_load import NANO
from .records import NodeSlot


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


def estimate_all(
    slots: Sequence[NodeSlot], columns: Mapping[str, Any], requested: Ints, now: float, expiry: float
) -> None:
    """``estimate`` for N ``slots``, which are all nodes in the order of the columns: one by one they take four times as
    long. ``requested`` (N,) [bytes]."""
    n = len(slots)
    loads = [slot.load for slot in slots]
    cpus, rooms = columns["cpu_capacity"][:n].tolist(), columns["memory_capacity"][:n].tolist()
    used = np.array([0.0 if load is None else load.used(cpu) for load, cpu in zip(loads, cpus, strict=True)])
    known = np.array([load is not None for load in loads], np.bool_)
    corrected = used + np.array([slot.unseen for slot in slots], np.float64) / (1000.0 * NANO)
    corrected = np.where(known & (corrected > 0.0), corrected, 0.0)
    ends = np.array([np.nan if load is None else load.window_end for load in loads])
    measured = known & (now - ends <= expiry)
    columns["measured"][:n] = measured
    columns["load_end"][:n] = ends
    columns["cpu_reported"][:n] = np.where(known, used, np.nan)
    columns["cpu_low"][:n] = np.where(measured, corrected, 0.0)
    asked = np.array([slot.asked for slot in slots], np.float64) / 1000.0
    columns["cpu_high"][:n] = np.where(measured, corrected, np.maximum(asked, corrected))
    told = [None if load is None else load.memory_used(room) for load, room in zip(loads, rooms, strict=True)]
    heard = np.array([memory is not None for memory in told], np.bool_)
    unheard = [slot.unseen_memory for slot in slots]
    seen = np.array([0.0 if a is None else a + b for a, b in zip(told, unheard, strict=True)], np.float64)
    columns["memory_used"][:n] = np.where(measured & heard, seen, np.maximum(requested, seen))
