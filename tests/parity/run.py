"""Scenarios judged by both programs, one after the other or in several processes, each with an oracle of its own.

Owns the order of work and its time limit, and nothing of what is generated or compared.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .compare import Answers, Difference, Json, Kind, differences, our_answers_or_failure
from .generate import scenario
from .minimise import minimise
from .oracle import Oracle
from .statistics import Tally, statistics

CHUNK = 50  # scenarios; a group is shared among the processes
CHUNK_LIMIT = 600.0  # [s] for the next chunk to be done, an oracle to be built first included
MOST_EXAMPLES = 3  # of a kind in one chunk


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some scenarios of one group."""

    group: str
    first: int
    count: int


def judged(objects: Sequence[Json], oracle: Oracle) -> tuple[Answers, list[Difference]]:
    """kube-scheduler's answers, and where ours differ from them; in scores only where the oracle says them."""
    theirs = oracle.judge(objects)
    return theirs, differences(our_answers_or_failure(objects), theirs)


def tallied(group: str, seeds: Iterable[int], oracle: Oracle) -> Tally:
    """What these scenarios come to."""
    total = Tally()
    for seed in seeds:
        began = time.perf_counter()
        theirs, found = judged(scenario(group, seed), oracle)
        tally = statistics(theirs)
        tally.kinds.update(each.kind for each in found)
        tally.examples = [(seed, min(found, key=_worst))] if found else []
        tally.seconds = time.perf_counter() - began
        total.add(tally)
    total.examples = _few_of_each(total.examples)
    return total


def _worst(difference: Difference) -> int:
    return list(Kind).index(difference.kind)


def _few_of_each(examples: Sequence[tuple[int, Difference]]) -> list[tuple[int, Difference]]:
    seen: dict[Kind, int] = {}
    kept = []
    for seed, difference in examples:
        seen[difference.kind] = seen.get(difference.kind, 0) + 1
        if seen[difference.kind] <= MOST_EXAMPLES:
            kept.append((seed, difference))
    return kept


def minimised(objects: Sequence[Json], difference: Difference, oracle: Oracle) -> list[Json]:
    """The smallest cluster in which the same pod's answers differ in the same way for the same cause."""

    def still(fewer: Sequence[Json]) -> bool:
        return any(_alike(each, difference) for each in judged(fewer, oracle)[1])

    return minimise(objects, still)


def _alike(one: Difference, other: Difference) -> bool:
    """A node that is named by one and another reason there would be another disagreement; counts in messages and scores
    change with the nodes."""
    if (one.kind, one.pod, one.preference) != (other.kind, other.pod, other.preference):
        return False
    return one.kind in (Kind.MESSAGE, Kind.SCORE) or (one.ours, one.theirs) == (other.ours, other.theirs)


# --- several processes ----------------------------------------------------------------------------------------------

_oracle: Oracle


def _begin() -> None:
    """Of a worker: its oracle ends with its input, and so with the worker."""
    global _oracle
    _oracle = Oracle(scores=True).__enter__()


def _work(chunk: Chunk) -> tuple[str, Tally]:
    return chunk.group, tallied(chunk.group, range(chunk.first, chunk.first + chunk.count), _oracle)


def chunks(groups: Sequence[str], first: int, count: int) -> list[Chunk]:
    return [
        Chunk(group, begin, min(CHUNK, first + count - begin))
        for group in groups
        for begin in range(first, first + count, CHUNK)
    ]


def run(
    groups: Sequence[str], first: int, count: int, jobs: int, progress: Callable[[int, int], None]
) -> dict[str, Tally]:
    """Tallies by group of the scenarios ``first`` to ``first + count``. ``progress`` hears scenarios done, and of how
    many.

    Raises multiprocessing.TimeoutError when no chunk is done within ``CHUNK_LIMIT``.
    """
    tallies = {group: Tally() for group in groups}
    work = chunks(groups, first, count)
    done = 0
    with multiprocessing.Pool(jobs, initializer=_begin) as pool:
        results = pool.imap_unordered(_work, work)
        for _ in work:
            group, tally = results.next(timeout=CHUNK_LIMIT)
            tallies[group].add(tally)
            done += tally.scenarios
            progress(done, count * len(groups))
    for tally in tallies.values():
        # chunks come in any order; what is printed must not
        tally.examples = _few_of_each(sorted(tally.examples, key=lambda example: example[0]))
    return tallies
