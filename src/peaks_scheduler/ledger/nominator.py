"""Nominated pods: pending pods that another scheduler keeps room for on a node (``status.nominatedNodeName``).

Owns which pod is nominated to which node, and for which pods that counts. The ledger counts their resources on the node
for the time of a check (``with_nominated``).
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
        """The pod is nominated to ``node`` and to no other; empty: to none."""
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
        """Nodes with nominated pods that ``pod`` must leave room for."""
        return (node for node in self._by_node if self.before(pod, node))

    def before(self, pod: Pod, node: str) -> list[PodRecord]:
        """Nominated pods on the node that ``pod`` must leave room for: of its priority or a higher one."""
        there = self._by_node[node].items()
        return [record for uid, record in there if uid != pod.uid and record.pod.priority >= pod.priority]
