"""Keeps a lease alive, says when it is lost before the server can drop it, and takes a new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from meshcore.kv import LeaseGone, Write
from meshd.store.backoff import pause_s
from meshd.store.base import OTHER_S, TABLE_S, Session, SessionLost, StoreError


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as granted or renewed: ``ttl_s`` seconds, which no server counts from before ``asked_at`` (loop time)."""

    id: int
    ttl_s: float
    asked_at: float


class Leases(Protocol):
    """What a store has to offer for sessions. Each raises StoreError, none takes longer than ``within_s``."""

    async def grant(self, ttl_s: int, within_s: float) -> Lease:
        """A new lease, of at least ``ttl_s`` if the store can."""

    async def keep_alive(self, lease: Lease, within_s: float) -> Lease:
        """Let the lease last for its whole time again; LeaseGone when it is not alive."""

    async def revoke(self, lease: Lease, within_s: float) -> None:
        """End the lease and all keys on it; LeaseGone when it is not alive."""


class Sessions:
    """A store's session: there is one at a time, and leased writes hang on it."""

    def __init__(self, leases: Leases, rng: Random) -> None:
        self._leases, self._rng = leases, rng
        self._session: Session | None = None
        self._is_held = False

    def lease_for(self, writes: Iterable[Write]) -> int:
        """The lease that these writes need, 0 for none; ValueError without a session, SessionLost while lost."""
        if not any(write.leased for write in writes):
            return 0
        if self._session is None:
            raise ValueError("a leased write needs a session")
        if self._session.lost.is_set():
            raise SessionLost("the session with the store is lost")
        return self._session.id

    def tell_gone(self, lease: int) -> None:
        """A write was told that its lease is gone: do not wait for the next renewal to learn it."""
        if self._session is not None and self._session.id == lease:
            self._session.lose()

    @asynccontextmanager
    async def hold(self, ttl_s: int) -> AsyncIterator[Session]:
        """A session that lasts as long as the block; StoreError when the first lease cannot be had."""
        if self._is_held:
            raise ValueError("a store holds one session at a time")
        self._is_held = True
        try:
            lease = await self._leases.grant(ttl_s, OTHER_S)
            self._session = Session(lease.id)
            keeper = _Keeper(self._leases, ttl_s, self._rng, self._session, lease)
            task = asyncio.create_task(keeper.run())
            try:
                yield self._session
            finally:
                task.cancel()
                await asyncio.wait([task])
                with suppress(StoreError, LeaseGone):  # else it runs out by itself
                    await self._leases.revoke(keeper.lease, TABLE_S)
                if not task.cancelled():
                    task.result()  # raises: a keeper ends by itself only when it is broken
        finally:
            self._is_held, self._session = False, None


class _Keeper:
    def __init__(self, leases: Leases, ttl_s: int, rng: Random, session: Session, lease: Lease) -> None:
        self._leases, self._ttl_s, self._rng, self._session = leases, ttl_s, rng, session
        self._loop = asyncio.get_running_loop()
        self._count_from(lease)

    async def run(self) -> None:
        failures = 0
        try:
            while True:
                await self._rest(failures)
                try:
                    await (self._replace() if self._session.lost.is_set() else self._renew())
                    failures = 0
                except LeaseGone:
                    self._session.lose()
                except StoreError:
                    failures += 1
        finally:
            self._alarm.cancel()
            self._session.lose()  # nobody keeps the lease alive any more

    async def _rest(self, failures: int) -> None:
        if failures:
            await asyncio.sleep(pause_s(failures, self._rng))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self.lease.ttl_s / 3):
                await self._session.lost.wait()

    async def _renew(self) -> None:
        left_s = self._good_until - self._loop.time()
        lease = await self._leases.keep_alive(self.lease, max(0.0, min(TABLE_S, left_s)))
        if not self._session.lost.is_set():  # once said to be lost it stays lost
            self._alarm.cancel()
            self._count_from(lease)

    async def _replace(self) -> None:
        lease = await self._leases.grant(self._ttl_s, TABLE_S)
        self._alarm.cancel()
        self._session.resume(lease.id)
        self._count_from(lease)

    def _count_from(self, lease: Lease) -> None:
        self.lease = lease
        self._good_until = lease.asked_at + lease.ttl_s - min(1.0, lease.ttl_s / 10)  # the loop may be late
        self._alarm = self._loop.call_at(self._good_until, self._session.lose)
