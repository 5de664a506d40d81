"""The PromQL for the nodes' load: the known collectors of CPU use, and a custom query.

Owns the queries. Each collector has two: the nodes' CPU use, and the time of their newest samples. The second is needed
because an average over five minutes looks the same whether its target was scraped a second or four minutes ago. It
searches the whole window, because the last sample of a target that is down is no longer in the instant answer. Pure.

The rise of a counter is not ``rate``: ``rate`` takes any fall for a reset and adds the whole value after it. The
kernel's iowait does fall, by 0.03 s say; with ``rate`` the CPU would then seem to have waited for days in five minutes.
"""

from dataclasses import dataclass

from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers

MEMORY = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"
_LOOKS = 20  # instants of a window at which the newest sample is searched
_NO_RESET = 0.1  # of the window: a counter of seconds that falls by less was not reset
_MOST = 1.05  # CPU seconds a second of one CPU: above 1, because Prometheus extrapolates to the ends of a window


@dataclass(frozen=True, slots=True)
class Collector:
    """One exporter of the nodes' CPU use, and its queries."""

    name: str
    values: str
    """PromQL: use of each node, averaged over the window."""
    newest: str
    """PromQL: time of the newest sample [s], with the same labels as ``values``."""
    unit: str = "ratio"
    """``ratio``, ``percent`` or ``cores``."""
    custom: bool = False
    """Is it a custom query? Then its unit may be wrong, and it may give series that are not ours."""


def collectors(window: float, match: Matchers = EVERYTHING) -> tuple[Collector, ...]:
    """The known collectors, the preferred one first, with queries over ``window`` [s]."""
    w, look = promql_duration(window), promql_duration(max(1.0, window / _LOOKS))
    seconds, first = "node_cpu_seconds_total", ('cpu="0"', 'mode="idle"')
    idle, ratio = match.selector(seconds, 'mode="idle"'), match.selector("kepler_node_cpu_usage_ratio")
    return (
        Collector(
            "node_exporter",
            _busy(match, window),
            f"max without (cpu, mode) (timestamp({idle})) or max without (cpu, mode) "
            f"(max_over_time(timestamp({match.selector(seconds, *first)})[{w}:{look}]))",
        ),
        Collector(
            "Kepler",
            f"avg_over_time({ratio}[{w}])",
            f"timestamp({ratio}) or max_over_time(timestamp({ratio})[{w}:{look}])",
        ),
    )


def _busy(match: Matchers, window: float) -> str:
    """Busy seconds as a share of the seconds of all modes; right also for a target that came up within the window.

    If the modes' seconds are wrong, elapsed time is used instead: one mode rose by more than the time that passed, or a
    CPU's ``idle`` fell without a reboot (a CPU was taken offline and back). If a busy mode is wrong, the share is not
    plausible, and the reader of the answer leaves it out.
    """
    seconds, w = "node_cpu_seconds_total", promql_duration(window)
    busy = rise(match.selector(seconds, 'mode!~"idle|iowait|steal"'), window)
    rises = f"sum without (cpu, mode) ({rise(match.selector(seconds), window)})"
    idle = match.selector(seconds, 'mode="idle"') + f"[{w}]"
    passed = f"(count without (cpu, mode) (last_over_time({idle})) * {window:g})"
    fell = f"resets({idle}) > 0 and 2 * min_over_time({idle}) > max_over_time({idle})"
    told = f"(({rises} <= {_MOST:g} * {passed}) unless max without (cpu, mode) ({fell}))"
    return f"sum without (cpu, mode) ({busy}) / ({told} or {passed})"


def rise(selector: str, window: float) -> str:
    """PromQL for the rise of a counter of seconds within ``window`` [s]; a small fall is no reset."""
    ranged = f"{selector}[{promql_duration(window)}]"
    return f"clamp_min(delta({ranged}) > -{_NO_RESET * window:g}, 0) or increase({ranged})"


def memory_in_use(match: Matchers) -> str:
    """PromQL for the bytes in use on each node."""
    return " - ".join(match.selector(metric) for metric in MEMORY.split(" - "))


def custom_collector(query: str, unit: str) -> Collector:
    """The collector of a custom query. The time of its samples is known only for a plain series (a recording rule)."""
    return Collector("load.cpuQuery", query, f"timestamp((\n{query}\n))", unit, custom=True)


def promql_duration(seconds: float) -> str:
    """``seconds`` as a PromQL duration."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
