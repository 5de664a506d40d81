"""A job: one decision to be carried out, passed from the deciding task to the binding workers."""

from __future__ import annotations

from dataclasses import dataclass

from peaks_scheduler.ledger.storage.plan import VolumePlan
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import Decision

PATIENCE = 30.0  # [s] of tries to write before the pod goes back to the queue
FIRST_PAUSE, LAST_PAUSE = 0.25, 2.0  # [s] between two tries; doubled each time


@dataclass(frozen=True, slots=True)
class Job:
    """See the module."""

    decision: Decision
    number: int  # of this process's decisions, from 1: binds end in another order
    node: str
    begun: float  # [s] perf_counter: when deciding began
    first: float  # [s] monotonic: the pod's first attempt
    attempts: int
    plan: VolumePlan | None = None  # of volumes to be bound before the Binding

    @property
    def pod(self) -> Pod:
        return self.decision.pod
