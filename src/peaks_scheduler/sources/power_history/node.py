"""One node's CPU use and power over time, read out of Prometheus.

Owns the questions about one node, and which of its candidates has something to say: a constant 0 means that the sensor
is not there. Counters are asked for as they are, never as rates, so that resets stay visible; gauges as averages over
each step, of which the counter is made that they would have had. Never falls back on a lesser series because a query
failed, or because two series of the best one disagree: watts of less of the machine would pass for the same. Never
takes an estimate where a choice is of measurements.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.scope import ESTIMATE, WALL
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.load_queries import promql_duration
from peaks_scheduler.sources.prometheus.replicas import OUTER, DisagreeError, Likeness, alike, refuse_strangers

from .asking import Asker, Names, Question
from .exporters import NODE_CPU, NOT_BUSY, Candidate, Kind, Zone
from .origin import Origin, Told, origin
from .sums import Labels, integral, parts, sum_counters, sum_gauges

CpuUnit = Literal["ratio", "percent", "cores"]

_PERCENT_FOR_SURE = 1.5
_BUSY = Question(NODE_CPU, (f'mode!~"{NOT_BUSY}"',), "sum without (cpu, mode) (", ")")
_CPUS = Question(NODE_CPU, ('mode="idle"',), "count without (cpu, mode) (", ")")
_RATIO, _COUNT = Likeness("gauge", 0.03), Likeness("gauge", 0.5)
_SECONDS = Likeness("counter", 0.0, same_start=True)
_WATTS = 2.0  # that two looks at one sensor may differ by
_SCRAPED_BY = ("job", "endpoint", "service", "scrape_job")


class NoSeriesError(Exception):
    """A node has nothing that could be read after all; in words."""


@dataclass(frozen=True, slots=True)
class Queries:
    """What to ask for instead of what is known: PromQL of somebody's own, and what it gives."""

    power: str | None = None
    """One series a node, or several that are added: a gauge in W, or a counter in J (``..._joules_total``)."""
    cpu: str | None = None
    """One series a node: a gauge, or a counter of CPU seconds (``..._seconds_total``)."""
    cpu_unit: CpuUnit | None = None
    """Of ``cpu`` as a gauge; None: ratio, where the values allow it."""
    cores: float | None = None
    """CPUs of every node, for ``cpu`` in cores or CPU seconds."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate that one node has."""

    candidate: Candidate
    name: Names
    """By these labels the node is asked for."""
    known: tuple[Series, ...] | None = None
    """Its series where they are there already: a query of somebody's own cannot be narrowed to one node."""
    told: Told = field(default_factory=lambda: MappingProxyType({}))
    """What ``kepler_node_info`` says of the node."""
    estimated: bool = False
    """Of its series those that are no measurements; else those that are."""
    outer: frozenset[str] = frozenset()
    """Labels that the node's CPU series have with the same values as these: a Prometheus puts them on all series."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one node: of each list the first that has something to say."""

    node: str
    cpu: tuple[Choice, ...]
    power: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Total:
    """One node's CPU use or power as a running total."""

    values: Floats
    """(T,) on the grid: fraction-seconds or J. Falls at a reset; NaN where nothing is known."""
    part: str
    """What of the machine was measured."""
    source: str
    cpus: float | None = None
    """Number of CPUs, where the series tell."""
    notes: tuple[str, ...] = ()
    origin: Origin = field(default_factory=lambda: Origin(WALL))
    """Where the watts come from; of CPU use it says nothing."""


async def read_totals(asker: Asker, plan: Plan, queries: Queries) -> tuple[Total, Total]:
    """CPU and power of one node. Raises LoadError, and NoSeriesError where nothing in them can be used."""
    reader = _Reader(asker, queries)
    return await _first(plan.cpu, reader.cpu), await _first(plan.power, reader.power)


async def _first(choices: Sequence[Choice], read: Callable[[Choice], Awaitable[Total]]) -> Total:
    passed: list[str] = []
    for choice in choices:
        try:
            total = await read(choice)
        except DisagreeError as error:
            raise NoSeriesError(f"{choice.candidate.name}: {error}") from error
        except NoSeriesError as error:
            passed.append(f"{choice.candidate.name}: {error}")
            continue
        over = tuple(f"passed over {text}" for text in passed)
        return replace(total, notes=(*over, *total.notes))
    raise NoSeriesError("; ".join(passed))


class _Reader:
    """The questions about one node."""

    def __init__(self, asker: Asker, queries: Queries) -> None:
        self._asker, self._grid, self._queries = asker, asker.grid, queries

    # -- power

    async def power(self, choice: Choice) -> Total:
        candidate, notes = choice.candidate, list[str]()
        found = await self._zones(choice, notes)
        rows = np.concatenate([part.rows for _, part in found])
        total = sum_counters(rows) if candidate.kind == "counter" else self._integral(sum_gauges(rows), notes)
        part = f"{candidate.part} + dram" if len(found) > 1 else candidate.part
        source = " + ".join(zone.selector() for zone, _ in found)
        return Total(candidate.unit * total, part, source, None, tuple(notes), found[0][1].origin)

    async def _zones(self, choice: Choice, notes: list[str]) -> list[tuple[Zone, "_Parts"]]:
        """The zones that are there, the first of which has to be."""
        candidate = choice.candidate
        if choice.known is not None:
            its = _origin(choice, choice.known)
            return [(candidate.zones[0], _Parts(self._own(choice, choice.known, notes), its))]
        found = [(zone, await self._zone(choice, zone, notes)) for zone in candidate.zones]
        return [(zone, parts) for zone, parts in found if parts is not None]

    def _own(self, choice: Choice, series: Sequence[Series], notes: list[str]) -> Floats:
        """(P, T): what differs in more than what a Prometheus puts on all series is added."""
        kind, likeness = choice.candidate.kind, _of_power(choice.candidate)
        labels = sorted({label for each in series for label in each.labels})
        inner = [label for label in labels if label not in choice.outer and not OUTER.search(label)]
        found = parts(series, inner, self._grid, likeness)
        if not found:
            raise NoSeriesError("no sample in this time")
        at = [i for i, label in enumerate(inner) if label not in _SCRAPED_BY]
        kept = self._without_doubles(found, at, likeness)
        if len(kept) < len(series):
            notes.append(f"{len(series)} series of the query tell of {len(kept)}: by replicas or scraped twice")
        if len(kept) > 1:
            notes.append(f"{len(kept)} series of the query were added")
        rows = np.stack(kept)
        _refuse_nothing(rows, kind)
        return rows

    def _without_doubles(self, found: Mapping[Labels, Floats], at: Sequence[int], likeness: Likeness) -> list[Floats]:
        """Without those that only another job scraped, too: alike in the labels ``at`` these places, and in values."""
        kept: dict[Labels, list[Floats]] = {}
        for labels, row in found.items():
            same = kept.setdefault(tuple(labels[i] for i in at), [])
            if not any(_double(row, each, self._grid.step, likeness) for each in same):
                same.append(row)
        return [row for same in kept.values() for row in same]

    async def _zone(self, choice: Choice, zone: Zone, notes: list[str]) -> "_Parts | None":
        """None for one that may be missing and is."""
        candidate = choice.candidate
        try:
            series = await self._ask(Question(zone.metric, zone.conditions), choice.name, candidate.kind, notes)
            same = [each for each in series if _is_estimate(choice, each.labels) is choice.estimated]
            return self._largest(choice, zone, same, notes)
        except NoSeriesError as error:
            if zone is candidate.zones[0]:
                raise
            notes.append(f"without {zone.selector()}: {error}")
            return None

    def _largest(self, choice: Choice, zone: Zone, series: Sequence[Series], notes: list[str]) -> "_Parts":
        """Of sets of parts that measure the same, the one with the most power."""
        candidate = choice.candidate
        sets: dict[Labels, list[Series]] = {}
        for each in series:
            sets.setdefault(tuple(each.labels.get(label, "") for label in candidate.rivals), []).append(each)
        refuse_strangers(([each.labels for each in its] for its in sets.values()), candidate.rivals)
        found = {key: parts(its, candidate.parts, self._grid, _of_power(candidate)) for key, its in sets.items()}
        rows = {key: np.stack(list(its.values())) for key, its in found.items() if its}
        if not rows:
            raise NoSeriesError("no sample in this time")
        best = max(sorted(rows), key=lambda key: _level(rows[key], candidate.kind))
        _refuse_nothing(rows[best], candidate.kind)
        if len(rows) > 1:
            words = ", ".join(f"{label} {value}" for label, value in zip(candidate.rivals, best, strict=True) if value)
            notes.append(f"{zone.metric} comes {len(rows)} times, of which the largest counts: {words}")
        return _Parts(rows[best], _origin(choice, sets[best]))

    # -- CPU

    async def cpu(self, choice: Choice) -> Total:
        if choice.known is not None:
            return self._own_cpu(choice.known, choice.candidate.kind)
        if choice.candidate.zones[0].metric == NODE_CPU:
            return await self._node_exporter(choice.name)
        notes: list[str] = []
        series = await self._ask(Question(choice.candidate.name), choice.name, "gauge", notes)
        ratio = self._one(series, _RATIO)
        return Total(self._integral(ratio, notes), "CPU", choice.candidate.name, None, tuple(notes))

    async def _node_exporter(self, name: Names) -> Total:
        notes: list[str] = []
        seconds = self._one(await self._ask(_BUSY, name, "counter", notes), _SECONDS)
        counted = self._one((await self._asker.series(_CPUS, name)).series, _COUNT)
        cpus, times = np.unique(counted[~np.isnan(counted)], return_counts=True)
        usual = float(cpus[times.argmax()])
        if cpus.size > 1:
            left = int(times.sum() - times.max())
            notes.append(f"the number of CPUs changed; {left} samples without {usual:g} of them were left out")
        return Total(np.where(counted == usual, seconds, np.nan) / usual, "CPU", NODE_CPU, usual, tuple(notes))

    def _own_cpu(self, series: Sequence[Series], kind: Kind) -> Total:
        cores = self._queries.cores
        unit = "cores" if kind == "counter" else self._queries.cpu_unit or "ratio"
        whole = {"ratio": 1.0, "percent": 100.0}.get(unit) or cores or 1.0
        values = self._one(series, _SECONDS if kind == "counter" else Likeness("gauge", whole * _RATIO.floor))
        if unit == "cores" and cores is None:
            raise NoSeriesError("its CPU is in cores or CPU seconds: say how many CPUs a node has")
        most = float(np.nanmax(values))
        if kind == "gauge" and unit == "ratio" and most > _PERCENT_FOR_SURE:
            raise NoSeriesError(f"its CPU reaches {most:g}, which is no ratio: say whether it is percent or cores")
        values = values / whole
        notes: list[str] = []
        total = values if kind == "counter" else self._integral(values, notes)
        return Total(total, "CPU", "the query for CPU", cores, tuple(notes))

    # -- both

    async def _ask(self, question: Question, name: Names, kind: Kind, notes: list[str]) -> tuple[Series, ...]:
        if kind == "gauge":
            # a hair less than a step: what a sensor says is of the time before it is read, so that a sample at the
            # beginning of a step is one of the step before
            span = promql_duration(self._grid.step - 0.001)
            question = replace(question, before="avg_over_time(", after=f"[{span}])")
        matrix = await self._asker.series(question, name)
        notes += [problem for problem in matrix.problems if problem not in notes]
        return matrix.series

    def _one(self, series: Sequence[Series], likeness: Likeness) -> Floats:
        """(T,) of what is one series but for restarts and replicas."""
        found = parts(series, (), self._grid, likeness)
        if not found:
            raise NoSeriesError("no sample in this time")
        _refuse_nothing(found[()][None, :], likeness.kind)
        return found[()]

    def _integral(self, means: Floats, notes: list[str]) -> Floats:
        """(T,) the counter of a gauge. What is below 0 was not measured."""
        wrong = means < 0.0
        if wrong.any():
            notes.append(f"{int(wrong.sum())} values below 0 were left out")
        return integral(self._grid.times, np.where(wrong, np.nan, means))


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What is added for one zone."""

    rows: Floats
    """(P, T)"""
    origin: Origin


def _origin(choice: Choice, series: Sequence[Series]) -> Origin:
    """Of all of them together: what is not measured in part is not measured."""
    each = [origin(choice.candidate, one.labels, choice.told) for one in series]
    return next((one for one in each if one.doubt), each[0])


def _is_estimate(choice: Choice, labels: Mapping[str, str]) -> bool:
    return origin(choice.candidate, labels, choice.told).scope == ESTIMATE


def _of_power(candidate: Candidate) -> Likeness:
    return Likeness(candidate.kind, _WATTS / candidate.unit)


def _double(row: Floats, other: Floats, step: float, likeness: Likeness) -> bool:
    return bool(np.any(~np.isnan(row) & ~np.isnan(other))) and alike(row, other, step, likeness)


def _refuse_nothing(rows: Floats, kind: Kind) -> None:
    if kind == "counter" and _level(rows, kind) == 0.0:
        raise NoSeriesError("it stands still, so that nothing is measured")
    if kind == "gauge" and not np.any(np.nan_to_num(rows)):
        raise NoSeriesError("a constant 0, so that nothing is measured")


def _level(rows: Floats, kind: Kind) -> float:
    """How much the parts tell of, to compare sets of them: the sum of their means, or of what they count."""
    if kind == "gauge":
        return float(sum(row[~np.isnan(row)].mean() for row in rows))
    steps = [np.diff(row[~np.isnan(row)]) for row in rows]
    return float(sum(each[each > 0.0].sum() for each in steps))
