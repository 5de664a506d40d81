"""Text out of files that people and their tools wrote, in whichever encoding: the one way to read any file.

Owns what may be read (a regular file of a bounded size, so that no file stalls or ends the reader) and the encodings:
UTF-8 with or without a byte order mark, UTF-16 and UTF-32 as PowerShell's ``>`` and Windows editors write them. Never
guesses a code page: bytes that are none of these are an error, not other characters.
"""

import codecs
import contextlib
import gzip
import io
import os
import re
import stat
import sys
from pathlib import Path
from typing import Protocol

from peaks_scheduler.errors import ConfigurationError

_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    (
        b"PK\x03\x04",
        "a zip archive (a workbook is one): take the text file in it or beside it, or save the sheet as CSV UTF-8",
    ),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file: save it as CSV"),
)
BYTE_ORDER_MARK = "\ufeff"
"""The byte order mark as a character."""

MOST_BYTES = 4 * 2**20
"""Of a configuration, a token, a password, certificates: more is another file by mistake."""
MOST_MODELS = 16 * 2**20
"""Bytes of a power model file: 15,000 nodes, each with its covariance."""
MOST_DUMP = 2**30
"""Bytes of a cluster or a load in files, which only commands read."""
MOST_CSV = 2**29
"""Bytes of a table of measurements, unpacked: a week by the minute of a thousand nodes."""
_TRIES = 3
_CHUNK = 2**20  # bytes
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (fifo)"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class Readable(Protocol):
    """A file that is open."""

    def read(self, size: int, /) -> bytes: ...


class UnusableFileError(OSError):
    """A file that is not read: no regular one, too large, or never the same twice."""


class EncodingError(UnicodeDecodeError):
    """Bytes that are no text in an encoding of ours; its message says where, and what to do."""

    def __str__(self) -> str:
        if (other := next((words for start, words in _OTHERS if self.object.startswith(start)), "")) != "":
            return f"no text, but {other}"
        if self.encoding.startswith(("utf-16", "utf-32")):
            name = self.encoding[:6].upper()
            return f"{name} text that is broken at byte {self.start} of {len(self.object)}: cut off? Copy it again"
        line, byte = self.object.count(b"\n", 0, self.start) + 1, self.object[self.start]
        words = "a zero byte, which no text has" if byte == 0 else f"byte 0x{byte:02X}, which is no UTF-8"
        return f"{words}, in line {line}: save it as UTF-8 (iconv -f LATIN1 -t UTF-8, or your editor's `Save as`)"


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file, of at most ``most`` bytes. Raises OSError, whose message says what to do.

    Never waits: a pipe, a device or a socket is refused, not opened, for it may have no end, or nobody may ever write
    into it. ``/dev/null`` is empty. A file that is being written is read again, a few times.
    """
    for _ in range(_TRIES):
        if _is_null(status := os.stat(path)):
            return b""
        _refuse_odd(status)  # before it is opened: that alone starts some devices
        with open(path, "rb", opener=_opener) as file:
            before = os.fstat(file.fileno())
            _refuse_odd(before)
            _refuse_large(before.st_size, most)
            data = _at_most(file, most)
            if stamp(before) == stamp(os.fstat(file.fileno())):
                return data
    raise UnusableFileError(
        "expected a file that is whole; it changed while it was read: write it beside its place, then move it there"
    )


def stamp(status: os.stat_result) -> tuple[int, ...]:
    """What differs between two states of a file: times, place and size."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size


def _opener(path: str, flags: int) -> int:
    # not to wait for a writer, should a pipe have taken the file's place by now
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _at_most(file: Readable, most: int) -> bytes:
    """All that is left in the file, or the refusal once it is too much."""
    chunks, size = [], 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        _refuse_large(size, most)
    return b"".join(chunks)


def _refuse_odd(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((words for test, words in _KINDS if test(status.st_mode)), "something else")
        raise UnusableFileError(f"expected a regular file; this is {kind}")


def _refuse_large(size: int, most: int) -> None:
    if size > most:
        raise UnusableFileError(f"expected at most {_size(most)}; it has more: is it the right file?")


def _size(size: int) -> str:
    for unit, word in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {word}"
    return f"{size} bytes"


def _is_null(status: os.stat_result) -> bool:
    """The usual way to say `an empty file`."""
    null = os.stat(os.devnull)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == null.st_rdev


def read_text(path: str | Path, most: int = MOST_BYTES) -> str:
    """The file's text. Raises OSError as ``read_bytes`` does, and UnicodeDecodeError for bytes that are no text."""
    return decoded(read_bytes(path, most))


def read_input_bytes(path: str, most: int) -> bytes:
    """What a command is to read: a file, or ``-``, standard input, or a pipe that the shell opened for it. Raises
    OSError."""
    if path != "-" and re.fullmatch(r"/dev/(?:stdin|fd/[0-9]+)|/proc/self/fd/[0-9]+", path) is None:
        return read_bytes(path, most)
    with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
        return _at_most(file, most)


def unpacked(data: bytes, most: int) -> bytes:
    """What gzip packed, of at most ``most`` bytes. Raises OSError, EOFError, zlib.error."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return _at_most(file, most)


def read_input_text(option: str, path: str, most: int = MOST_BYTES) -> str:
    """The text of the file that ``option`` names, as ``read_input_bytes`` reads it. Raises ConfigurationError."""
    try:
        return decoded(read_input_bytes(path, most))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{option} {path}: expected a readable file; got: {error}") from error


def decoded(data: bytes) -> str:
    """The text of these bytes, without byte order marks. Raises UnicodeDecodeError for bytes that are no text."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data[:2])
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise EncodingError(encoding, data, error.start, error.end, error.reason) from error
    if "\0" in text:
        start = data.find(b"\0") if encoding.startswith("utf-8") else 0
        raise EncodingError(encoding, data, start, start + 1, "a zero byte")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # files put one after the other keep the marks that each began with
    return text.lstrip(BYTE_ORDER_MARK).replace(f"\n{BYTE_ORDER_MARK}", "\n")


def _without_mark(start: bytes) -> str:
    """Every file of ours begins with an ASCII character: its zero byte tells UTF-16 from UTF-8."""
    if len(start) == 2 and 0 in start and any(start):
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8"
