"""The carbon intensity of the grid while the daemon runs: read from its file, told to every node as signals.

Owns the promise that the last good file stays in force until its own end: then its values expire, and the nodes have no
cost in grams. The file is read in a thread, at the start and whenever it changes. Nodes are told when the minute, the
nodes or the file change.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import stamp
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.gauge import Gauge, by_key
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.text.words import few

from .models import in_thread

if TYPE_CHECKING:  # its reader takes long to import, and most clusters have no such file
    from peaks_scheduler.sources.carbon_file import Forecast

logger = logging.getLogger(__name__)

READ_EVERY = 5.0  # [s] between two looks at the file
LOOK_EVERY = 1.0  # [s] between two looks at nodes and clock
MINUTE = 60.0  # [s] the means move that often


class CarbonKeeper(Keeper):
    """See the module. ``path`` None: there is no file, and it does nothing. ``wall``: [s] since the epoch."""

    def __init__(self, path: str | None, ledger: Ledger, wall: Callable[[], float] = time.time) -> None:
        self._path, self._ledger, self._wall = path, ledger, wall
        self._forecast: Forecast = {}
        self._stamp: tuple[int, ...] | None = None
        self._told: tuple[int, int] | None = None  # number of the minute and of the nodes' changes, when last told
        self.failure = ""
        self.unknown: tuple[str, ...] = ()
        """Nodes whose intensity is not known now."""

    def load(self) -> None:
        """Read the file at the start. Raises ConfigurationError."""
        if self._path is not None:
            self._take(self._read(self._path))
            if self.failure:
                raise ConfigurationError(self.failure)

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while (path := self._path) is not None:
            await asyncio.sleep(READ_EVERY)
            self._take(await in_thread(partial(self._read, path)))

    def look(self) -> None:
        """Tell the nodes what has changed for them."""
        now = self._wall()
        state = (int(now // MINUTE), self._ledger.node_changes)
        if self._forecast and state != self._told:
            from peaks_scheduler.sources.carbon_file import tell_intensity

            self._told = state
            self.unknown = tell_intensity(self._ledger, self._forecast, now)

    # -- in the thread

    def _read(self, path: str) -> Forecast | str | None:
        """The forecast of a changed file, or what is wrong with it; None if it has not changed."""
        from peaks_scheduler.sources.carbon_file import read_carbon

        before, self._stamp = self._stamp, None
        try:
            now = self._stamp = stamp(os.stat(path))  # a wrong text is not read again until it changes
            return None if now == before else read_carbon(path)
        except (ConfigurationError, OSError) as error:
            return str(error)
        except Exception as error:  # whatever the file makes the parser do, the daemon goes on
            logger.exception("carbon file not understood", extra={"file": path})
            return f"{path}: expected a file of carbon intensity, got: {type(error).__name__}: {error}"

    # -- on the loop

    def _take(self, found: Forecast | str | None) -> None:
        if isinstance(found, str):
            if found != self.failure:
                logger.warning("carbon file not used, the last good one stays in force", extra={"error": found})
            self.failure = found
        elif found is not None:
            self._forecast, self._told, self.failure = found, None, ""
            logger.info("carbon intensity read", extra={"file": self._path, "regions": len(found)})
            self.look()

    # -- health

    def health(self) -> Health:
        """For ``/readyz?verbose``."""
        nodes = f"nodes whose grid has no intensity now: {few(self.unknown)}" if self.unknown else ""
        trouble = "; ".join(filter(None, (self.failure, nodes)))
        return Health.degraded(trouble) if trouble else Health.ok()

    def _by_region(self) -> dict[str, float]:
        """[gCO2/kWh] now, of the regions where it is known."""
        now = self._wall()
        found = {region or "*": each.at(now) for region, each in self._forecast.items()}
        return {region: grams for region, grams in found.items() if grams == grams}  # NaN is not equal to itself

    def tasks(self) -> Tasks:
        return {"carbon": self.run(), "carbon-signals": every(LOOK_EVERY, self.look)} if self._path else {}

    def checks(self) -> Sequence[Check]:
        return (Check("carbon", self.health),) if self._path else ()

    def gauges(self) -> Sequence[Gauge]:
        if self._path is None:
            return ()
        meaning = "Carbon intensity of the grid now by region of `carbon.path`; `*`: of all others. gCO2/kWh."
        return (Gauge("peaks_carbon_intensity_grams_per_kwh", meaning, lambda: by_key(self._by_region()), ("region",)),)
