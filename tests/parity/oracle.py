"""kube-scheduler's own verdict on a cluster: builds the Go program beside this file, once, and talks to it.

Owns the program's place, ``${XDG_CACHE_HOME:-~/.cache}/peaks-scheduler/parity/HASH/oracle``, where HASH is that of all
that decides what is built: the Go sources and the Go module of ``tools/controlplane``, which is copied, never changed.
Assumes what ``tools/control_plane.py`` assumes, and takes Go from there. What goes in and comes out is said in
``oracle/cluster.go`` and ``oracle/judge.go``; it judges objects as they stand, and it never looks at this scheduler.

    python -m tests.parity.oracle --where    build the program where it is missing, print its path
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

Json = dict[str, Any]

SOURCES = Path(__file__).resolve().parent / "oracle"
TOOLS = Path(__file__).resolve().parents[2] / "tools"
MODULE_FILES = ("go.mod", "go.sum")

BUILD_LIMIT = 900.0  # [s] cold, with every module to be downloaded
ANSWER_LIMIT = 120.0  # [s] for one line; a small cluster takes milliseconds
TIMING_LIMIT = 600.0  # [s] for all pods of a file
GOODBYE = 60.0  # [s] from the end of its input to its exit


class OracleError(Exception):
    """The program could not be built, or did not answer; the message holds what it or Go said."""


# --- the build ------------------------------------------------------------------------------------------------------


def _control_plane() -> ModuleType:
    """``tools/control_plane.py``, which is a script and no package: it knows how to find Go and how to run it."""
    spec = importlib.util.spec_from_file_location("control_plane_tool", TOOLS / "control_plane.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _sources() -> list[Path]:
    return [*sorted(SOURCES.glob("*.go")), *(TOOLS / "controlplane" / name for name in MODULE_FILES)]


def location() -> Path:
    """Where the program built from exactly these sources is or will be."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "peaks-scheduler" / "parity" / digest.hexdigest()[:16] / "oracle"


def ensure() -> Path:
    """The program's path, after building it where it is missing; a second caller waits for the first.

    Raises:
        OracleError: there is no Go, or the build failed or took longer than ``BUILD_LIMIT``.
    """
    program = location()
    if program.is_file():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():  # the one before us may have built it
            _build(program)
    return program


def _build(program: Path) -> None:
    """Builds in a folder beside the program, on the same file system, so that it appears whole or not at all."""
    tool = _control_plane()
    try:
        go = tool.find_go()
    except (tool.BuildError, OSError, subprocess.SubprocessError) as error:
        raise OracleError(f"the oracle is a Go program and Go is missing: {error}") from error
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".building-") as temporary:
        work = Path(temporary)
        (work / "oracle").mkdir()
        for path in _sources():
            shutil.copy(path, work / "oracle" if path.suffix == ".go" else work)
        with tool.progress("building the parity oracle"):
            _run_go(_build_command(tool, go, work / "bin"), work, tool.go_environment())
        os.replace(work / "bin" / "oracle", program)


def _build_command(tool: ModuleType, go: Path, out: Path) -> list[str]:
    """As kube-scheduler itself is built: NodeDeclaredFeatures compares features with the version stamped in."""
    build, subcommand, *rest = (part.replace("{out}", str(out)) for part in tool.build_command(go, "oracle"))
    # mod: in this copy of the module, what we import directly may move up among the direct requirements
    return [build, subcommand, "-mod=mod", *rest]


def _run_go(command: list[str], work: Path, env: dict[str, str]) -> None:
    try:
        ran = subprocess.run(
            command, cwd=work, env=env, capture_output=True, text=True, timeout=BUILD_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OracleError(f"`{' '.join(command)}` took longer than {BUILD_LIMIT:g} s: run it again") from error
    if ran.returncode != 0:
        advice = "Check that Go modules can be downloaded, then run it again."
        raise OracleError(f"`{' '.join(command)}` failed:\n{ran.stderr[-3000:]}\n{advice}")


# --- the conversation -----------------------------------------------------------------------------------------------


def request(objects: Iterable[Json], scheduler_name: str = "Peaks") -> str:
    """One line of the program's input."""
    return json.dumps({"schedulerName": scheduler_name, "objects": list(objects)})


class Oracle:
    """The program, running while the ``with`` block does. One caller at a time.

    Args:
        defaults: first set in the objects what the API server would set.
        scores: also say how each plugin scores the feasible nodes.
        answer_limit: seconds for one answer; a program that takes longer is killed.
    """

    def __init__(self, *, defaults: bool = False, scores: bool = False, answer_limit: float = ANSWER_LIMIT) -> None:
        self._flags = [*(["-defaults"] if defaults else []), *(["-scores"] if scores else [])]
        self._limit = answer_limit
        self._said: IO[str] | None = None
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Oracle:
        # a file, not a pipe: nobody reads what it says until it has failed
        self._said = tempfile.TemporaryFile("w+", errors="replace")
        argv = [str(ensure()), "judge", *self._flags]
        # it ends with its input, and so with this process
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child is not None
        assert self._said is not None
        try:
            self._child.communicate(timeout=GOODBYE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._said.close()

    @property
    def pid(self) -> int:
        assert self._child is not None, "the oracle runs inside its `with` block only"
        return self._child.pid

    def judge(self, objects: Iterable[Json], scheduler_name: str = "Peaks") -> dict[str, Json]:
        """The verdict on every pending pod of ``scheduler_name``, by ``namespace/name``, each judged on its own.

        ``{"gated", "message", "error", "preFilter", "nodes": {name: {"feasible", "reasons", "plugin"}}}``, and with
        scores, where several nodes are feasible, ``"scores": {plugin: {node: weighted score}}``. A plugin that has
        nothing to say of the pod is not there.

        Raises:
            OracleError: the program refused the line, died, or took too long. It is of no use afterwards.
        """
        child = self._child
        assert child is not None, "the oracle runs inside its `with` block only"
        assert child.stdin is not None
        assert child.stdout is not None
        answer = ""
        with self._bounded(child) as late:
            try:
                child.stdin.write(request(objects, scheduler_name) + "\n")
                child.stdin.flush()
                answer = child.stdout.readline()
            except BrokenPipeError:
                pass  # it is gone: there is no answer
        if not answer.endswith("\n"):
            raise OracleError(self._complaint(child, late.is_set()))
        verdicts: dict[str, Json] = json.loads(answer)
        return verdicts

    @contextmanager
    def _bounded(self, child: subprocess.Popen[str]) -> Iterator[threading.Event]:
        """Kills the program when the block takes too long, which ends every wait for it. Sets the event when it did."""
        late = threading.Event()

        def end() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self._limit, end)
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
            timer.join()

    def _complaint(self, child: subprocess.Popen[str], late: bool) -> str:
        if late:
            return f"the oracle gave no answer within {self._limit:g} s"
        code = child.wait(GOODBYE)
        assert self._said is not None
        self._said.seek(0)
        return f"the oracle gave no answer and ended with {code}: {self._said.read()[-3000:].strip()}"


def time(path: Path, *, rounds: int = 3, defaults: bool = False) -> dict[str, Json]:
    """How long the scheduler's algorithm takes over all nodes for every pending pod of the one line in ``path``.

    ``{"default/web-0": {"seconds": 0.0031, "feasible": 4990}}``: the median of ``rounds``.

    Raises:
        OracleError: the program refused the file, died, or took longer than ``TIMING_LIMIT``.
    """
    argv = [str(ensure()), "time", str(path), f"-rounds={rounds}", *(["-defaults"] if defaults else [])]
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=TIMING_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise OracleError(f"timing {path} took longer than {TIMING_LIMIT:g} s") from error
    if ran.returncode != 0:
        raise OracleError(f"timing {path} ended with {ran.returncode}: {ran.stderr[-3000:].strip()}")
    timings: dict[str, Json] = json.loads(ran.stdout)
    return timings


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the program that says what kube-scheduler would say.")
    parser.add_argument("--where", action="store_true", help="print its path")
    where = parser.parse_args().where
    try:
        program = ensure()
    except OracleError as error:
        print(error, file=sys.stderr)
        return 1
    if where:
        print(program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
