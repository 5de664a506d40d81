"""Text from outside made fit for a terminal, a log line, a label or an event: nothing in it moves the cursor, turns the
reading direction, hides, or begins a line of its own.

Owns which characters are shown as they are and how the others are written (``\\u001b``, as JSON writes them), and how
a text that is too long is cut. Whatever others wrote (names, annotations, file contents, answers) goes through here
before a person sees it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FIELD_LIMIT = 2048
"""Characters of one field, cell or note that are shown."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# str.isprintable() knows controls, format characters, surrogates, separators, private and unassigned ones; these it
# takes for printable although they show nothing: fillers, joiners, variation selectors (Unicode's Default_Ignorable)
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def visible(text: str) -> str:
    """``text`` in one line, every character of which can be seen: others are escaped."""
    return text if is_visible(text) else "".join(map(_shown, text))


def visible_lines(text: str) -> str:
    """The same for a text that has lines of its own: its line feeds stay."""
    return "\n".join(map(visible, text.split("\n"))) if "\n" in text else visible(text)


def is_visible(text: str) -> bool:
    """Can every character of it be seen, in one line?"""
    return text.isprintable() and (text.isascii() or not _BLANK.search(text))


def cut(text: str, limit: int = FIELD_LIMIT) -> str:
    """``text`` in about ``limit`` characters; where it was longer, its end says how long."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def cell(text: str, limit: int = FIELD_LIMIT) -> str:
    """``text`` as a part of a line: visible, and not too long."""
    return visible(cut(text, limit))


def indented(text: str, prefix: str) -> str:
    """Every line of ``text`` with ``prefix`` in front, so that none of them passes for one of another kind."""
    return "\n".join(f"{prefix}{visible(line)}" for line in text.split("\n"))


def _shown(char: str) -> str:
    if char.isprintable() and not _BLANK.match(char):
        return char
    return _SHORT.get(char) or _escaped(ord(char))


def _escaped(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON has it: a pair
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def cells(row: Iterable[str], limit: int = 256) -> tuple[str, ...]:
    """A table's row: every cell visible and short enough for a column."""
    return tuple(cell(text, limit) for text in row)
