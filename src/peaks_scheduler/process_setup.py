"""What a process finds when it starts: its three streams and a home, put right where they are missing.

Owns what is done where a stream was closed before the start (``>&-``, some supervisors), where its encoding lacks a
character (``R²`` in ASCII), where it would not wait for its reader, where the user has no home, and how many files may
be open. Assumes that it is called first, before anything else opens
a file: a closed descriptor's number goes to whatever is opened next, and what is printed would end up there. Never
changes an encoding, nor a home that is there.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
from typing import TextIO


def prepare() -> None:
    """Put right what is missing. Harmless where nothing is, and a second time."""
    _open_closed_streams()
    if os.getpid() == 1:
        # a container's first process: SIGTERM does nothing there but what is asked for, and a pod that is deleted while
        # it starts would be waited for until its grace is over
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the encoding lacks becomes \xb2
            with contextlib.suppress(OSError):
                os.set_blocking(stream.fileno(), True)  # who shares a pipe may have had it otherwise: results get lost
    if os.path.expanduser("~") == "~":
        # neither HOME nor an entry in passwd: libraries fail when they look for a file of the user's. A container's
        # runtime gives the same
        os.environ["HOME"] = "/"


def _open_closed_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


def raise_open_file_limit() -> None:
    """As many open files as the system allows: the usual 1,024 are soon used up by connections."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def discard_output(stream: TextIO | None = sys.__stdout__) -> None:
    """Nothing more goes to this stream: what is left in its buffer would fail again at the end of the process."""
    number = 1 if stream is sys.__stdout__ else 2
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
