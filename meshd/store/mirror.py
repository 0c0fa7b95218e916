"""Follows a prefix of a store for as long as it is asked to, whatever happens to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from typing import NoReturn

from meshcore.kv import Change, Compacted, Snapshot
from meshd.store.backoff import pause_s
from meshd.store.base import Store, StoreError, StoreUnavailable


async def mirror(
    store: Store,
    prefix: str,
    on_snapshot: Callable[[Snapshot], None],
    on_change: Callable[[Change], None],
    *,
    on_unavailable: Callable[[str], None],
    on_available: Callable[[], None],
    rng: Random,
) -> NoReturn:
    """Tell a snapshot, then each revision after it in order; after a gap a new snapshot, which replaces everything.

    ``on_unavailable`` is told once, with the reason, when the store goes away, ``on_available`` once when it is back;
    it counts as there at the start. A store that refuses is as away as one that is silent: somebody may have changed a
    password, and what is known goes on being true. What a callback raises ends the mirror.
    """
    mirroring = _Mirror(store, prefix, on_snapshot, on_change, on_unavailable, on_available)
    while True:
        try:
            await mirroring.follow()
        except Compacted:
            mirroring.revision = None
        except StoreError as away:
            mirroring.tell_away(str(away))
        mirroring.failures += 1
        await asyncio.sleep(pause_s(mirroring.failures, rng))


class _Mirror:
    def __init__(
        self,
        store: Store,
        prefix: str,
        on_snapshot: Callable[[Snapshot], None],
        on_change: Callable[[Change], None],
        on_unavailable: Callable[[str], None],
        on_available: Callable[[], None],
    ) -> None:
        self._store, self._prefix = store, prefix
        self._on_snapshot, self._on_change = on_snapshot, on_change
        self._on_unavailable, self._on_available = on_unavailable, on_available
        self.revision: int | None = None
        self.failures = 0
        self._is_away = False

    async def follow(self) -> NoReturn:
        if self.revision is None:
            snapshot = await self._store.snapshot(self._prefix)
            self._tell_there()
            self.revision = snapshot.revision
            self._on_snapshot(snapshot)
        async with aclosing(self._store.changes(self._prefix, self.revision)) as batches:
            async for batch in batches:
                self._tell_there()
                for change in batch:
                    self.revision = change.revision
                    self._on_change(change)
                    self.failures = 0
        raise StoreUnavailable("the watch has ended")

    def tell_away(self, text: str) -> None:
        if not self._is_away:
            self._is_away = True
            self._on_unavailable(text)

    def _tell_there(self) -> None:
        if self._is_away:
            self._is_away = False
            self._on_available()
