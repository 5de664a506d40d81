"""Child processes of a test run: started with a log file, stopped within a bound, never outliving the run.

Owns the watchdog: one small process that holds the other end of a pipe and kills every group it was told of when this
process is gone, however it went (SIGKILL too). Not ``PR_SET_PDEATHSIG``: that follows the thread which started the
child, and tests start some from pools. Each child leads a group of its own, so that what it starts goes with it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 90.0
"""[s] that a test waits for what must come: no promise of anybody's, and enough for a machine with other work to do."""

# reads "+PGID" and "-PGID" until the pipe closes, then kills what is left
_WATCHDOG = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
_watchdog: subprocess.Popen[str] | None = None


def _tell_watchdog(line: str) -> None:
    global _watchdog
    if _watchdog is None:
        # a session of its own: the Ctrl-C that ends the run must not end it first
        argv = [sys.executable, "-I", "-S", "-c", _WATCHDOG]
        _watchdog = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
    assert _watchdog.stdin is not None
    _watchdog.stdin.write(line + "\n")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now, and that no other test run is given while this process lives.

    From below the range that outgoing connections take theirs from: while a server on such a port is stopped, no client
    that tries to reach it can be given the port itself.
    """
    for port in random.sample(range(20000, 32000), 1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0 and _claim(port):
                return port
    raise AssertionError("no free port between 20000 and 32000")


def _claim(port: int) -> bool:
    """Takes UDP's port of the same number, which nobody else here wants; False where another process has it."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    claim.detach()  # open until this process ends
    return True


def wait_until(condition: Callable[[], T], what: str, timeout: float = PATIENCE, every: float = 0.05) -> T:
    """The first true answer of ``condition``.

    Raises:
        AssertionError: none came within ``timeout`` seconds; names ``what`` and the last answer.
    """
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}; last answer: {answer!r}")
        time.sleep(every)


class Process:
    """One child with its output in a file, started by the constructor.

    Attributes:
        log: the file with everything it printed; appended to when the same name starts again.
    """

    def __init__(self, name: str, argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=log.parent,
                start_new_session=True,
            )
        _tell_watchdog(f"+{self._child.pid}")

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._child.poll()

    @property
    def alive(self) -> bool:
        return self.returncode is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.killpg(self.pid, number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Exit code of a process that ends by itself; subprocess.TimeoutExpired where it does not."""
        code = self._child.wait(timeout)
        _tell_watchdog(f"-{self.pid}")
        return code

    def kill(self) -> int:
        """SIGKILL, as a crash would be."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, and SIGKILL for one that does not listen. The exit code; harmless on one that has ended."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
