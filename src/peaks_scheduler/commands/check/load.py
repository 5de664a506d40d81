"""Does load come, is it fresh, does it say which node it is of, and can its numbers be true?

Judges what ``reading`` brought. Assumes that a source has read its answer: what it left out is among the report's
problems. Never asks again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import LoadError, PeaksError
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.objects.node import Node
from peaks_scheduler.text.masking import mask_url

from .cluster import CLOCKS_APART, names, span
from .finding import Finding, failed, ok, unseen, warning
from .reading import Facts

FULL = 0.999  # [fraction] sources cut at 1 what is above it
IDLE = 0.005  # [fraction] a machine that runs nothing but its kubelet uses more
BUSY_SHARE = 0.5  # of the nodes at full load: more than chance
ASKED_SHARE = 0.1  # of the CPUs that pods request: a cluster that does something
NO_LOAD = "no load came"
ESTIMATED = "the scheduler goes on by estimates from requests"


def source(facts: Facts) -> Iterator[Finding]:
    check, load = "load source", facts.load
    if isinstance(load, LoadError):
        yield failed(check, f"{load} ({ESTIMATED})", "start it or correct `load` in the configuration")
    elif isinstance(load, PeaksError):
        yield failed(check, f"{facts.settings.load.source}: {load}", "correct `load` in the configuration")
    else:
        yield ok(check, f"{facts.settings.load.source} tells the load of {len(load.nodes)} nodes")
        for problem in load.problems:
            yield warning(check, f"not used as it came: {problem}", "see the source's own log and queries")
        offset = load.clock_offset
        if offset is not None and abs(offset) > CLOCKS_APART:
            yield warning(
                check,
                f"its clock is {offset:+.0f} s from this machine's",
                "let both follow a time server (NTP); times are corrected meanwhile",
            )


def age(facts: Facts) -> Iterator[Finding]:
    check = "load age"
    if isinstance(facts.load, PeaksError):
        yield unseen(check, NO_LOAD)
        return
    expiry = facts.settings.load.expiry
    ends = {key: facts.load.fetched_at - load.window_end for key, load in facts.load.nodes.items()}
    newest = max(0.0, min(ends.values(), default=0.0))
    stale = [key for key, seconds in ends.items() if seconds > expiry]
    remedy = "is its own source (Prometheus, kubelets) still answering? or raise load.expiry"
    if newest > expiry:
        yield failed(check, f"the newest is {span(newest)} old, load.expiry is {span(expiry)}: {ESTIMATED}", remedy)
    elif stale:
        yield warning(check, f"older than {span(expiry)} (load.expiry), not used: {names(stale)}", remedy)
    else:
        yield ok(check, f"the newest is {span(newest)} old, load.expiry is {span(expiry)}")


def keys(facts: Facts) -> Iterator[Finding]:
    check = "load names"
    if isinstance(facts.load, PeaksError) or isinstance(facts.nodes, PeaksError):
        yield unseen(check, NO_LOAD if isinstance(facts.load, PeaksError) else "the nodes could not be listed")
        return
    found = facts.resolution()
    useless = bool(facts.nodes) and not found.matched
    if useless:
        yield _none_matched(facts.load, facts.nodes)
    relabel = "let the source name nodes as Kubernetes does (a relabelling of `instance` or `node`)"
    if found.unmatched and not useless:
        yield warning(check, f"no node of this cluster: {names(found.unmatched)}", relabel)
    for key, several in found.ambiguous.items():
        yield warning(check, f"{key} may be any of {names(several)}, and is not used", relabel)
    for node, several in found.duplicates.items():
        yield warning(check, f"{names(several)} all mean {node}, none is used", relabel)
    without = [node.name for node in facts.nodes if node.name not in found.matched]
    if without and not useless:
        yield warning(
            check, f"{len(without)} of {len(facts.nodes)} nodes without load, estimated: {names(without)}", _COLLECT
        )
    if not (found.unmatched or found.ambiguous or found.duplicates or without):
        yield ok(check, f"all {len(facts.nodes)} nodes have load, and every name means one of them")


_COLLECT = "have the source collect them too (a node_exporter there, or a scrape target)"


def _none_matched(load: LoadReport, nodes: Sequence[Node]) -> Finding:
    return failed(
        "load names",
        f"none is a node of this cluster, all are estimated: the source names {names(load.nodes)}; the nodes are "
        f"{names(node.name for node in nodes)}",
        "is this the source of another cluster? else let it name nodes as Kubernetes does",
    )


def values(facts: Facts) -> Iterator[Finding]:
    """Percent and ratio are mistaken for each other, in the source's query mostly."""
    check = "load values"
    if isinstance(facts.load, PeaksError):
        yield unseen(check, NO_LOAD)
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
        return "look at the exporters' series, or ask for others: load.cpuQuery, and load.cpuUnit for what it gives"
    return "look at the source's own query or recording rule, and whether its unit is percent"


def pod_usage(facts: Facts) -> Iterator[Finding]:
    check, asked = "pod usage", facts.settings.usage_source
    if isinstance(facts.usage, PeaksError):
        yield warning(check, f"{facts.usage} (requests count instead)", "correct it, or set podUsage.source to none")
    elif facts.usage is not None:
        yield ok(check, f"{asked} tells what {facts.usage} pods use")


def prometheus(facts: Facts) -> Iterator[Finding]:
    check, address = "Prometheus", mask_url(facts.settings.prometheus.address or "")
    if isinstance(facts.targets, PeaksError):
        yield failed(check, str(facts.targets), "correct `prometheus` in the configuration, or take its address out")
    elif facts.targets == 0 and facts.settings.prometheus.match:
        words = f"{address} answers, but no `up` matches {facts.settings.prometheus.match}"
        yield warning(check, words, "does prometheus.match say what your series have? labels of a replica may be gone")
    elif facts.targets == 0:
        yield warning(check, f"{address} answers and scrapes nothing (`up` has no series)", "is it the right one?")
    elif facts.targets is not None:
        yield ok(check, f"{address} answers and scrapes {facts.targets} targets")


def _asked(facts: Facts) -> float | None:
    """Share of all CPUs [fraction] that pods on nodes ask for; None where it is not known."""
    if isinstance(facts.nodes, PeaksError) or isinstance(facts.pods, PeaksError):
        return None
    cores = sum(node.cpu_capacity for node in facts.nodes)
    return sum(pod.cpu for pod in facts.pods if pod.node_name) / 1000.0 / cores if cores else None
