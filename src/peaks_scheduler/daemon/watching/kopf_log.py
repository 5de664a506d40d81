"""Facts that only kopf's log tells: which watches broke, and that one has failed for good.

Owns two handlers on kopf's loggers, the words they look for (a test compares them with kopf's source), and the clean-up
after kopf. Assumes kopf 1.45. Never lets debug lines into our log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from peaks_scheduler.observability.telemetry import Telemetry

SPEAKER = "kopf._cogs.clients.watching"  # the logger that tells of broken watches
REPORTER = "kopf._core.reactor.orchestration"  # the logger that tells of watches that failed for good
WATCHER = "watcher for "  # what kopf calls the tasks that watch
STREAM = "infinite_watch"  # what it calls their streams


class RestartCounter(logging.Handler):
    """Counts broken watches and sets ``relisted``. kopf restarts them and says so in debug lines only."""

    SIGNS = (("Restarting the watch-stream for ", "gone"), ("is inactive, reconnecting", "inactive"))

    def __init__(self, telemetry: Telemetry, relisted: asyncio.Event) -> None:
        super().__init__(logging.DEBUG)
        self._telemetry, self._relisted = telemetry, relisted

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        for sign, reason in self.SIGNS:
            if sign in message:
                resource = message.partition(" for ")[2].partition(".")[0]
                self._telemetry.watch_restarted(resource, "gone" if reason == "gone" else "inactive")
                self._relisted.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to kopf's watcher, without letting its debug lines into our log."""
        source = logging.getLogger(SPEAKER)
        before = source.level, source.propagate
        source.setLevel(logging.DEBUG)
        source.propagate = False
        source.addHandler(self)
        try:
            yield
        finally:
            source.removeHandler(self)
            source.setLevel(before[0])  # not .level: setLevel also clears the logger's cache
            source.propagate = before[1]


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
