"""How many examples a fuzz test tries: few and always the same ones, or many new ones for ``make fuzz``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.strategies import SearchStrategy

from tests.support.examples import examples as _share

EXAMPLES = "FUZZ_EXAMPLES"
"""The variable by which ``python -m tests.fuzz`` asks for the long run: examples of each test."""
Test = Callable[..., Any]


def cache_folder() -> Path:
    """Where failing examples are kept, to be tried first the next time; not in the checkout, which may be cleaned."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peaks-scheduler" / "fuzz"


def _profile(examples: int) -> settings:
    """``examples`` of the short run, or what the long one asks for."""
    # garbage is large, and slow to make: its nature, no fault of a test
    common = settings(deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large))
    if asked := os.environ.get(EXAMPLES):
        database = DirectoryBasedExampleDatabase(cache_folder())
        return settings(common, max_examples=int(asked), derandomize=False, database=database, print_blob=True)
    return settings(common, max_examples=_share(examples), derandomize=True, database=None)


def fuzzed(
    *strategies: SearchStrategy[Any], examples: int = 100, **named: SearchStrategy[Any]
) -> Callable[[Test], Test]:
    """Decorate a test with hypothesis' ``given`` and this folder's number of examples.

    ``examples``: of the short run; fewer for a test that is slow.
    """
    profile = _profile(examples)
    return lambda test: profile(given(*strategies, **named)(test))
