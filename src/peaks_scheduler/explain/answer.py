"""The question put to the core, and its answer as JSON or a table.

Every verdict comes out of ``cycle``, as the daemon's does: each pending pod is judged on its own and nothing is assumed
between. Assumes a Cluster that was read already. Never does I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..cycle import judge, schedule
from ..decision import Decision, NodeVerdict
from ..documents import few
from ..errors import NotFound, PeaksError
from ..ledger import Ledger, State
from ..objects import Pod
from ..scoring import Strategy, strategy_named
from ..settings import Settings
from .cluster import Cluster, shaped

MOST_ROWS = 20
"""Nodes of one pod in a table; JSON has all."""
_HEADER = ("node", "standing", "jump", "CPU before", "after", "reason")
_RANK = {"measured": 0, "estimated": 0, "unmodelled": 1, "above-ceiling": 2, "over-full": 3, None: 4}


@dataclass(frozen=True, slots=True)
class Answer:
    """What would become of one pod."""

    pod: Pod
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
        """What of the pod could not be read and was not used."""
        return [f"{self.pod.key}: {oddity}" for oddity in self.pod.oddities]

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.decision.node if self.decision else None,
            "message": self.message,
            "gated": self.pod.gated,
            "unsupported": list(self.pod.unsupported),
            "podCpu": self.pod.cpu / 1000.0,
            "podCpuFrom": self.pod.cpu_from,
            "nodes": {name: verdict.as_json() for name, verdict in self.nodes.items()},
            **({"notes": [self.models_in_doubt]} if self.models_in_doubt else {}),
        }


def explain(cluster: Cluster, settings: Settings, key: str | None) -> list[Answer]:
    """The answer for the pod ``key`` (``namespace/name``), or for every pending pod of ours where that is None.

    Raises NotFound for a pod that is not there, PeaksError for one about which there is nothing to decide.
    """
    ledger, strategy = cluster.ledger, strategy_named(settings.strategy)
    ours = settings.scheduler_name
    pods = _pending(ledger, ours) if key is None else [_wanted(ledger, key, ours)]
    with shaped("the cluster's objects"):
        return [_answer(pod, cluster, strategy, settings.tolerance_watts) for pod in pods]


def _answer(pod: Pod, cluster: Cluster, strategy: Strategy, tolerance: float) -> Answer:
    if pod.gated:
        return Answer(pod, models_in_doubt=cluster.models_in_doubt)
    nodes = cluster.ledger.snapshot()
    decision = schedule(pod, nodes, strategy, now=cluster.now, tolerance=tolerance)
    return Answer(pod, decision, judge(pod, nodes, strategy), cluster.models_in_doubt)


def _pending(ledger: Ledger, ours: str) -> list[Pod]:
    waiting = (pod for pod, state in ledger.pods() if state is State.PENDING and pod.scheduler_name == ours)
    return sorted((pod for pod in waiting if not pod.deleting), key=lambda pod: pod.key)


def _wanted(ledger: Ledger, key: str, ours: str) -> Pod:
    key = key if "/" in key else f"default/{key}"
    pod = next((pod for pod, _ in ledger.pods() if pod.key == key), None)
    if pod is None:
        raise NotFound(f"pod {key}: not found{_instead(_pending(ledger, ours))}", 404)
    if pod.node_name:
        raise PeaksError(f"pod {key}: expected a pending pod; it is on {pod.node_name} already")
    if pod.scheduler_name != ours:
        theirs = pod.scheduler_name
        raise PeaksError(f"pod {key}: expected a pod of {ours}; it is {theirs}'s: say --scheduler-name {theirs}")
    if pod.deleting:
        raise PeaksError(f"pod {key}: expected a pending pod; it is being deleted")
    return pod


def _instead(pods: list[Pod]) -> str:
    return f"; pending are {few([pod.key for pod in pods])}" if pods else "; no pod is pending"


# --- table ----------------------------------------------------------------------------------------------------------


def as_table(answers: list[Answer]) -> str:
    """Each pod's answer in a line, its nodes below it, the best first; at the end what all of it is subject to."""
    parts = ["\n".join(_lines(answer)) for answer in answers]
    parts += dict.fromkeys(f"note: {answer.models_in_doubt}" for answer in answers if answer.models_in_doubt)
    return "\n\n".join(parts)


def _lines(answer: Answer) -> list[str]:
    rows = [_row(name, verdict) for name, verdict in _ranked(answer)]
    lines = [headline(answer)]
    if rows:
        shown = [_HEADER, *rows[:MOST_ROWS]]
        widths = [max(len(row[column]) for row in shown) for column in range(len(_HEADER))]
        lines += ["  " + _aligned(row, widths) for row in shown]
    if len(rows) > MOST_ROWS:
        lines.append(f"  ... and {len(rows) - MOST_ROWS} more (--output json has all)")
    return lines


def headline(answer: Answer) -> str:
    """``default/web-0 -> worker-2, +4.31 W (runner-up worker-3, +4.40 W)`` and what preferences had to say, or why it
    goes nowhere."""
    key, decision = answer.pod.key, answer.decision
    if decision is None:
        return f"{key}: waits for its scheduling gates"
    if decision.node is None:
        return f"{key}: {answer.message}"
    line = f"{key} -> {decision.node}, {_price(decision.jump_watts)}"
    if decision.runner_up is None:
        return line
    line += f" (runner-up {decision.runner_up}, {_price(decision.runner_up_jump_watts)})"
    return f"{line}; {_liking(decision)}" if decision.preferences else line


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
    """By what nodes of one rank class are compared: watts, how far above the ceiling, or fullness."""
    if not verdict.feasible:
        return 0.0
    if verdict.standing in ("measured", "estimated"):
        return math.inf if verdict.jump_watts is None else verdict.jump_watts
    if verdict.standing == "above-ceiling":
        return max((after - limit for _, after, limit in verdict.above()), default=0.0)
    return math.inf if verdict.cpu_after is None else verdict.cpu_after


def _row(name: str, verdict: NodeVerdict) -> tuple[str, ...]:
    if not verdict.feasible:
        return name, "-", "-", "-", "-", "; ".join(verdict.reasons)
    before, after = _percent(verdict.cpu_before), _percent(verdict.cpu_after)
    return name, verdict.standing or "-", _price(verdict.jump_watts), before, after, _ceiling(verdict)


def _ceiling(verdict: NodeVerdict) -> str:
    """``memory 92.3 %, ceiling 90 %``; empty where the node competes in watts."""
    if verdict.standing != "above-ceiling":
        return ""
    return "; ".join(f"{what} {_percent(after)}, ceiling {100 * limit:g} %" for what, after, limit in verdict.above())


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """Words to the left, numbers to the right."""
    cells = (
        cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _price(watts: float | None) -> str:
    return "no power model" if watts is None else f"{watts:+.2f} W"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
