"""Reads a whole list from the API server, page by page.

Owns the size of a page: it shrinks when a page has too many bytes. A list that expires between two pages is read again,
once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

from peaks_scheduler.errors import KubeError, MalformedResponse, TooLarge

from .decoding import NamePage, ObjectPage, RawPage, decode_as
from .http.transport import Transport

P = TypeVar("P", NamePage, ObjectPage, RawPage)

PAGE = 500  # objects in one page: a page of pods is decoded in some 10 ms
SMALLER = 8  # a page with too many bytes is asked for again with so many times fewer objects
MOST_PAGES = 10_000  # of one list: five million objects
GONE = 410  # the server no longer knows the continue token of the list


async def read_pages(
    transport: Transport, path: str, query: Mapping[str, str], accept: str, decode: Callable[[bytes], P]
) -> list[P]:
    """All pages of the list under ``path``.

    Raises:
        NotFound: the server does not have this resource.
        KubeError: a page could not be read, or the list does not end.
    """
    try:
        return await _read_pages(transport, path, query, accept, decode)
    except KubeError as error:
        if error.status != GONE:
            raise
        return await _read_pages(transport, path, query, accept, decode)


async def _read_pages(
    transport: Transport, path: str, query: Mapping[str, str], accept: str, decode: Callable[[bytes], P]
) -> list[P]:
    return [page async for page in pages_of(transport, path, query, accept, decode)]


async def pages_of(
    transport: Transport,
    path: str,
    query: Mapping[str, str],
    accept: str,
    decode: Callable[[bytes], P],
    on_too_large: Callable[[str], None] = lambda why: None,
) -> AsyncIterator[P]:
    """Page after page, as they come. ``on_too_large`` is told of each that has too many bytes and is made smaller.

    Raises:
        MalformedResponse: the list does not end.
        KubeError: a page could not be read; with status 410 the list has expired, and may be begun again.
    """
    query = {"limit": str(PAGE), **query}
    read = 0
    while read < MOST_PAGES:
        try:
            page = decode_as(await transport.get(path, query, accept), decode)
        except TooLarge as error:
            on_too_large(str(error))
            if query["limit"] == "1":
                raise
            query["limit"] = str(max(1, int(query["limit"]) // SMALLER))
            continue
        yield page
        read += 1
        if not page.metadata.token:
            return
        if page.metadata.token == query.get("continue"):
            break
        query["continue"] = page.metadata.token
    raise MalformedResponse(f"GET {path}: expected a list that ends, got page after page without end")
