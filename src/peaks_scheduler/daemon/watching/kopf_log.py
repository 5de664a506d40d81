"""A fact that only kopf's log tells: that its watch has failed for good.

Owns a handler on kopf's logger, the words it looks for (a test compares them with kopf's source), and the clean-up
after kopf. Assumes kopf 1.45. Never lets debug lines into our log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

REPORTER = "kopf._core.reactor.orchestration"  # the logger that tells of watches that failed for good
WATCHER = "watcher for "  # what kopf calls the tasks that watch
STREAM = "infinite_watch"  # what it calls their streams


class EndTogether(logging.Handler):
    """Ends all watches when one has failed for good: its kind is gone, or its stream has an error.

    kopf 1.45 then ends, but stops what the other watches need before it stops the watches: they, and kopf, would wait
    for ever. Cancelled first and all at once, the watches end, and kopf after them.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(WATCHER.capitalize()):
            for task in asyncio.all_tasks():
                if task.get_name().startswith(WATCHER) and task is not asyncio.current_task():
                    task.cancel()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While kopf runs."""
        source = logging.getLogger(REPORTER)
        source.addHandler(self)
        try:
            yield
        finally:
            source.removeHandler(self)


def pass_over_open_streams(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exception handler of the event loop for the end of the process: ignores errors of streams that were left open.
    kopf leaves a watch's stream open if it stops the watch during an event; closing it later raises an error."""
    if getattr(context.get("asyncgen"), "__name__", "") != STREAM:
        loop.default_exception_handler(context)
