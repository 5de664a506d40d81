"""Checks of the nodes and of pods that wait: are there nodes, and do pods of ours wait for a scheduler?

Assumes that creation times are on the API server's clock. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.settings.settings import Settings

from .facts import Facts
from .finding import UNREACHED, Finding, failed, not_checked, ok, span, warning

LONG = 300.0  # [s] a pod that waits longer needs a reason


def nodes(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield not_checked("nodes", UNREACHED)
    elif isinstance(facts.nodes, PeaksError):
        yield failed("nodes", f"could not be listed: {facts.nodes}", "see rights, and the API server's log")
    elif not facts.nodes:
        yield failed("nodes", "there are none", "is this the right cluster?")
    else:
        cores = sum(node.cpu_capacity for node in facts.nodes)
        yield ok("nodes", f"{len(facts.nodes)} with {cores:g} CPUs")


def waiting(facts: Facts) -> Iterator[Finding]:
    if not facts.reached:
        yield not_checked("waiting pods", UNREACHED)
    elif isinstance(facts.pods, PeaksError):
        yield failed("waiting pods", f"pods could not be listed: {facts.pods}", "see rights, and the API server's log")
    else:
        yield from _scheduler_names(facts, facts.pods)
        yield _waiting(facts, [pod for pod in facts.pods if _waits(pod, facts.settings.scheduler_name)])


def _waits(pod: Pod, name: str) -> bool:
    return pod.scheduler_name == name and not pod.node_name and not pod.gated and not pod.deleting


def _waiting(facts: Facts, pods: Sequence[Pod]) -> Finding:
    ours = facts.settings.scheduler_name
    now = facts.now + facts.clock_offset  # creation times are the API server's
    long = sorted((pod for pod in pods if now - pod.created > LONG), key=lambda pod: (pod.created, pod.key))
    if not long:
        return ok("waiting pods", f"{len(pods)} of {ours}, none for more than {span(LONG)}")
    first = long[0]
    return warning(
        "waiting pods",
        f"{len(long)} of {ours} for more than {span(LONG)}, {first.key} for {span(now - first.created)}: no scheduler "
        "of that name runs, or no node is feasible",
        f"peaks-scheduler explain {first.key}{_by_name(ours)}",
    )


def _by_name(ours: str) -> str:
    return "" if ours == Settings().scheduler_name else f" --scheduler-name {ours}"


def _scheduler_names(facts: Facts, pods: Sequence[Pod]) -> Iterator[Finding]:
    ours = facts.settings.scheduler_name
    if ours == "default-scheduler":
        yield warning(
            "waiting pods",
            "schedulerName default-scheduler is kube-scheduler's own: if it runs, both place the same pods",
            "choose another schedulerName",
        )
    near = Counter(
        pod.scheduler_name for pod in pods if pod.scheduler_name.lower() == ours.lower() and _stuck(pod, ours)
    )
    for name, count in near.items():
        yield warning(
            "waiting pods",
            f"{count} with schedulerName {name}, which is not {ours}: upper and lower case differ",
            f"write {ours} in the pods, or {name} in the configuration",
        )


def _stuck(pod: Pod, ours: str) -> bool:
    return pod.scheduler_name != ours and not pod.node_name
