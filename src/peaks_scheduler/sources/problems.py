"""What of an answer could not be used, for people: the same trouble of many nodes is one line.

Owns the wording ``trouble: a, b, c and 6 more``. The same trouble gives the same text, so that a change can be told.
"""

from peaks_scheduler.text.words import few

_MOST = 3


class Problems:
    """Troubles of one answer, in the order in which they were met."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}

    def add(self, trouble: str, key: str | None = None) -> None:
        """``key``: whose; None where it is nobody's in particular."""
        self._keys.setdefault(trouble, []).extend([] if key is None else [key])

    def texts(self) -> tuple[str, ...]:
        return tuple(f"{trouble}: {few(keys, _MOST)}" if keys else trouble for trouble, keys in self._keys.items())
