"""The question put to the core, and its answer as JSON or a table.

Every verdict comes out of ``cycle``, as the daemon's does: each pending pod is judged on its own and nothing is assumed
between. Assumes a Cluster that was read already. Never does I/O.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peaks_scheduler.errors import NotFound, PeaksError
from peaks_scheduler.ledger.records import State
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import WATTS, Decision, NodeVerdict
from peaks_scheduler.scheduling.scoring.strategies import Strategy, strategy_named
from peaks_scheduler.scheduling.verdicts import judge
from peaks_scheduler.settings.subjects import Settings
from peaks_scheduler.text.printable import cell, cells, visible
from peaks_scheduler.text.words import few

from .cluster import Cluster
from .reading import shaped
from .templates import Template

DAEMON_SET = (
    "its controller makes a pod for each node and pins it there; the answer is for one pod that may go anywhere, and "
    "each node's line says whether it would take its own"
)
MOST_ROWS = 20
"""Nodes of one pod in a table; JSON has all."""
CELL, HEADLINE = 1024, 8192
"""Characters of a table's cell, and of a pod's own line."""
_COLUMNS = 6
_RANK = {"measured": 0, "estimated": 0, "unmodelled": 1, "above-ceiling": 2, "over-full": 3, None: 4}


@dataclass(frozen=True, slots=True)
class Answer:
    """What would become of one pod."""

    pod: Pod
    key: str
    """``namespace/name`` of the pod, or of the workload that would make it."""
    template: Template | None = None
    decision: Decision | None = None
    """None: the pod is gated, nobody looks at nodes for it yet."""
    nodes: Mapping[str, NodeVerdict] = field(default_factory=dict)
    models_in_doubt: str = ""
    """Why the scheduler itself may decide otherwise; empty: it does not."""

    @property
    def message(self) -> str | None:
        """Why it goes nowhere; None where it goes somewhere, or waits for its gates."""
        diagnosis = self.decision.diagnosis if self.decision else None
        return diagnosis.message if diagnosis else None

    @property
    def notes(self) -> list[str]:
        """What of the pod could not be read and was not used, and what is not as it seems."""
        notes = [f"{self.key}: {oddity}" for oddity in self.pod.oddities]
        if self.template is not None and self.template.kind == "DaemonSet":
            notes.append(f"{self.key}: {DAEMON_SET}")
        return notes

    def as_json(self) -> dict[str, Any]:
        answer = {
            "node": self.decision.node if self.decision else None,
            "message": self.message,
            "gated": self.pod.gated,
            "unsupported": list(self.pod.unsupported),
            "podCpu": self.pod.cpu / 1000.0,
            "podCpuFrom": self.pod.cpu_from,
            "nodes": {name: verdict.as_json() for name, verdict in self.nodes.items()},
            **({"notes": [self.models_in_doubt]} if self.models_in_doubt else {}),
        }
        if self.template is None:
            return answer
        return answer | {"template": {"kind": self.template.kind, "replicas": self.template.replicas}}


def explain(cluster: Cluster, settings: Settings, key: str | None) -> list[Answer]:
    """The answer for the pod ``key`` (``namespace/name``) or the pods of a workload in files, or for every pending pod
    of ours where that is None.

    Raises NotFound for a pod that is not there, PeaksError for one about which there is nothing to decide.
    """
    strategy, ours = strategy_named(settings.strategy), settings.scheduler_name
    pods = _pending(cluster, ours) if key is None else _wanted(cluster, key, ours)
    keys = _keys(cluster)
    with shaped("the cluster's objects"):
        found = [_answer(pod, keys, cluster, strategy, settings.tolerance_watts) for pod in pods]
    return sorted(found, key=lambda answer: answer.key)


def passed_over(cluster: Cluster, ours: str) -> list[str]:
    """Templates that ``--all-pending`` leaves out, and why: silence would look like a mistake of the reader's."""
    pods = {pod.uid: pod for pod, _ in cluster.ledger.pods()}
    theirs, none = [], []
    for uid, template in cluster.templates.items():
        if (name := pods[uid].scheduler_name) != ours:
            theirs.append(f"{template.name} ({name})")
        elif not template.waits and not template.running:
            none.append(template.name)
    others = f"pod templates of other schedulers, not explained: {few(theirs)}; for {ours} write schedulerName: {ours}"
    empty = f"workloads of 0 replicas, explained when asked for by name: {few(none)}"
    return [note for note, names in ((others, theirs), (empty, none)) if names]


def _keys(cluster: Cluster) -> dict[str, str]:
    """What each pod is called in answers, by uid: a template by the shortest of its names that no other has."""
    pods = [pod for pod, _ in cluster.ledger.pods()]
    keys = {pod.uid: pod.key for pod in pods if pod.uid not in cluster.templates}
    names = Counter(keys.values())
    for template in cluster.templates.values():
        names.update(template.keys)
    for uid, template in cluster.templates.items():
        keys[uid] = next((name for name in template.keys if names[name] == 1), template.keys[-1])
    return keys


def _answer(pod: Pod, keys: Mapping[str, str], cluster: Cluster, strategy: Strategy, tolerance: float) -> Answer:
    key, template = keys[pod.uid], cluster.templates.get(pod.uid)
    if pod.gated:
        return Answer(pod, key, template, models_in_doubt=cluster.models_in_doubt)
    nodes = cluster.ledger.snapshot()
    decision = schedule(pod, nodes, strategy, now=cluster.now, tolerance=tolerance)
    return Answer(pod, key, template, decision, judge(pod, nodes, strategy), cluster.models_in_doubt)


def _pending(cluster: Cluster, ours: str) -> list[Pod]:
    waiting = (pod for pod, state in cluster.ledger.pods() if state is State.PENDING and pod.scheduler_name == ours)
    return [pod for pod in waiting if not pod.deleting and _waits(cluster, pod)]


def _waits(cluster: Cluster, pod: Pod) -> bool:
    template = cluster.templates.get(pod.uid)
    return template is None or template.waits


def _wanted(cluster: Cluster, key: str, ours: str) -> list[Pod]:
    """The pod of that name, else what the templates of that name make."""
    key = key if "/" in key else f"default/{key}"
    pods = [pod for pod, _ in cluster.ledger.pods()]
    found = [pod for pod in pods if pod.key == key and pod.uid not in cluster.templates]
    if not found and key in cluster.finished:
        raise PeaksError(f"pod {key}: expected a pending pod; it has finished ({cluster.finished[key]})")
    made = [pod for pod in pods if pod.uid in cluster.templates and cluster.templates[pod.uid].is_meant_by(key)]
    if not found and not made:
        raise NotFound(f"pod {key}: not found{_instead(cluster, key, ours)}", 404)
    for pod in found or made:
        _must_wait(pod, cluster.templates.get(pod.uid), ours)
    return found or made


def _must_wait(pod: Pod, template: Template | None, ours: str) -> None:
    """Raises PeaksError for a pod about which there is nothing to decide."""
    what = template.name if template else f"pod {pod.key}"
    if pod.node_name:
        raise PeaksError(f"{what}: expected a pending pod; it is on {pod.node_name} already")
    if pod.scheduler_name != ours:
        theirs = pod.scheduler_name
        remedy = f"say --scheduler-name {theirs}" if template is None else _for_us(ours, theirs)
        raise PeaksError(f"{what}: expected a pod of {ours}; it is {theirs}'s: {remedy}")
    if pod.deleting:
        raise PeaksError(f"{what}: expected a pending pod; it is being deleted")


def _for_us(ours: str, theirs: str) -> str:
    return f"write schedulerName: {ours} into its pod template, or say --scheduler-name {theirs}"


def _instead(cluster: Cluster, key: str, ours: str) -> str:
    """What there is in its place: the pods of a workload of that name, else whatever waits."""
    its = sorted(pod.key for pod, _ in cluster.ledger.pods() if pod.key.startswith(f"{key}-"))
    if its:
        return f"; pods that are named after it: {few(its)}. Is it a workload? Ask for one of its pods"
    keys = _keys(cluster)
    waiting = sorted(keys[pod.uid] for pod in _pending(cluster, ours))
    return f"; pending are {few(waiting)}" if waiting else "; no pod is pending"


# --- table ----------------------------------------------------------------------------------------------------------


def as_table(answers: list[Answer]) -> str:
    """Each pod's answer in a line, its nodes below it, the best first; at the end what all of it is subject to."""
    parts = ["\n".join(_lines(answer)) for answer in answers]
    parts += dict.fromkeys(f"note: {visible(answer.models_in_doubt)}" for answer in answers if answer.models_in_doubt)
    return "\n\n".join(parts)


def _lines(answer: Answer) -> list[str]:
    rows = [cells(_row(name, verdict), CELL) for name, verdict in _ranked(answer)]
    lines = [cell(headline(answer), HEADLINE)]
    if rows:
        shown = [_header(answer), *rows[:MOST_ROWS]]
        widths = [max(len(row[column]) for row in shown) for column in range(_COLUMNS)]
        lines += ["  " + _aligned(row, widths) for row in shown]
    if len(rows) > MOST_ROWS:
        lines.append(f"  ... and {len(rows) - MOST_ROWS} more (--output json has all)")
    return lines


def _header(answer: Answer) -> tuple[str, ...]:
    in_watts = all(verdict.cost_unit == WATTS for verdict in answer.nodes.values())
    return "node", "standing", "jump" if in_watts else "cost", "CPU before", "after", "reason"


def headline(answer: Answer) -> str:
    """``default/web-0 -> worker-2, +4.31 W (runner-up worker-3, +4.40 W)`` and what preferences had to say, or why it
    goes nowhere."""
    key, decision = _titled(answer), answer.decision
    if decision is None:
        return f"{key}: waits for its scheduling gates"
    if decision.node is None:
        return f"{key}: {answer.message}"
    unit = decision.cost_unit
    line = f"{key} -> {decision.node}, {_price(decision.jump_watts, decision.cost, unit)}"
    if decision.runner_up is None:
        return line
    line += f" (runner-up {decision.runner_up}, {_price(decision.runner_up_jump_watts, decision.runner_up_cost, unit)})"
    return f"{line}; {_liking(decision)}" if decision.preferences else line


def _titled(answer: Answer) -> str:
    """``default/web (Deployment, 2 pods, each judged alone)``."""
    template = answer.template
    if template is None:
        return answer.key
    many = template.replicas is not None and template.replicas != 1
    return f"{answer.key} ({template.kind}{f', {template.replicas} pods, each judged alone' if many else ''})"


def _liking(decision: Decision) -> str:
    """``NodeAffinity and InterPodAffinity prefer it, at +0.20 W``; nothing of watts where it cost none worth saying."""
    words = f"{' and '.join(decision.preferences)} prefer{'s' if len(decision.preferences) == 1 else ''} it"
    extra = decision.preference_watts
    return f"{words}, at {_price(extra)}" if extra and extra >= 0.005 else words


def _ranked(answer: Answer) -> list[tuple[str, NodeVerdict]]:
    """The chosen node, then the others as the core ranks them, those that were refused last."""
    chosen = answer.decision.node if answer.decision else None

    def key(item: tuple[str, NodeVerdict]) -> tuple[bool, int, float, str]:
        name, verdict = item
        return name != chosen, _RANK[verdict.standing], _order(verdict), name

    return sorted(answer.nodes.items(), key=key)


def _order(verdict: NodeVerdict) -> float:
    """By what nodes of one rank class are compared: cost, how far above the ceiling, or fullness."""
    if not verdict.feasible:
        return 0.0
    if verdict.standing in ("measured", "estimated"):
        cost = verdict.jump_watts if verdict.cost_unit == WATTS else verdict.cost
        return math.inf if cost is None else cost
    if verdict.standing == "above-ceiling":
        return max((after - limit for _, after, limit in verdict.above()), default=0.0)
    return math.inf if verdict.cpu_after is None else verdict.cpu_after


def _row(name: str, verdict: NodeVerdict) -> tuple[str, ...]:
    if not verdict.feasible:
        return name, "-", "-", "-", "-", "; ".join(verdict.reasons)
    before, after = _percent(verdict.cpu_before), _percent(verdict.cpu_after)
    price = _price(verdict.jump_watts, verdict.cost, verdict.cost_unit)
    return name, verdict.standing or "-", price, before, after, _ceiling(verdict)


def _ceiling(verdict: NodeVerdict) -> str:
    """``memory 92.3 %, ceiling 90 %``; empty where the node competes in watts."""
    if verdict.standing != "above-ceiling":
        return ""
    return "; ".join(f"{what} {_percent(after)}, ceiling {100 * limit:g} %" for what, after, limit in verdict.above())


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """Words to the left, numbers to the right."""
    aligned = (
        text.rjust(width) if 2 <= i <= 4 else text.ljust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()


def _price(watts: float | None, cost: float | None = None, unit: str = WATTS) -> str:
    """``+4.31 W``, or the cost in the strategy's own unit."""
    if unit != WATTS:
        return "no cost" if cost is None else f"{cost:.2f} {unit}"
    return "no power model" if watts is None else f"{watts:+.2f} W"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
