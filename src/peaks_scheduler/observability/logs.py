"""Logging: one line per record on stderr, as text or JSON, with secrets masked and long fields cut.

Owns the root logger's only handler and the two formats. All code logs a constant message and fields
(``logger.info("bound", extra={"pod": ..., "node": ...})``). The caller formats the line (some 25 us). In the daemon a
thread writes the lines (``line_writer``), so that a reader that stops does not stop the daemon. The same thread writes
everything else that goes to the daemon's ``sys.stderr``.

Names, responses and exceptions may contain anything: a record never makes the handler raise, and never breaks a line.
Never writes to stdout, which is for results.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from peaks_scheduler.text.masking import mask
from peaks_scheduler.text.printable import FIELD_LIMIT, cut, indented, is_visible, visible

from .line_writer import NonBlockingStream
from .log_rate_limit import RateLimitFilter

OURS = "peaks_scheduler"

# at INFO these libraries log a line for every request (httpx) or watch (kopf)
LIBRARIES = ("aiohttp", "asyncio", "httpcore", "httpx", "kopf", "kubernetes", "urllib3")

# attributes of a record that are not logged as fields: the record's own, and kopf's settings object
_RESERVED = frozenset(RESERVED_ATTRS) | {"message", "asctime", "taskName", "settings", "k8s_skip"}
_RENAMED = {"exc_info": "exception", "stack_info": "stack", "k8s_ref": "object"}
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}

_ENCODER = JsonEncoder(allow_nan=False)  # json.dumps would build a new one for every line

_PLAIN = re.compile(r"[^\s\"'=\\]+")

TRACE_LIMIT = 16_384
"""[characters] of an exception or a stack; the limit of other fields is FIELD_LIMIT."""
CONTINUES = "  | "
"""Prefix of the further lines of a text record; the first line begins with its time."""
_LINE_LIMIT = 4 * FIELD_LIMIT
LAST_LINES = 1.0  # [s] a critical record, and the end of the process, wait so long until the lines are written


class JsonLines(JsonFormatter):
    """Formats a record as one line of JSON: time, level, logger, message, its fields, ``exception``."""

    def __init__(self) -> None:
        super().__init__(json_serializer=_dumps)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        # the library's own implementation takes longer than the rest of the line
        log_data["time"] = _rfc3339(record.created)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.message
        log_data.update(_extras(record))
        for key, value in message_dict.items():
            log_data[_RENAMED.get(key, key)] = value

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        for key, value in log_data.items():
            if isinstance(value, str) and len(value) > FIELD_LIMIT:
                log_data[key] = _cut(value, key)
        return log_data

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if len(line) > _LINE_LIMIT:  # because of a long list or mapping
            line = _dumps({key: _short(value) for key, value in json.loads(line).items()})
        return mask(line)


class TextLines(logging.Formatter):
    """Formats a record as ``2026-11-20T10:00:00.123Z INFO  bound pod=default/web-0 jump_watts=4.31``.

    The lines of a traceback follow, each with the prefix ``CONTINUES``, with which no record begins.
    """

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname)
        fields = [f"{key}={_value(value)}" for key, value in _extras(record) if value is not None]
        if not record.name.startswith(OURS):
            fields.append(f"logger={record.name}")
        message = _cut(record.getMessage())
        line = visible(mask(" ".join((_rfc3339(record.created), f"{level:<5}", message, *fields))))
        if record.exc_info:
            line = f"{line}\n{_below(self.formatException(record.exc_info))}"
        if record.stack_info:
            line = f"{line}\n{_below(self.formatStack(record.stack_info))}"
        return line


class Handler(logging.StreamHandler[TextIO]):
    """Writes records to a stream.

    For a record that cannot be formatted, a line says so. A critical record waits until it is written, since it may be
    the last one.
    """

    def __init__(self, stream: TextIO, lines: logging.Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self.repeats = RateLimitFilter(OURS)
        self.addFilter(self.repeats)

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # a bug of the caller, or a field whose str() fails
            place = f"{record.name}:{record.lineno}"
            return super().format(_record(logging.ERROR, "log line not made", place=place, error=type(error).__name__))

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.CRITICAL and isinstance(self.stream, NonBlockingStream):
            self.stream.lines.flush(LAST_LINES)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Ignore that the stream refuses a line: there is no other place to report it."""


class ChangeLog:
    """Logs a state when it changes, for states that are checked again and again."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._states: dict[Hashable, Hashable] = {}

    def report(self, key: Hashable, state: Hashable, level: int, message: str, /, **fields: object) -> bool:
        """Log ``message`` and ``fields`` if ``state`` is not the last one reported for ``key``. True: logged."""
        if key in self._states and self._states[key] == state:
            return False
        self._states[key] = state
        self._logger.log(level, message, extra=fields)
        return True

    def forget(self, key: Hashable) -> None:
        """Forget ``key``, so that its next report is a change."""
        self._states.pop(key, None)

    def keep(self, wanted: Callable[[Any], bool]) -> None:
        """Forget all other keys."""
        self._states = {key: state for key, state in self._states.items() if wanted(key)}


def configure(
    format: Literal["text", "json"],  # noqa: A002
    level: str = "INFO",
    stream: TextIO | None = None,
    non_blocking: bool = False,
) -> None:
    """Log only to ``stream`` (default: stderr) from now on.

    Libraries log from WARNING on, unless ``level`` is DEBUG. Python's warnings are logged, too.

    Args:
        non_blocking: write to stderr from a thread (``line_writer``), until the process ends.
    """
    lines = JsonLines() if format == "json" else TextLines()
    if non_blocking:
        _take_over_stderr(lines)
    handler = Handler(sys.stderr if stream is None else stream, lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # these would be looked up for every record, and no format shows them
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root.setLevel(level.upper())
    libraries = root.level if root.level <= logging.DEBUG else max(root.level, logging.WARNING)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(libraries)
    logging.captureWarnings(True)


def dropped() -> dict[str, int]:
    """Lines dropped since the start, by reason: ``unread`` (nobody read them in time) and ``repeated``."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, Handler)]
    streams = [handler.stream.lines for handler in handlers if isinstance(handler.stream, NonBlockingStream)]
    return {
        "unread": sum(lines.dropped for lines in streams),
        "repeated": sum(handler.repeats.left_out for handler in handlers),
    }


def _take_over_stderr(lines: logging.Formatter) -> None:
    """Make ``sys.stderr`` non-blocking, and log what Python itself would print there."""

    def missing(count: int) -> str:
        return lines.format(_record(logging.WARNING, "log lines dropped, nobody read them", lines=count)) + "\n"

    stream = NonBlockingStream(sys.stderr, missing)
    atexit.register(stream.lines.close, LAST_LINES)
    sys.stderr = stream
    logger = logging.getLogger(OURS)

    def ended(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            logger.critical("ended by an error that nobody expected", exc_info=(kind, error, trace))

    def thread_ended(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            logger.error("a thread ended by an error", exc_info=told.exc_value)

    def ignored(told: Any) -> None:
        logger.error("error ignored", extra={"where": str(told.err_msg or "")}, exc_info=told.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = ended, thread_ended, ignored


def _record(level: int, message: str, **fields: object) -> logging.LogRecord:
    return logging.getLogger(OURS).makeRecord(OURS, level, __file__, 0, message, (), None, extra=fields)


def _rfc3339(seconds: float) -> str:
    # floor: a rounded millisecond could read .1000
    whole = math.floor(seconds)
    clock = time.gmtime(whole)
    return (
        f"{clock.tm_year}-{clock.tm_mon:02}-{clock.tm_mday:02}T{clock.tm_hour:02}:{clock.tm_min:02}:{clock.tm_sec:02}"
        f".{int((seconds - whole) * 1000):03}Z"
    )


def _extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """The fields given by the caller."""
    return [(_RENAMED.get(key, key), value) for key, value in record.__dict__.items() if key not in _RESERVED]


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
    text = _cut(str(value))
    return text if is_visible(text) and _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _cut(text: str, key: str = "") -> str:
    """The text of a field, cut. Masked before that, since half a secret would match no pattern."""
    limit = TRACE_LIMIT if key in ("exception", "stack") else FIELD_LIMIT
    return cut(mask(text), limit) if len(text) > limit else text


def _short(value: Any) -> Any:
    """A field of a JSON line; a long list or mapping as cut text."""
    if not isinstance(value, (list, dict)):
        return value
    text = _ENCODER.encode(value)
    return _cut(text) if len(text) > FIELD_LIMIT else value


def _below(trace: str) -> str:
    return indented(_cut(mask(trace), "exception"), CONTINUES)


def _dumps(record: dict[str, Any], **_options: Any) -> str:
    """Valid JSON: NaN and infinity, which JSON does not have, become null."""
    try:
        return _ENCODER.encode(record)
    except ValueError:
        return _ENCODER.encode(_finite(record))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
