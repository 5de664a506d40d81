"""HTTP answers as kopf reads them: bounded, and in the shape that it takes for granted.

kopf 1.45 trusts the API server: a list without items, a watch line that is no object, an error without a code or a
Retry-After of a million years ends or stills its watches. Here every list and every watch line is looked at before kopf
sees it. A line or item that is no object with a name is passed over; an error in a watch becomes 410, over which kopf
lists that kind again and no other; a list that is none breaks off as a lost connection does, which kopf tries again.
Whoever wants to know what was passed over sets ``Connection.on_malformed``. Owns no limit (``bounds`` has them) and reads
nothing of ours: our own requests take bytes.
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

from .response_limits import BodyTooLargeError, read_body, retry_after_seconds

Malformed = Literal["line", "item", "list", "error", "too-large"]
OnMalformed = Callable[[str, Malformed, str], None]
"""Told the path, what was passed over, and why."""

MOST_LINE = 32 << 20  # [bytes] of an object in a watch
GONE = 410
PAUSE = 1.0  # [s] after what will probably come again at once
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
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _WrongShapeError(ValueError):
    """What an answer lacks."""


def _nobody(path: str, what: Malformed, why: str) -> None:
    pass


class KopfResponse(aiohttp.ClientResponse):
    """See the module. Its ``json()`` takes a third of the time of aiohttp's."""

    on_malformed: OnMalformed = staticmethod(_nobody)

    @property
    def headers(self) -> CIMultiDictProxy[str]:  # aiohttp keeps the first ones
        return self._headers

    async def start(self, connection: Any) -> KopfResponse:
        await super().start(connection)
        if self.status == 429:
            self._headers = _with_bounded_wait(self._headers)
        if self.status == 200 and "watch=" in self.url.raw_query_string:
            self.content = WatchLines(self.content, self._odd)  # type: ignore[assignment] # what kopf uses of it
        return self

    async def json(self, **_: Any) -> Any:
        try:
            body = await read_body(self)
        except BodyTooLargeError as error:
            self._odd("too-large", str(error))
            await asyncio.sleep(PAUSE)
            raise
        if self.status != 200:
            return _status(body)
        try:
            answer = _any(body)
            # discovery asks without a limit
            return self._list(answer) if "limit" in self.url.query else answer
        except (*_BROKEN, _WrongShapeError) as error:
            self._odd("list", str(error))
            await asyncio.sleep(PAUSE)
            raise aiohttp.ClientPayloadError(f"expected a list: {error}") from error

    def _list(self, answer: Any) -> Any:
        """The list, its items objects with names. Raises _WrongShapeError for anything else."""
        if not isinstance(answer, dict) or not isinstance(answer.get("items", 0), list | None):
            raise _WrongShapeError("no items")
        meta = answer.get("metadata")
        if not isinstance(meta, dict):
            raise _WrongShapeError("no metadata")
        texts = ((meta, "resourceVersion"), (meta, "continue"), (answer, "kind"), (answer, "apiVersion"))
        if odd := [name for values, name in texts if not isinstance(values.get(name, ""), str)]:
            raise _WrongShapeError(f"{odd[0]} is no text")
        if meta.get("continue") and meta["continue"] == self.url.query.get("continue"):
            raise _WrongShapeError("the same page is to follow again")
        answer["items"] = [item for item in answer["items"] or () if self._fine(item)]
        return answer

    def _fine(self, item: Any) -> bool:
        try:
            msgspec.convert(item, _Object)
        except _BROKEN as error:
            self._odd("item", str(error))
            return False
        return True

    def _odd(self, what: Malformed, why: str) -> None:
        self.on_malformed(self.url.raw_path, what, why)


class WatchLines:
    """The content of a watch, whole lines at a time and only those that kopf can take."""

    def __init__(self, content: aiohttp.StreamReader, odd: Callable[[Malformed, str], None]) -> None:
        self._content, self._odd = content, odd

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        buffer, came = bytearray(), False
        async for data in self._content.iter_chunked(size):
            buffer += data
            if b"\n" not in data:
                await self._bound(len(buffer))
                continue
            whole, _, rest = buffer.rpartition(b"\n")
            buffer = bytearray(rest)
            for line in whole.split(b"\n"):
                if line and (fine := await self._fine(bytes(line))):
                    came = True
                    yield fine
        if not came:
            await asyncio.sleep(PAUSE)  # kopf asks again at once

    async def _bound(self, size: int) -> None:
        if size > MOST_LINE:
            self._odd("too-large", f"a line of more than {MOST_LINE} bytes")
            await asyncio.sleep(PAUSE)
            raise aiohttp.ClientPayloadError(f"expected lines of at most {MOST_LINE} bytes")

    async def _fine(self, line: bytes) -> bytes:
        """The line as kopf may have it; empty: not at all."""
        try:
            _change(line)
        except _BROKEN as error:
            return await self._no_change(line, str(error))
        return line + b"\n"

    async def _no_change(self, line: bytes, why: str) -> bytes:
        with contextlib.suppress(*_BROKEN):
            _bookmark(line)
            return line + b"\n"
        with contextlib.suppress(*_BROKEN):
            return await self._expired(_error(line).object)
        self._odd("line", why)
        return b""

    async def _expired(self, said: Any) -> bytes:
        if not isinstance(said, dict) or said.get("code") != GONE:
            self._odd("error", json.dumps(said)[:300])
            await asyncio.sleep(PAUSE)
        return EXPIRED


def _status(body: bytes) -> Any:
    """A Status as kopf may have it: its details an object, its wait bounded."""
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
