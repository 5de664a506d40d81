"""The limit of bindings in flight: halved after a 429, slowly raised again; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from peaks_scheduler.errors import Conflict, TooManyRequests
from peaks_scheduler.kube.limiter import Limiter
from tests.support.virtual_time import now, run_virtually


async def turns(limiter: Limiter, number: int, takes: float = 1.0, error: Exception | None = None) -> list[float]:
    """Ask for ``number`` turns at once, each for ``takes`` [s]. Returns when each began."""
    began: list[float] = []

    async def one() -> None:
        try:
            async with limiter:
                began.append(now())
                await asyncio.sleep(takes)
                if error is not None:
                    raise error
        except (Conflict, TooManyRequests):
            pass

    await asyncio.gather(*(one() for _ in range(number)))
    return began


def test_no_more_than_the_limit_are_in_flight() -> None:
    async def scenario() -> None:
        limiter, start = Limiter(3, clock=now), now()
        assert [t - start for t in await turns(limiter, 7)] == [0, 0, 0, 1, 1, 1, 2]
        assert limiter.in_flight == 0

    run_virtually(scenario())


def test_a_burst_of_refusals_halves_once_and_holds_back_until_retry_after() -> None:
    async def scenario() -> None:
        limiter, start = Limiter(8, clock=now), now()
        await turns(limiter, 8, error=TooManyRequests("slow down", 5.0))
        assert limiter.limit == 4
        began = await turns(limiter, 5)
        assert [t - start for t in began] == [6, 6, 6, 6, 7]

    run_virtually(scenario())


def test_those_already_waiting_are_held_back_too() -> None:
    async def scenario() -> None:
        limiter, start = Limiter(1, clock=now), now()
        waiting = asyncio.gather(turns(limiter, 1), turns(limiter, 1))
        await asyncio.sleep(0.5)
        limiter.throttled(10.0)
        assert [t - start for (t,) in await waiting] == [0, 10.5]

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("refusals", "limit"),
    [pytest.param(1, 32, id="one"), pytest.param(3, 8, id="three"), pytest.param(20, 1, id="never below one")],
)
def test_each_burst_halves(refusals: int, limit: int) -> None:
    async def scenario() -> None:
        limiter = Limiter(64, clock=now)
        for _ in range(refusals):
            await turns(limiter, 1, error=TooManyRequests("slow down", 1.0))
        assert limiter.limit == limit

    run_virtually(scenario())


def test_successes_bring_the_limit_back_one_by_one() -> None:
    async def scenario() -> None:
        limiter = Limiter(4, clock=now)
        limiter.throttled(1.0)
        grown = []
        for _ in range(12):
            await turns(limiter, 1)
            grown.append(limiter.limit)
        # 2 successes at 2, 3 at 3, and then it stays at the maximum
        assert grown == [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]

    run_virtually(scenario())


def test_a_refusal_without_retry_after_still_halves_once_a_burst() -> None:
    async def scenario() -> None:
        limiter = Limiter(8, clock=now)
        await turns(limiter, 8, error=TooManyRequests("slow down", 0.0))
        assert limiter.limit == 4

    run_virtually(scenario())


def test_other_errors_are_neither_success_nor_refusal() -> None:
    async def scenario() -> None:
        limiter = Limiter(2, clock=now)
        limiter.throttled(0.0)
        await turns(limiter, 5, error=Conflict("bound already", 409))
        assert (limiter.limit, limiter.in_flight) == (1, 0)

    run_virtually(scenario())


def test_a_turn_given_to_somebody_who_no_longer_wants_it_is_passed_on() -> None:
    async def scenario() -> None:
        limiter, start = Limiter(1, clock=now), now()
        first = asyncio.create_task(turns(limiter, 1))
        second = asyncio.create_task(turns(limiter, 1))
        third = asyncio.create_task(turns(limiter, 1))
        await asyncio.sleep(0.5)
        second.cancel()
        await first
        assert [t - start for t in await third] == [1]
        assert limiter.in_flight == 0

    run_virtually(scenario())


def test_a_turn_cancelled_in_the_moment_it_is_given_is_passed_on() -> None:
    async def scenario() -> None:
        limiter = Limiter(1, clock=now)
        async with limiter:
            second = asyncio.create_task(turns(limiter, 1))
            third = asyncio.create_task(turns(limiter, 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        second.cancel()  # its turn was given at the end of the block, it has not run since
        assert len(await third) == 1
        assert limiter.in_flight == 0

    run_virtually(scenario())


@pytest.mark.parametrize("retry_after", [1e300, float("inf")])
def test_no_server_holds_us_back_for_longer_than_ten_seconds(retry_after: float) -> None:
    async def scenario() -> None:
        limiter, start = Limiter(2, clock=now), now()
        await turns(limiter, 1, takes=0.0, error=TooManyRequests("slow down", retry_after))
        assert [t - start for t in await turns(limiter, 1)] == [10.0]

    run_virtually(scenario())


@pytest.mark.parametrize("retry_after", [-1e300, float("nan"), float("-inf")])
def test_a_wait_that_is_none_is_a_short_one(retry_after: float) -> None:
    async def scenario() -> None:
        limiter, start = Limiter(2, clock=now), now()
        await turns(limiter, 1, takes=0.0, error=TooManyRequests("slow down", retry_after))
        assert [t - start for t in await turns(limiter, 1)] == pytest.approx([0.1])

    run_virtually(scenario())


def test_whoever_gives_up_waiting_leaves_nobody_behind_it_waiting_for_ever() -> None:
    async def scenario() -> None:
        limiter = Limiter(1, clock=now)
        first = asyncio.create_task(turns(limiter, 1, takes=5.0))
        await asyncio.sleep(1.0)
        impatient = [asyncio.create_task(turns(limiter, 1)) for _ in range(3)]
        await asyncio.sleep(1.0)
        for task in impatient:
            task.cancel()
        await asyncio.gather(*impatient, return_exceptions=True)
        limiter.throttled(10.0)
        await first
        late, start = asyncio.create_task(turns(limiter, 1)), now()
        assert await late == [start + 7.0]  # the hold began at 2 s, the first turn ended at 5 s
        assert limiter.in_flight == 0

    run_virtually(scenario())
