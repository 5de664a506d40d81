"""A fork of the ledger: it answers as the original does, and no change of one is seen by the other.

The machine of ``test_any_order`` goes on with a fork, or with the original, and compares after every step what the
other one answers with what it answered when they parted. The second test looks at the objects themselves: nothing that
can change belongs to both.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModels
from tests.support.builders import BENT_DOWN, NOW, ledger, namespace, node, owned, pod, read, spread
from tests.support.ledger_events import USUAL, WEB
from tests.support.ledger_questions import QUESTIONS
from tests.unit.ledger.test_any_order import AnyOrder

ASKED = sorted(QUESTIONS)


def answers(known: Ledger) -> dict[str, Any]:
    return {name: QUESTIONS[name](known) for name in ASKED}


class Parted(AnyOrder):
    """``left`` is the one that nothing happens to."""

    left: Ledger | None = None

    @precondition(lambda self: self.left is None)
    @rule(original_goes_on=st.booleans())
    def part(self, original_goes_on: bool) -> None:
        fork = self.known.fork()
        self.known, self.left = (self.known, fork) if original_goes_on else (fork, self.known)
        self.answers = answers(self.known)

    @invariant()
    def the_other_has_seen_nothing(self) -> None:
        if self.left is not None:
            assert answers(self.left) == self.answers


def test_neither_sees_what_happens_to_the_other() -> None:
    run_state_machine_as_test(Parted, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))


def busy() -> Ledger:
    """A ledger with something of everything."""
    known = ledger(
        *(node(f"n{i}", labels={"zone": "ab"[i % 2], "cores": "8"}, more={f"example.com/{i}": "1"}) for i in range(3)),
        *(namespace(name) for name in ("default", "team")),
        *USUAL,
        *(owned(pod(f"p{i}", node=f"n{i}", started=NOW - 60.0, labels=WEB), "web") for i in range(3)),
        pod("p4", node="nowhere", ports=[{"hostPort": 80}]),
        pod("p5", status={"nominatedNodeName": "n1"}),
        pod("p6", topologySpreadConstraints=[spread(WEB)]),
        power=BENT_DOWN,
        loads={"n0": 0.5},
    )
    known.observe_pod(pod("p2"), gone=True)
    known.apply_usage({known.pod("uid-default-p1").siblings: 70})  # type: ignore[union-attr]
    known.set_signal("inlet", {"n1": 25.0}, unit="°C", time=NOW)
    known.set_cooldown("n2", True)
    known.assume("uid-default-p6", "n0")
    known.tombstones.passes("nodes", "n0", "uid-n0", "7")
    return known


def test_a_fork_answers_as_the_original() -> None:
    known = busy()
    expected = answers(known)
    fork = known.fork()
    assert answers(fork) == expected
    assert fork.snapshot().signals["inlet"].tolist()[1] == 25.0
    assert fork.snapshot().cooldown.tolist() == [False, False, True]
    assert [fork.state(each.uid) for each, _ in known.pods()] == [state for _, state in known.pods()]
    assert fork.tombstones.holders("nodes") == {"n0": "uid-n0"}
    assert fork.forget("uid-default-p6")


def test_nothing_that_can_change_belongs_to_both() -> None:
    known = busy()
    answers(known)
    fork = known.fork()
    answers(fork)
    mine = dict(_changeable(known))
    shared = {f"{mine[key]} is {where}" for key, where in _changeable(fork) if key in mine}
    assert shared == set()


def test_a_fork_while_nominated_pods_are_counted_is_refused() -> None:
    known = busy()
    with known.with_nominated(1, read(pod("probe"))), pytest.raises(AssertionError, match="nominated"):
        known.fork()


NEVER_CHANGE = (Pod, Node, PowerModels, str, int, float, bytes, enum.Enum, type, types.FunctionType, np.generic)


def _changeable(root: Any) -> Iterator[tuple[int, str]]:
    """Identity and path of every object below ``root`` that can change: containers, arrays, objects with fields.

    Frozen values do not, and neither do their mappings and labels, which nobody writes: they are shared.
    """
    left, seen = [(root, "ledger")], set()
    while left:
        thing, where = left.pop()
        if thing is None or isinstance(thing, NEVER_CHANGE) or id(thing) in seen:
            continue
        seen.add(id(thing))
        fields = _fields(thing)
        if getattr(getattr(thing, "__dataclass_params__", None), "frozen", False):
            fields = [(name, each) for name, each in fields if not isinstance(each, dict)]
        elif where.endswith("labels") or "._told[" in where or ".namespaces[" in where:
            continue
        elif not isinstance(thing, tuple | frozenset):
            yield id(thing), where
        left += [(each, f"{where}{name}") for name, each in fields]


def _fields(thing: Any) -> list[tuple[str, Any]]:
    if isinstance(thing, np.ndarray):
        base = thing
        while base.base is not None:
            base = base.base
        return [] if base is thing else [(".base", base)]
    if isinstance(thing, dict):
        pairs = enumerate(thing.items())
        return [(f"[{i}]{part}", each) for i, pair in pairs for part, each in zip(("key", ""), pair, strict=True)]
    if isinstance(thing, list | tuple | set | frozenset):
        return [(f"[{i}]", each) for i, each in enumerate(thing)]
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    names = {*slots, *getattr(thing, "__dict__", ())} - {"__weakref__"}
    return [(f".{name}", getattr(thing, name)) for name in sorted(names) if hasattr(thing, name)]
