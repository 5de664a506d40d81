"""Nodes at rest: where another scheduler's pod collided with one of ours, nothing is placed for a while.

Owns which nodes rest, and how long. There are two reasons:

- Overbooked: another's pod came to a node on which one of ours is, and the node now holds more than it has. The rest
  ends as soon as that is over: there is room again, or the pod that came has gone.
- Rejected: a kubelet turned one of our pods away for lack of room. The kubelet knows what the ledger does not, and may
  reject the next pod for the same reason, outdated by then (kubernetes#135296): only time ends such a rest.

No rest is longer than its time. The time doubles when a rest of full length is followed by another collision soon.
A rest that ended early is not remembered: whoever can create and delete pods could make it grow otherwise. At most one
node in ten rests at a time, whatever happens; the oldest rests end first. (A node alone may rest.) Assumes that it is
called for collisions with pods that this process placed, and ``tick`` every second.
"""

from __future__ import annotations

from dataclasses import dataclass

from peaks_scheduler.ledger.ledger import Ledger

FIRST_REST = 15.0  # [s]
LONGEST_REST = 240.0  # [s]
REMEMBERED = 600.0  # [s] after the end of a rest: a collision within this time doubles the next one
MOST_RESTING = 0.1  # share of all nodes; one node at least


@dataclass(frozen=True, slots=True)
class Rest:
    """One node's present or last rest; both in seconds, ``until`` monotonic."""

    until: float
    length: float
    pod: str = ""
    """uid of the pod whose collision it is; empty: only time ends this rest."""


class Cooling:
    """See the module; ``now`` is monotonic seconds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._resting: dict[str, Rest] = {}  # the oldest first
        self._rested: dict[str, Rest] = {}  # rests of full length, the first to end first
        self._over: list[str] = []

    def cool(self, node: str, now: float, pod: str = "") -> float:
        """Rest the node from now on; for how long [s]. One at rest already begins its rest anew. ``pod``: the uid of
        the pod that overbooked it; empty: a kubelet rejected a pod."""
        present, last = self._resting.pop(node, None), self._rested.get(node)
        length = present.length if present else min(2 * last.length, LONGEST_REST) if last else FIRST_REST
        until_it_is_gone = present is None or bool(present.pod)
        self._resting[node] = Rest(now + length, length, pod if until_it_is_gone else "")
        self._ledger.set_cooldown(node, True)
        while len(self._resting) > max(1, int(MOST_RESTING * self._ledger.node_count)):
            self._end(next(iter(self._resting)))
        return length

    def freed(self, node: str) -> None:
        """Room came back on a node: has its rest lost its reason?"""
        rest = self._resting.get(node)
        if rest is not None and rest.pod and not self._ledger.collides(rest.pod):
            self._end(node)

    def tick(self, now: float) -> list[str]:
        """End the rests that are over; the nodes whose rests have ended since the last time."""
        for node, rest in list(self._resting.items()):
            if rest.until <= now:
                self._end(node)
                self._rested[node] = rest
            elif self._ledger.node(node) is None:
                self._end(node)
            else:
                self.freed(node)
        self._forget(now)
        over, self._over = self._over, []
        return over

    def _end(self, node: str) -> None:
        del self._resting[node]
        self._ledger.set_cooldown(node, False)
        self._over.append(node)

    def _forget(self, now: float) -> None:
        for node in [node for node, rest in self._rested.items() if rest.until + REMEMBERED <= now]:
            del self._rested[node]
