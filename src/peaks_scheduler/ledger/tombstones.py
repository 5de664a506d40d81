"""Which objects are gone, so that late news of them can be told from news?

Owns two memories: the uids of the last objects that went, with the version in which they went, and, for objects that
are known by their names, the uid of the one that has each name now. A uid that is gone does not come back, whereas a
name does. News come late in many ways: watches hand on what waits for one object beside what waits for another, the
pages of a list are older than the watch that follows it, and the answer to a question of ours may have been on its way
when its object went. Whoever lets observations in asks here first. Never keeps more than ``KEPT`` uids of the gone:
that many may vanish in one outage. Pure.

Versions (``metadata.resourceVersion``) are compared as the numbers that they are. Where one is missing or no number,
everything about an object that is gone counts as late.
"""

from __future__ import annotations

from collections import defaultdict

KEPT = 10_000
"""As many pods as a cluster of the usual size has; some 2 MB."""

NEVER = 2**63
"""Later than every version: when the object went is not known."""


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
        """The object exists no more, and did not in this version of the cluster either."""
        if not uid:
            return
        known, number = self._gone.pop(uid, NEVER), _number(version)
        self._gone[uid] = known if number is None else number
        if len(self._gone) > self._kept:
            del self._gone[next(iter(self._gone))]

    def discard(self, uid: str) -> None:
        """It exists after all: it was read anew, long after it was taken for gone."""
        self._gone.pop(uid, None)

    def __contains__(self, uid: object) -> bool:
        return uid in self._gone

    def is_late(self, uid: str, version: str = "") -> bool:
        """Is this version of an object older than its end?"""
        end, number = self._gone.get(uid), _number(version)
        return end is not None and (number is None or number <= end)

    # -- objects that are known by their names

    def holders(self, kind: str) -> dict[str, str]:
        """Name -> uid of the object that has it."""
        return {name: uid for name, (uid, _) in self._holders[kind].items()}

    def passes(self, kind: str, name: str, uid: str, version: str = "", *, gone: bool = False) -> bool:
        """May this observation of an object be let in? If so, it is noted.

        Kept out is everything about an object that is gone, and about one whose name another has had since. An empty
        ``uid``: whoever has the name.
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
            self.add(holder)  # its end, still to come, is not the end of this one
        if uid:
            holders[name] = (uid, seen if number is None else number)
        return True


def _number(version: str) -> int | None:
    return int(version) if version.isdecimal() and len(version) < 20 else None
