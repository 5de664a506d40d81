"""What is wrong with outside facts, in the log: each trouble when it begins, when it changes, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from peaks_scheduler.observability.logs import ChangeLog

logger = logging.getLogger(__name__)


class Troubles:
    """See the module."""

    def __init__(self) -> None:
        self._log = ChangeLog(logger)
        self._present: set[str] = set()

    def tell(self, message: str, trouble: Hashable, **fields: object) -> None:
        """``trouble``: what is wrong in this respect; falsy: nothing."""
        if trouble:
            self._present.add(message)
            self._log.report(message, trouble, logging.WARNING, message, **fields)
        elif message in self._present:
            self._present.remove(message)
            self._log.forget(message)
            logger.info("trouble is over", extra={"trouble": message})
