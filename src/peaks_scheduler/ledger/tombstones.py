"""Tombstones: which objects were deleted, so that a late observation of one is not taken for a new object.

Owns the uids of the objects deleted last, with the version of the deletion, and, for kinds that are known by name, the
uid of the object that has each name now. A deleted uid never comes back; a name can. Observations come late in many
ways: events of several objects overtake one another, the pages of a list are older than the watch that follows, and
the answer to a request may have been sent before its object was deleted. Who feeds the ledger asks here first. Keeps
at most ``KEPT`` uids: as many may vanish in one outage. Pure.

Versions (``metadata.resourceVersion``) are compared as numbers. Where a version is missing or is not a number, every
observation of a deleted object counts as late.
"""

from __future__ import annotations

from collections import defaultdict

KEPT = 10_000
"""As many pods as a cluster of the usual size has; some 2 MB."""

NEVER = 2**63
"""Larger than every version: the version of the deletion is not known."""


class Tombstones:
    """See the module."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._gone: dict[str, int] = {}  # uid -> version of its end; oldest first
        self._holders: defaultdict[str, dict[str, tuple[str, int]]] = defaultdict(dict)  # kind -> name -> uid, version

    def __len__(self) -> int:
        return len(self._gone)

    def copy(self) -> Tombstones:
        """An independent copy."""
        other = Tombstones(self._kept)
        other._gone = dict(self._gone)
        other._holders.update({kind: dict(holders) for kind, holders in self._holders.items()})
        return other

    def add(self, uid: str, version: str = "") -> None:
        """The object is deleted, and was in this version of the cluster already."""
        if not uid:
            return
        known, number = self._gone.pop(uid, NEVER), _number(version)
        self._gone[uid] = known if number is None else number
        if len(self._gone) > self._kept:
            del self._gone[next(iter(self._gone))]

    def discard(self, uid: str) -> None:
        """The object exists after all: it was read again, long after it was taken for deleted."""
        self._gone.pop(uid, None)

    def __contains__(self, uid: object) -> bool:
        return uid in self._gone

    def is_late(self, uid: str, version: str = "") -> bool:
        """Is this version of an object from before its deletion?"""
        end, number = self._gone.get(uid), _number(version)
        return end is not None and (number is None or number <= end)

    # -- objects that are known by name

    def holders(self, kind: str) -> dict[str, str]:
        """Name -> uid of the object that has the name."""
        return {name: uid for name, (uid, _) in self._holders[kind].items()}

    def passes(self, kind: str, name: str, uid: str, version: str = "", *, gone: bool = False) -> bool:
        """May the ledger take this observation? If so, it is noted here.

        Refused are observations of a deleted object, and of one whose name another object has taken since. An empty
        ``uid`` means the object that has the name now.
        """
        holders = self._holders[kind]
        holder, seen = holders.get(name, (uid, 0))
        if gone:
            self.add(uid or holder, version)
            if uid not in ("", holder):
                return False
            holders.pop(name, None)
            return True
        if self.is_late(uid, version):
            return False
        number = _number(version)
        if holder != uid and number is not None and number < seen:
            self.add(uid)
            return False
        if holder != uid:
            self.add(holder)  # when its deletion is observed later, that is not the deletion of this object
        if uid:
            holders[name] = (uid, seen if number is None else number)
        return True


def _number(version: str) -> int | None:
    return int(version) if version.isdecimal() and len(version) < 20 else None
