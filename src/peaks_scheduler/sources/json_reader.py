"""Read JSON of any size piece by piece, so that no call takes long and only wanted parts are in memory.

Owns the walk through objects and arrays; Python's own decoder reads the pieces. If it read a whole answer, it would
block the interpreter for that time, even in a thread: 60 MB of ``[{},{},...]`` take five seconds and gigabytes. Here
the caller takes what it wants of each part and stops when it has enough. Assumes that the caller reads the value after
every key. The size of each piece is checked.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

_STEP = 2**16  # bytes that are decoded to text at a time
_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


class JsonReader:
    """A reader at the beginning of ``body``, which is UTF-8. ``most``: characters of one value that is read whole.

    All methods raise ValueError for invalid JSON or a value that is too long, RecursionError for one that is nested too
    deeply.
    """

    def __init__(self, body: bytes | bytearray, most: int = _STEP) -> None:
        self._body, self._next, self._most = body, 0, most
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0

    def kind(self) -> str:
        """The first character of the next value: ``{``, ``[``, ``"``, ...; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whole."""
        self.kind()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._too_long():
                    raise ValueError(f"an invalid value, or one longer than {self._most:,} characters") from error
                if not self._more():
                    raise ValueError(error.msg) from error
                continue
            # a number at the end of the text may go on in the next bytes
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def members(self) -> Iterator[str]:
        """Each key of the next object; read its value before the next key."""
        for _ in self._items("{", "}"):
            if self.kind() != '"':
                raise ValueError("expected a key in quotes")
            key = self.value()
            self._take(":")
            yield key

    def elements(self) -> Iterator[None]:
        """Once for each element of the next array; read it before the next one."""
        return self._items("[", "]")

    def end(self) -> None:
        """Raises ValueError if anything follows."""
        if self.kind():
            raise ValueError("more text after the end")

    def _items(self, first: str, last: str) -> Iterator[None]:
        self._take(first)
        if self.kind() == last:
            self._at += 1
            return
        while True:
            yield
            if self.kind() == last:
                self._at += 1
                return
            self._take(",")

    def _take(self, character: str) -> None:
        if self.kind() != character:
            raise ValueError(f"expected {character!r}")
        self._at += 1

    def _too_long(self) -> bool:
        return len(self._text) - self._at >= self._most

    def _more(self) -> bool:
        """Decode more bytes, as many as there is text left: then a long piece is not started again too often."""
        if self._next >= len(self._body):
            return False
        step = max(_STEP, len(self._text) - self._at)
        chunk = self._body[self._next : self._next + step]
        self._next += len(chunk)
        self._text = self._text[self._at :] + self._decoder.decode(chunk, final=self._next >= len(self._body))
        self._at = 0
        return True
