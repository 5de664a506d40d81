"""Build one load report from the answers to all queries for load.

Owns which label names a node, which values are plausible, and how old a value is: as old as its node's newest sample;
where a custom query gives no such time, it counts as measured now. If several collectors measure a node, the first of
the table is used; keys of the others are ``spare``. Several series of one node that agree count as one (two replicas of
a Prometheus, an exporter that is scraped twice); if they contradict each other, the node has no load, and a problem
names the labels in which they differ. Pure.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad, one_of
from peaks_scheduler.sources.limits import MOST_NAME, MOST_TIME
from peaks_scheduler.sources.problems import Problems

from .answers import Sample, Vector
from .labels import LabelMap, Labels
from .load_queries import Collector
from .replicas import unlike

_MOST_PLAUSIBLE = 1.1  # [fraction] a larger value is wrong; from 1 on it counts as full load
_NO_RATIO = 1.5  # a larger value is percent or cores
_A_LITTLE_BELOW = -0.02  # a query `1 - rate(idle)` can give this: Prometheus extrapolates to the ends of a window
_MEMORY_ALIKE = 0.1  # of the larger value: two replicas scrape at different seconds


class ReportBuilder:
    """Collects the answers of one fetch. Call ``add_cpu`` for each collector, ``add_memory``, then ``report``."""

    def __init__(self, labels: Sequence[str], window: float, fetched_at: float) -> None:
        self._labels, self._window, self._fetched_at = labels, window, fetched_at
        self._problems, self._failures = Problems(), list[LoadError]()
        self._loads: dict[str, NodeLoad] = {}
        self._spare: set[str] = set()
        self._contradicted: set[str] = set()
        self._memory: dict[str, float] = {}
        self._clock: Vector | None = None  # the answer that tells the offset of Prometheus' clock

    def add_cpu(self, collector: Collector, values: Vector | LoadError, newest: Vector | LoadError) -> None:
        """Add the CPU use from one collector, for nodes that no collector before it has."""
        vector = self._usable(values, collector.name)
        if vector is None or not vector.samples:
            return
        if collector.custom and collector.unit == "ratio":
            self._refuse_wrong_unit(vector)
        self._clock = self._clock or vector
        ends = self._ends(self._usable(newest, f"the age of {collector.name}'s samples"))
        first = not self._loads
        for key, load in self._by_key(vector, ends, collector.unit).items():
            if key not in self._loads and key not in self._contradicted:
                self._loads[key] = load
                if not first:
                    self._spare.add(key)

    def add_memory(self, memory: Vector | LoadError) -> None:
        """Add memory in use. A wrong value is left out and is no problem: CPU use is enough for a node."""
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
        """The report. Without any node's load raises the first error of a query for CPU use, else LoadError (empty)."""
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

    def _refuse_wrong_unit(self, vector: Vector) -> None:
        worst = max(vector.samples, key=_finite, default=None)
        if worst is not None and _finite(worst) > _NO_RATIO:
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
        """The load that the node's series agree on; None and a problem if they contradict each other."""
        which = one_of(dict(enumerate(load for _, load in several)))
        if which is not None:
            return several[which][1]
        self._contradicted.add(key)
        self._contradiction("CPU use", key, [sample for sample, _ in several])
        return None

    def _contradiction(self, what: str, key: str, samples: Sequence[Sample]) -> None:
        differ = unlike([each.labels for each in samples])
        self._problems.add(
            f"several series contradict each other about one node's {what}, none is used: they differ in {differ}; "
            "choose one by prometheus.match, or the label that names a node by load.nodeLabel",
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

    def _key(self, labels: LabelMap) -> str:
        known = dict(labels.items())
        return next((known[name] for name in self._labels if known.get(name)), "")

    def _checked(self, value: float, unit: str, key: str) -> float | None:
        """The value as a ratio or in cores; None and a problem if it is not plausible."""
        if not math.isfinite(value):
            self._problems.add("a CPU value that is no number", key)
            return None
        if unit == "cores":
            if value < 0.0:
                self._problems.add("a negative CPU value", key)
            return value if value >= 0.0 else None
        ratio = value / 100.0 if unit == "percent" else value
        if not _A_LITTLE_BELOW <= ratio <= _MOST_PLAUSIBLE:
            self._problems.add(f"a CPU value outside 0..{100 * _MOST_PLAUSIBLE:g} %", key)
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
    "does it scrape node_exporter or Kepler 0.10, and is load.window at least twice as long as the time between two "
    "scrapes? Or set load.cpuQuery"
)


def _series(sample: Sample) -> Labels:
    return Labels(sample.labels).without(lambda name: name == "__name__")


def _finite(sample: Sample) -> float:
    return sample.value if math.isfinite(sample.value) else 0.0
