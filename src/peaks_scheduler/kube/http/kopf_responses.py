"""HTTP responses for kopf, validated and bounded before kopf reads them.

kopf 1.45 trusts the API server. A list without items, a watch line that is not an object, an error without a code or a
Retry-After of a million years ends its watches or makes them wait for ever. So every list and every watch line is
validated here first:

- A line or item without a valid object and name is skipped.
- An error in a watch becomes 410: kopf then lists that kind again, and no other kind.
- A deletion becomes a bookmark. That a pod of ours waits no more is told by the reflector of all pods; kopf would
  make it an event of its own, 0.2 ms CPU for every pod that is bound.
- A malformed list is reported as a broken connection: kopf tries again. So is a list whose next page is gone (410).

``Connection.on_malformed`` is called for everything that was skipped. The limits are in ``response_limits``. Our own
requests do not use this module's validation: they read bytes (``transport``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from ..decoding import DECODING_ERRORS
from .response_limits import BodyTooLargeError, read_body, retry_after_seconds

Malformed = Literal["line", "item", "list", "error", "too-large"]
OnMalformed = Callable[[str, Malformed, str], None]
"""Called with the request's path, what was malformed, and why."""

MOST_LINE = 32 << 20  # [bytes] one line of a watch, which is one object
GONE = 410
PAUSE = 1.0  # [s] before a malformed answer is passed on: kopf asks again at once
EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'


_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Meta(msgspec.Struct, rename="camel"):
    name: _Text
    uid: _Text
    namespace: str | None = None
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta


class _Change(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: _Object


class _MarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Mark(msgspec.Struct):
    metadata: _MarkMeta


class _Bookmark(msgspec.Struct):
    type: Literal["BOOKMARK"]
    object: _Mark


class _Error(msgspec.Struct):
    type: Literal["ERROR"]
    object: Any = None


_change = msgspec.json.Decoder(_Change).decode
_bookmark = msgspec.json.Decoder(_Bookmark).decode
_error = msgspec.json.Decoder(_Error).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class _MalformedListError(ValueError):
    """A list has the wrong fields; the text says which."""


def _ignore(path: str, what: Malformed, why: str) -> None:
    pass


class KopfResponse(aiohttp.ClientResponse):
    """A response whose lists and watch lines are validated. ``json()`` takes a third of the time of aiohttp's."""

    on_malformed: OnMalformed = staticmethod(_ignore)

    @property
    def headers(self) -> CIMultiDictProxy[str]:  # overridden: aiohttp caches the headers before ours are set
        return self._headers

    async def start(self, connection: Any) -> KopfResponse:
        await super().start(connection)
        if self.status == 429:
            self._headers = _with_bounded_wait(self._headers)
        if self.status == 200 and "watch=" in self.url.raw_query_string:
            self.content = WatchLines(self.content, self._report)  # type: ignore[assignment] # has all that kopf uses
        return self

    async def json(self, **_: Any) -> Any:
        try:
            body = await read_body(self)
        except BodyTooLargeError as error:
            self._report("too-large", str(error))
            await asyncio.sleep(PAUSE)
            raise
        if self.status == GONE and "limit" in self.url.query:
            await asyncio.sleep(PAUSE)
            raise aiohttp.ClientPayloadError("the version of the list is gone")
        if self.status != 200:
            return _status(body)
        try:
            answer = _any(body)
            # only lists are requested with a limit; discovery has none
            return self._valid_list(answer) if "limit" in self.url.query else answer
        except (*DECODING_ERRORS, _MalformedListError) as error:
            self._report("list", str(error))
            await asyncio.sleep(PAUSE)
            raise aiohttp.ClientPayloadError(f"expected a list: {error}") from error

    def _valid_list(self, answer: Any) -> Any:
        """The list with its valid items. Raises _MalformedListError if the answer is not a list."""
        if not isinstance(answer, dict) or not isinstance(answer.get("items", 0), list | None):
            raise _MalformedListError("no items")
        meta = answer.get("metadata")
        if not isinstance(meta, dict):
            raise _MalformedListError("no metadata")
        texts = ((meta, "resourceVersion"), (meta, "continue"), (answer, "kind"), (answer, "apiVersion"))
        if odd := [name for values, name in texts if not isinstance(values.get(name, ""), str)]:
            raise _MalformedListError(f"{odd[0]} is not text")
        if meta.get("continue") and meta["continue"] == self.url.query.get("continue"):
            raise _MalformedListError("its continue token asks for the same page again")
        answer["items"] = [item for item in answer["items"] or () if self._is_valid(item)]
        return answer

    def _is_valid(self, item: Any) -> bool:
        try:
            msgspec.convert(item, _Object)
        except DECODING_ERRORS as error:
            self._report("item", str(error))
            return False
        return True

    def _report(self, what: Malformed, why: str) -> None:
        self.on_malformed(self.url.raw_path, what, why)


class WatchLines:
    """The body of a watch: only whole and valid lines.

    Args:
        report: called with what was malformed, and why.
    """

    def __init__(self, content: aiohttp.StreamReader, report: Callable[[Malformed, str], None]) -> None:
        self._content, self._report = content, report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        buffer, has_yielded = bytearray(), False
        async for data in self._content.iter_chunked(size):
            buffer += data
            if b"\n" not in data:
                await self._check_size(len(buffer))
                continue
            whole, _, rest = buffer.rpartition(b"\n")
            buffer = bytearray(rest)
            for line in whole.split(b"\n"):
                if line and (valid := await self._validated(bytes(line))):
                    has_yielded = True
                    yield valid
        if not has_yielded:
            await asyncio.sleep(PAUSE)  # kopf asks again at once

    async def _check_size(self, size: int) -> None:
        if size > MOST_LINE:
            self._report("too-large", f"a line of more than {MOST_LINE} bytes")
            await asyncio.sleep(PAUSE)
            raise aiohttp.ClientPayloadError(f"expected lines of at most {MOST_LINE} bytes")

    async def _validated(self, line: bytes) -> bytes:
        """The line to pass to kopf; empty if it is skipped."""
        try:
            change = _change(line)
        except DECODING_ERRORS as error:
            return await self._validated_other(line, str(error))
        return _marked(change.object.metadata.resource_version) if change.type == "DELETED" else line + b"\n"

    async def _validated_other(self, line: bytes, why: str) -> bytes:
        """The same for a line that is not a change: a bookmark, an error, or nothing valid (``why``)."""
        with contextlib.suppress(*DECODING_ERRORS):
            _bookmark(line)
            return line + b"\n"
        with contextlib.suppress(*DECODING_ERRORS):
            return await self._as_expired(_error(line).object)
        self._report("line", why)
        return b""

    async def _as_expired(self, status: Any) -> bytes:
        """410 in place of this error."""
        if not isinstance(status, dict) or status.get("code") != GONE:
            self._report("error", json.dumps(status)[:300])
            await asyncio.sleep(PAUSE)
        return EXPIRED


def _marked(version: str) -> bytes:
    """A bookmark at this resourceVersion; empty without one."""
    return b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":%s}}}\n' % _encode(version) if version else b""


def _status(body: bytes) -> Any:
    """The Status in ``body``, its details an object and its wait bounded; None if the body is not an object."""
    try:
        answer = json.loads(body)
    except RecursionError:
        return None
    if not isinstance(answer, dict):
        return None
    details = answer.get("details")
    if not isinstance(details, dict):
        answer.pop("details", None)
    elif "retryAfterSeconds" in details:
        details["retryAfterSeconds"] = retry_after_seconds({}, details)
    return answer


def _with_bounded_wait(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    if "Retry-After" not in headers:
        return headers
    bounded = CIMultiDict(headers)
    bounded["Retry-After"] = f"{retry_after_seconds(headers):g}"
    return CIMultiDictProxy(bounded)
