"""Every command where it is installed: no user name, no home, nowhere to write, no locale, streams that are closed.

What a container gives is less than what a developer's shell has; a command works there, or says in words what it lacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from peaks_scheduler import __version__
from peaks_scheduler.commands.demo.temporary_files import temporary_files
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.kube import election
from tests.support.bare import run_bare, way

ROOT = Path(__file__).resolve().parents[3]
COMMAND = Path(sys.executable).with_name("peaks-scheduler")
PLACED = [str(ROOT / "examples/pod.yaml"), str(ROOT / "tests/data/cluster/node.yaml")]
MEASURED = ["--csv", str(ROOT / "examples/measurements.csv"), "--cpu-column", "cpu_percent", "--power-column", "watts"]

bare = pytest.mark.skipif(way() is None, reason="neither root nor user namespaces here, or no unshare and setpriv")
homes = pytest.mark.parametrize("env", [{}, {"HOME": "/"}, {"HOME": "/nonexistent"}], ids=["none", "root", "missing"])


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_bare([COMMAND, *argv], env)


@bare
@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--version"], __version__),
        (["--help"], "explain"),
        (["strategies"], "envelope"),
        (["explain", "--all-pending", "--from", *PLACED], "default/hello (Deployment"),
        (["fit", *MEASURED], "R²"),
        (["import-models", "plugin", "--help"], "plugin"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_a_command_that_needs_no_cluster_works_without_a_home_and_with_nowhere_to_write(
    argv: Sequence[str], told: str
) -> None:
    ran = run(*argv)
    assert ran.returncode == 0, ran.stderr
    assert told in ran.stdout


@bare
@homes
@pytest.mark.parametrize("command", [["check"], ["explain", "--all-pending"], ["run", "--listen", "127.0.0.1:0"]])
def test_a_command_that_finds_no_cluster_says_where_it_looked(env: dict[str, str], command: list[str]) -> None:
    ran = run(*command, **env)
    assert ran.returncode == 2
    assert "expected a file at" in ran.stderr
    assert ".kube/config" in ran.stderr
    assert "Traceback" not in ran.stderr


@bare
def test_the_demo_places_its_pods_with_nowhere_to_write() -> None:
    """The daemon in it is the real one: it watches through kopf, which would ask the machine for the user's name."""
    ran = run("demo", "--nodes", "4", "--pods", "6")
    assert ran.returncode == 0, ran.stderr
    assert "6 pods bound" in ran.stdout


@bare
def test_a_picture_that_matplotlib_cannot_draw_there_is_refused_in_words() -> None:
    ran = run("fit", *MEASURED, "--plot", "picture.png")
    assert ran.returncode == 2
    assert "MPLCONFIGDIR" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- streams ----------------------------------------------------------------------------------------------------------


def shell(redirection: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command with a shell's redirection and exactly this environment."""
    line = ["sh", "-c", f'exec "$@" {redirection}', "sh", str(COMMAND), *argv]
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
        env=env,
    )


@pytest.mark.parametrize(
    ("closed", "argv", "code"),
    [
        ("<&-", ["explain", "--all-pending", "--from", "-"], 0),
        (">&-", ["strategies"], 0),
        ("2>&-", ["fit", *MEASURED], 0),  # its bar asks whether that is a terminal
        ("2>&-", ["check", "--kubeconfig", "/nonexistent"], 2),
        ("<&- >&- 2>&-", ["demo", "--nodes", "3", "--pods", "3"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_closed_stream_is_as_one_that_nobody_listens_to(closed: str, argv: list[str], code: int) -> None:
    ran = shell(closed, *argv)
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "iso8859-5"},
    ],
    ids=lambda env: " ".join(f"{key}={value}" for key, value in env.items()),
)
def test_a_character_that_the_output_cannot_show_stops_nothing(env: dict[str, str]) -> None:
    ran = shell("", "fit", *MEASURED, **env)
    assert ran.returncode == 0, ran.stderr
    assert "1 node: 1 usable" in ran.stderr
    assert "measurements  usable" in ran.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("argv", [["strategies"], ["fit", *MEASURED, "--output", "json"]])
def test_a_result_that_cannot_be_written_is_told_in_words(argv: list[str]) -> None:
    ran = shell(">/dev/full", *argv)
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize(
    ("width", "argv"), [("1", ["fit", "--help"]), ("-3", ["strategies"]), ("0", ["fit", *MEASURED])]
)
def test_no_width_of_the_terminal_stops_a_command(width: str, argv: list[str]) -> None:
    ran = shell("", *argv, COLUMNS=width, LINES=width)
    assert ran.returncode == 0, ran.stderr


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    """A shell whose working folder was removed: asking for it is an error of the system's."""
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'cd "$0" && rmdir "$0" && exec "$@"'
    argv = ["sh", "-c", line, str(gone), str(COMMAND), "check"]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env={"HOME": "/nonexistent"})
    assert "/nonexistent/.kube/config" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- names and files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "x" * 255, "knoten-ä", "a\udcff b", "peaks-scheduler-7d4b9c-x2x5z"])
def test_any_name_of_the_host_makes_an_identity_that_an_event_takes(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(election.socket, "gethostname", lambda: host)
    identity = election.unique_identity()
    assert len(identity) <= 128  # events.k8s.io/v1: reportingInstance
    assert identity.isascii()


def test_files_of_the_demo_lie_in_memory_where_no_folder_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryDirectory", _refuse)
    with temporary_files() as files:
        files("config.yaml").write_text("a")
        files("models.yaml").write_text("b")
        assert files("config.yaml").read_text() == "a"
        # as the daemon does, by the path alone
        assert subprocess.run(["cat", files("models.yaml")], capture_output=True, check=True).stdout == b"b"
    assert not files("models.yaml").exists()


def test_without_a_folder_and_without_memory_files_the_demo_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryDirectory", _refuse)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with pytest.raises(ConfigurationError, match="TMPDIR"), temporary_files():
        pass


def _refuse(**_: object) -> None:
    raise FileNotFoundError("no usable temporary directory")


def test_the_json_of_fit_is_whole_whatever_the_encoding() -> None:
    ran = shell("", "fit", *MEASURED, "--output", "json", PYTHONIOENCODING="ascii")
    assert json.loads(ran.stdout)["nodes"]["measurements"]["verdict"] == "usable"
