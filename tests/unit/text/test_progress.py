"""Progress on standard error, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from peaks_scheduler.text.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(progress: ProgressBar, total: int) -> None:
    with progress:
        for done in range(total + 1):
            progress.update(done, total)


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, progress: ProgressBar, total: int) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal := Terminal())
        run(progress, total)
    return terminal.getvalue()


def test_a_terminal_gets_a_bar_up_to_the_total(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = shown_on_a_terminal(monkeypatch, ProgressBar("pods bound"), 10)
    assert "pods bound" in shown
    assert "100%" in shown
    assert capsys.readouterr().out == ""


def test_a_total_below_the_least_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on_a_terminal(monkeypatch, ProgressBar("fitting", least=2), 1) == ""
    assert "100%" in shown_on_a_terminal(monkeypatch, ProgressBar("fitting", least=2), 2)


def test_elsewhere_a_few_lines_tell_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBar("pods bound", lines=4), 200)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"pods bound: {done} of 200" for done in (50, 100, 150, 200)]


@pytest.mark.parametrize("total", [0, 1, 7])
def test_elsewhere_nothing_is_written_unless_asked_for(total: int, capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBar("fitting"), total)
    assert capsys.readouterr().err == ""
