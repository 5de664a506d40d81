"""The error message in a response of Prometheus, or of whatever stands in front of it.

Owns where JSON, plain text and HTML pages have their message, and how it is shortened to one line. Pure.
"""

import html
import re
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class QueryFailure:
    """The error of a response that is no success."""

    type: str = ""
    """Prometheus' ``errorType``; empty: none was sent."""
    text: str = ""
    """The message, short and on one line; empty: none was found."""


def read_failure(body: bytes | bytearray) -> QueryFailure:
    """The error in a body: JSON, plain text or an HTML page, because a proxy may have sent it. Never raises."""
    try:
        failure = _decode_failure(body[: 2**16])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return QueryFailure("", _plain(body))
    if isinstance(failure, dict):
        return QueryFailure(_word(failure.get("errorType")), one_line(_message(failure)))
    return QueryFailure("", one_line(_word(failure)))


_MESSAGE_KEYS = ("error", "message", "error_description", "detail", "msg", "reason", "title")
_MOST_TEXT = 300  # characters
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def _message(failure: dict[str, Any], depth: int = 2) -> str:
    """The message in JSON, under any key that gateways use for it."""
    for name in _MESSAGE_KEYS:
        found = failure.get(name)
        if isinstance(found, dict) and depth:
            found = _message(found, depth - 1)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def _plain(body: bytes | bytearray) -> str:
    """Plain text as it is, the title of an HTML page; empty for anything else."""
    start = bytes(body[: 2**12]).strip()  # many titles without an end would be slow to search
    if start.startswith(b"<"):
        title = _TITLE.search(start)
        start = title[1] if title else b""
    try:
        text = start[: 4 * _MOST_TEXT].decode("utf-8", "strict" if len(start) < 4 * _MOST_TEXT else "ignore")
    except UnicodeDecodeError:
        return ""
    return one_line(html.unescape(text))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def one_line(text: str) -> str:
    """The text on one line, shortened, without control characters."""
    line = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(line.split())
    return line if len(line) <= _MOST_TEXT else line[: _MOST_TEXT - 3] + "..."


_decode_failure = msgspec.json.Decoder().decode
