"""``suite.py LANE... [then LANE...]``: makes the targets of every lane, lane beside lane, and says how long each took.

A lane is a list of make targets that follow one another: ``"lint unit pythons"``. ``then`` waits for all lanes before
it. What a target prints is kept in a file and shown as a whole once it has ended. A target that fails ends its lane;
all other lanes are made, so that one run shows everything that is wrong. At the end stands a table: target, seconds,
and seconds of processor time. The exit code is 0 only where every target was made.

``TARGET@nice`` gives a target the time that the other lanes leave (nice 19): for what only computes, beside tests that
must keep deadlines. A target that takes longer than LIMIT is ended and has failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 2400.0  # [s] of one target
STILL = 60.0  # [s] between two lines that say what is still running
LAST = 10.0  # [s] that a target gets to end after SIGTERM
NICE = "@nice"
THEN = "then"
YIELDING = (
    "sh",
    "-c",
    # where the system shares the processor among sessions, each of them has a nice value of its own
    '{ echo 19 > /proc/self/autogroup; } 2>/dev/null; exec nice -n 19 "$@"',
    "sh",
)


@dataclass(frozen=True, slots=True)
class Made:
    """How one target went."""

    target: str
    code: int
    seconds: float
    cpu: float
    """[s] of processor time, of all processes that somebody waited for."""


class Suite:
    """The run of all lanes. Threads share it; ``_lock`` guards what they print and note."""

    def __init__(self, make: Sequence[str], folder: Path) -> None:
        self._make, self._folder = list(make), folder
        self._lock = threading.Lock()
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        self._made: list[Made] = []
        self._ended = threading.Event()

    def run(self, stages: Sequence[Sequence[Sequence[str]]]) -> list[Made]:
        """Makes the lanes of each stage; how every target went that was begun, in the order in which they ended."""
        threading.Thread(target=self._tell, daemon=True).start()
        threads: list[threading.Thread] = []
        try:
            for lanes in stages:
                threads = [threading.Thread(target=self._lane, args=(lane,)) for lane in lanes]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        finally:
            self._stop()
            for thread in threads:
                thread.join()
        return self._made

    def _lane(self, targets: Sequence[str]) -> None:
        for target in targets:
            made = self._one(target)
            if made is None or made.code != 0:
                return

    def _one(self, target: str) -> Made | None:
        """How it went; None where the run was broken off before it began."""
        name = target.removesuffix(NICE)
        log = self._folder / f"{name}.log"
        begun = time.monotonic()
        argv = [*(YIELDING if target.endswith(NICE) else ()), *self._make, name]
        with log.open("wb") as out, self._lock:
            if self._ended.is_set():
                return None
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            self._running[name] = (child, begun)
            _say(f"=== {name} begins")
        timer = threading.Timer(LIMIT, _end, [child])
        timer.daemon = True
        timer.start()
        _, status, used = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        made = Made(name, child.returncode, time.monotonic() - begun, used.ru_utime + used.ru_stime)
        with self._lock:
            del self._running[name]
            self._made.append(made)
            _say(f"=== {name}: {_verdict(made)}, {made.seconds:.0f} s", log.read_bytes())
        return made

    def _tell(self) -> None:
        """Now and then a line: a run that prints nothing for minutes looks as if it hung."""
        while not self._ended.wait(STILL):
            with self._lock:
                now = time.monotonic()
                names = [f"{name} for {now - begun:.0f} s" for name, (_, begun) in self._running.items()]
                _say(f"=== still running: {', '.join(names)}")

    def _stop(self) -> None:
        """Ends what still runs, where the run was broken off; nothing is begun any more."""
        with self._lock:
            self._ended.set()
            running = [child for child, _ in self._running.values()]
        for child in running:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a target and what it started; SIGKILL for what does not listen."""
    for number, patience in ((signal.SIGTERM, LAST), (signal.SIGKILL, 0.0)):
        end = time.monotonic() + patience
        try:
            os.killpg(child.pid, number)
            while time.monotonic() < end:
                os.killpg(child.pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


def _say(line: str, text: bytes = b"") -> None:
    sys.stdout.buffer.write(text + line.encode() + b"\n")
    sys.stdout.buffer.flush()


def _verdict(made: Made) -> str:
    return "done" if made.code == 0 else f"FAILED ({made.code})"


def table(made: Sequence[Made], seconds: float) -> str:
    """One line a target, the longest first, and one for all of it."""
    rows = [("target", "seconds", "CPU", "")]
    rows += [
        (each.target, f"{each.seconds:.0f}", f"{each.cpu:.0f}", _verdict(each))
        for each in sorted(made, key=lambda each: -each.seconds)
    ]
    rows.append(("all", f"{seconds:.0f}", f"{sum(each.cpu for each in made):.0f}", ""))
    return "\n".join(f"{name:<16}{took:>8}{cpu:>8}  {verdict}".rstrip() for name, took, cpu, verdict in rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Makes lanes of targets side by side and says how long each took.")
    parser.add_argument("--make", default=os.environ.get("MAKE", "make"), help="the make to call")
    parser.add_argument(
        "lanes", nargs="+", metavar="LANE", help="targets that follow one another, in one argument; or then"
    )
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C: what was begun is ended
    stages: list[list[list[str]]] = [[]]
    for lane in asked.lanes:
        if lane == THEN:
            stages.append([])
        else:
            stages[-1].append(lane.split())
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="peaks-suite-") as folder:
        made = Suite([*asked.make.split(), "--no-print-directory"], Path(folder)).run(stages)
    print(table(made, time.monotonic() - begun))
    asked_for = sum(len(lane) for lanes in stages for lane in lanes)
    return int(len(made) < asked_for or any(each.code for each in made))


if __name__ == "__main__":
    sys.exit(main())
