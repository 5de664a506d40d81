"""Reads files of users; the only place where files are read.

``read_bytes`` and ``read_text`` read a regular file of bounded size, so that no file blocks the process or fills its
memory. ``read_input_bytes`` and ``read_input_text`` are for commands: they read standard input and pipes of the shell
as well.
"""

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

from .encodings import decoded

MOST_BYTES = 4 * 2**20
"""Most bytes of a configuration, a token, a password or certificates; a larger file is another one by mistake."""
MOST_MODELS = 16 * 2**20
"""Most bytes of a power model file: 15,000 nodes, each with its covariance."""
MOST_DUMP = 2**30
"""Most bytes of a cluster or a load in a file, which only commands read."""
MOST_CSV = 2**29
"""Most bytes of an unpacked table of measurements: a thousand nodes for a week, minute by minute."""
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
    """An open file."""

    def read(self, size: int, /) -> bytes: ...


class UnusableFileError(OSError):
    """A file that cannot be used: not regular, too large, or changing all the time."""


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes. Raises OSError, whose message says what to do.

    Never waits: a pipe, a device or a socket is refused and not opened, since it may never end. ``/dev/null`` is empty.
    A file that changes while it is read is read again, a few times.
    """
    for _ in range(_TRIES):
        if _is_null(status := os.stat(path)):
            return b""
        _refuse_odd(status)  # before the file is opened: opening starts some devices
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
    """Times, place and size of a file: a changed file has another stamp."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size


def _opener(path: str, flags: int) -> int:
    # does not wait for a writer, in case a pipe has replaced the file
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _at_most(file: Readable, most: int) -> bytes:
    """The rest of the file. Raises UnusableFileError once it is more than ``most`` bytes."""
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
    """Is it /dev/null, the usual name for an empty file?"""
    null = os.stat(os.devnull)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == null.st_rdev


def read_text(path: str | Path, most: int = MOST_BYTES) -> str:
    """The text of a regular file. Raises OSError as ``read_bytes`` does, UnicodeDecodeError for bytes that are no
    text."""
    return decoded(read_bytes(path, most))


def read_input_bytes(path: str, most: int) -> bytes:
    """The content of a command's input: a file, ``-`` (standard input) or a pipe of the shell. Raises OSError."""
    if path != "-" and re.fullmatch(r"/dev/(?:stdin|fd/[0-9]+)|/proc/self/fd/[0-9]+", path) is None:
        return read_bytes(path, most)
    with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
        return _at_most(file, most)


def unpacked(data: bytes, most: int) -> bytes:
    """The bytes that gzip packed, at most ``most``. Raises OSError, EOFError, zlib.error."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return _at_most(file, most)


def read_input_text(option: str, path: str, most: int = MOST_BYTES) -> str:
    """The text of a command's input. ``option``: the option that names it, for errors. Raises ConfigurationError."""
    try:
        return decoded(read_input_bytes(path, most))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{option} {path}: expected a readable file; got: {error}") from error
