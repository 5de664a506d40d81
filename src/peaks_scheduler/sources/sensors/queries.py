"""Signals by PromQL: one query to Prometheus for each signal, one series a node.

Owns which node a series is about: named by a label as for load, and found by name or address. Two series of one node
are a mistake in the query, and neither is used: an average over unlike sensors would be a number that nobody measured.
A value is as old as its sample where the query is a plain series; Prometheus tells the age of no other. Never judges a
value. A query that fails costs the readings of its signal alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from peaks_scheduler.errors import LoadError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.sources.limits import MOST_NAME, MOST_TIME
from peaks_scheduler.sources.node_identity import NodeAddresses, Resolution, resolve
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.answers import Sample, Vector
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.labels import Labels
from peaks_scheduler.sources.prometheus.node_labels import node_labels
from peaks_scheduler.sources.prometheus.replicas import unlike
from peaks_scheduler.text.words import few

from .source import Reading, Readings

_OFF_THE_LOOP = 500  # series: more are read in a thread, because finding the nodes takes long enough to delay a bind


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Prometheus answered for one signal."""

    values: Vector
    times: Mapping[Labels, float]
    """Series -> [s] of its newest sample, on Prometheus' clock."""


class _Found:
    """What the answers of one round tell."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[str, Reading]] = {}
        self.failures: dict[str, list[str]] = {}

    def fail(self, node: str, signal: str, text: str) -> None:
        """``node`` empty: it is a trouble of the query."""
        self.failures.setdefault(node, []).append(f"sensors.queries.{signal}: {text}")


class SensorQueries:
    """``queries``: signal -> PromQL. ``api``: its time limit is that of a fetch. ``clock``: [s] since the epoch."""

    name = "sensor-queries"

    def __init__(self, api: PrometheusApi, queries: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._api, self._queries, self._clock = api, queries, clock
        self._labels = node_labels(api.node_label)
        self._resolved: dict[str, tuple[object, Resolution]] = {}  # signal -> keys and nodes, and which is which

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of these nodes, all queries asked at the same time."""
        answers = await asyncio.gather(*map(self._answer, self._queries.values()))
        read = partial(self._read, dict(zip(self._queries, answers, strict=True)), nodes, self._clock())
        many = sum(len(each.values.samples) for each in answers if isinstance(each, _Answer)) > _OFF_THE_LOOP
        return await off_loop(read) if many else read()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def _answer(self, query: str) -> _Answer | LoadError:
        """The answer to a user's query, which is sent as it is."""
        values, times = await asyncio.gather(self._ask(query), self._ask(f"timestamp((\n{query}\n))"))
        if isinstance(values, LoadError):
            return values  # of two errors the one that names the query as it was written
        if isinstance(times, LoadError):
            return times
        return _Answer(values, {_series(each): each.value for each in times.samples})

    async def _ask(self, query: str) -> Vector | LoadError:
        try:
            return await self._api.query(query)
        except LoadError as error:
            return error

    # -- in a thread where there are many series

    def _read(self, answers: Mapping[str, _Answer | LoadError], nodes: Sequence[Node], now: float) -> Readings:
        found = _Found()
        for signal, answer in answers.items():
            if isinstance(answer, LoadError):
                found.fail("", signal, str(answer))
            else:
                self._read_signal(signal, answer, nodes, now, found)
        return Readings(found.readings, {node: "; ".join(texts) for node, texts in found.failures.items()})

    def _read_signal(self, signal: str, answer: _Answer, nodes: Sequence[Node], now: float, found: _Found) -> None:
        by_key = self._by_key(answer.values)
        resolution = self._resolve(signal, by_key, nodes)
        for text in (*answer.values.problems, *_unnamed(by_key, resolution, self._labels)):
            found.fail("", signal, text)
        for node, keys in resolution.duplicates.items():
            found.fail(node, signal, f"several names mean this node, none is used: {few(keys)}")
        for node, key in resolution.matched.items():
            reading = _reading(signal, by_key[key], answer, now)
            if isinstance(reading, str):
                found.fail(node, signal, reading)
            else:
                found.readings.setdefault(node, {})[signal] = reading

    def _by_key(self, vector: Vector) -> dict[str, list[Sample]]:
        """Name of a node -> its series; empty name: series that name none. Series that ``prometheus.match`` excludes
        are dropped: a user's query may not exclude them itself."""
        by_key: dict[str, list[Sample]] = {}
        for sample in vector.samples:
            labels = dict(sample.labels.items())
            if self._api.match.allow(labels):
                key = next((labels[name] for name in self._labels if labels.get(name)), "")
                by_key.setdefault(key if key.isprintable() and len(key) <= MOST_NAME else "", []).append(sample)
        return by_key

    def _resolve(self, signal: str, keys: Iterable[str], nodes: Sequence[Node]) -> Resolution:
        """The nodes of the keys; found anew only where keys or nodes have changed."""
        state = frozenset(keys) - {""}, tuple(map(NodeAddresses.of, nodes))
        before = self._resolved.get(signal)
        if before is None or before[0] != state:
            before = self._resolved[signal] = (state, resolve(*state))
        return before[1]


def _unnamed(by_key: Mapping[str, object], resolution: Resolution, labels: Sequence[str]) -> Iterable[str]:
    if not by_key:
        yield "expected one series a node; got none"
    elif not resolution.matched and not resolution.duplicates:
        given = few(sorted(by_key.keys() - {""})) or "none"
        yield f"no series names a node of this cluster by its label {', '.join(labels)}; they name {given}"
    if resolution.ambiguous:
        yield f"names that may be any of several nodes: {few(tuple(resolution.ambiguous))}"


def _reading(signal: str, samples: Sequence[Sample], answer: _Answer, now: float) -> Reading | str:
    """The reading of a node that has these series, or why there is none."""
    if len(samples) > 1:
        differ = unlike([each.labels for each in samples])
        return f"expected one series a node; got several, which differ in {differ}: choose one, or `max by (node)`"
    time = _time(samples[0], answer, now)
    return "the time of its sample is not known" if time is None else Reading(samples[0].value, time, f"query {signal}")


def _time(sample: Sample, answer: _Answer, now: float) -> float | None:
    """[s] when it was measured, our clock; None: not known."""
    time = answer.times.get(_series(sample))
    return None if time is None or not abs(time) < MOST_TIME else min(time - answer.values.correction, now)


def _series(sample: Sample) -> Labels:
    return Labels(sample.labels).without(lambda name: name == "__name__")
