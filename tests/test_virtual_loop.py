"""The loop that tests live on: whole milliseconds, a fixed order, and no silent standstill."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_loop import Deadlock, VirtualLoop, run


def virtual() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_an_hour_passes_at_once_and_to_the_millisecond() -> None:
    async def main() -> int:
        for _ in range(1000):
            await asyncio.sleep(3.601)
        return virtual().now_ms

    assert run(main()) == 3_601_000


def test_timers_of_one_instant_run_in_the_order_they_were_set_however_their_float_came_about() -> None:
    seen: list[str] = []

    async def late(name: str, *delays: float) -> None:
        for delay in delays:
            await asyncio.sleep(delay)
        seen.append(name)

    async def main() -> None:
        await asyncio.gather(late("a", 0.3), late("b", 0.1, 0.2), late("c", 0.1, 0.1, 0.1), late("d", 0.3))

    run(main())
    assert seen == ["a", "d", "b", "c"]


def test_what_one_timer_sets_going_comes_to_rest_before_the_next_runs() -> None:
    seen: list[str] = []

    async def turns(name: str, count: int) -> None:
        await asyncio.sleep(0.005)
        for _ in range(count):
            await asyncio.sleep(0)
        seen.append(name)

    async def main() -> None:
        await asyncio.gather(turns("slow", 5), turns("quick", 0))

    run(main())
    assert seen == ["slow", "quick"]


def test_ranks_order_timers_of_one_instant() -> None:
    seen: list[int] = []

    async def main() -> None:
        for rank in (3, 0, 2):
            virtual().at_ms(7, rank, seen.append, rank)
        asyncio.get_running_loop().call_later(0.007, seen.append, 1)
        await asyncio.sleep(0.008)

    run(main())
    assert seen == [0, 1, 2, 3]


def test_a_cancelled_timer_does_not_run() -> None:
    seen: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.001, seen.append, 1).cancel()
        await asyncio.sleep(0.002)

    run(main())
    assert seen == []


def test_deadlines_and_cancellation_work_as_in_asyncio() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await asyncio.Event().wait()
        return virtual().now_ms

    assert run(main()) == 250


def test_a_standstill_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main())


def test_a_failure_that_nobody_takes_is_an_error() -> None:
    def fail() -> None:
        raise ValueError("oops")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="oops"):
        run(main())
