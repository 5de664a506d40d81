"""A log whose reader stops, ends or comes back: the writer never waits, no line is lost while there is room, and lost
lines are reported."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peaks_scheduler.observability.line_writer import LineWriter

SOON = 120.0  # [s] what a test waits for at most; it fails then


def missing(count: int) -> bytes:
    return b"missing %d\n" % count


@contextlib.contextmanager
def a_pipe(size: int = 4096) -> Iterator[tuple[int, int]]:
    """A pipe with room for one page: (read from, write to)."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
    try:
        yield reader, writer
    finally:
        for fd in (reader, writer):
            with contextlib.suppress(OSError):
                os.close(fd)


def read_until(fd: int, last: bytes) -> list[bytes]:
    """Lines read from a descriptor until one of them is ``last``."""
    data = b""
    while not data.endswith(last + b"\n"):  # any line: b""
        chunk = os.read(fd, 65536)
        assert chunk, f"the end came before {last!r}"
        data += chunk
    return data.splitlines()


def rest_of(reader: int, fd: int, lines: LineWriter) -> list[bytes]:
    """Everything that a returning reader gets until the end."""
    found: list[bytes] = []

    def read() -> None:
        with open(reader, "rb", closefd=False) as stream:
            found.extend(stream.read().splitlines())

    thread = threading.Thread(target=read)
    thread.start()
    assert lines.close(SOON)
    os.close(fd)
    thread.join()
    return found


def lost(line: bytes) -> int:
    return int(line.removeprefix(b"missing ")) if line.startswith(b"missing ") else 0


def unfolded(lines: list[bytes]) -> int:
    """Number of these lines, including those that they report as missing."""
    at = 0
    for line in lines:
        assert line == b"line %06d" % at or lost(line), (at, line)
        at += lost(line) or 1
    return at


def the_lines(count: int, start: int = 0) -> list[bytes]:
    return [b"line %06d" % i for i in range(start, start + count)]


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """A test that hangs fails instead."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done in {SOON} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SOON)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_lines_come_in_order_and_whole() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing)
        for line in the_lines(3_000):
            lines.write(line + b"\n")
        assert read_until(reader, b"line 002999") == the_lines(3_000)
        assert lines.close(SOON)
        assert lines.dropped == 0


def test_a_reader_that_stops_keeps_nobody_waiting_and_is_told_what_it_missed() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing, most_lines=100)
        for line in the_lines(5_000):
            lines.write(line + b"\n")
        assert lines.dropped > 0  # and we are here
        got = rest_of(reader, fd, lines)
    assert unfolded(got) == 5_000
    assert sum(lost(line) for line in got) == lines.dropped


def test_what_is_missing_is_said_without_another_line() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing, most_lines=10)
        for line in the_lines(5_000):
            lines.write(line + b"\n")
        got: list[bytes] = []
        while unfolded(got) < 5_000:
            got += read_until(reader, b"")
        assert lines.close(SOON)


def test_the_queue_is_bounded_by_bytes_as_well() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing, most_lines=10_000, most_bytes=50_000)
        for _ in range(1_000):
            lines.write(b"x" * 999 + b"\n")
        kept = 1_000 - lines.dropped
        assert kept * 1_000 <= 50_000 + 2 * 65_536 + 2_000 + 4_096  # queue, hand, what was written while we wrote, pipe
        assert rest_of(reader, fd, lines).count(b"x" * 999) == kept


def test_closing_is_bounded_while_nobody_reads() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing)
        for line in the_lines(2_000):
            lines.write(line + b"\n")
        assert not lines.close(0.1)
        os.close(reader)
        assert not lines.close(SOON)  # the thread has ended: another test's pipe gets the descriptor


def test_a_descriptor_that_does_not_wait_gets_every_line() -> None:
    with a_pipe() as (reader, fd):
        os.set_blocking(fd, False)
        lines = LineWriter(fd, missing)
        for line in the_lines(3_000):
            lines.write(line + b"\n")
        assert read_until(reader, b"line 002999") == the_lines(3_000)
        assert lines.close(SOON)


def test_a_reader_that_is_gone_is_no_error_and_no_wait() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing)
        os.close(reader)
        lines.write(b"for nobody\n")
        assert not lines.flush(SOON)
        assert not lines.close(SOON)  # at once: SOON would be the alarm's


def test_a_disk_that_was_full_gets_what_waited_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, real = threading.Event(), os.write
    full.set()

    def write(fd: int, data: bytes) -> int:
        if fd != log.fileno() or not full.is_set():
            return real(fd, data)
        if len(data) > 7:
            return real(fd, data[:7])  # the last bytes that there was room for
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peaks_scheduler.observability.line_writer.os.write", write)
    monkeypatch.setattr("peaks_scheduler.observability.line_writer.AGAIN", 0.01)
    with (tmp_path / "log").open("wb") as log:
        lines = LineWriter(log.fileno(), missing)
        for line in the_lines(50):
            lines.write(line + b"\n")
        assert not lines.flush(SOON)
        full.clear()
        assert lines.close(SOON)
    assert (tmp_path / "log").read_bytes().splitlines() == the_lines(50)


def test_a_forked_child_writes_its_own_lines_and_not_the_parents() -> None:
    with a_pipe() as (reader, fd):
        lines = LineWriter(fd, missing)
        if (child := os.fork()) == 0:
            lines.write(b"child\n")
            os._exit(0)
        os.waitpid(child, 0)
        assert read_until(reader, b"child") == [b"child"]
        lines.write(b"parent\n")
        assert read_until(reader, b"parent") == [b"parent"]
        assert lines.close(SOON)


# --- a process with it ------------------------------------------------------------------------------------------------

HEAD = """
import logging, sys, threading, warnings
from peaks_scheduler import process_setup
from peaks_scheduler.observability import logs
process_setup.prepare()
logs.configure("text", non_blocking=True)
log = logging.getLogger("peaks_scheduler.test")
"""


def process(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HEAD + code], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "last",
    [
        pytest.param("", id="the end"),
        pytest.param("sys.exit(3)", id="an exit code"),
        pytest.param("raise RuntimeError('x' * 100_000)", id="an error"),
        pytest.param("print('x' * 200_000, file=sys.stderr)", id="a print"),
        pytest.param("warnings.warn('x' * 200_000)", id="a warning"),
        pytest.param("import click; click.echo('x' * 200_000, err=True)", id="click"),
        pytest.param("t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()", id="a thread"),
        pytest.param("log.critical('the end')", id="a critical record"),
    ],
)
def test_a_process_ends_although_nobody_reads_its_log(last: str) -> None:
    ran = process(f"for i in range(2_000): log.info('bound', extra={{'pod': 'x' * 200}})\n{last}")
    try:
        code = ran.wait(timeout=SOON)
    finally:
        ran.kill()
        assert ran.stderr is not None
        ran.stderr.close()
    assert code == (3 if "exit" in last else 1 if "raise" in last else 0)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        pytest.param("", "bound", id="the end"),
        pytest.param("sys.exit(3)", "bound", id="an exit code"),
        pytest.param("raise RuntimeError('why')", "  | RuntimeError: why", id="an error"),
        pytest.param("print('by hand', file=sys.stderr)", "by hand", id="a print"),
        pytest.param("log.critical('the end'); import os; os._exit(1)", "the end", id="a critical record"),
    ],
)
def test_nothing_is_lost_where_somebody_reads(last: str, told: str) -> None:
    ran = process(f"for i in range(5_000): log.info('bound', extra={{'i': i}})\n{last}")
    _, lines = ran.communicate(timeout=SOON)
    bound = [line for line in lines.splitlines() if " bound i=" in line]
    assert [line.rpartition("=")[2] for line in bound] == [str(i) for i in range(5_000)]
    assert told in lines.splitlines()[-1]


@pytest.mark.parametrize("place", ["2>&-", "2>/dev/full", "2>&1 >/dev/null | true"])
def test_a_log_that_takes_nothing_ends_no_process(place: str) -> None:
    code = HEAD + "for i in range(1000): log.info('bound', extra={'pod': 'x' * 200})\nopen('/dev/stdin').close()"
    ran = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {place}', sys.executable, code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SOON,
        check=False,
    )
    assert ran.returncode == 0, ran
