"""The loop that keepers share: when a round begins, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from peaks_scheduler.daemon.keepers.periodic import PeriodicKeeper
from peaks_scheduler.errors import LoadError
from peaks_scheduler.observability.telemetry import Telemetry
from tests.unit.daemon.test_audit import virtually

DOWN = LoadError("unreachable", "no connection")


class Played(PeriodicKeeper):
    """Asks a source that answers as it is told, and notes when; the last answer is repeated."""

    def __init__(self, *answers: object, **options: float | asyncio.Event) -> None:
        self.telemetry = Telemetry("Peaks")
        super().__init__("played", "a-source", "no answer", 60.0, self.telemetry, **options)  # type: ignore[arg-type]
        self.answers, self.asked_at, self.got = list(answers), list[float](), list[object]()

    async def once(self) -> None:
        answer = await self._answer(self._ask())
        if answer is not None:
            self.got.append(answer)
            self._succeeded("an answer")

    async def _ask(self) -> object:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def play(self, seconds: float) -> list[int]:
        """When rounds began [s], within so many seconds."""
        start = asyncio.get_running_loop().time()
        (work,) = self.tasks().values()
        task = asyncio.create_task(work)
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [round(at - start) for at in self.asked_at]


@virtually
async def test_a_round_begins_at_once_and_then_every_interval() -> None:
    assert await Played("load").play(150.0) == [0, 60, 120]


@virtually
async def test_no_round_begins_before_the_nodes_are_known() -> None:
    known = asyncio.Event()
    played = Played("load", known=known)
    assert await played.play(100.0) == []
    known.set()
    assert await played.play(1.0) == [0]


@virtually
async def test_a_round_that_failed_is_tried_again_sooner() -> None:
    assert await Played(DOWN, "load", retry=5.0).play(70.0) == [0, 5, 65]


@virtually
async def test_a_failure_is_kept_until_an_answer_comes_and_each_is_counted() -> None:
    played = Played(DOWN, ZeroDivisionError("a bug"), "load")
    await played.play(1.0)
    assert played.failure == "unreachable: no connection"
    await played.once()
    assert (played.failure, played.got) == ("ZeroDivisionError: a bug", [])
    await played.once()
    assert (played.failure, played.got) == ("", ["load"])
    counted = played.telemetry.registry.get_sample_value("peaks_source_errors_total", {"source": "a-source"})
    assert counted == 2.0


def test_a_failure_is_logged_once_a_change(caplog: pytest.LogCaptureFixture) -> None:
    played = Played(DOWN, DOWN, "load", "load", DOWN)

    @virtually
    async def scenario() -> None:
        for _ in range(5):
            await played.once()

    with caplog.at_level(logging.INFO, "peaks_scheduler"):
        scenario()
    assert caplog.messages == ["no answer", "an answer", "no answer"]


@virtually
async def test_a_question_that_is_cancelled_is_asked_again() -> None:
    """kopf, ending, cancels every task that is younger than itself: those of a question too, not the keeper's own."""
    begun: list[asyncio.Task[None]] = []

    class Asking(PeriodicKeeper):
        async def once(self) -> None:
            begun.append(asyncio.create_task(asyncio.sleep(5.0)))
            await asyncio.gather(begun[-1])

    keeper = Asking("asking", "source", "no answer", 10.0, Telemetry("Peaks"))
    running = asyncio.create_task(keeper.run())
    await asyncio.sleep(1.0)
    begun[0].cancel()
    await asyncio.sleep(20.0)
    assert len(begun) >= 2
    assert not running.done()
    running.cancel()
    await asyncio.sleep(0.1)
    assert running.cancelled()
