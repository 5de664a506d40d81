"""What every test shares: where measured data lies, that nothing is skipped unseen, and that no test is timed.

Owns the ``test_data`` fixture and the rule for CI: with ``CI=true`` a run that skipped anything has failed, since a
test that did not run shows nothing. Elsewhere a skip is printed with its reason and does no harm.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.examples import examples

# how long an example takes is the machine's matter, and what else it does; the rest of the profile stays (in CI: fixed
# examples)
settings.register_profile("untimed", settings(), deadline=None, max_examples=examples(settings().max_examples))
settings.load_profile("untimed")

SKIPPED: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []


class _Skips:
    """Notes each skipped test, or file skipped while it was collected. An expected failure did run: it is none."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._seen.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")

    pytest_runtest_logreport = note
    pytest_collectreport = note


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(_Skips(session.config.stash[SKIPPED]))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") == "true" and session.config.stash[SKIPPED]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if skipped := config.stash[SKIPPED]:
        verdict = "CI allows none" if os.environ.get("CI") == "true" else "CI would fail"
        terminalreporter.section(f"{len(skipped)} skipped, {verdict}")
        terminalreporter.write("".join(f"{line}\n" for line in skipped))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of measured data (``PEAKS_TEST_DATA``), or a skip that says what to set."""
    folder = os.environ.get("PEAKS_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PEAKS_TEST_DATA does not name the folder of measured data")
    return Path(folder)
