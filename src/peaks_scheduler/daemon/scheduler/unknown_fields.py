"""Pod fields that this version does not know, and how common they are among our new pods.

Owns the counts over the last pods; those of other schedulers are not read whole. A field in most new pods is probably a
default of a newer API server. Every pod would then be unschedulable, so the log says to update or to name the field in
``podFields.ignore``. Never decides about a pod itself.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque

from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.supported_fields import is_unknown

logger = logging.getLogger(__name__)

WINDOW = 100  # last pods that are counted
ENOUGH = 20  # with fewer pods no field is common
COMMON = 0.5  # a field in a larger share of the pods is common

_INDEX = re.compile(r"\[\d+\]")


class UnknownFields:
    """See the module."""

    def __init__(self) -> None:
        self._last: deque[frozenset[str]] = deque()
        self._counts: Counter[str] = Counter()
        self._warned: set[str] = set()

    def saw(self, pod: Pod) -> None:
        """Count a new pod of ours."""
        fields = frozenset(_INDEX.sub("[]", path) for path in pod.unsupported if is_unknown(path))
        self._last.append(fields)
        self._counts.update(fields)
        if len(self._last) > WINDOW:
            self._counts.subtract(self._last.popleft())
            self._counts = +self._counts  # drops fields with count 0
        for field in fields & self.common().keys() - self._warned if fields else ():
            self._warned.add(field)
            logger.warning("most new pods have a field that is not known", extra={"field": field, "remedy": _REMEDY})

    def common(self) -> dict[str, float]:
        """Field -> share of the last pods that have it, for fields in more than half of them."""
        seen = len(self._last)
        if seen < ENOUGH:
            return {}
        return {field: count / seen for field, count in self._counts.items() if count > COMMON * seen}


_REMEDY = "update, or name it in podFields.ignore if it does not constrain placement"
