"""Values of labels, made safe and bounded in number, whatever others wrote."""

from __future__ import annotations

from peaks_scheduler.text.printable import visible

MOST_SERIES = 64
"""Different values of one label. A gauge leaves out further ones; a counter counts them as `OTHER`."""
OTHER = "other"
LABEL_LIMIT = 128
"""[characters] of a label's value. Names of Kubernetes have up to 253; names of nodes are not cut."""


def label_value(text: str) -> str:
    """``text`` as a label's value: cut, and encodable as UTF-8."""
    return visible(text[:LABEL_LIMIT])


class BoundedLabel:
    """The values of one label of a counter. A counter keeps its series for ever, so their number is bounded."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def value(self, text: str) -> str:
        """``text`` as a label's value; `OTHER` if there are ``MOST_SERIES`` other values already."""
        value = label_value(text)
        if value not in self._known and len(self._known) >= MOST_SERIES:
            return OTHER
        self._known.add(value)
        return value
