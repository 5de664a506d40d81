"""How this process logs: one line a record on stderr, as text or JSON, with nothing secret in it.

Owns the root logger's only handler, the two formats, what is masked and what is cut. Everybody logs a constant message
and fields (``logger.info("bound", extra={"pod": ..., "node": ...})``); the formats decide how that looks. Lines are
made by whoever logs (some 25 us); the daemon's are written by a thread (``line_writer``), for a reader that stops must
not stop the daemon. What the daemon writes to ``sys.stderr`` otherwise goes the same way.

Assumes nothing of who reads the lines, nor of what is in them: names, answers and exceptions hold whatever others
wrote. Never raises for what is in a record, never writes to stdout (for results).
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
from collections.abc import Hashable
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from peaks_scheduler.text.printable import FIELD_LIMIT, cut, indented, is_visible, visible

from .line_writer import NonBlockingStream
from .log_rate_limit import RateLimitFilter

OURS = "peaks_scheduler"

# what libraries say at INFO is for their authors: a line a request (httpx), a line a watch (kopf)
LIBRARIES = ("aiohttp", "asyncio", "httpcore", "httpx", "kopf", "kubernetes", "urllib3")

# fields that are no fields: the record's own, and kopf's settings object
_RESERVED = frozenset(RESERVED_ATTRS) | {"message", "asctime", "taskName", "settings", "k8s_skip"}
_RENAMED = {"exc_info": "exception", "stack_info": "stack", "k8s_ref": "object"}
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}

_BEARER = re.compile(r"(?i:(\bbearer))\s+(?!tokens?\b)[^\s\"',;\\]+")
_USERINFO = re.compile(r"://[^/\s\"'\\]+@")  # up to the last @: a password may hold one
# without a way back: words like eyJ-eyJ-eyJ-... would take the square of their length
_JWT = re.compile(r"(?<![\w-])((?>(?:[\w-]*?-)??(?=eyJ)))[\w-]++\.[\w-]++\.[\w-]*+")
_ENCODER = JsonEncoder(allow_nan=False)  # one for all: json.dumps would build it anew for every line

_PLAIN = re.compile(r"[^\s\"'=\\]+")

TRACE_LIMIT = 16_384
"""Characters of an exception or a stack; of anything else see FIELD_LIMIT."""
CONTINUES = "  | "
"""What every line of a text record after its first begins with; a first line begins with its time."""
_LINE_LIMIT = 4 * FIELD_LIMIT
LAST_LINES = 1.0  # [s] that a critical record and the end of the process wait for a reader


def mask(text: str) -> str:
    """``text`` without bearer tokens, JSON web tokens and the user and password of URLs."""
    # a look for what every hit must contain is much cheaper than the expressions
    if "@" in text:
        text = _USERINFO.sub("://***@", text)
    if "earer" in text or "EARER" in text:
        text = _BEARER.sub(r"\1 ***", text)
    if "eyJ" in text:
        text = _JWT.sub(r"\1***", text)
    return text


class JsonLines(JsonFormatter):
    """One JSON object a line: time, level, logger, message, the fields of the record, ``exception``."""

    def __init__(self) -> None:
        super().__init__(json_serializer=_dumps)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        # the library's own way through its options takes longer than everything else about a line
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
        if len(line) > _LINE_LIMIT:  # then a list or a mapping is that long
            line = _dumps({key: _short(value) for key, value in json.loads(line).items()})
        return mask(line)


class TextLines(logging.Formatter):
    """``2026-11-20T10:00:00.123Z INFO  bound pod=default/web-0 jump_watts=4.31``; a traceback follows below, every line
    of it behind a mark that no record begins with."""

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
    """Writes to a stream. A record that cannot be formatted is told in a line of its own; one of the last importance
    waits for its reader for a moment: it may be the last one."""

    def __init__(self, stream: TextIO, lines: logging.Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self.repeats = RateLimitFilter(OURS)
        self.addFilter(self.repeats)

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # a bug of whoever logs, or what cannot even be shown
            place = f"{record.name}:{record.lineno}"
            return super().format(_record(logging.ERROR, "log line not made", place=place, error=type(error).__name__))

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.CRITICAL and isinstance(self.stream, NonBlockingStream):
            self.stream.lines.flush(LAST_LINES)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """The stream does not take the line: there is no other place to say so."""


class ChangeLog:
    """Says a thing once, and again only when it has changed: for states that are looked at again and again."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._states: dict[Hashable, Hashable] = {}

    def report(self, key: Hashable, state: Hashable, level: int, message: str, /, **fields: object) -> bool:
        """Log ``message`` and ``fields`` if the state under ``key`` is not the one last reported. True: logged."""
        if key in self._states and self._states[key] == state:
            return False
        self._states[key] = state
        self._logger.log(level, message, extra=fields)
        return True

    def forget(self, key: Hashable) -> None:
        """The subject is gone; a later report under ``key`` is a change."""
        self._states.pop(key, None)


def configure(
    format: Literal["text", "json"],  # noqa: A002
    level: str = "INFO",
    stream: TextIO | None = None,
    non_blocking: bool = False,
) -> None:
    """Log to ``stream`` (stderr by default) from now on, and nowhere else.

    Libraries speak from WARNING on, unless ``level`` is DEBUG. Python's own warnings go through the log as well.
    ``non_blocking``: nobody waits for whoever reads stderr, see ``line_writer``; for the rest of the process's life.
    """
    lines = JsonLines() if format == "json" else TextLines()
    if non_blocking:
        _take_over_stderr(lines)
    handler = Handler(sys.stderr if stream is None else stream, lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # looked up for every record and shown in none
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root.setLevel(level.upper())
    libraries = root.level if root.level <= logging.DEBUG else max(root.level, logging.WARNING)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(libraries)
    logging.captureWarnings(True)


def dropped() -> dict[str, int]:
    """Lines that the log did not get, since the start: by ``unread`` (nobody read them) and ``repeated``."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, Handler)]
    streams = [handler.stream.lines for handler in handlers if isinstance(handler.stream, NonBlockingStream)]
    return {
        "unread": sum(lines.dropped for lines in streams),
        "repeated": sum(handler.repeats.left_out for handler in handlers),
    }


def _take_over_stderr(lines: logging.Formatter) -> None:
    """From here on ``sys.stderr`` waits for nobody, and what Python itself would print there becomes records."""

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
    """The fields that the caller gave."""
    return [(_RENAMED.get(key, key), value) for key, value in record.__dict__.items() if key not in _RESERVED]


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
    text = _cut(str(value))
    return text if is_visible(text) and _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _cut(text: str, key: str = "") -> str:
    """A field's text, masked before it is cut: half a password is told by no pattern."""
    limit = TRACE_LIMIT if key in ("exception", "stack") else FIELD_LIMIT
    return cut(mask(text), limit) if len(text) > limit else text


def _short(value: Any) -> Any:
    """A field of a JSON line: as text, and cut, where it is a long list or mapping."""
    if not isinstance(value, (list, dict)):
        return value
    text = _ENCODER.encode(value)
    return _cut(text) if len(text) > FIELD_LIMIT else value


def _below(trace: str) -> str:
    return indented(_cut(mask(trace), "exception"), CONTINUES)


def _dumps(record: dict[str, Any], **_options: Any) -> str:
    """JSON that every reader takes: NaN and infinity, which JSON does not have, become null."""
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
