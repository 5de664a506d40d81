"""The problems of an answer, for people: one text for each problem, with the nodes that have it.

Owns the form ``problem: a, b, c and 6 more``. The same problem gives the same text, so that a change can be logged.
"""

from peaks_scheduler.text.words import few

_MOST = 3


class Problems:
    """Collects the problems of one answer, in the order in which they were found."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}

    def add(self, problem: str, key: str | None = None) -> None:
        """``key`` is the node or pod that has the problem; None: it is not about one."""
        self._keys.setdefault(problem, []).extend([] if key is None else [key])

    def texts(self) -> tuple[str, ...]:
        """One text for each problem."""
        return tuple(f"{problem}: {few(keys, _MOST)}" if keys else problem for problem, keys in self._keys.items())
