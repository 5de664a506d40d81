"""The daemon as a process of its own, which ends with the demo.

Owns the subprocess and its log file. It is the real daemon, started as a user starts it, and it gets everything through
its options. The process is ended on every way out of the block. If the demo itself is killed, the kernel (on Linux)
ends the daemon. Never reads more of the log than its end.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_TAIL_LINES = 20
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_FROM_OUTSIDE = ("KUBECONFIG", "NODE_POWER_MODEL", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


class DaemonProcess:
    """A context manager: the command runs while the block lasts; its standard output and error go to ``log``."""

    def __init__(self, command: Sequence[str], log: Path, grace: float = 3.0) -> None:
        self._command = command
        self._log = log
        self._grace = grace  # [s] between SIGTERM and SIGKILL
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(os.environ),
                start_new_session=True,  # ctrl-C reaches only the demo, which then ends the daemon
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._end()
        finally:
            if self.exit_code is None:  # cancelled while it waited: still leave nothing running
                self._signal(signal.SIGKILL)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    @property
    def pid(self) -> int | None:
        """Its process id, once entered."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.returncode

    def tail(self) -> list[str]:
        """The last lines of its log."""
        return self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]


def environment(outside: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The environment without the variables that would change the daemon's configuration."""
    return {k: v for k, v in outside.items() if not k.startswith("PEAKS_") and k not in _FROM_OUTSIDE}


def _die_with_parent() -> None:
    # between fork and exec: one system call and nothing else
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
