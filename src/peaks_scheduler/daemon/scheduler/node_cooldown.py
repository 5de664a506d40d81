"""Nodes in cooldown: where another scheduler's pod collided with one of ours, nothing is placed for a while.

Owns which nodes are in cooldown, and how long. There are two reasons:

- Overbooked: another scheduler's pod came to a node that runs one of ours, and the node now holds more than it has.
  The cooldown ends as soon as that is over: there is room again, or the pod that came has gone.
- Rejected: a kubelet turned one of our pods away for lack of room. The kubelet knows what the ledger does not, and may
  reject the next pod for the same, by then outdated, reason (kubernetes#135296): only time ends such a cooldown.

A node's time doubles when a cooldown of full length is followed by another collision soon. A cooldown that ended early
is not remembered: otherwise anybody who can create and delete pods could make it grow. At most one node in ten is in
cooldown, and at least one may be; beyond that the oldest cooldowns end. Assumes that ``start`` is called for collisions
with pods that this process placed, and ``tick`` every second.
"""

from __future__ import annotations

from dataclasses import dataclass

from peaks_scheduler.ledger.ledger import Ledger

FIRST_COOLDOWN = 15.0  # [s]
LONGEST_COOLDOWN = 240.0  # [s]
REMEMBERED = 600.0  # [s] after the end of a cooldown: a collision within this time doubles the next one
MOST_NODES = 0.1  # share of all nodes; one node at least


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A node's present or last cooldown."""

    until: float  # [s] monotonic
    length: float  # [s]
    pod: str = ""
    """uid of the pod that overbooked the node; empty: only time ends this cooldown."""


class NodeCooldown:
    """See the module; ``now`` is monotonic seconds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._present: dict[str, Cooldown] = {}  # the oldest first
        self._last: dict[str, Cooldown] = {}  # of full length, the first to end first
        self._ended: list[str] = []

    def start(self, node: str, now: float, pod: str = "") -> float:
        """Start a node's cooldown, or start it anew; its length [s]. ``pod``: uid of the pod that overbooked the node;
        empty: a kubelet rejected a pod."""
        present, last = self._present.pop(node, None), self._last.get(node)
        length = present.length if present else min(2 * last.length, LONGEST_COOLDOWN) if last else FIRST_COOLDOWN
        may_end_early = present is None or bool(present.pod)
        self._present[node] = Cooldown(now + length, length, pod if may_end_early else "")
        self._ledger.set_cooldown(node, True)
        while len(self._present) > max(1, int(MOST_NODES * self._ledger.node_count)):
            self._end(next(iter(self._present)))
        return length

    def freed(self, node: str) -> None:
        """End a node's cooldown if the room that came back on it removed the reason."""
        cooldown = self._present.get(node)
        if cooldown is not None and cooldown.pod and not self._ledger.collides(cooldown.pod):
            self._end(node)

    def tick(self, now: float) -> list[str]:
        """End the cooldowns that are over; the nodes whose cooldown ended since the last call."""
        for node, cooldown in list(self._present.items()):
            if cooldown.until <= now:
                self._end(node)
                self._last[node] = cooldown
            elif self._ledger.node(node) is None:
                self._end(node)
            else:
                self.freed(node)
        self._forget(now)
        ended, self._ended = self._ended, []
        return ended

    def _end(self, node: str) -> None:
        del self._present[node]
        self._ledger.set_cooldown(node, False)
        self._ended.append(node)

    def _forget(self, now: float) -> None:
        for node in [node for node, cooldown in self._last.items() if cooldown.until + REMEMBERED <= now]:
            del self._last[node]
