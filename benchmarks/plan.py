"""How large a run is. Everything else about it follows from these numbers and the seed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of every part."""

    nodes: int = 5_000
    backlog: int = 5_000
    """Pods that wait when the scheduler starts."""
    stream: int = 5_000
    """Pods that arrive afterwards, one by one; with the backlog the 10,000 pods that memory is judged at."""
    rate: float = 150.0
    """Mean arrivals [pods/s] of the stream, which both schedulers can sustain on two cores."""
    rounds: int = 3
    """Turns of each scheduler. Who begins alternates."""
    repeats: int = 1_000
    """Decisions of each kind."""
    crowd: int = 200
    """Pods of each kind that are decided under constraints."""
    feed: int = 10_000
    """Pods that the watches of the feed part bring, listed once and changed once."""
    clusters: int = 10
    """Clusters of measured servers that are filled."""
    churns: int = 2
    """Of them those in which pods come and go."""
    seed: int = 1
    logs: str = ""
    """Folder that keeps the logs of the control plane and the schedulers; a temporary one where empty."""

    @property
    def pods(self) -> int:
        """Pods that are bound at the end of a turn."""
        return self.backlog + self.stream

    @property
    def full(self) -> bool:
        """Is it as large as the aims are meant for?"""
        return self.nodes >= 5_000 and self.pods >= 10_000


QUICK = Plan(
    nodes=500, backlog=500, stream=200, rate=100.0, rounds=1, repeats=200, crowd=20, feed=1_000, clusters=2, churns=0
)
"""Shows that everything works, in about a minute; its numbers mean little."""
