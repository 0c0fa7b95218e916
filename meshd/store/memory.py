"""A store in this process's memory, shared by all that are given the same hub."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from random import Random

from meshcore.kv import Change, Committed, Conflict, Kv, LeaseGone, Snapshot, Write, checked
from meshd.store.base import Session, SessionLost, StoreUnavailable, checked_keys
from meshd.store.session import Lease, Sessions


class MemoryHub:
    """What stands for the server: one ``Kv`` whose clock is the event loop's."""

    def __init__(self, history: int = 10_000) -> None:
        self.kv = Kv(history)
        self.news = asyncio.Event()
        """Set, and replaced by a fresh one, at the next ``tell``."""
        self._timer: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """Seconds of the event loop's clock."""
        return asyncio.get_running_loop().time()

    def now(self) -> int:
        """The same instant as ``kv`` counts it, in milliseconds."""
        return round(self.time() * 1000)

    def tell(self) -> None:
        """Something has changed: let every watch look."""
        self.news.set()
        self.news = asyncio.Event()

    def arm(self) -> None:
        """A lease is new or renewed: see to it that leases end in time."""
        if self._timer is not None:
            self._timer.cancel()
        expiry = self.kv.next_expiry()
        if expiry is not None:
            self._timer = asyncio.get_running_loop().call_at(expiry / 1000, self._expire)

    def _expire(self) -> None:
        if self.kv.expire(self.now()):
            self.tell()
        self.arm()


class MemoryStore:
    """One client of a hub (see ``meshd.store.base.Store``); ``cut`` is what a partition would do to it."""

    def __init__(self, hub: MemoryHub, rng: Random) -> None:
        self._hub = hub
        self._sessions = Sessions(_Leases(self), rng)
        self._away = ""

    def cut(self) -> None:
        """Nothing gets through any more; the store itself, and its leases, go on."""
        self._away = "cut off from the memory store"
        self._hub.tell()

    def heal(self) -> None:
        """Everything gets through again."""
        self._away = ""

    async def reach(self) -> MemoryHub:
        """The hub, one turn of the loop away; StoreUnavailable while cut off or closed."""
        await asyncio.sleep(0)  # no answer comes before others had their turn, as over a network
        self._require_reach()
        return self._hub

    async def check(self, timeout_s: float) -> None:
        """See Store."""
        await self.reach()

    async def snapshot(self, prefix: str) -> Snapshot:
        """See Store."""
        return (await self.reach()).kv.snapshot(prefix)

    async def page(self, prefix: str, after: str, limit: int) -> Snapshot:
        """See Store."""
        found = (await self.reach()).kv.snapshot(prefix)
        first = bisect_right(found.pairs, after, key=lambda pair: pair.key)
        return Snapshot(found.revision, found.pairs[first : first + limit])

    async def read(self, *keys: str) -> Snapshot:
        """See Store."""
        hub = await self.reach()
        return hub.kv.read(checked_keys(keys))

    async def changes(self, prefix: str, after: int) -> AsyncGenerator[tuple[Change, ...], None]:
        """See Store."""
        hub = await self.reach()
        yield ()
        while True:
            self._require_reach()
            news = hub.news
            changes = hub.kv.changes_after(prefix, after)
            after = hub.kv.revision
            if changes:
                yield tuple(changes)
            else:
                await news.wait()

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """See Store."""
        lease = self._sessions.lease_for(checked(writes))
        hub = await self.reach()
        try:
            done = hub.kv.commit(writes, lease)
        except LeaseGone as gone:
            self._sessions.tell_gone(lease)
            raise SessionLost(f"the session with the store is lost: {gone}") from gone
        hub.tell()
        return done

    def session(self, ttl_s: int) -> AbstractAsyncContextManager[Session]:
        """See Store."""
        return self._sessions.hold(ttl_s)

    async def close(self) -> None:
        """See Store."""
        self._away = "the memory store is closed"
        self._hub.tell()

    def _require_reach(self) -> None:
        if self._away:
            raise StoreUnavailable(self._away)


class _Leases:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def grant(self, ttl_s: int, within_s: float) -> Lease:
        hub = await self._store.reach()
        asked_at = hub.time()
        lease = hub.kv.grant(ttl_s * 1000, hub.now())
        hub.arm()
        return Lease(lease, ttl_s, asked_at)

    async def keep_alive(self, lease: Lease, within_s: float) -> Lease:
        hub = await self._store.reach()
        asked_at = hub.time()
        hub.kv.keep_alive(lease.id, hub.now())
        hub.arm()
        return Lease(lease.id, lease.ttl_s, asked_at)

    async def revoke(self, lease: Lease, within_s: float) -> None:
        hub = await self._store.reach()
        hub.kv.revoke(lease.id)
        hub.tell()
