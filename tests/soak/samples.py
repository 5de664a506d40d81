"""What a process holds at one moment, and the bounds that it must keep while pods and nodes come and go.

Owns the bounds and why each is what it is. A sample is taken while nothing is under way and the cluster looks as it did
at every other sample, so whatever there is more of was left behind. Pure but for reading /proc.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1e6

RSS_GROWTH = 16.0  # [MB]
"""From the first sample that counts to the last. What is held is bounded by the objects below; this leaves room for
what the allocators make of it: connections (TLS: 50 kB each, 5 MB for 100), arenas that a burst of pods left torn."""
READERS = 1
"""Threads that come and go: every two seconds one looks at the power model file, for as long as that takes."""
WATCHES = 10
FILES = 25 + 64 + 24 + 8 + 2 + WATCHES
"""Files of a process that does nothing, and the connections that may be open at once: for every worker that binds,
posts events, binds volumes or writes conditions, and the watches. Idle ones stay for a minute: light traffic keeps all
of them warm."""
LEFT_BEHIND = 300
"""Objects of one type by which two quiet moments may differ: of the 98 workers each may have a connection open or not,
and a connection is up to three deques or tuples. One object left behind by every pod would be more after three rounds.
"""


@dataclass(frozen=True, slots=True)
class Sample:
    minute: float
    rss: float  # [MB]
    files: int
    threads: int
    tasks: int
    objects: Mapping[str, int]  # by type
    pods: int  # that came and went so far
    given: float = 0.0  # [MB] by malloc, in use
    free: float = 0.0  # [MB] that malloc keeps without use
    blocks: int = 0  # small objects of Python


def sample(minute: float, pid: int, line: str, pods: int) -> Sample:
    """What /proc says of the process, and the line that it wrote itself."""
    said: dict[str, Any] = json.loads(line)
    status = dict(each.split(":", 1) for each in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Sample(
        minute=minute,
        rss=int(status["VmRSS"].split()[0]) * 1024 / MB,
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
        tasks=said["tasks"],
        objects=said["objects"],
        pods=pods,
        given=said["malloc"].get("given", 0) / MB,
        free=said["malloc"].get("free", 0) / MB,
        blocks=said["blocks"],
    )


def broken(first: Sample, last: Sample) -> Iterator[str]:
    """The bounds that were not kept, in words."""
    if last.rss - first.rss > RSS_GROWTH:
        yield f"memory grew by {last.rss - first.rss:.1f} MB, expected {RSS_GROWTH:g} MB at most"
    if last.files > FILES:
        yield f"{last.files} files are open, expected {FILES} at most"
    if last.tasks > first.tasks + WATCHES:
        yield f"{last.tasks} tasks, expected {first.tasks} as before (and {WATCHES} of watches that begin anew)"
    if last.threads > first.threads + READERS:
        yield f"{last.threads} threads, expected {first.threads} as before (and {READERS} that reads the model file)"
    for name, more in grown(first, last).items():
        yield f"{more} more of {name} ({first.objects.get(name, 0)} before), expected {LEFT_BEHIND} more at most"


def grown(first: Sample, last: Sample) -> dict[str, int]:
    """Types that the scheduler has more objects of than before, and by how many."""
    more = {name: count - first.objects.get(name, 0) for name, count in last.objects.items()}
    return {name: count for name, count in sorted(more.items(), key=lambda each: -each[1]) if count > LEFT_BEHIND}


def table(samples: Sequence[Sample]) -> list[str]:
    """A line a sample."""
    head = "minute  pods gone  RSS MB  malloc MB  free MB    blocks  files  threads  tasks  objects"
    rows = (
        f"{each.minute:6.1f}  {each.pods:9}  {each.rss:6.1f}  {each.given:9.1f}  {each.free:7.1f}  {each.blocks:8}  "
        f"{each.files:5}  {each.threads:7}  {each.tasks:5}  {sum(each.objects.values()):7}"
        for each in samples
    )
    return [head, *rows]
