"""Does another process place the pods that are ours alone to place?

Two daemons of one schedulerName that do not share a Lease take each other's pods: every Binding is a race, half of them
conflicts, and each fills nodes that the other counts on. Owns the signs of that, and how long they are shown. The sign
is a pod of ours, seen waiting, that was bound while we were the one to decide, and not by us: with our decision record
on it another daemon did it, without one anybody may have, and a few such are needed. Assumes that it is told of every
pod that was bound by another hand and, every second, whether we decide. Never fights back and never stops.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.observability.telemetry import Telemetry

logger = logging.getLogger(__name__)

SHOWN_FOR = 600.0  # [s] after the last sign
SAY_EVERY = 60.0  # [s]
SETTLE = 5.0  # [s] after we began to decide: what a predecessor bound last
OTHERS_NEEDED = 3  # pods bound by who knows whom, until that is taken for another scheduler
MOST_REMEMBERED = 1000
REMEDY = "run one replica, or leaderElection.enabled with one Lease (name and namespace) for all; see `check`"


class Rivals:
    """See the module. ``wall`` is our wall clock, ``clock`` monotonic seconds."""

    def __init__(
        self,
        scheduler_name: str,
        telemetry: Telemetry,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._telemetry, self._wall, self._clock = scheduler_name, telemetry, wall, clock
        self._deciding_since: float | None = None
        self._signs: deque[tuple[float, bool, str]] = deque(maxlen=MOST_REMEMBERED)
        self._said_at = float("-inf")

    def look(self, deciding: bool) -> None:
        """Are we the one who decides, at this moment?"""
        if not deciding:
            self._deciding_since = None
        elif self._deciding_since is None:
            self._deciding_since = self._wall()

    def bound_by_another(self, pod: Pod) -> None:
        """A pod that we saw waiting is on a node, and we did not put it there."""
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
