"""Writes lines to a file descriptor from a thread, so that the caller never waits for a slow or stopped reader.

Owns a bounded queue of lines and a thread that writes them in order. When the queue is full, new lines are dropped and
counted; in their place a line says how many are missing. If the system refuses a write (the disk is full, the reader is
gone, the descriptor would block) it is tried again every second, from the byte where it stopped. Assumes bytes that end
in a line feed. Raises no error of the descriptor. Never keeps the process from ending: the thread is a daemon thread
and holds no lock of the interpreter's streams.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MOST_LINES = 10_000
MOST_BYTES = 4 << 20
BATCH = 1 << 16  # [bytes] written at once
AGAIN = 1.0  # [s] after the system refused


class LineWriter:
    """A queue of lines, and the thread that writes them.

    Args:
        fd: the descriptor to write to; it is not closed.
        missing: makes the line that says how many lines are missing.
        most_lines, most_bytes: limits of the queue.
    """

    def __init__(
        self, fd: int, missing: Callable[[int], bytes], most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._fd, self._missing, self._pid = fd, missing, os.getpid()
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self._queue: deque[bytes | int] = deque()  # a number stands for so many dropped lines
        self._bytes = 0  # size of the queue
        self._in_hand = b""  # taken by the thread, not written yet
        self._refused = False  # the system refused the last write
        self._closing = False
        self._change = threading.Condition()
        self.dropped = 0
        """Lines dropped since the start."""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue a line, or drop and count it if the queue is full. Never waits for the reader."""
        if os.getpid() != self._pid:
            self._write_at_once(line)
            return
        with self._change:
            if len(self._queue) >= self._most_lines or self._bytes + len(line) > self._most_bytes:
                self._drop(max(1, line.count(b"\n")))
                return
            self._queue.append(line)
            self._bytes += len(line)
            if len(self._queue) == 1:
                self._change.notify_all()

    def flush(self, within: float) -> bool:
        """Wait until all is written, at most ``within`` [s], and not if the system refuses. True: all is written."""
        with self._change:
            self._change.wait_for(lambda: self._idle() or self._refused, within)
            return self._idle()

    def close(self, within: float) -> bool:
        """Write the rest, in at most ``within`` [s], and stop the thread. True: all is written."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join(within)
        return self._idle()

    def _idle(self) -> bool:
        return not self._queue and not self._in_hand

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        last = self._queue[-1] if self._queue else None
        if isinstance(last, int):
            self._queue[-1] = last + lines
        else:
            self._queue.append(lines)
            self._change.notify_all()

    def _write_at_once(self, line: bytes) -> None:
        """For a forked child, which has no such thread. The parent writes what is in the queue."""
        with contextlib.suppress(OSError):
            os.write(self._fd, line)

    # -- the thread

    def _run(self) -> None:
        while self._take():
            self._put()
            if self._refused and self._closing:
                return

    def _take(self) -> bool:
        """Wait for lines and take a batch of them; False: closed, nothing is left."""
        with self._change:
            if self._refused:
                self._change.wait_for(lambda: self._closing, AGAIN)
            self._change.wait_for(lambda: not self._idle() or self._closing)
            if not self._in_hand:
                self._in_hand = self._batch()
            return bool(self._in_hand)

    def _batch(self) -> bytes:
        lines, size = [], 0
        while self._queue and size < BATCH:
            entry = self._queue.popleft()
            if isinstance(entry, int):
                entry = self._missing(entry)
            else:
                self._bytes -= len(entry)
            lines.append(entry)
            size += len(entry)
        return b"".join(lines)

    def _put(self) -> None:
        """Write the batch, as far as the system accepts it."""
        written, refused = 0, False
        try:
            written = os.write(self._fd, self._in_hand)
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            self._wait_for_room()
        except OSError:
            refused = True
        with self._change:
            self._in_hand = self._in_hand[written:]
            self._refused = refused
            self._change.notify_all()

    def _wait_for_room(self) -> None:
        with contextlib.suppress(OSError):
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(1000 * AGAIN)


class NonBlockingStream(io.TextIOBase):
    """A text stream that replaces ``stream`` and writes to its descriptor through a LineWriter."""

    def __init__(self, stream: TextIO, missing: Callable[[int], str]) -> None:
        self._stream = stream
        self.lines = LineWriter(stream.fileno(), lambda count: self._bytes(missing(count)))

    def _bytes(self, text: str) -> bytes:
        return text.encode(self.encoding, "backslashreplace")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # libraries test a stream by writing bytes
            raise TypeError(f"expected text, got {type(text).__name__}")
        if text:
            self.lines.write(self._bytes(text))
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
