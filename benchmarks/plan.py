"""The size of a run. Everything else follows from these numbers and the seed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of every part."""

    nodes: int = 5_000
    backlog: int = 5_000
    """Pods that wait when the scheduler starts."""
    stream: int = 5_000
    """Pods that arrive afterwards, one by one. With the backlog they are the 10,000 pods for the memory figures."""
    rate: float = 150.0
    """Mean arrivals of the stream [pods/s]. Both schedulers can sustain it on two cores."""
    rounds: int = 3
    """Turns of each scheduler. The schedulers take turns in beginning."""
    repeats: int = 1_000
    """Decisions of each kind."""
    crowd: int = 200
    """Pods of each kind in ``constraints``."""
    feed: int = 10_000
    """Pods in ``feed``, each listed once and changed once."""
    clusters: int = 10
    """Clusters of measured servers in ``strategies``."""
    churns: int = 2
    """How many of these clusters have pods that come and go."""
    cases: tuple[str, ...] = ()
    """Cases of ``scheduler-perf``, by name or a part of it; empty: all that can be run."""
    minutes: float = 20.0
    """Length of ``soak`` [min]."""
    bound: int = 150_000
    """Pods on nodes when a scheduler starts, in ``start``."""
    seed: int = 1
    logs: str = ""
    """Folder for the logs of the control plane and the schedulers; empty: a temporary one."""

    @property
    def pods(self) -> int:
        """Pods bound at the end of a turn."""
        return self.backlog + self.stream

    @property
    def full(self) -> bool:
        """Is it large enough for the aims to apply?"""
        return self.nodes >= 5_000 and self.pods >= 10_000


QUICK = Plan(
    nodes=500,
    backlog=500,
    stream=200,
    rate=100.0,
    rounds=1,
    repeats=200,
    crowd=20,
    feed=1_000,
    clusters=1,
    churns=0,
    minutes=4.0,
    bound=5_000,
)
"""Shows that everything works, in about a minute; its numbers mean little."""
