"""Load from Prometheus: node_exporter's CPU seconds, Kepler's usage ratio, or a custom query.

Owns which queries are asked; ``load_report.py`` reads their answers. A query that fails does not drop the others: it is
a problem of the report. Never judges the age of a load, never retries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.sources.off_loop import off_loop

from .answers import Vector
from .api import PrometheusApi
from .load_queries import collectors, custom_collector, memory_in_use
from .load_report import ReportBuilder
from .node_labels import node_labels

_OF_THE_REPORT = ("empty", "unit")  # kinds of errors whose message does not name the server yet
_OFF_THE_LOOP = 1000  # samples: more are read in a thread, because 5,000 nodes take 50 ms, which would delay a bind


class PrometheusLoad:
    """The nodes' load from one Prometheus.

    Args:
        api: the server; its time limit is that of a fetch.
        window: [s] that CPU use is averaged over; with ``cpu_query``, the time that this query itself averages over.
        cpu_query, memory_query: PromQL in place of the defaults, one series for each node; memory in bytes in use.
        cpu_unit: unit of ``cpu_query``: ``ratio`` 0..1, ``percent`` 0..100 or ``cores``.
        node_label: the only label that names a node; None: the API's, then the first of NODE_LABELS that a series has.
        clock: [s] since the epoch, ours.
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
        self._collectors = (custom_collector(cpu_query, cpu_unit),) if cpu_query else collectors(window, api.match)
        self._memory = memory_query or memory_in_use(api.match)
        self._labels = (node_label,) if node_label else node_labels(api.node_label)

    async def fetch(self) -> LoadReport:
        """Ask all queries once, at the same time.

        Raises LoadError: of the kinds of PrometheusApi.query if no query for CPU use was answered; unit, if a value is
        too large for a ratio; empty, if there is no node.
        """
        queries = [self._memory, *(query for each in self._collectors for query in (each.values, each.newest))]
        memory, *answers = await asyncio.gather(*map(self._answer, queries))
        read = partial(self._read, memory, answers, self._clock())
        many = sum(len(each.samples) for each in answers if isinstance(each, Vector)) > _OFF_THE_LOOP
        try:
            return await off_loop(read) if many else read()
        except LoadError as error:
            if error.kind in _OF_THE_REPORT:
                raise LoadError(error.kind, f"{self._api.where}: {error}") from error
            raise

    def _read(self, memory: Vector | LoadError, answers: Sequence[Vector | LoadError], fetched_at: float) -> LoadReport:
        builder = ReportBuilder(self._labels, self._window, fetched_at)
        for collector, values, newest in zip(self._collectors, answers[::2], answers[1::2], strict=True):
            builder.add_cpu(collector, values, newest)
        builder.add_memory(memory)
        return builder.report()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def _answer(self, query: str) -> Vector | LoadError:
        """The answer to one query, or its error. Series that ``prometheus.match`` excludes are dropped: a custom query
        may not exclude them itself."""
        try:
            vector = await self._api.query(query)
        except LoadError as error:
            return error
        if not self._api.match:
            return vector
        return replace(vector, samples=tuple(each for each in vector.samples if self._api.match.allow(each.labels)))
