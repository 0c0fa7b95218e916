"""The stores that the contract is tried on, and what can be done to them from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar

import grpc

from meshcore.kv import ABSENT, ANY, Change, Committed, Write
from meshd.store.base import Store, StoreUnavailable
from meshd.store.etcd import EtcdStore
from meshd.store.etcd_channel import Endpoint, EtcdConfig
from meshd.store.memory import MemoryHub, MemoryStore
from protos import etcd_pb2, etcd_pb2_grpc
from tests.etcd import EtcdServer
from tests.store.line import line_to

Result = TypeVar("Result")

HANG_S = 60
_numbers = count()


def run(test: Coroutine[Any, Any, Result]) -> Result:
    """Run one test; the deadline only keeps a hang from lasting."""

    async def guarded() -> Result:
        async with asyncio.timeout(HANG_S):
            return await test

    return asyncio.run(guarded())


@dataclass(frozen=True, slots=True)
class FarClient:
    """A client at the end of a line."""

    store: Store
    cut: Callable[[], Awaitable[None]]
    heal: Callable[[], Awaitable[None]]


class Place(Protocol):
    """Where a store lives: several clients see the same pairs, and the keys of one test are its own."""

    prefix: str

    def client(self) -> Store:
        """A new client, to be closed by ``clients``."""

    def far_client(self) -> AbstractAsyncContextManager[FarClient]:
        """A new client that can be cut off alone."""

    async def cut(self) -> None:
        """The store goes away for every client, as it would without warning."""

    async def heal(self) -> None:
        """It is back, with all it had."""

    async def compact(self, revision: int) -> None:
        """Its history up to ``revision`` goes."""

    async def drop_lease(self, lease: int) -> None:
        """A lease ends without its holder's doing."""

    async def put_for(self, key: str, seconds: int) -> None:
        """Create a pair on a lease of that length that nobody keeps alive."""


class MemoryPlace:
    def __init__(self) -> None:
        self.prefix = f"t{next(_numbers)}/"
        self._hub = MemoryHub()
        self._clients: list[MemoryStore] = []

    def client(self) -> Store:
        self._clients.append(MemoryStore(self._hub, Random(1)))
        return self._clients[-1]

    @asynccontextmanager
    async def far_client(self) -> AsyncIterator[FarClient]:
        store = MemoryStore(self._hub, Random(2))

        async def cut() -> None:
            store.cut()

        async def heal() -> None:
            store.heal()

        yield FarClient(store, cut, heal)
        await store.close()

    async def cut(self) -> None:
        for client in self._clients:
            client.cut()

    async def heal(self) -> None:
        for client in self._clients:
            client.heal()

    async def compact(self, revision: int) -> None:
        self._hub.kv.compact(revision)

    async def drop_lease(self, lease: int) -> None:
        self._hub.kv.revoke(lease)

    async def put_for(self, key: str, seconds: int) -> None:
        lease = self._hub.kv.grant(seconds * 1_000, self._hub.now())
        self._hub.kv.commit([Write(key, ABSENT, b"1", leased=True)], lease)
        self._hub.arm()


class EtcdPlace:
    def __init__(self, server: EtcdServer) -> None:
        self.prefix = f"t{next(_numbers)}/"
        self._server = server

    def client(self) -> Store:
        return etcd_client(self._server.address)

    @asynccontextmanager
    async def far_client(self) -> AsyncIterator[FarClient]:
        async with line_to(self._server.address) as line:
            store = etcd_client(line.address)
            yield FarClient(store, line.cut, line.heal)
            await store.close()

    async def cut(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def heal(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def compact(self, revision: int) -> None:
        async with stubs(self._server.address) as (kv, _):
            await kv.Compact(etcd_pb2.CompactionRequest(revision=revision, physical=True))

    async def drop_lease(self, lease: int) -> None:
        async with stubs(self._server.address) as (_, leases):
            await leases.LeaseRevoke(etcd_pb2.LeaseRevokeRequest(ID=lease))

    async def put_for(self, key: str, seconds: int) -> None:
        async with stubs(self._server.address) as (kv, leases):
            lease = (await leases.LeaseGrant(etcd_pb2.LeaseGrantRequest(TTL=seconds))).ID
            await kv.Put(etcd_pb2.PutRequest(key=key.encode(), value=b"1", lease=lease))


def etcd_client(*addresses: str) -> EtcdStore:
    """A client of an etcd without TLS and users."""
    return EtcdStore(EtcdConfig(tuple(map(Endpoint, addresses))), "", Random(1))


@asynccontextmanager
async def stubs(address: str) -> AsyncIterator[tuple[Any, Any]]:
    """Bare access to an etcd's KV and Lease service."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield etcd_pb2_grpc.KVStub(channel), etcd_pb2_grpc.LeaseStub(channel)


@asynccontextmanager
async def clients(place: Place, number: int = 1) -> AsyncIterator[list[Store]]:
    """Several clients of one place, closed at the end."""
    stores = [place.client() for _ in range(number)]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


@asynccontextmanager
async def client(place: Place) -> AsyncIterator[Store]:
    """One client of a place, closed at the end."""
    async with clients(place) as (store,):
        yield store


async def put(store: Store, key: str, value: bytes = b"v") -> int:
    done = await store.commit(Write(key, ANY, value))
    assert isinstance(done, Committed)
    return done.revision


async def put_until_taken(store: Store, key: str) -> None:
    """Create a pair, however often that has to be asked for; a try that was not answered may have done it."""
    is_asked_again = False
    while True:
        try:
            done = await store.commit(Write(key, ABSENT, b"1"))
        except StoreUnavailable:
            is_asked_again = True
            await asyncio.sleep(0.05)
        else:
            assert isinstance(done, Committed) or is_asked_again
            return


async def told(store: Store, prefix: str, after: int, number: int) -> list[Change]:
    """The first ``number`` changes after a revision, asked for again whenever the store was away."""
    changes: list[Change] = []
    while len(changes) < number:
        try:
            async with aclosing(store.changes(prefix, changes[-1].revision if changes else after)) as batches:
                async for batch in batches:
                    changes += batch
                    if len(changes) >= number:
                        return changes
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    return changes
