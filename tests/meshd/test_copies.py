"""The copies here: how many requests each takes at a time, and what becomes of those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from meshcore.commands import Local
from meshcore.events import Usage
from meshd.plane.copies import LocalCopies, LocalCopy, Overloaded
from tests import virtual_loop


def copies(limit: int = 0, most: int = 0) -> LocalCopies:
    made = LocalCopies(lambda: 5)
    made.apply("m", Local(1, limit, most))
    return made


def begun(made: LocalCopies) -> LocalCopy:
    copy = made.begin("m", 1)
    assert copy is not None
    return copy


async def settle(*tasks: asyncio.Task[Any]) -> None:
    for _ in range(3 + len(tasks)):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    virtual_loop.run(test)


def test_a_copy_without_a_limit_serves_all_at_once() -> None:
    made = copies()
    assert [begun(made).admit() for _ in range(1000)] == [True] * 1000


def test_requests_beyond_the_limit_have_their_turn_in_the_order_they_came() -> None:
    async def test() -> None:
        made = copies(limit=2)
        running = [begun(made) for _ in range(2)]
        assert [copy.admit() for copy in running] == [True, True]
        order: list[int] = []

        async def wait(number: int) -> None:
            copy = begun(made)
            assert not copy.admit()
            assert await copy.turn()
            order.append(number)
            made.end(copy, True)

        waiting = [asyncio.create_task(wait(number)) for number in range(5)]
        await settle(*waiting)
        assert order == []
        assert made.drain_usage() == (Usage("m", 7, 5, 7, queued=5),)
        made.end(running[0], True)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4]
        made.end(running[1], True)
        assert made.in_flight == 0

    run(test())


def test_a_copy_with_as_many_requests_as_it_takes_is_overloaded() -> None:
    made = copies(limit=1, most=3)
    for _ in range(3):
        begun(made)
    with pytest.raises(Overloaded):
        made.begin("m", 1)
    made.end(begun_copy := made._copies["m"], False)
    assert begun_copy.in_flight == 2
    begun(made)


def test_a_withdrawn_copy_turns_away_who_waits_and_ends_who_runs() -> None:
    async def test() -> None:
        made = copies(limit=1)
        running = begun(made)
        assert running.admit()

        async def wait() -> bool:
            copy = begun(made)
            assert not copy.admit()
            had_turn = await copy.turn()
            made.end(copy, had_turn)
            return had_turn

        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await settle(*waiting)
        made.apply("m", None)
        assert await asyncio.gather(*waiting) == [False] * 3
        gone = asyncio.create_task(made.withdraw("m", 1, 100))
        await settle(gone)
        assert not gone.done()
        made.end(running, True)
        await gone
        assert made.begin("m", 1) is None

    run(test())


def test_who_leaves_while_waiting_leaves_nothing_in_the_line() -> None:
    async def test() -> None:
        made = copies(limit=1)
        running = begun(made)
        assert running.admit()

        async def wait() -> None:
            copy = begun(made)
            try:
                assert not copy.admit()
                await copy.turn()
            finally:
                made.end(copy, False)

        waiting = [asyncio.create_task(wait()) for _ in range(100)]
        await settle(*waiting)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (running.in_flight, len(running._waiting)) == (1, 0)

    run(test())


@pytest.mark.parametrize("had_turn", [False, True])
def test_a_request_that_leaves_while_it_waits_gives_its_turn_to_the_next(had_turn: bool) -> None:
    """Also where its turn came in the very moment it left."""

    async def test() -> None:
        made = copies(limit=1)
        running = begun(made)
        assert running.admit()
        order: list[str] = []

        async def wait(name: str) -> None:
            copy = begun(made)
            assert not copy.admit()
            is_running = False
            try:
                is_running = await copy.turn()
                order.append(name)
            finally:
                made.end(copy, is_running)

        leaves = asyncio.create_task(wait("leaves"))
        await settle(leaves)
        stays = asyncio.create_task(wait("stays"))
        await settle(stays)
        if had_turn:
            made.end(running, True)
        leaves.cancel()
        if not had_turn:
            made.end(running, True)
        await stays
        assert leaves.cancelled() or await asyncio.gather(leaves, return_exceptions=True)
        assert order == ["stays"]
        last = begun(made)
        assert last.admit(), "no turn was lost"

    run(test())


def test_usage_says_how_long_the_runtime_worked_on_what_has_ended() -> None:
    """Without the time that requests waited for their turn; those that never had one do not count as ended."""
    made = copies(limit=1)
    first, second = begun(made), begun(made)
    assert first.admit()
    made.end(first, True, 0.25)
    made.end(second, False)
    assert made.drain_usage() == (Usage("m", 2, 5, 0, ended=1, service_us=250_000),)
    made.end(begun(made), True, 0.5)
    assert made.drain_usage() == (Usage("m", 1, 5, 0, ended=1, service_us=500_000),)
