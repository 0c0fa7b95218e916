"""Follows in the registry what becomes of loads: which models fail on whom, and which load takes longest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from random import Random

from meshcore.errors import BadRecord
from meshcore.kv import Change, Deleted, Pair, Snapshot
from meshcore.records import ModelRecord
from meshd.store.base import Store
from meshd.store.mirror import mirror


class Loads:
    """The models of which something is to be told: those that failed somewhere, or load just now."""

    def __init__(self, prefix: str) -> None:
        """``prefix`` is that of the registry's keys."""
        self._prefix = prefix
        self._models: dict[str, ModelRecord] = {}
        self._since_ms: dict[tuple[str, str, int], int] = {}
        self.is_known = asyncio.Event()
        """Set once the registry has been read."""
        self.away = ""
        """Why the registry cannot be followed at present."""

    def failing(self, new: Collection[str], old: Collection[str], since_ms: Mapping[str, int]) -> tuple[str, ...]:
        """Models that failed on one of ``new`` since then, by the clock of each (not named: ever). One that failed on
        one of ``old`` too says nothing of the new ones."""
        return tuple(
            name
            for name, record in sorted(self._models.items())
            if any(
                failure.at >= since_ms.get(instance, 0)
                for instance, failure in record.failures.items() if instance in new
            )
            and not any(instance in old for instance in record.failures)
        )  # fmt: skip

    def newest_failures_ms(self, new: Collection[str]) -> dict[str, int]:
        """When a load failed last on each of ``new`` on which one did, by the clock of that instance."""
        newest: dict[str, int] = {}
        for record in self._models.values():
            for instance, failure in record.failures.items():
                if instance in new:
                    newest[instance] = max(failure.at, newest.get(instance, 0))
        return newest

    def slowest(self, new: Collection[str], now: int) -> tuple[str, int]:
        """The load on one of ``new`` that has gone on longest, in words, and for how many milliseconds since this was
        asked with the load there: an instance's clock may be another than that of ``now``."""
        self._since_ms = {
            load: self._since_ms.get(load, now) for name, record in self._models.items()
            for load in ((name, instance, load_ts) for instance, load_ts in record.copies.items())
            if load[1] in new and not record.is_ready(load[1])
        }  # fmt: skip
        if not self._since_ms:
            return "", 0
        (name, instance, _), since_ms = min(self._since_ms.items(), key=lambda load: load[1])
        return f"{name} on {instance}", now - since_ms

    @asynccontextmanager
    async def followed(self, store: Store) -> AsyncIterator[None]:
        """They are kept up to date until the end of the block."""
        task = asyncio.create_task(
            mirror(
                store, self._prefix, self.on_snapshot, self.on_change, on_unavailable=self._on_unavailable,
                on_available=self._on_available, rng=Random(),
            )
        )  # fmt: skip
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """All that is registered."""
        self._models.clear()
        for pair in snapshot.pairs:
            self._see(pair)
        self.is_known.set()

    def on_change(self, change: Change) -> None:
        """What was changed of it."""
        for each in change.pairs:
            if isinstance(each, Deleted):
                self._models.pop(each.key.removeprefix(self._prefix), None)
            else:
                self._see(each)

    def _see(self, pair: Pair) -> None:
        name = pair.key.removeprefix(self._prefix)
        try:
            record = ModelRecord.decode(pair.value, name)
        except BadRecord:
            self._models.pop(name, None)
            return
        if record.failures or any(not record.is_ready(instance) for instance in record.copies):
            self._models[name] = record
        else:
            self._models.pop(name, None)

    def _on_unavailable(self, text: str) -> None:
        self.away = text

    def _on_available(self) -> None:
        self.away = ""
