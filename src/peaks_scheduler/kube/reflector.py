"""A reflector: it lists one kind of objects, then watches it, and tells a sink of everything that it sees.

Owns the protocol of list and watch: a streaming list where the API server has it (``sendInitialEvents``), else pages;
bookmarks; 410 and other ERROR events, after which the kind is listed anew; lost and silent connections, after which it
watches on from the last version. After every list the sink is told which objects exist: all others have vanished.
Lines and items that are no objects are skipped and reported; a skipped line may have told of an end, so the kind is
listed anew when that watch ends. Pauses between tries grow (``backoff``). Never ends by itself, never interprets an
object beyond its metadata.

    state      ends with                        then
    list       the end of the list              watch from its version
    list       410 between two pages            list
    watch      time is up, connection lost      watch from the last version seen
    watch      time is up, a line was skipped   list
    watch      ERROR, 410; version not known    list
    watch      silence, server at an older one  list
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import aiohttp
import msgspec

from peaks_scheduler.errors import Forbidden, KubeError, MalformedResponse, NotFound, TooManyRequests

from .backoff import Backoff
from .decoding import DECODING_ERRORS, decode_as, decode_page
from .http.connection import Connection
from .http.outgoing import JSON
from .http.response_limits import BodyTooLargeError, read_body
from .http.rotating_connector import CONNECT_TIMEOUT
from .http.transport import Transport, error_of
from .paging import GONE, pages_of

Event = Literal["ADDED", "MODIFIED", "DELETED"]
Trouble = Literal["line", "item", "list", "error", "too-large", "lost", "refused", "silent", "gone"]

MOST_LINE = 32 << 20  # [bytes] one object
CHUNK = 1 << 16  # [bytes] that are read at once
LINES_A_TURN = 64  # lines that are taken before other tasks run
MOST_BROKEN = 3  # streaming lists in a row without an end: then one in pages
NO_SUCH_VERSION = frozenset({400, 422})
LATER_VERSION = "resource version"  # in the 504 of a server that is not there yet; a load balancer's is another thing
WATCH_TIME = (300, 600)  # [s] the server ends a watch after a time between these, as client-go asks for
SILENCE = 150.0  # [s] without a byte: the server sends a bookmark every minute, unless its etcd says nothing either
SHORTEST_WATCH = 1.0  # [s] after one that ended sooner there is a pause, whatever it brought
INITIAL_END = "k8s.io/initial-events-end"


class Head(msgspec.Struct, rename="camel"):
    """The metadata that every object has."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, Any] | None = None


class Sink(Protocol):
    """What takes the objects."""

    def begins(self) -> object:
        """A list begins."""

    def take(self, event: Event | None, head: Head, raw: msgspec.Raw) -> object:
        """An object of a list (None), or a change of it. ``raw`` is its JSON. Raises nothing."""

    def listed(self, uids: AbstractSet[str], version: str) -> object:
        """A list has come whole: at this version there are objects with these uids and no others."""

    def reached(self, version: str) -> object:
        """Every change up to this version has been told."""


class _Object(msgspec.Struct):
    metadata: Head = msgspec.field(default_factory=Head)


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_head = msgspec.json.Decoder(_Object).decode
_decode_status = msgspec.json.Decoder(_Status).decode


@dataclass(frozen=True, slots=True)
class Watched:
    """What to list and watch."""

    path: str
    """Of the list of all objects: ``/api/v1/pods``."""
    query: Mapping[str, str] | None = None
    """Selectors: ``{"fieldSelector": ...}``."""


class _ListAnewError(Exception):
    """The version that was watched from is not there any more."""


class _SilentError(Exception):
    """No byte came for too long."""


class Reflector:
    """See the module.

    Args:
        on_trouble: called with what went wrong, and why.
        on_request: called with "list" or "watch" before each.
        on_complete: called after each whole list.
        silence: [s] without a byte after which a watch counts as dead.
        backoff: pauses between tries.
    """

    def __init__(
        self,
        connection: Connection,
        watched: Watched,
        sink: Sink,
        on_trouble: Callable[[Trouble, str], None] = lambda trouble, why: None,
        on_request: Callable[[str], None] = lambda what: None,
        on_complete: Callable[[], None] = lambda: None,
        silence: float = SILENCE,
        backoff: Backoff | None = None,
    ) -> None:
        self._connection, self._watched, self._sink = connection, watched, sink
        self._transport = Transport(connection, timeout=60.0)
        self._on_trouble, self._on_request, self._on_complete = on_trouble, on_request, on_complete
        self._silence, self._backoff = silence, backoff or Backoff()
        self._version = ""  # empty: list first
        self._streams = True  # does the server know streaming lists?
        self._broken = 0  # streaming lists without an end since the last list
        self._listed = False  # has the list that was begun last come whole?
        self._begun = asyncio.get_running_loop().time()  # [s] when what is not listed yet began
        self._doubtful = False  # was something skipped since then?
        self._was_silent = False  # did the last watch end for silence?
        self._failing_since: float | None = None
        self.why = ""
        """What went wrong last."""
        self.complete = asyncio.Event()
        """Set once a whole list has come."""

    async def run(self) -> None:
        """List and watch until cancelled. May be called again after its end."""
        async with self._connection.new_session(for_kopf=False) as session:
            while True:
                pause = await self._try(session)
                if pause is not None:
                    await asyncio.sleep(self._backoff.pause(pause))

    def renew(self) -> None:
        """List anew at the next occasion."""
        self._version = ""

    @property
    def listing_for(self) -> float:
        """[s] for which a list has been read, or tried by a server that answers; 0 while a whole one is watched."""
        return 0.0 if self._listed else asyncio.get_running_loop().time() - self._begun

    @property
    def failing_for(self) -> float:
        """[s] since the first failure after the last whole list and the last watch that was answered; 0: none."""
        return 0.0 if self._failing_since is None else asyncio.get_running_loop().time() - self._failing_since

    async def _try(self, session: aiohttp.ClientSession) -> float | None:
        """One list or watch. The least pause [s] after it; None: none."""
        try:
            return await self._round(session)
        except _ListAnewError as error:
            self._version = ""
            self._failed("gone", str(error))
        except _SilentError as error:
            self._was_silent = True
            self._failed("silent", str(error))
        except MalformedResponse as error:
            self._failed("list", str(error))
        except (Forbidden, NotFound) as error:
            self._failed("refused", str(error))
        except (KubeError, aiohttp.ClientError, OSError, RuntimeError) as error:  # TimeoutError is an OSError
            if not isinstance(error, aiohttp.ClientPayloadError):
                self._begun = asyncio.get_running_loop().time()  # there was no list
            self._failed("lost", f"{type(error).__name__}: {error}")
            return error.retry_after if isinstance(error, TooManyRequests) else 0.0
        return 0.0

    def _failed(self, trouble: Trouble, why: str) -> None:
        self.why = why
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
        self._on_trouble(trouble, why)

    async def _round(self, session: aiohttp.ClientSession) -> float | None:
        if self._version and self._was_silent:
            await self._look_whether_version_is_there()
        if self._version:
            return await self._watch(session)
        if self._streams and self._broken < MOST_BROKEN:
            return await self._stream_list(session)
        await self._list_in_pages()
        return None

    # -- lists

    async def _list_in_pages(self) -> None:
        self._begin()
        uids: set[str] = set()
        version = ""
        pages = pages_of(
            self._transport,
            self._watched.path,
            self._watched.query or {},
            JSON,
            decode_page,
            lambda why: self._on_trouble("too-large", why),
        )
        try:
            async for page in pages:
                await asyncio.sleep(0)  # as before the lines of a watch
                for raw in page.items or ():
                    self._take_item(raw, uids)
                version = page.metadata.resource_version
        except KubeError as error:
            if error.status == GONE:
                raise _ListAnewError(str(error)) from error
            raise
        self._whole(uids, version)

    def _take_item(self, raw: msgspec.Raw, uids: set[str]) -> None:
        try:
            self._take_object(None, raw, _decode_head(raw).metadata, uids)
        except DECODING_ERRORS as error:
            self._on_trouble("item", f"{error}: {bytes(raw)[:80]!r}")

    async def _stream_list(self, session: aiohttp.ClientSession) -> float | None:
        """List by a watch that begins with all objects, and go on watching."""
        self._begin()
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        self._broken += 1
        try:
            pause = await self._follow(session, query, set())
        except (aiohttp.ClientConnectorError, TooManyRequests):
            self._broken -= 1  # that has nothing to do with how we list
            raise
        except KubeError as error:
            # a server without streaming lists refuses the parameters
            if error.status not in (400, 422):
                raise
            self._streams = False
            return None
        if not self._listed:
            raise aiohttp.ClientPayloadError("the list broke off")
        return pause

    def _begin(self) -> None:
        self._on_request("list")
        if self._listed:
            self._listed, self._begun = False, asyncio.get_running_loop().time()
        self._sink.begins()

    def _whole(self, uids: set[str], version: str) -> None:
        if not version:
            raise MalformedResponse(f"GET {self._watched.path}: expected a list with a resourceVersion, got none")
        self._sink.listed(uids, version)
        self._version, self._listed, self._doubtful, self._broken = version, True, False, 0
        self._failing_since = None
        self.complete.set()
        self._on_complete()

    # -- watches

    async def _look_whether_version_is_there(self) -> None:
        """List anew if the server's version is older than ours, as after etcd was restored from a backup: it accepts a
        watch from a version that is yet to come, and then shows nothing."""
        query = {**(self._watched.query or {}), "limit": "1"}
        page = decode_as(await self._transport.get(self._watched.path, query), decode_page)
        self._was_silent = False
        theirs, ours = page.metadata.resource_version, self._version
        if theirs.isdecimal() and ours.isdecimal() and int(theirs) < int(ours):
            raise _ListAnewError(f"the server is at version {theirs}, before {ours}")

    async def _watch(self, session: aiohttp.ClientSession) -> float | None:
        self._on_request("watch")
        try:
            return await self._follow(session, {"resourceVersion": self._version}, None)
        except KubeError as error:
            if error.status in NO_SUCH_VERSION or (error.status == 504 and LATER_VERSION in error.said):
                raise _ListAnewError(str(error)) from error
            raise

    async def _follow(
        self, session: aiohttp.ClientSession, query: Mapping[str, str], initial: set[str] | None
    ) -> float | None:
        """Take the lines of one watch. ``initial`` collects the uids of a streaming list until its end; None: it is
        none. Returns the least pause [s] after it; None: none."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        url = self._connection.url(self._watched.path).with_query(
            {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(random.randint(*WATCH_TIME)),
                **(self._watched.query or {}),
                **query,
            }
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self._silence)
        async with session.get(url, headers={"Accept": JSON}, timeout=limits, allow_redirects=False) as answer:
            if answer.status != 200:
                error = error_of("GET", self._watched.path, answer.status, answer.headers, await read_body(answer))
                if answer.status == GONE:
                    raise _ListAnewError(str(error))
                raise error
            if initial is None:
                self._failing_since = None
            await asyncio.sleep(0)  # who observes requests looks at the server's clock first: objects are dated by it
            await self._take_lines(answer, initial)
        if self._doubtful:
            self._version = ""  # what was skipped may have been an end
        return 0.0 if clock() - begun < SHORTEST_WATCH else None

    async def _take_lines(self, answer: aiohttp.ClientResponse, initial: set[str] | None) -> None:
        try:
            async for line in lines_of(answer.content):
                initial = self._take(line, initial)
        except aiohttp.SocketTimeoutError as error:
            raise _SilentError(f"no byte for {self._silence:g} s") from error
        except BodyTooLargeError as error:
            self._on_trouble("too-large", str(error))
            raise _ListAnewError(str(error)) from error

    def _take(self, line: bytes, initial: set[str] | None) -> set[str] | None:
        """Take one line; the uids of a streaming list so far, None once it has ended."""
        try:
            read = _decode_line(line)
            if read.type == "ERROR":
                raise self._error(read.object)
            head = _decode_head(read.object)
            if read.type in ("ADDED", "MODIFIED", "DELETED"):
                return self._take_object(read.type, read.object, head.metadata, initial)  # type: ignore[arg-type]
        except DECODING_ERRORS as error:
            self._skip("line", f"{error}: {line[:80]!r}")
            return initial
        if read.type == "BOOKMARK":
            return self._take_bookmark(head.metadata, initial)
        self._skip("line", f"an event of type {read.type[:40]!r}")
        return initial

    def _skip(self, what: Trouble, why: str) -> None:
        self._doubtful = True
        self._on_trouble(what, why)

    def _error(self, status: msgspec.Raw) -> _ListAnewError:
        """The end of a watch by an ERROR event."""
        text = f"the watch ended with an error: {bytes(status)[:300]!r}"
        try:
            expired = _decode_status(status).code == GONE
        except DECODING_ERRORS:
            expired = False
        if not expired:
            self._on_trouble("error", text)
        return _ListAnewError(text)

    def _take_object(
        self, event: Event | None, raw: msgspec.Raw, meta: Head, initial: set[str] | None
    ) -> set[str] | None:
        if not meta.name or not meta.uid:
            self._skip("item", "an object without name or uid")
            return initial
        if initial is not None:
            (initial.discard if event == "DELETED" else initial.add)(meta.uid)
        self._sink.take(event, meta, raw)
        if initial is None and meta.resource_version:
            self._version = meta.resource_version
        return initial

    def _take_bookmark(self, meta: Head, initial: set[str] | None) -> set[str] | None:
        if initial is None:
            if meta.resource_version:
                self._version = meta.resource_version
                self._sink.reached(meta.resource_version)
            return None
        if (meta.annotations or {}).get(INITIAL_END) != "true":
            self._streams = False
            raise _ListAnewError("expected the end of a streaming list, got a bookmark of a watch")
        self._whole(initial, meta.resource_version)
        return None


async def lines_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The whole lines of a body, without their ends. Raises BodyTooLargeError for a line that does not end.

    Other tasks run from time to time, however fast the lines come.
    """
    rest, taken = b"", 0
    async for data in content.iter_chunked(CHUNK):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if line:
                yield line
                taken += 1
                if taken % LINES_A_TURN == 0:
                    await asyncio.sleep(0)
        if len(rest) > MOST_LINE:
            raise BodyTooLargeError(f"expected lines of at most {MOST_LINE} bytes")
