"""The gate before the first decision: may this process decide about pods now?

Owns the conditions for that, and what is done when they come true. Conditions are added by whoever has one
(``require``): the first lists are in the ledger, one load fetch has ended, this replica leads.
"""

from __future__ import annotations

from collections.abc import Callable


def _nothing() -> None: ...


class Gate:
    """See the module."""

    def __init__(self) -> None:
        self._conditions: list[Callable[[], bool]] = []
        self._open = False
        self.on_open: Callable[[], None] = _nothing
        """Called once when all conditions have come true, and again after a change of leader."""
        self.on_change: Callable[[], None] = _nothing
        """Called at every ``changed``."""

    def require(self, condition: Callable[[], bool]) -> None:
        """Add a condition."""
        self._conditions.append(condition)

    def may_decide(self) -> bool:
        """Are all conditions true? False while there are none."""
        return bool(self._conditions) and all(condition() for condition in self._conditions)

    def changed(self) -> None:
        """A condition may have come true, or decisions may come out otherwise than before."""
        if not self._open and self.may_decide():
            self._open = True
            self.on_open()
        self.on_change()

    def leader_changed(self) -> None:
        """This replica has become the leader, or is the leader no more."""
        self._open = False
        self.changed()
