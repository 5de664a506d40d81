"""Rivals: other processes that place the pods of our schedulerName.

Two daemons with one schedulerName and no common Lease take each other's pods: every Binding is a race, half of them
end in a conflict, and each daemon fills nodes that the other counts on. Owns the signs of a rival, and how long they
are shown. A sign is a pod of ours that was pending and was bound by somebody else while we were the leader. If it has a
decision record, another daemon of this program bound it; if not, anybody may have, and a few such pods are needed.
Assumes that it is told of every pod that somebody else bound. Never fights back and never stops the scheduling.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)

SHOWN_FOR = 600.0  # [s] after the last sign
SAY_EVERY = 60.0  # [s]
SETTLE = 5.0  # [s] after we began to decide, in which the Bindings of the last leader may still be seen
OTHERS_NEEDED = 3  # pods bound without a decision record before another scheduler is suspected
MOST_REMEMBERED = 1000
LOOK_EVERY = 1.0  # [s]
REMEDY = "run one replica, or leaderElection.enabled with one Lease (name and namespace) for all; see `check`"


class Rivals(Keeper):
    """See the module. ``may_decide``: are we the leader and ready? ``wall`` is our wall clock, ``clock`` monotonic."""

    def __init__(
        self,
        scheduler_name: str,
        telemetry: Telemetry,
        may_decide: Callable[[], bool],
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._telemetry, self._may_decide = scheduler_name, telemetry, may_decide
        self._wall, self._clock = wall, clock
        self._deciding_since: float | None = None
        self._signs: deque[tuple[float, bool, str]] = deque(maxlen=MOST_REMEMBERED)
        self._said_at = float("-inf")

    def look(self) -> None:
        """Note since when we may decide. To be called every second."""
        if not self._may_decide():
            self._deciding_since = None
        elif self._deciding_since is None:
            self._deciding_since = self._wall()

    def bound_by_another(self, pod: Pod) -> None:
        """Note a pod that was pending here and was bound by somebody else."""
        since = self._deciding_since
        if pod.scheduler_name != self._name or since is None:
            return
        if (self._wall() if pod.decided_at is None else pod.decided_at) < since + SETTLE:
            return
        recorded = pod.decided_at is not None
        self._telemetry.rival_bound("decision" if recorded else "unknown")
        self._signs.append((self._clock(), recorded, f"{pod.key} on {pod.node_name}"))
        if (words := self._words()) and self._clock() - self._said_at >= SAY_EVERY:
            self._said_at = self._clock()
            logger.warning("another scheduler of our name", extra={"schedulerName": self._name, "error": words})

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        words = self._words()
        return Health.degraded(words) if words else Health.ok()

    def tasks(self) -> Tasks:
        return {"rivals": every(LOOK_EVERY, self.look)}

    def checks(self) -> Sequence[Check]:
        return (Check("rivals", self.health),)

    def _words(self) -> str:
        while self._signs and self._clock() - self._signs[0][0] > SHOWN_FOR:
            self._signs.popleft()
        known = sum(recorded for _, recorded, _ in self._signs)
        if not known and len(self._signs) < OTHERS_NEEDED:
            return ""
        who = f"another daemon of schedulerName {self._name}" if known else "somebody else"
        minutes = SHOWN_FOR / 60.0
        return (
            f"{who} has bound {len(self._signs)} of our pods in the last {minutes:.0f} min, the last one "
            f"{self._signs[-1][2]}: {REMEDY}"
        )
