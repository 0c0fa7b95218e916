"""The census of a registry: read whole once, then followed, so that to count again costs what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from random import Random

from meshcore.census import Census, Count, Counted
from meshcore.kv import Change, Pair, Snapshot
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from meshd.store.base import Store, StoreUnavailable
from meshd.store.mirror import mirror

_FAILURE_EXPIRY_MS = Settings().failure_expiry_ms


class RecordedCensus:
    """Counts what lies under ``prefix``, from the first question on."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._census = Census()
        self._told = asyncio.Event()
        """Set when the registry was read, or cannot be."""
        self._away = ""
        self._following: asyncio.Task[None] | None = None

    async def count(self, instances: Mapping[str, InstanceRecord], load_timeout_ms: int) -> Counted:
        """The models with these instances. Raises StoreUnavailable."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        await self._told.wait()
        if self._following.done():  # it never ends but by a mistake
            await self._following
        if self._away:
            raise StoreUnavailable(self._away)
        return self._census.into(Count(instances, int(time.time() * 1000), load_timeout_ms, _FAILURE_EXPIRY_MS))

    async def close(self) -> None:
        """Follow no more."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    async def _follow(self) -> None:
        try:
            await mirror(
                self._store, self._prefix, self._read, self._changed,
                on_unavailable=self._went, on_available=lambda: self._went(""), rng=Random(),
            )  # fmt: skip
        finally:
            self._told.set()

    def _went(self, away: str) -> None:
        self._away = away
        self._told.set()

    def _read(self, snapshot: Snapshot) -> None:
        self._census = Census()
        for pair in snapshot.pairs:
            self._census.see(pair.key.removeprefix(self._prefix), pair.value, pair.mod)
        self._told.set()

    def _changed(self, change: Change) -> None:
        for pair in change.pairs:
            value = pair.value if isinstance(pair, Pair) else None
            self._census.see(pair.key.removeprefix(self._prefix), value, pair.mod)
