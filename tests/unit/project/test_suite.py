"""The runner of `make test`: lanes go side by side, a failure ends its lane alone, and every target is in the table."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.examples import LEAST, SHARE, examples

SUITE = Path(__file__).resolve().parents[3] / "tools" / "suite.py"
TARGETS = """
good:
\t@echo what good prints
bad:
\t@echo what bad prints; exit 3
yielding:
\t@nice
meets:
\t@touch meets; for i in `seq 300`; do test -e other && exit 0; sleep 0.1; done; exit 1
other:
\t@touch other; for i in `seq 300`; do test -e meets && exit 0; sleep 0.1; done; exit 1
endless:
\t@touch begun; sleep 600
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(TARGETS)
    return tmp_path


def suite(folder: Path, *lanes: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(SUITE), "--make", "make", *lanes]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def verdicts(ran: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The last column of the table by target."""
    rows = re.findall(r"^(\S+) +\d+ +\d+  (.+)$", ran.stdout, re.MULTILINE)
    return dict(rows)


def test_every_target_is_made_and_listed_with_what_it_printed(folder: Path) -> None:
    ran = suite(folder, "good", "yielding@nice")
    assert ran.returncode == 0, ran.stderr
    assert verdicts(ran) == {"good": "done", "yielding": "done"}
    assert "what good prints\n=== good: done" in ran.stdout
    assert "\n19\n" in ran.stdout


def test_what_comes_then_begins_when_all_before_it_has_ended(folder: Path) -> None:
    ran = suite(folder, "bad good", "yielding", "then", "good")
    assert ran.returncode == 1
    said = [line for line in ran.stdout.splitlines() if line.startswith("===")]
    assert said[-2:] == ["=== good begins", "=== good: done, 0 s"]
    assert {line.split(":")[0] for line in said[:-2] if ":" in line} == {"=== bad", "=== yielding"}


def test_lanes_go_side_by_side(folder: Path) -> None:
    assert suite(folder, "meets", "other").returncode == 0


def test_a_failure_ends_its_lane_and_the_other_goes_on(folder: Path) -> None:
    ran = suite(folder, "bad other", "good yielding")
    assert ran.returncode == 1
    assert verdicts(ran) == {"bad": "FAILED (2)", "good": "done", "yielding": "done"}
    assert "what bad prints" in ran.stdout


def test_one_that_is_ended_ends_what_it_began(folder: Path) -> None:
    with subprocess.Popen([sys.executable, str(SUITE), "--make", "make", "endless"], cwd=folder) as process:
        while not (folder / "begun").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize(("share", "tried"), [(None, 300), ("1", 300), ("0.25", 75), ("0.001", LEAST)])
def test_a_share_of_the_examples_can_be_asked_for(
    share: str | None, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SHARE, raising=False)
    if share is not None:
        monkeypatch.setenv(SHARE, share)
    assert examples(300) == tried
    assert examples(5) == 5
