"""A mirror: one snapshot, every revision after it, and never a silent end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from meshcore.kv import ANY, DELETE, Change, Pair, Snapshot, Write
from meshd.store.base import Store
from meshd.store.mirror import mirror
from tests.store.places import Place, client, clients, run


class Copy:
    """What a mirror was told, and the pairs that follow from it."""

    def __init__(self) -> None:
        self.pairs: dict[str, bytes] = {}
        self.log: list[str] = []
        self.revisions: list[int] = []
        self._news = asyncio.Event()

    def snapshot(self, snapshot: Snapshot) -> None:
        self.pairs = {pair.key: pair.value for pair in snapshot.pairs}
        self._note("snapshot")

    def change(self, change: Change) -> None:
        self.revisions.append(change.revision)
        for pair in change.pairs:
            if isinstance(pair, Pair):
                self.pairs[pair.key] = pair.value
            else:
                del self.pairs[pair.key]
        self._news.set()

    def unavailable(self, text: str) -> None:
        self._note("unavailable")

    def available(self) -> None:
        self._note("available")

    async def until(self, *, log: list[str] | None = None, pairs: dict[str, bytes] | None = None) -> None:
        while (log is not None and self.log != log) or (pairs is not None and self.pairs != pairs):
            self._news.clear()
            await self._news.wait()

    def _note(self, word: str) -> None:
        self.log.append(word)
        self._news.set()

    @asynccontextmanager
    async def of(self, store: Store, prefix: str) -> AsyncIterator[asyncio.Task[None]]:
        following = asyncio.create_task(
            mirror(
                store,
                prefix,
                self.snapshot,
                self.change,
                on_unavailable=self.unavailable,
                on_available=self.available,
                rng=Random(1),
            )
        )
        yield following
        following.cancel()
        await asyncio.wait([following])


def test_mirror_tells_a_snapshot_and_every_revision_after_it(place: Place) -> None:
    async def test() -> None:
        async with client(place) as store:
            await store.commit(Write(place.prefix + "a", ANY, b"1"))
            copy = Copy()
            async with copy.of(store, place.prefix):
                await copy.until(log=["snapshot"])
                await store.commit(Write(place.prefix + "b", ANY, b"2"), Write(place.prefix + "a", ANY, DELETE))
                await store.commit(Write(place.prefix + "c", ANY, b"3"))
                await copy.until(pairs={place.prefix + "b": b"2", place.prefix + "c": b"3"})
            assert copy.log == ["snapshot"]
            assert copy.revisions == sorted(set(copy.revisions))

    run(test())


def test_outage_is_told_once_and_leaves_no_gap(place: Place) -> None:
    async def test() -> None:
        async with clients(place, 2) as (writer, reader):
            copy = Copy()
            async with copy.of(reader, place.prefix):
                await copy.until(log=["snapshot"])
                await place.cut()
                await copy.until(log=["snapshot", "unavailable"])
                await place.heal()
                await writer.check(10)
                await writer.commit(Write(place.prefix + "a", ANY, b"1"))
                await copy.until(log=["snapshot", "unavailable", "available"], pairs={place.prefix + "a": b"1"})
            assert copy.log == ["snapshot", "unavailable", "available"]

    run(test())


def test_compaction_while_cut_off_leads_to_a_new_snapshot(place: Place) -> None:
    async def test() -> None:
        async with client(place) as writer, place.far_client() as far:
            await writer.commit(Write(place.prefix + "old", ANY, b"1"))
            copy = Copy()
            async with copy.of(far.store, place.prefix):
                await copy.until(log=["snapshot"])
                await far.cut()
                await copy.until(log=["snapshot", "unavailable"])
                await writer.commit(Write(place.prefix + "old", ANY, DELETE))
                await writer.commit(Write(place.prefix + "new", ANY, b"1"))
                await place.compact((await writer.read(place.prefix)).revision)
                await far.heal()
                await copy.until(log=["snapshot", "unavailable", "available", "snapshot"])
                assert copy.pairs == {place.prefix + "new": b"1"}
                assert copy.revisions == []

    run(test())


def test_cut_off_mirror_takes_up_where_it_was(place: Place) -> None:
    async def test() -> None:
        async with client(place) as writer, place.far_client() as far:
            copy = Copy()
            async with copy.of(far.store, place.prefix):
                await copy.until(log=["snapshot"])
                await far.cut()
                await copy.until(log=["snapshot", "unavailable"])
                for n in range(5):
                    await writer.commit(Write(f"{place.prefix}{n}", ANY, b"1"))
                await far.heal()
                await copy.until(pairs={f"{place.prefix}{n}": b"1" for n in range(5)})
                assert copy.log == ["snapshot", "unavailable", "available"]
                assert len(copy.revisions) == 5

    run(test())


def test_what_a_callback_raises_ends_the_mirror(place: Place) -> None:
    class Broken(Copy):
        def change(self, change: Change) -> None:
            raise KeyError(change.revision)

    async def test() -> None:
        async with client(place) as store:
            copy = Broken()
            async with copy.of(store, place.prefix) as following:
                await copy.until(log=["snapshot"])
                await store.commit(Write(place.prefix, ANY, b"1"))
                with pytest.raises(KeyError):
                    await following

    run(test())
