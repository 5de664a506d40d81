"""What was left out or assumed, counted by reason, so that ten thousand pods give one line."""

from __future__ import annotations

from peaks_scheduler.text.words import few, plural


class Counts:
    """Reasons and the names that they hold for. A reason begins with a noun in the singular: ``pod left out``."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        self._found.setdefault(reason, []).append(name)

    def passes(self, good: bool, reason: str, name: str) -> bool:
        """``good``; where it is false, the name is counted under the reason."""
        if not good:
            self.add(reason, name)
        return good

    def notes(self) -> tuple[str, ...]:
        """A line for each reason: ``3 pods left out, finished (a, b, c)``."""
        return tuple(f"{_told(reason, len(names))} ({few(names, 3)})" for reason, names in self._found.items())


def _told(reason: str, count: int) -> str:
    noun, _, rest = reason.partition(" ")
    return f"{plural(count, noun)} {rest}"
