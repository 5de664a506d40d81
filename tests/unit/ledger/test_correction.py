"""The correction of a load after any sequence of pods and reports: the same number as from all pods at once.

What is expected is summed anew from a plain list of all pods, each by ``seen_share``, whose own tests are worked out by
hand. Windows of three lengths end now or a while ago, so that one may begin earlier than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NANO, NodeLoad, seen_share
from tests.support.builders import NOW, ledger, node, owned, pod, read
from tests.support.examples import examples

CORES, MEMORY = 500.0, 2**40  # [cores], [bytes] measured at any time: the corrections never reach zero
NODE = node(cpu="1000", memory="4Ti")
OWNER = "db"
SIBLINGS = read(owned(pod(), OWNER)).siblings


@dataclass(frozen=True)
class Truth:
    """One pod."""

    cpu: int
    started: float | None
    ended: float | None = None
    finished: bool = False


@dataclass
class World:
    """The ledger, and beside it a list of all pods that ever were on the node."""

    known: Ledger = field(default_factory=lambda: ledger(NODE, expiry=1e6))
    now: float = NOW
    pods: list[Truth] = field(default_factory=list)
    load: NodeLoad | None = None
    usage: int | None = None  # [mCPU] of all siblings

    def see(self, i: int, *, gone: bool = False) -> None:
        each = self.pods[i]
        raw = pod(f"p{i}", cpu=f"{each.cpu}m", memory=f"{each.cpu}Mi", node="worker-1", started=each.started)
        self.known.now = self.now
        self.known.observe_pod(owned(raw, OWNER), gone=gone)

    def comes(self, cpu: int, age: int | None) -> None:
        self.pods.append(Truth(cpu, None if age is None else self.now - age))
        self.see(len(self.pods) - 1)

    def starts(self, i: int) -> None:
        """For the first time, or again."""
        if self.there(i):
            self.pods[i] = replace(self.pods[i], started=self.now)
            self.see(i)

    def resized(self, i: int, cpu: int) -> None:
        if self.there(i):
            self.pods[i] = replace(self.pods[i], cpu=cpu)
            self.see(i)

    def goes(self, i: int) -> None:
        if self.there(i):
            self.see(i, gone=True)
            self.pods[i] = replace(self.pods[i], ended=self.now, finished=True)

    def there(self, i: int) -> bool:
        return i < len(self.pods) and not self.pods[i].finished

    def report(self, length: float, delay: float) -> None:
        end = self.now - delay
        self.load = NodeLoad(None, end - length, end, cores=CORES, memory=MEMORY)
        self.known.apply_load({"worker-1": self.load}, self.now)
        # what ended before a window is forgotten, though a later one may begin before it
        self.pods = [replace(each, started=None) if self.before(each) else each for each in self.pods]

    def before(self, each: Truth) -> bool:
        return each.ended is not None and self.load is not None and each.ended <= self.load.window_start

    def used(self, cpu: int | None) -> None:
        """It became known what the pods use, which are siblings, or unknown again."""
        self.usage = cpu
        self.known.apply_usage({SIBLINGS: cpu})

    def replaced(self) -> None:
        """By a node of the same name, on which the same pods are."""
        self.known.observe_node(NODE, gone=True)
        self.known.observe_node(NODE)
        self.load, self.pods = None, [replace(each, started=None) if each.finished else each for each in self.pods]

    def forked(self) -> None:
        self.known = self.known.fork()

    def corrected(self) -> tuple[float, float] | None:
        """([cores], [bytes]) that the node uses."""
        if self.load is None:
            return None
        nano, memory = 0, 0
        for each in self.pods:
            share = seen_share(each.started, each.ended, self.load.window_start, self.load.window_end)
            if each.finished:
                # what ended when an instant was measured may be in it or not: it is taken as not in it
                share = 0.0 if self.before(each) else share
                nano -= round(self.cpu(each) * NANO * share)
            else:
                nano += round(self.cpu(each) * NANO * (1.0 - share))
                memory += round(each.cpu * 2**20 * (1.0 - share))
        return CORES + nano / (1000.0 * NANO), float(MEMORY + memory)

    def cpu(self, each: Truth) -> int:
        return each.cpu if self.usage is None else self.usage

    def estimated(self) -> tuple[float, float] | None:
        nodes = self.known.snapshot()
        return (float(nodes.cpu_low[0]), float(nodes.memory_used[0])) if nodes.measured[0] else None


PODS, CPUS = st.integers(0, 7), st.sampled_from((1, 7, 250, 1999))
EVENTS = st.one_of(
    st.tuples(st.just("comes"), CPUS, st.sampled_from((None, 0, 1, 40, 300, 5000))),
    st.tuples(st.just("starts"), PODS),
    st.tuples(st.just("resized"), PODS, CPUS),
    st.tuples(st.just("goes"), PODS),
    st.tuples(st.just("report"), st.sampled_from((0.0, 60.0, 600.0)), st.sampled_from((0.0, 45.0))),
    st.tuples(st.just("report"), st.just(600.0), st.sampled_from((0.0, 45.0))),
    st.tuples(st.just("used"), st.none() | CPUS),
    st.tuples(st.just("replaced")),
    st.tuples(st.just("forked")),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from((0, 0, 1, 30, 100, 700)), EVENTS), max_size=40))
def test_it_is_what_all_pods_say_at_once(events: list[tuple[int, tuple[Any, ...]]]) -> None:
    world = World()
    for step, (name, *told) in events:
        world.now += step
        getattr(world, name)(*told)
        world.known.refresh(world.now)
        assert world.estimated() == world.corrected()


def test_windows_that_begin_earlier_each_time_miss_no_pod() -> None:
    # as of replicas of a source that lag: 600 s that end now, 45 s ago, 90 s ago
    world = World()
    world.comes(1999, 680)
    world.comes(1999, 660)
    for delay in (0.0, 45.0, 90.0):
        world.report(600.0, delay)
    # of the last window's 600 s one had not started for 10, the other for 30
    estimated = world.estimated()
    assert estimated is not None
    assert estimated[0] == pytest.approx(CORES + 1.999 * 40 / 600, rel=1e-12)
