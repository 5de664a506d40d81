"""Volumes that a claim can still get, by storage class and sorted by size: the smallest that fits comes first.

Owns the order of the free volumes, and the lookup of volumes that are reserved for one claim. Assumes that it is told
of every change of a volume, assumptions included.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Sequence

from .records import Claim, Volume

Place = tuple[int, str]
"""(size [nB], name): volumes are tried in this order. kube-scheduler has no order among equal sizes."""


class VolumePool:
    """See the module."""

    def __init__(self) -> None:
        self._free: defaultdict[str, list[Place]] = defaultdict(list)
        self._kept: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)  # class and claim -> volumes
        self._changes: Counter[str] = Counter()

    def change(self, before: Volume | None, after: Volume | None) -> None:
        """A volume is new (``before`` is None), has changed, or is gone (``after`` is None)."""
        if before is not None:
            self._take_out(before)
        if after is not None:
            self._put_in(after)

    def changes(self, class_name: str) -> int:
        """A number that changes when the volumes of the class do."""
        return self._changes[class_name]

    def free(self, class_name: str, at_least: int) -> Sequence[Place]:
        """Volumes without a claim, of at least that size [nB], in order. Some may not be available."""
        places = self._free.get(class_name, [])
        return places[bisect_left(places, (at_least, "")) :]

    def kept_for(self, claim: Claim) -> list[str]:
        """Names of the volumes of the claim's class that are reserved for a claim of its name, sorted."""
        return sorted(self._kept.get((claim.class_name, claim.namespace, claim.name), ()))

    def _put_in(self, volume: Volume) -> None:
        self._changes[volume.class_name] += 1
        if volume.claim is None:
            insort(self._free[volume.class_name], (volume.size, volume.name))
        else:
            self._kept[volume.class_name, volume.claim.namespace, volume.claim.name].add(volume.name)

    def _take_out(self, volume: Volume) -> None:
        self._changes[volume.class_name] += 1
        if volume.claim is None:
            places = self._free[volume.class_name]
            del places[bisect_left(places, (volume.size, volume.name))]
            if not places:
                del self._free[volume.class_name]
            return
        kept = self._kept[volume.class_name, volume.claim.namespace, volume.claim.name]
        kept.discard(volume.name)
        if not kept:
            del self._kept[volume.class_name, volume.claim.namespace, volume.claim.name]
