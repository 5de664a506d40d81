"""Whether this process may decide: every condition must hold, and somebody is told once when all do."""

from __future__ import annotations

from peaks_scheduler.daemon.gate import Gate


class World:
    """A gate with two conditions, and what it has called."""

    def __init__(self) -> None:
        self.lists, self.leading, self.opened, self.changes = False, False, 0, 0
        self.gate = Gate()
        self.gate.require(lambda: self.lists)
        self.gate.require(lambda: self.leading)
        self.gate.on_open, self.gate.on_change = self._open, self._change

    def _open(self) -> None:
        self.opened += 1

    def _change(self) -> None:
        self.changes += 1


def test_a_gate_without_conditions_is_closed() -> None:
    assert not Gate().may_decide()


def test_all_conditions_must_hold() -> None:
    world = World()
    world.lists = True
    assert not world.gate.may_decide()
    world.leading = True
    assert world.gate.may_decide()


def test_its_opening_is_told_once_and_every_change_each_time() -> None:
    world = World()
    world.gate.changed()
    assert (world.opened, world.changes) == (0, 1)
    world.lists = world.leading = True
    world.gate.changed()
    world.gate.changed()
    assert (world.opened, world.changes) == (1, 3)


def test_it_opens_again_for_a_new_leader() -> None:
    world = World()
    world.lists = world.leading = True
    world.gate.changed()
    world.leading = False
    world.gate.leader_changed()
    world.leading = True
    world.gate.leader_changed()
    assert (world.opened, world.changes) == (2, 3)
