"""How this process logs: one line a record on stderr, as text or JSON, with nothing secret in it.

Owns the root logger's only handler, the two formats and what is masked. Everybody logs a constant message and fields
(``logger.info("bound", extra={"pod": ..., "node": ...})``); the formats decide how that looks. Lines are written by
whoever logs: a line costs some 25 us, a queue and a thread would cost as much and lose the last lines of a crash.

Assumes nothing of who reads the lines. Never raises for what is in a record, never writes to stdout (for results).
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections.abc import Hashable
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

OURS = "peaks_scheduler"

# what libraries say at INFO is for their authors: a line a request (httpx), a line a watch (kopf)
LIBRARIES = ("aiohttp", "asyncio", "httpcore", "httpx", "kopf", "kubernetes", "urllib3")

# fields that are no fields: the record's own, and kopf's settings object
_RESERVED = frozenset(RESERVED_ATTRS) | {"message", "asctime", "taskName", "settings", "k8s_skip"}
_RENAMED = {"exc_info": "exception", "stack_info": "stack", "k8s_ref": "object"}
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}

_BEARER = re.compile(r"(?i:(\bbearer))\s+(?!tokens?\b)[^\s\"',;\\]+")
_USERINFO = re.compile(r"://[^/\s\"'\\]+@")  # up to the last @: a password may hold one
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_ENCODER = JsonEncoder(allow_nan=False)  # one for all: json.dumps would build it anew for every line

_PLAIN = re.compile(r"[^\s\"'=\\]+")


def mask(text: str) -> str:
    """``text`` without bearer tokens, JSON web tokens and the user and password of URLs."""
    # a look for what every hit must contain is much cheaper than the expressions
    if "@" in text:
        text = _USERINFO.sub("://***@", text)
    if "earer" in text or "EARER" in text:
        text = _BEARER.sub(r"\1 ***", text)
    if "eyJ" in text:
        text = _JWT.sub("***", text)
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

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class TextLines(logging.Formatter):
    """``2026-11-20T10:00:00.123Z INFO  bound pod=default/web-0 jump_watts=4.31``; a traceback follows below."""

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname)
        fields = [f"{key}={_value(value)}" for key, value in _extras(record) if value is not None]
        if not record.name.startswith(OURS):
            fields.append(f"logger={record.name}")
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = " ".join((_rfc3339(record.created), f"{level:<5}", message, *fields))
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            line = f"{line}\n{self.formatStack(record.stack_info)}"
        return mask(line)


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


def configure(format: Literal["text", "json"], level: str = "INFO", stream: TextIO | None = None) -> None:  # noqa: A002
    """Log to ``stream`` (stderr by default) from now on, and nowhere else.

    Libraries speak from WARNING on, unless ``level`` is DEBUG. Python's own warnings go through the log as well.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # looked up for every record and shown in none
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root.setLevel(level.upper())
    libraries = root.level if root.level <= logging.DEBUG else max(root.level, logging.WARNING)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(libraries)
    logging.captureWarnings(True)


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
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


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
