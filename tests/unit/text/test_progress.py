"""Progress on standard error, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from peaks_scheduler.text.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "stderr", found := Terminal())
    return found


def run(progress: ProgressBar, total: int) -> None:
    with progress:
        for done in range(total + 1):
            progress.update(done, total)


def test_a_terminal_gets_a_bar_up_to_the_total(capsys: pytest.CaptureFixture[str], terminal: Terminal) -> None:
    run(ProgressBar("pods bound"), 10)
    assert "pods bound" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_total_below_the_least_is_not_shown(terminal: Terminal) -> None:
    run(ProgressBar("fitting", least=2), 1)
    assert terminal.getvalue() == ""


def test_elsewhere_a_few_lines_tell_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBar("pods bound", lines=4), 200)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"pods bound: {done} of 200" for done in (50, 100, 150, 200)]


@pytest.mark.parametrize("total", [0, 1, 7])
def test_elsewhere_nothing_is_written_unless_asked_for(total: int, capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBar("fitting"), total)
    assert capsys.readouterr().err == ""
