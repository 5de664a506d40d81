"""The answers of ``explain`` as a table for people.

Owns the layout, the order of the nodes and the rounding. Assumes the answers of ``answer.explain``. Pure.
"""

from __future__ import annotations

import math

from peaks_scheduler.scheduling.decision import WATTS, Decision, NodeVerdict
from peaks_scheduler.text.printable import cell, cells, visible
from peaks_scheduler.text.table import aligned

from .answer import Answer

MOST_ROWS = 20
"""Nodes of one pod in a table; JSON has all."""
CELL, HEADLINE = 1024, 8192
"""Characters of a table's cell, and of a pod's own line."""
_NUMBERS = (2, 3, 4)  # columns
_RANK = {"measured": 0, "estimated": 0, "unmodelled": 1, "above-ceiling": 2, "over-full": 3, None: 4}


def as_table(answers: list[Answer]) -> str:
    """One line for each pod, its nodes below it, the best first; at the end the notes on all answers."""
    parts = ["\n".join(_lines(answer)) for answer in answers]
    parts += dict.fromkeys(f"note: {visible(answer.other_models)}" for answer in answers if answer.other_models)
    return "\n\n".join(parts)


def _lines(answer: Answer) -> list[str]:
    rows = [cells(_row(name, verdict), CELL) for name, verdict in _ranked(answer)]
    lines = [cell(headline(answer), HEADLINE)]
    if rows:
        lines += [f"  {line}" for line in aligned([_header(answer), *rows[:MOST_ROWS]], _NUMBERS)]
    if len(rows) > MOST_ROWS:
        lines.append(f"  ... and {len(rows) - MOST_ROWS} more (--output json has all)")
    return lines


def _header(answer: Answer) -> tuple[str, ...]:
    in_watts = all(verdict.cost_unit == WATTS for verdict in answer.nodes.values())
    return "node", "standing", "jump" if in_watts else "cost", "CPU before", "after", "reason"


def headline(answer: Answer) -> str:
    """``default/web-0 -> worker-2, +4.31 W (runner-up worker-3, +4.40 W)`` and the preferences that decided, or why no
    node is feasible."""
    key, decision = _title(answer), answer.decision
    if decision is None:
        return f"{key}: waits for its scheduling gates"
    if decision.node is None:
        return f"{key}: {answer.message}"
    unit = decision.cost_unit
    line = f"{key} -> {decision.node}, {_price(decision.jump_watts, decision.cost, unit)}"
    if decision.runner_up is None:
        return line
    line += f" (runner-up {decision.runner_up}, {_price(decision.runner_up_jump_watts, decision.runner_up_cost, unit)})"
    return f"{line}; {_preferred(decision)}" if decision.preferences else line


def _title(answer: Answer) -> str:
    """``default/web (Deployment, 2 pods, each judged alone)``."""
    template = answer.template
    if template is None:
        return answer.key
    many = template.replicas is not None and template.replicas != 1
    return f"{answer.key} ({template.kind}{f', {template.replicas} pods, each judged alone' if many else ''})"


def _preferred(decision: Decision) -> str:
    """``NodeAffinity and InterPodAffinity prefer it, at +0.20 W``; without watts if they round to 0."""
    words = f"{' and '.join(decision.preferences)} prefer{'s' if len(decision.preferences) == 1 else ''} it"
    extra = decision.preference_watts
    return f"{words}, at {_price(extra)}" if extra and extra >= 0.005 else words


def _ranked(answer: Answer) -> list[tuple[str, NodeVerdict]]:
    """The chosen node, then the others as the core ranks them; infeasible nodes come last."""
    chosen = answer.decision.node if answer.decision else None

    def key(item: tuple[str, NodeVerdict]) -> tuple[bool, int, float, str]:
        name, verdict = item
        return name != chosen, _RANK[verdict.standing], _order(verdict), name

    return sorted(answer.nodes.items(), key=key)


def _order(verdict: NodeVerdict) -> float:
    """What nodes of one rank class are compared by: cost, distance above the ceiling, or CPU use after placement."""
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
    words = "; ".join(filter(None, (_ceiling(verdict), _conditions(verdict))))
    return name, verdict.standing or "-", price, before, after, words


def _conditions(verdict: NodeVerdict) -> str:
    """``at 27.5 celsius, with overhead 1.4, predicted``: what the watts were computed for; empty for a curve of the
    model file as it stands there."""
    return ", ".join(
        filter(
            None,
            (
                "" if verdict.temperature is None else f"at {verdict.temperature:.1f} celsius",
                "" if verdict.overhead is None else f"with overhead {verdict.overhead:.3g}",
                verdict.model_from if verdict.model_from not in (None, "file") else "",
            ),
        )
    )


def _ceiling(verdict: NodeVerdict) -> str:
    """``memory 92.3 %, ceiling 90 %``; empty if the node is compared by watts."""
    if verdict.standing != "above-ceiling":
        return ""
    return "; ".join(f"{what} {_percent(after)}, ceiling {100 * limit:g} %" for what, after, limit in verdict.above())


def _price(watts: float | None, cost: float | None = None, unit: str = WATTS) -> str:
    """``+4.31 W``, or the cost in the strategy's own unit."""
    if unit != WATTS:
        return "no cost" if cost is None else f"{cost:.2f} {unit}"
    return "no power model" if watts is None else f"{watts:+.2f} W"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
