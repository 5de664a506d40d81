"""What an HTTP answer may ask of us at most: bytes to read, seconds to wait.

Owns the limits of a body and of ``Retry-After``, and the reading of both: it costs a bounded amount of memory, and no
wait is longer than ``LONGEST_WAIT``, whatever stands in the answer. Never decides what is done with a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import aiohttp

MOST_BYTES = 32 << 20
"""Of one answer. A page of 500 pods has some 5 MB, a single object no more than etcd takes (1.5 MB, escaped a few times
that)."""
LONGEST_WAIT = 10.0  # [s] kube-apiserver asks for one or a few; a Binding is tried for 30 s in all
WAIT = 1.0  # [s] where a 429 does not say how long


class BodyTooLargeError(aiohttp.ClientPayloadError):
    """The body has more bytes than we read."""


async def read_body(answer: aiohttp.ClientResponse, most: int = MOST_BYTES) -> bytes:
    """The body. Raises BodyTooLargeError where it has more than ``most`` bytes, as soon as that shows."""
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
    """[s] how long a 429 asks us to wait, from 0 to ``LONGEST_WAIT``.

    By its ``Retry-After``, else by ``retryAfterSeconds`` in the details of its Status; ``WAIT`` where what it says is
    no number (an HTTP date, say).
    """
    told: Any = headers.get("Retry-After")
    if told is None and isinstance(details, dict):
        told = details.get("retryAfterSeconds")
    seconds = _number(told)
    return WAIT if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _number(told: Any) -> float | None:
    if told is None or isinstance(told, bool):
        return None
    try:
        seconds = float(told)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(seconds) else seconds
