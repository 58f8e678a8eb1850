"""Rate limit and concurrency limit under a virtual clock: never above, hardly below, never stuck."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import pairwise

import pytest

from reconciler.platform.throttling import ConcurrencyLimit, RateLimit
from tests.platform.virtual import TIMING, clock, run


@pytest.mark.parametrize("per_minute", [1, 7, 60, 138, 1_800, 2_000])
def test_no_minute_holds_more_than_the_rate_and_hardly_less(per_minute: int) -> None:
    times = run(_turns(RateLimit(per_minute, TIMING), count=per_minute * 3 + 1, workers=16))
    fullest = max(index - bisect_left(times, end - 60.0 + 1e-6) + 1 for index, end in enumerate(times))
    assert fullest <= per_minute
    reached = (len(times) - 1) / (times[-1] - times[0]) * 60
    assert reached >= 0.97 * per_minute


async def _turns(rate: RateLimit, count: int, workers: int) -> list[float]:
    times: list[float] = []

    async def work() -> None:
        while len(times) < count:
            async with rate.turn():
                if len(times) < count:
                    times.append(clock())
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return times


def test_a_stalled_process_does_not_catch_up_beyond_the_rate() -> None:
    async def main() -> list[float]:
        rate, times = RateLimit(60, TIMING), []
        for pause in (0.0,) * 5 + (30.0,) + (0.0,) * 200:
            await asyncio.sleep(pause)
            async with rate.turn():
                times.append(clock())
        return times

    times = run(main())
    assert all(late - early >= 60.0 - 1e-6 for early, late in zip(times, times[60:], strict=False))


def test_a_turn_counts_from_when_it_starts_and_not_if_it_fails() -> None:
    async def main() -> list[float]:
        rate, times = RateLimit(60, TIMING), []
        for _ in range(100):
            with pytest.raises(RuntimeError):
                async with rate.turn():
                    raise RuntimeError
        for _ in range(4):
            async with rate.turn():
                await asyncio.sleep(5)
                times.append(clock())
        return times

    assert [late - early for early, late in pairwise(run(main()))] == [5, 5, 5]


def test_no_more_than_the_limit_are_in_flight_and_they_start_in_order() -> None:
    async def main() -> tuple[int, list[int]]:
        limit, in_flight, most, order = ConcurrencyLimit(3, TIMING), 0, 0, []

        async def hold(number: int) -> None:
            nonlocal in_flight, most
            async with limit.slot():
                order.append(number)
                in_flight += 1
                most = max(most, in_flight)
                await asyncio.sleep(1)
                in_flight -= 1

        await asyncio.gather(*(hold(number) for number in range(10)))
        return most, order

    assert run(main()) == (3, list(range(10)))


def test_throttling_halves_once_a_round_and_never_below_one() -> None:
    async def main() -> list[int]:
        limit, limits = ConcurrencyLimit(8, TIMING), []
        for _ in range(6):
            async with limit.slot() as began:
                await asyncio.sleep(1)
            for _ in range(8):
                limit.throttled(began, None)
            limits.append(limit.current)
        return limits

    assert run(main()) == [4, 2, 1, 1, 1, 1]


def test_the_limit_comes_back_about_one_a_round() -> None:
    async def main() -> list[int]:
        limit, limits = ConcurrencyLimit(4, TIMING), []
        limit.throttled(clock(), None)
        await asyncio.sleep(1)
        limit.throttled(clock(), None)
        for _ in range(12):
            limit.served()
            limits.append(limit.current)
        return limits

    assert run(main()) == [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]


def test_a_pause_is_for_everybody() -> None:
    async def main() -> list[float]:
        limit, began = ConcurrencyLimit(4, TIMING), []

        async def hold() -> None:
            async with limit.slot() as at:
                began.append(at - 1_000)

        limit.throttled(clock(), 30.0)
        await asyncio.gather(*(hold() for _ in range(4)))
        return began

    assert run(main()) == [30.0] * 4


def test_a_cancelled_wait_gives_its_slot_back() -> None:
    async def main() -> int:
        limit, passed = ConcurrencyLimit(1, TIMING), 0

        async def hold(seconds: float) -> None:
            nonlocal passed
            async with limit.slot():
                await asyncio.sleep(seconds)
                passed += 1

        first = asyncio.create_task(hold(10))
        queued = [asyncio.create_task(hold(0)) for _ in range(3)]
        await asyncio.sleep(1)
        queued[0].cancel()  # in the queue
        await asyncio.sleep(0)
        first.cancel()  # in flight; the slot goes to the second …
        await asyncio.sleep(0)
        queued[1].cancel()  # … who is cancelled before it wakes
        await asyncio.wait([first, *queued])
        await hold(0)
        return passed

    assert run(main()) == 2
