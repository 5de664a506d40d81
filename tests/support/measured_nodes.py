"""Nodes whose load goes up and down and whose sensors tell of it, as a played Prometheus has scraped them.

Counters are exact integrals. The load is constant for five minutes at a time, in a seeded order, so that every part of
the past has seen all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.fitting.readings import Reading
from tests.support.played_prometheus import Raw

Floats = NDArray[np.float64]
Curve = Callable[[float], float]

NOW = 1_700_000_040.0  # a whole minute
DAY = 86400.0
EACH = 300.0  # [s] of one level of load
LEVELS = tuple(np.linspace(0.0, 1.0, 11))


def true_watts(u: float) -> float:
    """An ordinary server: 100 W idle, 180 W at full load, concave."""
    return 184.21 - 84.21 * float(np.exp(-3.0 * u))


def loads(levels: Sequence[float] = LEVELS, seed: int = 1, span: float = DAY) -> Floats:
    """(L,) the level of each five minutes of the span: all of them, again and again, in another order each time."""
    random = np.random.default_rng(seed)
    count = int(span / EACH)
    turns = [random.permutation(levels) for _ in range(count // len(levels) + 1)]
    return np.concatenate(turns)[:count]


def integral(values: Floats, every: float) -> tuple[Floats, Floats]:
    """((T,) times up to NOW, (T,) the counter) of values that each last EACH seconds."""
    fine = np.repeat(values, int(EACH / every))
    times = NOW - every * fine.size + every * np.arange(fine.size + 1)
    return times, np.concatenate([[0.0], np.cumsum(fine) * every])


def readings(
    curve: Curve = true_watts, u: Floats | None = None, noise: float = 1.0, seed: int = 0
) -> tuple[Reading, Reading]:
    """CPU and power of the day before NOW, a sample a minute; ``noise`` [W] is of each five minutes."""
    u = loads() if u is None else u
    watts = np.array([curve(float(each)) for each in u]) + noise * np.random.default_rng(seed).standard_normal(u.size)
    return Reading(*integral(u, 60.0), "counter"), Reading(*integral(watts, 60.0), "counter")


def node_exporter(node: str, u: Floats, every: float = 60.0) -> list[Raw]:
    """One CPU's counters."""
    times, seconds = integral(u, every)
    labels = {"cpu": "0", "instance": node}
    idle = times - times[0] - seconds
    return [
        Raw("node_cpu_seconds_total", {**labels, "mode": "user"}, times, seconds),
        Raw("node_cpu_seconds_total", {**labels, "mode": "idle"}, times, idle),
    ]


def kepler(
    node: str, u: Floats, curve: Curve = true_watts, every: float = 60.0, zone: str = "psys", noise: float = 0.0
) -> Raw:
    """The joules of one zone; ``noise`` [W] is of each five minutes."""
    watts = np.array([curve(float(each)) for each in u])
    watts += noise * np.random.default_rng(len(node)).standard_normal(u.size)
    times, total = integral(watts, every)
    return Raw("kepler_node_cpu_joules_total", {"zone": zone, "path": "0", "node_name": node}, times, total)


def scraped(*nodes: str, curve: Curve = true_watts, u: Floats | None = None, noise: float = 0.0) -> list[Raw]:
    """Both, of each node."""
    u = loads() if u is None else u
    return [each for node in nodes for each in (*node_exporter(node, u), kepler(node, u, curve, noise=noise))]
