"""Whether the store is there, as far as is known, and a store that answers at once while it is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from meshcore.events import Event, StoreFound, StoreLost
from meshcore.kv import Change, Committed, Conflict, Snapshot, Write
from meshd.store.base import Session, SessionLost, Store, StoreRefused, StoreUnavailable

PROBE_S = 0.25
"""A store that is away is asked again this long after it did not answer."""

REQUESTS = "requests"
"""What is away where a read or a commit had no answer in time."""
SESSION = "session"
"""What is away where the lease of this instance may be gone; the store itself may be there."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class Reach:
    """What of the store is away: prefixes that cannot be followed, requests, the session. ``tell`` hears when the first
    of them goes and when the last is back."""

    def __init__(self) -> None:
        self._away: dict[str, str] = {}
        self._since = 0.0
        self._open: set[asyncio.Task[Any]] = set()
        self.tell: Callable[[Event], None] = lambda _: None
        self.doubt: Callable[[], None] = lambda: None
        """Have it found out whether the store answers at all."""

    def __bool__(self) -> bool:
        return not self._away

    @property
    def silence(self) -> str:
        """Why nothing need be asked of it now; empty: it may well answer."""
        return next((why for what, why in self._away.items() if what != SESSION), "")

    def lost(self, what: str, why: str) -> None:
        """``what`` is away; whoever waits for an answer waits no longer."""
        is_first, self._away[what] = not self._away, why
        if self.silence:
            for asked in self._open:
                asked.cancel()
        if is_first:
            self._since = time.time()
            _log.warning("the store is away: %s", why)
            self.tell(StoreLost())
        if what == SESSION:
            self.doubt()

    def found(self, what: str) -> None:
        """It is back."""
        if self._away.pop(what, None) is not None and not self._away:
            since = time.strftime("%H:%M:%S", time.localtime(self._since))
            _log.info("the store is back: it was away since %s, for %.1f s", since, time.time() - self._since)
            self.tell(StoreFound())

    async def unless_lost(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """What ``call`` answers; StoreUnavailable as soon as the store is known to be away."""
        asked = asyncio.create_task(call)
        self._open.add(asked)
        try:
            return await asked
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.silence or (task is not None and task.cancelling()):
                raise
            raise StoreUnavailable(f"the store is away: {self.silence}") from None
        finally:
            self._open.discard(asked)


class Guarded:
    """A store (see ``meshd.store.base.Store``) of which no read and no commit waits while it is known to be away: from
    the first that had no answer in time until it answers a read of ``probe`` again."""

    def __init__(self, store: Store, reach: Reach, probe: str) -> None:
        self._store, self._reach, self._probe = store, reach, probe
        self._probing: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None
        reach.doubt = self._doubt

    async def check(self, timeout_s: float) -> None:
        """See Store."""
        await self._store.check(timeout_s)

    async def snapshot(self, prefix: str) -> Snapshot:
        """See Store."""
        return await self._store.snapshot(prefix)

    async def page(self, prefix: str, after: str, limit: int) -> Snapshot:
        """See Store."""
        return await self._store.page(prefix, after, limit)

    async def read(self, *keys: str) -> Snapshot:
        """See Store."""
        return await self._ask(lambda: self._store.read(*keys))

    def changes(self, prefix: str, after: int) -> AsyncGenerator[tuple[Change, ...], None]:
        """See Store."""
        return self._store.changes(prefix, after)

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """See Store."""
        return await self._ask(lambda: self._store.commit(*writes))

    def session(self, ttl_s: int) -> AbstractAsyncContextManager[Session]:
        """See Store."""
        return self._store.session(ttl_s)

    async def close(self) -> None:
        """See Store."""
        for task in (self._doubting, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self._store.close()

    async def _ask(self, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        if silence := self._reach.silence:
            raise StoreUnavailable(f"the store is away: {silence}")
        try:
            return await self._reach.unless_lost(call())
        except SessionLost:
            raise
        except StoreUnavailable as silent:
            if not self._reach.silence:
                self._reach.lost(REQUESTS, str(silent))
                self._probing = asyncio.create_task(self._until_it_answers())
            raise

    def _doubt(self) -> None:
        self._doubting = asyncio.create_task(self._ask_once())

    async def _ask_once(self) -> None:
        with contextlib.suppress(StoreUnavailable, StoreRefused):
            await self.read(self._probe)

    async def _until_it_answers(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self._store.read(self._probe)
            except StoreUnavailable:
                continue
            except StoreRefused:
                pass  # which is an answer, too
            break
        self._reach.found(REQUESTS)
