"""The nodes' sensors, read from all sources every interval, judged, and told to every node as signals.

Owns what becomes of a reading: the first source that knows a signal of a node counts, a value that no working sensor
would give does not (``sources.sensors.plausible``), and what counts expires by the time of its measurement. Each source
has a task of its own, so that a slow one delays no other. Trouble is logged once per change, shown all the time, and
never stops the scheduling: a node whose value has expired is judged as one without a sensor.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

from peaks_scheduler.daemon.keeper import Keeper, Tasks
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.gauge import Gauge, Rows, by_key, single
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.settings.sensors import CELSIUS, PASCAL, UNITS, SensorSettings
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.problems import Problems
from peaks_scheduler.sources.sensors.all_sensors import merged, passed_over
from peaks_scheduler.sources.sensors.plausible import REASONS, Judge, Judged
from peaks_scheduler.sources.sensors.source import Reading, Readings, SensorSource
from peaks_scheduler.text.words import few

from .periodic import PeriodicKeeper
from .troubles import Troubles

Held = Mapping[str, Mapping[str, Reading]]
"""Node -> signal -> reading."""
New = Mapping[tuple[str, bool, int], Mapping[str, Reading]]
"""(signal, is it constant, whole second of its time) -> node -> reading."""
_NAMED = 3600.0  # [s] for which a value that has expired is named
_A_TURN = 250  # nodes that are told at a time: each may have its model computed anew


class _Reader(PeriodicKeeper):
    """Reads one source every interval, and calls ``took`` where it gave something, this time or the last."""

    def __init__(
        self,
        source: SensorSource,
        interval: float,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        took: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(f"sensors-{source.name}", source.name, "sensors not read", interval, telemetry, known=known)
        self.name, self.source, self._ledger, self._took = f"sensors-{source.name}", source, ledger, took
        self.readings = Readings()
        self.asked = False

    async def once(self) -> None:
        """One round over all nodes."""
        found = await self._answer(self.source.fetch(tuple(self._ledger.nodes())))
        before, self.readings = self.readings, Readings(failures={"": self.failure}) if found is None else found
        if found is not None:
            self._note(found)
        self.asked = True
        if before.by_node or self.readings.by_node:
            await self._answer(self._took())  # whatever its readings make of the others, scheduling goes on

    def _note(self, found: Readings) -> None:
        problems = Problems()
        for node, text in found.failures.items():
            problems.add(text, node or None)
        if texts := problems.texts():
            self._failed("; ".join(texts), few(texts))
        elif found.by_node or self.failure:
            self._succeeded("sensors read", source=self.source.name, nodes=len(found.by_node))

    async def aclose(self) -> None:
        await self.source.aclose()


class SensorKeeper(Keeper):
    """See the module. Without sources it has no task, no check and no gauge.

    Args:
        known: set once all nodes are in the ledger.
        on_round: called after each round of a source that gave something.
        wall: [s] since the epoch.
    """

    def __init__(
        self,
        sources: Sequence[SensorSource],
        settings: SensorSettings,
        ledger: Ledger,
        telemetry: Telemetry,
        known: asyncio.Event,
        on_round: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._ledger, self._on_round, self._wall = settings, ledger, on_round, wall
        self._nodes_seen = 0  # number of the nodes' changes, when last judged
        self._readers = [_Reader(source, settings.interval, ledger, telemetry, known, self._take) for source in sources]
        self._judge, self._judged = Judge(), Judged()
        self._held: dict[str, dict[str, Reading]] = {}
        self._refused: dict[str, str] = {}  # signal -> why the ledger does not take it
        self._turn, self._troubles = asyncio.Lock(), Troubles()

    def latest(self, node: str) -> Mapping[str, Reading]:
        """Signal -> the reading that counts now."""
        now = self._wall()
        return {signal: each for signal, each in self._held.get(node, {}).items() if self._counts(each, now)}

    async def once(self) -> None:
        """One round over all sources, one after another."""
        for reader in self._readers:
            await reader.once()

    # -- one round

    async def _take(self) -> None:
        """Judge what the sources gave last, and tell the nodes what is new."""
        async with self._turn:
            given = [(each.source.name, each.readings) for each in self._readers]
            neighbours = {node.name: node.labels.get(self._settings.neighbours, "") for node in self._ledger.nodes()}
            # thousands of nodes take long enough to delay a bind
            renew, self._nodes_seen = self._ledger.node_changes != self._nodes_seen, self._ledger.node_changes
            self._judged, new = await off_loop(partial(self._judge_all, given, neighbours, self._wall(), renew))
            self._report_marks()
            self._withdraw(self._judged.values)
            self._forget(neighbours, self._wall())
            await self._tell(new)
        self._on_round()

    async def _tell(self, new: New) -> None:
        """Set the signals that are new, some nodes at a time."""
        for (signal, constant, second), readings in new.items():
            expires = math.inf if constant else second + self._settings.expiry
            names = list(readings)
            for start in range(0, len(names), _A_TURN):
                some = names[start : start + _A_TURN]
                self._set(signal, {name: readings[name].value for name in some}, float(second), expires)
                for name in some:
                    self._held.setdefault(name, {})[signal] = readings[name]
                await asyncio.sleep(0)

    # -- in the thread

    def _judge_all(
        self, given: Sequence[tuple[str, Readings]], neighbours: Mapping[str, str], now: float, renew: bool
    ) -> tuple[Judged, New]:
        """What counts of the readings of all sources, and what of that is new to the nodes.

        ``renew``: nodes have come or gone, and one that was made anew has lost its constants.
        """
        counting = merged(given).by_node
        judged = self._judge.judge(counting, neighbours)
        marks = passed_over(given, counting)
        for node, marked in judged.marks.items():
            marks[node] = {**marks.get(node, {}), **marked}
        judged = Judged(judged.values, marks)
        new: dict[tuple[str, bool, int], dict[str, Reading]] = {}
        for node, its in judged.values.items():
            held = self._held.get(node, {})
            for signal, each in its.items():
                if (each != held.get(signal) or (renew and each.constant)) and self._counts(each, now):
                    new.setdefault((signal, each.constant, math.floor(each.time)), {})[node] = each
        return judged, new

    # -- on the loop

    def _forget(self, nodes: Mapping[str, object], now: float) -> None:
        """Forget nodes that are gone, and values that expired long ago."""
        for node, held in list(self._held.items()):
            for signal in [s for s, each in held.items() if not each.constant and now >= each.time + _NAMED]:
                del held[signal]
            if not held or node not in nodes:
                del self._held[node]

    def _withdraw(self, values: Held) -> None:
        """Forget constants that nobody says any more: they do not expire."""
        for node, held in self._held.items():
            gone = [s for s, each in held.items() if each.constant and s not in values.get(node, ())]
            for signal in gone:
                del held[signal]
                self._set(signal, {node: math.nan}, self._wall(), math.inf)

    def _set(self, signal: str, values: Mapping[str, float], time: float, expires: float) -> None:
        try:
            self._ledger.set_signal(signal, values, unit=UNITS.get(signal, ""), time=time, expires=expires)
            self._refused.pop(signal, None)
        except ValueError as error:  # the name is in use for something else
            self._refused[signal] = str(error)

    def _counts(self, reading: Reading, now: float) -> bool:
        return reading.constant or now < math.floor(reading.time) + self._settings.expiry

    # -- troubles

    def _report_marks(self) -> None:
        texts = self._marked().texts()
        self._troubles.tell("sensor values that do not count", texts, values=few(texts))

    def _marked(self) -> Problems:
        problems = Problems()
        for node, marks in self._judged.marks.items():
            for mark in marks.values():
                problems.add(mark.text, node)
        return problems

    def _flaws(self) -> Iterator[str]:
        failures = Problems()
        for reader in self._readers:
            if not reader.asked:
                failures.add(f"{reader.source.name}: not read yet")
            for node, text in reader.readings.failures.items():
                failures.add(f"{reader.source.name}: {text}", node or None)
        now = self._wall()
        for node, held in self._held.items():
            for signal, each in held.items():
                if not self._counts(each, now):
                    failures.add(f"{signal} is older than {self._settings.expiry:g} s and does not count", node)
        return iter((*self._refused.values(), *self._marked().texts(), *failures.texts()))

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        flaws = tuple(self._flaws())
        return Health.degraded(few(flaws)) if flaws else Health.ok()

    # -- what others see

    def tasks(self) -> Tasks:
        # two sources may have one name: BMCs that the configuration names, and BMCs that the cluster names
        return {f"{reader.name}-{number}": reader.run() for number, reader in enumerate(self._readers)}

    def checks(self) -> Sequence[Check]:
        return (Check("sensors", self.health),) if self._readers else ()

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        if not self._readers:
            return ()
        return (
            Gauge("peaks_sensor_nodes", "Nodes that have a value of the signal which counts.",
                  lambda: by_key(self._nodes_by_signal()), ("signal",)),
            Gauge("peaks_sensor_marked_values", "Sensor values of the last round that do not count, by reason.",
                  lambda: by_key(self._marks_by_reason()), ("reason",)),
            Gauge("peaks_sensor_age_seconds", "Age of the oldest sensor value that counts; constants have none.",
                  lambda: [] if (age := self._age()) is None else single(age)),
            Gauge("peaks_node_temperature_celsius", "Temperature of the node that counts now, by signal.",
                  lambda: self._rows(CELSIUS), ("node", "signal"), per_node=True),
            Gauge("peaks_node_pressure_pascals", "Pressure of the node that counts now, by signal.",
                  lambda: self._rows(PASCAL), ("node", "signal"), per_node=True),
        )
    # fmt: on

    def _present(self) -> Iterator[tuple[str, str, Reading]]:
        """Node, signal and reading of all that counts now."""
        now = self._wall()
        for node, held in self._held.items():
            yield from ((node, signal, each) for signal, each in held.items() if self._counts(each, now))

    def _nodes_by_signal(self) -> Mapping[str, float]:
        known = {signal: 0 for held in self._held.values() for signal in held}
        return known | Counter(signal for _, signal, _ in self._present())

    def _marks_by_reason(self) -> Mapping[str, float]:
        if not self._held and not self._judged.marks:
            return {}  # no sensor has given anything yet
        counts = Counter(mark.reason for marks in self._judged.marks.values() for mark in marks.values())
        return {reason: counts[reason] for reason in REASONS}

    def _age(self) -> float | None:
        oldest = min((each.time for _, _, each in self._present() if not each.constant), default=None)
        return None if oldest is None else max(0.0, self._wall() - oldest)

    def _rows(self, unit: str) -> Rows:
        return [((node, s), each.value) for node, s, each in self._present() if UNITS.get(s, "") == unit]

    async def aclose(self) -> None:
        for reader in self._readers:
            await reader.aclose()
