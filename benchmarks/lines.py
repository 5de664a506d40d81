"""Splits an HTTP stream into lines, as fast as Python can. Assumes that a line is a whole JSON text."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp


async def batches(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """The complete lines of each chunk, together: the clock is read once for all of them."""
    rest = b""
    while chunk := await content.readany():
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            yield whole
