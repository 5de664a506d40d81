"""Words for messages: the first of many names, the nearest known word, plurals. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

_MOST_KNOWN = 10_000  # words that are compared
_MOST_WORD = 100  # characters; a longer word is no spelling mistake


def few(names: Sequence[str], most: int = 5) -> str:
    """The first ``most`` names, and the number of the others: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`` (did you mean 'X'?)`` for the end of a message; empty where no known word is similar.

    ``likeness``: least similarity, 0..1, as difflib measures it.
    """
    if len(word) > _MOST_WORD:
        return ""
    folded = {name.casefold(): name for name in islice(known, _MOST_KNOWN)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=likeness)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def plural(count: int, word: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{count} {word}{'' if count == 1 else 's'}"
