"""The order in which the servers of many nodes are asked, when there is not time for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.sources.sensors.rota import UNASKED, Answer, Rota, enough
from peaks_scheduler.sources.sensors.source import Reading, Readings
from tests.support.builders import node
from tests.support.virtual_time import run_virtually

WARM = Answer({"inlet": Reading(22.0, 0.0, "a sensor")})
DEAD = Answer(failure="no answer")


def nodes(*names: str) -> list[Node]:
    return [node_from_api(node(name)) for name in names]


class Servers:
    """Servers that take ``seconds`` each; those of ``dead`` give nothing."""

    def __init__(self, seconds: float, dead: Sequence[str] = ()) -> None:
        self.seconds, self.dead = seconds, dead
        self.asked: list[str] = []
        self.busy = self.most_busy = 0

    async def ask(self, node: Node) -> Answer:
        self.asked.append(node.name)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(self.seconds)
        self.busy -= 1
        return DEAD if node.name in self.dead else WARM


def rounds(servers: Servers, at_once: int, budget: float, names: Sequence[str], times: int = 1) -> list[Readings]:
    async def scenario() -> list[Readings]:
        rota = Rota(at_once, budget, asyncio.get_running_loop().time)
        return [await rota.round(nodes(*names), servers.ask) for _ in range(times)]

    return run_virtually(scenario())


def test_no_more_than_so_many_are_asked_at_once() -> None:
    servers = Servers(1.0)
    (found,) = rounds(servers, 3, 60.0, [f"n{i}" for i in range(10)])
    assert servers.most_busy == 3
    assert len(found.by_node) == 10


def test_who_was_not_asked_in_time_is_named_and_is_the_first_the_next_time() -> None:
    servers = Servers(10.0)
    first, _ = rounds(servers, 1, 15.0, ["a", "b", "c"], times=2)
    assert first.failures == {"c": UNASKED}
    assert servers.asked[2] == "c"


def test_dead_servers_are_asked_after_all_others() -> None:
    servers = Servers(10.0, dead=("a", "b"))
    rounds(servers, 1, 60.0, ["a", "b", "c", "d"], times=2)
    assert servers.asked == ["a", "b", "c", "d", "c", "d", "a", "b"]


def test_no_nodes_are_no_trouble() -> None:
    assert rounds(Servers(1.0), 4, 60.0, []) == [Readings()]


async def test_a_node_whose_question_raises_costs_the_others_nothing() -> None:
    async def ask(node: Node) -> Answer:
        if node.name == "odd":
            raise UnicodeError("no host name")
        return WARM

    found = await Rota(1, 60.0).round(nodes("odd", "a"), ask)
    assert list(found.by_node) == ["a"]
    assert found.failures == {"odd": "cannot be asked (UnicodeError): check its address"}


@pytest.mark.parametrize(
    ("count", "files", "questions"),
    [
        pytest.param(50, 10_000, 16, id="few"),
        # 600 questions of 5 s are 3000 s; 30 s of a round hold 100 of them side by side
        pytest.param(600, 10_000, 100, id="many"),
        pytest.param(5_000, 10_000, 256, id="never more than 256"),
        pytest.param(5_000, 400, 100, id="a quarter of the open files"),
        pytest.param(5_000, 8, 16, id="never fewer than the usual"),
    ],
)
def test_so_many_are_asked_at_once_that_the_round_ends_in_time(count: int, files: int, questions: int) -> None:
    assert enough(count, 5.0, 30.0, 16, files) == questions
