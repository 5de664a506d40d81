"""Words in messages: a few names of many, the nearest known word, plurals."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

_MOST_KNOWN = 10_000  # words among which the nearest is looked for
_MOST_WORD = 100  # characters: what is longer was not misspelt


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: messages are for people."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`` (did you mean X?)`` for a misspelt word, else nothing: a message's tail. ``likeness``: 0..1, difflib's."""
    if len(word) > _MOST_WORD:
        return ""
    folded = {name.casefold(): name for name in islice(known, _MOST_KNOWN)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=likeness)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
