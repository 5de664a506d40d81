"""Load from Prometheus: node_exporter's CPU seconds, Kepler's usage ratio, or a query of one's own.

Owns which label names a node, what values can be true, and how old a value is: as old as the newest sample of its node;
what a query of one's own works out tells no such time and counts as of now. Where several collectors watch a node the
first of the table counts; the others' keys are ``spare``. Several series of one node that agree are one (two replicas
of a Prometheus, an exporter that is scraped twice); where they contradict, the node has no load, and it is said which
they are. A query that fails never drops the others: it is a problem of the report. Never judges age, never retries.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad, one_of
from peaks_scheduler.sources.limits import MOST_NAME, MOST_TIME
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.problems import Problems

from .answers import Sample, Vector
from .api import PrometheusApi
from .labels import Labels
from .load_queries import Collector, collectors, memory_in_use, own_collector
from .replicas import unlike

NODE_LABELS = ("node", "node_name", "nodename", "kubernetes_node", "instance")
"""Labels that name a node, the first that a series has counts."""


def node_labels(first: str | None) -> tuple[str, ...]:
    """NODE_LABELS, after the one that somebody says."""
    return NODE_LABELS if first is None else (first, *(each for each in NODE_LABELS if each != first))


_BEYOND_BELIEF, _PERCENT_FOR_SURE = 1.1, 1.5
_A_LITTLE_BELOW = -0.02  # 1 - rate(idle) gets there: Prometheus extrapolates to the edges of a window
_MEMORY_ALIKE = 0.1  # of the larger: two replicas look at different seconds
_OFF_THE_LOOP = 1000  # more samples are read in a thread: 5,000 nodes take 50 ms, which would delay a bind


class PrometheusLoad:
    """The nodes' load as one Prometheus knows it.

    Args:
        api: whom to ask; its time limit is that of a fetch.
        window: [s] that the use is averaged over. Of ``cpu_query`` it is what that query itself averages over.
        cpu_query, memory_query: PromQL in place of the defaults, one series a node; memory in bytes in use.
        cpu_unit: what ``cpu_query`` gives: ``ratio`` 0..1, ``percent`` 0..100 or ``cores``.
        node_label: the label that alone names a node; None: the API's, then the first of NODE_LABELS that a series has.
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
        self._collectors = (own_collector(cpu_query, cpu_unit),) if cpu_query else collectors(window, api.match)
        self._memory = memory_query or memory_in_use(api.match)
        self._labels = (node_label,) if node_label else node_labels(api.node_label)

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
            return await off_loop(read) if many else read()
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
        """Of somebody's own query, too, what is ours: the others name our series themselves."""
        try:
            vector = await self._api.query(query)
        except LoadError as error:
            return error
        if not self._api.match:
            return vector
        return replace(vector, samples=tuple(each for each in vector.samples if self._api.match.allow(each.labels)))


_OURS = ("empty", "unit")  # kinds of errors that do not say yet who was asked


class _Reading:
    """The answers of one fetch on their way to a report."""

    def __init__(self, labels: Sequence[str], window: float, fetched_at: float) -> None:
        self._labels, self._window, self._fetched_at = labels, window, fetched_at
        self._problems, self._failures = Problems(), list[LoadError]()
        self._loads: dict[str, NodeLoad] = {}
        self._spare: set[str] = set()
        self._contradicted: set[str] = set()
        self._memory: dict[str, float] = {}
        self._clock: Vector | None = None  # the answer that our idea of Prometheus' clock is from

    def collect(self, collector: Collector, values: Vector | LoadError, newest: Vector | LoadError) -> None:
        """Take in what one collector knows of nodes that none before it knew."""
        vector = self._usable(values, collector.name)
        if vector is None or not vector.samples:
            return
        if collector.own and collector.unit == "ratio":
            self._look_at_unit(vector)
        self._clock = self._clock or vector
        ends = self._ends(self._usable(newest, f"the age of {collector.name}'s samples"))
        first = not self._loads
        for key, load in self._by_key(vector, ends, collector.unit).items():
            if key not in self._loads and key not in self._contradicted:
                self._loads[key] = load
                if not first:
                    self._spare.add(key)

    def remember(self, memory: Vector | LoadError) -> None:
        """Take in memory in use. A value that is none is left out without a word: the node has its CPU use."""
        vector = self._usable(memory, "memory")
        found: dict[str, list[Sample]] = {}
        for sample in vector.samples if vector else ():
            key = self._key(sample.labels)
            if key and sample.value >= 0.0 and math.isfinite(sample.value):
                found.setdefault(key, []).append(sample)
        for key, samples in found.items():
            least, most = min(each.value for each in samples), max(each.value for each in samples)
            if most - least <= _MEMORY_ALIKE * most:
                self._memory[key] = most
            elif key in self._loads:
                self._contradiction("memory", key, samples)

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

    def _ends(self, newest: Vector | None) -> Mapping[Labels, float]:
        return {_series(sample): sample.value for sample in (newest.samples if newest else ())}

    def _by_key(self, vector: Vector, ends: Mapping[Labels, float], unit: str) -> dict[str, NodeLoad]:
        found: dict[str, list[tuple[Sample, NodeLoad]]] = {}
        for key, sample in self._named(vector):
            value = self._checked(sample.value, unit, key)
            if value is not None:
                end = self._end(sample, ends.get(_series(sample)), key)
                found.setdefault(key, []).append((sample, self._load(value, end, unit)))
        loads = {key: self._agreed(key, several) for key, several in found.items()}
        return {key: load for key, load in loads.items() if load is not None}

    def _agreed(self, key: str, several: Sequence[tuple[Sample, NodeLoad]]) -> NodeLoad | None:
        """What the node's series say together; None and a problem where they contradict."""
        which = one_of(dict(enumerate(load for _, load in several)))
        if which is not None:
            return several[which][1]
        self._contradicted.add(key)
        self._contradiction("CPU use", key, [sample for sample, _ in several])
        return None

    def _contradiction(self, what: str, key: str, samples: Sequence[Sample]) -> None:
        differ = unlike([each.labels for each in samples])
        self._problems.add(
            f"several series say otherwise of one node's {what}, none counts: they differ in {differ}; choose by "
            "prometheus.match, or what names a node by load.nodeLabel",
            key,
        )

    def _named(self, vector: Vector) -> Iterator[tuple[str, Sample]]:
        for sample in vector.samples:
            key = self._key(sample.labels)
            if len(key) > MOST_NAME or not key.isprintable():
                self._problems.add("a name that no node can have")
            elif key:
                yield key, sample
            else:
                self._problems.add(f"a series without a label that names its node ({', '.join(self._labels)})")

    def _key(self, labels: Mapping[str, str]) -> str:
        known = dict(labels.items())
        return next((known[name] for name in self._labels if known.get(name)), "")

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
        if newest is None or not abs(newest) < MOST_TIME:
            self._problems.add(f"the time of the newest sample is not known, taken to be {self._window:g} s ago", key)
            return self._ours(sample.time - self._window)
        return min(self._ours(newest), self._fetched_at)

    def _ours(self, time: float) -> float:
        return time - (self._clock.correction if self._clock else 0.0)

    def _load(self, value: float, end: float, unit: str) -> NodeLoad:
        start = end - self._window
        return NodeLoad(None, start, end, cores=value) if unit == "cores" else NodeLoad(value, start, end)


_NONE = (
    "has it node_exporter or Kepler 0.10 to scrape, and is load.window at least twice as long as it waits between two "
    "scrapes? Or set load.cpuQuery"
)


def _series(sample: Sample) -> Labels:
    return Labels(sample.labels).without(lambda name: name == "__name__")


def _finite(sample: Sample) -> float:
    return sample.value if math.isfinite(sample.value) else 0.0
