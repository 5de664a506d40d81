"""Load from Prometheus: node_exporter's CPU seconds, Kepler's usage ratio, or a query of one's own.

Owns which label names a node, what values can be true, and how old a value is: as old as the newest sample of its node;
what a query of one's own works out tells no such time and counts as of now. Where several collectors watch a node the
first of the table counts; the others' keys are ``spare``. A query that fails never drops the others: it is a problem of
the report. Never judges age, never retries.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from peaks_scheduler.errors import LoadError
from peaks_scheduler.load import LoadReport, NodeLoad

from .problems import Problems
from .prometheus_api import PrometheusApi, Sample, Vector
from .prometheus_queries import MEMORY, Collector, collectors, own_collector

NODE_LABELS = ("node", "node_name", "nodename", "kubernetes_node", "instance")
"""Labels that name a node, the first that a series has counts."""

_BEYOND_BELIEF, _PERCENT_FOR_SURE = 1.1, 1.5
_A_LITTLE_BELOW = -0.02  # 1 - rate(idle) gets there: Prometheus extrapolates to the edges of a window
_DISAGREE = 0.1
_OFF_THE_LOOP = 1000  # more samples are read in a thread: 5,000 nodes take 50 ms, which would delay a bind


class PrometheusLoad:
    """The nodes' load as one Prometheus knows it.

    Args:
        api: whom to ask; its time limit is that of a fetch.
        window: [s] that the use is averaged over. Of ``cpu_query`` it is what that query itself averages over.
        cpu_query, memory_query: PromQL in place of the defaults, one series a node; memory in bytes in use.
        cpu_unit: what ``cpu_query`` gives: ``ratio`` 0..1, ``percent`` 0..100 or ``cores``.
        node_label: the label that names a node; None: the first of NODE_LABELS that a series has.
        clock: seconds since the epoch, ours.
    """

    name = "prometheus"

    def __init__(
        self,
        api: PrometheusApi,
        *,
        window: float = 300.0,
        cpu_query: str | None = None,
        memory_query: str | None = None,
        cpu_unit: str = "ratio",
        node_label: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._window, self._clock = api, window, clock
        self._collectors = (own_collector(cpu_query, cpu_unit),) if cpu_query else collectors(window)
        self._memory = memory_query or MEMORY
        self._labels = (node_label,) if node_label else NODE_LABELS

    async def fetch(self) -> LoadReport:
        """Ask once, all queries at the same time.

        Raises LoadError: of the kinds of PrometheusApi.query where no query for CPU was answered, unit where a ratio is
        none, empty where no node came out.
        """
        queries = [self._memory, *(query for each in self._collectors for query in (each.values, each.newest))]
        memory, *answers = await asyncio.gather(*map(self._answer, queries))
        read = partial(self._read, memory, answers, self._clock())
        many = sum(len(each.samples) for each in answers if isinstance(each, Vector)) > _OFF_THE_LOOP
        try:
            return await asyncio.to_thread(read) if many else read()
        except LoadError as error:
            if error.kind in _OURS:
                raise LoadError(error.kind, f"{self._api.where}: {error}") from error
            raise

    def _read(self, memory: Vector | LoadError, answers: Sequence[Vector | LoadError], fetched_at: float) -> LoadReport:
        reading = _Reading(self._labels, self._window, fetched_at)
        for collector, values, newest in zip(self._collectors, answers[::2], answers[1::2], strict=True):
            reading.collect(collector, values, newest)
        reading.remember(memory)
        return reading.report()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def _answer(self, query: str) -> Vector | LoadError:
        try:
            return await self._api.query(query)
        except LoadError as error:
            return error


_OURS = ("empty", "unit")  # kinds of errors that do not say yet who was asked


@dataclass(frozen=True, slots=True)
class _Use:
    """What one series says of a node."""

    value: float
    end: float


class _Reading:
    """The answers of one fetch on their way to a report."""

    def __init__(self, labels: Sequence[str], window: float, fetched_at: float) -> None:
        self._labels, self._window, self._fetched_at = labels, window, fetched_at
        self._problems, self._failures = Problems(), list[LoadError]()
        self._loads: dict[str, NodeLoad] = {}
        self._spare: set[str] = set()
        self._memory: dict[str, float] = {}
        self._clock: Vector | None = None  # the answer that our idea of Prometheus' clock is from

    def collect(self, collector: Collector, values: Vector | LoadError, newest: Vector | LoadError) -> None:
        """Take in what one collector knows of nodes that none before it knew."""
        vector = self._usable(values, collector.name)
        if vector is None or not vector.samples:
            return
        if not collector.unit_is_sure and collector.unit == "ratio":
            self._look_at_unit(vector)
        self._clock = self._clock or vector
        ends = self._ends(self._usable(newest, f"the age of {collector.name}'s samples"))
        first = not self._loads
        for key, use in self._by_key(vector, ends, collector.unit).items():
            if key not in self._loads:
                self._loads[key] = self._load(use, collector.unit)
                if not first:
                    self._spare.add(key)

    def remember(self, memory: Vector | LoadError) -> None:
        """Take in memory in use: for display, so what is odd about it is left out without a word."""
        vector = self._usable(memory, "memory")
        for sample in vector.samples if vector else ():
            key = self._key(sample.labels)
            if key and sample.value >= 0.0 and math.isfinite(sample.value):
                self._memory[key] = sample.value

    def report(self) -> LoadReport:
        """Raises the first LoadError of a query for CPU where nothing came of any, else LoadError (empty)."""
        if not self._loads and self._failures:
            raise self._failures[0]
        texts = self._problems.texts()
        if not self._loads or self._clock is None:
            raise LoadError("empty", "; ".join(("expected the CPU use of some node; got none", *texts, _NONE)))
        loads = {
            key: NodeLoad(load.cpu, load.window_start, load.window_end, load.cores, self._memory.get(key))
            for key, load in self._loads.items()
        }
        at = self._ours(self._clock.samples[0].time)
        offset = self._clock.clock_offset
        return LoadReport(MappingProxyType(loads), at, self._fetched_at, offset, texts, frozenset(self._spare))

    # -- one series

    def _usable(self, answer: Vector | LoadError, what: str) -> Vector | None:
        if isinstance(answer, LoadError):
            self._problems.add(f"{what}: {answer}")
            if what != "memory":
                self._failures.append(answer)
            return None
        for problem in answer.problems:
            self._problems.add(problem)
        return answer

    def _look_at_unit(self, vector: Vector) -> None:
        worst = max(vector.samples, key=_finite, default=None)
        if worst is not None and _finite(worst) > _PERCENT_FOR_SURE:
            raise LoadError(
                "unit",
                f"load.cpuQuery: expected ratios 0..1 (load.cpuUnit: ratio); got {worst.value:g} for "
                f"{self._key(worst.labels)}: set load.cpuUnit to percent or cores, whichever it is",
            )

    def _ends(self, newest: Vector | None) -> Mapping[frozenset[tuple[str, str]], float]:
        return {_series(sample): sample.value for sample in (newest.samples if newest else ())}

    def _by_key(self, vector: Vector, ends: Mapping[frozenset[tuple[str, str]], float], unit: str) -> dict[str, _Use]:
        found: dict[str, _Use] = {}
        for key, sample in self._named(vector):
            value = self._checked(sample.value, unit, key)
            if value is None:
                continue
            use = _Use(value, self._end(sample, ends.get(_series(sample)), key))
            if key in found:
                self._compare(key, found[key], use, unit)
            found[key] = max(found.get(key, use), use, key=lambda each: (each.end, each.value))
        return found

    def _named(self, vector: Vector) -> Iterator[tuple[str, Sample]]:
        for sample in vector.samples:
            if key := self._key(sample.labels):
                yield key, sample
            else:
                self._problems.add(f"a series without a label that names its node ({', '.join(self._labels)})")

    def _key(self, labels: Mapping[str, str]) -> str:
        return next((labels[name] for name in self._labels if labels.get(name)), "")

    def _checked(self, value: float, unit: str, key: str) -> float | None:
        """In ratio or cores; None and a problem where it cannot be true."""
        if not math.isfinite(value):
            self._problems.add("a CPU value that is no number", key)
            return None
        if unit == "cores":
            if value < 0.0:
                self._problems.add("a negative CPU value", key)
            return value if value >= 0.0 else None
        ratio = value / 100.0 if unit == "percent" else value
        if not _A_LITTLE_BELOW <= ratio <= _BEYOND_BELIEF:
            self._problems.add(f"a CPU value outside 0..{100 * _BEYOND_BELIEF:g} %", key)
            return None
        if ratio > 1.0:
            self._problems.add("a CPU value above 100 %, taken as 100 %", key)
        return min(max(ratio, 0.0), 1.0)

    def _end(self, sample: Sample, newest: float | None, key: str) -> float:
        if newest is None or not math.isfinite(newest):
            self._problems.add(f"the time of the newest sample is not known, taken to be {self._window:g} s ago", key)
            return self._ours(sample.time - self._window)
        return min(self._ours(newest), self._fetched_at)

    def _ours(self, time: float) -> float:
        return time - (self._clock.correction if self._clock else 0.0)

    def _compare(self, key: str, one: _Use, other: _Use, unit: str) -> None:
        # of an exporter that was replaced the old series lingers for a window; that is no contradiction
        alike = unit == "cores" or abs(one.value - other.value) <= _DISAGREE
        if not alike and abs(one.end - other.end) < self._window / 2:
            self._problems.add("several series of one node that differ, the newest counts", key)

    def _load(self, use: _Use, unit: str) -> NodeLoad:
        start = use.end - self._window
        if unit == "cores":
            return NodeLoad(None, start, use.end, cores=use.value)
        return NodeLoad(use.value, start, use.end)


_NONE = (
    "has it node_exporter or Kepler 0.10 to scrape, and is load.window at least twice as long as it waits between two "
    "scrapes? Or set load.cpuQuery"
)


def _series(sample: Sample) -> frozenset[tuple[str, str]]:
    return frozenset(item for item in sample.labels.items() if item[0] != "__name__")


def _finite(sample: Sample) -> float:
    return sample.value if math.isfinite(sample.value) else 0.0
