"""Prepares the process at its start: standard streams, home directory, signal of PID 1, limit of open files, imports.

Handles standard streams that are closed (``>&-``, some supervisors), non-blocking, or whose encoding lacks a character
(``R²`` in ASCII), and a user without a home. Assumes that ``prepare`` is called before any file is opened: the next
opened file gets the number of a closed stream, and printed text would be written to it. Never changes an encoding or an
existing home.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import TextIO


def prepare() -> None:
    """Set up streams, home and SIGTERM, where necessary. May be called twice."""
    _open_closed_streams()
    if os.getpid() == 1:
        # PID 1 of a container ignores SIGTERM without a handler: a pod that is deleted during its start would run until
        # its grace period is over
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an unsupported character becomes \xb2
            with contextlib.suppress(OSError):
                os.set_blocking(
                    stream.fileno(), True
                )  # another process may have made a shared pipe non-blocking: output would be lost
    if os.path.expanduser("~") == "~":
        # neither HOME nor an entry in passwd: libraries fail when they look for a file of the user. Container runtimes
        # set the same value
        os.environ["HOME"] = "/"


def _open_closed_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


def raise_open_file_limit() -> None:
    """Raise the limit of open files to what the system allows. Connections soon use up the usual 1,024."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextlib.contextmanager
def importing_without_authorities() -> Iterator[None]:
    """While the block lasts, OpenSSL finds no certificate authorities of this machine.

    aiohttp makes two TLS contexts when it is imported, and reading 150 authorities into each is a tenth of the start.
    Neither is used: every connection of ours has a context of its own. Assumes that no other thread runs yet.
    """
    before = {name: os.environ.get(name) for name in _AUTHORITIES}
    os.environ.update(dict.fromkeys(_AUTHORITIES, ""))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def discard_output(stream: TextIO | None = sys.__stdout__) -> None:
    """Discard all further output of this stream, so that flushing its buffer at exit does not fail again."""
    number = 1 if stream is sys.__stdout__ else 2
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
