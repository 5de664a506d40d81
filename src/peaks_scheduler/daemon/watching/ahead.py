"""Waiting pods that kopf shows before the reflector of the pods does.

Owns what is believed of them. Two watches tell of the same pods, and either may be ahead. Versions of the cluster
decide: the reflector has told all changes up to the version that it has reached. What kopf shows of an older version
is no news, and may be out of date. What kopf shows of a newer one is taken; if the reflector then reaches that version
and has not shown the pod, the pod vanished before a list of the reflector, and nobody will tell. While a list is read
the reflector has reached nothing, and kopf is not listened to: the watch after the list brings the same. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from collections.abc import Set as AbstractSet


class PodsAhead:
    """See the module. A container of the uids of pods that kopf alone has shown."""

    def __init__(self) -> None:
        self._reached: int | None = None  # None: unknown
        self._seen: dict[str, int] = {}  # uid -> version that kopf showed first
        self._order: list[tuple[int, str]] = []  # a heap of the same

    def __contains__(self, uid: object) -> bool:
        return uid in self._seen

    def is_news(self, version: int) -> bool:
        """Has the reflector yet to come to this version?"""
        return self._reached is not None and version > self._reached

    def add(self, uid: str, version: int) -> None:
        """kopf has shown a new pod in this version."""
        self._seen[uid] = version
        heapq.heappush(self._order, (version, uid))

    def heard(self, uid: str) -> None:
        """The reflector has shown the pod."""
        self._seen.pop(uid, None)

    def begins(self) -> None:
        """A list begins."""
        self._reached = None

    def listed(self, uids: AbstractSet[str], version: str) -> None:
        """A list has come whole. Pods that are newer than it stay here, all others are heard of or gone."""
        self._reached = at = number(version) or None
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid not in uids and at is not None and seen > at}
        self._order = [(seen, uid) for uid, seen in self._seen.items()]
        heapq.heapify(self._order)

    def reached(self, version: str) -> Iterator[tuple[str, str]]:
        """The reflector has told all changes up to this version: the pods that are gone, and the version of each in
        which kopf showed it."""
        if self._reached is None:
            return
        self._reached = max(self._reached, number(version))
        while self._order and self._order[0][0] <= self._reached:
            seen, uid = heapq.heappop(self._order)
            if self._seen.get(uid) == seen:
                del self._seen[uid]
                yield uid, str(seen)


def number(version: str | None) -> int:
    """A version of the cluster; 0: it cannot be compared."""
    return int(version) if version and version.isdecimal() and len(version) < 20 else 0
