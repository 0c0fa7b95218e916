"""When a session is lost, and what it does about it; in virtual time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from meshcore.kv import ABSENT, LeaseGone, Write
from meshd.store.base import StoreRefused, StoreUnavailable
from meshd.store.memory import MemoryHub, MemoryStore
from meshd.store.session import Lease, Sessions
from tests.virtual_loop import run

TTL_S = 20


def test_loss_is_known_a_while_before_the_lease_ends() -> None:
    """The time of a lease counts from when the last renewal was asked for, and a margin is taken off."""

    async def test() -> None:
        hub = MemoryHub()
        store = MemoryStore(hub, Random(1))
        async with store.session(TTL_S) as session:
            await store.commit(Write("a", ABSENT, b"1", leased=True))
            await asyncio.sleep(3 * TTL_S)
            assert not session.lost.is_set()
            store.cut()
            await session.lost.wait()
            assert hub.kv.get("a") is not None
            assert hub.kv.next_expiry() == hub.now() + 1_000
            await asyncio.sleep(1.001)
            assert hub.kv.get("a") is None

    run(test())


def test_interruption_shorter_than_the_lease_is_none() -> None:
    async def test() -> None:
        hub = MemoryHub()
        store = MemoryStore(hub, Random(1))
        async with store.session(TTL_S) as session:
            first = session.id
            for _ in range(5):
                store.cut()
                await asyncio.sleep(TTL_S / 2)
                store.heal()
                await asyncio.sleep(TTL_S / 2)
            assert not session.lost.is_set()
            assert session.id == first

    run(test())


def test_session_that_cannot_begin_says_why_and_leaves_room_for_the_next() -> None:
    async def test() -> None:
        store = MemoryStore(MemoryHub(), Random(1))
        store.cut()
        with pytest.raises(StoreUnavailable):
            await store.session(TTL_S).__aenter__()
        store.heal()
        async with store.session(TTL_S) as session:
            assert session.id

    run(test())


class Scripted:
    """Leases whose next renewals fail as told."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.granted = 0
        self.revoked: list[int] = []

    async def grant(self, ttl_s: int, within_s: float) -> Lease:
        self.granted += 1
        return Lease(self.granted, ttl_s, asyncio.get_running_loop().time())

    async def keep_alive(self, lease: Lease, within_s: float) -> Lease:
        if self._failures:
            raise self._failures.pop(0)
        return Lease(lease.id, lease.ttl_s, asyncio.get_running_loop().time())

    async def revoke(self, lease: Lease, within_s: float) -> None:
        self.revoked.append(lease.id)


def test_refusal_is_tried_again_like_silence() -> None:
    async def test() -> None:
        leases = Scripted(StoreRefused("no permission"), StoreUnavailable("nobody there"))
        async with Sessions(leases, Random(1)).hold(TTL_S) as session:
            await asyncio.sleep(2 * TTL_S)
            assert not session.lost.is_set()
        assert leases.granted == 1
        assert leases.revoked == [1]

    run(test())


def test_lease_that_the_server_dropped_is_replaced_at_once() -> None:
    async def test() -> None:
        leases = Scripted(LeaseGone(1))
        async with Sessions(leases, Random(1)).hold(TTL_S) as session:
            await session.lost.wait()
            lost_at = asyncio.get_running_loop().time()
            await session.resumed.wait()
            assert session.id == 2
            assert asyncio.get_running_loop().time() == lost_at
        assert leases.revoked == [2]

    run(test())


def test_keeper_that_breaks_loses_the_session_and_is_not_hushed_up() -> None:
    async def test() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Sessions(Scripted(ZeroDivisionError()), Random(1)).hold(TTL_S) as session:
                await session.lost.wait()

    run(test())
