"""The answers as text: a table with a line for each node, and below it where each prediction comes from.

A block below the table is for all nodes that have the same to say: thousands of nodes of one model are a few lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.settings.sensors import UNITS
from peaks_scheduler.text.printable import cell, cells
from peaks_scheduler.text.table import aligned
from peaks_scheduler.text.words import few, plural

from .node_curve import COUNTS, LEVELS, NOT, NodeCurve

MOST = 4096
"""Most characters of a line below the table."""
MOST_BLOCKS = 30
"""Most blocks below the table; those with a reason come first."""
SHORT = {"celsius": "°C", "pascal": "Pa"}
_HEADER = ("node", "verdict", "sensors", *(f"{level} %" for level in LEVELS), "CPU use", "jump", "points", "changed by")
_WORDS = 3
"""Columns of words; the others are numbers."""


def as_table(nodes: Sequence[NodeCurve]) -> str:
    """The table of the nodes, and below it their predictors, sensors and reasons."""
    lines = aligned([_HEADER, *(cells(_row(node)) for node in nodes)], range(_WORDS, len(_HEADER)))
    if any(node.curve is not None for node in nodes):
        lines += [
            "",
            "jump: what a pod of 10 % of the node costs, by the curve's convex envelope; * use not known: the most",
        ]
    about: dict[tuple[str, ...], list[str]] = {}
    for node in sorted(nodes, key=lambda node: not node.reasons):
        if told := _about(node):
            about.setdefault(told, []).append(node.name)
    for told, names in [*about.items()][:MOST_BLOCKS]:
        lines += ["", cell(few(names)), *(f"  {cell(line, MOST)}" for line in told)]
    if len(about) > MOST_BLOCKS:
        lines += ["", f"and {len(about) - MOST_BLOCKS} more blocks like these: --node NAME, or --output json"]
    return "\n".join(lines)


def summary(nodes: Sequence[NodeCurve]) -> str:
    """``3 nodes: the predictions of 2 count, of 1 not (worker-3)``."""
    good = sum(node.verdict == COUNTS for node in nodes)
    bad = [node.name for node in nodes if node.verdict == NOT]
    without = sum(not node.verdict for node in nodes)
    parts = [f"the predictions of {good} count"]
    parts += [f"of {len(bad)} not ({few(bad)})"] if bad else []
    parts += [f"{without} without a predictor"] if without else []
    return f"{plural(len(nodes), 'node')}: {', '.join(parts)}"


def _row(node: NodeCurve) -> tuple[str, ...]:
    watts, jump = node.watts(), node.jump()
    return (
        node.name,
        node.verdict or "no predictor",
        _sensors(node) or "-",
        *(f"{watts[level]:.1f} W" if watts else "-" for level in LEVELS),
        "-" if node.use is None else f"{100 * node.use:.0f} %",
        "-" if jump is None else f"{'*' if node.use is None else ''}{jump:.2f} W",
        str(len(node.answer.cpu)) if len(node.answer.cpu) else "-",
        "-" if not node.watts() else f"{node.answer.change:.2f} W",
    )


def _sensors(node: NodeCurve) -> str:
    """``inlet 24.5 °C, deltaP 7.5 Pa``; what does not count has a question mark."""
    return ", ".join(
        f"{signal} {each.value:.4g} {SHORT.get(UNITS.get(signal, ''), '')}".rstrip()
        + ("?" if signal in node.answer.distrusted else "")
        for signal, each in sorted(node.answer.readings.items())
    )


def _about(node: NodeCurve) -> tuple[str, ...]:
    """Predictor, sensors by source, and reasons: what nodes may have in common."""
    answer = node.answer
    lines = []
    if answer.assignment is not None:
        batch = "" if answer.batch is None else ", in batches" if answer.batch else ", one question a request"
        inputs = ", ".join(answer.assignment.model.inputs)
        lines.append(f"{node.predictor}{batch}; asked {inputs}; said by {answer.assignment.said_by}")
    if answer.readings:
        lines.append(f"sensors: {', '.join(f'{s} by {each.sensor}' for s, each in sorted(answer.readings.items()))}")
    return (*lines, *(f"{node.verdict or 'note'}: {reason}" for reason in node.reasons))
