"""The PromQL that is asked: which collectors of CPU use are known, and a query of one's own.

Owns the queries and nothing else. Each collector has two: what the nodes use, and when that was last measured. An
average over five minutes looks the same whether its target was scraped a second or four minutes ago, so the time of the
newest sample is looked for among those of the whole window: that of a target which is down is no longer in sight. Pure.

What a counter rose by is worked out in a way of our own. ``rate`` takes any fall for a reset and counts the whole value
after it: once the kernel's iowait falls by 0.03 s, which it does, a node's CPU seems to have waited for days within
these five minutes.
"""

from dataclasses import dataclass

from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers

MEMORY = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"
_LOOKS = 20  # times within a window at which the newest sample is looked for
_NO_RESET = 0.1  # of the window: a counter of seconds that fell by less has not begun again
_MOST = 1.05  # seconds a second of one CPU: a little above 1, for Prometheus extrapolates to the edges of a window


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
    own: bool = False
    """Is it somebody's own query? Then its unit is not sure, and it says nothing of which series are ours."""


def collectors(window: float, match: Matchers = EVERYTHING) -> tuple[Collector, ...]:
    """Those that are known, in the order in which they count, over ``window`` [s]."""
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
    """The share of all modes, not of elapsed time: right for a target that came up within the window, too.

    Elapsed time counts where the modes cannot be trusted to tell it: one of them rose by more than time has passed, or
    a CPU's ``idle`` fell without a reboot, as of a CPU that was taken out and put back. A busy mode that did so gives a
    share that no node has, which is left out.
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
    """What a counter of seconds rose by within ``window`` [s], where a small step back is no reset."""
    ranged = f"{selector}[{promql_duration(window)}]"
    return f"clamp_min(delta({ranged}) > -{_NO_RESET * window:g}, 0) or increase({ranged})"


def memory_in_use(match: Matchers) -> str:
    """Bytes in use."""
    return " - ".join(match.selector(metric) for metric in MEMORY.split(" - "))


def own_collector(query: str, unit: str) -> Collector:
    """A query of the configuration. Its samples' own times come out where it is a plain series (a recording rule)."""
    return Collector("load.cpuQuery", query, f"timestamp((\n{query}\n))", unit, own=True)


def promql_duration(seconds: float) -> str:
    """A length of time as PromQL writes it."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
