"""Pending pods that another scheduler keeps room for on a node (``status.nominatedNodeName``).

Owns who is nominated where, and for whom that counts. What their room is, and giving it to them for a moment, is the
ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator

from peaks_scheduler.objects.pod import Pod

from .records import PodRecord


class NominatedPods:
    """See the module."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, PodRecord]] = {}

    def __len__(self) -> int:
        return len(self._by_node)

    def keep(self, record: PodRecord, node: str) -> None:
        """Room is kept for a pending pod on ``node``, and nowhere else; empty: nowhere."""
        uid = record.pod.uid
        if record.nominated:
            pods = self._by_node[record.nominated]
            del pods[uid]
            if not pods:
                del self._by_node[record.nominated]
        record.nominated = node
        if node:
            self._by_node.setdefault(node, {})[uid] = record

    def nodes_against(self, pod: Pod) -> Iterator[str]:
        """Nodes on which ``pod`` has rivals."""
        return (node for node in self._by_node if self.rivals(pod, node))

    def rivals(self, pod: Pod, node: str) -> list[PodRecord]:
        """Those that ``pod`` must leave room for on the node: of its priority or a higher one."""
        there = self._by_node[node].items()
        return [record for uid, record in there if uid != pod.uid and record.pod.priority >= pod.priority]
