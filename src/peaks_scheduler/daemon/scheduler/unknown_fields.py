"""Pod fields that this version does not know, and how common they are among new pods.

Owns the count over the last pods seen. A field that most new pods carry was probably put there by a newer API server,
which defaults it everywhere: then every pod would be refused, and somebody must be told to name it in
``podFields.ignore`` or to update. Never refuses anything itself.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque

from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.supported_fields import is_unknown

logger = logging.getLogger(__name__)

WINDOW = 100  # pods that are looked back at
ENOUGH = 20  # pods below which nothing is said
COMMON = 0.5  # share of them beyond which a field is common

_INDEX = re.compile(r"\[\d+\]")


class UnknownFields:
    """See the module."""

    def __init__(self) -> None:
        self._last: deque[frozenset[str]] = deque()
        self._counts: Counter[str] = Counter()
        self._warned: set[str] = set()

    def saw(self, pod: Pod) -> None:
        """A new pod, of whatever scheduler."""
        fields = frozenset(_INDEX.sub("[]", path) for path in pod.unsupported if is_unknown(path))
        self._last.append(fields)
        self._counts.update(fields)
        if len(self._last) > WINDOW:
            self._counts.subtract(self._last.popleft())
            self._counts = +self._counts  # a field that none of them has is forgotten
        for field in fields & self.common().keys() - self._warned if fields else ():
            self._warned.add(field)
            logger.warning("most new pods have a field that is not known", extra={"field": field, "remedy": _REMEDY})

    def common(self) -> dict[str, float]:
        """Fields that more than half of the last pods have, and the share of pods that do."""
        seen = len(self._last)
        if seen < ENOUGH:
            return {}
        return {field: count / seen for field, count in self._counts.items() if count > COMMON * seen}


_REMEDY = "update, or name it in podFields.ignore if it does not constrain placement"
