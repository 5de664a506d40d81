"""Pods of a cluster as jobs: requests, use, and whether they may be moved.

A pod becomes what it was before it was placed, so that a strategy decides anew; one that cannot be moved keeps its
node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.simulation.api_objects import MIB
from peaks_scheduler.simulation.workload import Job

from .notes import Counts
from .staying import UNSUPPORTED, WORDS
from .volumes import Storage

USE_OF_REQUEST = 0.5
"""[1] CPU use of a pod whose use is not known, as a share of its request (or limit). In Google's trace of 2019 the sum
of all average uses over the sum of all requests is 0.49."""
_APART = 0.01  # [s] between the arrivals of two pods that are there from the start
_ALL_THERE = 10.0  # [s] within which they have all arrived


@dataclass(frozen=True, slots=True)
class Stay:
    """Where a pod runs now, and why it must stay there."""

    node: str
    why: str
    """A key of ``staying.WORDS``; empty: it may be moved."""


def placed_anew(pod: Pod, stay: Stay, storage: Storage) -> tuple[Pod, Stay]:
    """The pod before it was placed, and whether it stays, now that its volumes and fields are looked at."""
    why, where = storage.place(pod)
    if stay.node and not stay.why:
        stay = replace(stay, why=why or (UNSUPPORTED if pod.unsupported else ""))
    waiting = replace(
        pod,
        node_name="",
        phase="Pending",
        started=None,
        finished=None,
        decided_at=None,
        nominated="",
        volumes=(),
        where=where,
        unsupported=() if stay.why else pod.unsupported,
    )
    return waiting, stay


def job_of(pod: Pod, stay: Stay, arrival: float, duration: float, cores: float) -> Job:
    """The job of a pod from ``placed_anew``. [s], [s], [cores] mean use."""
    return Job(
        name=pod.key,
        arrival_s=arrival,
        duration_s=duration,
        cpu_cores=dict(pod.requests).get("cpu", 0) / 1000.0,
        memory_mib=pod.memory / MIB,
        cpu_used_cores=cores,
        node=stay.node if stay.why else "",
        pod=pod,
    )


def supposed_use(pod: Pod, use_of_request: float) -> float:
    """[cores] use of a pod that was not measured: a share of its request or limit; the default where it has neither."""
    return pod.stated_cpu / 1000.0 * (1.0 if pod.stated_from == "default" else use_of_request)


def supposed_note(use_of_request: float) -> str:
    """The reason under which pods with a supposed use are counted."""
    return f"pod without a measured CPU use, taken as {use_of_request:.0%} of the request, the default without one"


def in_turn(pod: Pod, stay: Stay) -> tuple[bool, float, str]:
    """Sorts pods that are there from the start: those that stay come first, so that their room is taken before a
    strategy decides; each kind in the order in which it was created."""
    return not stay.why, pod.created, pod.key


def at_the_start(count: int) -> list[float]:
    """[s] when ``count`` pods that are there from the start arrive: one after the other, all within seconds."""
    apart = min(_APART, _ALL_THERE / max(count, 1))
    return [number * apart for number in range(count)]


def count_staying(stays: Sequence[tuple[Pod, Stay]], counts: Counts) -> None:
    """Count the pods that stay, by reason."""
    for pod, stay in stays:
        if stay.why:
            counts.add(WORDS[stay.why], pod.key)
