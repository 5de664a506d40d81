"""JSON of any size read piece by piece: no call takes long, nothing is in memory that nobody asked for.

Owns the walk through objects and arrays; the pieces are read by Python's own decoder. One call of it for a whole answer
would hold the interpreter for as long as it takes, in a thread too: 60 MB of ``[{},{},...]`` are five seconds in which
no pod is decided, and gigabytes of empty objects. Here the caller says what it wants of each part, and stops where it
has enough. Assumes a caller that reads or passes over the value after every key. Never trusts a piece to be small.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

_STEP = 2**16  # bytes that become text at a time
_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


class JsonReader:
    """At the beginning of ``body``, UTF-8. No value that is read as a whole is longer than ``most`` characters.

    All methods raise ValueError where the text is no JSON or a value is too long, RecursionError where it is nested
    too deeply.
    """

    def __init__(self, body: bytes | bytearray, most: int = _STEP) -> None:
        self._body, self._next, self._most = body, 0, most
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0

    def kind(self) -> str:
        """First character of what comes next: ``{``, ``[``, ``"``, ...; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The value that comes next, whole."""
        self.kind()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._too_long():
                    raise ValueError(f"a value that is none, or is longer than {self._most:,} characters") from error
                if not self._more():
                    raise ValueError(error.msg) from error
                continue
            # a number may go on in what is no text yet
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def members(self) -> Iterator[str]:
        """Each key of the object that comes next; its value is to be read before the next key."""
        for _ in self._items("{", "}"):
            if self.kind() != '"':
                raise ValueError("expected a key in quotes")
            key = self.value()
            self._take(":")
            yield key

    def elements(self) -> Iterator[None]:
        """Once for each element of the array that comes next; it is to be read before the next one."""
        return self._items("[", "]")

    def end(self) -> None:
        """Nothing may follow."""
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
        """Make text of more bytes, as much again as there is: a long piece is not begun again too often."""
        if self._next >= len(self._body):
            return False
        step = max(_STEP, len(self._text) - self._at)
        chunk = self._body[self._next : self._next + step]
        self._next += len(chunk)
        self._text = self._text[self._at :] + self._decoder.decode(chunk, final=self._next >= len(self._body))
        self._at = 0
        return True
