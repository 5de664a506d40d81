"""Read one node's CPU use and power from Prometheus.

Owns which of a node's metrics is used: the first with usable series. Never takes a lesser metric because a query
failed, or because series of the best one contradict each other: watts of a smaller part of the machine would then pass
for watts of the larger one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from peaks_scheduler.sources.prometheus.replicas import DisagreeError

from .cpu_total import CpuReader
from .node_queries import QueryRunner
from .plan import AvailableMetric, NoSeriesError, Plan, Queries
from .power_total import PowerReader
from .total import Total


async def read_totals(runner: QueryRunner, plan: Plan, queries: Queries) -> tuple[Total, Total]:
    """CPU use and power of one node. Raises LoadError, and NoSeriesError if none of its series can be used."""
    cpu = await _first_usable(plan.cpu, CpuReader(runner, queries).read)
    return cpu, await _first_usable(plan.power, PowerReader(runner, queries).read)


async def _first_usable(
    metrics: Sequence[AvailableMetric], read: Callable[[AvailableMetric], Awaitable[Total]]
) -> Total:
    passed: list[str] = []
    for available in metrics:
        try:
            total = await read(available)
        except DisagreeError as error:
            raise NoSeriesError(f"{available.metric.name}: {error}") from error
        except NoSeriesError as error:
            passed.append(f"{available.metric.name}: {error}")
            continue
        over = tuple(f"passed over {text}" for text in passed)
        return replace(total, notes=(*over, *total.notes))
    raise NoSeriesError("; ".join(passed))
