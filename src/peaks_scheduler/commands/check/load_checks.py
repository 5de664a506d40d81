"""Checks of the load: does it come, is it fresh, do its names mean nodes, and are its values plausible?

Assumes that a source has read its answer: what it left out is among the report's problems. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import LoadError, PeaksError
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.objects.node import Node
from peaks_scheduler.sources.matching import UNMATCHED
from peaks_scheduler.text.masking import mask_url

from .facts import Facts
from .finding import CLOCKS_APART, Finding, failed, names, not_checked, ok, span, warning

FULL = 0.999  # [fraction] sources take values above 1 as 1
IDLE = 0.005  # [fraction] a machine with nothing but its kubelet uses more
BUSY_SHARE = 0.5  # of the nodes: more at full load are hardly chance
ASKED_SHARE = 0.1  # of the CPUs: where pods request more, the nodes are not idle
NO_LOAD = "no load came"
ESTIMATED = "the scheduler goes on with estimates from requests"


def source(facts: Facts) -> Iterator[Finding]:
    check, load = "load source", facts.load
    if isinstance(load, LoadError):
        yield failed(check, f"{load} ({ESTIMATED})", "start it or correct `load` in the configuration")
    elif isinstance(load, PeaksError):
        yield failed(check, f"{facts.settings.load.source}: {load}", "correct `load` in the configuration")
    else:
        yield ok(check, f"{facts.settings.load.source} tells the load of {len(load.nodes)} nodes")
        for problem in load.problems:
            yield warning(check, f"not used as it is: {problem}", "see the source's own log and queries")
        offset = load.clock_offset
        if offset is not None and abs(offset) > CLOCKS_APART:
            yield warning(
                check,
                f"its clock is {offset:+.0f} s from this machine's",
                "let both follow a time server (NTP); until then, times are corrected",
            )


def age(facts: Facts) -> Iterator[Finding]:
    check = "load age"
    if isinstance(facts.load, PeaksError):
        yield not_checked(check, NO_LOAD)
        return
    expiry = facts.settings.load.expiry
    ends = {key: facts.load.fetched_at - load.window_end for key, load in facts.load.nodes.items()}
    newest = max(0.0, min(ends.values(), default=0.0))
    stale = [key for key, seconds in ends.items() if seconds > expiry]
    remedy = "does its own source (Prometheus, kubelets) still answer? or raise load.expiry"
    if newest > expiry:
        yield failed(check, f"the newest is {span(newest)} old, load.expiry is {span(expiry)}: {ESTIMATED}", remedy)
    elif stale:
        yield warning(check, f"older than {span(expiry)} (load.expiry), not used: {names(stale)}", remedy)
    else:
        yield ok(check, f"the newest is {span(newest)} old, load.expiry is {span(expiry)}")


def keys(facts: Facts) -> Iterator[Finding]:
    check = "load names"
    if isinstance(facts.load, PeaksError) or isinstance(facts.nodes, PeaksError):
        yield not_checked(check, NO_LOAD if isinstance(facts.load, PeaksError) else "the nodes could not be listed")
        return
    matched = facts.matched()
    none_matched = bool(facts.nodes) and not matched.loads
    if none_matched:
        yield _none_matched(facts.load, facts.nodes)
    told = {text: which for text, which in matched.warnings().items() if which}
    for text, which in told.items():
        if not (none_matched and text == UNMATCHED):
            yield warning(check, f"{text}: {names(which)}", _RELABEL)
    without = [node.name for node in facts.nodes if node.name not in matched.loads]
    if without and not none_matched:
        text = f"{len(without)} of {len(facts.nodes)} nodes without load, estimated: {names(without)}"
        yield warning(check, text, _COLLECT)
    if not told and not without:
        yield ok(check, f"all {len(facts.nodes)} nodes have load, and every name means one of them")


_RELABEL = "let the source name nodes as Kubernetes does (relabel `instance` or `node`)"
_COLLECT = "let the source collect them too (run a node_exporter there, or add a scrape target)"


def _none_matched(load: LoadReport, nodes: Sequence[Node]) -> Finding:
    return failed(
        "load names",
        f"none is a node of this cluster, all are estimated: the source names {names(load.nodes)}; the nodes are "
        f"{names(node.name for node in nodes)}",
        "is this the source of another cluster? if not, let it name nodes as Kubernetes does",
    )


def values(facts: Facts) -> Iterator[Finding]:
    """A source's query may give a percentage where a ratio is expected, or a ratio where a percentage is."""
    check = "load values"
    if isinstance(facts.load, PeaksError):
        yield not_checked(check, NO_LOAD)
        return
    alone = (load.cpu for load in facts.load.nodes.values() if load.cpu is not None)
    used = list(facts.use().values()) or list(alone)
    full, asked = sum(cpu >= FULL for cpu in used), _asked(facts)
    if used and full > BUSY_SHARE * len(used) and full > 1:
        yield warning(
            check,
            f"{full} of {len(used)} nodes are at 100 % or above: is a percentage taken for a ratio?",
            _unit(facts),
        )
    elif used and max(used) < IDLE and asked is not None and asked > ASKED_SHARE:
        yield warning(
            check,
            f"every node is below {100 * IDLE:g} % although pods request {100 * asked:.0f} % of the CPUs: is a ratio "
            "taken for a percentage?",
            _unit(facts),
        )
    elif used:
        yield ok(check, f"{100 * min(used):.1f} to {100 * max(used):.1f} % of a node's CPUs")


def _unit(facts: Facts) -> str:
    load = facts.settings.load
    if load.source == "prometheus" and load.cpu_query is not None:
        return "is load.cpuUnit what load.cpuQuery gives?"
    if load.source == "prometheus":
        return "look at the exporters' series, or use other ones: load.cpuQuery, and load.cpuUnit for their unit"
    return "look at the source's own query or recording rule: is its unit percent?"


def pod_usage(facts: Facts) -> Iterator[Finding]:
    check, asked = "pod usage", facts.settings.usage_source
    if isinstance(facts.usage, PeaksError):
        remedy = "correct it, or set podUsage.source to none"
        yield warning(check, f"{facts.usage} (requests are used instead)", remedy)
    elif facts.usage is not None:
        yield ok(check, f"{asked} tells what {facts.usage} pods use")


def prometheus(facts: Facts) -> Iterator[Finding]:
    check, address = "Prometheus", mask_url(facts.settings.prometheus.address or "")
    if isinstance(facts.targets, PeaksError):
        yield failed(check, str(facts.targets), "correct `prometheus` in the configuration, or take its address out")
    elif facts.targets == 0 and facts.settings.prometheus.match:
        words = f"{address} answers, but no `up` matches {facts.settings.prometheus.match}"
        remedy = "are these labels on your series? a label that tells replicas apart may have been removed"
        yield warning(check, words, f"{remedy} (prometheus.match)")
    elif facts.targets == 0:
        yield warning(check, f"{address} answers, but scrapes nothing (`up` has no series)", "is it the right one?")
    elif facts.targets is not None:
        yield ok(check, f"{address} answers and scrapes {facts.targets} targets")


def _asked(facts: Facts) -> float | None:
    """Share of all CPUs [fraction] that pods on nodes request; None: not known."""
    if isinstance(facts.nodes, PeaksError) or isinstance(facts.pods, PeaksError):
        return None
    cores = sum(node.cpu_capacity for node in facts.nodes)
    return sum(pod.cpu for pod in facts.pods if pod.node_name) / 1000.0 / cores if cores else None
