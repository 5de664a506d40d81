"""Many nodes with few kinds of problems, as a few lines: texts that differ only in node, number or address are one.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from peaks_scheduler.text.words import plural

from .finding import names

MOST_GROUPS = 5
"""Lines of one kind; the rest is one more line."""
_WORDS = re.compile(r"([\w.-]+)")
MOST_TEXT = 500  # characters of a text that are compared and shown
_VARYING = re.compile(r"https?://[^\s,;)]+|'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?", re.ASCII)


def alike(texts: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(an example, names of the nodes) of each kind of text among these (node, text); the most frequent first. Beyond
    ``MOST_GROUPS`` kinds the rest has an empty example."""
    found: dict[str, tuple[str, list[str]]] = {}
    for node, text in texts:
        text = text[:MOST_TEXT]
        kind = _VARYING.sub("#", "".join("#" if word.strip(".") == node else word for word in _WORDS.split(text)))
        found.setdefault(kind, (text, []))[1].append(node)
    ordered = sorted(found.values(), key=lambda group: -len(group[1]))
    rest = [node for _, nodes in ordered[MOST_GROUPS:] for node in nodes]
    return [*ordered[:MOST_GROUPS], *([("", rest)] if rest else [])]


def of_nodes(example: str, nodes: list[str]) -> str:
    """``worker-1: text``, or ``3 nodes (a, b, c), such as: text``."""
    if len(nodes) == 1:
        return f"{nodes[0]}: {example or 'another reason'}"
    who = f"{plural(len(nodes), 'node')} ({names(nodes)})"
    return f"{who}, such as: {example}" if example else f"{who}, for other reasons"
