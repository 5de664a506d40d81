"""What cooling and supply add to each node's watts, while the daemon runs: the signal ``overhead`` of every node.

Owns when it is told: before the first decision, soon after nodes come or change, and every 30 s with a cooling table,
since temperatures and the racks' power change. Without the setting nothing runs. The arithmetic is in ``ledger``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.overhead import Rack, racks_of, telling
from peaks_scheduler.observability.gauge import Gauge, Rows
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.power.cooling import CoolingTable
from peaks_scheduler.text.words import few

from .troubles import Troubles

NAME = "overhead"
LOOK_EVERY = 1.0  # [s] between two looks at the nodes
TELL_EVERY = 30.0  # [s] with a table: air and racks change slowly
SOON = 5.0  # [s] with a table, after nodes have changed: until then a new node has the largest factor of all racks
MOST_RACKS = 200
"""Racks that the gauges have a series of, the first by name."""


class OverheadKeeper(Keeper):
    """See the module.

    Args:
        overhead: None: the nodes' own watts count alone, and it does nothing.
        wall: [s] since the epoch.
    """

    def __init__(
        self, overhead: float | CoolingTable | None, ledger: Ledger, wall: Callable[[], float] = time.time
    ) -> None:
        self._overhead, self._ledger, self._wall = overhead, ledger, wall
        self._told: tuple[int, float] | None = None
        """(number of the nodes' changes, [s] time) when it was last told."""
        self.racks: Sequence[Rack] = ()
        self.failure = ""
        """Why the nodes are not told, in words; empty: they are."""
        self._troubles = Troubles()

    async def run(self) -> None:
        """Look every second until cancelled; decisions get their turn in between."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for _ in self.looking():
                await asyncio.sleep(0)

    def look(self) -> None:
        """Tell all nodes at once, if it is time to: before the first decision."""
        for _ in self.looking():
            pass

    def looking(self) -> Iterator[None]:
        """Tell the nodes, if it is time to, some from one element to the next."""
        overhead, now = self._overhead, self._wall()
        if overhead is None or not self._due(now):
            return
        self._told = self._ledger.node_changes, now
        snapshot = self._ledger.snapshot()
        racks = racks_of(self._ledger, snapshot, overhead) if isinstance(overhead, CoolingTable) else ()
        try:
            yield from telling(self._ledger, snapshot, overhead, racks, now)
            self.racks, self.failure = racks, ""
        except ValueError as error:  # a source of sensors has a signal of this name
            self.failure = f"not told to the nodes: {error}"
        uncertain = (self.failure, *(rack.name for rack in self.racks if rack.troubles))
        told = few([self.failure] if self.failure else self._uncertain())
        self._troubles.tell("overhead not known as well as it is configured", any(uncertain) and uncertain, why=told)

    def _due(self, now: float) -> bool:
        if self._told is None:
            return True
        changes, at = self._told
        changed = changes != self._ledger.node_changes
        if not isinstance(self._overhead, CoolingTable):
            return changed
        return not 0.0 <= now - at < (SOON if changed else TELL_EVERY)

    def _uncertain(self) -> list[str]:
        return [f"{rack.name}: {'; '.join(rack.troubles)}" for rack in self.racks if rack.troubles]

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        if self.failure or (uncertain := self._uncertain()):
            return Health.degraded(self.failure or few(uncertain, 3))
        if isinstance(self._overhead, CoolingTable):
            return Health.ok(f"cooling of {len(self.racks)} racks")
        return Health.ok(f"every watt counts {self._overhead:g} times")

    def tasks(self) -> Tasks:
        return {} if self._overhead is None else {NAME: self.run()}

    def checks(self) -> Sequence[Check]:
        return () if self._overhead is None else (Check(NAME, self.health),)

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        if self._overhead is None:
            return ()
        return (
            Gauge("peaks_power_overhead_ratio",
                  "Factor of cooling and supply on a node's watts, by rack; without a rack where it is a constant.",
                  self._factors, ("rack",)),
            Gauge("peaks_rack_power_watts",
                  "Power of a rack's nodes by their models, without cooling and supply.",
                  self._watts, ("rack",)),
        )
    # fmt: on

    def _factors(self) -> Rows:
        if isinstance(self._overhead, CoolingTable):
            return [((rack.name,), rack.factor) for rack in self.racks[:MOST_RACKS]]
        return [] if self._overhead is None else [(("",), self._overhead)]

    def _watts(self) -> Rows:
        return [((rack.name,), rack.watts) for rack in self.racks[:MOST_RACKS]]
