"""Annotations of nodes that could not be read: told in the log and on ``/readyz?verbose``."""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.text.words import few

from .troubles import Troubles

LOOK_EVERY = 1.0  # [s]


class AnnotationKeeper(Keeper):
    """See the module."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._troubles = Troubles()

    def _unreadable(self) -> tuple[str, ...]:
        return tuple(f"{node}: {'; '.join(texts)}" for node, texts in sorted(self._ledger.oddities.items()))

    def look(self) -> None:
        """Log what is new."""
        unreadable = self._unreadable()
        self._troubles.tell("annotation of a node not used", unreadable, nodes=few(unreadable))

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        unreadable = self._unreadable()
        return Health.degraded(f"annotations of nodes not used: {few(unreadable)}") if unreadable else Health.ok()

    def tasks(self) -> Tasks:
        return {"annotations": every(LOOK_EVERY, self.look)}

    def checks(self) -> Sequence[Check]:
        return (Check("annotations", self.health),)
