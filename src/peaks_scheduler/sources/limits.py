"""The largest answer that is accepted, in bytes, series and nodes, for the size of the cluster.

Owns these numbers and the message for an answer beyond them. A source that tells of more than the cluster can have is
wrong, belongs to another cluster, or is hostile; reading all of it could use up the scheduler's memory. A cluster of
unknown size counts as LARGE. Pure.
"""

from dataclasses import dataclass
from typing import Self

from peaks_scheduler.errors import LoadError

LARGE = 5_000
"""Nodes of a cluster of unknown size."""
LARGE_PODS = 50_000
MOST_NAME = 512
"""Characters of a name for a node: a DNS name has up to 253, a URL around it some more."""
MOST_TIME = 1e11
"""[s] since the epoch: the year 5138. A later time is an error."""
MOST_BODY = 64 * 2**20
KIB = 2**10
_FEW = 4 * 2**20  # bytes that every answer may have
_FEW_PODS = 8 * 2**20
_FEW_RANGES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest answer that is accepted."""

    body: int
    """[bytes]"""
    series: int
    """Series of a Prometheus, nodes of a load-watcher."""

    @classmethod
    def of_nodes(cls, nodes: int) -> Self:
        """For load-watcher: 8 KiB a node, four times what it sends with all metrics that it has."""
        return cls(_within(8 * KIB * (nodes or LARGE), _FEW), _series(nodes))

    @classmethod
    def of_vector(cls, nodes: int) -> Self:
        """For an instant query about nodes: 3 KiB a node, which is eight series of 400 bytes (as from two replicas and
        two jobs), or one series with all labels of a Kubernetes node."""
        return cls(_within(3 * KIB * (nodes or LARGE), _FEW), _series(nodes))

    @classmethod
    def of_range(cls, nodes: int) -> Self:
        """For a range query about nodes: 16 KiB a node, which is several series of 48 points."""
        return cls(_within(16 * KIB * (nodes or LARGE), _FEW_RANGES), _series(nodes))

    @classmethod
    def of_pods(cls, pods: int) -> Self:
        """For an instant query about pods: four series of 500 bytes a pod."""
        known = pods or LARGE_PODS
        return cls(_within(2 * KIB * known, _FEW_PODS), max(20_000, min(4 * known, 400_000)))

    def count(self, number: int, what: str) -> None:
        """Raises LoadError if ``number`` of ``what`` (series, nodes) are too many."""
        if number > self.series:
            raise LoadError(
                "malformed",
                f"expected at most {self.series:,} {what}, by the size of the cluster; more came: does it tell of "
                "several clusters? choose the series of this one (prometheus.match), or ask its own source",
            )


def _within(size: int, least: int) -> int:
    return max(least, min(size, MOST_BODY))


def _series(nodes: int) -> int:
    return max(10_000, min(8 * (nodes or LARGE), 100_000))
