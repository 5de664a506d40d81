"""The soak's own judgement: which growth is a failure, and which is not."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from tests.soak.samples import FILES, LEFT_BEHIND, READERS, RSS_GROWTH, WATCHES, Sample, broken, sample, table

FIRST = Sample(4.0, 130.0, 60, 3, 170, {"peaks_scheduler.objects.pod.Pod": 100, "builtins.dict": 2000}, 8000)


def test_a_process_that_stays_as_it_is_breaks_nothing() -> None:
    assert list(broken(FIRST, replace(FIRST, minute=20.0, pods=40_000))) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"rss": 130.1 + RSS_GROWTH}, "memory grew by", id="memory"),
        pytest.param({"files": FILES + 1}, "files are open", id="files"),
        pytest.param({"threads": 4 + READERS}, "5 threads", id="a thread"),
        pytest.param({"tasks": 171 + WATCHES}, "tasks, expected 170", id="tasks"),
        pytest.param(
            {"objects": {"a.New": LEFT_BEHIND + 1}}, "301 more of a.New (0 before)", id="objects of a new type"
        ),
        pytest.param(
            {"objects": {"peaks_scheduler.objects.pod.Pod": 101 + LEFT_BEHIND}},
            "301 more of peaks_scheduler.objects.pod.Pod (100 before)",
            id="objects of an old one",
        ),
    ],
)
def test_whatever_grows_is_named(change: dict[str, object], words: str) -> None:
    (said,) = broken(FIRST, replace(FIRST, **change))  # type: ignore[arg-type]
    assert words in said


@pytest.mark.parametrize("change", [{"rss": 100.0}, {"objects": {}}, {"files": 20, "tasks": 100, "threads": 2}])
def test_less_is_no_failure(change: dict[str, object]) -> None:
    assert list(broken(FIRST, replace(FIRST, **change))) == []  # type: ignore[arg-type]


def test_a_sample_is_what_the_process_and_the_system_say() -> None:
    line = json.dumps(
        {"objects": {"a.B": 3}, "tasks": 7, "blocks": 5, "malloc": {"given": 2e6, "free": 1e6}, "grown": []}
    )
    seen = sample(1.0, os.getpid(), line, pods=9)
    assert (seen.tasks, seen.objects, seen.given, seen.free, seen.blocks, seen.pods) == (7, {"a.B": 3}, 2.0, 1.0, 5, 9)
    assert seen.rss > 1.0
    assert seen.files >= 3
    assert seen.threads >= 1


def test_the_table_lines_up() -> None:
    assert len({len(line) for line in table([FIRST, replace(FIRST, minute=20.0, rss=1300.0)])}) == 1
