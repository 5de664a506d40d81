"""CPU use of one node as a running total of fraction-seconds: use as a fraction of all its CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.replicas import Likeness

from .exporters import NODE_CPU, NOT_BUSY, MetricType
from .node_queries import Names, NodeQuery
from .plan import AvailableMetric, NoSeriesError
from .total import Total, TotalReader

_NO_RATIO = 1.5  # a larger value is percent or cores
_BUSY = NodeQuery(NODE_CPU, (f'mode!~"{NOT_BUSY}"',), "sum without (cpu, mode) (", ")")
_CPUS = NodeQuery(NODE_CPU, ('mode="idle"',), "count without (cpu, mode) (", ")")
_RATIO, _COUNT = Likeness("gauge", 0.03), Likeness("gauge", 0.5)
_SECONDS = Likeness("counter", 0.0, same_start=True)


class CpuReader(TotalReader):
    """Reads a node's CPU use."""

    async def read(self, available: AvailableMetric) -> Total:
        """CPU use from one metric. Raises LoadError, NoSeriesError, DisagreeError."""
        if available.series is not None:
            return self._custom(available.series, available.metric.kind)
        if available.metric.zones[0].metric == NODE_CPU:
            return await self._node_exporter(available.names)
        notes: list[str] = []
        series = await self._ask(NodeQuery(available.metric.name), available.names, "gauge", notes)
        ratio = self._one(series, _RATIO)
        return Total(self._integral(ratio, notes), "CPU", available.metric.name, None, tuple(notes))

    async def _node_exporter(self, names: Names) -> Total:
        notes: list[str] = []
        seconds = self._one(await self._ask(_BUSY, names, "counter", notes), _SECONDS)
        counted = self._one((await self._runner.series(_CPUS, names)).series, _COUNT)
        cpus, times = np.unique(counted[~np.isnan(counted)], return_counts=True)
        usual = float(cpus[times.argmax()])
        if cpus.size > 1:
            left = int(times.sum() - times.max())
            notes.append(f"the number of CPUs changed; {left} samples without {usual:g} of them were left out")
        return Total(np.where(counted == usual, seconds, np.nan) / usual, "CPU", NODE_CPU, usual, tuple(notes))

    def _custom(self, series: Sequence[Series], kind: MetricType) -> Total:
        """CPU use from the series of a custom query."""
        cores = self._queries.cores
        unit = "cores" if kind == "counter" else self._queries.cpu_unit or "ratio"
        whole = {"ratio": 1.0, "percent": 100.0}.get(unit) or cores or 1.0
        values = self._one(series, _SECONDS if kind == "counter" else Likeness("gauge", whole * _RATIO.floor))
        if unit == "cores" and cores is None:
            raise NoSeriesError("its CPU is in cores or CPU seconds: say how many CPUs a node has")
        most = float(np.nanmax(values))
        if kind == "gauge" and unit == "ratio" and most > _NO_RATIO:
            raise NoSeriesError(f"its CPU reaches {most:g}, which is no ratio: say whether it is percent or cores")
        values = values / whole
        notes: list[str] = []
        total = values if kind == "counter" else self._integral(values, notes)
        return Total(total, "CPU", "the query for CPU", cores, tuple(notes))
