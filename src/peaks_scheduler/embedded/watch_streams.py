"""Watch streams of the embedded API server.

Owns the open streams: the lines that each has to send, bookmarks, time limits, and the faults of streams (cut,
frozen). Each stream has a list of lines, so a slow reader never delays a write. The first objects and the subscription
are taken without an await between them, so no change is lost or sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from . import api_errors
from .api_resources import Resource
from .object_store import Store, StoreChange, StoredObject, encode
from .query_selectors import Predicate

_CHECK_READER = 1.0  # [s] how often an idle stream checks whether its reader is still connected

Render = Callable[[StoredObject], bytes]
"""Stored object -> its JSON, in the form that the client asked for."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options in the query of a watch."""

    since: str = ""  # resourceVersion; empty or "0": begin with the existing objects
    initial_events: bool = False  # sendInitialEvents: a bookmark follows the existing objects
    bookmarks: bool = False
    seconds: float | None = None  # [s] after which the stream ends


class _WatchStream:
    """One stream: its lines that are not sent yet."""

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
        """Stream changes of the selected objects until the client, the time limit or the server ends the stream."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        stream = _WatchStream(resource, selects, render)
        stop = self._begin(stream, resource, selects, options)
        self._open[stream] = request
        try:
            await self._pump(stream, request, response, options)
        except (ConnectionError, asyncio.CancelledError):
            if not _gone(request):
                raise
        finally:
            stop()
            del self._open[stream]
        return response

    def _begin(
        self, stream: _WatchStream, resource: Resource, selects: Predicate, options: WatchOptions
    ) -> Callable[[], None]:
        """Add the events that the client has not received, and subscribe to further ones. Returns a function that
        ends the subscription."""
        if options.since in ("", "0"):
            records = [record for record in self._store.records(resource) if selects(record.object)]
            for record in records:
                stream.change(StoreChange(record.version, None, record))
            if options.initial_events:
                stream.bookmark(self._store.version, initial_end=True)
            return self._store.subscribe(resource, stream.change)
        try:
            missed = self._store.since(resource, int(options.since))
        except api_errors.ApiError as refusal:
            # as in kube-apiserver: status 200, then an event that contains the 410
            self.expired[resource.plural] = self.expired.get(resource.plural, 0) + 1
            stream.add("ERROR", encode(refusal.status))
            stream.end()
            return lambda: None
        for change in missed:
            stream.change(change)
        return self._store.subscribe(resource, stream.change)

    async def _pump(
        self, stream: _WatchStream, request: web.Request, response: web.StreamResponse, options: WatchOptions
    ) -> None:
        now = asyncio.get_running_loop().time
        end = now() + options.seconds if options.seconds is not None else None
        bookmark = now() + self._bookmark_seconds
        while not _gone(request):
            over = stream.ended or (end is not None and now() >= end)
            if options.bookmarks and not (stream.ended or self.frozen) and (over or now() >= bookmark):
                stream.bookmark(self._store.version)
                bookmark = now() + self._bookmark_seconds
            if not self.frozen and (lines := stream.take()):
                await response.write(lines)
            if over:
                return
            await _wait(
                stream.wake, _CHECK_READER if end is None else min(_CHECK_READER, max(end - now(), 0.0)), self.frozen
            )

    def cut(self) -> int:
        """Break the connection of every open stream, as a network failure does. Returns their number."""
        for stream, request in self._open.items():
            stream.end()
            if request.transport is not None:
                request.transport.abort()
        return len(self._open)

    def end(self) -> None:
        """End every open stream, as if its time limit was reached."""
        for stream in self._open:
            stream.end()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _wait(event: asyncio.Event, seconds: float, frozen: bool) -> None:
    if frozen:  # the event stays set while nothing is sent
        await asyncio.sleep(min(seconds, 0.05))
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
