"""Limits of an HTTP response: how many bytes of it are read, how long its ``Retry-After`` may make us wait.

Reads both. A response costs at most ``MOST_BYTES`` of memory and ``LONGEST_WAIT`` seconds, whatever it says. Never
decides whether to send a request again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import aiohttp

MOST_BYTES = 32 << 20
"""Of one response. A page of 500 pods has some 5 MB. A single object has at most what etcd takes: 1.5 MB, a few times
that with escapes."""
LONGEST_WAIT = 10.0  # [s] kube-apiserver asks for one or a few seconds; a Binding is tried for 30 s in all
WAIT = 1.0  # [s] if a 429 does not say how long


class BodyTooLargeError(aiohttp.ClientPayloadError):
    """The body has more bytes than we read of one."""


async def read_body(answer: aiohttp.ClientResponse, most: int = MOST_BYTES) -> bytes:
    """The body. Raises BodyTooLargeError as soon as more than ``most`` bytes are announced or received."""
    if (answer.content_length or 0) > most:
        answer.close()
        raise BodyTooLargeError(f"expected at most {most} bytes, got an answer of {answer.content_length}")
    if answer.content_length is not None:
        return await answer.read()
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > most:
            answer.close()
            raise BodyTooLargeError(f"expected at most {most} bytes, got an answer with more")
        parts.append(part)
    return b"".join(parts)


def retry_after_seconds(headers: Mapping[str, str], details: Any = None) -> float:
    """Time that a 429 asks us to wait [s], from 0 to ``LONGEST_WAIT``.

    Read from ``Retry-After``, else from ``retryAfterSeconds`` in the details of its Status. ``WAIT`` if that is not a
    number (an HTTP date, for example).
    """
    value: Any = headers.get("Retry-After")
    if value is None and isinstance(details, dict):
        value = details.get("retryAfterSeconds")
    seconds = _number(value)
    return WAIT if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(seconds) else seconds
