"""Watch streams of the embedded API server.

Owns the open streams: what each still has to send, bookmarks, ends by time, and the faults that only streams know
(cut, frozen). Between the store and a stream lies a list of lines, so a slow reader never holds up a write. Starting
state and subscription are taken in one turn of the event loop: no change is lost or doubled between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from . import api_errors
from .object_store import Store, StoreChange, StoredObject, encode
from .query_selectors import Predicate
from .resources import Resource

_PRESENCE = 1.0  # [s] how often an idle stream looks whether its reader is still there

Render = Callable[[StoredObject], bytes]
"""Stored object -> the whole object as JSON, in the form that the reader asked for."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What the query asked for."""

    since: str = ""  # resourceVersion; empty or "0": begin with what is there
    initial_events: bool = False  # sendInitialEvents: mark the end of what is there by a bookmark
    bookmarks: bool = False
    seconds: float | None = None  # the stream ends after this long


class _WatchStream:
    """Lines of one stream that are not sent yet."""

    def __init__(self, resource: Resource, selects: Predicate, render: Render) -> None:
        self.lines: list[bytes] = []
        self.wake = asyncio.Event()
        self.ended = False
        self._resource = resource
        self._selects = selects
        self._render = render

    def change(self, change: StoreChange) -> None:
        if event := change.event(self._selects):
            self.add(event[0], self._render(event[1]))

    def add(self, kind: str, body: bytes) -> None:
        self.lines.append(b'{"type":"%s","object":%s}\n' % (kind.encode(), body))
        self.wake.set()

    def bookmark(self, version: int, initial_end: bool = False) -> None:
        annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if initial_end else {}
        metadata = {"resourceVersion": str(version), "creationTimestamp": None, **annotations}
        body = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        self.add("BOOKMARK", encode(body))

    def end(self) -> None:
        self.ended = True
        self.wake.set()

    def take(self) -> bytes:
        lines, self.lines = self.lines, []
        self.wake.clear()
        return b"".join(lines)


class WatchStreams:
    """All open streams. ``expired`` counts the answers 410, by kind."""

    def __init__(self, store: Store, bookmark_seconds: float) -> None:
        self.expired: dict[str, int] = {}
        self.frozen = False
        self._store = store
        self._bookmark_seconds = bookmark_seconds
        self._open: dict[_WatchStream, web.Request] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self, request: web.Request, resource: Resource, selects: Predicate, options: WatchOptions, render: Render
    ) -> web.StreamResponse:
        """Stream changes of the objects that ``selects`` chooses until the reader, the time or the server ends it."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        feed = _WatchStream(resource, selects, render)
        stop = self._begin(feed, resource, selects, options)
        self._open[feed] = request
        try:
            await self._pump(feed, request, response, options)
        except (ConnectionError, asyncio.CancelledError):
            if not _gone(request):
                raise
        finally:
            stop()
            del self._open[feed]
        return response

    def _begin(
        self, feed: _WatchStream, resource: Resource, selects: Predicate, options: WatchOptions
    ) -> Callable[[], None]:
        """Fill the feed with what the reader has not seen, and let it hear of the rest."""
        if options.since in ("", "0"):
            records = [record for record in self._store.records(resource) if selects(record.object)]
            for record in records:
                feed.change(StoreChange(record.version, None, record))
            if options.initial_events:
                feed.bookmark(self._store.version, initial_end=True)
            return self._store.subscribe(resource, feed.change)
        try:
            missed = self._store.since(resource, int(options.since))
        except api_errors.ApiError as refusal:
            # as the API server does when the stream has begun: 200, then an event that carries the 410
            self.expired[resource.plural] = self.expired.get(resource.plural, 0) + 1
            feed.add("ERROR", encode(refusal.status))
            feed.end()
            return lambda: None
        for change in missed:
            feed.change(change)
        return self._store.subscribe(resource, feed.change)

    async def _pump(
        self, feed: _WatchStream, request: web.Request, response: web.StreamResponse, options: WatchOptions
    ) -> None:
        now = asyncio.get_running_loop().time
        end = now() + options.seconds if options.seconds is not None else None
        bookmark = now() + self._bookmark_seconds
        while not _gone(request):
            over = feed.ended or (end is not None and now() >= end)
            if options.bookmarks and not (feed.ended or self.frozen) and (over or now() >= bookmark):
                feed.bookmark(self._store.version)
                bookmark = now() + self._bookmark_seconds
            if not self.frozen and (lines := feed.take()):
                await response.write(lines)
            if over:
                return
            await _wait(feed.wake, _PRESENCE if end is None else min(_PRESENCE, max(end - now(), 0.0)), self.frozen)

    def cut(self) -> int:
        """Break the connection of every open stream, as a network does. Returns how many."""
        for feed, request in self._open.items():
            feed.end()
            if request.transport is not None:
                request.transport.abort()
        return len(self._open)

    def end(self) -> None:
        """Let every open stream end as one that ran out of time."""
        for feed in self._open:
            feed.end()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _wait(event: asyncio.Event, seconds: float, frozen: bool) -> None:
    if frozen:  # the event stays set while nothing may be sent
        await asyncio.sleep(min(seconds, 0.05))
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
