"""What the parts of the scheduler share: the ledger, the way to the API server, the clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.events import EventRecorder
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.settings.settings import Settings


def _ignore(pod: Pod) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """See the module."""

    settings: Settings
    ledger: Ledger
    queue: SchedulingQueue
    client: KubeClient
    limiter: Limiter
    events: EventRecorder
    telemetry: Telemetry
    may_decide: Callable[[], bool]
    """Is this replica the leader, and are the first lists and the first load in?"""
    may_write: Callable[[], bool]
    """The fence: asked before every write, and again in the moment of sending."""
    bound_by_another: Callable[[Pod], None] = _ignore
    """Told of a pod that was pending here and that somebody else bound."""
    wall: Callable[[], float] = time.time  # [s] since the epoch
    clock: Callable[[], float] = time.monotonic  # [s]
