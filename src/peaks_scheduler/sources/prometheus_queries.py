"""The PromQL that is asked: which collectors of CPU use are known, and a query of one's own.

Owns the queries and nothing else. Each collector has two: what the nodes use, and when that was last measured. An
average over five minutes looks the same whether its target was scraped a second or four minutes ago, so the time of the
newest sample is looked for among those of the whole window: that of a target which is down is no longer in sight. Pure.
"""

from dataclasses import dataclass

MEMORY = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"
_LOOKS = 20  # times within a window at which the newest sample is looked for


@dataclass(frozen=True, slots=True)
class Collector:
    """One way to ask for the CPU use of nodes."""

    name: str
    values: str
    """PromQL: use by node, averaged over the window."""
    newest: str
    """PromQL: time of the newest sample [s], with the same labels as ``values``."""
    unit: str = "ratio"
    """``ratio``, ``percent`` or ``cores``."""
    unit_is_sure: bool = True


def collectors(window: float) -> tuple[Collector, ...]:
    """Those that are known, in the order in which they count, over ``window`` [s]."""
    w, look = promql_duration(window), promql_duration(max(1.0, window / _LOOKS))
    seconds, ratio = "node_cpu_seconds_total", "kepler_node_cpu_usage_ratio"
    # a share of all modes, not of elapsed time: right for a target that came up within the window, too
    busy = f'sum without (cpu, mode) (rate({seconds}{{mode!~"idle|iowait|steal"}}[{w}]))'
    return (
        Collector(
            "node_exporter",
            f"{busy} / sum without (cpu, mode) (rate({seconds}[{w}]))",
            f'max without (cpu, mode) (timestamp({seconds}{{mode="idle"}})) or max without (cpu, mode) '
            f'(max_over_time(timestamp({seconds}{{cpu="0",mode="idle"}})[{w}:{look}]))',
        ),
        Collector(
            "Kepler",
            f"avg_over_time({ratio}[{w}])",
            f"timestamp({ratio}) or max_over_time(timestamp({ratio})[{w}:{look}])",
        ),
    )


def own_collector(query: str, unit: str) -> Collector:
    """A query of the configuration. Its samples' own times come out where it is a plain series (a recording rule)."""
    return Collector("load.cpuQuery", query, f"timestamp((\n{query}\n))", unit, unit_is_sure=False)


def promql_duration(seconds: float) -> str:
    """A length of time as PromQL writes it."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
