"""Who leads, as each instance is told: one at a time, another when it is gone, nobody whose lease may be over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from meshcore.events import Event, LeaderSeen
from meshcore.kv import ANY, DELETE, Write
from meshd.latch import Latch
from meshd.store.memory import MemoryHub, MemoryStore
from tests import virtual_loop

PREFIX = "/mm/svc/leaderLatch/"
TTL_S = 10


class Candidate:
    """One instance's latch on a store of its own; ``leaders`` is what the node was told, in order."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.name, self.store = name, MemoryStore(hub, Random(1))
        self.leaders: list[str] = []

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Candidate]:
        async with self.store.session(TTL_S) as session:
            self.latch = Latch(self.store, PREFIX, session, self.name, self.tell, Random(1))
            tasks = [asyncio.create_task(each) for each in (self.latch.follow(), self.latch.stand())]
            await until(lambda: bool(self.leaders))
            yield self
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, event: Event) -> None:
        assert isinstance(event, LeaderSeen)
        self.leaders.append(event.instance)


async def until(look: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def run(test: Callable[[MemoryHub, Candidate, Candidate], Coroutine[Any, Any, None]]) -> None:
    """With a, the first candidate, and b, both told of each other."""

    async def scene() -> None:
        hub = MemoryHub()
        async with AsyncExitStack() as standing:
            a = await standing.enter_async_context(Candidate(hub, "a").standing())
            b = await standing.enter_async_context(Candidate(hub, "b").standing())
            await test(hub, a, b)

    virtual_loop.run(scene())


def test_the_first_candidate_leads_under_its_lease() -> None:
    """The key and its value are those that ModelMesh writes."""

    async def test(hub: MemoryHub, a: Candidate, b: Candidate) -> None:
        assert (a.leaders, b.leaders) == (["a"], ["a"])
        await until(lambda: len(hub.kv.snapshot(PREFIX).pairs) == 2)
        pairs = {pair.key: pair for pair in hub.kv.snapshot(PREFIX).pairs}
        assert {key: pair.value for key, pair in pairs.items()} == {PREFIX + "_a": b"_a", PREFIX + "_b": b"_b"}
        assert all(pair.lease for pair in pairs.values())

    run(test)


def test_another_leads_when_the_lease_of_the_leader_is_over_and_it_stands_again_behind() -> None:
    """Who cannot reach the store leads nobody from before its lease can be over; it does not lead again by itself."""

    async def test(hub: MemoryHub, a: Candidate, b: Candidate) -> None:
        a.store.cut()
        await until(lambda: b.leaders == ["a", "b"])
        assert a.leaders == ["a", ""]
        a.store.heal()
        await until(lambda: a.leaders == ["a", "", "b"])
        await until(lambda: len(hub.kv.snapshot(PREFIX).pairs) == 2)
        b.store.cut()
        await until(lambda: a.leaders == ["a", "", "b", "a"])

    run(test)


def test_candidacy_that_somebody_deletes_is_made_again() -> None:
    async def test(hub: MemoryHub, a: Candidate, b: Candidate) -> None:
        await until(lambda: len(hub.kv.snapshot(PREFIX).pairs) == 2)
        await b.store.commit(Write(PREFIX + "_a", ANY, DELETE))
        await until(lambda: b.leaders == ["a", "b"])
        await until(lambda: len(hub.kv.snapshot(PREFIX).pairs) == 2)
        assert a.leaders[-1] == "b"

    run(test)


def test_candidacy_under_the_lease_of_a_former_process_is_taken_over() -> None:
    """A process that was killed and is back within its lease leads as the former did, and for longer than that."""

    async def scene() -> None:
        hub = MemoryHub()
        former = hub.kv.grant(TTL_S * 1000, hub.now())
        hub.kv.commit([Write(PREFIX + "_a", ANY, b"_a", leased=True)], former)
        async with Candidate(hub, "b").standing() as b, Candidate(hub, "a").standing() as a:
            await until(lambda: all(pair.lease != former for pair in hub.kv.snapshot(PREFIX).pairs))
            hub.kv.revoke(former)
            hub.tell()
            await asyncio.sleep(1)
            assert (a.leaders, b.leaders) == (["a"], ["a"])

    virtual_loop.run(scene())


def test_java_pod_that_leads_is_told_like_any() -> None:
    async def scene() -> None:
        hub = MemoryHub()
        lease = hub.kv.grant(TTL_S * 1000, hub.now())
        hub.kv.commit([Write(PREFIX + "_abcdef-java1", ANY, b"_abcdef-java1\nand more", leased=True)], lease)
        async with Candidate(hub, "a").standing() as a:
            assert a.leaders == ["abcdef-java1"]

    virtual_loop.run(scene())


@pytest.mark.parametrize(("name", "is_leased"), [("_old", False), ("_\udcff", True)])
def test_candidacy_that_is_nobodys_is_passed_over(name: str, is_leased: bool) -> None:
    """One that hangs on no lease would never end; one that is no text can be nobody's id."""

    async def scene() -> None:
        hub = MemoryHub()
        lease = hub.kv.grant(TTL_S * 1000, hub.now())
        hub.kv.commit([Write(PREFIX + name, ANY, b"", leased=is_leased)], lease)
        async with Candidate(hub, "a").standing() as a:
            await until(lambda: a.leaders == ["a"])

    virtual_loop.run(scene())


@pytest.mark.parametrize("is_cut", [False, True])
def test_who_resigns_lets_another_lead_while_it_is_still_there(is_cut: bool) -> None:
    async def test(hub: MemoryHub, a: Candidate, b: Candidate) -> None:
        await until(lambda: len(hub.kv.snapshot(PREFIX).pairs) == 2)
        if is_cut:
            a.store.cut()
        a.latch.resign()
        await asyncio.sleep(1)
        a.store.heal()
        await until(lambda: b.leaders == ["a", "b"])
        assert [pair.key for pair in hub.kv.snapshot(PREFIX).pairs] == [PREFIX + "_b"]

    run(test)
